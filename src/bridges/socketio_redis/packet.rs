//! The wire of socket.io-redis 5.x and @socket.io/redis-adapter 6 to 8: for a broadcast they publish
//! `[uid, {type, data, nsp}, {rooms, except, flags}]`, in MessagePack as notepack writes it. notepack 2 (up to 7.x) has
//! extensions of its own for dates and `undefined`, notepack 3 (8.x) the standard's, and none: nothing here needs their values.

use rmpv::{
    Value,
    decode::{self, read_value_with_max_depth},
    encode::write_value,
};
use serde_json::value::RawValue;

/// The namespace of a packet that names none, as the adapters read it.
const DEFAULT_NAMESPACE: &str = "/";

/// How deep a packet may be nested; those of a chat are five deep.
const MAX_DEPTH: usize = 64;

/// `type` of an event, and of one with binary parts, which adapters up to 5.x tell apart.
const EVENT: u64 = 2;
const BINARY_EVENT: u64 = 5;

/// The extension, and the only byte in it, that notepack 2 writes for `undefined`.
const UNDEFINED: (i8, &[u8]) = (0, &[0]);

/// An event that a process told all others.
#[derive(Debug, PartialEq)]
pub(super) struct Broadcast {
    /// Which process it was; from 6.x on, which namespace of which process.
    pub uid: String,
    pub namespace: String,
    /// Whether it is only for sockets that joined some room of Socket.IO.
    pub to_rooms: bool,
    pub event: String,
    pub args: Vec<Value>,
}

/// Why bytes are no broadcast of an event.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it is not MessagePack: {0}")]
    Encoding(#[from] decode::Error),
    #[error("{0} bytes follow its end")]
    Trailing(usize),
    #[error("it is not [uid, packet, options]")]
    Shape,
    #[error("its packet is not an event with a name")]
    Packet,
    #[error("its rooms are not a list")]
    Rooms,
}

/// Reads a broadcast.
pub(super) fn read(mut bytes: &[u8]) -> Result<Broadcast, Malformed> {
    let whole = read_value_with_max_depth(&mut bytes, MAX_DEPTH)?;
    if !bytes.is_empty() {
        return Err(Malformed::Trailing(bytes.len()));
    }
    let parts = whole.as_array().map(Vec::as_slice).unwrap_or_default();
    let [uid, packet, options @ ..] = parts else {
        return Err(Malformed::Shape);
    };
    let rooms = options.first().and_then(|options| field(options, "rooms"));
    let to_rooms = match rooms {
        None => false,
        Some(Value::Array(rooms)) => !rooms.is_empty(),
        Some(_) => return Err(Malformed::Rooms),
    };
    let namespace = match field(packet, "nsp") {
        None => DEFAULT_NAMESPACE.to_owned(),
        Some(namespace) => text(namespace).ok_or(Malformed::Packet)?,
    };
    let kind = field(packet, "type").and_then(Value::as_u64);
    let data = field(packet, "data").and_then(Value::as_array);
    let (Some(EVENT | BINARY_EVENT), Some([event, args @ ..])) = (kind, data.map(Vec::as_slice))
    else {
        return Err(Malformed::Packet);
    };
    Ok(Broadcast {
        uid: text(uid).ok_or(Malformed::Shape)?,
        namespace,
        to_rooms,
        event: text(event).ok_or(Malformed::Packet)?,
        args: args.to_vec(),
    })
}

/// Writes an event with one argument, for everybody in the default namespace.
pub(super) fn write(uid: &str, event: &str, payload: &RawValue) -> Vec<u8> {
    let payload: Value = serde_json::from_str(payload.get()).expect("it is JSON");
    let map = |fields: Vec<(&str, Value)>| {
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value));
        Value::Map(fields.collect())
    };
    let packet = map(vec![
        ("type", EVENT.into()),
        ("data", Value::Array(vec![event.into(), payload])),
        ("nsp", DEFAULT_NAMESPACE.into()),
    ]);
    let options = map(vec![
        ("rooms", Value::Array(Vec::new())),
        ("except", Value::Array(Vec::new())),
        ("flags", map(Vec::new())),
    ]);
    let mut bytes = Vec::new();
    write_value(&mut bytes, &Value::Array(vec![uid.into(), packet, options]))
        .expect("writing into memory does not fail");
    bytes
}

/// A field of a map; `None` where it is not there, or says nothing.
pub(super) fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = map.as_map()?;
    // Where a name comes twice, JavaScript keeps the last.
    let (_, value) = fields.iter().rfind(|(key, _)| key.as_str() == Some(name))?;
    let says_nothing = value.is_nil() || value.as_ext() == Some(UNDEFINED);
    (!says_nothing).then_some(value)
}

/// A text. JavaScript may have written half a surrogate pair, which is shown as what it is: no character.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published by the real packages for `io.emit('message', {text: 'hi', date, ip})`.
    const PUBLISHED: [(&str, &str); 5] = [
        // The date a text.
        (
            "5.4",
            "93a65a4c636e493983a47479706502a46461746192a76d65737361676583a474657874a26869a464617465b8323032322d30372d30345431333a33303a30302e3030305aa26970a36f6c64a36e7370a12f82a5726f6f6d7390a5666c61677380",
        ),
        (
            "8.3",
            "93a66d685071597283a47479706502a46461746192a76d65737361676583a474657874a26869a464617465b8323032322d30372d30345431333a33303a30302e3030305aa26970a36f6c64a36e7370a12f83a5726f6f6d7390a665786365707490a5666c61677380",
        ),
        // The date a Date, `ip` undefined.
        (
            "5.2",
            "93a636626d73336483a47479706502a46461746192a76d65737361676583a474657874a26869a464617465d70000000181c9674fc0a26970d40000a36e7370a12f82a5726f6f6d7390a5666c61677380",
        ),
        (
            "7.2",
            "93a645304843447783a47479706502a46461746192a76d65737361676583a474657874a26869a464617465d70000000181c9674fc0a26970d40000a36e7370a12f83a5726f6f6d7390a665786365707490a5666c61677380",
        ),
        (
            "8.3",
            "93a66d685071597283a47479706502a46461746192a76d65737361676582a474657874a26869a464617465d6ff62c2eb58a36e7370a12f83a5726f6f6d7390a665786365707490a5666c61677380",
        ),
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |c: char| c.to_digit(16).unwrap() as u8;
        let digits: Vec<_> = hex
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(digit)
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    }

    #[test]
    fn broadcasts_of_every_adapter_are_read() {
        for (version, hex) in PUBLISHED {
            let broadcast = read(&bytes(hex)).unwrap();
            assert_eq!(broadcast.uid.len(), 6, "{version}");
            assert_eq!(
                (&*broadcast.namespace, broadcast.to_rooms, &*broadcast.event),
                ("/", false, "message"),
                "{version}"
            );
            let [payload] = &*broadcast.args else {
                panic!("{version}: {:?}", broadcast.args)
            };
            assert_eq!(field(payload, "text").and_then(text).unwrap(), "hi");
        }
        let undefined = read(&bytes(PUBLISHED[2].1)).unwrap();
        assert_eq!(field(&undefined.args[0], "ip"), None);
    }

    #[test]
    fn a_broadcast_to_rooms_is_told_from_one_to_all() {
        for hex in [
            // To one room, by 8.3 and 5.4; to two, by 8.3.
            "93 a65a4f6c6d4658 83 a47479706502 a464617461 92a16d81a16101 a36e7370a12f 83 a5726f6f6d73 91a27231 a6657863657074 90 a5666c616773 80",
            "93a65a4c636e493983a47479706502a46461746192a16d81a16101a36e7370a12f82a5726f6f6d7391a27231a5666c61677380",
            "93a66d685071597283a47479706502a46461746192a16d81a16101a36e7370a12f83a5726f6f6d7392a27231a27232a665786365707490a5666c61677380",
        ] {
            let broadcast = read(&bytes(hex)).unwrap();
            assert!(broadcast.to_rooms);
            assert_eq!(broadcast.event, "m");
        }
    }

    #[test]
    fn what_is_written_is_what_the_newest_adapter_writes() {
        let payload = r#"{"text":"hi","date":"2022-07-04T13:30:00.000Z","ip":"old"}"#;
        let payload = RawValue::from_string(payload.into()).unwrap();
        assert_eq!(write("mhPqYr", "message", &payload), bytes(PUBLISHED[1].1));
    }

    #[test]
    fn binary_parts_are_read_and_are_no_text() {
        for hex in [
            // 5.4 and 8.3, `{text: 'x', b: Buffer.from([1, 2]), f: 1.5, n: null, neg: -5, big: 2 ** 40}`.
            "93a65a4c636e493983a47479706505a46461746192a76d65737361676586a474657874a178a162c4020102a166cb3ff8000000000000a16ec0a36e6567fba3626967cf0000010000000000a36e7370a12f82a5726f6f6d7390a5666c61677380",
            "93a66d685071597283a47479706502a46461746192a76d65737361676586a474657874a178a162c4020102a166cb3ff8000000000000a16ec0a36e6567fba3626967cf0000010000000000a36e7370a12f83a5726f6f6d7390a665786365707490a5666c61677380",
        ] {
            let broadcast = read(&bytes(hex)).unwrap();
            let payload = &broadcast.args[0];
            assert_eq!(field(payload, "text").and_then(text).unwrap(), "x");
            assert_eq!(field(payload, "b").and_then(text), None);
            assert_eq!(field(payload, "n"), None);
        }
    }

    #[test]
    fn a_packet_without_namespace_or_options_is_for_all() {
        // [ "u", { type: 2, data: [ "m" ] } ]
        let broadcast = read(&bytes("92 a175 82 a47479706502 a464617461 91 a16d")).unwrap();
        assert_eq!((&*broadcast.namespace, broadcast.to_rooms), ("/", false));
        assert!(broadcast.args.is_empty());
    }

    #[test]
    fn half_a_surrogate_pair_does_not_spoil_the_rest() {
        // [ "u", { type: 2, data: [ "m", "a\ud800" ] } ]
        let broadcast = read(&bytes(
            "92 a175 82 a47479706502 a464617461 92 a16d a461eda080",
        ))
        .unwrap();
        let text = text(&broadcast.args[0]).unwrap();
        assert!(text.starts_with('a') && text.contains('\u{fffd}'), "{text}");
    }

    #[test]
    fn what_is_no_broadcast_is_refused() {
        let deep = format!("{}c0", "91".repeat(100_000));
        for (hex, reason) in [
            ("", "it is not MessagePack"),
            ("c1", "it is not [uid"),
            ("7b7d", "1 bytes follow"),
            ("c0", "it is not [uid"),
            ("80", "it is not [uid"),
            ("91a175", "it is not [uid"),
            ("92a175c0", "its packet"),
            ("92a17580", "its packet"),
            // A uid that is a number.
            ("920182a47479706502a46461746191a16d", "it is not [uid"),
            // A packet of another type; an event without a name; one whose name is a number.
            ("92a17582a47479706500a46461746191a16d", "its packet"),
            ("92a17582a47479706502a46461746190", "its packet"),
            ("92a17582a47479706502a4646174619105", "its packet"),
            // Rooms that are a text.
            (
                "93a17582a47479706502a46461746191a16d81a5726f6f6d73a172",
                "its rooms",
            ),
            // Lists that claim more than there is.
            ("ddffffffff", "it is not MessagePack"),
            ("dfffffffff", "it is not MessagePack"),
            ("93a175dbffffffff", "it is not MessagePack"),
            ("93a175c6ffffffff", "it is not MessagePack"),
            (&deep, "it is not MessagePack"),
        ] {
            let error = read(&bytes(hex)).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{hex}: {error}");
        }
    }

    #[test]
    fn a_broadcast_that_is_cut_anywhere_is_refused() {
        for (version, hex) in PUBLISHED {
            let whole = bytes(hex);
            for end in 0..whole.len() {
                assert!(read(&whole[..end]).is_err(), "{version}, {end} bytes");
            }
        }
    }
}
