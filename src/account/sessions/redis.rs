//! Sessions in the Redis that replicas share, where express-session with connect-redis keeps them and as it does:
//! `sess:<id>` is the record, for as long as the session lasts. `stored` reads and writes that, `sessions.lua` has
//! what must be done in one step, `ended` hears which sessions were ended elsewhere. Nothing is remembered here.

mod ended;
mod stored;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use redis::{FromRedisValue, Script, ScriptInvocation};

pub(super) use self::ended::hear;
use self::stored::Stored;
use super::{
    Login, Record, Session, SessionError, SessionId,
    store::{FORMER_AGE, Kept, Lifetime, MOST, MOST_OF_ACCOUNT, Store},
};
use crate::redis::{Link, Redis};

/// Tries to change a record that others change at the same time.
const TRIES: usize = 8;

/// Former ids that lead from one to the next; more than one only where Node wrote one anew that had gone.
const FORMER_IDS: usize = 4;

/// Sessions that one call of the script looks after, in about 2 ms: it keeps Redis from all else meanwhile.
const AT_ONCE: usize = 50;

/// The sessions of all replicas, and of Node processes that share the prefix.
pub(super) struct Shared {
    link: Link,
    script: Script,
    /// What the names of express's keys begin with.
    prefix: String,
    lifetime: Lifetime,
}

impl Shared {
    /// Opens nothing yet.
    pub fn new(redis: Redis, prefix: String, lifetime: Lifetime) -> Self {
        Self {
            link: Link::new(redis, "sessions"),
            script: Script::new(include_str!("redis/sessions.lua")),
            prefix,
            lifetime,
        }
    }

    async fn get(&self, id: &str) -> Result<Option<String>, SessionError> {
        let mut command = redis::cmd("GET");
        command.arg(format!("{}{id}", self.prefix));
        let found: Option<Vec<u8>> = self.link.query(&command).await?;
        // Others may write what they like.
        Ok(found.and_then(|json| String::from_utf8(json).ok()))
    }

    fn call(&self, what: &str) -> ScriptInvocation<'_> {
        let mut call = self.script.prepare_invoke();
        call.arg(what)
            .arg(&self.prefix)
            .arg(self.link.redis().key(""));
        call
    }

    async fn run<T: FromRedisValue>(&self, call: ScriptInvocation<'_>) -> Result<T, SessionError> {
        Ok(self.link.invoke(&call).await?)
    }

    fn age(&self, stored: &Stored) -> u64 {
        in_ms(stored.age().unwrap_or_else(|| self.lifetime.age()))
    }

    /// Puts one record in the place of another, under another id; false where that other is not there any more.
    /// `former` leads to the new one for a while: the id that it had, or what takes that id's place.
    async fn swap(
        &self,
        id: &str,
        expected: &str,
        login: Login,
        (new, record): (&str, &Stored),
        former: &str,
    ) -> Result<bool, SessionError> {
        let mut call = self.call("swap");
        call.arg(id).arg(expected).arg(login.0);
        call.arg(record.mail()).arg(self.age(record));
        call.arg(new).arg(record.to_json());
        call.arg(former).arg(record.former(login, new).to_json());
        call.arg(in_ms(FORMER_AGE));
        self.run(call).await
    }
}

#[async_trait]
impl Store for Shared {
    async fn load(&self, id: &str) -> Result<Option<Kept>, SessionError> {
        let mut at = Box::<str>::from(id);
        for _ in 0..=FORMER_IDS {
            let json = self.get(&at).await?;
            let Some(stored) = json.as_deref().and_then(Stored::parse) else {
                return Ok(None);
            };
            if let Some(next) = stored.successor() {
                at = next.into();
                continue;
            }
            let session = Session {
                is_late: *at != *id,
                record: stored.record(),
                id: SessionId {
                    login: stored.login(&at),
                    text: at,
                },
            };
            return Ok(Some(Kept {
                session,
                expires: Timestamp::MAX,
            }));
        }
        Ok(None)
    }

    async fn begin(
        &self,
        id: &SessionId,
        record: &Record,
        former: Option<&str>,
    ) -> Result<(), SessionError> {
        let mut stored = Stored::parse(&self.lifetime.json(record)).unwrap_or_default();
        stored.mark(id.login);
        let mut call = self.call("begin");
        call.arg(&*id.text).arg(id.login.0);
        call.arg(stored.mail()).arg(stored.to_json());
        call.arg(in_ms(self.lifetime.age()));
        call.arg(MOST).arg(MOST_OF_ACCOUNT);
        call.arg(former.unwrap_or_default());
        call.arg(stored.former(id.login, &id.text).to_json());
        call.arg(in_ms(FORMER_AGE));
        self.run(call).await
    }

    async fn rename(
        &self,
        id: &SessionId,
        record: &Record,
        new: &str,
        former: &str,
    ) -> Result<bool, SessionError> {
        let mut at = id.text.clone();
        for _ in 0..TRIES {
            let Some(expected) = self.get(&at).await? else {
                return Ok(false);
            };
            let mut stored = Stored::parse(&expected).unwrap_or_default();
            if let Some(now) = stored.successor() {
                at = now.into();
                continue;
            }
            if let Some(user) = &record.user {
                stored.name_visitor(user);
            }
            stored.refresh();
            stored.mark(id.login);
            let swapped = self.swap(&at, &expected, id.login, (new, &stored), former);
            if swapped.await? {
                return Ok(true);
            }
        }
        Err(SessionError::Busy)
    }

    async fn renew(&self, id: &SessionId, new: Box<str>) -> Result<Box<str>, SessionError> {
        for _ in 0..TRIES {
            let Some(expected) = self.get(&id.text).await? else {
                return Ok(new);
            };
            let mut stored = Stored::parse(&expected).unwrap_or_default();
            if let Some(other) = stored.successor() {
                return Ok(other.into());
            }
            stored.refresh();
            stored.mark(id.login);
            let swapped = self.swap(&id.text, &expected, id.login, (&new, &stored), &id.text);
            if swapped.await? {
                return Ok(new);
            }
        }
        Err(SessionError::Busy)
    }

    async fn remove(&self, id: &SessionId) -> Result<(), SessionError> {
        let mut call = self.call("end");
        call.arg(&*id.text).arg(id.login.0);
        self.run(call).await
    }

    async fn remove_all_of(&self, mail: &str) -> Result<Vec<Login>, SessionError> {
        let mut call = self.call("end_account");
        call.arg(mail);
        let logins: Vec<i64> = self.run(call).await?;
        Ok(logins.into_iter().map(Login).collect())
    }

    async fn tidy(&self, used: Vec<SessionId>) -> Result<Vec<Login>, SessionError> {
        let mut gone = Vec::new();
        for some in used.chunks(AT_ONCE) {
            let mut call = self.call("use");
            call.arg(in_ms(self.lifetime.age()));
            for id in some {
                call.arg(&*id.text).arg(id.login.0);
            }
            let logins: Vec<i64> = self.run(call).await?;
            gone.extend(logins.into_iter().map(Login));
        }
        Ok(gone)
    }

    async fn close(&self) {}
}

fn in_ms(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
