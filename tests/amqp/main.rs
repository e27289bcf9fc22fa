//! Beside an old chat's servers on a real RabbitMQ: what is said on either side is seen once on both, and what can
//! become of broker, replicas and bodies. The old servers are played by `node`, which does what theirs did.

#[path = "../harness/mod.rs"]
mod harness;

mod bodies;
mod broker;
mod chat_exchange;
mod direct_logs;
mod messages;
mod node;
mod page;

use std::{net::SocketAddr, sync::LazyLock};

use serde_json::{Value, json};

use harness::{
    client::{Client, Packet},
    eventually,
    rabbit::{Place, RabbitServer},
    redis::RedisServer,
    server::Server,
};

/// Room of every front end without rooms of its own.
const LOBBY: &str = "lobby";

/// One broker for all tests that leave it alone.
fn place() -> Place {
    static BROKER: LazyLock<RabbitServer> = LazyLock::new(RabbitServer::start);
    BROKER.place()
}

/// The clients here answer pings only while they wait for something, and a broker takes its time to start again.
const NO_PINGS: &str = "1h";

/// One server beside an exchange.
fn server(url: &str, exchange: &str) -> Server {
    start(url, exchange, &[])
}

/// Several that share a Redis.
fn replicas(redis: &RedisServer, url: &str, exchange: &str, count: usize) -> Vec<Server> {
    let redis = redis.url();
    (0..count)
        .map(|_| start(url, exchange, &["--redis", &redis]))
        .collect()
}

fn start(url: &str, exchange: &str, flags: &[&str]) -> Server {
    let mut all = vec!["--amqp", url, "--amqp-exchange", exchange];
    all.extend(["--event-rate", "0", "--ping-interval", NO_PINGS]);
    all.extend(flags);
    Server::start(&all)
}

/// A native client in the lobby, once it can be read.
async fn replica(address: SocketAddr, name: &str) -> Client {
    let mut client = Client::native(address, name).await;
    let request = json!({ "room": LOBBY });
    loop {
        let answer = client.ask("join", &request).await;
        if answer["ok"] == true {
            return client;
        }
        assert_eq!(answer["error"]["code"], "unavailable", "{answer}");
    }
}

/// The texts of everything in the lobby.
async fn everything(address: SocketAddr) -> Vec<String> {
    let mut last = replica(address, "last").await;
    let id = last.post(LOBBY, "that was everything", None).await;
    let (_, epoch) = id.split_once('-').unwrap();
    let mut client = Client::native(address, "counter").await;
    client.join(LOBBY, Some(&format!("0-{epoch}"))).await;
    let said = client.said_until("that was everything").await;
    let texts = said.into_iter().map(|said| said.text);
    texts.filter(|text| text != "that was everything").collect()
}

/// Waits until one of the replicas works on the bus; which one.
async fn one_is_connected(servers: &[Server]) -> usize {
    let is_connected = |server: &Server| {
        let store = server.log();
        store
            .iter()
            .any(|line| line.contains("bridge is connected"))
    };
    eventually("a replica works on the bus", async || {
        let worker = servers.iter().position(is_connected);
        worker.ok_or_else(|| format!("{:#?}", servers.iter().map(Server::log).collect::<Vec<_>>()))
    })
    .await
}

/// The payload of the next event of a name.
async fn shown(client: &mut Client, event: &str) -> Value {
    client
        .expect(event, |packet| match packet {
            Packet::Event(name, payload) if name == event => Some(payload.clone()),
            _ => None,
        })
        .await
}
