//! What a session on a WebSocket is told past the engine: the events of its peers and its answers, as
//! frames that its `wire` writes as they are. That spares the engine's queue, its writing task and
//! its codec. What the engine itself has to say still comes through it. Here the two are kept in
//! order: where something of the engine's must go first, what follows waits behind it.

use std::collections::VecDeque;

use bytes::{BufMut, BytesMut};
use parking_lot::Mutex;
use serde_json::value::RawValue;

/// An event that the engine is given to find out when all that was queued there before has been
/// written. It stays on this side of the wire.
pub(super) const MARK: &str = "handshaken: all before this is out";

/// What a packet costs at least besides its name and payload: packet types, a digit, brackets. It is not counted for
/// more than goes out by the shortest way, polling: what is over would be taken for waiting, packet after packet.
pub(super) const FRAMING: usize = 5;

/// A packet that a peer sends.
pub(super) enum Packet<'a> {
    Event {
        namespace: &'a str,
        name: &'a str,
        payload: &'a RawValue,
    },
    /// The answer to an event of the client's.
    Ack {
        namespace: &'a str,
        id: i64,
        answer: &'a RawValue,
    },
}

/// Frames that wait for the wire.
#[derive(Default)]
pub(super) struct Outbox(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    way: Way,
    ready: Frames,
    /// One for each packet in the engine's queue that must go first: what follows it.
    behind: VecDeque<Frames>,
}

/// How a session's packets go out.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Way {
    /// By the engine: the session polls, or has not gone over to its WebSocket.
    #[default]
    Engine,
    /// By the wire.
    Direct,
    /// Not any more.
    Closed,
}

#[derive(Default)]
struct Frames {
    bytes: BytesMut,
    packets: usize,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// It is the first that waits for the wire, which is to be told.
    First,
    /// The wire or the engine knows of something before it, or nothing goes out any more.
    Known,
}

impl Outbox {
    /// Queues a packet: for the wire, or where the wire does not take it, by `by_engine`, which is called at
    /// this very place in the order of packets. So is `is_in`: a peer that has left by then, and whose client
    /// may have come back as another one, is told nothing.
    pub(super) fn queue<E>(
        &self,
        packet: &Packet<'_>,
        is_in: impl FnOnce() -> Result<(), E>,
        by_engine: impl FnOnce() -> Result<(), E>,
    ) -> Result<Queued, E> {
        let mut waiting = self.0.lock();
        match waiting.way {
            Way::Engine => by_engine().map(|()| Queued::Known),
            Way::Closed => Ok(Queued::Known),
            Way::Direct => {
                is_in()?;
                let is_first = waiting.ready.packets == 0 && waiting.behind.is_empty();
                let Waiting { ready, behind, .. } = &mut *waiting;
                let frames = behind.back_mut().unwrap_or(ready);
                packet.put(&mut frames.bytes);
                frames.packets += 1;
                Ok(if is_first {
                    Queued::First
                } else {
                    Queued::Known
                })
            }
        }
    }

    /// Has the engine queue a packet that nothing of what follows may overtake: a question or a [`MARK`].
    pub(super) fn queue_behind<T, E>(
        &self,
        by_engine: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut waiting = self.0.lock();
        let queued = by_engine()?;
        if waiting.way == Way::Direct {
            waiting.behind.push_back(Frames::default());
        }
        Ok(queued)
    }

    /// Where packets go past the engine, what follows waits until the engine has written what it has now. `mark`
    /// has it queue a [`MARK`], and tells whether it did: not where nobody is connected who could be overtaken.
    pub(super) fn mark<E>(&self, mark: impl FnOnce() -> Result<bool, E>) -> Result<(), E> {
        self.0.lock().mark(mark)
    }

    /// From now on packets go past the engine, behind what it has.
    pub(super) fn go_direct<E>(&self, mark: impl FnOnce() -> Result<bool, E>) -> Result<(), E> {
        let mut waiting = self.0.lock();
        if waiting.way == Way::Engine {
            waiting.way = Way::Direct;
            waiting.mark(mark)?;
        }
        Ok(())
    }

    /// Moves what may go out behind what is in `out`; how many packets those are.
    pub(super) fn take(&self, out: &mut BytesMut) -> usize {
        let mut waiting = self.0.lock();
        waiting.take(out)
    }

    /// Moves what may go out and the engine's frames behind what is in `out`, each in its place; how many
    /// packets those are.
    pub(super) fn take_with(&self, mut frames: &[u8], out: &mut BytesMut) -> usize {
        let mut waiting = self.0.lock();
        let mut packets = waiting.take(out);
        while let Some((frame, rest)) = split_frame(frames) {
            let what = text(frame).map(Frame::of).unwrap_or(Frame::Other);
            if what != Frame::Receipt {
                out.extend_from_slice(frame);
                packets += 1;
            }
            if what != Frame::Other
                && let Some(following) = waiting.behind.pop_front()
            {
                waiting.ready = following;
                packets += waiting.take(out);
            }
            frames = rest;
        }
        // The codec hands over whole frames.
        out.extend_from_slice(frames);
        packets
    }

    /// Nothing goes out any more.
    pub(super) fn close(&self) {
        *self.0.lock() = Waiting {
            way: Way::Closed,
            ..Waiting::default()
        };
    }
}

impl Waiting {
    fn mark<E>(&mut self, mark: impl FnOnce() -> Result<bool, E>) -> Result<(), E> {
        if self.way == Way::Direct && mark()? {
            self.behind.push_back(Frames::default());
        }
        Ok(())
    }

    fn take(&mut self, out: &mut BytesMut) -> usize {
        let ready = std::mem::take(&mut self.ready);
        if out.is_empty() {
            *out = ready.bytes;
        } else {
            out.extend_from_slice(&ready.bytes);
        }
        ready.packets
    }
}

/// What the engine writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    Receipt,
    /// An event that asks for an answer.
    Question,
    Other,
}

impl Frame {
    fn of(packet: &[u8]) -> Self {
        let Some(mut event) = packet.strip_prefix(b"42") else {
            return Self::Other;
        };
        if event.first() == Some(&b'/') {
            let end = event.iter().position(|byte| *byte == b',');
            event = end.map_or(&[], |end| &event[end + 1..]);
        }
        let is_mark = event
            .strip_prefix(b"[\"")
            .is_some_and(|event| event.starts_with(MARK.as_bytes()));
        match event.first() {
            _ if is_mark => Self::Receipt,
            Some(b'0'..=b'9') => Self::Question,
            _ => Self::Other,
        }
    }
}

impl Packet<'_> {
    /// Bytes, at least.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Event { name, payload, .. } => name.len() + payload.get().len() + FRAMING,
            Self::Ack { answer, .. } => answer.get().len() + FRAMING,
        }
    }

    /// Appends it in a frame of a server's (RFC 6455, 5.2).
    fn put(&self, out: &mut BytesMut) {
        let (kind, namespace, head, payload) = match *self {
            Self::Event {
                namespace,
                name,
                payload,
            } => {
                let name = serde_json::to_string(name).expect("text encodes as JSON");
                ("42", namespace, format!("[{name},"), payload)
            }
            Self::Ack {
                namespace,
                id,
                answer,
            } => ("43", namespace, format!("{id}["), answer),
        };
        let (namespace, comma) = match namespace {
            "/" => ("", ""),
            namespace => (namespace, ","),
        };
        let parts = [kind, namespace, comma, &head, payload.get(), "]"];
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        out.reserve(length + 10);
        out.put_u8(0x81);
        match length {
            ..126 => out.put_u8(length as u8),
            126..=0xffff => {
                out.put_u8(126);
                out.put_u16(length as u16);
            }
            _ => {
                out.put_u8(127);
                out.put_u64(length as u64);
            }
        }
        for part in parts {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// The first of a server's frames (RFC 6455, 5.2; not masked) and what follows it.
pub(super) fn split_frame(frames: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, length) = match (*frames.get(1)? & 0x7f) as usize {
        126 => (
            4,
            u16::from_be_bytes(frames.get(2..4)?.try_into().ok()?) as usize,
        ),
        127 => (
            10,
            u64::from_be_bytes(frames.get(2..10)?.try_into().ok()?) as usize,
        ),
        length => (2, length),
    };
    frames.split_at_checked(head + length)
}

/// What is in a text frame.
fn text(frame: &[u8]) -> Option<&[u8]> {
    let head = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    (frame[0] == 0x81).then(|| &frame[head..])
}

#[cfg(test)]
mod tests;
