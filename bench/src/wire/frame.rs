//! WebSocket framing from the client's side (RFC 6455): the upgrade request, frames of a server, frames to it.
//! Covers what the measured servers send: unfragmented, uncompressed frames.

use anyhow::{Result, bail};

pub const TEXT: u8 = 0x1;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Any key will do: it protects proxies from pages, and there are neither here.
const MASK: [u8; 4] = [0x5A, 0x17, 0xC3, 0x88];
const LARGEST: u64 = 16 << 20;
const LONGEST_ANSWER: usize = 16 << 10;

/// One whole frame of the server.
#[derive(Debug, PartialEq)]
pub struct Frame<'a> {
    pub opcode: u8,
    pub payload: &'a [u8],
}

/// The frame at the start of `bytes` and the length it takes, or `None` when it has not arrived whole.
pub fn read(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & FIN == 0 || first & 0x70 != 0 {
        bail!("frame header {first:#04x} is fragmented or compressed, which was not negotiated");
    }
    if second & MASKED != 0 {
        bail!("frame of the server is masked");
    }
    let (length, header) = match (second, rest) {
        (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 4),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 10)
        }
        (126 | 127, _) => return Ok(None),
        (short, _) => (u64::from(*short), 2),
    };
    if length > LARGEST {
        bail!("frame of {length} bytes is larger than any the benchmark asks for");
    }
    let end = header + length as usize;
    Ok(bytes.get(header..end).map(|payload| {
        let opcode = first & 0x0F;
        (Frame { opcode, payload }, end)
    }))
}

/// Appends one masked frame to `out`.
pub fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(FIN | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(MASKED | length as u8),
        length @ 126..=0xFFFF => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
}

/// The HTTP request that opens a WebSocket.
pub fn upgrade_request(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: aGFuZHNoYWtlbi1iZW5jaA==\r\n\r\n"
    )
    .into_bytes()
}

/// The length of the answer to the upgrade request once it is whole; an error unless it says 101.
pub fn upgrade_answer(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        if bytes.len() > LONGEST_ANSWER {
            bail!("answer to the upgrade has no end after {LONGEST_ANSWER} bytes");
        }
        return Ok(None);
    };
    if !bytes.starts_with(b"HTTP/1.1 101 ") {
        let line = bytes[..end]
            .split(|byte| *byte == b'\r')
            .next()
            .unwrap_or_default();
        bail!("upgrade answered {:?}", String::from_utf8_lossy(line));
    }
    Ok(Some(end + 4))
}

/// Code and reason of a close frame, for people.
pub fn close_reason(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => format!(
            "closed with {} {}",
            u16::from_be_bytes([*high, *low]),
            String::from_utf8_lossy(reason)
        ),
        _ => "closed without a code".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmasked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![FIN | opcode];
        match payload.len() {
            length @ 0..=125 => out.push(length as u8),
            length @ 126..=0xFFFF => {
                out.push(126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                out.push(127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn frames_of_every_length_form_are_read() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let mut bytes = unmasked(TEXT, &payload);
            let whole = bytes.len();
            bytes.extend_from_slice(b"next");
            let (frame, used) = read(&bytes).unwrap().unwrap();
            assert_eq!((frame.opcode, frame.payload.len()), (TEXT, length));
            assert_eq!(used, whole);
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_waited_for() {
        let bytes = unmasked(TEXT, &[b'x'; 300]);
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]).unwrap(), None, "cut at {cut}");
        }
    }

    #[test]
    fn fragmented_masked_and_giant_frames_are_refused() {
        assert!(read(&[TEXT, 0]).is_err());
        assert!(read(&[FIN | TEXT, MASKED]).is_err());
        let mut giant = vec![FIN | TEXT, 127];
        giant.extend_from_slice(&u64::MAX.to_be_bytes());
        assert!(read(&giant).is_err());
    }

    #[test]
    fn a_written_frame_unmasks_to_its_payload() {
        for length in [3, 126, 70_000] {
            let payload: Vec<u8> = (0..length).map(|n: u32| n as u8).collect();
            let mut out = Vec::new();
            write(&mut out, TEXT, &payload);
            let start = out.len() - payload.len();
            assert_eq!(out[start - 4..start], MASK);
            let back: Vec<u8> = out[start..]
                .iter()
                .enumerate()
                .map(|(n, byte)| byte ^ MASK[n % 4])
                .collect();
            assert_eq!(back, payload);
        }
    }

    #[test]
    fn only_101_upgrades() {
        assert_eq!(upgrade_answer(b"HTTP/1.1 101 Swit").unwrap(), None);
        let answer = b"HTTP/1.1 101 Switching Protocols\r\na: b\r\n\r\nrest";
        assert_eq!(upgrade_answer(answer).unwrap(), Some(answer.len() - 4));
        let refusal = upgrade_answer(b"HTTP/1.1 503 Busy\r\n\r\n").unwrap_err();
        assert!(refusal.to_string().contains("503 Busy"), "{refusal}");
    }

    #[test]
    fn a_close_names_its_code_and_reason() {
        assert_eq!(
            close_reason(b"\x03\xF0slow peer"),
            "closed with 1008 slow peer"
        );
        assert_eq!(close_reason(b""), "closed without a code");
    }
}
