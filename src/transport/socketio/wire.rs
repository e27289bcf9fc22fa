//! The stream under one upgraded connection, between TCP and the WebSocket codec. It writes what the
//! codec and the session's `outbox` have, and never makes the codec wait: what TCP does not take is
//! kept here, bounded, and written on by the reading side. So a peer that stops reading holds up
//! nobody, and ends by the backlog limit or the stall timeout.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, Sleep},
};

use super::{
    eio3,
    frames::{Frames, Given},
    public_id,
    session::{Protocol, Session},
};
use crate::{
    chat::socket::CloseReason,
    transport::{
        farewell::{LAST_WORDS, close_frame},
        flow::Reader,
    },
};

/// Most that one read takes. It is given out frame by frame.
const READ_MOST: usize = 4096;

/// How long the engine may take to hand over what is queued when a session is ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a peer may still be sending while it is told close reason: it is read and dropped, since closing a
/// socket with unread data makes TCP drop what was sent last.
const LEFT_UNHEARD: u64 = 16 << 20;

/// An upgraded connection of one session.
pub(super) struct Wire<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    /// Only gone once dropping has begun.
    stream: Option<S>,
    session: Arc<Session>,
    /// Came in, and the codec has not asked for it yet.
    unread: Frames,
    /// Accepted from the codec and the outbox, not yet by TCP.
    unsent: BytesMut,
    stalled: Option<Pin<Box<Sleep>>>,
    farewell: Farewell,
}

/// How far the server has got with ending the session.
enum Farewell {
    NotBegun,
    /// The engine hands over what is queued.
    Sending(Pin<Box<Sleep>>),
    /// The client may not know yet, and still be saying something.
    Hearing(Pin<Box<Sleep>>),
    Said,
}

impl Farewell {
    fn is_said(&self) -> bool {
        matches!(self, Self::Hearing(_) | Self::Said)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire<S> {
    /// `unread` is what came in behind the upgrade request.
    pub(super) fn new(stream: S, unread: &[u8], session: Arc<Session>) -> Self {
        let mut frames = Frames::new(session.protocol, session.limits().message);
        frames.push(unread);
        Self {
            stream: Some(stream),
            session,
            unread: frames,
            unsent: BytesMut::new(),
            stalled: None,
            farewell: Farewell::NotBegun,
        }
    }

    /// Writes what is queued, and on what is left over. An error once the stall timeout has passed.
    fn send_on(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        if !self.farewell.is_said() {
            let packets = self.session.outbox.take(&mut self.unsent);
            if packets > 0 {
                self.session.taken(packets);
            }
        }
        while !self.unsent.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, &self.unsent) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.unsent.advance(count);
                    self.session.flow.sent(count);
                    self.stalled = None;
                }
                Poll::Ready(Err(error)) => return Err(self.session.failed(error)),
                Poll::Pending => {
                    let timeout = self.session.limits().stall;
                    let stalled = self.stalled.get_or_insert_with(|| {
                        Box::pin(tokio::time::sleep_until(Instant::now() + timeout))
                    });
                    if stalled.as_mut().poll(cx).is_ready() {
                        self.session.close(CloseReason::Stalled);
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    return Ok(());
                }
            }
        }
        // Gives the memory back: most connections never hold anything over.
        self.unsent = BytesMut::new();
        Ok(())
    }

    /// Lets the engine hand over what is queued, then closes with a reason. The engine is told by the
    /// end of the stream, not by a packet in its client's name: the client may have stopped in the
    /// middle of a frame. Pending while there is more to hand over.
    fn say_farewell(&mut self, cx: &mut Context<'_>, why: CloseReason) -> Poll<()> {
        if matches!(self.farewell, Farewell::NotBegun) {
            self.farewell = Farewell::Sending(Box::pin(tokio::time::sleep(FAREWELL)));
        }
        if let Farewell::Sending(patience) = &mut self.farewell {
            if self.session.flow.has_queued_packets() && patience.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.farewell = match why.reads_on() {
                true => Farewell::Hearing(Box::pin(tokio::time::sleep(LAST_WORDS))),
                false => Farewell::Said,
            };
            self.session.outbox.close();
            self.unsent.extend_from_slice(&close_frame(why));
        }
        Poll::Ready(())
    }

    /// Whether a client that was told close reason is heard on: until it closes, or its time is over.
    fn reads_on(&mut self, cx: &mut Context<'_>) -> bool {
        let Farewell::Hearing(patience) = &mut self.farewell else {
            return false;
        };
        let is_over = patience.as_mut().poll(cx).is_ready();
        if is_over {
            self.farewell = Farewell::Said;
        }
        !is_over
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let may_read = this.session.flow.may_read(Reader::Wire, cx.waker());
        if let Err(error) = this.send_on(cx) {
            return Poll::Ready(Err(error));
        }
        if let Some(why) = this.session.is_over() {
            if why.is_abrupt() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            ready!(this.say_farewell(cx, why));
            if !this.reads_on(cx) {
                return Poll::Ready(Ok(()));
            }
            // The close frame.
            if let Err(error) = this.send_on(cx) {
                return Poll::Ready(Err(error));
            }
        }
        if !may_read {
            return Poll::Pending;
        }
        loop {
            match this.unread.give(buf) {
                Given::Nothing => {}
                Given::Beginning if !this.session.flow.came() => {
                    this.session.close(CloseReason::Flooding);
                    return Poll::Ready(Ok(()));
                }
                Given::Beginning | Given::More => return Poll::Ready(Ok(())),
            }
            let Some(stream) = &mut this.stream else {
                return Poll::Ready(Ok(()));
            };
            // The codec keeps what it reads into for as long as the connection lives, so it asks for little
            // at a time. Here more is read with one call, and kept only until it is asked for.
            let mut space = [MaybeUninit::uninit(); READ_MOST];
            let mut part = ReadBuf::uninit(&mut space);
            match Pin::new(stream).poll_read(cx, &mut part) {
                Poll::Ready(Ok(())) if part.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => this.unread.push(part.filled()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(this.session.failed(error))),
                Poll::Pending => {
                    this.session.flow.caught_up();
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let reworded = match this.session.protocol {
            Protocol::Eio3 => eio3::reword_frames(data),
            Protocol::Eio4 => public_id::in_frames(data),
        };
        let frames = reworded.as_deref().unwrap_or(data);
        let Some(stream) = &mut this.stream else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let is_cut = this
            .session
            .close_reason()
            .is_some_and(CloseReason::is_abrupt);
        if is_cut || matches!(this.farewell, Farewell::Said) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if this.farewell.is_said() {
            // Nothing comes after a close frame. The engine goes on, for what its client may still say.
            return Poll::Ready(Ok(data.len()));
        }
        let before = this.unsent.len();
        let packets = this.session.outbox.take_with(frames, &mut this.unsent);
        this.session.taken(packets);
        if before == 0
            && !this.unsent.is_empty()
            && let Poll::Ready(written) = Pin::new(stream).poll_write(cx, &this.unsent)
        {
            let count = written.map_err(|error| this.session.failed(error))?;
            this.unsent.advance(count);
            this.session.flow.sent(count);
        }
        if this.unsent.is_empty() {
            // As when it is written on.
            this.unsent = BytesMut::new();
        } else {
            if !this.session.flow.may_wait(before, this.unsent.len()) {
                this.session.close(CloseReason::SlowPeer);
            }
            this.session.flow.wake();
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for Wire<S> {
    fn drop(&mut self) {
        // An upgrade that failed half-way leaves the engine's session unable to poll or to time out.
        self.session.close_polling();
        self.session.outbox.take(&mut self.unsent);
        self.session.outbox.close();
        let (Some(mut stream), Ok(runtime)) =
            (self.stream.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        match self.session.close_reason() {
            Some(why) if why.is_abrupt() => return,
            // The engine was faster than the farewell.
            Some(why) if !self.farewell.is_said() => {
                self.unsent.extend_from_slice(&close_frame(why));
            }
            _ => {}
        }
        let (unsent, timeout) = (self.unsent.split(), self.session.limits().stall);
        runtime.spawn(async move {
            let last_words = async {
                stream.write_all(&unsent).await?;
                stream.shutdown().await?;
                tokio::io::copy(&mut stream.take(LEFT_UNHEARD), &mut tokio::io::sink()).await
            };
            // A peer that does not take them is gone.
            let _ = tokio::time::timeout(timeout, last_words).await;
        });
    }
}
