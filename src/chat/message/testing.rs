//! A message for the unit tests of those who tell one in other words.

use super::{Epoch, Message, MessageId, RoomName};

/// The first message of the lobby.
pub fn said_by(author: Option<&str>, text: &str) -> Message {
    Message {
        room: RoomName::lobby(),
        id: MessageId {
            seq: 1,
            epoch: Epoch(1),
        },
        author: author.map(|name| name.parse().unwrap()),
        text: text.into(),
        time: "2026-01-02T03:04:05.678Z".parse().unwrap(),
        replica: "host".into(),
        bridge: None,
        direct: None,
    }
}
