//! A dialect that asks its clients, on both transports: `ask` has it send as many questions as it says, and
//! what comes of each is told as `answered`. tests/clients/asks.test.mjs speaks with it.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use async_trait::async_trait;
use axum::{
    Router,
    extract::{Request, State},
    routing::any,
};
use handshaken::{
    chat::socket::Socket,
    dialects::{Dialect, Event, Handler, Handshake, Refusal},
    socketio::SocketIo,
    transport::{
        legacy::{Legacy, Times, Transport},
        listener::{self, Connections},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::{LIMITS, clients};

const NAMESPACES: [&str; 2] = ["/", "/other"];

/// A client older than 1.0 shakes hands below this.
const LEGACY: &str = "/socket.io/{*rest}";

/// Listens and serves from now on; where it listens.
pub fn serve(
    address: SocketAddr,
    connections: &Connections,
) -> anyhow::Result<(SocketAddr, Arc<SocketIo>)> {
    let socketio = Arc::new(SocketIo::new(
        LIMITS,
        clients::TIMING,
        Arc::new(|_| true),
        "",
    ));
    let legacy = Arc::new(Legacy::new(
        LIMITS,
        Times::default(),
        &Transport::ALL,
        Arc::new(|_| true),
        "",
        &[],
    ));
    for namespace in NAMESPACES {
        socketio.mount(namespace, Arc::new(Asking));
        legacy.mount(namespace, Arc::new(Asking));
    }
    tokio::spawn(legacy.clone().keep_time());
    let later = |State(socketio): State<Arc<SocketIo>>, request: Request| async move {
        socketio.answer(request).await
    };
    let router = Router::new()
        .route("/socket.io/", any(later))
        .with_state(socketio.clone())
        .route(
            LEGACY,
            any(move |request: Request| {
                let legacy = legacy.clone();
                async move { legacy.answer(request).await }
            }),
        );
    let listener =
        listener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    tokio::spawn(listener::serve(listener, router, connections.clone()));
    Ok((address, socketio))
}

struct Asking;

impl Dialect for Asking {
    fn connect(&self, socket: Arc<dyn Socket>, _: &Handshake) -> Result<Box<dyn Handler>, Refusal> {
        Ok(Box::new(Asked { socket }))
    }
}

struct Asked {
    socket: Arc<dyn Socket>,
}

#[derive(Deserialize)]
struct Ask {
    count: usize,
}

/// What came of a question.
#[derive(Serialize)]
#[serde(untagged)]
enum Told {
    Answer {
        number: usize,
        args: Vec<Box<RawValue>>,
    },
    Nothing {
        number: usize,
        why: String,
    },
}

#[async_trait]
impl Handler for Asked {
    async fn open(&mut self) {}

    async fn handle(&mut self, event: Event) {
        let Some(Ask { count }) = event.arg::<Ask>() else {
            return;
        };
        for number in 0..count {
            let socket = self.socket.clone();
            let question = to_raw_value(&serde_json::json!({ "number": number, "text": "é😀" }))
                .expect("numbers and text");
            let answered = move |answer| {
                let told = match answer {
                    Ok(args) => Told::Answer { number, args },
                    Err(why) => Told::Nothing {
                        number,
                        why: format!("{why:?}"),
                    },
                };
                let told = to_raw_value(&told).expect("JSON, numbers and text");
                tracing::info!(%told, "answered");
                socket.emit("answered", &told);
            };
            self.socket.ask("question", &question, Box::new(answered));
        }
    }

    async fn close(&mut self) {}
}
