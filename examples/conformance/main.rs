//! The events that the public suites of Socket.IO expect, on the server's own transport: those of the
//! protocol's suite on one port, those of each client generation's suite on another, and with
//! `--legacy` those of the 0.9 suite on a free port for each of its cases. The suites are
//! fetched and run elsewhere; docs/conformance.md tells how, and what comes of it.
//! `cargo run --example conformance -- [--protocol ADDR] [--clients ADDR] [--asking ADDR] [--legacy]`

mod asking;
mod clients;
mod legacy;
mod namespace;
mod protocol;

use std::{io::Write, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, extract::Request, routing::any};
use clap::Parser;
use handshaken::{
    socketio::{Limits, SocketIo, Timing},
    transport::listener::{self, Connections},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

const LIMITS: Limits = Limits {
    message: 1_000_000,
    payload: 1_000_000,
    backlog: 1 << 20,
    backlog_packets: 8192,
    sessions: MOST_CONNECTIONS,
    stall: Duration::from_secs(10),
    event_rate: None,
    flood: Duration::from_secs(10),
};

const MOST_CONNECTIONS: usize = 1000;

/// How long clients may take to go.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// The events that the public suites of Socket.IO expect.
#[derive(Parser)]
struct Arguments {
    /// Where the protocol's suite finds its server; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3000")]
    protocol: SocketAddr,

    /// Where the client libraries' suites find theirs
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3210")]
    clients: SocketAddr,

    /// Where a dialect asks its clients, for our own tests
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    asking: SocketAddr,

    /// Serve the cases of the 0.9 client's suite too
    #[arg(long)]
    legacy: bool,
}

/// One of the two servers.
struct Offer {
    address: SocketAddr,
    timing: Timing,
    /// How long a handshake waits for its answer.
    handshake_delay: Duration,
    mount: fn(&SocketIo),
}

// One thread takes requests of several connections in the order in which they come; the protocol's suite
// counts on that.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;

    let (stop, stopped) = watch::channel(false);
    let connections = Connections::new(MOST_CONNECTIONS, LIMITS.stall, stopped);
    let protocol = serve(
        Offer {
            address: arguments.protocol,
            timing: protocol::TIMING,
            handshake_delay: Duration::ZERO,
            mount: protocol::mount,
        },
        &connections,
    )?;
    let clients = serve(
        Offer {
            address: arguments.clients,
            timing: clients::TIMING,
            handshake_delay: clients::HANDSHAKE_DELAY,
            mount: clients::mount,
        },
        &connections,
    )?;
    let (address, asking) = asking::serve(arguments.asking, &connections)?;
    println!("listening on http://{address}");
    let cases = match arguments.legacy {
        true => legacy::serve(&connections)?,
        false => Vec::new(),
    };
    // Whoever waits for the lines may read a pipe.
    std::io::stdout().flush()?;

    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    stop.send_replace(true);
    let drained = async {
        tokio::join!(protocol.drain(), clients.drain(), asking.drain());
        for case in &cases {
            case.drain().await;
        }
    };
    tokio::time::timeout(DRAIN_TIMEOUT, drained)
        .await
        .context("clients are still there")?;
    Ok(())
}

/// Listens, says where, and serves from now on.
fn serve(offer: Offer, connections: &Connections) -> anyhow::Result<Arc<SocketIo>> {
    let socketio = Arc::new(SocketIo::new(LIMITS, offer.timing, Arc::new(|_| true), ""));
    (offer.mount)(&socketio);

    let engine = socketio.clone();
    let delay = offer.handshake_delay;
    let answer = any(move |request: Request| {
        let engine = engine.clone();
        async move {
            if !delay.is_zero() && is_handshake(&request) {
                tokio::time::sleep(delay).await;
            }
            engine.answer(request).await
        }
    });
    let router = Router::new()
        .route("/socket.io", answer.clone())
        .route("/socket.io/", answer);

    let listener = listener::bind(offer.address)
        .with_context(|| format!("cannot listen on {}", offer.address))?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::spawn(listener::serve(listener, router, connections.clone()));
    Ok(socketio)
}

fn is_handshake(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).all(|(key, _)| key != "sid")
}
