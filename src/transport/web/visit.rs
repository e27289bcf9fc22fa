//! The pages as a browser gets them, without a server: for whoever checks a folder before it is served.

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use tower::ServiceExt;

use super::{Web, router};

/// The largest file that is read whole, in bytes.
const LARGEST: usize = 8_000_000;

/// Whoever looks at pages.
pub struct Visitor(Router);

/// What is at an address.
pub struct Found {
    pub status: StatusCode,
    /// Empty where it is larger than can be looked at.
    pub body: Bytes,
}

impl Visitor {
    pub fn new(web: Web) -> Self {
        Self(router(web))
    }

    /// Asks for a path, with its query.
    pub async fn get(&self, path: &str) -> Found {
        let Ok(request) = Request::get(path).body(Body::empty()) else {
            return Found {
                status: StatusCode::BAD_REQUEST,
                body: Bytes::new(),
            };
        };
        let Ok(response) = self.0.clone().oneshot(request).await;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST).collect().await;
        Found {
            status: head.status,
            body: body.map(|body| body.to_bytes()).unwrap_or_default(),
        }
    }
}
