//! The clock: tokens, logins and the times of messages go by it, and replicas must agree on it.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

use super::finding::Finding;

/// What nobody notices, in ms.
const NOTHING: i64 = 1_000;

/// What lets tokens and logins end early or late, in ms.
const MUCH: i64 = 30_000;

/// No clock that was ever set shows less: 2025, in s since 1970.
const NEVER_SET: u64 = 1_735_689_600;

const SYNCHRONISE: &str = "Have both machines follow NTP (timedatectl set-ntp true)";

/// Judges our clock by those of Redis and of the database, in ms that they are ahead.
pub(super) fn judge(redis: Option<i64>, database: Option<i64>) -> Finding {
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    let now = now.strftime("%Y-%m-%d %H:%M:%S UTC");
    if UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() < NEVER_SET {
        return Finding::bad(
            "clock",
            format!("it shows {now}, it was never set"),
            "Set it, and have it follow NTP (timedatectl set-ntp true)",
        );
    }
    let others = [("Redis", redis), ("the database", database)];
    let mut others: Vec<_> = (others.into_iter())
        .filter_map(|(who, ahead)| Some((who, ahead?)))
        .collect();
    others.sort_by_key(|(_, ahead)| ahead.abs());
    match others.last() {
        None => Finding::ok("clock", format!("{now}; nothing here to compare it with")),
        Some(&(_, ahead)) if ahead.abs() <= NOTHING => {
            let names: Vec<_> = others.iter().map(|(who, _)| *who).collect();
            Finding::ok(
                "clock",
                format!("{now}, the same as of {}", names.join(" and of ")),
            )
        }
        Some(&(who, ahead)) => {
            let seconds = ahead.abs() / 1000;
            let way = if ahead > 0 { "behind" } else { "ahead of" };
            let what = format!("{now} is {seconds} s {way} the clock of {who}");
            if ahead.abs() > MUCH {
                Finding::bad("clock", what, SYNCHRONISE)
            } else {
                Finding::warn("clock", what, SYNCHRONISE)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_that_differs_most_is_told() {
        for (redis, database, level, told) in [
            (None, None, "ok", "nothing here to compare it with"),
            (Some(3), None, "ok", "UTC, the same as of Redis"),
            (
                Some(-900),
                Some(1),
                "ok",
                "UTC, the same as of the database and of Redis",
            ),
            (
                Some(0),
                Some(4_200),
                "warn",
                "is 4 s behind the clock of the database",
            ),
            (
                Some(-86_400_000),
                Some(2_000),
                "bad",
                "is 86400 s ahead of the clock of Redis",
            ),
        ] {
            let finding = judge(redis, database).to_string();
            assert!(finding.contains(told), "{finding}");
            assert!(finding.starts_with(level), "{finding}");
        }
    }
}
