//! RFC 6455 frame by frame: each of the `cases` goes out at once, and again a few bytes at a time.

use std::net::SocketAddr;

use crate::{
    cases,
    echo::{self, PATIENT},
    harness::{
        eventually,
        raw::{Raw, frame},
        soon,
    },
};

pub const CLOSE: u8 = 8;

/// What comes back: frames, each its kind and content.
pub type Came<'a> = &'a [(u8, &'a [u8])];

/// What a client sends and what then comes back, step by step, and the status of the close frame at the end.
pub struct Case {
    pub name: String,
    pub steps: Vec<Step>,
    pub status: Option<u16>,
}

pub struct Step {
    pub sent: Vec<u8>,
    pub came: Vec<(u8, Vec<u8>)>,
}

fn step(sent: &[&[u8]], came: Came) -> Step {
    let came = came.iter();
    Step {
        sent: sent.concat(),
        came: came
            .map(|(kind, content)| (*kind, content.to_vec()))
            .collect(),
    }
}

/// A connection that goes on: the client closes it.
pub fn good(name: impl Into<String>, sent: &[&[u8]], came: Came) -> Case {
    let bye = frame(true, CLOSE, &1000u16.to_be_bytes());
    Case {
        name: name.into(),
        steps: vec![step(sent, came), step(&[&bye], &[])],
        status: Some(1000),
    }
}

/// A connection that the server closes, or is asked to.
pub fn bad(name: impl Into<String>, sent: &[&[u8]], status: u16) -> Case {
    Case {
        name: name.into(),
        steps: vec![step(sent, &[])],
        status: Some(status),
    }
}

/// The same after something that was right.
pub fn bad_after(
    name: impl Into<String>,
    right: &[&[u8]],
    came: Came,
    sent: &[u8],
    status: u16,
) -> Case {
    Case {
        name: name.into(),
        steps: vec![step(right, came), step(&[sent], &[])],
        status: Some(status),
    }
}

/// How many bytes go out at once.
const PIECES: [usize; 3] = [usize::MAX, 1, 7];

/// Larger cases go out at once only.
const MANY: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_is_answered_as_the_protocol_says() {
    let server = echo::start(PATIENT).await;
    let cases = cases::all();
    let mut wrong = Vec::new();
    for case in &cases {
        for piece in PIECES {
            let size: usize = case.steps.iter().map(|step| step.sent.len()).sum();
            if piece < usize::MAX && size > MANY {
                continue;
            }
            if let Err(instead) = play(server.address, case, piece).await {
                wrong.push(format!("{} in pieces of {piece}: {instead}", case.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}: {wrong:#?}",
        wrong.len(),
        cases.len()
    );
    assert!(cases.len() > 150, "{}", cases.len());
    let peers = server.websocket.peers().clone();
    eventually("nobody is left", async || match peers.count() {
        0 => Ok(()),
        left => Err(format!("{left} are")),
    })
    .await;
}

/// Plays a case on a connection of its own; the error says what came instead.
async fn play(address: SocketAddr, case: &Case, piece: usize) -> Result<(), String> {
    let mut raw = Raw::upgrade(address, "/any/path?x=1").await.unwrap();
    for step in &case.steps {
        for piece in step.sent.chunks(piece.min(step.sent.len()).max(1)) {
            // The server may have closed by then.
            if raw.write(piece).await.is_err() {
                break;
            }
        }
        for expected in &step.came {
            let came = soon("an answer", raw.read()).await;
            let (kind, content) = came.map_err(|error| error.to_string())?;
            if (kind, &content) != (expected.0, &expected.1) {
                return Err(format!("kind {kind}, {} bytes", content.len()));
            }
        }
    }
    match soon("a close frame", raw.read()).await {
        Ok((CLOSE, content)) => {
            let status = content.first_chunk().map(|code| u16::from_be_bytes(*code));
            if status != case.status {
                return Err(format!("closed with {status:?}"));
            }
        }
        other => return Err(format!("no close frame but {other:?}")),
    }
    match soon("the end", raw.read()).await {
        Err(_) => Ok(()),
        Ok((kind, _)) => Err(format!("kind {kind} after the close frame")),
    }
}
