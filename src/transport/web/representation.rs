//! How a file is put on the wire: its media type, its compression (`compressed`), and validators that stay true when it
//! is compressed. The same for embedded and for the operator's files.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderValue, StatusCode};

use super::compressed;

/// Adds compression to all routes.
pub fn negotiated<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    compressed::layered(router).layer(middleware::from_fn(true_validator))
}

/// The media type that a file's name tells, with its character set.
pub fn content_type(name: &str) -> HeaderValue {
    if name.ends_with(".map") {
        return HeaderValue::from_static("application/json");
    }
    let media_type = mime_guess::from_path(name)
        .first_raw()
        .unwrap_or("application/octet-stream");
    with_charset(HeaderValue::from_static(media_type))
}

/// Text is UTF-8, as Express said of every text file: pages without a `meta` of their own depend on it.
pub fn with_charset(media_type: HeaderValue) -> HeaderValue {
    match media_type.to_str() {
        Ok(text) if text.starts_with("text/") && !text.contains(';') => {
            HeaderValue::try_from(format!("{text}; charset=utf-8")).unwrap_or(media_type)
        }
        _ => media_type,
    }
}

/// A strong ETag stands for the very bytes, so on a compressed answer it becomes a weak one. A 304 repeats the form
/// that the browser has, as a cache renews only what bears the same validator.
async fn true_validator(request: Request, next: Next) -> Response {
    let known = request.headers().get(IF_NONE_MATCH).cloned();
    let mut response = next.run(request).await;
    let unchanged = response.status() == StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    if unchanged && !headers.contains_key(VARY) {
        headers.insert(VARY, ACCEPT_ENCODING.into());
    }
    let Some(weak) = headers.get(ETAG).and_then(weakened) else {
        return response;
    };
    let known_as_weak = known.is_some_and(|known| contains(known.as_bytes(), weak.as_bytes()));
    if headers.contains_key(CONTENT_ENCODING) || (unchanged && known_as_weak) {
        headers.insert(ETAG, weak);
    }
    response
}

fn weakened(etag: &HeaderValue) -> Option<HeaderValue> {
    let strong = etag.as_bytes().strip_prefix(b"\"")?;
    HeaderValue::from_bytes(&[b"W/\"", strong].concat()).ok()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
