//! The body of a request, bounded in size and time; and what becomes of one that nobody wants.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

/// Bytes of a body that are read although the request was answered without them.
const UNWANTED: usize = 1024 * 1024;

/// Why there is no body.
pub(crate) enum Unread {
    TooLarge,
    Late,
    /// The client went away in the middle of it.
    Broken,
}

/// Reads a body of at most so many bytes, which may take so long.
pub(crate) async fn read(body: Body, most: usize, patience: Duration) -> Result<Bytes, Unread> {
    match timeout(patience, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(_)) => Err(Unread::Broken),
        Err(_) => Err(Unread::Late),
    }
}

/// A body whose rest is read and thrown away when it is dropped. Otherwise hyper would close the connection behind the
/// answer, unannounced: a client that is still sending may lose the answer, and one that puts its next request on the
/// connection gets a reset for it. Node's servers read such bodies too.
pub(crate) struct ReadOut {
    body: Option<Incoming>,
    patience: Duration,
}

impl ReadOut {
    /// What nobody wanted may take so long. What takes longer, or is too large, costs the client its connection.
    pub(crate) fn new(body: Incoming, patience: Duration) -> Self {
        let body = Some(body);
        Self { body, patience }
    }
}

impl http_body::Body for ReadOut {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(Incoming::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

impl Drop for ReadOut {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
        if body.size_hint().lower() > UNWANTED as u64 {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let patience = self.patience;
            runtime.spawn(async move {
                let mut rest = Limited::new(body, UNWANTED);
                let _ = timeout(patience, async {
                    while let Some(Ok(_)) = rest.frame().await {}
                })
                .await;
            });
        }
    }
}
