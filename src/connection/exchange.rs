//! One WebSocket connection at work: frames in, frames out, with `flow` deciding when to read on. A
//! codec reads and answers what WebSocket itself wants answered; what is said, and what becomes of
//! what was heard, is the matter of whoever is [`Carried`].

use std::{
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::Sleep,
};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    error::ProtocolError,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext},
};

pub(crate) use super::frames::Frames;
use super::{
    closing::CLOSE_GRACE,
    flow::{Flow, Reader},
};

/// Bytes that an idle connection keeps for reading. Larger frames get what they need.
const READ_BUFFER: usize = 512;

/// Bytes of frames that are gathered for one write.
const BATCH: usize = 16 * 1024;

/// Where the bytes come from and go to.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// What a WebSocket carries on one connection.
pub(crate) trait Carried {
    fn flow(&self) -> &Flow;

    /// The connection is to end without another word.
    fn is_cut(&self) -> bool;

    /// The server is going down: the client is heard until it has gone, and not waited for if it does not.
    fn is_going_down(&self) -> bool;

    /// Appends what the client is to be sent next.
    fn next(&mut self, cx: &mut Context<'_>, out: &mut Frames) -> Next;

    /// Whether the next message may be read; if not, the context's waker is woken when it may.
    fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        self.flow().may_read(Reader::Wire, cx.waker())
    }

    /// The client said something.
    fn hear(&mut self, text: &str);

    /// The client sent binary data.
    fn hear_binary(&mut self, _data: Bytes) {
        self.misread(Misread::Binary);
    }

    /// The client sent what it must not. Unless it was merely binary, nothing more is read.
    fn misread(&mut self, why: Misread);

    /// The client has been sending too fast for too long.
    fn flooded(&mut self);

    /// Bytes came in.
    fn came(&mut self) {}

    /// Bytes are left unread for a while: the client may well be alive.
    fn held_back(&mut self) {
        self.came();
    }

    /// TCP took bytes.
    fn went(&mut self) {}

    /// TCP took none for the stall timeout.
    fn stalled(&mut self);
}

/// What a client is to be told.
pub(crate) enum Next {
    /// Something was appended.
    Appended,
    /// Nothing now; the context's waker, or the flow's, is woken when to ask again.
    Wait,
    /// Nothing any more, but for a close frame.
    Over(Option<CloseFrame>),
}

/// What is wrong with what a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misread {
    Binary,
    NotUtf8,
    TooLarge,
    Protocol,
}

/// How an exchange ends.
pub(crate) enum End {
    /// The client is gone, or takes nothing any more.
    Lost,
    /// The client has closed the connection, in good order.
    Left,
    /// All is said.
    Over,
}

/// Carries messages until one side has enough. `unread` came in behind the request; no message may be
/// larger than `largest`.
pub(crate) async fn carry<S: Stream, C: Carried>(
    stream: &mut S,
    unread: Vec<u8>,
    largest: usize,
    carried: &mut C,
) -> End {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest));
    let mut exchange = Exchange {
        codec: WebSocketContext::from_partially_read(unread, Role::Server, Some(config)),
        stream,
        carried,
        out: Frames::default(),
        stalled: None,
        grace: None,
        deaf: false,
        over: false,
        left: false,
    };
    std::future::poll_fn(|cx| exchange.poll(cx)).await
}

/// Ends the stream once all is sent, and waits until the client has done so too: what it still says
/// would otherwise make the system throw away what it has not read. A client that stays on gets a reset.
pub(crate) async fn hang_up(mut stream: impl Stream, patience: Duration) {
    let closing = async {
        stream.shutdown().await?;
        let mut rest = [0; READ_BUFFER];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(patience, closing).await;
}

/// Tells a client something outside of an exchange.
pub(crate) async fn say(stream: &mut impl Stream, text: &str) -> io::Result<()> {
    let mut frame = Frames::default();
    frame.uncounted(text);
    stream.write_all(&frame.bytes).await
}

struct Exchange<'a, S, C> {
    codec: WebSocketContext,
    stream: &'a mut S,
    carried: &'a mut C,
    out: Frames,
    stalled: Option<Pin<Box<Sleep>>>,
    grace: Option<Pin<Box<Sleep>>>,
    /// What comes in is of no interest any more.
    deaf: bool,
    /// What is in `out` is the last.
    over: bool,
    /// The client's close frame was answered.
    left: bool,
}

impl<S: Stream, C: Carried> Exchange<'_, S, C> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            // Once all is said, another connection may be the one to be woken.
            let may_read = (!self.over || self.reads_on()) && self.carried.may_read(cx);
            if self.carried.is_cut() {
                return Poll::Ready(End::Lost);
            }
            if self.is_late(cx) {
                let is_told = self.over && self.out.bytes.is_empty();
                return Poll::Ready(if is_told { End::Over } else { End::Lost });
            }
            if !may_read {
                self.carried.held_back();
            }
            if let Poll::Ready(end) = self.write(cx) {
                return Poll::Ready(end);
            }
            // Answers to pings are not counted by the flow, and wait here.
            let enough = self.carried.flow().limits().backlog / 2;
            let hears = !self.deaf && (!self.over || self.reads_on());
            if !hears || !may_read || self.out.bytes.len() > enough {
                return Poll::Pending;
            }
            let all_is_out = self.out.bytes.is_empty();
            match self.read(cx) {
                Poll::Ready(Some(end)) => return Poll::Ready(end),
                Poll::Ready(None) => {}
                // The codec had something to answer.
                Poll::Pending if all_is_out && !self.out.bytes.is_empty() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// All is said, but the client may not know yet, and still be saying something.
    fn reads_on(&self) -> bool {
        self.over && !self.left && !self.deaf && self.carried.is_going_down()
    }

    /// The client had its time to go.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        self.carried.is_going_down()
            && (self.grace)
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSE_GRACE)))
                .as_mut()
                .poll(cx)
                .is_ready()
    }

    /// Reads one message, or finds the end.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        let mut io = Io {
            stream: self.stream,
            out: &mut self.out.bytes,
            cx,
            came: false,
        };
        let read = self.codec.read(&mut io);
        if io.came {
            self.carried.came();
        }
        let misread = match read {
            Ok(message) => {
                if !self.carried.flow().came() {
                    self.carried.flooded();
                    return Poll::Ready(None);
                }
                match message {
                    Message::Text(text) => self.carried.hear(&text),
                    Message::Binary(data) => self.carried.hear_binary(data),
                    // Answered by the codec.
                    _ => {}
                }
                return Poll::Ready(None);
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.carried.flow().caught_up();
                return Poll::Pending;
            }
            Err(Error::ConnectionClosed) => {
                (self.over, self.left) = (true, true);
                return Poll::Ready(None);
            }
            Err(Error::Io(error)) => return Poll::Ready(Some(self.failed(&error))),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                return Poll::Ready(Some(End::Lost));
            }
            Err(Error::Capacity(_)) => Misread::TooLarge,
            Err(Error::Utf8(_)) => Misread::NotUtf8,
            Err(_) => Misread::Protocol,
        };
        self.deaf = true;
        self.carried.misread(misread);
        Poll::Ready(None)
    }

    /// Writes what there is to be told. Ready once that is the last.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            while !self.over && self.out.bytes.len() < BATCH {
                match self.carried.next(cx, &mut self.out) {
                    Next::Appended => {
                        let messages = std::mem::take(&mut self.out.messages);
                        self.carried.flow().taken(messages);
                    }
                    Next::Wait => break,
                    Next::Over(close) => self.close(cx, close),
                }
            }
            if self.out.bytes.is_empty() {
                return match (self.over, self.left) {
                    (_, true) => Poll::Ready(End::Left),
                    (true, false) if self.reads_on() => self.end_stream(cx),
                    (true, false) => Poll::Ready(End::Over),
                    (false, false) => Poll::Pending,
                };
            }
            match Pin::new(&mut *self.stream).poll_write(cx, &self.out.bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(End::Lost),
                Poll::Ready(Ok(count)) => self.wrote(count),
                Poll::Ready(Err(error)) => return Poll::Ready(self.failed(&error)),
                Poll::Pending => return self.wait(cx),
            }
        }
    }

    /// Where no close frame tells the client, the end of the stream does.
    fn end_stream(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match Pin::new(&mut *self.stream).poll_shutdown(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(End::Lost),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    fn close(&mut self, cx: &mut Context<'_>, close: Option<CloseFrame>) {
        self.over = true;
        if close.is_some() {
            let mut io = Io {
                stream: self.stream,
                out: &mut self.out.bytes,
                cx,
                came: false,
            };
            // Where the client was faster, its own close frame has been answered.
            let _ = self.codec.close(&mut io, close);
        }
    }

    fn wrote(&mut self, count: usize) {
        self.out.bytes.advance(count);
        self.stalled = None;
        self.carried.went();
        // Headers and the like are in `out` too: at the end it comes out even.
        let mut counted = count.min(self.out.counted);
        if self.out.bytes.is_empty() {
            // Gives the memory back: most connections have nothing to be told most of the time.
            self.out.bytes = BytesMut::new();
            counted = self.out.counted;
        }
        self.out.counted -= counted;
        self.carried.flow().sent(counted);
    }

    /// TCP takes nothing now: for how long has it not taken a byte?
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let patience = self.carried.flow().limits().stall;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        self.carried.stalled();
        Poll::Ready(End::Lost)
    }

    /// TCP gave up. Where a client that acknowledges nothing is the cause, that is the reason: the system
    /// looks at what is under way (`TCP_USER_TIMEOUT`).
    fn failed(&mut self, error: &io::Error) -> End {
        if error.kind() == io::ErrorKind::TimedOut {
            self.carried.stalled();
        }
        End::Lost
    }
}

/// The stream as the codec sees it: it reads from TCP, and never waits when it writes.
struct Io<'a, 'b, 'c, S> {
    stream: &'a mut S,
    out: &'a mut BytesMut,
    cx: &'b mut Context<'c>,
    came: bool,
}

impl<S: Stream> Read for Io<'_, '_, '_, S> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let mut space = ReadBuf::new(space);
        match Pin::new(&mut *self.stream).poll_read(self.cx, &mut space) {
            Poll::Ready(read) => read?,
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        }
        let count = space.filled().len();
        self.came |= count > 0;
        Ok(count)
    }
}

impl<S: Stream> Write for Io<'_, '_, '_, S> {
    fn write(&mut self, frames: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(frames);
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
