//! The engine asks a client for its pulse as soon as it has opened a session; Node waits for the ping
//! interval first, and clients' own tests count on that. So the first ping is kept here, and answered
//! in the client's place: by polling before the client knows its session, on WebSocket before
//! anything is read from it. The engine's second ping comes after the interval.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    service::{Engine, Packets, Query, Transport},
    session::{Protocol, Session},
    wire::split_frame,
};
use crate::transport::flow::Reader;

/// A server's WebSocket text frame (RFC 6455, 5.2) with a ping packet.
const PING_FRAME: [u8; 3] = [0x81, 0x01, b'2'];

/// A client's with the answer: masked, with a mask of zero.
const PONG_FRAME: [u8; 7] = [0x81, 0x81, 0, 0, 0, 0, b'3'];

/// Keeps the first ping of a session that has just been opened by polling.
pub(super) async fn keep(engine: &Engine, sid: &str) {
    let query = Query {
        protocol: Protocol::Eio4,
        transport: Transport::Polling,
        sid: Some(sid.into()),
        base64: false,
    };
    // A client of Engine.IO 4 has not joined a namespace yet: nothing else can be in there.
    engine.get(&query, None).await;
    engine
        .post(&query, false, Packets::one(Bytes::from_static(b"3")))
        .await;
}

/// A connection whose first ping is kept.
pub(super) struct FirstPing<W> {
    wire: W,
    session: Arc<Session>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Expected,
    Kept,
    Answered,
}

impl<W> FirstPing<W> {
    /// For a session that begins on this connection.
    pub(super) fn new(wire: W, session: Arc<Session>) -> Self {
        Self {
            wire,
            session,
            state: State::Expected,
        }
    }
}

impl<W: AsyncRead + Unpin> AsyncRead for FirstPing<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.state {
            State::Expected => {
                // Keeping the ping wakes this reader, as the end of the session does.
                self.session.flow.may_read(Reader::Wire, cx.waker());
                if self.session.goodbye().is_none() {
                    return Poll::Pending;
                }
                self.state = State::Answered;
            }
            State::Kept if buf.remaining() >= PONG_FRAME.len() => {
                self.state = State::Answered;
                buf.put_slice(&PONG_FRAME);
                return Poll::Ready(Ok(()));
            }
            State::Kept | State::Answered => {}
        }
        Pin::new(&mut self.wire).poll_read(cx, buf)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for FirstPing<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.state != State::Expected {
            return Pin::new(&mut self.wire).poll_write(cx, data);
        }
        let frame = split_frame(data).map_or(data, |(frame, _)| frame);
        if frame == PING_FRAME {
            self.state = State::Kept;
            self.session.flow.wake();
            return Poll::Ready(Ok(frame.len()));
        }
        Pin::new(&mut self.wire).poll_write(cx, frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
