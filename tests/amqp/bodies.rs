//! Bodies that are no messages: refused with a word in the store, out of nobody's way.

use lapin::BasicProperties;

use crate::{
    everything,
    harness::words::seq,
    node::{MESSAGES, Node},
    place, replica, server,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_message_is_refused_and_what_follows_is_taken() {
    let place = place();
    let server = server(&place.url(), "messages");
    server.logged(&["bridge is connected"]).await;
    let node = Node::on(&place.url(), &MESSAGES).await;
    let mut ann = replica(server.address(), "ann").await;
    let long = format!(r#"{{"text":"{}"}}"#, "x".repeat(10_000_000));
    let too_long = format!(r#"{{"text":"{}"}}"#, "x".repeat(200_000));
    let bad: [&[u8]; 9] = [
        b"secret words",
        b"\xff\xfe",
        b"",
        b"{}",
        b"[[[[",
        br#"{"text":{"secret words":1}}"#,
        br#"{"text":"  "}"#,
        long.as_bytes(),
        too_long.as_bytes(),
    ];
    for (n, body) in bad.iter().enumerate() {
        node.publish(body).await;
        let text = format!("after {n}");
        node.say(&text).await;
        assert_eq!(ann.said().await.text, text);
    }
    let line = server
        .logged(&["refused what a bridge sent", "messages", "not JSON"])
        .await;
    assert!(line.contains("WARN"), "{line}");
    assert!(
        !server
            .log()
            .iter()
            .any(|line| line.contains("secret words"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_bears_our_mark_is_not_taken_in() {
    let place = place();
    let server = server(&place.url(), "messages");
    server.logged(&["bridge is connected"]).await;
    let mut node = Node::on(&place.url(), &MESSAGES).await;
    let mut ann = replica(server.address(), "ann").await;
    ann.post("lobby", "ours", None).await;
    let mark = node.next().await.properties.app_id().clone().unwrap();
    let forged = BasicProperties::default().with_app_id(mark);
    node.publish_with(forged, r#"{"text":"forged"}"#).await;
    let others = BasicProperties::default().with_app_id("handshaken/another".into());
    node.publish_with(others, r#"{"text":"of others"}"#).await;
    assert_eq!(seq(&ann.said_until("of others").await[1].id), 2);
    assert_eq!(everything(server.address()).await, ["ours", "of others"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_texts_and_host_names_pass_as_text() {
    let place = place();
    let server = server(&place.url(), "messages");
    server.logged(&["bridge is connected"]).await;
    let node = Node::on(&place.url(), &MESSAGES).await;
    let mut ann = replica(server.address(), "ann").await;
    let host = "h ost\u{7}\n".repeat(1000);
    let body = serde_json::json!({ "text": "a\0b\u{202e}✓😀<script>", "ip": host, "extra": [1] });
    node.publish(body.to_string()).await;
    assert_eq!(ann.said().await.text, "a\0b\u{202e}✓😀<script>");
}
