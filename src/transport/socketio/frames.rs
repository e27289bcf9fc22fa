//! What a client sends over WebSocket, between TCP and the codec: given out frame by frame, so that each
//! can be counted, and reworded where the engine would not understand the packet in it (`reword`).
//! A 1.3 client sends binary data in base64, `b4…`: that becomes a binary frame.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;

use super::{
    reword::{self, TELLING, reword},
    session::Protocol,
};

/// An Engine.IO message packet with binary data in base64.
const BASE64_MESSAGE: &[u8] = b"b4";

/// An Engine.IO message packet in a binary frame.
const BINARY_MESSAGE: u8 = 4;

/// First byte of a text frame that is a whole message (RFC 6455, 5.2).
pub(super) const WHOLE_TEXT: u8 = 0x81;

/// The same of a binary frame.
const WHOLE_BINARY: u8 = 0x82;

/// Second byte's bit of a masked frame, as all of a client's are.
const MASKED: u8 = 0x80;

/// A client's bytes that the codec has not asked for yet.
pub(super) struct Frames {
    protocol: Protocol,
    /// Largest packet that is looked into, bytes.
    largest: usize,
    /// As they came.
    held: BytesMut,
    /// Bytes of the current frame that go through as they are.
    through: u64,
    /// What is given out in the place of the current frame.
    reworded: Bytes,
}

/// What was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// More must come first.
    Nothing,
    /// The beginning of a frame.
    Beginning,
    /// More of that frame.
    More,
}

impl Frames {
    /// `largest` is the limit on messages, bytes.
    pub(super) fn new(protocol: Protocol, largest: usize) -> Self {
        Self {
            protocol,
            largest,
            held: BytesMut::new(),
            through: 0,
            reworded: Bytes::new(),
        }
    }

    /// Takes what came in.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Gives out bytes of one frame at most.
    pub(super) fn give(&mut self, buf: &mut ReadBuf<'_>) -> Given {
        let given = if self.through > 0 || !self.reworded.is_empty() {
            Given::More
        } else if self.begin().is_some() {
            Given::Beginning
        } else {
            return Given::Nothing;
        };
        if !self.reworded.is_empty() {
            let count = self.reworded.len().min(buf.remaining());
            buf.put_slice(&self.reworded.split_to(count));
            return given;
        }
        let through = usize::try_from(self.through).unwrap_or(usize::MAX);
        let count = self.held.len().min(buf.remaining()).min(through);
        buf.put_slice(&self.held[..count]);
        self.through -= count as u64;
        self.let_go(count);
        match count {
            0 => Given::Nothing,
            _ => given,
        }
    }

    /// Decides on the next frame; `None` where more of it must come first.
    fn begin(&mut self) -> Option<()> {
        let head = Head::read(&self.held)?;
        let may_be_unknown =
            head.is_whole_text() && (TELLING as u64..=self.largest as u64).contains(&head.length);
        if may_be_unknown {
            let telling = head.payload(&self.held, TELLING)?;
            let may_be_unknown = reword::may_need_it([telling[0], telling[1]])
                || self.protocol == Protocol::Eio3 && telling == BASE64_MESSAGE;
            if may_be_unknown {
                let packet = head.payload(&self.held, head.length as usize)?;
                if let Some((kind, packet)) = self.reword(&packet) {
                    self.reworded = frame(kind, &packet);
                    self.let_go(head.frame() as usize);
                    return Some(());
                }
            }
        }
        self.through = head.frame();
        Some(())
    }

    /// A packet as the engine knows it, and the first byte of its frame; `None` if it does already.
    fn reword(&self, packet: &[u8]) -> Option<(u8, Vec<u8>)> {
        if let Some(base64) = packet.strip_prefix(BASE64_MESSAGE) {
            let mut message = vec![BINARY_MESSAGE];
            BASE64_STANDARD.decode_vec(base64, &mut message).ok()?;
            return Some((WHOLE_BINARY, message));
        }
        let packet = reword(self.protocol, std::str::from_utf8(packet).ok()?)?;
        Some((WHOLE_TEXT, packet.into_bytes()))
    }

    fn let_go(&mut self, count: usize) {
        self.held.advance(count);
        if self.held.is_empty() {
            // Gives the memory back: most connections are silent most of the time.
            self.held = BytesMut::new();
        }
    }
}

/// The head of a client's frame.
pub(super) struct Head {
    pub first: u8,
    masked: bool,
    mask_at: usize,
    pub length: u64,
}

impl Head {
    /// `None` where more of it must come first.
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
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

    pub(super) fn is_whole_text(&self) -> bool {
        self.first == WHOLE_TEXT && self.masked
    }

    fn payload_at(&self) -> usize {
        self.mask_at + if self.masked { 4 } else { 0 }
    }

    /// Length of the whole frame. A peer may claim any.
    pub(super) fn frame(&self) -> u64 {
        self.length.saturating_add(self.payload_at() as u64)
    }

    /// The first bytes of the payload, unmasked, where they are there.
    pub(super) fn payload(&self, frame: &[u8], count: usize) -> Option<Vec<u8>> {
        let begin = self.payload_at();
        let mut payload = frame.get(begin..begin + count)?.to_vec();
        if let Some(mask) = self
            .masked
            .then(|| &frame[self.mask_at..begin])
            .and_then(|mask| <[u8; 4]>::try_from(mask).ok())
        {
            for (at, byte) in payload.iter_mut().enumerate() {
                *byte ^= mask[at % 4];
            }
        }
        Some(payload)
    }
}

/// A frame as a client would send it, with a mask of zero.
fn frame(kind: u8, packet: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(packet.len() + 14);
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
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame, masked.
    fn masked(first: u8, packet: &str) -> Vec<u8> {
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

    /// What is given out, and how many frames began.
    fn given(bytes: &[u8], at_once: usize, asked_for: usize) -> (Vec<u8>, usize) {
        let mut frames = Frames::new(Protocol::Eio3, 1000);
        let (mut out, mut begun) = (Vec::new(), 0);
        let mut space = vec![0; asked_for];
        for part in bytes.chunks(at_once) {
            frames.push(part);
            loop {
                let mut buf = ReadBuf::new(&mut space);
                match frames.give(&mut buf) {
                    Given::Nothing => break,
                    Given::Beginning => begun += 1,
                    Given::More => {}
                }
                assert!(!buf.filled().is_empty());
                out.extend_from_slice(buf.filled());
            }
        }
        assert!(frames.held.is_empty());
        (out, begun)
    }

    #[test]
    fn frames_come_through_however_they_are_cut() {
        let long = format!("42[\"{}\"]", "40/x?".repeat(60));
        let frames = [
            masked(0x81, "2"),
            masked(0x81, &long),
            masked(0x82, "40/chat?a=b"),
            masked(0x81, "40/chat"),
            masked(0x81, "b4 no base64"),
            masked(0x01, r#"42["\n"#),
            masked(0x80, r#""]"#),
            masked(0x81, "4"),
        ]
        .concat();
        let mut sent = frames.clone();
        sent.extend(masked(0x81, "40/chat?a=b"));
        sent.extend(masked(0x81, r#"42["\n"]"#));
        sent.extend(masked(0x81, "b4AQID"));
        sent.extend(masked(0x81, "b4"));
        sent.extend(masked(0x89, ""));
        let mut expected = frames;
        expected.extend(frame(WHOLE_TEXT, br#"40/chat,{"a":"b"}"#));
        expected.extend(frame(WHOLE_TEXT, br#"42["","\n"]"#));
        expected.extend(frame(WHOLE_BINARY, b"\x04\x01\x02\x03"));
        expected.extend(frame(WHOLE_BINARY, b"\x04"));
        expected.extend(masked(0x89, ""));
        for at_once in [1, 2, 3, 7, 11, 64, 1000] {
            for asked_for in [1, 5, 128, 4096] {
                let what = format!("{at_once} at once, {asked_for} asked for");
                assert_eq!(
                    given(&sent, at_once, asked_for),
                    (expected.clone(), 13),
                    "{what}"
                );
            }
        }
    }

    #[test]
    fn a_length_that_lies_is_the_codecs_to_judge() {
        let lie = [&[0x81, 0xff][..], &[0xff; 8], &[0; 4], b"40/x?"].concat();
        assert_eq!(given(&lie, 3, 128), (lie, 1));
    }

    #[test]
    fn a_packet_beyond_the_limit_on_messages_is_not_waited_for() {
        let packet = format!("42[\"\\n{}\"]", "x".repeat(1000));
        let frame = masked(0x81, &packet);
        assert_eq!(given(&frame[..20], 3, 128), (frame[..20].to_vec(), 1));
    }
}
