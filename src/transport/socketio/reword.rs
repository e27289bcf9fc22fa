//! Packets in words that the engine does not know, or stumbles over, put into words that it reads. A 2.x
//! client sends the query of a namespace's address within its CONNECT packet, `40/chat?a=b`; as in
//! Node's server, it becomes the payload that 3.x clients would send: `40/chat,{"a":"b"}`. An event's
//! name with a JSON escape would end the session; `peer` reads names itself, so the engine is shown
//! another one before it.

use super::session::Protocol;

/// An Engine.IO message packet with a Socket.IO CONNECT packet for a namespace in it.
const CONNECT: &str = "40/";

/// The same with an event, without and with binary attachments.
const EVENT: &str = "42";
const BINARY_EVENT: &str = "45";

/// What the engine is shown in the place of a name that it cannot read, with the comma before the name.
/// An event that is really called so is put behind it as well: what follows it is always the name.
pub(super) const PLACEHOLDER: &str = r#""","#;

/// Bytes that tell whether a packet may have to be reworded.
pub(super) const TELLING: usize = 2;

/// Whether a packet that begins like this may have to be reworded.
pub(super) fn may_need_it(telling: [u8; TELLING]) -> bool {
    [CONNECT, EVENT, BINARY_EVENT]
        .iter()
        .any(|kind| kind.as_bytes()[..TELLING] == telling)
}

/// A packet as the engine can read it; `None` if it is that already.
pub(super) fn reword(protocol: Protocol, packet: &str) -> Option<String> {
    reword_event(packet).or_else(|| match protocol {
        Protocol::Eio3 => reword_connect(packet),
        Protocol::Eio4 => None,
    })
}

/// A CONNECT packet with its query as payload.
fn reword_connect(packet: &str) -> Option<String> {
    let rest = packet.strip_prefix(CONNECT)?;
    let (address, payload) = rest.split_once(',').unwrap_or((rest, ""));
    let (namespace, query) = address.split_once('?')?;
    if !payload.is_empty() {
        return Some(format!("{CONNECT}{namespace},{payload}"));
    }
    let query: serde_json::Map<_, _> = form_urlencoded::parse(query.as_bytes())
        .map(|(key, value)| (key.into_owned(), value.into_owned().into()))
        .collect();
    let payload = serde_json::Value::Object(query);
    Some(format!("{CONNECT}{namespace},{payload}"))
}

/// An event packet with the placeholder before its name, where that is escaped or the placeholder's.
fn reword_event(packet: &str) -> Option<String> {
    let array = array_of_event(packet)?;
    let name = array.trim_ascii_start().strip_prefix('"')?;
    let end = name.find(['"', '\\'])?;
    if end > 0 && name.as_bytes()[end] == b'"' {
        return None;
    }
    let head = &packet[..packet.len() - array.len()];
    Some(format!("{head}{PLACEHOLDER}{array}"))
}

/// What stands behind the bracket of `42/namespace,12["name",…]`, or of `451-/namespace,12["name",…]`.
fn array_of_event(packet: &str) -> Option<&str> {
    let digit = |c: char| c.is_ascii_digit();
    let rest = match packet.strip_prefix(EVENT) {
        Some(rest) => rest,
        None => {
            let attachments = packet.strip_prefix(BINARY_EVENT)?;
            attachments.trim_start_matches(digit).strip_prefix('-')?
        }
    };
    let rest = match rest.strip_prefix('/') {
        Some(namespace) => namespace.split_once(',')?.1,
        None => rest,
    };
    rest.trim_start_matches(digit).strip_prefix('[')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_becomes_the_payload() {
        for (packet, reworded) in [
            ("40/chat?a=b&c=%26d", Some(r#"40/chat,{"a":"b","c":"&d"}"#)),
            ("40/chat?a=b,", Some(r#"40/chat,{"a":"b"}"#)),
            ("40/chat?a=b,{\"c\":1}", Some(r#"40/chat,{"c":1}"#)),
            ("40/chat?", Some("40/chat,{}")),
            ("40/chat", None),
            ("40/chat,{\"a\":\"?\"}", None),
            ("40", None),
            ("42/chat?a=b", None),
        ] {
            assert_eq!(
                reword(Protocol::Eio3, packet).as_deref(),
                reworded,
                "{packet}"
            );
            assert_eq!(reword(Protocol::Eio4, packet), None, "{packet}");
        }
    }

    #[test]
    fn a_name_that_the_engine_cannot_read_is_put_behind_one_that_it_can() {
        for (packet, reworded) in [
            (r#"42["a\"b",1]"#, r#"42["","a\"b",1]"#),
            (r#"42["\u0061"]"#, r#"42["","\u0061"]"#),
            (r#"42[ "a\\",1]"#, r#"42["", "a\\",1]"#),
            (r#"42["",1]"#, r#"42["","",1]"#),
            (r#"42["","x"]"#, r#"42["","","x"]"#),
            (r#"42/chat,17["✓\n",[1]]"#, r#"42/chat,17["","✓\n",[1]]"#),
            (
                r#"452-/chat,3["\"",{"_placeholder":true,"num":0}]"#,
                r#"452-/chat,3["","\"",{"_placeholder":true,"num":0}]"#,
            ),
            (r#"451-["\ud83d"]"#, r#"451-["","\ud83d"]"#),
        ] {
            for protocol in [Protocol::Eio3, Protocol::Eio4] {
                assert_eq!(
                    reword(protocol, packet).as_deref(),
                    Some(reworded),
                    "{packet}"
                );
            }
        }
    }

    #[test]
    fn other_packets_stay() {
        for packet in [
            r#"42["plain ✓","a\"b"]"#,
            r#"42["plain"]"#,
            r#"42/a"b\,1["plain"]"#,
            r#"42/no comma["a\"b"]"#,
            r#"43["a\"b"]"#,
            r#"430["a\"b"]"#,
            r#"42[1,"a\"b"]"#,
            r#"42["never ends"#,
            "42[",
            "42/",
            "45",
            "451-",
            "42",
            "4",
            "",
            "2probe",
        ] {
            assert_eq!(reword(Protocol::Eio4, packet), None, "{packet}");
            assert_eq!(reword(Protocol::Eio3, packet), None, "{packet}");
        }
    }
}
