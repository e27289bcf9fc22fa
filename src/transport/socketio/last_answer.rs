//! The answer to a session's last poll, kept until the next one shows that it arrived. A proxy that gets no answer from
//! one replica asks the next one the same again; by then the engine has given its packets away, to somebody who has
//! died with them.

use axum::body::Body;
use bytes::Bytes;
use http::{Response, response::Parts};
use parking_lot::Mutex;

/// One session's.
#[derive(Default)]
pub(super) struct LastAnswer(Mutex<Option<Kept>>);

struct Kept {
    /// The query of the poll.
    asked: Box<str>,
    parts: Parts,
    body: Bytes,
}

impl LastAnswer {
    /// What this poll was answered, where it was. Anything else that is asked means that it arrived.
    pub(super) fn to(&self, asked: &str) -> Option<Response<Body>> {
        let mut kept = self.0.lock();
        if let Some(Kept { parts, body, .. }) = kept.as_ref().filter(|kept| &*kept.asked == asked) {
            return Some(Response::from_parts(
                parts.clone(),
                Body::from(body.clone()),
            ));
        }
        *kept = None;
        None
    }

    /// Keeps an answer, where the poll can be told from others.
    pub(super) fn keep(&self, asked: &str, parts: &Parts, body: &Bytes) {
        if is_told_apart(asked) {
            *self.0.lock() = Some(Kept {
                asked: asked.into(),
                parts: parts.clone(),
                body: body.clone(),
            });
        }
    }
}

/// Clients add a `t` to each poll that no other has, against caches.
fn is_told_apart(query: &str) -> bool {
    query
        .split('&')
        .any(|pair| pair.strip_prefix("t=").is_some_and(|t| !t.is_empty()))
}
