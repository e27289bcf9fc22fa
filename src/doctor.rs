//! Looks at all that the settings need before a server is started with them: what is wrong, and what to do. Each file below looks
//! at one thing, all of them at the same time, none for longer than [`PATIENCE`]. Nothing is changed, but for a key of a second's
//! life in Redis and a file that goes at once.

mod channels;
mod clock;
mod database;
mod finding;
mod machine;
mod pages;
mod rabbitmq;
mod redis;

use std::{fmt, time::Duration};

use tokio::time::timeout;

use self::finding::{Finding, Level};
use crate::settings::Settings;

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was found, in the order of the words.
pub struct Report(Vec<Finding>);

/// Looks at everything.
#[tokio::main]
pub async fn examine(settings: &Settings) -> Report {
    let (redis, rabbitmq, channels, database, pages, machine) = tokio::join!(
        within("redis", redis::look(settings)),
        within("rabbitmq", rabbitmq::look(settings)),
        within("channels", channels::look(settings)),
        within("database", database::look(settings)),
        within("pages", pages::look(settings)),
        within("machine", machine::look(settings)),
    );
    let mut findings = vec![Finding::ok("settings", "right".into())];
    findings.extend(machine.unwrap_or_else(|slow| vec![slow]));
    let (redis, redis_clock) = redis.unwrap_or_else(|slow| (vec![slow], None));
    let (database, database_clock) = database.unwrap_or_else(|slow| (vec![slow], None));
    findings.extend(redis);
    findings.extend(rabbitmq.unwrap_or_else(|slow| vec![slow]));
    findings.extend(channels.unwrap_or_else(|slow| vec![slow]));
    findings.extend(database);
    findings.push(clock::judge(redis_clock, database_clock));
    findings.extend(pages.unwrap_or_else(|slow| vec![slow]));
    Report(findings)
}

/// The finding that it took too long is the error.
async fn within<T>(subject: &'static str, look: impl Future<Output = T>) -> Result<T, Finding> {
    timeout(PATIENCE, look).await.map_err(|_| {
        let what = format!("not looked at within {} s", PATIENCE.as_secs());
        Finding::bad(subject, what, "check what holds it up, and ask again")
    })
}

impl Report {
    /// Whether a server can be started with these settings, and will do as expected.
    pub fn is_well(&self) -> bool {
        self.count(Level::Bad) == 0
    }

    fn count(&self, level: Level) -> usize {
        let findings = self.0.iter();
        findings.filter(|finding| finding.level == level).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            writeln!(f, "{finding}")?;
        }
        let (wrong, doubtful) = (self.count(Level::Bad), self.count(Level::Warn));
        let wrong = match wrong {
            0 => "nothing is wrong".to_owned(),
            1 => "1 thing is wrong (bad)".to_owned(),
            wrong => format!("{wrong} things are wrong (bad)"),
        };
        let doubtful = match doubtful {
            0 => String::new(),
            1 => ", 1 deserves a thought (warn)".to_owned(),
            doubtful => format!(", {doubtful} deserve a thought (warn)"),
        };
        writeln!(f, "\n{wrong}{doubtful}")
    }
}
