//! What a token says of its bearer: places in its claims that the settings name.

use std::{convert::Infallible, str::FromStr};

use jiff::Timestamp;
use serde_json::Value;

use crate::chat::message::{AUTHOR_NAME_MAX, AuthorName, UserId};

/// The body of a token.
pub(super) type Claims = serde_json::Map<String, Value>;

/// A place in the claims: `sub`, or `data.id` for what is inside of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Box<str>);

impl FromStr for Path {
    type Err = Infallible;

    fn from_str(path: &str) -> Result<Self, Infallible> {
        Ok(Self(path.into()))
    }
}

impl Path {
    /// What is there. A claim whose own name has dots in it (`https://chat.example/user`) comes first.
    fn find<'a>(&self, claims: &'a Claims) -> Found<'a> {
        if let Some(value) = claims.get(&*self.0) {
            return Found::Value(value);
        }
        let mut parts = self.0.split('.');
        let Some(top) = parts.next().and_then(|top| claims.get(top)) else {
            return Found::Nothing;
        };
        match parts.try_fold(top, |value, part| value.get(part)) {
            Some(value) => Found::Value(value),
            None => Found::Unfinished,
        }
    }
}

enum Found<'a> {
    Value(&'a Value),
    /// Its top is among the claims, the rest is not.
    Unfinished,
    Nothing,
}

/// When the token ends; whole seconds or not.
pub(super) fn expiry(claims: &Claims) -> Option<Timestamp> {
    let seconds = claims.get("exp")?.as_f64()?;
    let last = Timestamp::MAX.as_second() as f64;
    Timestamp::from_millisecond((seconds.clamp(0.0, last) * 1000.0) as i64).ok()
}

/// The user's id. Where a path's top is there and holds no id, the next paths are not asked: a token
/// with an empty `data` names nobody, whatever else it says.
pub(super) fn user(claims: &Claims, paths: &[Path]) -> Option<UserId> {
    for path in paths {
        match path.find(claims) {
            Found::Value(value) => return serde_json::from_value(value.clone()).ok(),
            Found::Unfinished => return None,
            Found::Nothing => {}
        }
    }
    None
}

/// The user's name, cut to what a name may have; `None` where there is none that could be shown.
pub(super) fn name(claims: &Claims, path: &Path) -> Option<AuthorName> {
    let Found::Value(Value::String(name)) = path.find(claims) else {
        return None;
    };
    let cut: String = name.trim().chars().take(AUTHOR_NAME_MAX).collect();
    cut.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        value.as_object().unwrap().clone()
    }

    fn paths(texts: &[&str]) -> Vec<Path> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_user_is_where_the_settings_say() {
        let old = ["data.id", "sub"];
        for (value, paths, expected) in [
            (json!({ "data": { "id": "ann" } }), &old[..], Some("ann")),
            (json!({ "data": { "id": 7 }, "sub": "x" }), &old, Some("7")),
            (json!({ "sub": "auth|7" }), &old, Some("auth|7")),
            (
                json!({ "https://a.example/id": "b" }),
                &["https://a.example/id"],
                Some("b"),
            ),
            (json!({ "a": { "b": { "c": 1 } } }), &["a.b.c"], Some("1")),
            (
                json!({ "a.b": "own", "a": { "b": "inner" } }),
                &["a.b"],
                Some("own"),
            ),
            (json!({ "sub": { "id": 1 } }), &old, None),
            (json!({ "data": { "id": [1] } }), &old, None),
            (json!({ "data": { "id": "" } }), &old, None),
            (json!({ "data": { "id": 1.5 } }), &old, None),
            (json!({}), &old, None),
        ] {
            let claims = claims(value);
            let user = user(&claims, &self::paths(paths));
            assert_eq!(user.as_ref().map(UserId::as_str), expected, "{claims:?}");
        }
    }

    #[test]
    fn empty_data_is_no_user_whatever_else_there_is() {
        for empty in [
            json!(null),
            json!({}),
            json!([]),
            json!(""),
            json!(0),
            json!("0"),
            json!(false),
        ] {
            let claims = claims(json!({ "data": empty, "sub": "somebody" }));
            assert_eq!(
                user(&claims, &paths(&["data.id", "sub"])),
                None,
                "{claims:?}"
            );
        }
    }

    #[test]
    fn names_are_cut_and_those_that_cannot_be_shown_are_none() {
        let long = "é".repeat(41);
        for (value, expected) in [
            (json!({ "name": " Ann " }), Some("Ann")),
            (json!({ "name": long }), Some(&*"é".repeat(40))),
            (json!({ "name": "a\u{202e}b" }), None),
            (json!({ "name": "" }), None),
            (json!({ "name": 7 }), None),
            (json!({}), None),
        ] {
            let name = name(&claims(value), &"name".parse().unwrap());
            assert_eq!(name.as_ref().map(AuthorName::as_str), expected);
        }
    }

    #[test]
    fn an_end_may_be_far_or_between_two_seconds() {
        let expiry = |exp: Value| expiry(&claims(json!({ "exp": exp })));
        assert_eq!(expiry(json!(1.5)).unwrap().as_millisecond(), 1500);
        assert_eq!(expiry(json!(-5)).unwrap(), Timestamp::UNIX_EPOCH);
        assert!(expiry(json!(1e300)).unwrap() > Timestamp::now());
        assert_eq!(expiry(json!("1")), None);
    }
}
