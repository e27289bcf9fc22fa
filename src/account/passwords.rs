//! Passwords: makes them, hashes them, checks them. Every check costs one Argon2id, whatever is stored and
//! whether anything is, so that its time tells nothing. Hashing runs on blocking threads, few at once, in the memory
//! that `turns` hands from one to the next: a flood of logins costs neither memory nor the chat's threads.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use super::{
    attempts::Network,
    turns::{Place, Turn, Turns},
    users::Key,
};

/// The longest password that is looked at, in bytes. A longer one is nobody's.
pub(super) const PASSWORD_MAX: usize = 1024;

/// Memory of one hash, in KiB. With the two numbers below: Argon2id as OWASP's Password Storage Cheat Sheet
/// recommends it for servers.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What is asked of the system for the memory of one hash, in KiB, of which only what is used costs anything. More than
/// 32 MiB are given back as soon as they are freed; less the allocator may keep for good (`M_MMAP_THRESHOLD` in mallopt(3)).
const RESERVED: usize = 33 * 1024;

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
    turns: Arc<Turns>,
    hashed: Arc<AtomicU64>,
}

/// The memory that one hash takes at a time; none until the first.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    fn blocks(&mut self) -> &mut [Block] {
        if self.0.is_empty() {
            self.0.reserve_exact(RESERVED);
            self.0.resize(MEMORY as usize, Block::new());
        }
        &mut self.0
    }
}

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
        Self {
            turns: Turns::new(at_once),
            hashed: Arc::default(),
        }
    }

    /// How many hashes were made since the start.
    pub(super) fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// A place in the queue for an account that is asked for from there, or nothing when it is full for them.
    pub(super) fn place(&self, network: Network, account: &Key) -> Option<Place> {
        self.turns.place(network, account)
    }

    /// The form in which a new password is stored.
    pub(super) async fn hash(&self, place: Place, password: String) -> Result<String, HashError> {
        self.run(place, move |memory| argon2id(&password, memory))
            .await?
    }

    /// Compares a password with what is stored, if anything is.
    pub(super) async fn check(
        &self,
        place: Place,
        password: String,
        stored: Option<String>,
    ) -> Result<Verdict, HashError> {
        self.run(place, move |memory| {
            check(&password, stored.as_deref(), memory)
        })
        .await?
    }

    /// Runs what hashes once. Place and turn are held until it has ended, even when nobody waits for it any more.
    async fn run<T: Send + 'static>(
        &self,
        place: Place,
        hash: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let turn: Turn = place.turn().await;
        let hashed = Arc::clone(&self.hashed);
        let thread = tokio::task::spawn_blocking(move || {
            let (_held, mut turn) = (place, turn);
            hashed.fetch_add(1, Ordering::Relaxed);
            hash(&mut turn.memory)
        });
        thread.await.map_err(|_| HashError)
    }
}

fn check(password: &str, stored: Option<&str>, memory: &mut Memory) -> Result<Verdict, HashError> {
    let password = Some(password).filter(|password| password.len() <= PASSWORD_MAX);
    if let (Some(password), Some(hash)) = (password, stored.and_then(affordable)) {
        return Ok(if hash.is_of(password, memory)? {
            Verdict::Right
        } else {
            Verdict::Wrong
        });
    }
    // Costs what the check above costs. It is of use for an old form, and thrown away otherwise.
    let better = argon2id(password.unwrap_or_default(), memory)?;
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

/// A stored Argon2 hash, with how it was made.
struct Stored {
    argon2: Argon2<'static>,
    salt: Salt,
    output: Output,
}

impl Stored {
    fn is_of(&self, password: &str, memory: &mut Memory) -> Result<bool, HashError> {
        let mut output = [0; Output::MAX_LENGTH];
        let output = &mut output[..self.output.len()];
        fill(&self.argon2, password, &self.salt, output, memory)?;
        Ok(output.ct_eq(self.output.as_bytes()).into())
    }
}

/// An Argon2 hash that takes no more memory or time than ours.
fn affordable(stored: &str) -> Option<Stored> {
    let hash = PasswordHash::new(stored).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let is_affordable =
        params.m_cost() <= MEMORY && params.t_cost() <= PASSES && params.p_cost() <= LANES;
    if !is_affordable {
        return None;
    }
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = hash.version.map(Version::try_from).transpose().ok()?;
    Some(Stored {
        argon2: Argon2::new(algorithm, version.unwrap_or_default(), params),
        salt: hash.salt?,
        output: hash.hash?,
    })
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

fn argon2id(password: &str, memory: &mut Memory) -> Result<String, HashError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|_| HashError)?;
    let params = Params::new(MEMORY, PASSES, LANES, None).expect("within Argon2's own bounds");
    let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    let written = ParamsString::try_from(&params).map_err(|_| HashError)?;
    let argon2 = Argon2::new(algorithm, version, params);
    fill(&argon2, password, &salt, &mut output, memory)?;
    let hash = PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: written,
        salt: Some(Salt::new(&salt).map_err(|_| HashError)?),
        hash: Some(Output::new(&output).map_err(|_| HashError)?),
    };
    Ok(hash.to_string())
}

fn fill(
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Memory,
) -> Result<(), HashError> {
    argon2
        .hash_password_into_with_memory(password.as_bytes(), salt, output, memory.blocks())
        .map_err(|_| HashError)
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
        let stored = argon2id("secret", &mut Memory::default()).unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert!(stored.len() < 255, "{stored}");
        assert_ne!(stored, argon2id("secret", &mut Memory::default()).unwrap());
        assert_eq!(
            check("secret", Some(&stored), &mut Memory::default()).unwrap(),
            Verdict::Right
        );
        assert_eq!(
            check("Secret", Some(&stored), &mut Memory::default()).unwrap(),
            Verdict::Wrong
        );
    }

    #[test]
    fn a_sha1_of_the_old_chat_is_right_and_comes_back_as_argon2id() {
        for stored in [SHA1_OF_SECRET.to_owned(), SHA1_OF_SECRET.to_uppercase()] {
            let Verdict::RightButOld { better } =
                check("secret", Some(&stored), &mut Memory::default()).unwrap()
            else {
                panic!("{stored} is not taken");
            };
            assert_eq!(
                check("secret", Some(&better), &mut Memory::default()).unwrap(),
                Verdict::Right
            );
            assert_eq!(
                check("other", Some(&stored), &mut Memory::default()).unwrap(),
                Verdict::Wrong
            );
        }
        assert_eq!(old_form("secret"), SHA1_OF_SECRET);
    }

    #[test]
    fn what_is_no_hash_lets_nobody_in() {
        let dear = argon2id("secret", &mut Memory::default())
            .unwrap()
            .replace("m=19456", "m=4000000");
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
                check("secret", Some(stored), &mut Memory::default()).unwrap(),
                Verdict::Unreadable,
                "{stored}"
            );
        }
        assert_eq!(
            check("secret", None, &mut Memory::default()).unwrap(),
            Verdict::Wrong
        );
        let long = "x".repeat(PASSWORD_MAX + 1);
        assert_eq!(
            check(&long, Some(SHA1_OF_SECRET), &mut Memory::default()).unwrap(),
            Verdict::Wrong
        );
    }

    #[test]
    fn memory_that_was_used_before_changes_no_hash() {
        let mut memory = Memory::default();
        let stored = argon2id("secret", &mut memory).unwrap();
        for (password, verdict) in [
            ("other", Verdict::Wrong),
            ("secret", Verdict::Right),
            ("", Verdict::Wrong),
            ("secret", Verdict::Right),
        ] {
            let used = check(password, Some(&stored), &mut memory).unwrap();
            let new = check(password, Some(&stored), &mut Memory::default()).unwrap();
            assert_eq!((&used, &new), (&verdict, &verdict), "{password}");
        }
    }

    #[test]
    fn a_hash_that_others_made_with_less_is_read() {
        let params = Params::new(64, 1, 1, Some(24)).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2i, Version::V0x10, params);
        use argon2::password_hash::PasswordHasher;
        let stored = argon2.hash_password_with_salt(b"secret", b"salt of eight and more");
        let stored = stored.unwrap().to_string();
        let mut memory = Memory::default();
        let mut is = |password| check(password, Some(&stored), &mut memory).unwrap();
        assert_eq!(is("secret"), Verdict::Right, "{stored}");
        assert_eq!(is("Secret"), Verdict::Wrong, "{stored}");
    }

    #[tokio::test]
    async fn a_place_comes_back_when_its_hash_is_made() {
        let passwords = Passwords::new(NonZeroUsize::MIN);
        let here = Network::from(std::net::IpAddr::from([127, 0, 0, 1]));
        let all = || {
            let places = std::iter::from_fn(|| passwords.place(here, &Key::of("ann")));
            places.collect::<Vec<_>>().len()
        };
        let most = all();
        assert!(most > 1);
        let place = passwords.place(here, &Key::of("ann")).unwrap();
        passwords.hash(place, "secret".into()).await.unwrap();
        assert_eq!(passwords.hashed(), 1);
        assert_eq!(all(), most);
    }
}
