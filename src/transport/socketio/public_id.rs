//! What a client is called in a namespace. The engine tells it the id of its Engine.IO session, with
//! which anybody could poll in its place, and pages hand their `socket.id` around. So clients are told
//! another id in their CONNECT packet, as Node's server does. It has the same length, and replaces the
//! session's in place.

use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

use socketioxide::{ProtocolVersion, adapter::LocalAdapter, socket::Socket};

use super::{eio4::SEPARATOR, outbox::split_frame};

/// An Engine.IO message packet with a Socket.IO CONNECT packet in it.
const CONNECT: &[u8] = b"40";

/// What stands between the namespace and the id.
const BEFORE_ID: &[u8] = b"{\"sid\":\"";

/// Characters of a session's id and of a public one.
const LENGTH: usize = 16;

/// What a client knows as its `socket.id`. Socket.IO 1.x and 2.x clients make theirs up from the
/// session's: that one is not to be told to others.
pub fn id(socket: &Socket<LocalAdapter>) -> String {
    let (sid, namespace) = (socket.id.to_string(), socket.ns());
    match (socket.protocol(), namespace) {
        (ProtocolVersion::V5, namespace) => public(sid.as_bytes(), namespace.as_bytes()),
        (ProtocolVersion::V4, "/") => sid,
        (ProtocolVersion::V4, namespace) => format!("{namespace}#{sid}"),
    }
}

/// WebSocket frames of a server with public ids; `None` where there is nothing to replace.
pub(super) fn in_frames(frames: &[u8]) -> Option<Vec<u8>> {
    let mut replaced = None;
    let mut rest = frames;
    while let Some((frame, following)) = split_frame(rest) {
        // A CONNECT packet fits the shortest kind of frame, or the namespace is rather long.
        let head = if frame[1] == 126 { 4 } else { 2 };
        if frame[0] == 0x81 {
            let begin = frames.len() - rest.len() + head;
            let end = frames.len() - following.len();
            replace(frames, begin..end, &mut replaced);
        }
        rest = following;
    }
    replaced
}

/// A payload of Engine.IO 4 with public ids; `None` where there is nothing to replace.
pub(super) fn in_payload(payload: &[u8]) -> Option<Vec<u8>> {
    let mut replaced = None;
    let mut begin = 0;
    for packet in payload.split(|byte| *byte == SEPARATOR) {
        let end = begin + packet.len();
        replace(payload, begin..end, &mut replaced);
        begin = end + 1;
    }
    replaced
}

/// Replaces the id in one packet of `all`, where that is a CONNECT packet.
fn replace(all: &[u8], packet: std::ops::Range<usize>, replaced: &mut Option<Vec<u8>>) {
    let Some((namespace, id)) = all.get(packet.clone()).and_then(find) else {
        return;
    };
    let at = packet.start + id;
    let new = public(&all[at..at + LENGTH], namespace);
    replaced.get_or_insert_with(|| all.to_vec())[at..at + LENGTH].copy_from_slice(new.as_bytes());
}

/// The namespace that a CONNECT packet is for, and where the session's id is.
fn find(packet: &[u8]) -> Option<(&[u8], usize)> {
    let rest = packet.strip_prefix(CONNECT)?;
    let namespace = match rest.first()? {
        b'/' => &rest[..rest.iter().position(|byte| *byte == b',')?],
        _ => &[],
    };
    let comma = usize::from(!namespace.is_empty());
    let rest = rest[namespace.len() + comma..].strip_prefix(BEFORE_ID)?;
    if rest.get(LENGTH) != Some(&b'"') {
        return None;
    }
    let namespace = if namespace.is_empty() {
        b"/"
    } else {
        namespace
    };
    Some((namespace, packet.len() - rest.len()))
}

/// Says nothing about the session's id to anybody who does not know this process's key.
fn public(sid: &[u8], namespace: &[u8]) -> String {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    format!("{:016x}", KEY.hash_one((sid, namespace)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "abcdefghABCDEF_-";

    fn connect(namespace: &str, id: &str) -> String {
        format!("40{namespace}{{\"sid\":\"{id}\"}}")
    }

    #[test]
    fn every_namespace_has_its_own_id() {
        let payload = [connect("", SID), connect("/chat,", SID), "42[1]".into()].join("\x1e");
        let root = public(SID.as_bytes(), b"/");
        let chat = public(SID.as_bytes(), b"/chat");
        assert_ne!(root, chat);
        assert_eq!(
            in_payload(payload.as_bytes()).unwrap(),
            [connect("", &root), connect("/chat,", &chat), "42[1]".into()]
                .join("\x1e")
                .into_bytes()
        );
    }

    #[test]
    fn frames_around_it_stay() {
        let frame = |text: &str| [&[0x81, text.len() as u8], text.as_bytes()].concat();
        let frames = [frame("2"), frame(&connect("", SID)), frame("42[1]")].concat();
        let root = public(SID.as_bytes(), b"/");
        assert_eq!(
            in_frames(&frames).unwrap(),
            [frame("2"), frame(&connect("", &root)), frame("42[1]")].concat()
        );
    }

    #[test]
    fn nothing_else_is_touched() {
        for packet in [
            "40",
            "40/",
            "40/chat,",
            "40{\"sid\":\"short\"}",
            "42{\"sid\":\"",
            "4",
        ] {
            assert_eq!(in_payload(packet.as_bytes()), None, "{packet}");
        }
        assert_eq!(in_frames(b"\x82\x0240\x81\x0140"), None);
    }
}
