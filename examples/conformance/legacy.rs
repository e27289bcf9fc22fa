//! What the suite of the 0.9.16 client library finds: one server for each of its cases, which it tells
//! apart by port, over one transport at a time.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use async_trait::async_trait;
use axum::{Router, extract::Request, routing::any};
use handshaken::{
    chat::socket::{Answer, CloseReason},
    dialects::{Event, Handler, Handshake, Refusal},
    transport::{
        legacy::{
            Legacy, Transport,
            client::{Client, Program},
        },
        listener::{self, Connections},
    },
};
use serde_json::{json, value::RawValue, value::to_raw_value};

use crate::LIMITS;

const WAYS: [Transport; 2] = [Transport::Websocket, Transport::XhrPolling];

/// Between two of the messages that a client only receives, and before it is sent away.
const MESSAGE_PERIOD: Duration = Duration::from_millis(50);
const BEFORE_THE_END: Duration = Duration::from_millis(500);

/// The suite's cases by their names, and the namespaces that each one's server has.
const CASES: [(&str, &[(&str, Case)]); 22] = [
    (
        "test connecting the socket and disconnecting",
        &[("/", QUIET)],
    ),
    (
        "test receiving messages",
        &[(
            "/",
            Case {
                greet: count_to_three,
                ..QUIET
            },
        )],
    ),
    ("test sending messages", &[("/", ECHO)]),
    ("test manual buffer flushing", &[("/", ECHO)]),
    ("test automatic buffer flushing", &[("/", ECHO)]),
    (
        "test acks sent from client",
        &[(
            "/",
            Case {
                greet: want_a_receipt,
                ..QUIET
            },
        )],
    ),
    ("test acks sent from server", &[("/", QUIET)]),
    (
        "test connecting to namespaces",
        &[
            ("/", QUIET),
            (
                "/woot",
                Case {
                    greet: |client, _| client.send("connected to woot"),
                    ..QUIET
                },
            ),
            (
                "/chat",
                Case {
                    greet: |client, _| client.send("connected to chat"),
                    ..QUIET
                },
            ),
        ],
    ),
    (
        "test disconnecting from namespaces",
        &[("/", QUIET), ("/a", QUIET), ("/b", QUIET)],
    ),
    (
        "test authorizing for namespaces",
        &[
            ("/", QUIET),
            (
                "/a",
                Case {
                    admits: false,
                    ..QUIET
                },
            ),
        ],
    ),
    (
        "test sending json from server",
        &[(
            "/",
            Case {
                greet: |client, _| client.send_json(&raw(&3_141_592)),
                ..QUIET
            },
        )],
    ),
    (
        "test sending json from client",
        &[(
            "/",
            Case {
                hear: hear_a_list,
                ..QUIET
            },
        )],
    ),
    (
        "test emitting an event from server",
        &[(
            "/",
            Case {
                greet: |client, _| client.emit("woot", &[]),
                ..QUIET
            },
        )],
    ),
    (
        "test emitting an event to server",
        &[(
            "/",
            Case {
                hear: hear_woot,
                ..QUIET
            },
        )],
    ),
    (
        "test emitting multiple events at once to the server",
        &[(
            "/",
            Case {
                hear: hear_two_prints,
                ..QUIET
            },
        )],
    ),
    (
        "test emitting an event from server and sending back data",
        &[(
            "/",
            Case {
                greet: ask,
                ..QUIET
            },
        )],
    ),
    (
        "test emitting an event to server and sending back data",
        &[(
            "/",
            Case {
                hear: answer_tobi,
                ..QUIET
            },
        )],
    ),
    (
        "test encoding a payload",
        &[
            ("/", QUIET),
            (
                "/woot",
                Case {
                    hear: hear_four,
                    ..QUIET
                },
            ),
        ],
    ),
    (
        "test sending query strings to the server",
        &[(
            "/",
            Case {
                greet: tell_query,
                ..QUIET
            },
        )],
    ),
    (
        "test sending newline",
        &[(
            "/",
            Case {
                hear: |client, event, _| done_at(client, event, &json!("\n")),
                ..QUIET
            },
        )],
    ),
    (
        "test sending unicode",
        &[(
            "/",
            Case {
                hear: |client, event, _| done_at(client, event, &json!({ "test": "☃" })),
                ..QUIET
            },
        )],
    ),
    (
        "test webworker connection",
        &[(
            "/",
            Case {
                hear: |client, event, _| done_at(client, event, &json!("woot")),
                ..QUIET
            },
        )],
    ),
];

/// What happens in a namespace.
#[derive(Clone, Copy)]
struct Case {
    admits: bool,
    greet: fn(&Client, &Handshake),
    /// The number counts what this client has said.
    hear: fn(&Client, Event, usize),
}

const QUIET: Case = Case {
    admits: true,
    greet: |_, _| {},
    hear: |_, _, _| {},
};

const ECHO: Case = Case {
    hear: |client, event, _| {
        if let Some(text) = event.arg::<String>() {
            client.send(&text);
        }
    },
    ..QUIET
};

/// Serves every case over every way, and says where.
pub fn serve(connections: &Connections) -> anyhow::Result<Vec<Arc<Legacy>>> {
    let mut all = Vec::new();
    for way in WAYS {
        for (name, namespaces) in CASES {
            let legacy = Arc::new(Legacy::new(
                LIMITS,
                Default::default(),
                &[way],
                Arc::new(|_| true),
                "",
                &[],
            ));
            for (namespace, case) in namespaces {
                legacy.mount_program(namespace, Arc::new(*case));
            }
            let engine = legacy.clone();
            let answer = any(move |request: Request| {
                let engine = engine.clone();
                async move { engine.answer(request).await }
            });
            let router = Router::new().route("/socket.io/{*rest}", answer);
            let listener = listener::bind(([127, 0, 0, 1], 0).into())
                .with_context(|| format!("cannot listen for {name:?}"))?;
            println!(
                "http://{} over {}: {name}",
                listener.local_addr()?,
                way.name()
            );
            tokio::spawn(listener::serve(listener, router, connections.clone()));
            tokio::spawn(legacy.clone().keep_time());
            all.push(legacy);
        }
    }
    Ok(all)
}

impl Program for Case {
    fn connect(&self, client: Client, handshake: &Handshake) -> Result<Box<dyn Handler>, Refusal> {
        if !self.admits {
            return Err(Refusal("unauthorized"));
        }
        Ok(Box::new(Talking {
            case: *self,
            client,
            handshake: handshake.clone(),
            heard: 0,
        }))
    }
}

struct Talking {
    case: Case,
    client: Client,
    handshake: Handshake,
    heard: usize,
}

#[async_trait]
impl Handler for Talking {
    async fn open(&mut self) {
        (self.case.greet)(&self.client, &self.handshake);
    }

    async fn handle(&mut self, event: Event) {
        self.heard += 1;
        (self.case.hear)(&self.client, event, self.heard);
    }

    async fn close(&mut self) {}
}

fn count_to_three(client: &Client, _: &Handshake) {
    let client = client.clone();
    tokio::spawn(async move {
        for number in 1..=3 {
            tokio::time::sleep(MESSAGE_PERIOD).await;
            client.send(&number.to_string());
        }
        tokio::time::sleep(BEFORE_THE_END).await;
        // A reason for which a client is to stay away: the case wants to be sent away in words.
        client.close(CloseReason::BadPacket);
    });
}

fn want_a_receipt(client: &Client, _: &Handshake) {
    let to = client.clone();
    let answered = Box::new(move |answer: Answer| {
        if answer.is_ok() {
            to.send("tobi 2");
        }
    });
    client.send_registered("tobi", answered);
}

fn ask(client: &Client, _: &Handshake) {
    let to = client.clone();
    let answered = Box::new(move |answer: Answer| {
        let first = answer.ok().and_then(|args| args.into_iter().next());
        if first.is_some_and(|first| first.get() == "\"test\"") {
            to.emit("done", &[]);
        }
    });
    client.ask("woot", &[raw(&1)], answered);
}

fn tell_query(client: &Client, handshake: &Handshake) {
    let told = json!({ "query": { "foo": handshake.query("foo") } });
    client.send_json(&raw(&told));
}

fn hear_a_list(client: &Client, event: Event, _: usize) {
    if event.arg::<Vec<u32>>().is_some_and(|list| list.len() == 3) {
        client.send("echo");
    }
}

fn hear_woot(client: &Client, event: Event, _: usize) {
    if &*event.name == "woot" {
        client.emit("echo", &[]);
    }
}

fn hear_two_prints(client: &Client, event: Event, number: usize) {
    let expected = ["foo", "bar"].get(number - 1).copied();
    let in_order = &*event.name == "print" && event.arg::<String>().as_deref() == expected;
    if in_order && number == 2 {
        client.emit("done", &[]);
    }
}

fn answer_tobi(_: &Client, event: Event, _: usize) {
    let args: Vec<_> = event.args.iter().map(|arg| arg.get()).collect();
    if let ("tobi", ["1", "2"], Some(ack)) = (&*event.name, &args[..], event.ack) {
        ack.send(&json!({ "hello": "world" }));
    }
}

fn hear_four(client: &Client, event: Event, number: usize) {
    if number == 4 {
        done_at(client, event, &json!("ñ"));
    }
}

fn done_at(client: &Client, event: Event, expected: &serde_json::Value) {
    if event.arg().as_ref() == Some(expected) {
        client.emit("done", &[]);
    }
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    to_raw_value(value).expect("plain data encodes as JSON")
}
