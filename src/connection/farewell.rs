//! How clients are sent away, and how a WebSocket is told why, whatever travels on it.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::chat::socket::CloseReason;

/// How long a client may take to be told that the server goes down, and is heard meanwhile.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often it is looked at whether everybody is gone.
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

/// Sends those who are here away, one after the other over a time, so that whoever takes them in is not stormed.
pub(crate) async fn one_by_one<T>(all: Vec<T>, over: Duration, send_away: impl Fn(T)) {
    let (began, count) = (Instant::now(), all.len());
    for (n, one) in all.into_iter().enumerate() {
        sleep_until(began + over.mul_f64(n as f64 / count as f64)).await;
        send_away(one);
    }
}

/// Sends everybody away, those as well who come in meanwhile, and returns when they are gone.
pub(crate) async fn to_all(send_away: impl Fn(), are_gone: impl Fn() -> bool) {
    send_away();
    while !are_gone() {
        sleep(PERIOD).await;
        send_away();
    }
}
