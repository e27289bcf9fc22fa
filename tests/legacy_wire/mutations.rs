//! The protocol's readers against many texts that are almost right: seeded, so that a failure
//! comes again. `fuzz/` looks further, where cargo-fuzz is at hand.

use handshaken::transport::legacy::{packet::Packet, payload};

const ROUNDS: usize = 200_000;

const CORPUS: [&str; 12] = [
    "0::",
    "1::/chat:?a=b",
    "2::",
    "3:1::with-ack",
    "4:::{\"a\":1,\"b\":\"x\"}",
    "5:2+::{\"name\":\"ev\",\"args\":[\"x\",{\"y\":[1,2]}]}",
    "6:::2+[\"ackd\",{\"n\":1}]",
    "7:::1+0",
    "8::",
    "\u{fffd}7\u{fffd}3:::one\u{fffd}14\u{fffd}3:::h\u{e9}llo \u{2713} \u{1f600}",
    "\u{fffd}5\u{fffd}3:::a\u{fffd}7\u{fffd}3:::\u{2713}\u{1f600}",
    "5::/chat:{\"name\":\"welcome\",\"args\":[{\"nsp\":\"/chat\"}]}",
];

const PIECES: [&str; 14] = [
    "",
    ":",
    "+",
    "\u{fffd}",
    "0",
    "5",
    "9999999999999999999999",
    "/chat",
    "{",
    "[",
    "\"",
    "\\ud83d",
    "\u{1f600}",
    "\0",
];

/// xorshift64: nothing hangs on its quality.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }
}

fn read(text: &str) {
    let mut consumed = 0;
    for packet in payload::split(text) {
        let Ok(packet) = packet else { break };
        consumed += packet.len();
        if let Some(packet) = Packet::parse(packet) {
            assert!(!packet.endpoint.contains(':'), "{text:?}");
            packet.event();
            packet.message();
        }
    }
    assert!(consumed <= text.len(), "{text:?}");
}

#[test]
fn almost_right_payloads_are_read_without_panic_and_nothing_is_read_twice() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..ROUNDS {
        let mut text: Vec<char> = CORPUS[random.below(CORPUS.len())].chars().collect();
        for _ in 0..=random.below(4) {
            let from = random.below(text.len() + 1);
            let to = (from + random.below(4)).min(text.len());
            let piece = PIECES[random.below(PIECES.len())];
            text.splice(from..to, piece.chars());
        }
        read(&text.into_iter().collect::<String>());
    }
}

#[test]
fn whatever_is_joined_is_split_into_the_same() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..ROUNDS / 10 {
        let packets: Vec<String> = (0..2 + random.below(3))
            .map(|_| {
                let pieces = (0..random.below(5)).map(|_| PIECES[random.below(PIECES.len())]);
                format!("3:::{}", pieces.collect::<String>())
            })
            .collect();
        let payload = payload::join(&packets);
        let split: Result<Vec<_>, _> = payload::split(&payload).collect();
        assert_eq!(split.unwrap(), packets);
    }
}
