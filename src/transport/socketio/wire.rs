//! The stream under one upgraded connection, between TCP and the WebSocket codec. It never makes the
//! codec wait: what TCP does not take is kept here, bounded, and written on by the reading side. So
//! a peer that stops reading holds up nobody, and ends by the backlog limit or the stall timeout.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, Sleep},
};

use super::{
    eio3,
    session::{Protocol, Reader, Session},
};
use crate::chat::peer::Goodbye;

/// Most that one read takes, so that one read cannot bring more events than a session may queue.
const READ_MOST: usize = 4096;

/// How long a client that was told everything may take to hang up.
const LINGER: Duration = Duration::from_secs(2);

/// A WebSocket text frame (RFC 6455, 5.2) with Engine.IO's close packet, as a client would send it:
/// masked, with a mask of zero.
const CLOSE_PACKET: [u8; 7] = [0x81, 0x81, 0, 0, 0, 0, b'1'];

/// The codec's close frame: no status, no reason.
const BARE_CLOSE_FRAME: [u8; 2] = [0x88, 0x00];

/// An upgraded connection of one session.
pub(super) struct Wire<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    /// Only gone once dropping has begun.
    stream: Option<S>,
    session: Arc<Session>,
    /// Came in right behind the upgrade request.
    unread: Bytes,
    /// Accepted from the codec, not yet by TCP.
    unsent: BytesMut,
    stalled: Option<Pin<Box<Sleep>>>,
    told_engine: bool,
    /// Limits how long the engine may take to write what it has queued, once the session ends.
    parting: Option<Pin<Box<Sleep>>>,
    said_close: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire<S> {
    /// `unread` is what came in behind the upgrade request.
    pub(super) fn new(stream: S, unread: Bytes, session: Arc<Session>) -> Self {
        Self {
            stream: Some(stream),
            session,
            unread,
            unsent: BytesMut::new(),
            stalled: None,
            told_engine: false,
            parting: None,
            said_close: false,
        }
    }

    /// Writes on what is left over. An error once the stall timeout has passed.
    fn send_on(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        while !self.unsent.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, &self.unsent) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.unsent.advance(count);
                    self.session.sent(count);
                    self.stalled = None;
                }
                Poll::Ready(Err(error)) => return Err(self.session.failed(error)),
                Poll::Pending => {
                    let timeout = self.session.limits().stall;
                    let stalled = self.stalled.get_or_insert_with(|| {
                        Box::pin(tokio::time::sleep_until(Instant::now() + timeout))
                    });
                    if stalled.as_mut().poll(cx).is_ready() {
                        self.session.close(Goodbye::Stalled);
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

    /// What goes out instead of what the codec wrote: a close frame that says why, where the server
    /// ends the session; connect errors as old clients know them.
    fn reworded(&self, frames: &[u8]) -> Option<Vec<u8>> {
        if let Some(why) = self.session.goodbye()
            && let Some(before) = before_bare_close(frames)
        {
            return Some([before, &close_frame(why)].concat());
        }
        if self.session.protocol == Protocol::Eio3 {
            return eio3::reword_frames(frames);
        }
        None
    }
}

/// What comes before the codec's close frame, if these frames end with one.
fn before_bare_close(frames: &[u8]) -> Option<&[u8]> {
    let mut rest = frames;
    while rest != BARE_CLOSE_FRAME {
        rest = split_frame(rest)?.1;
    }
    Some(&frames[..frames.len() - rest.len()])
}

/// How many frames a server's bytes hold: the codec hands over whole ones.
fn count_frames(mut frames: &[u8]) -> usize {
    let mut count = 0;
    while let Some((_, rest)) = split_frame(frames) {
        count += 1;
        frames = rest;
    }
    count
}

/// The first of a server's frames (RFC 6455, 5.2; not masked) and what follows it.
pub(super) fn split_frame(frames: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, length) = match (*frames.get(1)? & 0x7f) as usize {
        126 => (
            4,
            u16::from_be_bytes(frames.get(2..4)?.try_into().ok()?) as usize,
        ),
        127 => (
            10,
            u64::from_be_bytes(frames.get(2..10)?.try_into().ok()?) as usize,
        ),
        length => (2, length),
    };
    frames.split_at_checked(head + length)
}

fn close_frame(why: Goodbye) -> Vec<u8> {
    let mut frame = vec![0x88, 2 + why.message().len() as u8];
    frame.extend_from_slice(&close_status(why).to_be_bytes());
    frame.extend_from_slice(why.message().as_bytes());
    frame
}

/// The WebSocket status (RFC 6455, 7.4.1 and the IANA registry) that tells why the server closes.
fn close_status(why: Goodbye) -> u16 {
    match why {
        Goodbye::Shutdown => 1012,
        Goodbye::SlowPeer | Goodbye::Stalled | Goodbye::FellBehind => 1013,
        Goodbye::Flooding => 1008,
        Goodbye::BadPacket => 1002,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let may_read = this.session.may_read(Reader::Wire, cx.waker());
        if let Err(error) = this.send_on(cx) {
            return Poll::Ready(Err(error));
        }
        if let Some(why) = this.session.goodbye() {
            if why.is_abrupt() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            // The end that follows would overtake what the engine still has to write.
            if !this.session.has_said_goodbye() {
                let parting = this
                    .parting
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
                if parting.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            // The engine ends the session in good order when its client asks for it. If the client
            // stopped in the middle of a frame, that frame swallows the packet, and the end of the
            // stream that follows does it.
            if !this.told_engine && buf.remaining() >= CLOSE_PACKET.len() {
                this.told_engine = true;
                buf.put_slice(&CLOSE_PACKET);
            }
            return Poll::Ready(Ok(()));
        }
        if !may_read {
            return Poll::Pending;
        }
        if !this.unread.is_empty() {
            let count = this.unread.len().min(buf.remaining());
            buf.put_slice(&this.unread.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let Some(stream) = &mut this.stream else {
            return Poll::Ready(Ok(()));
        };
        let most = buf.remaining().min(READ_MOST);
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        let read = Pin::new(stream).poll_read(cx, &mut part);
        let count = part.filled().len();
        buf.advance(count);
        read.map_err(|error| this.session.failed(error))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let reworded = this.reworded(data);
        let frames = reworded.as_deref().unwrap_or(data);
        this.said_close |= this.session.goodbye().is_some() && before_bare_close(data).is_some();
        let Some(stream) = &mut this.stream else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        if this.session.goodbye().is_some_and(Goodbye::is_abrupt) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        this.session.taken(count_frames(frames));
        let mut taken = 0;
        if this.unsent.is_empty()
            && let Poll::Ready(written) = Pin::new(stream).poll_write(cx, frames)
        {
            taken = written.map_err(|error| this.session.failed(error))?;
            this.session.sent(taken);
        }
        if taken < frames.len() {
            this.unsent.extend_from_slice(&frames[taken..]);
            if this.unsent.len() > this.session.limits().backlog {
                this.session.close(Goodbye::SlowPeer);
            }
            this.session.wake();
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
        let (Some(mut stream), Ok(runtime)) =
            (self.stream.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        match self.session.goodbye() {
            Some(why) if why.is_abrupt() => return,
            // The codec says nothing once it has seen the end in the middle of a frame.
            Some(why) if !self.said_close => self.unsent.extend_from_slice(&close_frame(why)),
            _ => {}
        }
        let (unsent, timeout) = (self.unsent.split(), self.session.limits().stall);
        runtime.spawn(async move {
            let last_words = async {
                stream.write_all(&unsent).await?;
                stream.shutdown().await
            };
            // A peer that does not take them is gone.
            let Ok(Ok(())) = tokio::time::timeout(timeout, last_words).await else {
                return;
            };
            // TCP resets what is closed with something unread, and the last words with it.
            let mut unread = [0; READ_MOST];
            let rest =
                async { while stream.read(&mut unread).await.is_ok_and(|count| count > 0) {} };
            let _ = tokio::time::timeout(LINGER, rest).await;
        });
    }
}
