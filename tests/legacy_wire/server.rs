//! The transport alone, with the words of the server that the old traffic was recorded from, as far
//! as an outlet can say them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{Router, extract::Request, routing::any};
use handshaken::{
    chat::socket::{CloseReason, Socket},
    dialects::{Dialect, Event, Handler, Handshake, Refusal},
    socketio::Limits,
    transport::{
        legacy::{Legacy, Times, Transport},
        listener::{self, Connections},
    },
};
use serde_json::value::{RawValue, to_raw_value};
use tokio::{sync::watch, task::JoinSet};

pub const LIMITS: Limits = Limits {
    message: 10_000,
    payload: 100_000,
    backlog: 100_000,
    backlog_packets: 1000,
    sessions: 1000,
    stall: Duration::from_secs(2),
    event_rate: None,
    flood: Duration::from_secs(1),
};

pub struct Server {
    pub address: SocketAddr,
    pub legacy: Arc<Legacy>,
    _stop: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

/// A server with the times of old.
pub async fn start() -> Server {
    start_with(Times::default()).await
}

pub async fn start_with(times: Times) -> Server {
    start_offering(&Transport::ALL, times).await
}

pub async fn start_offering(transports: &[Transport], times: Times) -> Server {
    let allowed = |origin: &str| origin == "http://foo.example";
    let legacy = Arc::new(Legacy::new(
        LIMITS,
        times,
        transports,
        Arc::new(allowed),
        "",
        &[],
    ));
    legacy.mount("/", Arc::new(Old));
    legacy.mount("/chat", Arc::new(Chat));
    legacy.mount("/deny", Arc::new(Deny));
    let answering = legacy.clone();
    let router = Router::new().route(
        "/socket.io/{*rest}",
        any(move |request: Request| {
            let legacy = answering.clone();
            async move { legacy.answer(request).await }
        }),
    );
    let listener = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let connections = Connections::new(1000, LIMITS.stall, stopped);
    tasks.spawn(listener::serve(listener, router, connections));
    tasks.spawn(legacy.clone().keep_time());
    Server {
        address,
        legacy,
        _stop: stop,
        _tasks: tasks,
    }
}

struct Old;

impl Dialect for Old {
    fn connect(
        &self,
        socket: Arc<dyn Socket>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Handler>, Refusal> {
        match handshake.query("token").as_deref() {
            Some("no") => Err(Refusal("no")),
            _ => Ok(Box::new(Talking {
                socket,
                welcome: None,
            })),
        }
    }
}

struct Chat;

impl Dialect for Chat {
    fn connect(
        &self,
        socket: Arc<dyn Socket>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Handler>, Refusal> {
        let welcome = match handshake.query("my") {
            None => serde_json::json!({ "nsp": "/chat" }),
            Some(my) => serde_json::json!({ "my": my }),
        };
        let welcome = Some(to_raw_value(&welcome).unwrap());
        Ok(Box::new(Talking { socket, welcome }))
    }
}

struct Deny;

impl Dialect for Deny {
    fn connect(&self, _: Arc<dyn Socket>, _: &Handshake) -> Result<Box<dyn Handler>, Refusal> {
        Err(Refusal("denied"))
    }
}

struct Talking {
    socket: Arc<dyn Socket>,
    welcome: Option<Box<RawValue>>,
}

#[async_trait]
impl Handler for Talking {
    async fn open(&mut self) {
        if let Some(welcome) = &self.welcome {
            self.socket.emit("welcome", welcome);
        }
    }

    async fn handle(&mut self, mut event: Event) {
        let nothing = to_raw_value(&()).unwrap();
        let said = event.args.first().unwrap_or(&nothing);
        if let Some(ack) = event.ack.take() {
            return ack.send(said);
        }
        match &*event.name {
            "kick" => self.socket.close(CloseReason::Flooding),
            "sign-out" => self.socket.close(CloseReason::SignedOut),
            "drop" => self.socket.close(CloseReason::FellBehind),
            "flood" => {
                let much = to_raw_value(&"x".repeat(9_000)).unwrap();
                for _ in 0..20 {
                    self.socket.emit("much", &much);
                }
            }
            "message" => self.socket.emit("echo", said),
            name => self.socket.emit(&format!("{name}-back"), said),
        }
    }

    async fn close(&mut self) {}
}
