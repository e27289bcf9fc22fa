//! What no page sends, against the real program. At most its sender is harmed.

use std::time::Duration;

use crate::{
    chatter::Chatter,
    harness::{
        raw::{BINARY, PING, Raw, TEXT, frame, header},
        server::Server,
    },
};

/// KiB that the server may hold more than before.
const KEPT: usize = 30 * 1024;

const DEEP: usize = 100_000;

fn texts() -> Vec<String> {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(DEEP), close.repeat(DEEP));
    let said = |msg: &str| format!(r#"{{"username":"Eve","msg":{msg}}}"#);
    let mut texts: Vec<_> = [
        "",
        "[]",
        "null",
        "{}",
        "0",
        "-",
        "1e999",
        "\"",
        "\\",
        "{\"",
        "\u{0}",
        "\u{feff}{}",
        "[[]",
        "{{}}",
        r#"{"username":"Eve","username":"Ann","msg":"x"}"#,
        r#"{"__proto__":{"username":"Eve","msg":"x"}}"#,
        r#"{"username":{"toString":1},"msg":"x"}"#,
        r#"{"username":"\ud83d","msg":"\ude00"}"#,
        r#"{"username":"Eve","msg":"\x"}"#,
    ]
    .map(str::to_owned)
    .into();
    texts.push(deep("[", "]"));
    texts.push("[".repeat(DEEP));
    texts.push(deep(r#"{"a":"#, "}"));
    texts.push(said(&deep("[", "]")));
    texts.push(said(&"[".repeat(DEEP)));
    texts.push(format!(
        r#"{{"x":{},"username":"Eve","msg":1}}"#,
        deep("[", "]")
    ));
    texts.push(format!("{{{}}}", r#""username":"x","#.repeat(10_000)));
    texts
}

fn frames() -> Vec<Vec<u8>> {
    let whole = frame(true, TEXT, br#"{"username":"Eve","msg":7}"#);
    vec![
        whole[..whole.len() - 1].to_vec(),
        vec![0xff; 1000],
        vec![0; 1000],
        frame(true, TEXT, b"\xff\xfe"),
        frame(true, BINARY, &[4; 50_000]),
        frame(false, TEXT, b"{\"username\":"),
        [header(true, TEXT, 1 << 30), vec![b'x'; 100_000]].concat(),
        header(true, BINARY, u64::MAX),
        (0..2000).flat_map(|_| frame(false, TEXT, b"")).collect(),
        [
            frame(false, TEXT, b"["),
            frame(false, 0, b"").repeat(50_000),
        ]
        .concat(),
        [
            frame(false, TEXT, b"["),
            frame(false, 0, &[b'['; 1000]).repeat(2_000),
        ]
        .concat(),
        frame(true, PING, &[b'x'; 100]).repeat(20_000),
        frame(true, TEXT, b"").repeat(20_000),
        whole.repeat(20_000),
        frame(true, 8, b"\x00"),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_harms_at_most_its_sender() {
    let server = Server::patient(&["--max-message", "1000000"]);
    let address = server.address();
    let mut healthy = Chatter::open(address).await;
    healthy.line().await;
    let before = server.memory();
    let mut held = Vec::new();
    let texts = texts()
        .into_iter()
        .map(|text| frame(true, TEXT, text.as_bytes()));
    for (n, sent) in texts.chain(frames()).enumerate() {
        let mut raw = Raw::upgrade(address, "/").await.unwrap();
        // The server may hang up in the middle, or have heard enough for now.
        let _ = tokio::time::timeout(Duration::from_secs(2), raw.write(&sent)).await;
        held.push(raw);
        healthy.say("Ann", &n.to_string()).await;
        while healthy.line().await.unwrap().msg != n.to_string() {}
    }
    let after = server.memory();
    println!(
        "{before} KiB before, {after} KiB with {} of them held open",
        held.len()
    );
    assert!(
        after < before + KEPT,
        "{before} KiB before, {after} KiB after"
    );
    let panics: Vec<_> = (server.log().into_iter())
        .filter(|line| line.contains("panicked"))
        .collect();
    assert_eq!(panics, [""; 0]);
    server.terminate();
    let (status, _) = server.exit().await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_stack_is_not_what_json_runs_on() {
    let server = Server::start(&["--max-message", "1000000"]);
    let mut ann = Chatter::open(server.address()).await;
    ann.line().await;
    for text in texts() {
        ann.send(&text).await;
        let line = ann.line().await.expect("an answer");
        let is_said = line.username == "\u{fffd}" && line.msg == "\u{fffd}";
        assert!(is_said || line.msg.starts_with("Not sent: "), "{line:?}");
    }
}
