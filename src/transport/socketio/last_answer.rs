//! The answer to a session's last poll, where another replica passed the poll on: kept until the next one comes. Should
//! that replica die with it, the proxy in front asks the next replica the same again, and by then the engine has given
//! its packets away.

use axum::body::Body;
use bytes::Bytes;
use http::{Response, response::Parts};
use parking_lot::Mutex;

use crate::transport::forward::Hop;

/// One session's.
#[derive(Default)]
pub(super) struct LastAnswer(Mutex<Option<Kept>>);

struct Kept {
    /// The query of the poll. Clients put something into each that no other has.
    asked: Box<str>,
    hop: Hop,
    parts: Parts,
    body: Bytes,
}

impl LastAnswer {
    /// What this poll was answered, where the answer was lost. Anything else that is asked means that it arrived.
    pub(super) async fn to(&self, asked: &str) -> Option<Response<Body>> {
        let kept = self.0.lock().take_if(|kept| &*kept.asked == asked);
        let Some(kept) = kept else {
            *self.0.lock() = None;
            return None;
        };
        if !kept.hop.is_gone().await {
            return None;
        }
        let answer = Response::from_parts(kept.parts.clone(), Body::from(kept.body.clone()));
        *self.0.lock() = Some(kept);
        Some(answer)
    }

    pub(super) fn keep(&self, asked: &str, hop: &Hop, parts: &Parts, body: &Bytes) {
        *self.0.lock() = Some(Kept {
            asked: asked.into(),
            hop: hop.clone(),
            parts: parts.clone(),
            body: body.clone(),
        });
    }
}
