//! What a page is told when something is not done. It shows it as HTML, so all that came from outside is escaped.
//! Status 200 wherever the page would show nothing otherwise; what no page of ours asks for has a status of its own.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, RETRY_AFTER},
};
use serde_json::json;

use super::super::views::escape;
use crate::{
    account::{LoginError, NameRefused, RegisterError, UnfitName, sessions::SessionError},
    chat::message::InvalidName,
    log_limit::log_limited,
};

const MISSING: &str = "Please fill out all required fields!";
const BUSY: &str = "There are too many registrations and logins at once, please try again!";
const UNAVAILABLE: &str =
    "Registrations and logins do not work at the moment, please try again later!";

/// What is logged then.
const IMPOSSIBLE: &str = "a registration or login was not possible";

/// An error for a page.
#[derive(Debug)]
pub(super) struct Told {
    status: StatusCode,
    error: String,
    retry_after: Option<Duration>,
}

impl Told {
    fn say(error: impl Into<String>) -> Self {
        Self {
            status: StatusCode::OK,
            error: error.into(),
            retry_after: None,
        }
    }

    /// For what no page of ours asks for.
    pub fn refused(status: StatusCode, error: &str) -> Self {
        Self {
            status,
            ..Self::say(error)
        }
    }

    /// For whoever tries too often.
    fn wait(time: Duration) -> Self {
        let seconds = whole_seconds(time);
        Self {
            retry_after: Some(time),
            ..Self::say(format!(
                "You tried that too often, please try again in {seconds} seconds!"
            ))
        }
    }

    fn name_taken(name: &str) -> Self {
        let name = escape(name);
        Self::say(format!(
            "The name <b>{name}</b> is already taken, please use another name!"
        ))
    }

    /// For a visitor who may not be called that.
    pub fn name_refused(name: &str, why: &NameRefused) -> Self {
        match why {
            NameRefused::OfAccount => Self::name_taken(name),
            NameRefused::Reserved => UnfitName::Reserved.into(),
            error @ NameRefused::Unavailable(_) => Self::unavailable(error),
        }
    }

    fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        log_limited!(error, error, "{IMPOSSIBLE}");
        Self::say(UNAVAILABLE)
    }
}

/// At least one.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + 1
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        let answer = Json(json!({ "error": self.error }));
        let mut response = (self.status, [(CACHE_CONTROL, "no-store")], answer).into_response();
        if let Some(time) = self.retry_after {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, whole_seconds(time).into());
        }
        response
    }
}

impl From<RegisterError> for Told {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Missing => Self::say(MISSING),
            RegisterError::NameTaken(name) => Self::name_taken(&name),
            RegisterError::MailTaken(mail) => Self::say(format!(
                "The email <b>{}</b> is already taken, please use another email!",
                escape(&mail)
            )),
            RegisterError::InvalidName(why) => why.into(),
            RegisterError::InvalidMail => Self::say("Please use a valid email address!"),
            RegisterError::TooMany { retry_after } => Self::wait(retry_after),
            RegisterError::Busy => Self::say(BUSY),
            error @ RegisterError::Database(_) => Self::unavailable(&error),
        }
    }
}

impl From<UnfitName> for Told {
    fn from(why: UnfitName) -> Self {
        let why = escape(&why.to_string());
        Self::say(format!("Please use another name: {why}!"))
    }
}

impl From<LoginError> for Told {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Missing => Self::say(MISSING),
            LoginError::Wrong => Self::say("Email or password is wrong, please try again!"),
            LoginError::TooMany { retry_after } => Self::wait(retry_after),
            LoginError::Busy => Self::say(BUSY),
            error @ LoginError::Database(_) => Self::unavailable(&error),
        }
    }
}

impl From<InvalidName> for Told {
    fn from(error: InvalidName) -> Self {
        match error {
            InvalidName::Empty => Self::say(MISSING),
            error => Self::say(format!("Please use another name: {error}!")),
        }
    }
}

impl From<SessionError> for Told {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::TooMany { retry_after } => Self::wait(retry_after),
            SessionError::Busy => Self::say(BUSY),
            error => {
                error.log(IMPOSSIBLE);
                Self::say(UNAVAILABLE)
            }
        }
    }
}
