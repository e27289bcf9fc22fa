//! Answers that need no connection: refusals, with engine.io's codes and words, and `ok`.

use ::http::{
    HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE},
};
use axum::body::Body;

/// Why a request is refused; engine.io `lib/server.ts` has the same codes and texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    TransportUnknown,
    SidUnknown,
    BadHandshakeMethod,
    BadRequest,
    /// As many are connected as may be.
    Forbidden,
}

impl Error {
    fn code(self) -> u8 {
        match self {
            Self::TransportUnknown => 0,
            Self::SidUnknown => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::TransportUnknown => "Transport unknown",
            Self::SidUnknown => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
        }
    }

    /// As the answer to a request of its own.
    pub(super) fn response(self) -> Response<Body> {
        let (code, message) = (self.code(), self.message());
        let status = match self {
            Self::Forbidden => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        let body = format!(r#"{{"code":{code},"message":"{message}"}}"#);
        respond(status, "application/json", body)
    }

    /// As the answer to an upgrade.
    pub(super) fn upgrade_response(self) -> Response<Body> {
        let mut response = respond(StatusCode::BAD_REQUEST, "text/html", self.message());
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// The answer to a POST that was taken. `text/html`: some browsers of old offer anything else as a download.
pub(super) fn ok() -> Response<Body> {
    respond(StatusCode::OK, "text/html", "ok")
}

/// A refusal without a word.
pub(super) fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

pub(super) fn respond(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<bytes::Bytes>,
) -> Response<Body> {
    let body = body.into();
    let mut response = bare(status);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, body.len().into());
    *response.body_mut() = Body::from(body);
    response
}
