//! Passwords: makes them, hashes them, checks them. Every check costs one Argon2id, whatever is stored and
//! whether anything is, so that its time tells nothing. Hashing runs on blocking threads, few at once, with a
//! bounded number of others waiting: a flood of logins costs neither memory nor the chat's threads.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest password that is looked at, in bytes. A longer one is nobody's.
pub(super) const PASSWORD_MAX: usize = 1024;

/// Memory of one hash, in KiB. With the two numbers below: Argon2id as OWASP's Password Storage Cheat Sheet
/// recommends it for servers.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Operations that wait for each one that hashes.
const WAITING: usize = 32;

const SALT_BYTES: usize = 16;

/// Crockford's base 32: no letter that looks like a digit. Thirty-two, so that five random bits pick one
/// evenly.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Twenty characters of five bits: 100 bits.
const GROUPS: usize = 4;
const GROUP: usize = 5;

/// A new password to read and to copy, `xxxxx-xxxxx-xxxxx-xxxxx`.
pub(super) fn generate() -> Result<String, HashError> {
    let mut random = [0; GROUPS * GROUP];
    getrandom::fill(&mut random).map_err(|_| HashError)?;
    let character = |byte: &u8| char::from(ALPHABET[usize::from(byte & 31)]);
    let groups = random
        .chunks(GROUP)
        .map(|group| group.iter().map(character).collect::<String>());
    Ok(groups.collect::<Vec<_>>().join("-"))
}

/// A password as the old chat keeps it: its SHA-1, in hex.
pub(super) fn old_form(password: &str) -> String {
    let digest = Sha1::digest(password);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes and checks, so many at once.
pub(super) struct Passwords {
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
    hashed: Arc<AtomicU64>,
}

/// The right to one hash, now or soon.
pub(super) struct Place(OwnedSemaphorePermit);

/// What a password is against what is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Wrong,
    Right,
    /// Right, and stored in an old form; this hash should take its place.
    RightButOld {
        better: String,
    },
    /// What is stored is no hash that this server knows.
    Unreadable,
}

/// A hash could not be made: there is no memory or no randomness, or the server stops.
#[derive(Debug, thiserror::Error)]
#[error("a password could not be hashed")]
pub(super) struct HashError;

impl Passwords {
    pub(super) fn new(at_once: NonZeroUsize) -> Self {
        let at_once = at_once.get();
        Self {
            running: Arc::new(Semaphore::new(at_once)),
            places: Arc::new(Semaphore::new(at_once * (1 + WAITING))),
            hashed: Arc::default(),
        }
    }

    /// How many hashes were made since the start.
    pub(super) fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// A place in the queue, or nothing when it is full.
    pub(super) fn place(&self) -> Option<Place> {
        Arc::clone(&self.places).try_acquire_owned().ok().map(Place)
    }

    /// The form in which a new password is stored.
    pub(super) async fn hash(&self, place: Place, password: String) -> Result<String, HashError> {
        self.run(place, move || argon2id(&password)).await?
    }

    /// Compares a password with what is stored, if anything is.
    pub(super) async fn check(
        &self,
        place: Place,
        password: String,
        stored: Option<String>,
    ) -> Result<Verdict, HashError> {
        self.run(place, move || check(&password, stored.as_deref()))
            .await?
    }

    /// Runs what hashes once. The place is held until it has ended, even when nobody waits for it any more.
    async fn run<T: Send + 'static>(
        &self,
        place: Place,
        hash: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| HashError)?;
        let hashed = Arc::clone(&self.hashed);
        let thread = tokio::task::spawn_blocking(move || {
            let _held = (running, place.0);
            hashed.fetch_add(1, Ordering::Relaxed);
            hash()
        });
        thread.await.map_err(|_| HashError)
    }
}

fn check(password: &str, stored: Option<&str>) -> Result<Verdict, HashError> {
    let password = Some(password).filter(|password| password.len() <= PASSWORD_MAX);
    if let (Some(password), Some(hash)) = (password, stored.and_then(affordable)) {
        let is_it = hasher().verify_password(password.as_bytes(), &hash).is_ok();
        return Ok(if is_it {
            Verdict::Right
        } else {
            Verdict::Wrong
        });
    }
    // Costs what the check above costs. It is of use for an old form, and thrown away otherwise.
    let better = argon2id(password.unwrap_or_default())?;
    Ok(match (password, stored) {
        (None, _) | (_, None) => Verdict::Wrong,
        (Some(password), Some(stored)) => match sha1_of(stored) {
            Some(digest) if bool::from(Sha1::digest(password)[..].ct_eq(&digest)) => {
                Verdict::RightButOld { better }
            }
            Some(_) => Verdict::Wrong,
            None => Verdict::Unreadable,
        },
    })
}

/// An Argon2 hash that takes no more memory or time than ours.
fn affordable(stored: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(stored).ok()?;
    let params = Params::try_from(&hash).ok()?;
    (params.m_cost() <= MEMORY && params.t_cost() <= PASSES && params.p_cost() <= LANES)
        .then_some(hash)
}

/// What the old chat stored: the SHA-1 of the password, in hex.
fn sha1_of(stored: &str) -> Option<[u8; 20]> {
    let mut digest = [0; 20];
    if stored.len() != 2 * digest.len() || !stored.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&stored[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(digest)
}

fn argon2id(password: &str) -> Result<String, HashError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|_| HashError)?;
    let hash = hasher().hash_password_with_salt(password.as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).map_err(|_| HashError)
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(MEMORY, PASSES, LANES, None).expect("within Argon2's own bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SHA1_OF_SECRET: &str = "e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4";

    #[test]
    fn a_new_password_is_long_readable_and_another_each_time() {
        let made: HashSet<String> = (0..1000).map(|_| generate().unwrap()).collect();
        assert_eq!(made.len(), 1000);
        let mut used = HashSet::new();
        for password in made {
            let groups: Vec<_> = password.split('-').collect();
            assert_eq!(
                groups.iter().map(|group| group.len()).collect::<Vec<_>>(),
                [5; 4],
                "{password}"
            );
            used.extend(groups.concat().into_bytes());
        }
        assert_eq!(used, ALPHABET.iter().copied().collect());
    }

    #[test]
    fn what_is_stored_is_argon2id_with_the_pinned_costs_and_fits_its_column() {
        let stored = argon2id("secret").unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(stored.len() < 255, "{stored}");
        assert_ne!(stored, argon2id("secret").unwrap());
        assert_eq!(check("secret", Some(&stored)).unwrap(), Verdict::Right);
        assert_eq!(check("Secret", Some(&stored)).unwrap(), Verdict::Wrong);
    }

    #[test]
    fn a_sha1_of_the_old_chat_is_right_and_comes_back_as_argon2id() {
        for stored in [SHA1_OF_SECRET.to_owned(), SHA1_OF_SECRET.to_uppercase()] {
            let Verdict::RightButOld { better } = check("secret", Some(&stored)).unwrap() else {
                panic!("{stored} is not taken");
            };
            assert_eq!(check("secret", Some(&better)).unwrap(), Verdict::Right);
            assert_eq!(check("other", Some(&stored)).unwrap(), Verdict::Wrong);
        }
        assert_eq!(old_form("secret"), SHA1_OF_SECRET);
    }

    #[test]
    fn what_is_no_hash_lets_nobody_in() {
        let dear = argon2id("secret").unwrap().replace("m=19456", "m=4000000");
        let stored = [
            "",
            "secret",
            "e5e9",
            &SHA1_OF_SECRET.replace('e', "é"),
            &"+f".repeat(20),
            "$argon2id$",
            &dear,
        ];
        for stored in stored {
            assert_eq!(
                check("secret", Some(stored)).unwrap(),
                Verdict::Unreadable,
                "{stored}"
            );
        }
        assert_eq!(check("secret", None).unwrap(), Verdict::Wrong);
        let long = "x".repeat(PASSWORD_MAX + 1);
        assert_eq!(check(&long, Some(SHA1_OF_SECRET)).unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_a_place_comes_back() {
        let passwords = Passwords::new(NonZeroUsize::MIN);
        let places: Vec<_> = std::iter::from_fn(|| passwords.place()).collect();
        assert_eq!(places.len(), 1 + WAITING);
        drop(places);
        let place = passwords.place().unwrap();
        passwords.hash(place, "secret".into()).await.unwrap();
        assert_eq!(passwords.hashed(), 1);
        let places: Vec<_> = std::iter::from_fn(|| passwords.place()).collect();
        assert_eq!(places.len(), 1 + WAITING);
    }
}
