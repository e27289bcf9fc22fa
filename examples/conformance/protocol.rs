//! What the suite of the protocol, version 5, finds.

use std::{sync::Arc, time::Duration};

use handshaken::socketio::{SocketIo, Timing};

use crate::namespace::{Answer, Args, Client, Namespace, QUIET};

pub const TIMING: Timing = Timing {
    ping_interval: Duration::from_millis(300),
    ping_timeout: Duration::from_millis(200),
    connect_timeout: Duration::from_secs(1),
};

pub fn mount(io: &SocketIo) {
    let custom = Namespace { greet, ..QUIET };
    io.mount("/", Arc::new(Namespace { hear, ..custom }));
    io.mount("/custom", Arc::new(custom));
}

/// Tells a client what it said of itself.
fn greet(client: &Client) {
    let auth = client.known.handshake.auth::<rmpv::Value>();
    let nothing = || rmpv::Value::Map(Vec::new());
    client.emit("auth", auth.unwrap_or_else(nothing));
}

fn hear(client: &Client, event: &str, args: Args, answer: Answer) {
    match event {
        "message" => client.emit("message-back", args),
        "message-with-ack" => answer.send(args),
        _ => {}
    }
}
