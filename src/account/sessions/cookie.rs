//! The session cookie, as express-session and cookie-signature write it: `s:<id>.<signature>`, URL-encoded; the
//! signature is the HMAC-SHA-256 of the id, in base64 without padding.

use std::time::Duration;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use cookie::{Cookie, SameSite};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Login, Sessions};

use crate::account::attempts::Network;

/// Random bytes of an id, as many as in express-session.
const ID_BYTES: usize = 24;

/// The longest id that is looked up, in bytes. Those of express have 24 or 32.
const ID_MAX: usize = 128;

/// Bytes of the hash that an id is bound with.
const BOUND_BYTES: usize = 8;

/// Cookies of our name in one request that are looked at: a browser sends one for each path that it was set for.
const COOKIES_MAX: usize = 4;

/// The cookie's name, and the secrets that ids are signed with.
pub(super) struct Seal {
    name: String,
    /// The first signs, all of them verify.
    secrets: Vec<Hmac<Sha256>>,
}

impl Seal {
    pub fn new(name: String, secrets: &[String]) -> Self {
        let keyed = |secret: &String| {
            Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length")
        };
        Self {
            name,
            secrets: secrets.iter().map(keyed).collect(),
        }
    }

    /// The ids in a `Cookie` header that we, or an old server with one of the secrets, gave out.
    pub fn ids(&self, cookies: &str) -> impl Iterator<Item = String> {
        Cookie::split_parse_encoded(cookies)
            .filter_map(Result::ok)
            .filter(|cookie| cookie.name() == self.name)
            .take(COOKIES_MAX)
            .filter_map(|cookie| self.verify(cookie.value()))
    }

    fn verify(&self, value: &str) -> Option<String> {
        let (id, signature) = value.strip_prefix("s:")?.rsplit_once('.')?;
        let signature = STANDARD_NO_PAD.decode(signature).ok()?;
        let is_signed = |secret: &Hmac<Sha256>| {
            // In constant time.
            let checked = secret.clone().chain_update(id).verify_slice(&signature);
            checked.is_ok()
        };
        let is_ours = (1..=ID_MAX).contains(&id.len()) && self.secrets.iter().any(is_signed);
        is_ours.then(|| id.to_owned())
    }

    /// What shows that a page was made by us for a login, and may end it.
    pub fn sign_logout(&self, login: &[u8]) -> String {
        let mac = logout(&self.secrets[0], login).finalize();
        URL_SAFE_NO_PAD.encode(mac.into_bytes())
    }

    /// Whether that was signed for this login with one of the secrets.
    pub fn is_logout(&self, login: &[u8], token: &str) -> bool {
        let Ok(token) = URL_SAFE_NO_PAD.decode(token) else {
            return false;
        };
        let is_signed = |secret| logout(secret, login).verify_slice(&token).is_ok();
        self.secrets.iter().any(is_signed)
    }

    /// What takes the place of an id in the hands of whoever comes from there: no cookie names it, and nobody else's
    /// request makes it.
    pub fn bound(&self, id: &str, to: Network) -> String {
        let mac = self.secrets[0].clone().chain_update(format!("{id}@{to}"));
        let digest = mac.finalize().into_bytes();
        let digest: String = (digest[..BOUND_BYTES].iter())
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{id}@{digest}")
    }

    /// The `Set-Cookie` header for an id. Without an age the cookie goes with the browser.
    pub fn set(&self, id: &str, age: Option<Duration>, secure: bool) -> String {
        let mac = self.secrets[0].clone().chain_update(id).finalize();
        let signature = STANDARD_NO_PAD.encode(mac.into_bytes());
        self.header(format!("s:{id}.{signature}"), age, secure)
    }

    pub fn forget(&self, secure: bool) -> String {
        self.header(String::new(), Some(Duration::ZERO), secure)
    }

    fn header(&self, value: String, age: Option<Duration>, secure: bool) -> String {
        let mut cookie = Cookie::build((&self.name, value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(secure);
        if let Some(age) = age {
            let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
            cookie = cookie.max_age(cookie::time::Duration::seconds(seconds));
        }
        cookie.build().encoded().to_string()
    }
}

impl Sessions {
    /// A key for one more purpose from each secret, the one that signs first. No id of a session is signed like a purpose:
    /// ids hold no space.
    pub fn keys(&self, purpose: &str) -> Vec<[u8; 32]> {
        let secrets = self.seal.secrets.iter().cloned();
        let keys = secrets.map(|secret| secret.chain_update(format!("key for {purpose}")));
        keys.map(|key| key.finalize().into_bytes().into()).collect()
    }
}

impl Login {
    /// The number that it is known by.
    pub fn number(self) -> i64 {
        self.0
    }
}

/// The first byte is in no text, so no signature of an id is one of these.
fn logout(secret: &Hmac<Sha256>, login: &[u8]) -> Hmac<Sha256> {
    secret
        .clone()
        .chain_update(b"\xfflogout")
        .chain_update(login)
}

/// An id that cannot be guessed.
pub(super) fn random_id() -> String {
    random_text(ID_BYTES)
}

/// Random bytes as text of letters, digits, `-` and `_`.
pub(super) fn random_text(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    draw(&mut random);
    URL_SAFE_NO_PAD.encode(random)
}

/// Random bytes.
pub(super) fn draw(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has random bytes");
}
