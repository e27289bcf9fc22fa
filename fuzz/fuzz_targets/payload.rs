//! Bodies of 0.9 clients: split into packets, each read as what it says it is; what was read is
//! joined again into the same.

#![no_main]

use handshaken::transport::legacy::{packet::Packet, payload};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let body = String::from_utf8_lossy(body);
    let packets: Vec<_> = payload::split(&body).map_while(Result::ok).collect();
    for packet in packets.iter().filter_map(|packet| Packet::parse(packet)) {
        assert!(!packet.endpoint.contains(':'));
        packet.event();
        packet.message();
    }
    if packets.len() > 1 {
        let joined = payload::join(&packets);
        let again: Result<Vec<_>, _> = payload::split(&joined).collect();
        assert_eq!(again.as_deref(), Ok(&packets[..]));
    }
});
