//! Beside servers of Infinite Chat.

use crate::{
    harness::redis::RedisServer,
    node::{Node, hear, ours, worker},
    page::{Page, say_in_turn},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_any_server_is_told_once_on_all() {
    let redis = RedisServer::start();
    let servers = [(); 2].map(|()| ours(&redis, &["--new-msg-channel", "newMsg"]));
    let nodes = [(); 2].map(|()| Node::infinite(&redis));
    hear(&redis, "newMsg", servers.len() + nodes.len()).await;
    worker(&servers).await;
    let mut pages = Vec::new();
    for address in servers.iter().map(|server| server.address()) {
        pages.push(Page::infinite(address).await);
    }
    for node in &nodes {
        pages.push(Page::infinite(node.address).await);
    }
    let text = |from, round| format!("{from} <b> {round}");
    say_in_turn(&pages, text, |_, from, round| text(from, round)).await;
    for page in &pages {
        for told in page.told() {
            assert_eq!(told["username"], "ann", "{told}");
            let date = told["date"].as_str().unwrap();
            assert!(date.ends_with("AM") || date.ends_with("PM"), "{told}");
        }
    }
    // A newcomer at a server in Node is told ours as its history.
    let newcomer = Page::infinite(nodes[0].address).await;
    newcomer.say("hello").await;
    newcomer.texts_with("hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_one_bridge_goes_out_to_the_other() {
    let redis = RedisServer::start();
    let elsewhere = RedisServer::start();
    let url = elsewhere.url();
    let flags = [
        "--neighbour-redis",
        &url,
        "--new-msg-channel",
        "newMsg",
        "--socketio-redis-key",
        "chat",
    ];
    let servers = [(); 2].map(|()| ours(&redis, &flags));
    let node = Node::infinite(&elsewhere);
    hear(&elsewhere, "newMsg", 3).await;
    hear(&elsewhere, "chat#/#", 2).await;
    worker(&servers).await;
    let (theirs, here) = (
        Page::infinite(node.address).await,
        Page::talk(servers[1].address()).await,
    );
    let mut channel = redis::Client::open(url).unwrap().get_connection().unwrap();
    let mut channel = channel.as_pubsub();
    channel.subscribe("chat#/#").unwrap();
    theirs.say("one").await;
    here.texts_with("one").await;
    here.say("two").await;
    theirs.texts_with("two").await;
    for text in ["one", "two"] {
        let body = channel.get_message().unwrap();
        let body = body.get_payload_bytes();
        assert!(
            body.windows(3).any(|part| part == text.as_bytes()),
            "{body:?}"
        );
    }
    // Nothing of it comes back.
    theirs.say("three").await;
    here.texts_with("three").await;
    assert_eq!(here.texts(), ["one", "two", "three"]);
    assert_eq!(theirs.texts(), ["one", "two", "three"]);
}
