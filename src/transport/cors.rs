//! Lets pages of other origins read our answers, in the headers that Node's socket.io sends for its option `cors` with
//! `credentials`. Which origins are allowed is said by `origin`. tower-http's layer answers preflights with another status
//! and reflects headers for every origin.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::origin::Allowed;

/// The `cors` package's default, which socket.io leaves as it is.
const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");

/// Answers `OPTIONS` itself, whether it is a preflight or not, and adds the headers to all other answers. To refusals too:
/// a browser would hide from a page what is wrong.
pub async fn layer(State(allowed): State<Allowed>, request: Request, next: Next) -> Response {
    let origin = allowed_origin(request.headers(), &allowed);
    if request.method() == Method::OPTIONS {
        let asked = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS);
        return preflight(origin, asked);
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    share(headers, origin);
    headers.append(VARY, HeaderValue::from_static("Origin"));
    response
}

/// A preflight says nothing of whether its session is there: browsers send no cookie and no body with it.
fn preflight(origin: Option<HeaderValue>, asked: Option<&HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let (Some(_), Some(asked)) = (&origin, asked) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    share(headers, origin);
    let varies = HeaderValue::from_static("Origin, Access-Control-Request-Headers");
    headers.insert(VARY, varies);
    response
}

fn share(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    let credentials = HeaderValue::from_static("true");
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials);
}

fn allowed_origin(headers: &HeaderMap, allowed: &Allowed) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let text = origin.to_str().ok()?;
    allowed(text).then(|| origin.clone())
}
