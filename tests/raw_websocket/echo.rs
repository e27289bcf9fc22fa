//! The transport alone, with a dialect that says everything back.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::{Router, extract::Request};
use handshaken::{
    chat::socket::Socket,
    dialects::{Dialect, Event, Handler, Handshake, Refusal},
    socketio::Limits,
    transport::{
        listener::{self, Connections},
        websocket::{Timing, WebSocket},
    },
};
use serde_json::value::to_raw_value;
use tokio::{sync::watch, task::JoinSet};

pub const LIMITS: Limits = Limits {
    message: 100_000,
    payload: 100_000,
    backlog: 1 << 20,
    backlog_packets: 10_000,
    sessions: 1000,
    stall: Duration::from_secs(5),
    event_rate: None,
    flood: Duration::from_secs(1),
};

/// Longer than any test waits.
pub const PATIENT: Timing = Timing {
    ping_interval: Duration::from_secs(3600),
    ping_timeout: Duration::from_secs(3600),
};

/// What a text that is no JSON comes back as.
pub const NO_JSON: &str = r#""no JSON""#;

pub struct Server {
    pub address: SocketAddr,
    pub websocket: Arc<WebSocket>,
    _stop: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

pub async fn start(timing: Timing) -> Server {
    let allowed = |origin: &str| origin == "http://friend.example";
    let websocket = Arc::new(WebSocket::new(
        LIMITS,
        timing,
        Arc::new(allowed),
        Arc::new(Echo),
    ));
    let answering = websocket.clone();
    let router = Router::new().fallback(move |request: Request| {
        let websocket = answering.clone();
        async move { websocket.answer(request) }
    });
    let listener = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let connections = Connections::new(1000, LIMITS.stall, stopped);
    tasks.spawn(listener::serve(listener, router, connections));
    Server {
        address,
        websocket,
        _stop: stop,
        _tasks: tasks,
    }
}

struct Echo;

impl Dialect for Echo {
    fn connect(
        &self,
        socket: Arc<dyn Socket>,
        handshake: &Handshake,
    ) -> Result<Box<dyn Handler>, Refusal> {
        match handshake.query("token").as_deref() {
            Some("no") => Err(Refusal("not you")),
            _ => Ok(Box::new(Echoing(socket))),
        }
    }
}

struct Echoing(Arc<dyn Socket>);

#[async_trait]
impl Handler for Echoing {
    async fn open(&mut self) {}

    async fn handle(&mut self, event: Event) {
        match event.args.first() {
            Some(said) => self.0.emit("echo", said),
            None => self.0.emit("echo", &to_raw_value("no JSON").unwrap()),
        }
    }

    async fn close(&mut self) {}
}
