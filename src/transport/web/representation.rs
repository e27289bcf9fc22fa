//! How a file is put on the wire: its media type, its compression, and validators that stay true when it is
//! compressed. The same for embedded and for the operator's files.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};

/// Smaller answers fit in one network packet anyway; bytes.
const WORTH_COMPRESSING: u64 = 1024;

/// Adds compression to all routes.
pub fn negotiated<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    let compressed = SizeAbove::new(WORTH_COMPRESSING).and(is_text);
    router
        .layer(CompressionLayer::new().compress_when(compressed))
        .layer(middleware::from_fn(true_validator))
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

fn is_text(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence = media_type.and_then(|value| value.split(|byte| *byte == b';').next());
    essence.is_some_and(|essence| {
        essence.starts_with(b"text/")
            || essence.ends_with(b"/javascript")
            || essence.ends_with(b"json")
            || essence.ends_with(b"xml")
    })
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
