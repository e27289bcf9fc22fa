//! The public keys that tokens may be signed for, a JSON Web Key Set (RFC 7517): held in memory, fetched
//! anew from time to time and when a token names one that is not there. What was last good stays, however
//! long its source is away.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use parking_lot::{Mutex, RwLock};
use serde::Deserialize;
use tokio::{
    sync::{Notify, futures::OwnedNotified},
    time::Instant,
};

use super::source::{JwksSource, SourceError};

/// How old keys may become.
const FRESH: Duration = Duration::from_secs(300);

/// How soon after one look the next one is taken, whatever tokens ask for.
const RESTED: Duration = Duration::from_secs(5);

/// Keys of a set that are looked at. Sets have a few.
const MOST: usize = 64;

pub(super) struct Keys {
    source: JwksSource,
    known: RwLock<Arc<[Key]>>,
    wanted: Notify,
    fetched: Arc<Notify>,
    /// Whether the last look failed, so that an outage is told once.
    failing: Mutex<bool>,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why there are no new keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("it is no JSON Web Key Set")]
    NoSet(#[source] serde_json::Error),
    #[error("it holds no key for RS256, ES256 or EdDSA")]
    NoKey,
}

impl Keys {
    /// A file is read at once, so that its keys are there before the first token is.
    pub(super) fn new(source: JwksSource) -> Self {
        let keys = Self {
            known: RwLock::new(Arc::new([])),
            wanted: Notify::new(),
            fetched: Arc::default(),
            failing: Mutex::new(false),
            source,
        };
        if keys.source.is_in_clear() {
            tracing::warn!(source = %keys.source, "keys for tokens come over plain http: whoever is on the way may put in their own");
        }
        if let Some(read) = keys.source.read_file() {
            keys.take(read.map_err(FetchError::from));
        }
        keys
    }

    /// The keys that a token with this head may be signed for. One that names no key is tried with all of
    /// them, and a key without a name with every token.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let known = self.known.read().clone();
        let fits = |key: &&Key| {
            key.algorithm == algorithm
                && (id.is_none() || key.id.is_none() || key.id.as_deref() == id)
        };
        (known.iter().filter(fits))
            .map(|key| key.key.clone())
            .collect()
    }

    /// Has the keys fetched, if they were not a moment ago.
    pub(super) fn fetch_soon(&self) {
        self.wanted.notify_one();
    }

    /// Done when the keys have been looked for once more, from now on.
    pub(super) fn fetched(&self) -> OwnedNotified {
        self.fetched.clone().notified_owned()
    }

    /// Goes on until the task is dropped.
    pub(super) async fn keep_fresh(&self) {
        loop {
            let fetched = self.source.fetch().await;
            self.take(fetched.map_err(FetchError::from));
            self.fetched.notify_waiters();
            let rested = Instant::now() + RESTED;
            let _ = tokio::time::timeout(FRESH, self.wanted.notified()).await;
            tokio::time::sleep_until(rested).await;
        }
    }

    fn take(&self, fetched: Result<Vec<u8>, FetchError>) {
        let mut failing = self.failing.lock();
        match fetched.and_then(|set| read(&set)) {
            Ok(keys) => {
                if std::mem::take(&mut *failing) {
                    tracing::info!(source = %self.source, "the keys for tokens can be read again");
                }
                *self.known.write() = keys.into();
            }
            Err(error) if !*failing => {
                *failing = true;
                let kept = self.known.read().len();
                let error = anyhow::Error::from(error);
                tracing::error!(source = %self.source, kept, "could not read the keys for tokens, those known are kept: {error:#}");
            }
            Err(_) => {}
        }
    }
}

/// The keys of a set that tokens may be signed for. Others are left out: secrets above all, since a
/// set is public.
fn read(set: &[u8]) -> Result<Vec<Key>, FetchError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(set).map_err(FetchError::NoSet)?;
    let keys: Vec<_> = (set.keys.into_iter().take(MOST))
        .filter_map(|key| serde_json::from_value(key).ok())
        .filter_map(usable)
        .collect();
    if keys.is_empty() {
        return Err(FetchError::NoKey);
    }
    Ok(keys)
}

fn usable(jwk: Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    let named = jwk.common.key_algorithm;
    if named.is_some_and(|named| named != KeyAlgorithm::from(algorithm)) {
        return None;
    }
    let purpose = &jwk.common.public_key_use;
    if purpose
        .as_ref()
        .is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
    {
        return None;
    }
    Some(Key {
        key: DecodingKey::from_jwk(&jwk).ok()?,
        id: jwk.common.key_id,
        algorithm,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_keys_that_tokens_are_signed_for_are_taken_from_a_set() {
        let (x, n) = ("A".repeat(43), "A".repeat(342));
        let set = serde_json::json!({ "more": 1, "keys": [
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": x },
            { "kty": "RSA", "kid": "rsa", "n": n, "e": "AQAB", "alg": "RS256", "use": "sig" },
            { "kty": "EC", "crv": "P-256", "kid": "ec", "x": x, "y": x },
            { "kty": "oct", "kid": "secret", "k": "AAAA" },
            { "kty": "RSA", "kid": "for encryption", "n": n, "e": "AQAB", "use": "enc" },
            { "kty": "RSA", "kid": "of another algorithm", "n": n, "e": "AQAB", "alg": "RS512" },
            { "kty": "RSA", "kid": "of an unknown algorithm", "n": n, "e": "AQAB", "alg": "XX" },
            { "kty": "EC", "crv": "P-384", "kid": "another curve", "x": x, "y": x },
            { "kty": "RSA", "kid": "half" },
            "rubbish",
        ] });
        let keys = read(set.to_string().as_bytes()).unwrap();
        let ids: Vec<_> = keys.iter().map(|key| key.id.as_deref().unwrap()).collect();
        assert_eq!(ids, ["ed", "rsa", "ec"]);
    }

    #[test]
    fn what_is_no_set_or_has_no_such_key_is_an_error() {
        for set in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>"] {
            assert!(
                matches!(read(set.as_bytes()), Err(FetchError::NoSet(_))),
                "{set}"
            );
        }
        for set in [r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#] {
            assert!(
                matches!(read(set.as_bytes()), Err(FetchError::NoKey)),
                "{set}"
            );
        }
    }
}
