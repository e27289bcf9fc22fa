//! What is kept of a session, in the JSON that express-session writes.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// What is known of a session's visitor.
#[derive(Clone, Default, PartialEq, Serialize)]
pub struct Record {
    /// The name of the account that the visitor logged in to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The account's mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    /// A name that the visitor gave, which nothing proves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What others keep in it, as it is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Record {
    /// The record of somebody who logged in.
    pub fn of_account(name: String, mail: String) -> Self {
        Self {
            name: Some(name),
            mail: Some(mail),
            ..Self::default()
        }
    }

    /// Reads a record. What is not an object, or no JSON, is none.
    pub(super) fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().map(Self::from_fields)
    }

    pub(super) fn from_fields(mut fields: Map<String, Value>) -> Self {
        let mut text = |name| match fields.remove(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            _ => None,
        };
        let (name, mail, user) = (text("name"), text("mail"), text("user"));
        fields.remove("cookie");
        // An old server kept the password here.
        fields.remove("pass");
        Self {
            name,
            mail,
            user,
            other: fields,
        }
    }

    /// The record as express-session writes it; `lasts` is for how long and until when the cookie is good, where
    /// that is not the browser's matter.
    pub(super) fn to_json(&self, lasts: Option<(Duration, Timestamp)>) -> String {
        let in_ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let kept = Kept {
            cookie: Cookie {
                original_max_age: lasts.map(|(age, _)| in_ms(age)),
                expires: lasts.map(|(_, expires)| as_date(expires)),
                http_only: true,
                path: "/",
            },
            record: self,
        };
        serde_json::to_string(&kept).expect("plain data encodes as JSON")
    }
}

/// As `Date.prototype.toISOString` writes it.
pub(super) fn as_date(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The order of the fields is that of express.
#[derive(Serialize)]
struct Kept<'a> {
    cookie: Cookie,
    #[serde(flatten)]
    record: &'a Record,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cookie {
    original_max_age: Option<u64>,
    expires: Option<String>,
    http_only: bool,
    path: &'static str,
}

/// Says who it is, not what others keep in it.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("name", &self.name)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
