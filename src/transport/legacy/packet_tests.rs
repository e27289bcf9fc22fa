//! What every packet of the grammar means, and what is none.

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
    let argument = crate::dialects::json(&serde_json::json!({ "nsp": "/chat" }));
    assert_eq!(connect(""), "1::");
    assert_eq!(connect("/chat"), "1::/chat");
    assert_eq!(
        event("/chat", "welcome", &argument),
        r#"5::/chat:{"name":"welcome","args":[{"nsp":"/chat"}]}"#
    );
    assert_eq!(event_with("", None, "woot", &[]), r#"5:::{"name":"woot"}"#);
    assert_eq!(
        event_with(
            "/chat",
            Some(2),
            "woot",
            &[argument.clone(), argument.clone()]
        ),
        r#"5:2+:/chat:{"name":"woot","args":[{"nsp":"/chat"},{"nsp":"/chat"}]}"#
    );
    assert_eq!(message("", None, "a:b\n"), "3:::a:b\n");
    assert_eq!(message("/chat", Some(1), ""), "3:1:/chat:");
    assert_eq!(json_message("", &crate::dialects::json(&7)), "4:::7");
    assert_eq!(receipt("", "1"), "6:::1");
    assert_eq!(
        answer("/chat", "1", &[crate::dialects::json(&"w")]),
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
