//! Who may be called what, for all front ends alike: names of accounts belong to their owners, names that the front ends
//! use for themselves to nobody. A dialect asks before somebody speaks under a name that nothing proves.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    accounts::Accounts,
    sessions::{SessionError, SessionId, Sessions, Watch},
    users::{DatabaseError, Key, Skeleton},
};
use crate::chat::{
    message::AuthorName,
    socket::{CloseReason, Socket},
};

/// Names that pages show for themselves: whose the server's own lines are, and who spoke where nobody knows a name.
const RESERVED: [&str; 3] = ["System", "Guest", "???"];

/// Names that are looked up at once: most connections to the database are left to who logs in.
const LOOKUPS: usize = 2;

/// How long a name waits for its turn to be looked up.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer counts. Whoever registers has the name for itself after that on all replicas.
const FRESH: Duration = Duration::from_secs(10);

/// Answers that are remembered; the oldest go.
const REMEMBERED: usize = 16_384;

/// Why somebody may not be called that.
#[derive(Debug, thiserror::Error)]
pub enum NameRefused {
    #[error("the name is reserved, take another one")]
    Reserved,
    #[error("the name belongs to an account: log in to use it, or take another one")]
    OfAccount,
    #[error("names cannot be checked now, try again")]
    Unavailable(#[source] Unchecked),
}

/// Why a name could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum Unchecked {
    #[error("too many names are being checked")]
    Busy,
    #[error("the accounts' database did not answer as it should")]
    Database(#[source] DatabaseError),
    #[error("the login could not be looked up")]
    Session(#[source] SessionError),
}

/// Decides about names. One for the whole server.
pub struct Names {
    /// None where nobody can have one.
    accounts: Option<Arc<Accounts>>,
    sessions: Arc<Sessions>,
    lookups: Semaphore,
    answers: Mutex<Answers>,
}

impl Names {
    pub fn new(accounts: Option<Arc<Accounts>>, sessions: Arc<Sessions>) -> Self {
        Self {
            accounts,
            sessions,
            lookups: Semaphore::new(LOOKUPS),
            answers: Mutex::default(),
        }
    }

    /// Whether a connection may be called that whose handshake came with these cookies, from there. Where the name is that of
    /// the account that it is logged in to, the connection ends with the login, for as long as what this returns is kept.
    ///
    /// # Errors
    ///
    /// The name is reserved or another's, or that cannot be found out now.
    pub async fn claim(
        &self,
        name: &AuthorName,
        came: Option<(&str, IpAddr)>,
        peer: &Arc<dyn Socket>,
    ) -> Result<Option<Watch>, NameRefused> {
        let login = self.check(name, came).await?;
        Ok(login.map(|login| {
            let peer = peer.clone();
            self.sessions
                .watch(&login, move || peer.close(CloseReason::SignedOut))
        }))
    }

    /// The same for a request: returns the login that the name is of, where it is an account's.
    ///
    /// # Errors
    ///
    /// As for [`Names::claim`].
    pub async fn check(
        &self,
        name: &AuthorName,
        came: Option<(&str, IpAddr)>,
    ) -> Result<Option<SessionId>, NameRefused> {
        if is_reserved(name) {
            return Err(NameRefused::Reserved);
        }
        let Some(accounts) = &self.accounts else {
            return Ok(None);
        };
        if !self.is_of_account(accounts, name).await? {
            return Ok(None);
        }
        let session = match came {
            Some((cookies, from)) => self.sessions.of(cookies, from).await,
            None => Ok(None),
        };
        let session =
            session.map_err(|error| NameRefused::Unavailable(Unchecked::Session(error)))?;
        // Just the name, not one that looks like it: that may be another account's.
        let is_own = |own: &str| Key::of(own) == Key::of(name.as_str());
        session
            .filter(|session| session.record.name.as_deref().is_some_and(is_own))
            .map(|session| Some(session.id))
            .ok_or(NameRefused::OfAccount)
    }

    /// Where the database does not answer, what it last said counts of names that were free.
    async fn is_of_account(
        &self,
        accounts: &Accounts,
        name: &AuthorName,
    ) -> Result<bool, NameRefused> {
        let known = self.answers.lock().of(name);
        match known {
            Some((is_taken, age)) if age < FRESH => return Ok(is_taken),
            _ => {}
        }
        let looked = async {
            let turn = timeout(PATIENCE, self.lookups.acquire()).await;
            let _turn = turn.map_err(|_| Unchecked::Busy)?;
            (accounts.has_name(name).await).map_err(Unchecked::Database)
        };
        match (looked.await, known) {
            (Ok(is_taken), _) => {
                self.answers.lock().remember(name, is_taken);
                Ok(is_taken)
            }
            (Err(_), Some((false, _))) => Ok(false),
            (Err(error), _) => Err(NameRefused::Unavailable(error)),
        }
    }
}

/// Whether a name is one that front ends use for themselves, or looks like one.
pub fn is_reserved(name: &AuthorName) -> bool {
    static SKELETONS: LazyLock<[Skeleton; RESERVED.len()]> =
        LazyLock::new(|| RESERVED.map(Skeleton::of));
    SKELETONS.contains(&Skeleton::of(name.as_str()))
}

/// What the database said of names. Bounded.
#[derive(Default)]
struct Answers {
    known: HashMap<AuthorName, (bool, Instant)>,
    /// In the order in which they were first asked for.
    order: VecDeque<AuthorName>,
}

impl Answers {
    /// Whether an account had the name, and how long ago that was.
    fn of(&self, name: &AuthorName) -> Option<(bool, Duration)> {
        let (is_taken, when) = self.known.get(name)?;
        Some((*is_taken, when.elapsed()))
    }

    fn remember(&mut self, name: &AuthorName, is_taken: bool) {
        let answer = (is_taken, Instant::now());
        if self.known.insert(name.clone(), answer).is_some() {
            return;
        }
        self.order.push_back(name.clone());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> AuthorName {
        name.parse().unwrap()
    }

    #[test]
    fn what_pages_call_themselves_is_nobodys_name_however_it_is_written() {
        for reserved in [
            "System",
            "SYSTEM",
            "Systern",
            "\u{405}ystem",
            " system. ",
            "Guest",
            "???",
            "？？？",
        ] {
            assert!(is_reserved(&name(reserved)), "{reserved}");
        }
        for free in ["Ann", "Systems", "Guest 2", "!"] {
            assert!(!is_reserved(&name(free)), "{free}");
        }
    }

    #[test]
    fn answers_are_bounded_and_the_oldest_go_first() {
        let mut answers = Answers::default();
        for n in 0..=REMEMBERED {
            answers.remember(&name(&n.to_string()), false);
            answers.remember(&name(&n.to_string()), true);
        }
        assert!(answers.of(&name("0")).is_none());
        assert!(answers.of(&name("1")).is_some_and(|(taken, _)| taken));
        assert_eq!(
            (answers.known.len(), answers.order.len()),
            (REMEMBERED, REMEMBERED)
        );
    }
}
