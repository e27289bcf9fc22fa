//! The list of the Autobahn suite, as far as it applies: what is sent, what must come back, and with which status the
//! connection must be closed.

use crate::{
    echo::{LIMITS, NO_JSON},
    frames::{CLOSE, Case, bad, bad_after, good},
    harness::raw::{BINARY, PING, TEXT, frame, header},
};

const CONTINUED: u8 = 0;
const PONG: u8 = 10;

pub fn all() -> Vec<Case> {
    [
        lengths(),
        pings(),
        reserved(),
        fragments(),
        utf8(),
        closes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A JSON string of this length in bytes, quotes included.
fn text_of(length: usize) -> Vec<u8> {
    let mut text = vec![b'*'; length];
    text[0] = b'"';
    text[length - 1] = b'"';
    text
}

fn text(content: &[u8]) -> Vec<u8> {
    frame(true, TEXT, content)
}

fn with_first_byte(first: u8, mut frame: Vec<u8>) -> Vec<u8> {
    frame[0] = first;
    frame
}

fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [
        2,
        125,
        126,
        127,
        128,
        65_535,
        65_536,
        65_537,
        LIMITS.message,
    ] {
        let content = text_of(length);
        cases.push(good(
            format!("a text of {length} bytes"),
            &[&text(&content)],
            &[(TEXT, &content)],
        ));
    }
    cases.push(good(
        "an empty text",
        &[&text(b"")],
        &[(TEXT, NO_JSON.as_bytes())],
    ));
    for length in [0, 1, 126, 65_536] {
        let content = vec![0xfe; length];
        let sent = frame(true, BINARY, &content);
        cases.push(bad(format!("{length} bytes of binary"), &[&sent], 1003));
    }
    let larger = text_of(LIMITS.message + 1);
    cases.push(bad("a text that is too large", &[&text(&larger)], 1009));
    for length in [LIMITS.message as u64 + 1, 1 << 30, 1 << 62, (1 << 63) - 1] {
        let name = format!("a header that announces {length} bytes");
        cases.push(bad(name, &[&header(true, TEXT, length), b"x"], 1009));
    }
    let half = text_of(LIMITS.message / 2 + 1);
    cases.push(bad(
        "fragments that are too large together",
        &[&frame(false, TEXT, &half), &frame(false, CONTINUED, &half)],
        1009,
    ));
    let drops: Vec<u8> = (0..=LIMITS.message)
        .flat_map(|_| frame(false, CONTINUED, b"x"))
        .collect();
    cases.push(bad(
        "fragments without end",
        &[&frame(false, TEXT, b""), &drops],
        1009,
    ));
    cases
}

fn pings() -> Vec<Case> {
    let mut cases = Vec::new();
    for content in [&b""[..], b"Hello", b"\x00\xff\xfe", &[0xfe; 125]] {
        let name = format!("a ping with {} bytes", content.len());
        cases.push(good(
            name,
            &[&frame(true, PING, content)],
            &[(PONG, content)],
        ));
    }
    let long = frame(true, PING, &[0xfe; 126]);
    cases.push(bad("a ping with 126 bytes", &[&long], 1002));
    cases.push(good(
        "a pong that nobody asked for",
        &[&frame(true, PONG, b"x")],
        &[],
    ));
    let payloads: Vec<_> = (0..10).map(|n| format!("payload {n}")).collect();
    let ten: Vec<_> = payloads
        .iter()
        .map(|p| frame(true, PING, p.as_bytes()))
        .collect();
    let ten: Vec<&[u8]> = ten.iter().map(Vec::as_slice).collect();
    let pongs: Vec<_> = payloads.iter().map(|p| (PONG, p.as_bytes())).collect();
    cases.push(good("ten pings", &ten, &pongs));
    cases
}

fn reserved() -> Vec<Case> {
    let mut cases = Vec::new();
    for bits in 1..8u8 {
        for (kind, name) in [(TEXT, "text"), (PING, "ping"), (CLOSE, "close")] {
            let sent = with_first_byte(0x80 | bits << 4 | kind, frame(true, kind, b""));
            let before = text(b"1");
            cases.push(bad_after(
                format!("a {name} with reserved bits {bits}"),
                &[&before],
                &[(TEXT, b"1")],
                &sent,
                1002,
            ));
        }
    }
    for kind in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for content in [&b""[..], b"x"] {
            cases.push(bad(
                format!("opcode {kind} with {} bytes", content.len()),
                &[&frame(true, kind, content), &frame(true, PING, b"")],
                1002,
            ));
        }
    }
    let mut unmasked = text(b"1");
    unmasked[1] &= 0x7f;
    unmasked.drain(2..6);
    cases.push(bad("a frame without a mask", &[&unmasked], 1002));
    let masked = [&[0x81, 0x81, 1, 2, 3, 4][..], &[b'7' ^ 1]].concat();
    cases.push(good("a mask that is not zero", &[&masked], &[(TEXT, b"7")]));
    cases
}

fn fragments() -> Vec<Case> {
    let (begin, middle, end) = (
        frame(false, TEXT, b"\"frag"),
        frame(false, CONTINUED, b"ment"),
        frame(true, CONTINUED, b"ed\""),
    );
    let whole: (u8, &[u8]) = (TEXT, b"\"fragmented\"");
    let ping = frame(true, PING, b"between");
    let pong: (u8, &[u8]) = (PONG, b"between");
    let empty = frame(false, CONTINUED, b"");
    vec![
        bad(
            "a ping in two",
            &[&frame(false, PING, b"x"), &frame(true, CONTINUED, b"")],
            1002,
        ),
        bad(
            "a pong in two",
            &[&frame(false, PONG, b"x"), &frame(true, CONTINUED, b"")],
            1002,
        ),
        bad(
            "a close in two",
            &[&frame(false, CLOSE, b""), &frame(true, CONTINUED, b"")],
            1002,
        ),
        good("a text in three", &[&begin, &middle, &end], &[whole]),
        good(
            "pings between fragments",
            &[&begin, &ping, &middle, &ping, &end],
            &[pong, pong, whole],
        ),
        good(
            "a pong between fragments",
            &[&begin, &frame(true, PONG, b""), &middle, &end],
            &[whole],
        ),
        good(
            "empty fragments",
            &[
                &frame(false, TEXT, b""),
                &empty,
                &frame(false, CONTINUED, b"1"),
                &empty,
                &frame(true, CONTINUED, b""),
            ],
            &[(TEXT, b"1")],
        ),
        good(
            "nothing in fragments",
            &[
                &frame(false, TEXT, b""),
                &empty,
                &frame(true, CONTINUED, b""),
            ],
            &[(TEXT, NO_JSON.as_bytes())],
        ),
        good(
            "two texts in fragments",
            &[&begin, &middle, &end, &begin, &middle, &end],
            &[whole, whole],
        ),
        bad(
            "a last fragment of nothing",
            &[&frame(true, CONTINUED, b"x")],
            1002,
        ),
        bad(
            "a fragment of nothing",
            &[&frame(false, CONTINUED, b"x"), &end],
            1002,
        ),
        bad_after(
            "a fragment after the last",
            &[&begin, &middle, &end],
            &[whole],
            &end,
            1002,
        ),
        bad("a text among fragments", &[&begin, &text(b"1")], 1002),
        bad("a beginning among fragments", &[&begin, &begin], 1002),
        bad(
            "binary in fragments",
            &[&frame(false, BINARY, b"x"), &frame(true, CONTINUED, b"y")],
            1003,
        ),
        good("a close among fragments", &[&begin], &[]),
    ]
}

fn utf8() -> Vec<Case> {
    let mut cases = Vec::new();
    for valid in [
        "κόσμε",
        "Hello-µ@ßöäüàá-UTF-8!!",
        "\u{0}",
        "\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
        "\u{d7ff}\u{e000}\u{fffd}\u{fffe}\u{feff}",
        "👩\u{200d}🚀 ✓ שלום てすと",
    ] {
        // A control character is no JSON as it is, but text all the same.
        let content = format!("\"{valid}\"");
        let back = match valid {
            "\u{0}" => NO_JSON,
            _ => &content,
        };
        let came: &[(u8, &[u8])] = &[(TEXT, back.as_bytes())];
        cases.push(good(
            format!("{valid:?}"),
            &[&text(content.as_bytes())],
            came,
        ));
        let mut bytewise = frame(false, TEXT, b"");
        for byte in content.bytes() {
            bytewise.extend(frame(false, CONTINUED, &[byte]));
        }
        bytewise.extend(frame(true, CONTINUED, b""));
        cases.push(good(format!("{valid:?} byte by byte"), &[&bytewise], came));
    }
    for invalid in [
        &b"\xff"[..],
        b"\xfe",
        b"\x80",
        b"\xbf",
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"\xce",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
    ] {
        let content = [b"\"", invalid, b"\""].concat();
        cases.push(bad(format!("{invalid:x?}"), &[&text(&content)], 1007));
        cases.push(bad(
            format!("{invalid:x?} in a second fragment"),
            &[
                &frame(false, TEXT, b"\"fine"),
                &frame(true, CONTINUED, &content),
            ],
            1007,
        ));
    }
    cases.push(bad(
        "half a character at the end",
        &[&text(b"\"\xe2\x82")],
        1007,
    ));
    cases.push(bad(
        "what cannot become text any more, before its end has come",
        &[&frame(false, TEXT, b"\"\xff")],
        1007,
    ));
    cases
}

fn closes() -> Vec<Case> {
    let close = |content: &[u8]| frame(true, CLOSE, content);
    let coded = |code: u16, reason: &[u8]| close(&[&code.to_be_bytes()[..], reason].concat());
    let mut cases = vec![
        Case {
            status: None,
            ..bad("a close without a status", &[&close(b"")], 0)
        },
        bad("a close of one byte", &[&close(b"\x03")], 1002),
        bad("a reason of 123 bytes", &[&coded(1000, &[b'*'; 123])], 1000),
        bad("a reason of 124 bytes", &[&coded(1000, &[b'*'; 124])], 1002),
        bad(
            "a reason that is no text",
            &[&coded(1000, b"\xce\xba\xe1\xbd")],
            1007,
        ),
        bad(
            "a text and a ping after the close",
            &[&coded(1000, b""), &text(b"1"), &frame(true, PING, b"")],
            1000,
        ),
        bad("two closes", &[&coded(1000, b""), &coded(1000, b"")], 1000),
        bad_after(
            "an answer and a close",
            &[&text(b"1")],
            &[(TEXT, b"1")],
            &coded(1001, b"x"),
            1001,
        ),
    ];
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999,
    ] {
        cases.push(bad(format!("status {code}"), &[&coded(code, b"why")], code));
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        cases.push(bad(format!("status {code}"), &[&coded(code, b"why")], 1002));
    }
    cases
}
