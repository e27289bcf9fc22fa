//! Accepts TCP connections and speaks HTTP/1.1 on them: bounded in number, with a limit on how long a
//! request's head may take and on how long a socket may leave data unacknowledged. A few connections
//! beyond the bound are told that the server is full, or that it is well (`/health`).

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body};
use futures_util::future::{Either, ready};
use http::{
    Extensions, HeaderValue, Request, Response, StatusCode,
    header::{RETRY_AFTER, UPGRADE},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tower::ServiceExt;

use super::{body::ReadOut, target};
use crate::log_limit::log_limited;

/// How long the head of a request may take to arrive, the time between two requests included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// Pause after the system had no file descriptor or memory for another connection.
const OUT_OF_RESOURCES_PAUSE: Duration = Duration::from_millis(100);

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;

/// Connections beyond the bound.
const SPARE: usize = 16;

/// What one of them may take from the first to the last byte.
const SPARE_PATIENCE: Duration = Duration::from_secs(5);

/// What is asked on a full server, too: that it is full is no reason to restart it.
const HEALTH: &str = "/health";

/// Seconds after which there may be room again.
const ROOM_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Where a request came from; an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct Remote(pub SocketAddr);

impl Remote {
    /// The client's address, of a request with these extensions; unspecified where nothing says it.
    pub fn ip(request: &Extensions) -> IpAddr {
        let remote = request.get().map(|Remote(address)| address.ip());
        remote.unwrap_or(Ipv4Addr::UNSPECIFIED.into())
    }
}

/// What became of the connection of a request, which may end after the request was answered. An extension of every
/// request.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<State>);

#[derive(Debug, Default)]
struct State {
    has_failed: AtomicBool,
    is_over: AtomicBool,
}

impl Pulse {
    /// Reset, or given up because data was not acknowledged; not merely closed.
    pub fn has_failed(&self) -> bool {
        self.0.has_failed.load(Ordering::Acquire)
    }

    /// Failed or closed.
    pub fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Acquire)
    }

    fn watch<T>(&self, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(_)) = &done {
            self.0.has_failed.store(true, Ordering::Release);
        }
        done
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.pulse.0.is_over.store(true, Ordering::Release);
    }
}

/// An accepted connection. It counts as one for as long as it lives, upgraded or not.
pub struct Connection {
    stream: TcpStream,
    pulse: Pulse,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.pulse.watch(done)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, data);
        self.pulse.watch(done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.pulse.watch(done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What all listeners share.
#[derive(Clone)]
pub struct Connections {
    free: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    most: u32,
    stall: Duration,
    stop: watch::Receiver<bool>,
}

impl Connections {
    /// `most` at once; `stop` becomes true when no more are to be accepted.
    pub fn new(most: usize, stall: Duration, stop: watch::Receiver<bool>) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        Self {
            free: Arc::new(Semaphore::new(most as usize)),
            spare: Arc::new(Semaphore::new(SPARE)),
            most,
            stall,
            stop,
        }
    }

    /// Waits until none is left; no more must be accepted by then.
    pub async fn ended(&self) {
        // An error means that the semaphore is closed, which it never is.
        let _ = self.free.acquire_many(self.most).await;
    }

    /// A place for one more, and whether it is a spare one.
    async fn place(&self) -> Option<(OwnedSemaphorePermit, bool)> {
        let (place, is_spare) = tokio::select! {
            biased;
            place = self.free.clone().acquire_owned() => (place, false),
            place = self.spare.clone().acquire_owned() => (place, true),
        };
        // An error means that the semaphore is closed, which it never is.
        Some((place.ok()?, is_spare))
    }

    async fn stopped(&mut self) {
        // An error means that nobody is left to say so.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}

/// Binds an address.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves one listener until it is told to stop. Connections that are open then are told to end, and
/// go on until they do.
pub async fn serve(listener: TcpListener, router: Router, mut connections: Connections) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = connections.stopped() => return,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                log_limited!(error, %error, "cannot accept connections; check the limit on open files (ulimit -n)");
                tokio::time::sleep(OUT_OF_RESOURCES_PAUSE).await;
                continue;
            }
        };
        let mut stopped = connections.clone();
        let place = tokio::select! {
            place = connections.place() => place,
            () = stopped.stopped() => return,
        };
        let Some((permit, is_spare)) = place else {
            return;
        };
        let (router, connections) = (router.clone(), connections.clone());
        let connection = Connection {
            stream,
            pulse: Pulse::default(),
            _permit: permit,
        };
        if is_spare {
            log_limited!(warn, %remote, "turned a connection away: there are as many as --max-connections allows");
            let answered = answer_when_full(connection, router);
            tokio::spawn(tokio::time::timeout(SPARE_PATIENCE, answered));
        } else {
            tokio::spawn(converse(connection, remote, router, connections));
        }
    }
}

/// One connection's requests, until it ends or is upgraded.
async fn converse(
    connection: Connection,
    remote: SocketAddr,
    router: Router,
    mut connections: Connections,
) {
    if let Err(error) = tune(&connection.stream, connections.stall) {
        tracing::debug!(%remote, %error, "could not set the options of a connection");
    }
    let (pulse, stall) = (connection.pulse.clone(), connections.stall);
    let answer = tower::service_fn(move |mut request: Request<hyper::body::Incoming>| {
        if let Err(unclear) = target::make_plain(&mut request) {
            return Either::Left(ready(Ok(unclear.response())));
        }
        request.extensions_mut().insert(Remote(remote));
        request.extensions_mut().insert(pulse.clone());
        // What becomes a WebSocket does so at once.
        let upgrades = request.headers().contains_key(UPGRADE);
        let request = request.map(|body| match upgrades {
            true => Body::new(body),
            false => Body::new(ReadOut::new(body, stall)),
        });
        Either::Right(router.clone().oneshot(request))
    });
    let mut exchange = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(connection), TowerToHyperService::new(answer))
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = exchange.as_mut() => ended,
        () = connections.stopped() => {
            exchange.as_mut().graceful_shutdown();
            exchange.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%remote, %error, "a connection ended badly");
    }
}

/// One request of a client for whom there is no room.
async fn answer_when_full(connection: Connection, router: Router) {
    let answer = tower::service_fn(move |mut request: Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            if let Err(unclear) = target::make_plain(&mut request) {
                return Ok(unclear.response());
            }
            let request = request.map(|body| Body::new(ReadOut::new(body, SPARE_PATIENCE)));
            if request.uri().path() == HEALTH {
                return router.oneshot(request).await;
            }
            let mut full = Response::new(Body::empty());
            *full.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            full.headers_mut().insert(RETRY_AFTER, ROOM_AFTER);
            Ok::<_, Infallible>(full)
        }
    });
    let answered = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(connection), TowerToHyperService::new(answer));
    if let Err(error) = answered.await {
        tracing::debug!(%error, "a connection beyond the limit ended badly");
    }
}

fn tune(stream: &TcpStream, stall: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // A socket that vanished, or stopped reading, with data on the way.
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(stall))?;
    SockRef::from(stream).set_keepalive(true)
}

/// Failures that say nothing about the next connection.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
