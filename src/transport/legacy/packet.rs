//! Packets of Socket.IO 0.9 (protocol 1), read from and written as text, without any IO:
//! `type ':' [id ['+']] ':' [endpoint] [':' data]`. Neither type nor endpoint holds a colon; what
//! follows the third one is data, colons and line breaks included. `payload` puts several into one
//! body; `session` says what they mean.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What a packet is, by the digit that it starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Disconnect,
    Connect,
    Heartbeat,
    Message,
    Json,
    Event,
    Ack,
    Error,
    Noop,
}

/// What a client wants to hear about a packet. The id is what it sent, digit for digit: it may be
/// larger than any number type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    Nothing,
    /// That it arrived.
    Receipt(&'a str),
    /// What the other side's program answers.
    Answer(&'a str),
}

/// A packet as it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub kind: Kind,
    pub wanted: Wanted<'a>,
    /// The namespace; empty for the default one.
    pub endpoint: &'a str,
    pub data: &'a str,
}

/// An event's name and arguments.
#[derive(Debug)]
pub struct Event {
    pub name: Box<str>,
    pub args: Vec<Box<RawValue>>,
}

impl<'a> Packet<'a> {
    /// Reads one packet; `None` where the text is none.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (id, rest) = rest.split_once(':')?;
        let (endpoint, data) = rest.split_once(':').unwrap_or((rest, ""));
        let kind = match kind {
            "0" => Kind::Disconnect,
            "1" => Kind::Connect,
            "2" => Kind::Heartbeat,
            "3" => Kind::Message,
            "4" => Kind::Json,
            "5" => Kind::Event,
            "6" => Kind::Ack,
            "7" => Kind::Error,
            "8" => Kind::Noop,
            _ => return None,
        };
        let (digits, plus) = match id.strip_suffix('+') {
            Some(digits) => (digits, true),
            None => (id, false),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let wanted = match (digits, plus) {
            ("", _) => Wanted::Nothing,
            (id, false) => Wanted::Receipt(id),
            (id, true) => Wanted::Answer(id),
        };
        Some(Self {
            kind,
            wanted,
            endpoint,
            data,
        })
    }

    /// The event in an event packet; `None` where its data is none.
    pub fn event(&self) -> Option<Event> {
        #[derive(Deserialize)]
        struct Said<'a> {
            #[serde(borrow)]
            name: Cow<'a, str>,
            #[serde(borrow)]
            args: Option<&'a RawValue>,
        }
        let said: Said<'_> = serde_json::from_str(self.data).ok()?;
        let args = match said.args.map_or("", RawValue::get) {
            // JavaScript's idea of nothing.
            "" | "null" | "false" | "0" | "\"\"" => Vec::new(),
            list if list.starts_with('[') => serde_json::from_str(list).ok()?,
            one => vec![serde_json::from_str(one).ok()?],
        };
        Some(Event {
            name: said.name.into(),
            args,
        })
    }

    /// The id and the arguments in an answer; `None` where its data is none.
    pub fn answer(&self) -> Option<(u64, Vec<Box<RawValue>>)> {
        let (id, args) = match self.data.split_once('+') {
            Some((id, "")) => (id, Vec::new()),
            Some((id, args)) => (id, serde_json::from_str(args).ok()?),
            None => (self.data, Vec::new()),
        };
        // A number as we wrote it: no sign, which `parse` would take.
        let is_ours = id.bytes().all(|byte| byte.is_ascii_digit());
        Some((is_ours.then(|| id.parse().ok()).flatten()?, args))
    }

    /// The text of a message or the value of a JSON message, as the one argument of an event. JSON
    /// that cannot be read is `false`, as it was to the programs of the old server.
    pub fn message(&self) -> Box<RawValue> {
        if self.kind == Kind::Message {
            return crate::dialect::json(&self.data);
        }
        serde_json::from_str(self.data).unwrap_or_else(|_| crate::dialect::json(&false))
    }
}

/// Why a client is told that something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    NotHandshaken,
    Unauthorized,
}

/// `1::`: connected, to the endpoint.
pub fn connect(endpoint: &str) -> String {
    format!("1::{endpoint}")
}

/// `0::`: the whole connection is ended, and the client is to stay away.
pub const DISCONNECT: &str = "0::";

/// `2::`: asks for the same in return.
pub const HEARTBEAT: &str = "2::";

/// `8::`: nothing, so that a poll ends.
pub const NOOP: &str = "8::";

/// `7:::1+0`: the session is not known; the advice to connect anew.
pub const NOT_HANDSHAKEN: &str = "7:::1+0";

/// `5::`: an event with one argument.
pub fn event(endpoint: &str, name: &str, argument: &RawValue) -> String {
    let name = crate::dialect::json(&name);
    format!("5::{endpoint}:{{\"name\":{name},\"args\":[{argument}]}}")
}

/// `5:1+:`: the same, and what the client answers to it is wanted.
pub fn question(endpoint: &str, id: u64, name: &str, argument: &RawValue) -> String {
    let event = event(endpoint, name, argument);
    format!("5:{id}+:{}", &event["5::".len()..])
}

/// `5::`: an event with any arguments; `question` is its id where an answer is wanted.
pub fn event_with(
    endpoint: &str,
    question: Option<u64>,
    name: &str,
    args: &[Box<RawValue>],
) -> String {
    let name = crate::dialect::json(&name);
    let id = question.map_or(String::new(), |id| format!("{id}+"));
    if args.is_empty() {
        return format!("5:{id}:{endpoint}:{{\"name\":{name}}}");
    }
    let args = crate::dialect::json(&args);
    format!("5:{id}:{endpoint}:{{\"name\":{name},\"args\":{args}}}")
}

/// `3::`: a message; `question` is its id where a receipt is wanted.
pub fn message(endpoint: &str, question: Option<u64>, text: &str) -> String {
    let id = question.map_or(String::new(), |id| id.to_string());
    format!("3:{id}:{endpoint}:{text}")
}

/// `4::`: a JSON message.
pub fn json_message(endpoint: &str, value: &RawValue) -> String {
    format!("4::{endpoint}:{value}")
}

/// `6::`: the packet with this id arrived.
pub fn receipt(endpoint: &str, id: &str) -> String {
    format!("6::{endpoint}:{id}")
}

/// `6::`: what the program answers to the packet with this id: one argument.
pub fn answer(endpoint: &str, id: &str, argument: &RawValue) -> String {
    format!("6::{endpoint}:{id}+[{argument}]")
}

/// `7::`: an error without advice.
pub fn error(endpoint: &str, reason: Reason) -> String {
    let reason = match reason {
        Reason::NotHandshaken => 1,
        Reason::Unauthorized => 2,
    };
    format!("7::{endpoint}:{reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet<'a>(
        kind: Kind,
        wanted: Wanted<'a>,
        endpoint: &'a str,
        data: &'a str,
    ) -> Option<Packet<'a>> {
        Some(Packet {
            kind,
            wanted,
            endpoint,
            data,
        })
    }

    #[test]
    fn every_packet_of_the_grammar_is_read() {
        use Wanted::{Answer, Nothing, Receipt};
        for (text, expected) in [
            ("0::", packet(Kind::Disconnect, Nothing, "", "")),
            ("0::/chat", packet(Kind::Disconnect, Nothing, "/chat", "")),
            ("1::/chat", packet(Kind::Connect, Nothing, "/chat", "")),
            (
                "1::/chat:?a=b",
                packet(Kind::Connect, Nothing, "/chat", "?a=b"),
            ),
            (
                "1::/chat?a=b",
                packet(Kind::Connect, Nothing, "/chat?a=b", ""),
            ),
            ("2::", packet(Kind::Heartbeat, Nothing, "", "")),
            ("2:::", packet(Kind::Heartbeat, Nothing, "", "")),
            ("3:::", packet(Kind::Message, Nothing, "", "")),
            ("3:::hello", packet(Kind::Message, Nothing, "", "hello")),
            (
                "3::/c:a:b\n:c",
                packet(Kind::Message, Nothing, "/c", "a:b\n:c"),
            ),
            ("3:1::x", packet(Kind::Message, Receipt("1"), "", "x")),
            ("3:1+::x", packet(Kind::Message, Answer("1"), "", "x")),
            ("3:+::x", packet(Kind::Message, Nothing, "", "x")),
            (
                "4:99999999999999999999999+:/c:{}",
                packet(Kind::Json, Answer("99999999999999999999999"), "/c", "{}"),
            ),
            (
                "5:::{\"name\":\"x\"}",
                packet(Kind::Event, Nothing, "", "{\"name\":\"x\"}"),
            ),
            (
                "6:::1+[\"a:b\"]",
                packet(Kind::Ack, Nothing, "", "1+[\"a:b\"]"),
            ),
            ("7:::1+0", packet(Kind::Error, Nothing, "", "1+0")),
            ("8::", packet(Kind::Noop, Nothing, "", "")),
        ] {
            assert_eq!(Packet::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_packet_is_none() {
        for text in [
            "",
            ":",
            "::",
            ":::",
            "garbage",
            "9:::x",
            "-1:::x",
            "33:::x",
            " 3:::x",
            "3",
            "3:",
            "3:x",
            "3:a::x",
            "3:1 ::x",
            "3:-1::x",
            "3:1++::x",
            "3:+1::x",
            "3:\u{661}::x",
            "\u{fffd}3:::x",
            "\0:::",
            "3:1.5::x",
        ] {
            assert_eq!(Packet::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn events_are_read_as_javascript_would() {
        for (data, expected) in [
            (r#"{"name":"e"}"#, Some(("e", vec![]))),
            (r#"{"name":"e","args":[]}"#, Some(("e", vec![]))),
            (r#"{"name":"e","args":null}"#, Some(("e", vec![]))),
            (r#"{"name":"e","args":0}"#, Some(("e", vec![]))),
            (
                r#"{"args":["x",{"y":[1, 2]}],"name":"\u00e9"}"#,
                Some(("é", vec![r#""x""#, r#"{"y":[1, 2]}"#])),
            ),
            (r#"{"name":"e","args":"x"}"#, Some(("e", vec![r#""x""#]))),
            (
                r#"{"name":"e","args":{"0":1}}"#,
                Some(("e", vec![r#"{"0":1}"#])),
            ),
            (r#"{"name":"","args":[null]}"#, Some(("", vec!["null"]))),
            (r#"{"name":"e","more":true}"#, Some(("e", vec![]))),
            ("", None),
            ("{bad", None),
            ("[]", None),
            ("null", None),
            (r#"{"args":["x"]}"#, None),
            (r#"{"name":null}"#, None),
            (r#"{"name":7}"#, None),
            (r#"{"name":"e"} trailing"#, None),
        ] {
            let text = format!("5:::{data}");
            let event = Packet::parse(&text).unwrap().event();
            let event = event.as_ref().map(|event| {
                let args: Vec<_> = event.args.iter().map(|arg| arg.get()).collect();
                (&*event.name, args)
            });
            assert_eq!(event, expected, "{data}");
        }
    }

    #[test]
    fn messages_become_one_argument() {
        for (text, expected) in [
            ("3:::", r#""""#),
            ("3:::say \"✓\"\n", r#""say \"✓\"\n""#),
            (r#"4:::{"a":1}"#, r#"{"a":1}"#),
            ("4:::7", "7"),
            ("4:::{bad", "false"),
            ("4:::", "false"),
        ] {
            assert_eq!(
                Packet::parse(text).unwrap().message().get(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn answers_are_read_with_and_without_arguments() {
        for (data, expected) in [
            ("1", Some((1, vec![]))),
            ("1+", Some((1, vec![]))),
            ("20+[]", Some((20, vec![]))),
            (
                r#"3+["a+b",{"n":1}]"#,
                Some((3, vec![r#""a+b""#, r#"{"n":1}"#])),
            ),
            ("", None),
            ("+", None),
            ("+1", None),
            ("x", None),
            ("-1+[]", None),
            ("1+{}", None),
            ("1+[", None),
            ("1+null", None),
            ("1+[1] 2", None),
            ("99999999999999999999+[1]", None),
        ] {
            let text = format!("6:::{data}");
            let answer = Packet::parse(&text).unwrap().answer();
            let answer = answer.as_ref().map(|(id, args)| {
                let args: Vec<_> = args.iter().map(|arg| arg.get()).collect();
                (*id, args)
            });
            assert_eq!(answer, expected, "{data}");
        }
    }

    #[test]
    fn a_deeply_nested_value_is_refused_or_kept_but_never_fatal() {
        let text = format!("4:::{}", "[".repeat(200_000));
        assert_eq!(Packet::parse(&text).unwrap().message().get(), "false");
        let nested = "[".repeat(100_000) + &"]".repeat(100_000);
        let text = format!("5:::{{\"name\":\"e\",\"args\":[{nested}]}}");
        let _ = Packet::parse(&text).unwrap().event();
    }

    #[test]
    fn packets_are_written_as_the_old_server_wrote_them() {
        let argument = crate::dialect::json(&serde_json::json!({ "nsp": "/chat" }));
        assert_eq!(connect(""), "1::");
        assert_eq!(connect("/chat"), "1::/chat");
        assert_eq!(
            event("/chat", "welcome", &argument),
            r#"5::/chat:{"name":"welcome","args":[{"nsp":"/chat"}]}"#
        );
        assert_eq!(event_with("", None, "woot", &[]), r#"5:::{"name":"woot"}"#);
        assert_eq!(
            event_with("/chat", Some(2), "woot", &[argument.clone(), argument]),
            r#"5:2+:/chat:{"name":"woot","args":[{"nsp":"/chat"},{"nsp":"/chat"}]}"#
        );
        assert_eq!(message("", None, "a:b\n"), "3:::a:b\n");
        assert_eq!(message("/chat", Some(1), ""), "3:1:/chat:");
        assert_eq!(json_message("", &crate::dialect::json(&7)), "4:::7");
        assert_eq!(receipt("", "1"), "6:::1");
        assert_eq!(
            answer("/chat", "1", &crate::dialect::json(&"w")),
            r#"6::/chat:1+["w"]"#
        );
        assert_eq!(
            question("/chat", 7, "ask", &argument),
            r#"5:7+:/chat:{"name":"ask","args":[{"nsp":"/chat"}]}"#
        );
        assert_eq!(error("/deny", Reason::Unauthorized), "7::/deny:2");
        assert_eq!(
            format!("{}+0", error("", Reason::NotHandshaken)),
            NOT_HANDSHAKEN
        );
    }
}
