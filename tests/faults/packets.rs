//! Packets that are wrong in every way, over both transports and both protocol versions. At most their
//! sender is harmed.

use std::time::Duration;

use crate::harness::{
    client::{Client, Eio},
    http::Polling,
    raw::{BINARY, PING, Raw, TEXT, frame, header},
    server::Server,
    soon,
};

const ROOM: &str = "packets";

/// KiB that the server may hold more than before.
const KEPT: usize = 40 * 1024;

/// Socket.IO packets, each cut, twisted or swollen; an Engine.IO message each.
fn packets() -> Vec<String> {
    let mut packets: Vec<String> = [
        "",
        "4",
        "40",
        "40/",
        "40/chat",
        "40/chat,{",
        "40,{}",
        "40{}",
        "40null",
        "40[]",
        "40/chat,{\"after\":7}",
        "40{\"after\":\"x\"}",
        "40/nowhere,",
        "40//,",
        "41",
        "41/chat,",
        "41/nowhere,",
        "42",
        "42[",
        "42[]",
        "42[null]",
        "42[1]",
        "42[[]]",
        "42{}",
        "42\"x\"",
        "42[\"message\"",
        "42[\"message\",",
        "42[\"message\"]",
        "42[\"message\",null]",
        "42[\"message\",{}]",
        "42[\"message\",1e999]",
        "42[\"\",\"x\"]",
        "42[\"constructor\",1]",
        "42[\"disconnect\"]",
        "42[\"connect\"]",
        "42[\"message\",\"\\ud83d\"]",
        "42[\"message\",\"\\u0000\"]",
        "42[\"message\",\"a\u{0}b\"]",
        "42[\"message\",\"\\x\"]",
        "429223372036854775807[\"message\",\"x\"]",
        "429223372036854775808[\"message\",\"x\"]",
        "4299999999999999999999[\"message\",\"x\"]",
        "42-1[\"message\",\"x\"]",
        "42/chat,1[\"hello\",{\"name\":[]}]",
        "42/chat[\"rooms\",{}]",
        "42/chat",
        "431[]",
        "43[]",
        "4399999[\"x\"]",
        "44",
        "44{\"message\":\"x\"}",
        "45",
        "45[\"x\"]",
        "451-[\"x\",{\"_placeholder\":true,\"num\":5}]",
        "451-[\"message\",{\"_placeholder\":true,\"num\":0}]",
        "450-[\"message\",\"x\"]",
        "4599999999999999999999-[\"x\"]",
        "454294967295-[\"x\"]",
        "45-1-[\"x\"]",
        "46",
        "461-[\"x\"]",
        "461-1[{\"_placeholder\":true,\"num\":0}]",
        "47[]",
        "48",
        "4\u{1e}",
        "1",
        "2",
        "2probe",
        "3",
        "3probe",
        "5",
        "6",
        "7",
        "b",
        "bAAAA",
        "b!!!!",
        "x",
        "0{}",
        "\u{feff}42[]",
    ]
    .map(str::to_owned)
    .into();
    let deep = |open: &str, depth: usize| open.repeat(depth);
    packets.push(format!("42[\"message\",{}", deep("[", 90_000)));
    packets.push(format!(
        "42[\"message\",{}{}]",
        deep("[", 40_000),
        deep("]", 40_000)
    ));
    packets.push(format!(
        "42/chat,1[\"hello\",{}1{}]",
        deep("{\"name\":", 9_000),
        deep("}", 9_000)
    ));
    packets.push(format!(
        "40/chat,{}{}",
        deep("[", 40_000),
        deep("]", 40_000)
    ));
    packets.push(format!("42[\"message\",\"{}\"]", "x".repeat(200_000)));
    packets.push(format!("42[\"{}\",1]", "x".repeat(90_000)));
    packets.push(format!("40/{},", "x".repeat(90_000)));
    packets
}

/// Frames that no WebSocket library sends.
fn frames() -> Vec<Vec<u8>> {
    let whole = frame(true, TEXT, br#"42["message","in parts"]"#);
    let mut unmasked = whole.clone();
    unmasked[1] &= 0x7f;
    unmasked.drain(2..6);
    vec![
        frame(true, TEXT, b"42[\"message\",\"\xff\xfe\"]"),
        frame(true, TEXT, b"42[\"message\",\"\xed\xa0\xbd\"]"),
        [
            frame(false, TEXT, b"42[\"mess"),
            frame(true, 0, b"age\",\"x\"]"),
        ]
        .concat(),
        [frame(false, TEXT, b"42[\"mess"), whole.clone()].concat(),
        (0..2000).flat_map(|_| frame(false, TEXT, b"")).collect(),
        [
            frame(false, TEXT, b"42"),
            (0..2000).flat_map(|_| frame(false, 0, b"x")).collect(),
        ]
        .concat(),
        (0..20_000)
            .flat_map(|_| frame(true, PING, &[b'x'; 100]))
            .collect(),
        (0..20_000).flat_map(|_| frame(true, TEXT, b"2")).collect(),
        frame(true, PING, &[b'x'; 200]),
        [header(true, TEXT, 64 << 20), vec![b'x'; 100_000]].concat(),
        header(true, BINARY, u64::MAX),
        frame(true, BINARY, b""),
        frame(true, BINARY, &[4; 50_000]),
        frame(true, 0, b"nothing to continue"),
        frame(true, 3, b"reserved"),
        frame(true, 8, b"\x00"),
        frame(true, 8, &1005u16.to_be_bytes()),
        unmasked,
        vec![0xff; 1000],
        [
            frame(true, TEXT, br#"451-["x",{"_placeholder":true,"num":0}]"#),
            whole.clone(),
        ]
        .concat(),
        [
            frame(true, TEXT, br#"459-["x",{"_placeholder":true,"num":0}]"#),
            frame(true, BINARY, &[0; 1000]),
        ]
        .concat(),
        whole[..whole.len() - 1].to_vec(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_harms_at_most_its_sender() {
    let server = Server::patient(&[]);
    let address = server.address();
    let mut healthy = Client::native(address, "healthy").await;
    healthy.join(ROOM, None).await;
    healthy.post(ROOM, "before", None).await;
    let before = server.memory();
    let mut held = Vec::new();
    for eio in [Eio::V3, Eio::V4] {
        let path = format!("{}&transport=websocket", eio.path());
        for joined in [false, true] {
            let connect = frame(true, TEXT, b"40");
            let join = async |raw: &mut Raw| {
                if joined && eio == Eio::V4 {
                    raw.write(&connect).await.unwrap();
                    assert!(!raw.ends_before("start").await, "it is not let in");
                }
            };
            for packet in packets() {
                let mut raw = Raw::upgrade(address, &path).await.unwrap();
                join(&mut raw).await;
                let _ = raw.text(&packet).await;
                held.push(raw);
                let mut polling = Polling::open(address, eio, "").await.unwrap();
                if joined && eio == Eio::V4 {
                    let _ = polling.send("40").await;
                }
                // A refusal may come while the body is still on its way.
                if let Ok(answer) = polling.send(&packet).await {
                    let shown = &packet[..packet.floor_char_boundary(60)];
                    assert!(
                        [200, 400, 413].contains(&answer.status),
                        "{shown}: {}",
                        answer.status
                    );
                }
            }
            for frames in frames() {
                let mut raw = Raw::upgrade(address, &path).await.unwrap();
                join(&mut raw).await;
                // The server may hang up in the middle.
                let _ = tokio::time::timeout(Duration::from_secs(2), raw.write(&frames)).await;
                held.push(raw);
            }
        }
        let text = format!("said during {eio:?}");
        healthy.post(ROOM, &text, None).await;
        healthy.said_until(&text).await;
    }
    for body in [
        &b"67108864:42"[..],
        b"0:",
        b":",
        b"-1:x",
        b"99999999999999999999:x",
        b"1:\xff",
        b"\x00\x01",
        b"\x1e\x1e\x1e",
    ] {
        for eio in [Eio::V3, Eio::V4] {
            let mut polling = Polling::open(address, eio, "").await.unwrap();
            let answer = soon("an answer", polling.post(body)).await.unwrap();
            assert!(
                [200, 400].contains(&answer.status),
                "{body:?}: {}",
                answer.status
            );
        }
    }
    let after = server.memory();
    println!(
        "memory with {} of them held open: {before} KiB before, {after} KiB after",
        held.len()
    );
    assert!(
        after < before + KEPT,
        "{before} KiB before, {after} KiB after"
    );
    healthy.post(ROOM, "after", None).await;
    healthy.said_until("after").await;
    let panics: Vec<_> = server
        .log()
        .into_iter()
        .filter(|line| line.contains("panicked"))
        .collect();
    assert_eq!(panics, [""; 0]);

    server.terminate();
    let (status, _) = server.exit().await;
    assert!(status.success(), "{status}");
}

/// The head of an event with attachments, from a client that is in the namespace.
fn attached(attachments: usize, text: &str) -> Vec<u8> {
    let head =
        format!(r#"45{attachments}-/chat,["post",{{"_placeholder":true,"num":0}},"{text}"]"#);
    frame(true, TEXT, head.as_bytes())
}

#[tokio::test]
async fn an_event_is_as_large_as_its_text_and_its_attachments_together() {
    let server = Server::start(&["--max-message", "10000"]);
    let path = format!("{}&transport=websocket", Eio::V4.path());
    let part = |length| frame(true, BINARY, &vec![0; length]);
    for (text, attachment, answer) in [(4_000, 4_000, "43/chat,1"), (6_000, 6_000, "too_large")] {
        let mut raw = Raw::upgrade(server.address(), &path).await.unwrap();
        raw.text("40/chat,").await.unwrap();
        let packet = [attached(1, &"x".repeat(text)), part(attachment)].concat();
        raw.write(&packet).await.unwrap();
        raw.text(r#"42/chat,1["rooms",{}]"#).await.unwrap();
        let ended = raw.ends_before(answer).await;
        assert!(!ended, "{text} and {attachment} bytes: no {answer}");
    }
}

#[tokio::test]
async fn attachments_that_never_end_are_not_kept() {
    let server = Server::start(&["--max-message", "10000"]);
    let path = format!("{}&transport=websocket", Eio::V4.path());
    for (attachments, length, sent) in [(65, 1, 0), (9, 4_000, 3)] {
        let mut raw = Raw::upgrade(server.address(), &path).await.unwrap();
        raw.text("40/chat,").await.unwrap();
        raw.write(&attached(attachments, "")).await.unwrap();
        for _ in 0..sent {
            // The server may hang up in the middle.
            let _ = raw.write(&frame(true, BINARY, &vec![0; length])).await;
        }
        assert!(raw.ends_before("no such text").await);
    }
    server.terminate();
    let (status, ..) = server.exit().await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn ids_that_were_never_given_out_are_answered() {
    let server = Server::start(&["--event-rate", "0"]);
    let mut client = Client::native(server.address(), "guessing").await;
    for seq in [
        0,
        2,
        1000,
        i64::MAX as u64 - 1,
        i64::MAX as u64,
        u64::MAX - 1,
        u64::MAX,
    ] {
        let room = seq.to_string();
        client.join(&room, None).await;
        let id = client.post(&room, "first", None).await;
        let (_, epoch) = id.split_once('-').unwrap();
        let id = format!("{seq}-{epoch}");
        let mut reader = Client::native(server.address(), "guessing").await;
        let answer = reader.join(&room, Some(&id)).await;
        assert_eq!(answer["reset"], seq > 0, "after {id}");
        assert_eq!(reader.said().await.text, "first", "after {id}");
        client.post(&room, "second", None).await;
        assert_eq!(reader.said().await.text, "second", "after {id}");
        let request = serde_json::json!({ "room": room, "before": id });
        let answer = reader.ask("history", &request).await;
        assert_eq!(answer["ok"], true, "before {id}");
    }
}
