//! What a browser meets first: each HTTP request of Socket.IO's path is checked and answered as Node's
//! engine.io answers it, before and after the engine sees it. Everything that old clients need done
//! to bodies is done here.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_KEY},
};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    eio3, eio4, probe, public_id,
    refusal::{Error, empty, is_engine_error, normal, ok, respond},
    service::{Engine, Packets, Query, Transport},
    session::{Protocol, Session},
    sessions::Sessions,
    stand_in::{self, StandIn},
    wire::Wire,
};
use crate::{
    chat::socket::CloseReason,
    dialects::Handshake,
    log_limit::log_limited,
    transport::{
        body::{self, Unread},
        forward::Hop,
        origin::{self, Allowed, Readers},
        upgrade,
    },
};

/// The versions of WebSocket that Node's ws speaks.
const VERSIONS: [&str; 2] = ["13", "8"];

/// Answers requests.
#[derive(Clone)]
pub(super) struct Front {
    pub engine: Engine,
    pub sessions: Arc<Sessions>,
    pub allowed: Allowed,
}

impl Front {
    pub(super) async fn answer(&self, request: Request<Body>, remote: IpAddr) -> Response<Body> {
        if upgrade::is_asked_for(request.headers()) {
            return self
                .upgrade(request, remote)
                .unwrap_or_else(Error::upgrade_response);
        }
        let query = match self.check(&request, false) {
            Ok(query) => query,
            Err(error) => return error.response(),
        };
        let mut response = match (&query.sid, request.method()) {
            (None, _) => match self.begin(&request, &query, remote) {
                Ok(session) => self.open(&query, session).await,
                Err(error) => error.response(),
            },
            (Some(sid), &Method::GET) => {
                let asked = request.uri().query().unwrap_or_default();
                let hop = request.extensions().get().cloned();
                self.poll(&query, (asked, hop), self.sessions.find(sid))
                    .await
            }
            (Some(sid), &Method::POST) => match self.sessions.find(sid) {
                Some(session) => self.take(request, &query, session).await,
                // One that lives on WebSocket, or none at all: the engine knows.
                None => normal(self.engine.post(&query, false, Packets::none()).await),
            },
            _ => Error::BadRequest.response(),
        };
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// The checks of engine.io's `verify`, in its order.
    fn check(&self, request: &Request<Body>, upgrade: bool) -> Result<Query, Error> {
        let (mut eio, mut transport, mut sid, mut base64) = (None, None, None, false);
        for (key, value) in
            form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        {
            match &*key {
                "EIO" => eio = Some(value),
                "transport" => transport = Some(value),
                "sid" => sid = Some(Box::from(&*value)),
                "b64" => base64 = !value.is_empty(),
                _ => {}
            }
        }
        let transport = match transport.as_deref() {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::Websocket,
            _ => return Err(Error::TransportUnknown),
        };
        if sid.is_none() {
            if request.method() != Method::GET {
                return Err(Error::BadHandshakeMethod);
            }
            if transport == Transport::Websocket && !upgrade {
                return Err(Error::BadRequest);
            }
        }
        let session = sid.as_deref().map(|sid| self.sessions.find(sid));
        let protocol = match (eio.as_deref(), &session) {
            (Some("4"), _) => Protocol::Eio4,
            (Some("3"), _) => Protocol::Eio3,
            (_, None) => return Err(Error::UnsupportedProtocolVersion),
            (_, Some(None)) => return Err(Error::SessionIdUnknown),
            // In a session, whatever is not 4 is 3.
            (_, Some(Some(_))) => Protocol::Eio3,
        };
        if session
            .flatten()
            .is_some_and(|session| session.protocol != protocol)
        {
            return Err(Error::BadRequest);
        }
        Ok(Query {
            protocol,
            transport,
            sid,
            base64,
        })
    }

    async fn open(&self, query: &Query, session: Arc<Session>) -> Response<Body> {
        let (parts, body) = collected(self.engine.get(query, Some(session.clone())).await).await;
        if let Some(sid) = sid_of_open_packet(&body) {
            session.name(&sid);
            if query.protocol == Protocol::Eio4 {
                stand_in::keep_first_ping(&self.engine, &sid).await;
            }
        }
        Response::from_parts(parts, Body::from(body))
    }

    async fn poll(
        &self,
        query: &Query,
        (asked, hop): (&str, Option<Hop>),
        session: Option<Arc<Session>>,
    ) -> Response<Body> {
        if let Some(session) = &session
            && let Some(answer) = session.last_answer.to(asked).await
        {
            return answer;
        }
        let polled = self.engine.get(query, None);
        let response = match &session {
            Some(session) => tokio::select! {
                biased;
                response = polled => response,
                // The engine's own answer is given up: while it waits it holds nothing.
                () = session.nudged() => return empty(query.protocol, session.is_over().is_some()),
            },
            None => polled.await,
        };
        let Some(session) = session.filter(|_| response.status() == StatusCode::OK) else {
            return normal(response);
        };
        let (mut parts, mut body) = collected(response).await;
        let packets = match session.protocol {
            Protocol::Eio4 => {
                body = public_id::in_payload(&body).map_or(body, Bytes::from);
                1 + body.iter().filter(|byte| **byte == eio4::SEPARATOR).count()
            }
            Protocol::Eio3 => {
                let binary = is_binary(&parts.headers);
                body = eio3::answer(body, binary);
                parts
                    .headers
                    .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
                eio3::count(&body, binary)
            }
        };
        session.taken(packets);
        session.flow.sent(body.len());
        // Whoever is told something each time it asks would not be told the end; and who is not told all asks again.
        if session.is_over().is_some_and(CloseReason::reads_on)
            && !session.flow.has_queued_packets()
        {
            body = with_end(session.protocol, body, is_binary(&parts.headers));
            (parts.headers).insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        if let Some(hop) = &hop {
            session.last_answer.keep(asked, hop, &parts, &body);
        }
        Response::from_parts(parts, Body::from(body))
    }

    /// Takes a client's packets: none of a request that is too large or wrongly framed, else one after the other until
    /// all are taken or the session ends.
    async fn take(
        &self,
        request: Request<Body>,
        query: &Query,
        session: Arc<Session>,
    ) -> Response<Body> {
        if session.close_reason().is_some() && session.flow.hears_enough() {
            return Error::SessionIdUnknown.response();
        }
        let Some(_turn) = session.take_turn() else {
            session.close(CloseReason::BadPacket);
            return respond(StatusCode::BAD_REQUEST, "text/html", String::new());
        };
        let binary = is_binary(request.headers());
        if binary && session.protocol == Protocol::Eio4 {
            session.close(CloseReason::BadPacket);
            return respond(StatusCode::BAD_REQUEST, "text/html", String::new());
        }
        let limits = session.limits();
        let body = match body::read(request.into_body(), limits.payload, limits.stall).await {
            Ok(body) => body,
            Err(Unread::TooLarge) => return too_large(&session),
            Err(Unread::Late) => {
                return respond(StatusCode::REQUEST_TIMEOUT, "text/html", String::new());
            }
            Err(Unread::Broken) => {
                return respond(StatusCode::BAD_REQUEST, "text/html", String::new());
            }
        };
        let packets = match session.protocol {
            Protocol::Eio4 => Ok(eio4::split(&body)),
            Protocol::Eio3 => session.split_eio3(&body, binary),
        };
        let Ok(packets) = packets else {
            session.close(CloseReason::BadPacket);
            return ok();
        };
        if packets
            .iter()
            .any(|packet| packet.len() > session.limits().message)
        {
            return too_large(&session);
        }
        let packets = match session.protocol {
            Protocol::Eio4 => packets.into_iter().map(eio4::reworded).collect(),
            // Each was reworded before it was framed.
            Protocol::Eio3 => packets,
        };
        let response = self
            .engine
            .post(query, binary, Packets::paced(packets, session.clone()))
            .await;
        match response.status() {
            StatusCode::OK => ok(),
            // The engine could not read it. Node answers `ok`, and the session is gone.
            _ if self
                .sessions
                .find(query.sid.as_deref().unwrap_or_default())
                .is_some()
                && !is_engine_error(&response) =>
            {
                session.close(CloseReason::BadPacket);
                ok()
            }
            _ => normal(response),
        }
    }

    fn upgrade(&self, mut request: Request<Body>, remote: IpAddr) -> Result<Response<Body>, Error> {
        let query = self.check(&request, true)?;
        let key = request.headers().get(SEC_WEBSOCKET_KEY).cloned();
        let key = key
            .filter(|_| query.transport == Transport::Websocket && request.method() == Method::GET);
        let key = key.ok_or(Error::BadRequest)?;
        if !upgrade::is_of_version(request.headers(), &VERSIONS) {
            return Ok(upgrade::other_version(&VERSIONS));
        }
        let session = match &query.sid {
            Some(sid) => self.sessions.find(sid).ok_or(Error::SessionIdUnknown)?,
            None => self.begin(&request, &query, remote)?,
        };
        let engine = self.engine.clone();
        Ok(upgrade::answer(
            &mut request,
            &key,
            async move |stream, unread| converse(&engine, &query, session, stream, &unread).await,
        ))
    }

    fn begin(
        &self,
        request: &Request<Body>,
        query: &Query,
        remote: IpAddr,
    ) -> Result<Arc<Session>, Error> {
        let handshake = Handshake {
            remote,
            query: request.uri().query().unwrap_or_default().into(),
            auth: None,
            credentials: origin::credentials(request.headers(), &self.allowed, Readers::Allowed),
        };
        let session = self.sessions.begin(query.protocol, handshake);
        session.ok_or_else(|| {
            log_limited!(warn, %remote, "refused a session: as many are connected as --max-connections allows");
            Error::Forbidden
        })
    }
}

/// Gives the engine an upgraded connection, once its client goes over to it.
async fn converse<S>(
    engine: &Engine,
    query: &Query,
    session: Arc<Session>,
    mut stream: S,
    unread: &[u8],
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if query.sid.is_some() {
        let Some(said) = probe::ends_well(&mut stream, unread, &session).await else {
            return;
        };
        session.moved_to_websocket();
        let wire = Wire::new(stream, &said, session.clone());
        return engine.upgrade(query, session.clone(), StandIn::for_upgrade(wire, session));
    }
    session.moved_to_websocket();
    session.go_direct();
    let wire = Wire::new(stream, unread, session.clone());
    match query.protocol {
        Protocol::Eio3 => engine.upgrade(query, session, wire),
        Protocol::Eio4 => engine.upgrade(
            query,
            session.clone(),
            StandIn::for_first_ping(wire, session),
        ),
    }
}

impl Session {
    /// A payload of an old client as packets in frames, each text decoded as the client meant it.
    fn split_eio3(&self, body: &Bytes, binary: bool) -> Result<Vec<Bytes>, eio3::BadFraming> {
        let mut encodes_once = self.encodes_once.load(Ordering::Relaxed);
        let packets = eio3::request(body, binary, &mut encodes_once)?;
        self.encodes_once.store(encodes_once, Ordering::Relaxed);
        Ok(packets
            .into_iter()
            .map(|packet| eio3::join(std::iter::once(packet), binary))
            .collect())
    }
}

fn too_large(session: &Arc<Session>) -> Response<Body> {
    session.close(CloseReason::TooLarge);
    let mut response = respond(StatusCode::PAYLOAD_TOO_LARGE, "text/html", String::new());
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn is_binary(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/octet-stream"))
}

/// The engine's bodies are in memory: collecting them cannot fail.
async fn collected(response: Response<Body>) -> (http::response::Parts, Bytes) {
    let (parts, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    (parts, body)
}

/// Engine.IO's packet that ends a session.
const END: &str = "1";

/// A payload with that behind it.
fn with_end(protocol: Protocol, payload: Bytes, binary: bool) -> Bytes {
    let end = match protocol {
        Protocol::Eio3 => eio3::join(std::iter::once(eio3::Packet::Text(END.into())), binary),
        Protocol::Eio4 => [&[eio4::SEPARATOR], END.as_bytes()].concat().into(),
    };
    [payload, end].concat().into()
}

fn sid_of_open_packet(body: &Bytes) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Open {
        sid: String,
    }
    let json = body.iter().position(|byte| *byte == b'{')?;
    serde_json::from_slice::<Open>(&BytesMut::from(&body[json..]))
        .ok()
        .map(|open| open.sid)
}
