//! What the client libraries' suites find: the events of all generations at once, since no two of
//! them ask for different things by the same name.

use std::{sync::Arc, time::Duration};

use handshaken::{
    dialects::{Handshake, Refusal},
    socketio::{SocketIo, Timing},
};
use rmpv::Value;

use crate::namespace::{Answer, Args, Client, Namespace, QUIET};

pub const TIMING: Timing = Timing {
    ping_interval: Duration::from_secs(2),
    ping_timeout: Duration::from_secs(20),
    connect_timeout: Duration::from_secs(45),
};

/// Lets the suites see a client that times out while it connects.
pub const HANDSHAKE_DELAY: Duration = Duration::from_millis(10);

const DATA: &[u8] = b"asdfasdf";

const TEXTS: [&str; 5] = [
    "てすと",
    "Я Б Г Д Ж Й",
    "Ä ä Ü ü ß",
    "utf8 — string",
    "utf8 — string",
];

pub fn mount(io: &SocketIo) {
    mount_one(
        io,
        "/",
        Namespace {
            admit: |handshake| match handshake.query("fail") {
                Some(fail) if !fail.is_empty() => Err(Refusal("Auth failed (main namespace)")),
                _ => Ok(()),
            },
            hear,
            ..QUIET
        },
    );
    mount_one(
        io,
        "/foo",
        Namespace {
            hear: |client, event, _, answer| {
                if event == "getId" {
                    answer.send(id(client));
                }
            },
            ..QUIET
        },
    );
    mount_one(
        io,
        "/abc",
        Namespace {
            greet: |client| client.emit("handshake", told(&client.known.handshake)),
            ..QUIET
        },
    );
    mount_one(
        io,
        "/no",
        Namespace {
            admit: |_| Err(Refusal("Auth failed (custom namespace)")),
            ..QUIET
        },
    );
    for namespace in ["/timeout_socket", "/valid", "/asd"] {
        mount_one(io, namespace, QUIET);
    }
}

fn mount_one(io: &SocketIo, name: &'static str, namespace: Namespace) {
    io.mount(name, Arc::new(namespace));
}

fn hear(client: &Client, event: &str, Args(args): Args, answer: Answer) {
    let first = args.first();
    match event {
        "hi" => client.emit("hi", Args::default()),
        "echo" => answer.send(first.cloned().unwrap_or(Value::Nil)),
        "ack" => client.ask("ack", |client, Args(args)| {
            let test = args
                .get(1)
                .is_some_and(|answer| answer["test"] == true.into());
            if args.first() == Some(&5.into()) && test {
                client.emit("got it", Args::default());
            }
        }),
        "false" => client.emit("false", false),

        "getAckDate" => answer.send(now()),
        "getDate" => client.emit("takeDate", now()),
        "getDateObj" => client.emit("takeDateObj", map([("date", now())])),
        "getUtf8" => TEXTS.iter().for_each(|text| client.emit("takeUtf8", *text)),
        "getHandshake" => answer.send(told(&client.known.handshake)),
        "getId" => answer.send(id(client)),

        "doge" => client.emit("doge", DATA),
        "getbin" => client.emit("takebin", DATA),
        "buffa" if is_binary(first) => client.emit("buffack", Args::default()),
        "blob" if is_binary(first) => client.emit("back", Args::default()),
        "jsonbuff" if is_mixed(first) => client.emit("jsonbuff-ack", Args::default()),
        "jsonblob" if is_mixed(first) => client.emit("jsonblob-ack", Args::default()),

        "abuff1" if is_binary(first) => remember(client, "abuff1"),
        "abuff2" if sent(client, "abuff1") => client.emit("abuff2-ack", Args::default()),
        "blob1" if is_binary(first) => remember(client, "blob1"),
        "blob2" if first == Some(&"second".into()) && sent(client, "blob1") => {
            remember(client, "blob2");
        }
        "blob3" if is_binary(first) && sent(client, "blob2") => {
            client.emit("blob3-ack", Args::default());
        }
        _ => {}
    }
}

fn remember(client: &Client, event: &'static str) {
    client.known.sent.lock().insert(event);
}

fn sent(client: &Client, event: &str) -> bool {
    client.known.sent.lock().contains(event)
}

fn is_binary(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_bin)
}

fn is_mixed(value: Option<&Value>) -> bool {
    value.is_some_and(|value| {
        value["hello"] == "lol".into()
            && value["message"].is_bin()
            && value["goodbye"] == "gotcha".into()
    })
}

/// As `Date.prototype.toJSON` writes it.
fn now() -> Value {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string().into()
}

fn id(client: &Client) -> Value {
    client.socket.public_id().into()
}

fn told(handshake: &Handshake) -> Value {
    let query = form_urlencoded::parse(handshake.query.as_bytes())
        .map(|(key, value)| (Value::from(&*key), Value::from(&*value)))
        .collect();
    map([
        ("address", handshake.remote.to_string().into()),
        ("time", now()),
        ("query", Value::Map(query)),
        ("auth", handshake.auth().unwrap_or(Value::Map(Vec::new()))),
    ])
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    )
}
