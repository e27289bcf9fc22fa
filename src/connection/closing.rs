//! How connections are closed: the status and frame that say why on a WebSocket, and closing many of them in a drain.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::chat::socket::CloseReason;

/// How long a client may take to read that the server stops. What it sends meanwhile is still handled.
pub(crate) const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// How often a drain checks whether all connections are closed.
const PERIOD: Duration = Duration::from_millis(10);

/// The WebSocket status (RFC 6455, 7.4.1) that tells why the server closes. None of those that were
/// registered later: the `ws` package that Socket.IO 1.x clients use on Node takes them for an error.
pub(crate) fn close_status(why: CloseReason) -> u16 {
    match why {
        CloseReason::Shutdown => 1001,
        CloseReason::BadPacket => 1002,
        CloseReason::Flooding | CloseReason::SignedOut | CloseReason::TokenExpired => 1008,
        CloseReason::TooLarge => 1009,
        CloseReason::SlowPeer
        | CloseReason::Stalled
        | CloseReason::FellBehind
        | CloseReason::Unavailable => 1011,
    }
}

/// The close frame that tells why (RFC 6455, 5.2 and 5.5.1).
pub(crate) fn close_frame(why: CloseReason) -> Vec<u8> {
    let mut frame = vec![0x88, 2 + why.message().len() as u8];
    frame.extend_from_slice(&close_status(why).to_be_bytes());
    frame.extend_from_slice(why.message().as_bytes());
    frame
}

/// Closes connections one after the other over a time, so that other replicas are not flooded with handshakes.
pub(crate) async fn one_by_one<T>(all: Vec<T>, over: Duration, close: impl Fn(T)) {
    let (began, count) = (Instant::now(), all.len());
    for (n, one) in all.into_iter().enumerate() {
        sleep_until(began + over.mul_f64(n as f64 / count as f64)).await;
        close(one);
    }
}

/// Closes all connections, also those that begin meanwhile, and returns when they are closed.
pub(crate) async fn to_all(close: impl Fn(), are_closed: impl Fn() -> bool) {
    close();
    while !are_closed() {
        sleep(PERIOD).await;
        close();
    }
}
