//! A session's record as it lies in Redis: what express wrote there, and a field `handshaken` of ours, which express
//! takes for one of its application's and writes back as it is.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::super::{Login, Record, record::as_date, store::after};

/// Our field.
const OURS: &str = "handshaken";

/// Which login it is, as text: numbers of JavaScript are too small.
const LOGIN: &str = "login";

/// In a record under a former id: the id that the session has now.
const NOW: &str = "now";

/// No cookie lasts longer in a browser.
const LONGEST: Duration = Duration::from_secs(400 * 86_400);

/// A record with all that is in it.
#[derive(Clone, Default)]
pub(super) struct Stored(Map<String, Value>);

impl Stored {
    /// Reads a record. What is not an object, or no JSON, is none.
    pub fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().map(Self)
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).expect("plain data encodes as JSON")
    }

    /// Which login it is. One that express began has no number of its own yet, and gets one that all replicas make
    /// of its id.
    pub fn login(&self, id: &str) -> Login {
        let kept = self.ours(LOGIN).and_then(|login| login.parse().ok());
        Login(kept.unwrap_or_else(|| {
            let hash = Sha256::digest(id);
            let (first, _) = hash.split_first_chunk().expect("it has 32 bytes");
            i64::from_le_bytes(*first)
        }))
    }

    /// The id that the session has now, where this is a former one.
    pub fn successor(&self) -> Option<&str> {
        self.ours(NOW)
    }

    pub fn record(&self) -> Record {
        let mut fields = self.0.clone();
        fields.remove(OURS);
        Record::from_fields(fields)
    }

    pub fn mail(&self) -> &str {
        let mail = self.0.get("mail").and_then(Value::as_str);
        mail.unwrap_or_default()
    }

    /// How long express wants it to last after it was used, where it says so.
    pub fn age(&self) -> Option<Duration> {
        let age = self.0.get("cookie")?.get("originalMaxAge")?.as_f64()?;
        (age >= 1.0).then(|| Duration::from_millis(age as u64).min(LONGEST))
    }

    /// Notes which login it is.
    pub fn mark(&mut self, login: Login) {
        self.0
            .insert(OURS.into(), json!({ LOGIN: login.0.to_string() }));
    }

    /// What is kept under the id that the session had before: the same, and where to look.
    pub fn former(&self, login: Login, now: &str) -> Self {
        let mut former = self.clone();
        let ours = json!({ LOGIN: login.0.to_string(), NOW: now });
        former.0.insert(OURS.into(), ours);
        former
    }

    /// Keeps the name that a visitor gave; all else stays as it is.
    pub fn name_visitor(&mut self, user: &str) {
        self.0.insert("user".into(), user.into());
    }

    /// It is used now: its cookie is good for as long again. And it is written anew: without a password that an old
    /// server kept in it.
    pub fn refresh(&mut self) {
        self.0.remove("pass");
        let Some(age) = self.age() else { return };
        if let Some(Value::Object(cookie)) = self.0.get_mut("cookie") {
            let expires: Timestamp = after(age);
            cookie.insert("expires".into(), as_date(expires).into());
        }
    }

    fn ours(&self, name: &str) -> Option<&str> {
        self.0.get(OURS)?.get(name)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_EXPRESS: &str = r#"{"cookie":{"originalMaxAge":3600000,"expires":"2020-01-01T00:00:00.000Z","secure":false,"httpOnly":true,"path":"/","sameSite":"lax"},"name":"Ann","mail":"a@b.c","pass":"plain","cart":[1,{"a":[]}],"lastAccess":1700000000000.5}"#;

    #[test]
    fn what_express_and_others_put_there_is_kept_and_a_password_is_not() {
        let mut stored = Stored::parse(OF_EXPRESS).unwrap();
        stored.refresh();
        stored.mark(Login(i64::MIN));
        let written: Value = serde_json::from_str(&stored.to_json()).unwrap();
        let mut expected: Value = serde_json::from_str(OF_EXPRESS).unwrap();
        expected.as_object_mut().unwrap().remove("pass");
        expected["handshaken"] = json!({ "login": "-9223372036854775808" });
        let expires = written["cookie"]["expires"].clone();
        assert!(expires.as_str() > Some("2026"), "{expires}");
        expected["cookie"]["expires"] = expires;
        assert_eq!(written, expected);
    }

    #[test]
    fn a_login_of_express_has_the_same_number_everywhere_and_keeps_it_under_another_id() {
        let stored = Stored::parse(OF_EXPRESS).unwrap();
        let login = stored.login("abc");
        assert_eq!(login, stored.login("abc"));
        assert_ne!(login, stored.login("abd"));
        let former = stored.former(login, "next");
        assert_eq!(former.successor(), Some("next"));
        assert_eq!(former.login("next"), login);
        let mut next = stored.clone();
        next.mark(login);
        assert_eq!((next.login("next"), next.successor()), (login, None));
        assert!(next.record().other.keys().eq(["cart", "lastAccess"]));
    }

    #[test]
    fn what_is_damaged_or_odd_is_nobodys_and_harms_nobody() {
        for json in ["", "[]", "7", "null", "{", "\"text\""] {
            assert!(Stored::parse(json).is_none(), "{json}");
        }
        for json in [
            r#"{"cookie":7,"name":7,"handshaken":[]}"#,
            r#"{"cookie":{"originalMaxAge":-1},"handshaken":{"login":"many","now":{}}}"#,
            r#"{"cookie":{"originalMaxAge":null}}"#,
        ] {
            let mut stored = Stored::parse(json).unwrap();
            assert_eq!((stored.age(), stored.successor()), (None, None));
            stored.refresh();
            assert_eq!(stored.record().name, None);
        }
        let long = Stored::parse(r#"{"cookie":{"originalMaxAge":1e300}}"#).unwrap();
        assert_eq!(long.age(), Some(LONGEST));
    }
}
