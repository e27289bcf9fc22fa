//! Bodies that are no messages: refused with a line in the log, out of nobody's way.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

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
    let deep = "[".repeat(900_000);
    let deep_objects = r#"{"text":"#.repeat(200_000);
    let bad: [&[u8]; 20] = [
        deep.as_bytes(),
        deep_objects.as_bytes(),
        b"7",
        b"null",
        b"[]",
        br#"{"text":null}"#,
        br#"{"text":7}"#,
        br#"{"text":["x"]}"#,
        br#"{"text":"x","text":"y"}"#,
        br#"{"text":"x","ip":{"a":[]}}"#,
        br#"{"text":"x"} {"text":"y"}"#,
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
async fn properties_and_headers_of_any_kind_are_nobodys_business() {
    let place = place();
    let server = server(&place.url(), "messages");
    server.logged(&["bridge is connected"]).await;
    let node = Node::on(&place.url(), &MESSAGES).await;
    let mut ann = replica(server.address(), "ann").await;
    let mut deep = AMQPValue::Void;
    for _ in 0..100 {
        let mut table = FieldTable::default();
        table.insert("x".into(), deep);
        deep = AMQPValue::FieldTable(table);
    }
    let mut headers = FieldTable::default();
    headers.insert("deep".into(), deep);
    headers.insert(
        "long".into(),
        AMQPValue::LongString("x".repeat(50_000).into()),
    );
    let empty = BasicProperties::default;
    for (n, properties) in [
        empty().with_headers(headers),
        empty()
            .with_content_type("text/html".into())
            .with_content_encoding("gzip".into()),
        empty().with_priority(255).with_timestamp(u64::MAX),
        empty()
            .with_app_id("x".repeat(255).into())
            .with_message_id("\u{7}".into()),
        empty()
            .with_reply_to("nobody".into())
            .with_correlation_id("x".into()),
    ]
    .into_iter()
    .enumerate()
    {
        let text = format!("with properties {n}");
        let body = serde_json::json!({ "text": text }).to_string();
        node.publish_with(properties, body).await;
        assert_eq!(ann.said().await.text, text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bodies_that_are_none_costs_a_few_lines_and_what_follows_is_taken() {
    let place = place();
    let server = server(&place.url(), "messages");
    server.logged(&["bridge is connected"]).await;
    let node = Node::on(&place.url(), &MESSAGES).await;
    let mut ann = replica(server.address(), "ann").await;
    let memory = server.memory();
    let body = format!(r#"{{"text":7,"x":"{}"}}"#, "x".repeat(10_000));
    for _ in 0..5_000 {
        node.publish(&body).await;
    }
    node.say("after it").await;
    assert_eq!(ann.said().await.text, "after it");
    let log = server.log();
    let refused = log
        .iter()
        .filter(|line| line.contains("refused what a bridge sent"));
    assert!((1..10).contains(&refused.count()), "{log:#?}");
    let after = server.memory();
    assert!(
        after < memory + 100 * 1024,
        "{memory} KiB before, {after} KiB after"
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
