//! Answers that need no session: refusals, with engine.io's codes and words whichever side found the
//! fault, `ok`, and nothing.

use axum::body::Body;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE},
};

use super::session::Protocol;

/// Why a request is refused; engine.io `lib/server.ts` has the same codes and texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    TransportUnknown,
    SessionIdUnknown,
    BadHandshakeMethod,
    BadRequest,
    /// As many are connected as may be.
    Forbidden,
    UnsupportedProtocolVersion,
}

impl Error {
    fn code(self) -> u8 {
        match self {
            Self::TransportUnknown => 0,
            Self::SessionIdUnknown => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedProtocolVersion => 5,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::TransportUnknown => "Transport unknown",
            Self::SessionIdUnknown => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }

    /// As a request of its own.
    pub(super) fn response(self) -> Response<Body> {
        let body = format!(
            r#"{{"code":{},"message":"{}"}}"#,
            self.code(),
            self.message()
        );
        let status = match self {
            Self::Forbidden => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        respond(status, "application/json", body)
    }

    /// As the answer to an upgrade.
    pub(super) fn upgrade_response(self) -> Response<Body> {
        let mut response = respond(
            StatusCode::BAD_REQUEST,
            "text/html",
            self.message().to_owned(),
        );
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

pub(super) fn is_engine_error(response: &Response<Body>) -> bool {
    response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/json")
}

/// The engine's refusals in Node's words.
pub(super) fn normal(response: Response<Body>) -> Response<Body> {
    match (response.status(), is_engine_error(&response)) {
        (StatusCode::OK, _) => response,
        // The engine has two: a session it does not know, and one that is not to be polled.
        (_, true)
            if http_body::Body::size_hint(response.body()).exact()
                == Some(UNKNOWN_SESSION.len() as u64) =>
        {
            Error::SessionIdUnknown.response()
        }
        (_, true) => Error::BadRequest.response(),
        (status, false) => respond(status, "text/html", String::new()),
    }
}

const UNKNOWN_SESSION: &str = r#"{"code":"1","message":"Session ID unknown"}"#;

pub(super) fn ok() -> Response<Body> {
    respond(StatusCode::OK, "text/html", "ok".to_owned())
}

/// The answer to a poll that tells nothing, or only that the session is over.
pub(super) fn empty(protocol: Protocol, is_over: bool) -> Response<Body> {
    let packet = match (protocol, is_over) {
        (Protocol::Eio3, false) => "1:6",
        (Protocol::Eio3, true) => "1:1",
        (Protocol::Eio4, false) => "6",
        (Protocol::Eio4, true) => "1",
    };
    respond(StatusCode::OK, "text/plain; charset=UTF-8", packet.into())
}

pub(super) fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
