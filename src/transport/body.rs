//! The body of a request, bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

/// Why there is no body.
pub(super) enum Unread {
    TooLarge,
    Late,
    /// The client went away in the middle of it.
    Broken,
}

/// Reads a body of at most so many bytes, which may take so long.
pub(super) async fn read(body: Body, most: usize, patience: Duration) -> Result<Bytes, Unread> {
    match timeout(patience, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(_)) => Err(Unread::Broken),
        Err(_) => Err(Unread::Late),
    }
}
