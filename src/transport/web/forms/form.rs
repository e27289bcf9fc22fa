//! A posted form, with what is known of who posted it; or why it is not taken.

use std::{net::IpAddr, time::Duration};

use axum::extract::Request;
use http::{StatusCode, header::CONTENT_TYPE};

use super::{super::index::cookies, words::Told};
use crate::transport::{
    body::{self, Unread},
    listener::Remote,
    origin::{self, Allowed},
    proxy::ByTls,
};

/// Largest form, in bytes: three fields of the longest that make sense, each byte encoded as three.
const MAX_FORM: usize = 8 * 1024;

/// The fields of a form, decoded, and who sent it.
pub(super) struct Form {
    fields: Vec<(String, String)>,
    pub cookies: String,
    pub from: IpAddr,
    pub by_tls: bool,
}

impl Form {
    /// Reads the form of a request from a page that may send one.
    pub async fn take(
        allowed: &Allowed,
        patience: Duration,
        request: Request,
    ) -> Result<Self, Told> {
        if origin::of(request.headers(), allowed).is_err() {
            return Err(Told::refused(
                StatusCode::FORBIDDEN,
                "This page may not do that.",
            ));
        }
        Self::read(patience, request).await
    }

    /// Reads the form of a request, whatever page it is from.
    pub async fn read(patience: Duration, request: Request) -> Result<Self, Told> {
        let (head, body) = request.into_parts();
        let kind = head.headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()?.split(';').next());
        let is_form = kind.is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        if !is_form {
            return Err(Told::refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "A form of type application/x-www-form-urlencoded was expected.",
            ));
        }
        let read = body::read(body, MAX_FORM, patience).await;
        let body = read.map_err(|unread| match unread {
            Unread::TooLarge => {
                Told::refused(StatusCode::PAYLOAD_TOO_LARGE, "The form is too large.")
            }
            Unread::Late => {
                let status = StatusCode::REQUEST_TIMEOUT;
                Told::refused(status, "The form took too long to arrive.")
            }
            Unread::Broken => {
                Told::refused(StatusCode::BAD_REQUEST, "The form did not arrive whole.")
            }
        })?;
        Ok(Self {
            fields: form_urlencoded::parse(&body).into_owned().collect(),
            cookies: cookies(&head.headers),
            from: Remote::ip(&head.extensions),
            by_tls: head.extensions.get::<ByTls>().is_some(),
        })
    }

    /// A field, the first where there are several; empty where there is none.
    pub fn field(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(field, _)| field == name);
        field.map_or("", |(_, value)| value)
    }
}
