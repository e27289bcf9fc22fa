//! What a page that polls keeps for us: a cookie for its session's own address, set with each answer, that says whose the
//! session is and how far the page was shown the room. With it any replica takes the session over under its id, and knows
//! what the page has. The cookie is signed for the session's id, so whoever knows an id alone cannot take a session over,
//! and whoever has both must still be logged in as the same one.

use ::http::{HeaderMap, HeaderValue, header::COOKIE};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use cookie::{Cookie, SameSite, time};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Transport, state::Times};
use crate::dialects::Place;

/// The cookie's name.
const NAME: &str = "handshaken-place";

/// Bytes of a signature; half of what SHA-256 gives is more than anybody guesses.
const SIGNATURE: usize = 16;

/// Cookies of our name in one request that are looked at.
const MOST: usize = 4;

/// Signs places, and knows what it signed.
#[derive(Clone, Default)]
pub(super) struct Seal {
    /// The first signs, all of them verify. Without one no place is given out.
    keys: Vec<Hmac<Sha256>>,
}

impl Seal {
    pub fn new(keys: &[[u8; 32]]) -> Self {
        let keyed =
            |key: &[u8; 32]| Hmac::new_from_slice(key).expect("HMAC takes keys of every length");
        Self {
            keys: keys.iter().map(keyed).collect(),
        }
    }

    /// The place that a request brings along for this session.
    pub fn read(&self, headers: &HeaderMap, sid: &str) -> Option<Place> {
        if !is_brought(headers) {
            return None;
        }
        let cookies = headers.get_all(COOKIE).iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(Cookie::split_parse)
            .filter_map(Result::ok)
            .filter(|cookie| cookie.name() == NAME)
            .take(MOST)
            .find_map(|cookie| self.verify(cookie.value(), sid))
    }

    fn verify(&self, value: &str, sid: &str) -> Option<Place> {
        let (said, signature) = value.rsplit_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let signed = text_of(sid, said);
        let is_signed = |key: &Hmac<Sha256>| {
            let key = key.clone().chain_update(&signed);
            // In constant time.
            signature.len() == SIGNATURE && key.verify_truncated_left(&signature).is_ok()
        };
        if !self.keys.iter().any(is_signed) {
            return None;
        }
        let (shown, login) = said.split_once('.')?;
        Some(Place {
            login: login.parse().ok()?,
            shown: shown.parse().ok(),
        })
    }

    /// The `Set-Cookie` header that has a page keep its place for as long as its session may be away.
    pub fn keep(
        &self,
        sid: &str,
        place: Place,
        times: &Times,
        secure: bool,
    ) -> Option<HeaderValue> {
        let key = self.keys.first()?.clone();
        let shown = place.shown.map(|id| id.to_string()).unwrap_or_default();
        let said = format!("{shown}.{}", place.login);
        let mac = key.chain_update(text_of(sid, &said)).finalize();
        let signature = BASE64_URL_SAFE_NO_PAD.encode(&mac.into_bytes()[..SIGNATURE]);
        let age = times.polling_duration + times.close_timeout;
        let age = time::Duration::seconds(age.as_secs() as i64);
        header(sid, format!("{said}.{signature}"), age, secure)
    }
}

/// Whether a request brings a place along, be it right or not.
pub(super) fn is_brought(headers: &HeaderMap) -> bool {
    let mut cookies = headers.get_all(COOKIE).iter();
    cookies.any(|value| value.to_str().is_ok_and(|text| text.contains(NAME)))
}

/// The `Set-Cookie` header that has a page forget its place.
pub(super) fn forget(sid: &str) -> Option<HeaderValue> {
    header(sid, String::new(), time::Duration::ZERO, false)
}

fn header(sid: &str, value: String, age: time::Duration, secure: bool) -> Option<HeaderValue> {
    let cookie = Cookie::build((NAME, value))
        .path(format!(
            "/socket.io/1/{}/{sid}",
            Transport::XhrPolling.name()
        ))
        .max_age(age)
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure);
    cookie.build().to_string().parse().ok()
}

/// What is signed; no other use of the keys signs the like.
fn text_of(sid: &str, said: &str) -> String {
    format!("{sid} {said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        login: -7,
        shown: None,
    };

    fn brought(seal: &Seal, sid: &str, place: Place) -> HeaderMap {
        let cookie = seal.keep(sid, place, &Times::default(), false).unwrap();
        let value = cookie.to_str().unwrap().split(';').next().unwrap();
        HeaderMap::from_iter([(COOKIE, format!("a=b; {value}").parse().unwrap())])
    }

    #[test]
    fn a_place_counts_for_the_session_that_it_was_given_to_and_for_no_other() {
        let seal = Seal::new(&[[1; 32]]);
        let shown = "12-0000002a".parse().ok();
        for place in [PLACE, Place { shown, ..PLACE }] {
            let headers = brought(&seal, "one", place);
            assert_eq!(seal.read(&headers, "one"), Some(place));
            assert_eq!(seal.read(&headers, "other"), None);
            assert_eq!(Seal::new(&[[2; 32]]).read(&headers, "one"), None);
            assert_eq!(Seal::default().read(&headers, "one"), None);
        }
    }

    #[test]
    fn keys_that_signed_before_still_verify() {
        let headers = brought(&Seal::new(&[[1; 32]]), "one", PLACE);
        let seal = Seal::new(&[[2; 32], [1; 32]]);
        assert_eq!(seal.read(&headers, "one"), Some(PLACE));
    }

    #[test]
    fn what_was_changed_or_never_signed_is_no_place() {
        let seal = Seal::new(&[[1; 32]]);
        let headers = brought(&seal, "one", PLACE);
        let right = headers[COOKIE].to_str().unwrap();
        for (from, to) in [("-7", "-8"), (".-7", "9-0000002a.-7"), ("-7.", "-7")] {
            let wrong = right.replacen(from, to, 1);
            let headers = HeaderMap::from_iter([(COOKIE, wrong.parse().unwrap())]);
            assert_eq!(seal.read(&headers, "one"), None, "{wrong}");
        }
        for empty in [
            "handshaken-place=",
            "handshaken-place=..",
            "handshaken-place",
        ] {
            let headers = HeaderMap::from_iter([(COOKIE, empty.parse().unwrap())]);
            assert_eq!(seal.read(&headers, "one"), None, "{empty}");
        }
    }
}
