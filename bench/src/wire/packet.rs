//! Engine.IO 4 and Socket.IO 5 packets as a load client needs them: told apart, not decoded.
//! The JSON inside stays bytes; who wants something from it looks for it.

/// One packet of the server, in a text frame.
#[derive(Debug, PartialEq)]
pub enum Packet<'a> {
    /// Engine.IO `0`: the connection stands, the client may send CONNECT.
    Open,
    /// Engine.IO `1`: the server ends the connection.
    Close,
    /// Engine.IO `2`, to be answered with `3`.
    Ping,
    /// CONNECT acknowledged for this namespace.
    Connected,
    /// DISCONNECT or CONNECT_ERROR for this namespace, with its body.
    Refused(&'a [u8]),
    /// EVENT: the JSON array.
    Event(&'a [u8]),
    /// EVENT that asks for an acknowledgement: its id and the JSON array.
    Asked(u64, &'a [u8]),
    /// ACK: its id and the JSON array.
    Ack(u64, &'a [u8]),
    /// Anything else, and packets of other namespaces.
    Other,
}

/// Tells what `text` is to a client of `namespace` (`/` or `/name`).
pub fn parse<'a>(text: &'a [u8], namespace: &str) -> Packet<'a> {
    let (kind, rest) = match text {
        [b'0', ..] => return Packet::Open,
        [b'1', ..] => return Packet::Close,
        [b'2', ..] => return Packet::Ping,
        [b'4', kind, rest @ ..] => (*kind, rest),
        _ => return Packet::Other,
    };
    let (theirs, rest) = split_namespace(rest);
    if theirs != namespace.as_bytes() {
        return Packet::Other;
    }
    match kind {
        b'0' => Packet::Connected,
        b'1' | b'4' => Packet::Refused(rest),
        b'2' => match split_id(rest) {
            (Some(id), body) => Packet::Asked(id, body),
            (None, body) => Packet::Event(body),
        },
        b'3' => match split_id(rest) {
            (Some(id), body) => Packet::Ack(id, body),
            (None, _) => Packet::Other,
        },
        _ => Packet::Other,
    }
}

/// The CONNECT packet for `namespace`.
pub fn connect(namespace: &str) -> String {
    format!("40{}", prefix(namespace))
}

/// An EVENT packet; `array` is its JSON array, `id` asks for an acknowledgement.
pub fn event(namespace: &str, id: Option<u64>, array: &str) -> String {
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    format!("42{}{id}{array}", prefix(namespace))
}

/// The ACK packet for an event that asked for one, without arguments.
pub fn ack(namespace: &str, id: u64) -> String {
    format!("43{}{id}[]", prefix(namespace))
}

fn prefix(namespace: &str) -> String {
    match namespace {
        "/" => String::new(),
        named => format!("{named},"),
    }
}

fn split_namespace(rest: &[u8]) -> (&[u8], &[u8]) {
    if rest.first() != Some(&b'/') {
        return (b"/", rest);
    }
    match memchr::memchr(b',', rest) {
        Some(comma) => (&rest[..comma], &rest[comma + 1..]),
        None => (rest, b""),
    }
}

fn split_id(rest: &[u8]) -> (Option<u64>, &[u8]) {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let id = str::from_utf8(&rest[..digits])
        .ok()
        .and_then(|digits| digits.parse().ok());
    (id, &rest[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_packets_are_told_apart() {
        assert_eq!(parse(br#"0{"sid":"x"}"#, "/"), Packet::Open);
        assert_eq!(parse(b"1", "/"), Packet::Close);
        assert_eq!(parse(b"2", "/"), Packet::Ping);
        assert_eq!(parse(b"6", "/"), Packet::Other);
        assert_eq!(parse(b"", "/"), Packet::Other);
    }

    #[test]
    fn events_and_acks_of_the_default_namespace_are_read() {
        assert_eq!(parse(br#"40{"sid":"x"}"#, "/"), Packet::Connected);
        assert_eq!(
            parse(br#"42["message",1]"#, "/"),
            Packet::Event(br#"["message",1]"#)
        );
        assert_eq!(parse(br#"427["m"]"#, "/"), Packet::Asked(7, br#"["m"]"#));
        assert_eq!(parse(b"4312[{}]", "/"), Packet::Ack(12, b"[{}]"));
        assert_eq!(parse(b"43[]", "/"), Packet::Other);
        assert_eq!(
            parse(br#"44{"message":"no"}"#, "/"),
            Packet::Refused(br#"{"message":"no"}"#)
        );
    }

    #[test]
    fn only_packets_of_ones_own_namespace_count() {
        assert_eq!(parse(b"40/chat,{}", "/chat"), Packet::Connected);
        assert_eq!(parse(b"40/chat", "/chat"), Packet::Connected);
        assert_eq!(parse(b"40{}", "/chat"), Packet::Other);
        assert_eq!(parse(b"40/chat,{}", "/"), Packet::Other);
        assert_eq!(parse(b"43/chat,5[{}]", "/chat"), Packet::Ack(5, b"[{}]"));
        assert_eq!(parse(b"41/chat,", "/chat"), Packet::Refused(b""));
    }

    #[test]
    fn packets_are_written_as_they_are_read() {
        assert_eq!(connect("/"), "40");
        assert_eq!(connect("/chat"), "40/chat,");
        assert_eq!(
            event("/", None, r#"["message","x"]"#),
            r#"42["message","x"]"#
        );
        assert_eq!(event("/chat", Some(3), r#"["p"]"#), r#"42/chat,3["p"]"#);
        assert_eq!(ack("/chat", 12), "43/chat,12[]");
    }
}
