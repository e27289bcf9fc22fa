//! Engine.IO 3 over polling is two dialects. A 1.x client encodes text as UTF-8, takes the bytes for
//! characters and encodes those once more, and a 1.x browser reads answers as bytes, so that lengths
//! in characters break it after the first answer that is not ASCII. A 2.x client does neither. Here
//! both are served: answers are made ASCII, where characters, bytes and UTF-16 units are the same
//! number; requests are decoded once more where that is what they were.

use std::fmt::Write;

use bytes::{BufMut, Bytes, BytesMut};

/// Where a payload of binary framing keeps its kinds: engine.io-parser 1.x and 2.x.
const BINARY_FRAMED_TEXT: u8 = 0;
const BINARY_FRAMED_DATA: u8 = 1;
const BINARY_FRAME_HEAD_END: u8 = 0xff;

/// One packet of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Text(String),
    /// The first byte is its type.
    Binary(Bytes),
}

/// The payload is not framed as it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload is not framed as Engine.IO 3 does it")]
pub(super) struct BadFraming;

/// Splits a request's payload into packets, each decoded once more where the client encoded twice.
/// `encodes_once` is what is known of this client from earlier payloads.
pub(super) fn request(
    payload: &Bytes,
    binary: bool,
    encodes_once: &mut bool,
) -> Result<Vec<Packet>, BadFraming> {
    let packets = if binary {
        split_binary(payload)?
    } else {
        split_text(payload)?
    };
    // No 1.x client sends a character beyond U+00FF over polling.
    *encodes_once |= packets
        .iter()
        .any(|packet| matches!(packet, Packet::Text(text) if text.chars().any(|c| c > '\u{ff}')));
    let meant = |packet| match packet {
        Packet::Text(text) => Packet::Text(if *encodes_once {
            text
        } else {
            decode_again(text)
        }),
        binary => binary,
    };
    Ok(packets.into_iter().map(meant).collect())
}

/// Frames packets into one payload.
pub(super) fn join(packets: impl Iterator<Item = Packet>, binary: bool) -> Bytes {
    let mut payload = BytesMut::new();
    for packet in packets {
        match packet {
            Packet::Text(text) if binary => {
                put_binary_frame(&mut payload, BINARY_FRAMED_TEXT, text.as_bytes())
            }
            Packet::Text(text) => {
                payload.put_slice(format!("{}:", text.encode_utf16().count()).as_bytes());
                payload.put_slice(text.as_bytes());
            }
            Packet::Binary(data) => put_binary_frame(&mut payload, BINARY_FRAMED_DATA, &data),
        }
    }
    payload.freeze()
}

/// JSON with everything beyond ASCII escaped. Only strings hold such characters.
pub(super) fn to_ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

/// The text that was taken for bytes, if that is what this is.
fn decode_again(text: String) -> String {
    if text.is_ascii() {
        return text;
    }
    let bytes: Option<Vec<u8>> = text
        .chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect();
    match bytes.map(String::from_utf8) {
        Some(Ok(decoded)) => decoded,
        _ => text,
    }
}

/// `<length>:<packet>…`, lengths in UTF-16 units.
fn split_text(payload: &[u8]) -> Result<Vec<Packet>, BadFraming> {
    // As Node reads bodies.
    let payload = String::from_utf8_lossy(payload);
    let mut rest = &*payload;
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let (length, tail) = rest.split_once(':').ok_or(BadFraming)?;
        let length: usize = length.parse().map_err(|_| BadFraming)?;
        let mut units = 0;
        let mut end = 0;
        for c in tail.chars() {
            if units >= length {
                break;
            }
            units += c.len_utf16();
            end += c.len_utf8();
        }
        if units != length || length == 0 {
            return Err(BadFraming);
        }
        packets.push(Packet::Text(tail[..end].to_owned()));
        rest = &tail[end..];
    }
    Ok(packets)
}

/// `<kind><length, one digit a byte><255><packet>…`, lengths in bytes.
fn split_binary(payload: &Bytes) -> Result<Vec<Packet>, BadFraming> {
    let mut rest = payload.clone();
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let head = rest
            .iter()
            .position(|byte| *byte == BINARY_FRAME_HEAD_END)
            .ok_or(BadFraming)?;
        let (kind, digits) = rest[..head].split_first().ok_or(BadFraming)?;
        // Twelve digits count more than any payload may hold.
        if digits.is_empty() || digits.len() > 12 || digits.iter().any(|digit| *digit > 9) {
            return Err(BadFraming);
        }
        let length = digits
            .iter()
            .fold(0, |length, digit| length * 10 + usize::from(*digit));
        let kind = *kind;
        let _ = rest.split_to(head + 1);
        if length == 0 || length > rest.len() {
            return Err(BadFraming);
        }
        let packet = rest.split_to(length);
        packets.push(match kind {
            BINARY_FRAMED_TEXT => {
                Packet::Text(String::from_utf8(packet.to_vec()).map_err(|_| BadFraming)?)
            }
            BINARY_FRAMED_DATA => Packet::Binary(packet),
            _ => return Err(BadFraming),
        });
    }
    Ok(packets)
}

fn put_binary_frame(payload: &mut BytesMut, kind: u8, packet: &[u8]) {
    payload.put_u8(kind);
    payload.extend(packet.len().to_string().bytes().map(|digit| digit - b'0'));
    payload.put_u8(BINARY_FRAME_HEAD_END);
    payload.put_slice(packet);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Packet {
        Packet::Text(text.to_owned())
    }

    fn parse(payload: &'static str) -> Result<Vec<Packet>, BadFraming> {
        request(&Bytes::from_static(payload.as_bytes()), false, &mut false)
    }

    #[test]
    fn a_1_x_client_that_encoded_twice_is_decoded_once_more() {
        let twice: String = "420[\"echo\",\"✓😀\"]".bytes().map(char::from).collect();
        let payload = format!("{}:{twice}", twice.chars().count());
        assert_eq!(
            request(&payload.into(), false, &mut false).unwrap(),
            [text("420[\"echo\",\"✓😀\"]")]
        );
    }

    #[test]
    fn a_2_x_client_is_left_as_it_is_and_remembered() {
        let mut encodes_once = false;
        assert_eq!(
            request(&"17:420[\"echo\",\"✓😀\"]".into(), false, &mut encodes_once).unwrap(),
            [text("420[\"echo\",\"✓😀\"]")]
        );
        assert!(encodes_once);
        // Looks like something encoded twice, but this client does not.
        assert_eq!(
            request(&"5:42\"Ã©".into(), false, &mut encodes_once).unwrap(),
            [text("42\"Ã©")]
        );
    }

    #[test]
    fn latin_1_text_that_is_no_utf8_stays() {
        assert_eq!(parse("4:42\"é").unwrap(), [text("42\"é")]);
    }

    #[test]
    fn answers_are_ascii_with_matching_lengths() {
        let packets = ["42[\"✓😀\",1]", "40"].map(|packet| text(&to_ascii(packet)));
        assert_eq!(
            join(packets.into_iter(), false),
            "26:42[\"\\u2713\\ud83d\\ude00\",1]2:40"
        );
    }

    #[test]
    fn framing_that_lies_is_refused() {
        for payload in [
            "5:42",
            "0:",
            ":42",
            "x",
            "2:42junk",
            "-1:4",
            "3:4😀x",
            "99999999999999999999:4",
        ] {
            assert_eq!(parse(payload), Err(BadFraming), "{payload}");
        }
    }

    #[test]
    fn binary_framing_goes_there_and_back() {
        let packets = [
            text("420[\"✓\"]"),
            Packet::Binary(Bytes::from_static(b"\x04\xff\x00")),
        ];
        let payload = join(packets.clone().into_iter(), true);
        assert_eq!(request(&payload, true, &mut true).unwrap(), packets);
        for lie in [
            &b"\x00\x09\xff4"[..],
            b"\x00\xff4",
            b"\x02\x01\xff4",
            b"\x00\x01",
            b"\x00\x10\xff4",
        ] {
            assert_eq!(
                split_binary(&Bytes::from_static(lie)),
                Err(BadFraming),
                "{lie:?}"
            );
        }
    }
}
