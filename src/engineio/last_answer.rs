//! The answer to a connection's last poll, where another replica passed the poll on: kept until the next one comes. Should
//! that replica die with it, the proxy in front asks the next replica the same again, and by then its packets have been
//! given away.

use ::http::{Response, response::Parts};
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::transport::forward::Hop;

/// One connection's.
#[derive(Default)]
pub(super) struct LastAnswer(Mutex<Option<Box<Kept>>>);

struct Kept {
    /// The query of the poll. Clients put something into each that no other has.
    asked: Box<str>,
    hop: Hop,
    parts: Parts,
    body: Bytes,
}

impl Kept {
    fn answer(&self) -> Response<Body> {
        Response::from_parts(self.parts.clone(), Body::from(self.body.clone()))
    }
}

impl LastAnswer {
    /// What this poll was answered, where the answer was lost. Anything else that is asked means that it arrived.
    pub(super) async fn to(&self, asked: &str) -> Option<Response<Body>> {
        let kept = self.0.lock().take()?;
        if *kept.asked != *asked || !kept.hop.is_gone().await {
            return None;
        }
        let answer = kept.answer();
        *self.0.lock() = Some(kept);
        Some(answer)
    }

    /// Keeps an answer, which is in memory.
    pub(super) async fn keep(
        &self,
        asked: &str,
        hop: &Hop,
        answer: Response<Body>,
    ) -> Response<Body> {
        let (parts, body) = answer.into_parts();
        let kept = Kept {
            asked: asked.into(),
            hop: hop.clone(),
            parts,
            body: to_bytes(body, usize::MAX).await.unwrap_or_default(),
        };
        let answer = kept.answer();
        *self.0.lock() = Some(Box::new(kept));
        answer
    }
}
