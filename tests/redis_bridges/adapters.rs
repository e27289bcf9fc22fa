//! Beside servers of Socket.IO 2.x to 4.x with socket.io-redis 5.x and @socket.io/redis-adapter 6.x to 8.x.

use serde_json::{Value, json};

use crate::{
    harness::{client::Client, redis::RedisServer, soon},
    node::{Node, hear, ours, worker},
    page::{Page, say_in_turn},
};

const ADAPTERS: [&str; 5] = ["5.2", "5.4", "6", "7", "8"];

/// The channel of Node's requests: as many hear it as there are servers in Node.
const REQUESTS: &str = "socket.io-request#/#";

fn is_old(adapter: &str) -> bool {
    adapter.starts_with('5')
}

async fn page(adapter: &str, node: &Node) -> Page {
    if is_old(adapter) {
        Page::old_talk(node.address).await
    } else {
        Page::talk(node.address).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_any_server_is_told_once_on_all() {
    let redis = RedisServer::start();
    let servers = [(); 2].map(|()| ours(&redis, &["--socketio-redis-key", "socket.io"]));
    let nodes = ADAPTERS.map(|adapter| Node::talk(adapter, &redis, &format!("node-{adapter}")));
    hear(&redis, REQUESTS, nodes.len()).await;
    hear(&redis, "socket.io#/#", servers.len()).await;
    worker(&servers).await;
    let mut pages = Vec::new();
    for server in &servers {
        pages.push(Page::talk(server.address()).await);
    }
    for (adapter, node) in ADAPTERS.iter().zip(&nodes) {
        pages.push(page(adapter, node).await);
    }
    // The text of one of ours goes out without markup, to ours from anywhere too.
    let is_escaped = |n, from| n < servers.len() || from < servers.len();
    say_in_turn(
        &pages,
        |from, round| format!("{from} <b>& {round}"),
        |n, from, round| {
            let open = if is_escaped(n, from) { "&lt;" } else { "<" };
            format!("{from} {open}b>& {round}")
        },
    )
    .await;
    // Each message bears the name of the server that took it.
    for page in &pages[..servers.len()] {
        let of_node = |told: &Value| told["ip"] == "node-8" && told["text"] == "6 &lt;b>& 0";
        assert!(page.told().iter().any(of_node), "{:?}", page.told());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_node_does_with_a_broadcast_decides_whether_it_is_for_us() {
    let redis = RedisServer::start();
    let server = ours(&redis, &["--socketio-redis-key", "socket.io"]);
    let nodes = ["5.4", "8"].map(|adapter| Node::talk(adapter, &redis, adapter));
    hear(&redis, REQUESTS, nodes.len()).await;
    hear(&redis, "socket.io#/#", 1).await;
    let reader = Page::talk(server.address()).await;
    for (adapter, node) in ["5.4", "8"].iter().zip(&nodes) {
        let page = page(adapter, node).await;
        for event in ["bare", "dated", "to rooms", "to others", "volatile"] {
            page.event(event, &format!("{event} {adapter}")).await;
        }
        page.say(&format!("last {adapter}")).await;
        reader.texts_with(&format!("last {adapter}")).await;
    }
    let expected = [
        "bare 5.4",
        "dated 5.4",
        "to others 5.4",
        "volatile 5.4",
        "last 5.4",
        "bare 8",
        "dated 8",
        "to others 8",
        "volatile 8",
        "last 8",
    ];
    assert_eq!(reader.texts(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_in_node_do_not_wait_for_our_answer_to_their_requests() {
    let redis = RedisServer::start();
    let servers = [(); 2].map(|()| ours(&redis, &["--socketio-redis-key", "socket.io"]));
    hear(&redis, "socket.io#/#", servers.len()).await;
    worker(&servers).await;
    for (adapter, expected) in [
        ("8", json!({ "servers": 2, "sockets": 2 })),
        ("7", json!({ "servers": 2, "sockets": 2 })),
        ("5.4", json!({ "sockets": 2 })),
    ] {
        let nodes = [(); 2].map(|()| Node::talk(adapter, &redis, "node"));
        hear(&redis, REQUESTS, nodes.len()).await;
        let _other = page(adapter, &nodes[1]).await;
        let count = if is_old(adapter) {
            let eio = crate::harness::client::Eio::V3;
            let mut client = Client::unjoined(nodes[0].address, "/", eio).await;
            soon("an answer", client.ask("count", &Value::Null)).await
        } else {
            let mut client = Client::websocket(nodes[0].address, "/").await;
            soon("an answer", client.ask("count", &Value::Null)).await
        };
        assert_eq!(count, expected, "{adapter}");
        drop(nodes);
        hear(&redis, REQUESTS, 0).await;
    }
}
