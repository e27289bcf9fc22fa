//! Requests whose session any replica can take over: another one answers where the session's own is gone, or lets its
//! sessions go.

use std::{sync::atomic::Ordering, time::Duration};

use axum::{body::Body, response::IntoResponse};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;

use super::{Forward, Hop, PASSED_TWICE};
use crate::{
    cluster::replicas::ReplicaId,
    transport::body::{self, Unread},
};

/// Replicas that are tried for one request, and found to be gone.
const MOST_TRIES: usize = 3;

/// The longest body that is kept for another try, in bytes.
const KEPT_BODY: usize = 64 * 1024;

/// How long such a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(20);

impl Forward {
    /// Has a request answered whose session any replica can take over, as [`Forward::answer`] does; where its own
    /// replica is gone, or lets its sessions go, by the one that takes it over. `is_here`: this one has it.
    pub async fn answer_movable(
        &self,
        session: &str,
        is_here: bool,
        request: Request<Body>,
        here: impl AsyncFnOnce(Request<Body>) -> Response<Body>,
    ) -> Response<Body> {
        let me = self.replicas.id().clone();
        let is_own = self.replicas.is_own(session);
        let is_draining = self.is_draining.load(Ordering::Relaxed);
        let is_passed = request.extensions().get::<Hop>().is_some();
        let heir = |but: &[ReplicaId]| self.replicas.heir_of(session, but);
        let mut but = Vec::new();
        let mut next = if is_passed || is_own {
            // Whoever passed it on did so because it is here, or is to be; but what goes down takes nothing over.
            let passes = is_draining && !is_here && !request.headers().contains_key(PASSED_TWICE);
            if passes {
                but.push(me);
            }
            passes.then(|| heir(&but)).flatten()
        } else {
            match self.replicas.owner_of(session).await {
                Some(owner) => Some(owner),
                None => {
                    if is_draining && !is_here {
                        but.push(me);
                    }
                    heir(&but)
                }
            }
        };
        let (mut request, body) = match keep_body(request).await {
            Ok(kept) => kept,
            Err(refused) => return refused,
        };
        while let Some(other) = next {
            let id = other.id.clone();
            let left = match self.pass_on(other, request).await {
                Ok(answered) => return answered,
                Err(left) => left,
            };
            request = left.request;
            // What may have been taken is not sent again.
            if left.was_sent && request.method() == Method::POST {
                break;
            }
            *request.body_mut() = body.clone().map_or_else(Body::empty, Body::from);
            but.push(id);
            next = heir(&but).filter(|_| but.len() <= MOST_TRIES);
        }
        here(request).await
    }
}

/// A request, and its body, so that it can be sent once more; none where that is long, and can be sent once only.
async fn keep_body(
    request: Request<Body>,
) -> Result<(Request<Body>, Option<Bytes>), Response<Body>> {
    let length = request.body().size_hint().upper();
    if length.is_none_or(|length| length > KEPT_BODY as u64) {
        return Ok((request, None));
    }
    let (parts, body) = request.into_parts();
    match body::read(body, KEPT_BODY, BODY_TIME).await {
        Ok(body) => {
            let request = Request::from_parts(parts, Body::from(body.clone()));
            Ok((request, Some(body)))
        }
        Err(Unread::Late) => Err(StatusCode::REQUEST_TIMEOUT.into_response()),
        Err(_) => Err(StatusCode::BAD_REQUEST.into_response()),
    }
}
