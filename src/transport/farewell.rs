//! How a WebSocket is told why the server closes it, whatever travels on it.

use crate::chat::peer::Goodbye;

/// The WebSocket status (RFC 6455, 7.4.1) that tells why the server closes. None of those that were
/// registered later: the `ws` package that Socket.IO 1.x clients use on Node takes them for an error.
pub(super) fn close_status(why: Goodbye) -> u16 {
    match why {
        Goodbye::Shutdown => 1001,
        Goodbye::BadPacket => 1002,
        Goodbye::Flooding | Goodbye::SignedOut | Goodbye::TokenExpired => 1008,
        Goodbye::TooLarge => 1009,
        Goodbye::SlowPeer | Goodbye::Stalled | Goodbye::FellBehind | Goodbye::Unavailable => 1011,
    }
}
