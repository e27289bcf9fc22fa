//! How packets are written, and what a client's arguments are. Packets are read by socketioxide's parser; they are
//! written here, because a message is rendered once for many and goes into the packet as it is, and because the
//! parser has no CONNECT with an id of ours and no CONNECT_ERROR as clients before 3.x know it.

use std::{borrow::Cow, fmt::Write};

use serde_json::value::RawValue;

use crate::{
    connection::text,
    engineio::{Message, Protocol},
};

/// What a packet costs at least besides its name and payload.
const FRAMING: usize = 16;

/// Names that clients use for what happens to a connection; Node takes such an event for a broken one.
const RESERVED: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// Packet types, without and with binary attachments.
const CONNECT: char = '0';
const DISCONNECT: char = '1';
const EVENT: [char; 2] = ['2', '5'];
const ACK: [char; 2] = ['3', '6'];
const CONNECT_ERROR: char = '4';

/// The client is in a namespace, and is called so there.
pub(super) fn connect(protocol: Protocol, namespace: &str, id: &str) -> Message {
    let mut packet = head(CONNECT, namespace, 0);
    if protocol == Protocol::Eio4 {
        // Ids are of characters that JSON leaves alone.
        let _ = write!(packet, r#"{{"sid":"{id}"}}"#);
    }
    Message::Text(packet.into())
}

/// The client may not be in a namespace. Clients before 3.x know a bare text.
pub(super) fn connect_error(protocol: Protocol, namespace: &str, why: &str) -> Message {
    #[derive(serde::Serialize)]
    struct Error<'a> {
        message: &'a str,
    }
    let mut packet = head(CONNECT_ERROR, namespace, 0);
    packet.push_str(
        &match protocol {
            Protocol::Eio3 => serde_json::to_string(why),
            Protocol::Eio4 => serde_json::to_string(&Error { message: why }),
        }
        .expect("text encodes as JSON"),
    );
    Message::Text(packet.into())
}

/// The client is in a namespace no more.
pub(super) fn disconnect(namespace: &str) -> Message {
    Message::Text(head(DISCONNECT, namespace, 0).into())
}

/// An event, which asks for an answer where it has an id.
pub(super) fn event(
    namespace: &str,
    id: Option<u64>,
    name: &str,
    args: &[&RawValue],
    attachments: usize,
) -> Message {
    let mut packet = head_with(EVENT, namespace, attachments, length(args) + name.len());
    if let Some(id) = id {
        let _ = write!(packet, "{id}");
    }
    packet.push('[');
    packet.push_str(&serde_json::to_string(name).expect("text encodes as JSON"));
    for arg in args {
        packet.push(',');
        packet.push_str(arg.get());
    }
    packet.push(']');
    Message::Text(packet.into())
}

/// The answer to the client's event with this id.
pub(super) fn ack(namespace: &str, id: i64, args: &[&RawValue], attachments: usize) -> Message {
    let mut packet = head_with(ACK, namespace, attachments, length(args));
    let _ = write!(packet, "{id}[");
    for (n, arg) in args.iter().enumerate() {
        if n > 0 {
            packet.push(',');
        }
        packet.push_str(arg.get());
    }
    packet.push(']');
    Message::Text(packet.into())
}

fn length(args: &[&RawValue]) -> usize {
    args.iter().map(|arg| arg.get().len() + 1).sum()
}

fn head_with(types: [char; 2], namespace: &str, attachments: usize, length: usize) -> String {
    if attachments == 0 {
        return head(types[0], namespace, length);
    }
    let mut packet = String::with_capacity(length + namespace.len() + FRAMING);
    let _ = write!(packet, "{}{attachments}-", types[1]);
    put_namespace(&mut packet, namespace);
    packet
}

fn head(kind: char, namespace: &str, length: usize) -> String {
    let mut packet = String::with_capacity(length + namespace.len() + FRAMING);
    packet.push(kind);
    put_namespace(&mut packet, namespace);
    packet
}

fn put_namespace(packet: &mut String, namespace: &str) {
    if namespace != "/" {
        packet.push_str(namespace);
        packet.push(',');
    }
}

/// The arguments in a packet of the client's; `None` where its data is no JSON array. Text that browsers can write
/// and nobody else can read is mended.
pub(super) fn args(data: &str) -> Option<Vec<Box<RawValue>>> {
    serde_json::from_str(&text::mend(data)).ok()
}

/// The name and the arguments in an event of the client's; `None` where it is none.
pub(super) fn read_event(data: &str) -> Option<(Box<str>, Vec<Box<RawValue>>)> {
    let mut args = args(data)?;
    if args.is_empty() {
        return None;
    }
    let first = args.remove(0);
    let name: Box<str> = match first.get().as_bytes()[0] {
        // As it would be called in JavaScript.
        b'-' | b'0'..=b'9' => first.get().into(),
        _ => serde_json::from_str(first.get()).ok()?,
    };
    (!RESERVED.contains(&&*name)).then_some((name, args))
}

/// Whether this is an answer without the id of what it answers, which Node ignores.
pub(super) fn is_ack_to_nothing(packet: &str) -> bool {
    let Some(rest) = packet.strip_prefix(ACK[0]) else {
        return false;
    };
    let rest = match rest.strip_prefix('/') {
        Some(namespace) => namespace.split_once(',').map_or("", |(_, rest)| rest),
        None => rest,
    };
    rest.starts_with('[') && serde_json::from_str::<Vec<&RawValue>>(rest).is_ok()
}

/// The namespace that a packet is for, and the query within it, which clients before 3.x send along with CONNECT:
/// `/chat?a=b`.
pub(super) fn address(protocol: Protocol, namespace: &str) -> (&str, Option<&str>) {
    match namespace.split_once('?') {
        Some((namespace, query)) if protocol == Protocol::Eio3 => (namespace, Some(query)),
        _ => (namespace, None),
    }
}

/// A query as the payload that later clients would send with CONNECT.
pub(super) fn query_as_payload(query: &str) -> Box<str> {
    let query: serde_json::Map<_, _> = form_urlencoded::parse(query.as_bytes())
        .map(|(key, value)| (key.into_owned(), value.into_owned().into()))
        .collect();
    serde_json::Value::Object(query).to_string().into()
}

/// What a client sent along with CONNECT: an object, or nothing. An error where it is neither.
pub(super) fn payload(data: Option<Cow<'_, str>>) -> Result<Option<Box<str>>, ()> {
    match data {
        None => Ok(None),
        Some(data) => match serde_json::from_str::<&RawValue>(&data) {
            Ok(value) if value.get().starts_with('{') => Ok(Some(value.get().into())),
            _ => Err(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    fn text(message: Message) -> String {
        match message {
            Message::Text(text) => text.to_string(),
            Message::Binary(_) => panic!("binary"),
        }
    }

    fn raw(json: &[serde_json::Value]) -> Vec<Box<RawValue>> {
        json.iter()
            .map(|value| to_raw_value(value).unwrap())
            .collect()
    }

    #[test]
    fn packets_are_written_as_the_protocol_has_them() {
        let args = raw(&["x".into(), 1.into()]);
        let args: Vec<_> = args.iter().map(|arg| &**arg).collect();
        for (packet, written) in [
            (event("/", None, "a\"", &args, 0), r#"2["a\"","x",1]"#),
            (
                event("/chat", Some(7), "a", &args[..0], 0),
                r#"2/chat,7["a"]"#,
            ),
            (
                event("/chat", Some(7), "a", &args, 2),
                r#"52-/chat,7["a","x",1]"#,
            ),
            (ack("/", 3, &args, 0), r#"33["x",1]"#),
            (ack("/chat", 3, &args[..0], 1), "61-/chat,3[]"),
            (connect(Protocol::Eio3, "/", "id"), "0"),
            (connect(Protocol::Eio3, "/chat", "id"), "0/chat,"),
            (
                connect(Protocol::Eio4, "/chat", "id"),
                r#"0/chat,{"sid":"id"}"#,
            ),
            (disconnect("/"), "1"),
            (disconnect("/chat"), "1/chat,"),
            (connect_error(Protocol::Eio3, "/x", "no\""), r#"4/x,"no\"""#),
            (
                connect_error(Protocol::Eio4, "/x", "no"),
                r#"4/x,{"message":"no"}"#,
            ),
        ] {
            assert_eq!(text(packet), written);
        }
    }

    #[test]
    fn an_event_has_a_name_that_is_not_reserved() {
        let name = |data| read_event(data).map(|(name, args)| (name.to_string(), args.len()));
        assert_eq!(name(r#"["\u0061\n",1]"#), Some(("a\n".into(), 1)));
        assert_eq!(name("[-1.5,1,2]"), Some(("-1.5".into(), 2)));
        assert_eq!(name(r#"["\ud83d"]"#), Some(("\u{fffd}".into(), 0)));
        for none in [
            "",
            "[]",
            "{}",
            "[null]",
            "[[]]",
            r#"["disconnect"]"#,
            r#"["a"]x"#,
            r#""a""#,
        ] {
            assert_eq!(name(none), None, "{none}");
        }
    }

    #[test]
    fn an_answer_to_nothing_is_told_from_one_that_cannot_be_read() {
        for packet in ["3[]", r#"3["a"]"#, "3/chat,[1]"] {
            assert!(is_ack_to_nothing(packet), "{packet}");
        }
        for packet in ["3", "3x", "37[]", "3/chat", "3[", "2[]"] {
            assert!(!is_ack_to_nothing(packet), "{packet}");
        }
    }

    #[test]
    fn the_query_of_an_old_client_becomes_its_payload() {
        let (namespace, query) = address(Protocol::Eio3, "/chat?a=b&c=%26d");
        assert_eq!(namespace, "/chat");
        assert_eq!(&*query_as_payload(query.unwrap()), r#"{"a":"b","c":"&d"}"#);
        assert_eq!(address(Protocol::Eio4, "/chat?a=b").0, "/chat?a=b");
    }
}
