//! What Engine.IO 3 clients say in words that the engine does not know, reworded before it reads them.
//! A 2.x client sends the query of a namespace's address within its CONNECT packet, `40/chat?a=b`; as
//! in Node's server, it becomes the payload that 3.x clients would send: `40/chat,{"a":"b"}`. A 1.3
//! client sends binary data over WebSocket in base64, `b4…`; it becomes a binary frame.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// An Engine.IO message packet with a Socket.IO CONNECT packet for a namespace in it.
const CONNECT: &str = "40/";

/// An Engine.IO message packet with binary data in base64.
const BASE64_MESSAGE: &[u8] = b"b4";

/// An Engine.IO message packet in a binary frame.
const BINARY_MESSAGE: u8 = 4;

/// Bytes that tell whether a packet may have to be reworded.
const TELLING: usize = 2;

/// First byte of a text frame that is a whole message (RFC 6455, 5.2).
const WHOLE_TEXT: u8 = 0x81;

/// The same of a binary frame.
const WHOLE_BINARY: u8 = 0x82;

/// Second byte's bit of a masked frame, as all of a client's are.
const MASKED: u8 = 0x80;

/// A CONNECT packet with its query as payload; `None` for any other packet.
pub(super) fn reword_connect(packet: &str) -> Option<String> {
    let rest = packet.strip_prefix(CONNECT)?;
    let (address, payload) = rest.split_once(',').unwrap_or((rest, ""));
    let (namespace, query) = address.split_once('?')?;
    if !payload.is_empty() {
        return Some(format!("{CONNECT}{namespace},{payload}"));
    }
    let query: serde_json::Map<_, _> = form_urlencoded::parse(query.as_bytes())
        .map(|(key, value)| (key.into_owned(), value.into_owned().into()))
        .collect();
    let payload = serde_json::Value::Object(query);
    Some(format!("{CONNECT}{namespace},{payload}"))
}

/// An old client's connection.
pub(super) struct OldFrames<W> {
    wire: W,
    /// Largest packet that is looked into, bytes.
    largest: usize,
    /// Bytes of the current frame that go through as they are.
    through: u64,
    /// The beginning of a frame that cannot be judged yet.
    held: BytesMut,
    /// Judged, and to be read next.
    ready: BytesMut,
}

impl<W> OldFrames<W> {
    /// `largest` is the limit on messages, bytes.
    pub(super) fn new(wire: W, largest: usize) -> Self {
        Self {
            wire,
            largest,
            through: 0,
            held: BytesMut::new(),
            ready: BytesMut::new(),
        }
    }

    /// Moves what is judged from `held` to `ready`.
    fn judge(&mut self) {
        loop {
            let count = self
                .held
                .len()
                .min(usize::try_from(self.through).unwrap_or(usize::MAX));
            self.ready.unsplit(self.held.split_to(count));
            self.through -= count as u64;
            if self.held.is_empty() {
                self.held = BytesMut::new();
                return;
            }
            let Some(head) = Head::read(&self.held) else {
                return;
            };
            let may_be_old = head.is_whole_text() && head.length <= self.largest as u64;
            if !may_be_old || head.length < TELLING as u64 {
                self.through = head.frame();
                continue;
            }
            let Some(telling) = head.payload(&self.held, TELLING) else {
                return;
            };
            if telling != CONNECT.as_bytes()[..TELLING] && telling != BASE64_MESSAGE {
                self.through = head.frame();
                continue;
            }
            let Some(packet) = head.payload(&self.held, head.length as usize) else {
                return;
            };
            match reword(&packet) {
                Some((kind, packet)) => {
                    self.held.advance(head.frame() as usize);
                    put_frame(&mut self.ready, kind, &packet);
                }
                None => self.through = head.frame(),
            }
        }
    }
}

/// A packet as the engine knows it, and the first byte of its frame; `None` if it does already.
fn reword(packet: &[u8]) -> Option<(u8, Vec<u8>)> {
    if let Some(base64) = packet.strip_prefix(BASE64_MESSAGE) {
        let mut message = vec![BINARY_MESSAGE];
        BASE64_STANDARD.decode_vec(base64, &mut message).ok()?;
        return Some((WHOLE_BINARY, message));
    }
    let packet = reword_connect(std::str::from_utf8(packet).ok()?)?;
    Some((WHOLE_TEXT, packet.into_bytes()))
}

/// The head of a client's frame.
struct Head {
    first: u8,
    masked: bool,
    mask_at: usize,
    length: u64,
}

impl Head {
    fn read(frame: &[u8]) -> Option<Self> {
        let second = *frame.get(1)?;
        let (mask_at, length) = match second & !MASKED {
            126 => (
                4,
                u16::from_be_bytes(frame.get(2..4)?.try_into().ok()?).into(),
            ),
            127 => (10, u64::from_be_bytes(frame.get(2..10)?.try_into().ok()?)),
            length => (2, length.into()),
        };
        Some(Self {
            first: frame[0],
            masked: second & MASKED != 0,
            mask_at,
            length,
        })
    }

    fn is_whole_text(&self) -> bool {
        self.first == WHOLE_TEXT && self.masked
    }

    fn payload_at(&self) -> usize {
        self.mask_at + if self.masked { 4 } else { 0 }
    }

    /// Length of the whole frame. A peer may claim any.
    fn frame(&self) -> u64 {
        self.length.saturating_add(self.payload_at() as u64)
    }

    /// The first bytes of the payload, where they are there.
    fn payload(&self, frame: &[u8], count: usize) -> Option<Vec<u8>> {
        let begin = self.payload_at();
        let masked = frame.get(begin..begin + count)?;
        let mask = frame[self.mask_at..begin].iter().cycle();
        Some(
            masked
                .iter()
                .zip(mask)
                .map(|(byte, mask)| byte ^ mask)
                .collect(),
        )
    }
}

/// As a client would send it, with a mask of zero.
fn put_frame(bytes: &mut BytesMut, kind: u8, packet: &[u8]) {
    bytes.extend_from_slice(&[kind]);
    match packet.len() {
        length @ ..126 => bytes.extend_from_slice(&[MASKED | length as u8]),
        length if let Ok(length) = u16::try_from(length) => {
            bytes.extend_from_slice(&[MASKED | 126]);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        length => {
            bytes.extend_from_slice(&[MASKED | 127]);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(packet);
}

impl<W: AsyncRead + Unpin> AsyncRead for OldFrames<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.ready.is_empty() {
            let before = buf.filled().len();
            std::task::ready!(Pin::new(&mut this.wire).poll_read(cx, buf))?;
            let read = &buf.filled()[before..];
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.held.extend_from_slice(read);
            buf.set_filled(before);
            this.judge();
        }
        let count = this.ready.len().min(buf.remaining());
        buf.put_slice(&this.ready.split_to(count));
        if this.ready.is_empty() {
            this.ready = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for OldFrames<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame, masked.
    fn frame(first: u8, packet: &str) -> Vec<u8> {
        let mask = [7, 1, 200, 42];
        let mut frame = vec![first];
        match packet.len() {
            length @ ..126 => frame.push(MASKED | length as u8),
            length => {
                frame.push(MASKED | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(
            packet
                .bytes()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        frame
    }

    fn judged(bytes: &[u8], at_once: usize) -> Vec<u8> {
        let mut wire = OldFrames::new((), 1000);
        for part in bytes.chunks(at_once) {
            wire.held.extend_from_slice(part);
            wire.judge();
        }
        assert!(wire.held.is_empty());
        wire.ready.to_vec()
    }

    #[test]
    fn a_query_becomes_the_payload() {
        for (packet, reworded) in [
            ("40/chat?a=b&c=%26d", Some(r#"40/chat,{"a":"b","c":"&d"}"#)),
            ("40/chat?a=b,", Some(r#"40/chat,{"a":"b"}"#)),
            ("40/chat?a=b,{\"c\":1}", Some(r#"40/chat,{"c":1}"#)),
            ("40/chat?", Some("40/chat,{}")),
            ("40/chat", None),
            ("40/chat,{\"a\":\"?\"}", None),
            ("40", None),
            ("42/chat?a=b", None),
        ] {
            assert_eq!(reword_connect(packet).as_deref(), reworded, "{packet}");
        }
    }

    #[test]
    fn frames_come_through_however_they_are_cut() {
        let long = format!("42[\"{}\"]", "40/x?".repeat(60));
        let frames = [
            frame(0x81, "2"),
            frame(0x81, &long),
            frame(0x82, "40/chat?a=b"),
            frame(0x81, "40/chat"),
            frame(0x81, "b4 no base64"),
            frame(0x81, "4"),
        ]
        .concat();
        let mut sent = frames.clone();
        sent.extend(frame(0x81, "40/chat?a=b"));
        sent.extend(frame(0x81, "b4AQID"));
        sent.extend(frame(0x81, "b4"));
        sent.extend(frame(0x89, ""));
        let mut expected = BytesMut::from(&frames[..]);
        put_frame(&mut expected, WHOLE_TEXT, br#"40/chat,{"a":"b"}"#);
        put_frame(&mut expected, WHOLE_BINARY, b"\x04\x01\x02\x03");
        put_frame(&mut expected, WHOLE_BINARY, b"\x04");
        expected.extend_from_slice(&frame(0x89, ""));
        for at_once in [1, 2, 3, 7, 11, 64, 1000] {
            assert_eq!(judged(&sent, at_once), expected, "{at_once} at once");
        }
    }

    #[test]
    fn a_length_that_lies_is_the_codecs_to_judge() {
        let lie = [&[0x81, 0xff][..], &[0xff; 8], &[0; 4], b"40/x?"].concat();
        assert_eq!(judged(&lie, 3), lie);
    }
}
