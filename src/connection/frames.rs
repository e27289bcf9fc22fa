//! WebSocket frames of a server (RFC 6455, 5.2) on their way out, and how much of them the flow has counted.

use bytes::{BufMut, BytesMut};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// Frames that TCP has not taken.
#[derive(Default)]
pub(crate) struct Frames {
    pub(super) bytes: BytesMut,
    /// Bytes of messages among them, as the flow counts them.
    pub(super) counted: usize,
    /// Messages that were appended since the flow was told.
    pub(super) messages: usize,
}

impl Frames {
    /// Appends a text message that the flow counts with so many bytes; `parts` follow each other.
    pub(crate) fn text(&mut self, counted: usize, parts: &[&str]) {
        self.message(counted);
        self.put(
            OpCode::Data(Data::Text),
            parts.iter().map(|part| part.as_bytes()),
        );
    }

    /// Appends a binary message, as [`Frames::text`] does.
    pub(crate) fn binary(&mut self, counted: usize, parts: &[&[u8]]) {
        self.message(counted);
        self.put(OpCode::Data(Data::Binary), parts.iter().copied());
    }

    /// Appends a text that nobody counted when it was queued, like a heartbeat.
    pub(crate) fn uncounted(&mut self, text: &str) {
        self.put(OpCode::Data(Data::Text), std::iter::once(text.as_bytes()));
    }

    /// Appends WebSocket's own ping.
    pub(crate) fn ping(&mut self) {
        self.put(OpCode::Control(Control::Ping), std::iter::empty());
    }

    fn message(&mut self, counted: usize) {
        self.counted += counted;
        self.messages += 1;
    }

    fn put<'a>(&mut self, kind: OpCode, parts: impl Iterator<Item = &'a [u8]> + Clone) {
        let header = FrameHeader {
            opcode: kind,
            ..FrameHeader::default()
        };
        let length: usize = parts.clone().map(<[u8]>::len).sum();
        self.bytes.reserve(header.len(length as u64) + length);
        header
            .format(length as u64, &mut (&mut self.bytes).writer())
            .expect("memory takes what is written");
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
    }
}
