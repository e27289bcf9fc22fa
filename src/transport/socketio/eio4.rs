//! Payloads of Engine.IO 4 over polling: packets with a separator between them.

use bytes::Bytes;

use super::{reword::reword, session::Protocol};

/// Engine.IO 4 separates packets with this.
pub(super) const SEPARATOR: u8 = 0x1e;

/// A payload of Engine.IO 4 as packets, each with the separator that follows it.
pub(super) fn split(body: &Bytes) -> Vec<Bytes> {
    let mut packets = Vec::new();
    let mut begin = 0;
    let separators = body
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == SEPARATOR);
    for end in separators.map(|(at, _)| at + 1).chain([body.len()]) {
        if begin < end {
            packets.push(body.slice(begin..end));
        }
        begin = end;
    }
    packets
}

/// A packet as the engine can read it.
pub(super) fn reworded(packet: Bytes) -> Bytes {
    let reworded = std::str::from_utf8(&packet)
        .ok()
        .and_then(|packet| reword(Protocol::Eio4, packet));
    reworded.map_or(packet, Bytes::from)
}
