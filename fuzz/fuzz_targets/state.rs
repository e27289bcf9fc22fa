//! What a 0.9 session has to say, while polls and streams come, are lost and come again: every packet
//! that went out and is known to have arrived did so once and in order, and nothing is lost.

#![no_main]

use std::time::{Duration, Instant};

use handshaken::transport::legacy::state::{State, Taken, Times, Turn, Way};
use libfuzzer_sys::fuzz_target;

const WELCOME: &str = "1::";
const HEARTBEAT: &str = "2::";

fuzz_target!(|deeds: &[u8]| {
    let times = Times::default();
    let mut now = Instant::now();
    let mut state = State::new(now, &times);
    let mut turns: Vec<(Turn, Way)> = Vec::new();
    let (mut said, mut next) = (0, 0);
    // What the answer to the last poll held, until it is known what became of it.
    let mut handed = 0;
    for deed in deeds {
        match deed % 8 {
            0 => {
                state.push(format!("3:::{said}"));
                said += u32::from(!state.has_ended());
            }
            way @ (1 | 2) => {
                let way = if way == 1 { Way::Poll } else { Way::Stream };
                let arrived = deed & 8 == 0;
                if let Some((turn, attached)) = state.attach(way, arrived, None, now, &times) {
                    if attached.arrived.packets == 0 {
                        next -= handed;
                    }
                    handed = 0;
                    turns.push((turn, way));
                }
            }
            3 => {
                if let Some((turn, Way::Poll)) = turns.last()
                    && let Taken::Some(payload) = state.take_payload(*turn)
                {
                    next += hear(&payload, next);
                    handed = count(&payload);
                }
            }
            4 => {
                if let Some((turn, Way::Stream)) = turns.last()
                    && let Taken::Some(packet) = state.take_packet(*turn)
                {
                    next += hear(&packet, next);
                }
            }
            5 => {
                let at = usize::from(deed >> 3) % turns.len().max(1);
                if let Some((turn, _)) = turns.get(at) {
                    let written = deed & 8 == 0;
                    let current = at + 1 == turns.len();
                    state.detach(*turn, written, now, &times);
                    if current && !written {
                        next -= handed;
                        handed = 0;
                    }
                }
            }
            6 => now += Duration::from_secs(u64::from(deed >> 3)),
            _ => {
                if deed & 8 == 0 {
                    state.heartbeat(now, &times);
                }
                state.due(now, &times);
            }
        }
        assert!(next <= said);
    }
});

/// Checks that messages are heard in their order from `next` on, and says how many.
fn hear(payload: &str, next: u32) -> u32 {
    let mut heard = 0;
    for packet in packets(payload) {
        assert_eq!(packet, format!("3:::{}", next + heard));
        heard += 1;
    }
    heard
}

fn count(payload: &str) -> u32 {
    packets(payload).count() as u32
}

fn packets(payload: &str) -> impl Iterator<Item = &str> {
    handshaken::transport::legacy::payload::split(payload)
        .map(|packet| packet.expect("what we write can be read"))
        .filter(|packet| ![WELCOME, HEARTBEAT].contains(packet))
}
