//! What a page of `infinite-chat` is told: the history first, then every message once, in one order.

use std::time::Duration;

use serde_json::json;

use crate::{
    chatter::Chatter,
    harness::{client::Client, server::Server},
};

const BEGINNING: &str = "Start Chatting!";

#[tokio::test]
async fn what_is_said_comes_to_all_the_sender_too_and_a_newcomer_finds_it() {
    let server = Server::start(&["--time-zone", "Asia/Kathmandu"]);
    let mut ann = Chatter::open(server.address()).await;
    let mut bob = Chatter::open(server.address()).await;
    for chatter in [&mut ann, &mut bob] {
        let line = chatter.line().await.unwrap();
        assert_eq!((&*line.username, &*line.msg), ("System", BEGINNING));
    }
    ann.say("Ann", "<b>hi</b> ✓").await;
    bob.say("???", " spaces ").await;
    let mut said = Vec::new();
    for chatter in [&mut ann, &mut bob] {
        let lines = [chatter.line().await.unwrap(), chatter.line().await.unwrap()];
        said.push(lines);
        assert_eq!(chatter.arrays, [1, 1, 1]);
    }
    assert_eq!(said[0], said[1]);
    let mut newcomer = Chatter::open(server.address()).await;
    assert_eq!(newcomer.line().await.unwrap().msg, BEGINNING);
    for line in &said[0] {
        assert_eq!(newcomer.line().await.as_ref(), Some(line));
    }
    assert_eq!(newcomer.arrays, [3]);
    let mut names: Vec<_> = said[0]
        .iter()
        .map(|line| (&*line.username, &*line.msg))
        .collect();
    names.sort();
    assert_eq!(names, [("???", " spaces "), ("Ann", "<b>hi</b> ✓")]);
    // A quarter of an hour off every full one, and no leading zero.
    let now = jiff::Timestamp::now().in_tz("Asia/Kathmandu").unwrap();
    let date = now.strftime("%B %-d, %Y ").to_string();
    assert!(
        said[0][0].date.starts_with(&date),
        "{} is not {date}",
        said[0][0].date
    );
}

#[tokio::test]
async fn a_newcomer_gets_the_last_twenty_five_and_after_a_restart_the_same() {
    let server = Server::start(&["--event-rate", "0"]);
    let mut ann = Chatter::open(server.address()).await;
    ann.line().await;
    let texts: Vec<_> = (0..30).map(|n| n.to_string()).collect();
    for text in &texts {
        ann.say("Ann", text).await;
    }
    assert_eq!(ann.texts(30).await, texts);
    let mut newcomer = Chatter::open(server.address()).await;
    assert_eq!(newcomer.texts(25).await, texts[5..]);
    assert_eq!(newcomer.arrays, [25]);
    let server = server.kill().start_again();
    let mut newcomer = Chatter::open(server.address()).await;
    assert_eq!(newcomer.texts(25).await, texts[5..]);
    assert_eq!(newcomer.arrays, [25]);
}

#[tokio::test]
async fn a_history_of_long_messages_comes_whole_and_first() {
    let server = Server::start(&["--event-rate", "0"]);
    let mut ann = Chatter::open(server.address()).await;
    ann.line().await;
    for n in 0..25 {
        ann.say("Ann", &format!("{n} {}", "x".repeat(95_000))).await;
    }
    ann.texts(25).await;
    let mut newcomer = Chatter::open(server.address()).await;
    ann.say("Ann", "after").await;
    let mut texts = newcomer.texts(1).await;
    while texts.last().unwrap() != "after" {
        texts.extend(newcomer.texts(1).await);
    }
    let numbers: Vec<_> = (texts.iter())
        .map(|text| text.split(' ').next().unwrap())
        .collect();
    // What is said meanwhile may be the last of the history already.
    let all: Vec<_> = (0..25)
        .map(|n| n.to_string())
        .chain(["after".into()])
        .collect();
    let first = all.len() - numbers.len();
    assert!(first <= 1, "{numbers:?}");
    assert_eq!(numbers, all[first..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_seam_between_the_history_and_what_is_new() {
    const NEWCOMERS: usize = 60;
    let server = Server::start(&["--event-rate", "0", "--history", "10"]);
    let address = server.address();
    let speaking = tokio::spawn(async move {
        let mut ann = Chatter::open(address).await;
        ann.line().await;
        for n in 0.. {
            ann.say("Ann", &n.to_string()).await;
            // As fast as it is kept, until nobody listens.
            if ann.line().await.is_none() {
                return;
            }
        }
    });
    for _ in 0..NEWCOMERS {
        let mut newcomer = Chatter::open(address).await;
        let mut last = None;
        while newcomer.arrays.len() < 5 || last.is_none() {
            let line = newcomer.line().await.unwrap();
            if line.username == "System" {
                continue;
            }
            let number: u32 = line.msg.parse().unwrap();
            assert!(
                last.is_none_or(|last| number == last + 1),
                "{number} after {last:?}"
            );
            last = Some(number);
        }
        assert!(
            newcomer.arrays[1..].iter().all(|lines| *lines == 1),
            "{:?}",
            newcomer.arrays
        );
    }
    speaking.abort();
}

#[tokio::test]
async fn what_cannot_be_said_is_told_to_its_sender_alone() {
    let server = Server::start(&["--max-message", "2000", "--event-rate", "0"]);
    let mut ann = Chatter::open(server.address()).await;
    let mut bob = Chatter::open(server.address()).await;
    assert_eq!(ann.texts(1).await, [BEGINNING]);
    assert_eq!(bob.texts(1).await, [BEGINNING]);
    let shape = r#"Not sent: it is not JSON of the form {"username": text, "msg": text}"#;
    let long = json!({ "username": "x".repeat(41), "msg": "hi" }).to_string();
    let too_much = json!({ "username": "Ann", "msg": "x".repeat(1_600) }).to_string();
    for (sent, told) in [
        ("", shape),
        ("hi", shape),
        ("[]", shape),
        ("{}", shape),
        ("null", shape),
        ("7", shape),
        (r#"["Ann","hi"]"#, shape),
        (r#"[{"username":"Ann","msg":"hi"}]"#, shape),
        (r#"{"username":"Ann"}"#, shape),
        (r#"{"msg":"hi"}"#, shape),
        (r#"{"username":"Ann","msg":7}"#, shape),
        (r#"{"username":null,"msg":"hi"}"#, shape),
        (r#"{"username":"Ann","msg":["hi"]}"#, shape),
        (r#"{"username":"Ann","msg":"a","msg":"b"}"#, shape),
        (r#"{"username":"Ann","msg":"hi"} x"#, shape),
        (r#"{"username":"Ann","msg":"hi"#, shape),
        (r#"{"username":"Ann","msg":""}"#, "Not sent: text is empty"),
        (
            r#"{"username":"Ann","msg":" \n"}"#,
            "Not sent: text is empty",
        ),
        (
            r#"{"username":"a\u202eb","msg":"hi"}"#,
            "Not sent: name holds a control character",
        ),
        (&long, "Not sent: name is longer than 40 characters"),
        (&too_much, "Not sent: text is longer than 1500 bytes"),
    ] {
        ann.send(sent).await;
        let line = ann.line().await.unwrap();
        assert_eq!((&*line.username, &*line.msg), ("System", told), "{sent}");
    }
    ann.send(r#" { "msg" : "\ud83d half", "x" : [[]], "username" : "Ann" } "#)
        .await;
    for chatter in [&mut ann, &mut bob] {
        assert_eq!(chatter.texts(1).await, ["\u{fffd} half"]);
    }
}

#[tokio::test]
async fn people_of_other_front_ends_are_met_in_the_lobby() {
    let server = Server::start(&[]);
    let mut native = Client::native(server.address(), "Zoë").await;
    native.join("lobby", None).await;
    let mut talk = Client::websocket(server.address(), "/").await;
    let mut ann = Chatter::open(server.address()).await;
    assert_eq!(ann.texts(1).await, [BEGINNING]);
    native.post("lobby", "from native <i>", None).await;
    let line = ann.line().await.unwrap();
    assert_eq!((&*line.username, &*line.msg), ("Zoë", "from native <i>"));
    talk.emit("message", &json!("from talk <i>")).await.unwrap();
    let line = ann.line().await.unwrap();
    assert_eq!((&*line.username, &*line.msg), ("???", "from talk <i>"));
    ann.say("Ann", "from a WebSocket <i>").await;
    let said = native.said_until("from a WebSocket <i>").await;
    assert_eq!(said.last().unwrap().seq, 3);
    talk.expect("it is told to talk", |packet| match packet {
        crate::harness::client::Packet::Event(name, payload) if name == "message" => {
            (payload["text"] == "from a WebSocket &lt;i>").then_some(())
        }
        _ => None,
    })
    .await;
    // Whoever has said its name is a person here, and was a guest before.
    let mut watching = Client::native(server.address(), "watching").await;
    let roll = watching.join("lobby", None).await;
    let names: Vec<_> = roll["people"]
        .as_array()
        .unwrap()
        .iter()
        .map(|person| &person["name"])
        .collect();
    assert!(names.contains(&&json!("Ann")), "{roll}");
    assert_eq!(
        (&roll["guests"], &roll["total"]),
        (&json!(1), &json!(4)),
        "{roll}"
    );
    drop(ann);
    let began = std::time::Instant::now();
    crate::harness::eventually("she has left", async || {
        watching.forget();
        let roll = watching.join("lobby", None).await;
        (roll["total"] == 3)
            .then_some(())
            .ok_or_else(|| roll.to_string())
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(30));
}
