//! Packets as WebSocket text frames, one each: RFC 6455 (version 13) and the drafts before it whose
//! frames are the same (7 and 8). The server ends a connection by ending its stream; the old clients
//! know no close frames from it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use ::http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use axum::body::Body;
use futures_util::{Sink, Stream};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::Sleep,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{
    attachment::{Attachment, Carrier},
    packet,
    session::Session,
    state::{Taken, Way},
};
use crate::{
    chat::peer::Goodbye,
    transport::{flow::Reader, listener::Connection},
};

/// Bytes that an idle connection keeps for reading. Larger frames get what they need.
const READ_BUFFER: usize = 512;

/// Bytes of packets that are written at once; the buffer for them is kept.
const BATCH: usize = 2048;

/// Largest message of a client that has no session.
const STRANGERS_MESSAGE: usize = 1024;

/// Upgrades the connection of a request; `None` where it asks for no WebSocket that is spoken here.
pub(super) fn upgrade(
    request: &mut Request<Body>,
    session: Option<Arc<Session>>,
) -> Option<Response<Body>> {
    let headers = request.headers();
    let asks = headers
        .get(UPGRADE)
        .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let version = headers.get(SEC_WEBSOCKET_VERSION)?.to_str().ok()?;
    if !asks || !matches!(version, "7" | "8" | "13") {
        return None;
    }
    let accept = derive_accept_key(headers.get(SEC_WEBSOCKET_KEY)?.as_bytes());
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        // The bare TCP stream, where there is one, is a layer less for every byte.
        match upgraded.downcast::<TokioIo<Connection>>() {
            Ok(parts) => converse(parts.io.into_inner(), &parts.read_buf, session).await,
            Err(upgraded) => converse(TokioIo::new(upgraded), &[], session).await,
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = accept.parse().expect("base64 is a header value");
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Some(response)
}

/// Carries a session's packets until one side has enough. `unread` came in behind the request.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    unread: &[u8],
    session: Option<Arc<Session>>,
) {
    let largest = session
        .as_ref()
        .map_or(STRANGERS_MESSAGE, |session| session.limits().message);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest));
    let stream = Counted { stream, written: 0 };
    let mut socket =
        WebSocketStream::from_partially_read(stream, unread.to_vec(), Role::Server, Some(config))
            .await;
    let attached =
        session.and_then(|session| session.attach(Way::Stream, Carrier::default(), false));
    let Some(attachment) = attached else {
        let told = Message::text(packet::NOT_HANDSHAKEN);
        // Whoever does not take it is gone.
        let _ = futures_util::SinkExt::send(&mut socket, told).await;
        return hang_up(socket, None).await;
    };
    let session = attachment.session.clone();
    let mut exchange = Exchange {
        socket,
        attachment,
        unflushed: 0,
        stalled: None,
        deaf: false,
    };
    let end = std::future::poll_fn(|cx| exchange.poll(cx)).await;
    match end {
        End::Lost => exchange.attachment.lost(),
        End::Over => {
            drop(exchange.attachment);
            hang_up(exchange.socket, Some(session.limits().stall)).await;
        }
    }
}

/// Ends the stream once all is sent, and waits until the client has done so too: what it still says
/// would otherwise make the system throw away what it has not read.
async fn hang_up<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<Counted<S>>,
    patience: Option<std::time::Duration>,
) {
    let stream = socket.get_mut();
    let farewell = async {
        stream.shutdown().await?;
        let mut rest = [0; READ_BUFFER];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let patience = patience.unwrap_or(std::time::Duration::from_secs(1));
    // A client that stays on gets a reset.
    let _ = tokio::time::timeout(patience, farewell).await;
}

/// How a conversation ends.
enum End {
    /// The client is gone, or takes nothing any more.
    Lost,
    /// All is said, or another connection says it.
    Over,
}

struct Exchange<S> {
    socket: WebSocketStream<Counted<S>>,
    attachment: Attachment,
    /// Bytes of packets that the codec has and TCP may not.
    unflushed: usize,
    /// Since TCP has taken nothing, and what it had taken by then.
    stalled: Option<(Pin<Box<Sleep>>, u64)>,
    /// What comes in is of no interest any more.
    deaf: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let session = self.attachment.session.clone();
        loop {
            let may_read = session.flow.may_read(Reader::Wire, cx.waker());
            if session.goodbye().is_some_and(Goodbye::is_abrupt) {
                return Poll::Ready(End::Lost);
            }
            if let Poll::Ready(end) = self.write(cx, &session) {
                return Poll::Ready(end);
            }
            if self.deaf || !may_read {
                return Poll::Pending;
            }
            let Poll::Ready(message) = Pin::new(&mut self.socket).poll_next(cx) else {
                session.flow.caught_up();
                return Poll::Pending;
            };
            match message {
                Some(Ok(Message::Text(packet))) => session.hear(&packet),
                // Pings are answered by the codec; nothing in 0.9 is binary.
                Some(Ok(_)) if session.flow.came() => {}
                Some(Ok(_)) => session.close(Goodbye::Flooding),
                Some(Err(Error::Capacity(_))) => {
                    self.deaf = true;
                    session.close(Goodbye::BadPacket);
                }
                Some(Err(_)) | None => return Poll::Ready(End::Lost),
            }
        }
    }

    /// Writes what waits. Ready once there will be nothing to write any more.
    fn write(&mut self, cx: &mut Context<'_>, session: &Arc<Session>) -> Poll<End> {
        loop {
            let mut over = false;
            while self.unflushed < BATCH {
                if !self.is_ready(cx) {
                    break;
                }
                match self.attachment.packet() {
                    Taken::Some(packet) => {
                        session.flow.taken(1);
                        self.unflushed += packet.len();
                        let packet = Message::text(String::from(packet));
                        if Pin::new(&mut self.socket).start_send(packet).is_err() {
                            return Poll::Ready(End::Lost);
                        }
                        if std::mem::take(&mut self.attachment.first) {
                            session.open("");
                        }
                    }
                    Taken::Wait => break,
                    Taken::Over | Taken::Replaced => {
                        over = true;
                        break;
                    }
                }
            }
            let had = std::mem::take(&mut self.unflushed);
            match Pin::new(&mut self.socket).poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.stalled = None;
                    session.flow.sent(had);
                    if had > 0 {
                        session.is_alive();
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(End::Lost),
                Poll::Pending => {
                    self.unflushed = had;
                    return self.wait(cx, session);
                }
            }
            if over {
                return Poll::Ready(End::Over);
            }
            if had == 0 {
                return Poll::Pending;
            }
        }
    }

    fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        // An error shows when the socket is flushed.
        Pin::new(&mut self.socket).poll_ready(cx).is_ready()
    }

    /// TCP takes nothing now: for how long has it not taken a byte?
    fn wait(&mut self, cx: &mut Context<'_>, session: &Arc<Session>) -> Poll<End> {
        let written = self.socket.get_ref().written;
        if self.stalled.as_ref().is_some_and(|(_, at)| *at != written) {
            self.stalled = None;
            session.is_alive();
        }
        let patience = session.limits().stall;
        let (sleep, _) = self
            .stalled
            .get_or_insert_with(|| (Box::pin(tokio::time::sleep(patience)), written));
        ready!(sleep.as_mut().poll(cx));
        session.close(Goodbye::Stalled);
        Poll::Ready(End::Lost)
    }
}

/// A stream that counts the bytes it took.
struct Counted<S> {
    stream: S,
    written: u64,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, data))?;
        self.written += count as u64;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
