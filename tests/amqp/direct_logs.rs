//! Exchange `direct_logs`: messages between people on old servers and on ours, on both or on neither.

use std::time::Duration;

use serde_json::json;

use crate::{
    NO_PINGS,
    harness::{
        eventually,
        rabbit::{Place, RabbitServer},
        redis::RedisServer,
        server::Server,
    },
    node::{DIRECT_LOGS, Node},
    one_is_connected,
    page::{Page, SECRET},
    place,
};

const MOMENT: Duration = Duration::from_secs(2);

fn server(place: &Place) -> Server {
    start(place, &[])
}

fn replicas(place: &Place, redis: &RedisServer) -> Vec<Server> {
    let redis = redis.url();
    (0..2).map(|_| start(place, &["--redis", &redis])).collect()
}

fn start(place: &Place, flags: &[&str]) -> Server {
    let url = place.url();
    let mut all = vec!["--amqp", &url, "--amqp-exchange", "direct_logs"];
    all.extend(["--jwt-secret", SECRET, "--ping-interval", NO_PINGS]);
    all.extend(flags);
    Server::start(&all)
}

/// Waits until so many bindings of ours have this user's key.
async fn is_bound(place: &Place, user: &str, times: usize) {
    eventually(&format!("{user} is bound {times} times"), async || {
        let all = place.broker_ctl(&[
            "list_bindings",
            "-p",
            &place.vhost,
            "destination_name",
            "routing_key",
        ]);
        let ours = all
            .lines()
            .filter(|line| line.starts_with("handshaken.direct_logs."));
        let key = format!("\tks_{user}");
        let found = ours.filter(|line| line.ends_with(&key)).count();
        (found == times).then_some(()).ok_or(all)
    })
    .await
}

/// What an old server publishes.
async fn write(node: &Node, from: &str, to: &str, text: &str) {
    let body = json!({ "uId": from, "pId": to, "msg": text, "rStatus": 1, "msgTime": 1_767_323_045_678_u64 });
    node.publish_to(&format!("ks_{to}"), body.to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_on_old_servers_and_on_ours_write_to_each_other_once() {
    let (place, redis) = (place(), RedisServer::start());
    let servers = replicas(&place, &redis);
    one_is_connected(&servers).await;
    let mut bobs = Node::hearing(&place.url(), &DIRECT_LOGS, &["ks_bob"]).await;
    let mut anns = [
        Page::open(&servers[0], "ann").await,
        Page::open(&servers[1], "ann").await,
    ];
    is_bound(&place, "ann", 2).await;
    for n in 0..20 {
        anns[n % 2].write("bob", &format!("to bob {n} <")).await;
        write(&bobs, "bob", "ann", &format!("to ann {n}")).await;
    }
    for n in 0..20 {
        let delivery = bobs.next().await;
        let body: serde_json::Value = serde_json::from_slice(&delivery.data).unwrap();
        let expected = json!({
            "uId": "ann", "pId": "bob", "msg": format!("to bob {n} &lt;"), "rStatus": 1, "msgTime": body["msgTime"],
        });
        assert_eq!(body, expected);
        assert_eq!(delivery.properties.delivery_mode(), &Some(2));
    }
    for ann in &mut anns {
        for n in 0..20 {
            assert_eq!(ann.next().await, ("bob".into(), format!("to ann {n}")));
        }
        assert_eq!(ann.shown_within(MOMENT).await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_somebody_who_is_nowhere_waits_here() {
    let place = place();
    let server = server(&place);
    server.logged(&["bridge is connected"]).await;
    let mut ann = Page::open(&server, "ann").await;
    // Heard by an old server, so all before it has been dealt with.
    let mut others = Node::hearing(&place.url(), &DIRECT_LOGS, &["ks_other"]).await;
    for n in 0..3 {
        ann.write("cid", &format!("{n}")).await;
    }
    ann.write("other", "the last").await;
    assert_eq!(others.body().await["msg"], "the last");
    let mut cid = Page::open(&server, "cid").await;
    for n in 0..3 {
        assert_eq!(cid.next().await, ("ann".into(), format!("{n}")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_server_took_does_not_wait_here_and_what_nobody_showed_does() {
    let place = place();
    let server = server(&place);
    server.logged(&["bridge is connected"]).await;
    let mut ann = Page::open(&server, "ann").await;
    let mut bobs = Node::hearing(&place.url(), &DIRECT_LOGS, &["ks_bob", "ks_dan"]).await;
    for n in 0..3 {
        ann.write("bob", &format!("at the old server {n}")).await;
        assert_eq!(bobs.body().await["msg"], format!("at the old server {n}"));
    }
    // On both sides, and the page here acknowledges nothing: it waits for one that does.
    let mut dan = Page::open(&server, "dan").await;
    dan.acknowledges = false;
    is_bound(&place, "dan", 1).await;
    ann.write("dan", "to both").await;
    assert_eq!(bobs.body().await["msg"], "to both");
    assert_eq!(dan.next().await.1, "to both");
    drop(dan);
    // After the last decision was made nothing of the others' waits.
    ann.write("cid", "nowhere").await;
    ann.write("bob", "the last").await;
    assert_eq!(bobs.body().await["msg"], "the last");
    let mut cid = Page::open(&server, "cid").await;
    assert_eq!(cid.next().await.1, "nowhere");
    let mut dan = Page::open(&server, "dan").await;
    assert_eq!(dan.next().await.1, "to both");
    eventually("bob's box is empty", async || {
        let mut bob = Page::open(&server, "bob").await;
        bob.acknowledges = false;
        let shown = bob.shown_within(MOMENT).await;
        shown.is_empty().then_some(()).ok_or(format!("{shown:?}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_for_people_of_a_replica_that_was_killed_reaches_them_where_they_go() {
    let (place, redis) = (place(), RedisServer::start());
    let mut servers = replicas(&place, &redis);
    one_is_connected(&servers).await;
    let node = Node::hearing(&place.url(), &DIRECT_LOGS, &[]).await;
    for _ in 0..2 {
        let worker = one_is_connected(&servers).await;
        let ann = Page::open(&servers[worker], "ann").await;
        let text = format!("while {worker} is dead");
        is_bound(&place, "ann", 1).await;
        let dead = servers.remove(worker).kill();
        drop(ann);
        write(&node, "bob", "ann", &text).await;
        let mut ann = Page::open(&servers[0], "ann").await;
        assert_eq!(ann.next().await, ("bob".into(), text));
        assert_eq!(ann.shown_within(MOMENT).await, [""; 0]);
        drop(ann);
        servers.push(dead.start_again());
        one_is_connected(&servers).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_we_are_away_is_taken_when_we_are_back_and_who_is_gone_is_unbound() {
    let place = place();
    let server = server(&place);
    server.logged(&["bridge is connected"]).await;
    let node = Node::hearing(&place.url(), &DIRECT_LOGS, &[]).await;
    let ann = Page::open(&server, "ann").await;
    is_bound(&place, "ann", 1).await;
    let ended = server.kill();
    drop(ann);
    write(&node, "bob", "ann", "meanwhile").await;
    let server = ended.start_again();
    let mut ann = Page::open(&server, "ann").await;
    assert_eq!(ann.next().await, ("bob".into(), "meanwhile".into()));
    drop(ann);
    is_bound(&place, "ann", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_restarted_is_told_anew_who_is_here() {
    let mut broker = RabbitServer::start();
    let place = broker.place();
    let server = server(&place);
    server.logged(&["bridge is connected"]).await;
    let mut ann = Page::open(&server, "ann").await;
    is_bound(&place, "ann", 1).await;
    broker.kill();
    server.logged(&["bridge is away"]).await;
    for n in 0..40 {
        ann.write("bob", &format!("to bob {n}")).await;
    }
    broker.start_again();
    let mut node = Node::hearing(&place.url(), &DIRECT_LOGS, &["ks_bob"]).await;
    is_bound(&place, "ann", 1).await;
    write(&node, "bob", "ann", "to ann").await;
    assert_eq!(ann.next().await, ("bob".into(), "to ann".into()));
    for n in 0..40 {
        assert_eq!(node.body().await["msg"], format!("to bob {n}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_none_are_refused_and_what_follows_is_taken() {
    let place = place();
    let server = server(&place);
    server.logged(&["bridge is connected"]).await;
    let node = Node::hearing(&place.url(), &DIRECT_LOGS, &[]).await;
    let mut ann = Page::open(&server, "ann").await;
    is_bound(&place, "ann", 1).await;
    for (n, body) in [
        "",
        "{}",
        "[1]",
        r#"{"uId":"bob","pId":"ann"}"#,
        r#"{"uId":{},"pId":"ann","msg":"x"}"#,
    ]
    .iter()
    .enumerate()
    {
        node.publish_to("ks_ann", body).await;
        write(&node, "bob", "ann", &format!("after {n}")).await;
        assert_eq!(ann.next().await.1, format!("after {n}"));
    }
    server
        .logged(&["refused what a bridge sent", "direct_logs"])
        .await;
}
