//! What goes out when, and in which bytes.

use std::convert::Infallible;

use serde_json::value::to_raw_value;

use super::*;

/// A server's text frame of up to 125 bytes.
fn frame(text: &str) -> Vec<u8> {
    [&[0x81, text.len() as u8], text.as_bytes()].concat()
}

fn mark() -> String {
    format!(r#"42/chat,["{MARK}"]"#)
}

/// The texts of frames.
fn texts(mut frames: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some((frame, rest)) = split_frame(frames) {
        texts.push(String::from_utf8(text(frame).unwrap().to_vec()).unwrap());
        frames = rest;
    }
    assert!(frames.is_empty());
    texts
}

/// An outbox whose session is on its WebSocket.
fn direct(marked: bool) -> Outbox {
    let outbox = Outbox::default();
    outbox.go_direct(|| Ok::<_, Infallible>(marked)).unwrap();
    outbox
}

fn say(outbox: &Outbox, what: &str) -> Queued {
    let packet = Packet::Event {
        namespace: "/",
        name: what,
        payload: &to_raw_value(&1).unwrap(),
    };
    let by_engine = || -> Result<(), Infallible> { panic!("it goes past the engine") };
    outbox.queue(&packet, || Ok(()), by_engine).unwrap()
}

fn ask(outbox: &Outbox) {
    outbox.queue_behind(|| Ok::<_, Infallible>(())).unwrap();
}

/// What goes out by itself, and how many packets that is said to be.
fn out(outbox: &Outbox) -> (Vec<String>, usize) {
    let mut out = BytesMut::new();
    let packets = outbox.take(&mut out);
    (texts(&out), packets)
}

/// What goes out when the engine writes these.
fn out_with(outbox: &Outbox, written: &[&str]) -> (Vec<String>, usize) {
    let written: Vec<u8> = written.iter().flat_map(|text| frame(text)).collect();
    let mut out = BytesMut::new();
    let packets = outbox.take_with(&written, &mut out);
    (texts(&out), packets)
}

fn event(name: &str) -> String {
    format!(r#"42["{name}",1]"#)
}

#[test]
fn packets_are_written_as_the_engine_writes_them() {
    let payload = to_raw_value(&serde_json::json!({"text": "✓"})).unwrap();
    let (name, id) = ("say \"it\"", i64::MAX);
    for (packet, expected) in [
        (
            Packet::Event {
                namespace: "/",
                name,
                payload: &payload,
            },
            r#"42["say \"it\"",{"text":"✓"}]"#,
        ),
        (
            Packet::Event {
                namespace: "/chat",
                name,
                payload: &payload,
            },
            r#"42/chat,["say \"it\"",{"text":"✓"}]"#,
        ),
        (
            Packet::Ack {
                namespace: "/",
                id: 0,
                answer: &payload,
            },
            r#"430[{"text":"✓"}]"#,
        ),
        (
            Packet::Ack {
                namespace: "/chat",
                id,
                answer: &payload,
            },
            r#"43/chat,9223372036854775807[{"text":"✓"}]"#,
        ),
    ] {
        let mut out = BytesMut::new();
        packet.put(&mut out);
        assert_eq!(*out, *frame(expected));
        assert!(packet.size() <= expected.len(), "{expected}");
    }
}

#[test]
fn frames_of_every_length_are_told_apart() {
    for length in [100, 125, 126, 127, 65_535, 65_536, 200_000] {
        let payload = to_raw_value(&"x".repeat(length - r#"42["e",""]"#.len())).unwrap();
        let packet = Packet::Event {
            namespace: "/",
            name: "e",
            payload: &payload,
        };
        let mut out = BytesMut::new();
        packet.put(&mut out);
        packet.put(&mut out);
        let texts = texts(&out);
        assert_eq!(texts.len(), 2);
        assert_eq!(texts[1].len(), length);
    }
}

#[test]
fn a_session_that_polls_is_told_by_the_engine() {
    let outbox = Outbox::default();
    let mut by_engine = 0;
    let packet = Packet::Event {
        namespace: "/",
        name: "e",
        payload: &to_raw_value(&1).unwrap(),
    };
    let queue = || {
        by_engine += 1;
        Ok::<_, Infallible>(())
    };
    assert_eq!(outbox.queue(&packet, || Ok(()), queue), Ok(Queued::Known));
    assert_eq!(by_engine, 1);
    outbox
        .mark(|| -> Result<bool, Infallible> { panic!("all is in the engine's queue") })
        .unwrap();
    assert_eq!(out(&outbox), (vec![], 0));
}

#[test]
fn the_wire_is_told_of_the_first_alone() {
    let outbox = direct(false);
    assert_eq!(say(&outbox, "a"), Queued::First);
    assert_eq!(say(&outbox, "b"), Queued::Known);
    assert_eq!(out(&outbox), (vec![event("a"), event("b")], 2));
    assert_eq!(say(&outbox, "c"), Queued::First);
}

#[test]
fn what_was_queued_before_the_upgrade_comes_first() {
    let outbox = direct(true);
    assert_eq!(say(&outbox, "new"), Queued::Known);
    assert_eq!(out(&outbox), (vec![], 0));
    let old = [event("old 1"), event("old 2")];
    assert_eq!(
        out_with(&outbox, &[&old[0], "2"]),
        (vec![old[0].clone(), "2".into()], 2)
    );
    assert_eq!(
        out_with(&outbox, &[&old[1], &mark(), "41"]),
        (vec![old[1].clone(), event("new"), "41".into()], 3)
    );
    say(&outbox, "newer");
    assert_eq!(out(&outbox), (vec![event("newer")], 1));
}

#[test]
fn a_question_keeps_its_place_among_events() {
    let outbox = direct(false);
    let questions = [r#"421["q",1]"#, r#"42/chat,2["q",2]"#];
    say(&outbox, "a");
    ask(&outbox);
    say(&outbox, "b");
    ask(&outbox);
    say(&outbox, "c");
    say(&outbox, "d");
    let expected = [
        event("a"),
        questions[0].into(),
        event("b"),
        questions[1].into(),
        event("c"),
        event("d"),
    ];
    let (mut told, packets) = out_with(&outbox, &questions[..1]);
    assert_eq!((&told[..], packets), (&expected[..3], 3));
    assert_eq!(out(&outbox), (vec![], 0));
    let (rest, packets) = out_with(&outbox, &questions[1..]);
    assert_eq!(packets, 3);
    told.extend(rest);
    assert_eq!(told, expected);
}

#[test]
fn what_was_said_goes_out_before_what_the_engine_writes_later() {
    let outbox = direct(false);
    say(&outbox, "goodbye");
    assert_eq!(
        out_with(&outbox, &["41"]),
        (vec![event("goodbye"), "41".into()], 2)
    );
}

#[test]
fn whoever_has_left_when_it_is_its_turn_is_told_nothing() {
    let outbox = direct(false);
    let packet = Packet::Event {
        namespace: "/",
        name: "late",
        payload: &to_raw_value(&1).unwrap(),
    };
    let by_engine = || panic!("it goes past the engine");
    assert_eq!(
        outbox.queue(&packet, || Err("gone"), by_engine),
        Err("gone")
    );
    assert_eq!(out(&outbox), (vec![], 0));
    assert_eq!(say(&outbox, "a"), Queued::First);
}

#[test]
fn nothing_waits_for_a_mark_that_was_not_made() {
    let outbox = direct(false);
    outbox.mark(|| Ok::<_, Infallible>(false)).unwrap();
    say(&outbox, "a");
    assert_eq!(out(&outbox), (vec![event("a")], 1));
}

#[test]
fn after_the_end_nothing_goes_out() {
    let outbox = direct(false);
    say(&outbox, "a");
    outbox.close();
    assert_eq!(say(&outbox, "b"), Queued::Known);
    assert_eq!(out(&outbox), (vec![], 0));
}
