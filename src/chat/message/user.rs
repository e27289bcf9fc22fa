//! Ids of users: whom a direct message is from, and whom it is for.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{InvalidName, is_unprintable};

/// The longest user id, in characters.
pub const USER_ID_MAX: usize = 255;

/// Up to here every whole number is told from its bridges by JSON's readers, JavaScript first of all.
const WHOLE_UP_TO: f64 = 9_007_199_254_740_991.0;

/// Who somebody is to the application that the chat belongs to, proved by a token: 1 to
/// [`USER_ID_MAX`] characters, none of them a control character. Taken as it is, blanks included.
///
/// Applications name people with JSON strings or whole numbers. Both are compared as strings; an id
/// goes out in the form in which it came in.
#[derive(Clone, Debug)]
pub struct UserId {
    text: Arc<str>,
    is_number: bool,
}

impl UserId {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn number(digits: String) -> Self {
        Self {
            text: digits.into(),
            is_number: true,
        }
    }
}

impl FromStr for UserId {
    type Err = InvalidName;

    fn from_str(id: &str) -> Result<Self, InvalidName> {
        if id.is_empty() {
            return Err(InvalidName::Empty);
        }
        if id.chars().nth(USER_ID_MAX).is_some() {
            return Err(InvalidName::TooLong(USER_ID_MAX));
        }
        if id.chars().any(is_unprintable) {
            return Err(InvalidName::Control);
        }
        Ok(Self {
            text: id.into(),
            is_number: false,
        })
    }
}

impl PartialEq for UserId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for UserId {}

impl Hash for UserId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_number {
            if let Ok(id) = self.text.parse::<i64>() {
                return serializer.serialize_i64(id);
            }
            if let Ok(id) = self.text.parse::<u64>() {
                return serializer.serialize_u64(id);
            }
        }
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;

        impl de::Visitor<'_> for Id {
            type Value = UserId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user id, a string or a whole number")
            }

            fn visit_str<E: de::Error>(self, id: &str) -> Result<UserId, E> {
                id.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, id: i64) -> Result<UserId, E> {
                Ok(UserId::number(id.to_string()))
            }

            fn visit_u64<E: de::Error>(self, id: u64) -> Result<UserId, E> {
                Ok(UserId::number(id.to_string()))
            }

            /// Some languages write 7 as 7.0.
            fn visit_f64<E: de::Error>(self, id: f64) -> Result<UserId, E> {
                if id.fract() != 0.0 || id.abs() > WHOLE_UP_TO {
                    return Err(E::invalid_value(de::Unexpected::Float(id), &self));
                }
                Ok(UserId::number(format!("{id:.0}")))
            }
        }

        deserializer.deserialize_any(Id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_goes_out_as_it_came_in_and_compares_as_a_string() {
        let id = |json: &str| serde_json::from_str::<UserId>(json);
        for json in ["7", "-7", "\"7\"", "18446744073709551615", "\" ann \""] {
            let read = id(json).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
        assert_eq!(id("7").unwrap(), id("\"7\"").unwrap());
        assert_eq!(id("7.0").unwrap(), id("7").unwrap());
        assert_ne!(id("\"07\"").unwrap(), id("7").unwrap());
    }

    #[test]
    fn what_is_no_user_id_is_refused() {
        let long = format!("\"{}\"", "x".repeat(USER_ID_MAX + 1));
        for json in [
            "\"\"",
            "null",
            "true",
            "[]",
            "{}",
            "7.5",
            "1e300",
            "\"a\\u0001b\"",
            "\"\\u202e\"",
            &long,
        ] {
            assert!(serde_json::from_str::<UserId>(json).is_err(), "{json}");
        }
    }
}
