//! Requests for a session that lives on another replica: passed to it over the internal listener, and the
//! answer passed back as it is. Knows where a session lives from its id alone (`cluster::replicas`), and
//! nothing of what is said. `movable` has those whose session any replica can take over.

mod movable;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, middleware::Next, response::IntoResponse};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use tokio::sync::Notify;

use super::{
    gate,
    listener::{Pulse, Remote},
    proxy::ByTls,
    tunnel,
};
use crate::connection::closing;
use crate::{
    cluster::replicas::{LEASE, Other, ReplicaId, Replicas},
    log_limit::LogLimit,
};

/// How long another replica may take to accept a connection. The client meanwhile waits, and begins
/// anew when this has passed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long another replica's system may acknowledge nothing: as long as a lease, which says whether its process lives.
const SILENCE: Duration = LEASE;

/// How long a connection to another replica is kept for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the news of a replica's death may be under way.
const NEWS: Duration = Duration::from_millis(50);

/// Proves to a replica that a request comes from another one.
const SECRET: HeaderName = HeaderName::from_static("handshaken-secret");

/// Says that a replica that goes down passed on what was passed on to it: the next one is to answer.
const PASSED_TWICE: HeaderName = HeaderName::from_static("handshaken-passed-twice");

/// The address of the client, for a replica that believes the one who says so.
const CLIENT: HeaderName = HeaderName::from_static("handshaken-client");

/// Headers that concern one connection and not the request, besides those that `Connection` names; RFC 9110, 7.6.1.
const OF_ONE_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Names the replica that a client's session lives on, for balancers that look at cookies.
const AFFINITY: &str = "handshaken-replica";

/// What replicas tell each other to be let in. Never shown.
#[derive(Clone)]
pub struct Secret(HeaderValue);

impl Secret {
    /// Of visible ASCII; none for replicas that only this machine reaches.
    pub fn of(text: Option<&str>) -> Self {
        let value = text.and_then(|text| HeaderValue::from_str(text).ok());
        let mut value = value.unwrap_or_else(|| HeaderValue::from_static("none"));
        value.set_sensitive(true);
        Self(value)
    }
}

/// Passes requests on.
pub struct Forward {
    replicas: Arc<Replicas>,
    client: Client<HttpConnector, Body>,
    secret: Secret,
    /// Set with the answer to a handshake.
    cookie: Option<AffinityCookie>,
    is_draining: AtomicBool,
    is_ending: AtomicBool,
    /// The WebSockets that are passed on; told when this replica goes.
    tunnels: Mutex<Vec<Weak<Notify>>>,
}

impl Forward {
    pub fn new(replicas: Arc<Replicas>, secret: Secret, sets_cookie: bool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        // Polls and tunnels say nothing for a long time.
        connector.set_keepalive(Some(SILENCE / 3));
        connector.set_keepalive_interval(Some(SILENCE / 3));
        #[cfg(target_os = "linux")]
        connector.set_tcp_user_timeout(Some(SILENCE));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        let cookie = AffinityCookie::of(replicas.id());
        Self {
            replicas,
            client,
            secret,
            cookie: sets_cookie.then_some(cookie),
            is_draining: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            tunnels: Mutex::default(),
        }
    }

    /// Has new sessions begin on other replicas from now on.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Sends those away whose WebSockets are passed on, one after the other over a time.
    pub async fn thin_out(&self, over: Duration) {
        closing::one_by_one(self.tunnels(), over, |tunnel| tunnel.notify_one()).await;
    }

    /// Sends all of those away, lets no more come, and returns when they are gone: some two seconds later at most.
    pub async fn end_tunnels(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
        let send_away = || {
            for tunnel in self.tunnels() {
                tunnel.notify_one();
            }
        };
        closing::to_all(send_away, || self.tunnels().is_empty()).await;
    }

    /// Whether it is too late to pass on a WebSocket. Old clients, which cannot do without, may come until the end.
    fn refuses(&self, request: &Request<Body>) -> bool {
        let (is_draining, is_ending) = (&self.is_draining, &self.is_ending);
        request.headers().contains_key(UPGRADE)
            && (is_ending.load(Ordering::Relaxed)
                || is_draining.load(Ordering::Relaxed) && goes_over(request))
    }

    fn tunnels(&self) -> Vec<Arc<Notify>> {
        self.tunnels
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// Has the replica that has the session of a request answer it. Where that is this one, or none that
    /// lives, the transport here does: it knows what is to be said then.
    pub async fn answer(
        &self,
        session: Option<&str>,
        request: Request<Body>,
        here: impl AsyncFnOnce(Request<Body>) -> Response<Body>,
    ) -> Response<Body> {
        let owner = match session {
            Some(session) => self.replicas.owner_of(session).await,
            None if !self.is_draining.load(Ordering::Relaxed) => None,
            // It would end with this replica; the next try goes to another.
            None if request.headers().contains_key(UPGRADE) => return gate::later(),
            None => self.replicas.another(),
        };
        // It would end with this replica, perhaps when the client cannot go back any more; so the client polls on.
        if owner.is_some() && self.refuses(&request) {
            return gate::later();
        }
        let request = match owner {
            Some(owner) => match self.pass_on(owner, request).await {
                Ok(answered) => return answered,
                // Whether a replica that is gone took a POST is not known, so it is not sent again.
                Err(left) => left.request,
            },
            None => request,
        };
        let by_tls = request.extensions().get::<ByTls>().is_some();
        let mut response = here(request).await;
        let status = response.status();
        let begins =
            session.is_none() && (status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS);
        if let Some(cookie) = self.cookie.as_ref().filter(|_| begins) {
            let cookie = if by_tls {
                &cookie.secure
            } else {
                &cookie.plain
            };
            response.headers_mut().append(SET_COOKIE, cookie.clone());
        }
        response
    }

    /// Gives the request back, without its body, where the replica did not answer.
    async fn pass_on(
        &self,
        owner: Other,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Left> {
        let upgrades = request.headers().get(UPGRADE).cloned();
        let client_side = upgrades.is_some().then(|| hyper::upgrade::on(&mut request));
        let left = without_body(&request);
        let request = self.dress(request, owner.address, upgrades);
        let passed = tokio::select! {
            passed = self.client.request(request) => {
                passed.map_err(|error| (!error.is_connect(), error.to_string()))
            }
            // One that was stopped answers nothing, and keeps its connections.
            () = self.replicas.gone(&owner.id) => Err((true, "its lease has ended".to_owned())),
        };
        let passed = match passed {
            Ok(passed) => passed,
            Err((was_sent, error)) => {
                tracing::debug!(owner = %owner.address, %error, "could not pass a request on");
                self.replicas.doubt();
                return Err(Left {
                    request: left,
                    was_sent,
                });
            }
        };
        Ok(match client_side {
            Some(client_side) if passed.status() == StatusCode::SWITCHING_PROTOCOLS => {
                self.tunnel(passed, client_side, owner)
            }
            _ => {
                let (mut parts, body) = passed.into_parts();
                drop_connection_headers(&mut parts.headers);
                Response::from_parts(parts, Body::new(body))
            }
        })
    }

    /// The request as the other replica is to get it.
    fn dress(
        &self,
        request: Request<Body>,
        owner: SocketAddr,
        upgrades: Option<HeaderValue>,
    ) -> Request<Body> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = Uri::builder()
            .scheme("http")
            .authority(owner.to_string())
            .path_and_query(path)
            .build()
            .expect("an address and a path that was one are a URI");
        parts.version = Version::HTTP_11;
        drop_connection_headers(&mut parts.headers);
        if let Some(protocol) = upgrades {
            let asked = HeaderValue::from_static("Upgrade");
            parts.headers.insert(CONNECTION, asked);
            parts.headers.insert(UPGRADE, protocol);
        }
        parts.headers.insert(SECRET, self.secret.0.clone());
        if parts.extensions.get::<Hop>().is_some() {
            let again = HeaderValue::from_static("1");
            parts.headers.insert(PASSED_TWICE, again);
        }
        if let Some(Remote(client)) = parts.extensions.get() {
            let client = client.to_string().parse();
            let client = client.expect("an address is a header value");
            parts.headers.insert(CLIENT, client);
        }
        Request::from_parts(parts, body)
    }

    /// Joins both ends once both sides have switched.
    fn tunnel(
        &self,
        mut passed: Response<hyper::body::Incoming>,
        client_side: hyper::upgrade::OnUpgrade,
        owner: Other,
    ) -> Response<Body> {
        let owner_side = hyper::upgrade::on(&mut passed);
        let replicas = self.replicas.clone();
        let going = Arc::new(Notify::new());
        {
            let mut tunnels = self.tunnels.lock();
            if tunnels.len() == tunnels.capacity() {
                tunnels.retain(|tunnel| tunnel.strong_count() > 0);
            }
            tunnels.push(Arc::downgrade(&going));
        }
        tokio::spawn(async move {
            let ends = async {
                let (client, owner) = tokio::try_join!(client_side, owner_side).ok()?;
                Some((TokioIo::new(client), TokioIo::new(owner)))
            };
            tokio::select! {
                () = tunnel::join(ends, going.notified()) => {}
                () = replicas.gone(&owner.id) => {}
            }
        });
        let (parts, _) = passed.into_parts();
        Response::from_parts(parts, Body::empty())
    }
}

/// A request that could not be passed on, without its body.
struct Left {
    request: Request<Body>,
    /// The other replica may have taken it.
    was_sent: bool,
}

/// The `Set-Cookie` header that names a replica.
struct AffinityCookie {
    plain: HeaderValue,
    /// For clients that came by TLS.
    secure: HeaderValue,
}

impl AffinityCookie {
    fn of(replica: &ReplicaId) -> Self {
        let plain = format!("{AFFINITY}={replica}; Path=/; HttpOnly; SameSite=Lax");
        let header = |text: &str| text.parse().expect("an id is part of a header value");
        Self {
            secure: header(&format!("{plain}; Secure")),
            plain: header(&plain),
        }
    }
}

/// The connection from the replica that passed a request on; an extension of such requests.
#[derive(Clone, Debug)]
pub struct Hop(Pulse);

impl Hop {
    /// Whether that replica is gone, as when somebody asks again for an answer that was given to it. Whoever asks may be
    /// quicker than the news.
    pub async fn is_gone(&self) -> bool {
        if !self.0.is_over() {
            tokio::time::sleep(NEWS).await;
        }
        self.0.is_over()
    }
}

/// Has only other replicas ask, and believes what they say of their clients.
pub fn guarded(router: Router, secret: Secret) -> Router {
    let log_limit = Arc::new(LogLimit::default());
    router.layer(axum::middleware::from_fn(
        move |mut request: Request<Body>, next: Next| {
            let shown = request.headers_mut().remove(SECRET);
            let client = request.headers_mut().remove(CLIENT);
            let is_replica =
                shown.is_some_and(|shown| shown.as_bytes().ct_eq(secret.0.as_bytes()).into());
            let log_limit = log_limit.clone();
            async move {
                if !is_replica {
                    let remote = request.extensions().get().map(|Remote(address)| *address);
                    let remote = remote.map(tracing::field::display);
                    if let Some(unsaid_before) = log_limit.due() {
                        tracing::warn!(
                            remote, unsaid_before,
                            "refused a request on the internal listener: no or another cluster secret"
                        );
                    }
                    return StatusCode::FORBIDDEN.into_response();
                }
                // This connection is the other replica's, and others' requests come over it as well.
                if let Some(pulse) = request.extensions_mut().remove::<Pulse>() {
                    request.extensions_mut().insert(Hop(pulse));
                }
                let client = client.and_then(|client| client.to_str().ok()?.parse().ok());
                if let Some(client) = client {
                    request.extensions_mut().insert(Remote(client));
                }
                next.run(request).await
            }
        },
    ))
}

/// Whether a client of Engine.IO asks for a WebSocket that it can do without: it names one in a session that polls.
fn goes_over(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "transport" && value == "websocket")
}

/// What a transport needs to refuse the request.
fn without_body(request: &Request<Body>) -> Request<Body> {
    let mut left = Request::new(Body::empty());
    *left.method_mut() = request.method().clone();
    *left.uri_mut() = request.uri().clone();
    *left.headers_mut() = request.headers().clone();
    left
}

fn drop_connection_headers(headers: &mut HeaderMap) {
    let named = headers.get_all(CONNECTION).iter();
    let named: Vec<HeaderName> = named
        .filter_map(|names| names.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_ONE_CONNECTION.into_iter().chain(named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_one_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Hop"),
            ("connection", "Upgrade,, not a name"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("cookie", "a=b"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        drop_connection_headers(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["cookie"]);
    }
}
