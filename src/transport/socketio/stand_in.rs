//! What the engine wants to hear from a client at once is said in the client's place. Its first ping comes
//! as soon as it has opened a session; Node waits for the ping interval first, and clients' own tests
//! count on that. So that ping is kept here, and answered: by polling before the client knows its
//! session, on WebSocket before anything is read from it. And an upgrade that a client has gone
//! through with `probe` is gone through once more with the engine.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    outbox::split_frame,
    service::{Engine, Packets, Query, Transport},
    session::{Protocol, Session},
};
use crate::transport::flow::Reader;

/// What is said and heard in the client's place, in WebSocket frames (RFC 6455, 5.2): a server's are not
/// masked, a client's are, with a mask of zero.
#[derive(Clone, Copy)]
enum Line {
    Say(&'static [u8]),
    Hear(&'static [u8]),
}

const FIRST_PING: [Line; 2] = [Line::Hear(b"\x81\x012"), Line::Say(b"\x81\x81\0\0\0\x003")];

const UPGRADE: [Line; 3] = [
    Line::Say(b"\x81\x86\0\0\0\x002probe"),
    Line::Hear(b"\x81\x063probe"),
    Line::Say(b"\x81\x81\0\0\0\x005"),
];

/// Keeps the first ping of a session that has just been opened by polling.
pub(super) async fn keep_first_ping(engine: &Engine, sid: &str) {
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

/// A connection on which something is said before its client is heard.
pub(super) struct StandIn<W> {
    wire: W,
    session: Arc<Session>,
    /// What is left of it.
    lines: &'static [Line],
}

impl<W> StandIn<W> {
    /// For a session that begins on this connection.
    pub(super) fn for_first_ping(wire: W, session: Arc<Session>) -> Self {
        Self {
            wire,
            session,
            lines: &FIRST_PING,
        }
    }

    /// For a session that moves to this connection.
    pub(super) fn for_upgrade(wire: W, session: Arc<Session>) -> Self {
        Self {
            wire,
            session,
            lines: &UPGRADE,
        }
    }
}

impl<W: AsyncRead + Unpin> AsyncRead for StandIn<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.lines {
            [Line::Hear(_), ..] => {
                // Hearing it wakes this reader, as the end of the session does.
                self.session.flow.wake_me(Reader::Wire, cx.waker());
                if self.session.close_reason().is_none() {
                    return Poll::Pending;
                }
                self.lines = &[];
            }
            [Line::Say(frame), rest @ ..] if buf.remaining() >= frame.len() => {
                self.lines = rest;
                buf.put_slice(frame);
                return Poll::Ready(Ok(()));
            }
            _ => {}
        }
        Pin::new(&mut self.wire).poll_read(cx, buf)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for StandIn<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let [Line::Hear(expected), rest @ ..] = self.lines else {
            return Pin::new(&mut self.wire).poll_write(cx, data);
        };
        let frame = split_frame(data).map_or(data, |(frame, _)| frame);
        if frame == *expected {
            self.lines = rest;
            self.session.go_direct();
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
