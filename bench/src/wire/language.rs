//! How load clients speak over their WebSockets: Socket.IO in a namespace, or bare JSON as the dialect `infinite` has it.

use super::packet::{self, Packet};

/// What the clients of a swarm speak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Language {
    /// Socket.IO 4 in this namespace, `/` or `/name`.
    SocketIo(&'static str),
    /// One JSON text to a message, with no names and no acknowledgements.
    Bare,
}

impl Language {
    /// Where the WebSocket is asked for.
    pub fn path(self) -> &'static str {
        match self {
            Self::SocketIo(_) => "/socket.io/?EIO=4&transport=websocket",
            Self::Bare => "/",
        }
    }

    /// Tells what a text of the server is to a client that is still on its way in, or has arrived.
    pub fn parse(self, text: &[u8], joining: bool) -> Packet<'_> {
        match self {
            Self::SocketIo(namespace) => packet::parse(text, namespace),
            // The history comes first.
            Self::Bare if joining => Packet::Connected,
            Self::Bare => Packet::Event(text),
        }
    }

    /// What joins a namespace, where there are any.
    pub fn connect(self) -> Option<String> {
        match self {
            Self::SocketIo(namespace) => Some(packet::connect(namespace)),
            Self::Bare => None,
        }
    }

    /// A message to everybody; the text needs no escapes.
    pub fn message(self, text: &str) -> String {
        match self {
            Self::SocketIo(namespace) => {
                packet::event(namespace, None, &format!(r#"["message","{text}"]"#))
            }
            Self::Bare => format!(r#"{{"username":"talker","msg":"{text}"}}"#),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_text_of_a_bare_websocket_is_the_history() {
        let text = br#"[{"username":"a","msg":"b","date":"c"}]"#;
        assert_eq!(Language::Bare.parse(text, true), Packet::Connected);
        assert_eq!(Language::Bare.parse(text, false), Packet::Event(text));
        assert_eq!(
            Language::SocketIo("/").parse(b"40{}", true),
            Packet::Connected
        );
    }

    #[test]
    fn a_message_is_written_as_the_pages_write_it() {
        assert_eq!(Language::SocketIo("/").message("x"), r#"42["message","x"]"#);
        assert_eq!(
            Language::Bare.message("x"),
            r#"{"username":"talker","msg":"x"}"#
        );
    }
}
