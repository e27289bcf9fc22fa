//! The transport for clients that speak no Socket.IO: a bare WebSocket (RFC 6455, version 13), one
//! JSON text to a message. `socket` is one client, `carrying` its side of the connection, `pulse` notices
//! those that are gone; `exchange` moves the frames.

mod carrying;
mod peer;
mod peers;
mod pulse;

use std::{net::IpAddr, sync::Arc, time::Duration};

use ::http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_TYPE, ORIGIN, SEC_WEBSOCKET_KEY},
};
use axum::body::Body;
use base64::{Engine, prelude::BASE64_STANDARD};

use self::{carrying::Carrying, peer::Peer};
pub use self::{peers::Peers, pulse::Timing};
use super::{
    listener::{Connection, Remote},
    origin::{self, Allowed, Readers},
    upgrade,
};
use crate::connection::{
    closing,
    exchange::{self, End},
    flow::{Limits, Shared},
    inbox,
};
use crate::{
    chat::socket::{CloseReason, Socket},
    dialects::{Dialect, Handler, Handshake},
    log_limit::log_limited,
};

/// The version of the protocol; there is no other that browsers speak.
const VERSIONS: [&str; 1] = ["13"];

/// Random bytes in `Sec-WebSocket-Key`.
const KEY_BYTES: usize = 16;

/// Bytes of an origin that go into a log line.
const LOGGED_ORIGIN: usize = 200;

/// WebSockets for the clients of one dialect.
pub struct WebSocket {
    peers: Arc<Peers>,
    timing: Timing,
    allowed: Allowed,
    dialect: Arc<dyn Dialect>,
}

/// Why a request becomes no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("a WebSocket is asked for with GET, HTTP/1.1 and `Connection: Upgrade`")]
    NoUpgrade,
    #[error("another version of WebSocket is asked for than {}", VERSIONS[0])]
    Version,
    #[error("Sec-WebSocket-Key is missing, or not 16 bytes in base64")]
    Key,
    #[error("pages of this origin may not connect; the server's setting --cors-origin lets them")]
    Origin,
    #[error("{0}")]
    Dialect(&'static str),
}

impl WebSocket {
    pub fn new(
        limits: Limits,
        timing: Timing,
        allowed: Allowed,
        dialect: Arc<dyn Dialect>,
    ) -> Self {
        Self {
            peers: Peers::new(Shared::new(limits)),
            timing,
            allowed,
            dialect,
        }
    }

    /// Whether a request asks for a WebSocket, well or badly.
    pub fn is_asked_for(request: &Request<Body>) -> bool {
        upgrade::is_asked_for(request.headers())
    }

    /// Answers a request for a WebSocket.
    pub fn answer(&self, request: Request<Body>) -> Response<Body> {
        let remote = Remote::ip(request.extensions());
        self.upgrade(request, remote).unwrap_or_else(|refusal| {
            tracing::debug!(%remote, %refusal, "refused a WebSocket");
            refusal.response()
        })
    }

    /// Everybody who is connected.
    pub fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// Sends those who are here away, one after the other over a time.
    pub async fn thin_out(&self, over: Duration) {
        let peers = self.peers.everybody();
        closing::one_by_one(peers, over, |peer| peer.close(CloseReason::Shutdown)).await;
    }

    /// Sends everybody away, and returns when they are gone and what they said has been dealt with.
    pub async fn drain(&self) {
        let send_away = || self.peers.close_all(CloseReason::Shutdown);
        closing::to_all(send_away, || self.peers.are_quiet()).await;
    }

    fn upgrade(
        &self,
        mut request: Request<Body>,
        remote: IpAddr,
    ) -> Result<Response<Body>, Refusal> {
        let key = check(&request)?;
        if origin::of(request.headers(), &self.allowed).is_err() {
            let origin = named_origin(request.headers());
            log_limited!(warn, %remote, ?origin, "refused a page of another origin; --cors-origin lets it in");
            return Err(Refusal::Origin);
        }
        let handshake = Handshake {
            remote,
            query: request.uri().query().unwrap_or_default().into(),
            auth: None,
            credentials: origin::credentials(request.headers(), &self.allowed, Readers::Allowed),
        };
        let peer = Peer::new(self.dialect.clone(), remote, self.peers.clone());
        let greeted = self.dialect.connect(peer.clone(), &handshake);
        let handler = greeted.map_err(|refusal| Refusal::Dialect(refusal.0))?;
        let timing = self.timing;
        Ok(upgrade::answer(
            &mut request,
            &key,
            move |stream, unread| converse(stream, unread, peer, handler, timing),
        ))
    }
}

/// What a client must ask for, and its key (RFC 6455, 4.2.1).
fn check(request: &Request<Body>) -> Result<HeaderValue, Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET
        || request.version() != Version::HTTP_11
        || !wants_upgrade(headers)
    {
        return Err(Refusal::NoUpgrade);
    }
    if !upgrade::is_of_version(headers, &VERSIONS) {
        return Err(Refusal::Version);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(Refusal::Key)?;
    let bytes = BASE64_STANDARD.decode(key).map_err(|_| Refusal::Key)?;
    if bytes.len() != KEY_BYTES {
        return Err(Refusal::Key);
    }
    Ok(key.clone())
}

/// The origin that a page names, for the store.
fn named_origin(headers: &HeaderMap) -> String {
    let origin = headers.get(ORIGIN).map_or(&[][..], HeaderValue::as_bytes);
    String::from_utf8_lossy(&origin[..origin.len().min(LOGGED_ORIGIN)]).into_owned()
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    let options = headers.get_all(CONNECTION).iter();
    options
        .filter_map(|options| options.to_str().ok())
        .flat_map(|options| options.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("upgrade"))
}

/// One connection, from its first frame to its last.
async fn converse(
    mut stream: Connection,
    unread: Vec<u8>,
    peer: Arc<Peer>,
    handler: Box<dyn Handler>,
    timing: Timing,
) {
    let limits = *peer.flow.limits();
    peer.arrive();
    inbox::open(peer.clone(), handler);
    let mut carrying = Carrying::new(peer.clone(), timing);
    let end = exchange::carry(&mut stream, unread, limits.message, &mut carrying).await;
    drop(carrying);
    peer.depart();
    // Nothing of it is needed while the client takes its time.
    drop(peer);
    if matches!(end, End::Over | End::Left) {
        exchange::hang_up(stream, limits.stall).await;
    }
}

impl Refusal {
    fn response(self) -> Response<Body> {
        let status = match self {
            Self::Version => return upgrade::other_version(&VERSIONS),
            Self::NoUpgrade | Self::Key => StatusCode::BAD_REQUEST,
            Self::Origin | Self::Dialect(_) => StatusCode::FORBIDDEN,
        };
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response
    }
}
