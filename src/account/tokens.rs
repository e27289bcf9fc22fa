//! Who somebody is to the application that the chat belongs to, proved by a signed token (JWT, RFC 7519).
//! `claims` reads what it says, `keys` holds what it may be signed with, `source` fetches that, `expiry`
//! ends the connections of those whose token has run out. A token itself is never kept, told or logged.

mod claims;
mod expiry;
mod keys;
mod source;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};

pub use self::{
    claims::Path,
    expiry::Watch,
    source::{InvalidSource, JwksSource},
};
use self::{expiry::Expiries, keys::Keys};
use crate::chat::{
    message::{AuthorName, UserId},
    socket::Socket,
};

/// The longest token that is looked at, bytes. Tokens of applications have some hundreds.
const LONGEST: usize = 8 * 1024;

/// A secret of so many bytes cannot be found by trying (RFC 7518, 3.2).
const STRONG: usize = 32;

/// How long a minted token lasts, seconds.
const MINTED_FOR: i64 = 3600;

/// How long a check may wait for the keys to be fetched anew.
const FETCHED_WITHIN: Duration = Duration::from_secs(6);

/// What the settings say of tokens.
#[derive(Clone, Debug)]
pub struct Rules {
    /// For tokens that are signed with a secret both sides know (HS256); any of them.
    pub secrets: Vec<String>,
    /// Where the public keys are of those who sign with a private one (RS256, ES256, EdDSA).
    pub jwks: Option<JwksSource>,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// What must be in `aud`.
    pub audience: Option<String>,
    /// Where the user's id is; the first whose top is among the claims.
    pub user: Vec<Path>,
    /// Where the user's name is.
    pub name: Path,
    /// Whether a token that is not valid yet (`nbf`) is refused.
    pub check_not_before: bool,
    /// How long a connection may go on after its token has expired.
    pub grace: Duration,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: UserId,
    /// The name that the application gives the user; cut to what a name may have.
    pub name: Option<AuthorName>,
    pub expires: Timestamp,
}

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    /// The reason is for our log: it would help whoever forges one.
    #[error("the token is not valid")]
    Invalid(&'static str),
    /// It names a key that is not known, or was not when last looked for. They are being fetched.
    #[error("the token is not valid")]
    UnknownKey,
}

impl TokenError {
    /// For our log: more than is told to whoever sent it.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Expired => "it has expired",
            Self::NotYet => "it is not valid yet",
            Self::Invalid(why) => why,
            Self::UnknownKey => "no key of this id and algorithm is known",
        }
    }
}

/// Checks tokens.
pub struct Tokens {
    rules: Rules,
    secrets: Vec<DecodingKey>,
    keys: Option<Keys>,
    expiries: Arc<Expiries>,
}

impl Tokens {
    /// Keys in a file are read now; those at an address as soon as [`Tokens::keep`] runs.
    pub fn new(rules: Rules) -> Arc<Self> {
        if rules.secrets.iter().any(|secret| secret.len() < STRONG) {
            tracing::warn!(
                "a secret for tokens has less than {STRONG} bytes: whoever sees a token may find it by trying"
            );
        }
        let secrets = (rules.secrets.iter())
            .map(|secret| DecodingKey::from_secret(secret.as_bytes()))
            .collect();
        Arc::new(Self {
            secrets,
            keys: rules.jwks.clone().map(Keys::new),
            expiries: Arc::default(),
            rules,
        })
    }

    /// Who the token says its bearer is. A key that is not known makes the keys be fetched: whoever tries
    /// again a moment later is checked against those.
    pub fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Invalid("it is too long"));
        }
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| TokenError::Invalid("its head cannot be read"))?;
        if header.crit.is_some() {
            return Err(TokenError::Invalid("it asks for extensions"));
        }
        // The algorithm chooses the kind of key: a public key is never taken for a secret.
        match (header.alg, &self.keys) {
            (Algorithm::HS256, _) if !self.secrets.is_empty() => {
                self.check(token, header.alg, self.secrets.iter())
            }
            (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA, Some(keys)) => {
                let known = keys.find(header.kid.as_deref(), header.alg);
                if known.is_empty() {
                    keys.fetch_soon();
                    return Err(TokenError::UnknownKey);
                }
                self.check(token, header.alg, known.iter())
            }
            _ => Err(TokenError::Invalid("its algorithm is not accepted")),
        }
    }

    /// The same, and waits for the keys that are fetched.
    pub async fn verify_patiently(&self, token: &str) -> Result<Identity, TokenError> {
        let Some(keys) = &self.keys else {
            return self.verify(token);
        };
        let fetched = keys.fetched();
        match self.verify(token) {
            Err(TokenError::UnknownKey) => {
                let _ = tokio::time::timeout(FETCHED_WITHIN, fetched).await;
                self.verify(token)
            }
            verified => verified,
        }
    }

    /// A token for this user, for an hour; `None` where there is no secret. For demonstrations: whoever gets one is that
    /// user.
    pub fn mint(&self, user: &str) -> Option<String> {
        let secret = self.rules.secrets.first()?;
        let end = Timestamp::now().as_second() + MINTED_FOR;
        let claims = serde_json::json!({ "data": { "id": user }, "sub": user, "exp": end });
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).ok()
    }

    fn check<'a>(
        &self,
        token: &str,
        algorithm: Algorithm,
        keys: impl Iterator<Item = &'a DecodingKey>,
    ) -> Result<Identity, TokenError> {
        let validation = self.validation(algorithm);
        for key in keys {
            match jsonwebtoken::decode(token, key, &validation) {
                Ok(decoded) => return self.read(&decoded.claims),
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature => {}
                    kind => return Err(refusal(kind)),
                },
            }
        }
        Err(TokenError::Invalid("its signature is not right"))
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = 0;
        validation.validate_nbf = self.rules.check_not_before;
        validation.validate_aud = false;
        if let Some(issuer) = &self.rules.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".into());
        }
        if let Some(audience) = &self.rules.audience {
            validation.set_audience(&[audience]);
            validation.validate_aud = true;
            validation.required_spec_claims.insert("aud".into());
        }
        validation
    }

    fn read(&self, claims: &claims::Claims) -> Result<Identity, TokenError> {
        let expires =
            claims::expiry(claims).ok_or(TokenError::Invalid("its end cannot be read"))?;
        // To the second, and none too long: the library lets the last second pass.
        if expires <= Timestamp::now() {
            return Err(TokenError::Expired);
        }
        Ok(Identity {
            user: claims::user(claims, &self.rules.user)
                .ok_or(TokenError::Invalid("it names no user"))?,
            name: claims::name(claims, &self.rules.name),
            expires,
        })
    }

    /// Ends the socket's connection when its token has expired and the grace is over, as long as what this
    /// returns is kept.
    pub fn watch(&self, peer: &Arc<dyn Socket>, identity: &Identity) -> Watch {
        let end = identity.expires.saturating_add(self.rules.grace);
        // Only a span of another kind than a duration can fail to be added.
        let end = end.unwrap_or(identity.expires);
        self.expiries.watch(peer, end)
    }

    /// Fetches keys and ends connections, until the task is dropped.
    pub async fn keep(self: Arc<Self>) {
        let fetching = async {
            match &self.keys {
                Some(keys) => keys.keep_fresh().await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(fetching, self.expiries.keep());
    }
}

fn refusal(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYet,
        ErrorKind::InvalidIssuer => TokenError::Invalid("it is of another issuer"),
        ErrorKind::InvalidAudience => TokenError::Invalid("it is for another audience"),
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => {
            TokenError::Invalid("a claim that must be there is not, or is of the wrong shape")
        }
        _ => TokenError::Invalid("it cannot be read"),
    }
}
