//! What a 0.9 client meets first: addresses `/socket.io/1/[transport/sid/]`, handshakes, origins, and
//! the answers that the old server had for everything else.

use std::sync::Arc;

use ::http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE,
        VARY, X_XSS_PROTECTION,
    },
};
use axum::body::Body;

use super::{
    Transport,
    attachment::Carrier,
    place,
    polling::{self, Dress},
    session::Session,
    sessions::{Sessions, Unable},
    websocket,
};
use crate::{
    dialects::{Credentials, Handshake, Place},
    transport::{
        listener::Remote,
        origin::{self, Allowed, Readers},
        proxy::ByTls,
    },
};

/// Where requests of the transport begin.
const RESOURCE: &str = "/socket.io/";

/// Answers requests.
pub(super) struct Front {
    pub sessions: Arc<Sessions>,
    pub transports: Box<[Transport]>,
    pub allowed: Allowed,
}

/// What an address asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target<'a> {
    Handshake,
    Session {
        transport: &'a str,
        sid: &'a str,
    },
    /// Another protocol than 1.
    OtherProtocol,
    /// Nothing of the protocol's.
    Nothing,
    /// A client library that this build does not have.
    File,
}

impl<'a> Target<'a> {
    fn of(path: &'a str) -> Self {
        let path = path.strip_prefix(RESOURCE).unwrap_or_default();
        let mut parts: Vec<_> = path.split('/').collect();
        if parts.len() > 2 && parts.last() == Some(&"") {
            parts.pop();
        }
        if parts.last().is_some_and(|name| name.contains('.')) {
            return Self::File;
        }
        let protocol = parts[0];
        if protocol.is_empty() || !protocol.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Nothing;
        }
        if protocol != "1" {
            return Self::OtherProtocol;
        }
        match parts[1..] {
            [] | [_] => Self::Handshake,
            // The client's synchronous disconnect names no transport.
            [transport, sid] => Self::Session { transport, sid },
            _ => Self::Nothing,
        }
    }
}

/// The session that an address names.
pub(super) fn session_of(path: &str) -> Option<&str> {
    match Target::of(path) {
        Target::Session { sid, .. } => Some(sid),
        _ => None,
    }
}

impl Front {
    pub(super) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let mut response = self.respond(request).await;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // Each answer is for one client, and what it lets a page read depends on the page (Fetch, CORS and HTTP caches).
            let headers = response.headers_mut();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(VARY, HeaderValue::from_static("Origin"));
        }
        response
    }

    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        match Target::of(&path) {
            Target::Handshake => self.handshake(&request),
            Target::Session { transport, sid } => self.session(request, transport, sid).await,
            Target::OtherProtocol => respond(
                StatusCode::INTERNAL_SERVER_ERROR,
                None,
                "Protocol version not supported.",
            ),
            Target::Nothing => respond(StatusCode::OK, None, "Welcome to socket.io."),
            Target::File => respond(StatusCode::NOT_FOUND, Some("text/plain"), "not found\n"),
        }
    }

    /// Any method shakes hands.
    fn handshake(&self, request: &Request<Body>) -> Response<Body> {
        let jsonp = parameter(request, "jsonp").filter(|index| is_index(index));
        let origin = match origin::of(request.headers(), &self.allowed) {
            Ok(origin) => origin,
            Err(_) => {
                return refuse(jsonp, StatusCode::FORBIDDEN, "handshake bad origin");
            }
        };
        let readers = match jsonp {
            Some(_) => Readers::Anybody,
            None => Readers::Allowed,
        };
        let mut response = match self.sessions.begin(Handshake {
            remote: Remote::ip(request.extensions()),
            query: request.uri().query().unwrap_or_default().into(),
            auth: None,
            credentials: origin::credentials(request.headers(), &self.allowed, readers),
        }) {
            Ok(session) => {
                let times = session.times();
                let ways: Vec<_> = self.transports.iter().map(|way| way.name()).collect();
                let told = format!(
                    "{}:{}:{}:{}",
                    session.sid,
                    times.heartbeat_timeout.as_secs(),
                    times.close_timeout.as_secs(),
                    ways.join(",")
                );
                match jsonp {
                    None => respond(StatusCode::OK, Some("text/plain"), told),
                    Some(index) => respond(
                        StatusCode::OK,
                        Some("application/javascript"),
                        format!("io.j[{index}](\"{told}\");"),
                    ),
                }
            }
            Err(Unable::Refused) => refuse(jsonp, StatusCode::FORBIDDEN, "handshake unauthorized"),
            Err(Unable::Failed) => {
                refuse(jsonp, StatusCode::INTERNAL_SERVER_ERROR, "handshake error")
            }
        };
        allow(&mut response, origin);
        response
    }

    async fn session(
        &self,
        mut request: Request<Body>,
        transport: &str,
        sid: &str,
    ) -> Response<Body> {
        let mut session = self.sessions.find(sid);
        if parameter(&request, "disconnect").is_some_and(|value| !value.is_empty()) {
            if let Some(session) = session {
                session.leave();
            }
            return respond(StatusCode::OK, None, "");
        }
        let offered = self.transports.iter().find(|way| way.name() == transport);
        let Some(transport) = offered else {
            return bad_request();
        };
        // No other way leads by the address that the client keeps its place for.
        let place = match *transport == Transport::XhrPolling {
            true => self.sessions.seal().read(request.headers(), sid),
            false => None,
        };
        if let Some(place) = place
            && session.as_ref().is_none_or(|session| session.is_spent())
        {
            match self.take_over(&request, sid, place) {
                Ok(taken) => session = Some(taken),
                // The client is not told, and comes again.
                Err(Unable::Failed) => return polling::later(request.method()).await,
                Err(Unable::Refused) => {}
            }
        }
        // Pages of other origins still get no word of the answer: nothing allows them to read it.
        let origin = origin::of(request.headers(), &self.allowed).unwrap_or_default();
        let poll = Carrier {
            asked: parameter(&request, "t"),
            pulse: request.extensions().get().cloned(),
            hop: request.extensions().get().cloned(),
            place,
            by_tls: request.extensions().get::<ByTls>().is_some(),
        };
        let posts = request.method() == Method::POST;
        let mut response = match transport {
            Transport::Websocket => {
                return websocket::upgrade(&mut request, session);
            }
            _ if posts => {
                let form = *transport == Transport::JsonpPolling;
                let mut response = polling::take(request, session, form).await;
                if origin.is_some() {
                    no_filter(&mut response);
                }
                response
            }
            Transport::HtmlFile => return polling::stream(session),
            Transport::XhrPolling => polling::poll(session, Dress::Plain, poll).await,
            Transport::JsonpPolling => {
                let index = parameter(&request, "i").filter(|index| is_index(index));
                let dress = Dress::Script(index.unwrap_or_else(|| "0".into()));
                let mut response = polling::poll(session, dress, poll).await;
                no_filter(&mut response);
                return response;
            }
        };
        allow(&mut response, origin);
        response
    }
}

impl Front {
    /// Goes on with a session that is not here any more, or never was, for a client that brings its place and its login.
    fn take_over(
        &self,
        request: &Request<Body>,
        sid: &str,
        place: Place,
    ) -> Result<Arc<Session>, Unable> {
        let credentials = origin::credentials(request.headers(), &self.allowed, Readers::Allowed);
        if credentials.cookie.is_none() {
            return Err(Unable::Refused);
        }
        let handshake = Handshake {
            remote: Remote::ip(request.extensions()),
            query: request.uri().query().unwrap_or_default().into(),
            auth: None,
            credentials: Credentials {
                place: Some(place),
                ..credentials
            },
        };
        self.sessions.take_over(sid, handshake)
    }
}

/// Whether a request brings a place along, so that any replica can take its session over.
pub(super) fn may_move(request: &Request<Body>) -> bool {
    place::is_brought(request.headers())
}

fn parameter(request: &Request<Body>, name: &str) -> Option<String> {
    let query = request.uri().query()?;
    form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// Which of the client's functions an answer calls. Anything but digits could be a program.
fn is_index(index: &str) -> bool {
    (1..=20).contains(&index.len()) && index.bytes().all(|byte| byte.is_ascii_digit())
}

fn refuse(jsonp: Option<String>, status: StatusCode, why: &'static str) -> Response<Body> {
    match jsonp {
        None => respond(status, Some("text/plain"), why),
        // A script that did not load could not tell why.
        Some(index) => respond(
            StatusCode::OK,
            Some("application/javascript"),
            format!("io.j[{index}](new Error(\"{why}\"));"),
        ),
    }
}

/// Lets the page read the answer, and send its cookies.
fn allow(response: &mut Response<Body>, origin: Option<HeaderValue>) {
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
    }
}

/// Old browsers' filter takes what was posted and comes back for an attack.
fn no_filter(response: &mut Response<Body>) {
    response
        .headers_mut()
        .insert(X_XSS_PROTECTION, HeaderValue::from_static("0"));
}

pub(super) fn bad_request() -> Response<Body> {
    respond(
        StatusCode::BAD_REQUEST,
        Some("text/plain"),
        "Bad request: no such transport, or no WebSocket upgrade",
    )
}

pub(super) fn respond(
    status: StatusCode,
    kind: Option<&'static str>,
    body: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_old_server_read_them() {
        let session = |transport, sid| Target::Session { transport, sid };
        for (path, target) in [
            ("/socket.io/1/", Target::Handshake),
            ("/socket.io/1", Target::Handshake),
            ("/socket.io/1/xhr-polling", Target::Handshake),
            ("/socket.io/1/xhr-polling/", Target::Handshake),
            (
                "/socket.io/1/xhr-polling/abc",
                session("xhr-polling", "abc"),
            ),
            (
                "/socket.io/1/xhr-polling/abc/",
                session("xhr-polling", "abc"),
            ),
            ("/socket.io/1//abc/", session("", "abc")),
            ("/socket.io/1/a/b/c", Target::Nothing),
            ("/socket.io/2/", Target::OtherProtocol),
            ("/socket.io/11", Target::OtherProtocol),
            ("/socket.io/abc/", Target::Nothing),
            ("/socket.io//", Target::Nothing),
            ("/socket.io/", Target::Nothing),
            ("/socket.io/1/socket.io.slim.js", Target::File),
            ("/socket.io/nothing.js", Target::File),
        ] {
            assert_eq!(Target::of(path), target, "{path}");
        }
    }
}
