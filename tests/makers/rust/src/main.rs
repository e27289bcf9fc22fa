//! A client on rust_socketio: sends each line of its input as a `message` that asks for an acknowledgement, and prints what
//! happens to it, a JSON object in each line. The library does not say what it travels by.

use std::{
    env,
    io::{self, BufRead},
    time::Duration,
};

use rust_socketio::{ClientBuilder, Event, Payload, TransportType};
use serde_json::{Value, json};

const ACK_PATIENCE: Duration = Duration::from_secs(30);
const RECONNECT_MS: (u64, u64) = (50, 200);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [_, url, transport] = env::args().collect::<Vec<_>>().try_into().expect("URL and transport");
    let transport = match transport.as_str() {
        "polling" => TransportType::Polling,
        "websocket" => TransportType::Websocket,
        "polling,websocket" => TransportType::WebsocketUpgrade,
        other => panic!("there is no transport `{other}`"),
    };
    let client = ClientBuilder::new(url)
        .transport_type(transport)
        .reconnect(true)
        .reconnect_on_disconnect(true)
        .reconnect_delay(RECONNECT_MS.0, RECONNECT_MS.1)
        .on(Event::Connect, |_, _| tell("connect", Value::Null))
        .on(Event::Close, |_, _| tell("disconnect", Value::Null))
        .on("message", |payload, _| tell("message", arguments(payload)[0]["text"].clone()))
        .connect()?;
    for line in io::stdin().lock().lines() {
        let acknowledged = |payload, _| tell("ack", arguments(payload)[0].clone());
        client.emit_with_ack("message", json!(line?), ACK_PATIENCE, acknowledged)?;
    }
    Ok(())
}

fn arguments(payload: Payload) -> Value {
    match payload {
        Payload::Text(arguments) => arguments.into(),
        other => panic!("not text: {other:?}"),
    }
}

fn tell(event: &str, value: Value) {
    println!("{}", json!({ "event": event, "value": value }));
}
