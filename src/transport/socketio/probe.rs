//! A client that polls tries a WebSocket: it asks on it, is answered, and goes over once its last poll has
//! been answered. The engine is told of none of that before the client goes over (`stand_in`): its
//! sessions cannot go back to polling, and here a WebSocket that comes to nothing costs nothing.

use std::{future::poll_fn, io, sync::Arc, task::Poll, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::{
    frames::{Head, WHOLE_TEXT},
    session::Session,
};
use crate::{
    chat::socket::CloseReason,
    transport::{farewell::LAST_WORDS, flow::Reader},
};

/// How long a client may take to go over; Node's default.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a poll that waits is answered, so that the client can go over; as Node does.
const NUDGE: Duration = Duration::from_millis(100);

/// Bytes of a packet that belongs to this, and of the control frames between (RFC 6455, 5.5).
const LARGEST: u64 = 125;

/// Whole frames that are no text (RFC 6455, 5.2).
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

const ANSWER: &[u8] = b"\x81\x063probe";

/// Waits until the client goes over to this stream; what it has said there since, or `None` where it does
/// not. `unread` is what came in behind the upgrade request.
pub(super) async fn ends_well<S>(
    stream: &mut S,
    unread: &[u8],
    session: &Arc<Session>,
) -> Option<BytesMut>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _turn = session.probe()?;
    let mut probe = Probe {
        held: BytesMut::from(unread),
        stream,
        is_answered: false,
    };
    let ending = tokio::select! {
        went_over = timeout(PATIENCE, probe.run(session)) => {
            // An error is its client's matter, which polls on.
            return matches!(went_over, Ok(Ok(true))).then_some(probe.held);
        }
        why = ending(session) => why,
    };
    // A client that has its answer comes over, or finds the end in its poll; without either it would wait for both.
    if !ending.reads_on() || !probe.is_answered {
        return None;
    }
    let went_over = timeout(LAST_WORDS, probe.run(session)).await;
    matches!(went_over, Ok(Ok(true))).then_some(probe.held)
}

async fn ending(session: &Session) -> CloseReason {
    poll_fn(|cx| {
        session.flow.wake_me(Reader::Wire, cx.waker());
        match session.close_reason() {
            Some(why) => Poll::Ready(why),
            None => Poll::Pending,
        }
    })
    .await
}

struct Probe<'a, S> {
    stream: &'a mut S,
    /// Came in, and was not looked at.
    held: BytesMut,
    is_answered: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Probe<'_, S> {
    /// False where the client hangs up, or says what does not belong here.
    async fn run(&mut self, session: &Session) -> io::Result<bool> {
        let mut nudge = tokio::time::interval_at(Instant::now() + NUDGE, NUDGE);
        loop {
            while let Some(head) = Head::read(&self.held) {
                if head.length > LARGEST {
                    return Ok(false);
                }
                let Some(packet) = head.payload(&self.held, head.length as usize) else {
                    break;
                };
                self.held.advance(head.frame() as usize);
                match (head.first, &*packet) {
                    (WHOLE_TEXT, b"2probe") if head.is_whole_text() => {
                        self.stream.write_all(ANSWER).await?;
                        self.is_answered = true;
                        nudge.reset();
                    }
                    (WHOLE_TEXT, b"5") if head.is_whole_text() => return Ok(self.is_answered),
                    (PING, said) => {
                        let pong = [&[PONG, said.len() as u8], said].concat();
                        self.stream.write_all(&pong).await?;
                    }
                    (PONG, _) => {}
                    _ => return Ok(false),
                }
            }
            tokio::select! {
                read = self.stream.read_buf(&mut self.held) => if read? == 0 {
                    return Ok(false);
                },
                _ = nudge.tick(), if self.is_answered => session.nudge(),
            }
        }
    }
}
