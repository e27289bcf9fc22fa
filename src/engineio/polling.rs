//! Packets in requests and their answers: polling, by scripts too.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Instant};

use ::http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{
        CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT, X_XSS_PROTECTION,
    },
    request::Parts,
};
use axum::body::Body;
use engineioxide_core::Packet;
use tokio::time::sleep_until;

use super::{
    connection::Connection,
    http::open_packet,
    jsonp, payload,
    refusal::{Error, bare, ok},
    request::{Protocol, Query},
    state::{Answer, Refused, size},
};
use crate::{
    chat::socket::CloseReason,
    connection::flow::Reader,
    transport::{
        body::{self, Unread},
        encoding::{self, Encoding},
        forward::Hop,
    },
};

/// Answers of fewer bytes are not compressed; Node's default.
const COMPRESSED_FROM: usize = 1024;

/// Answers a handshake, and looks after the connection's time until it goes over to a WebSocket.
pub(super) fn begin(
    request: &Request<Body>,
    query: &Query,
    connection: &Arc<Connection>,
) -> Response<Body> {
    tokio::spawn(keep_time(connection.clone()));
    // The open packet alone, as on Node: what is queued behind it comes with the next poll. python-engineio takes no more than 16
    // packets at once, and this would be one more.
    respond(
        request.headers(),
        query,
        connection,
        Some(open_packet(connection)),
        Vec::new(),
    )
}

/// The task holds on to the connection only when there is something to do.
async fn keep_time(connection: Arc<Connection>) {
    let mut next = connection.look();
    let connection = Arc::downgrade(&connection);
    while let Some(at) = next {
        sleep_until(at.into()).await;
        next = match connection.upgrade() {
            Some(connection) if connection.polls() => connection.look(),
            _ => return,
        };
    }
}

/// Answers a poll: with what waits, or as soon as there is something.
pub(super) async fn poll(
    request: &Parts,
    query: &Query,
    connection: Arc<Connection>,
) -> Result<Response<Body>, Error> {
    let asked = request.uri.query().unwrap_or_default();
    if let Some(answer) = connection.last_answer.to(asked).await {
        return Ok(answer);
    }
    let begun = connection.state.lock().begin_poll();
    if let Err(refused) = begun {
        return refuse(refused, &connection);
    }
    let turn = PollTurn(connection);
    let connection = &turn.0;
    let mut has_waited = false;
    let answer = poll_fn(|cx| {
        // Registered first: what is queued between the look and the registration is not missed.
        connection.poll.register(cx.waker());
        match connection.state.lock().answer() {
            Answer::Nothing => {
                has_waited = true;
                Poll::Pending
            }
            answer => Poll::Ready(answer),
        }
    });
    let packets = match answer.await {
        Answer::Packets(packets) => packets,
        // Who comes too late learns that the session is gone, and so does who is to come back at once. As on Node,
        // whoever waits when it ends for another reason gets something to read.
        Answer::Over | Answer::Nothing => match connection.close_reason() {
            Some(why) if why.reads_on() => return Err(Error::SidUnknown),
            _ if has_waited => vec![Packet::Noop],
            _ => return Err(Error::SidUnknown),
        },
    };
    count(connection, &packets);
    let response = respond(&request.headers, query, connection, None, packets);
    match request.extensions.get::<Hop>() {
        Some(hop) => Ok(connection.last_answer.keep(asked, hop, response).await),
        None => Ok(response),
    }
}

/// Takes a client's packets: none of a body that is too large or wrongly framed, else one after the other until
/// all are taken or the connection ends.
pub(super) async fn take(
    request: Request<Body>,
    query: &Query,
    connection: Arc<Connection>,
) -> Result<Response<Body>, Error> {
    if (connection.close_reason())
        .is_some_and(|why| !why.reads_on() || connection.flow.hears_enough())
    {
        return Err(Error::SidUnknown);
    }
    let begun = connection.state.lock().begin_post();
    if let Err(refused) = begun {
        return refuse(refused, &connection);
    }
    let turn = PostTurn(connection);
    let connection = &turn.0;
    let kind = request.headers().get(CONTENT_TYPE);
    let is_binary =
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/octet-stream"));
    if is_binary && connection.protocol() == Protocol::Eio4 {
        connection.close(CloseReason::BadPacket);
        return Ok(bare(StatusCode::BAD_REQUEST));
    }
    let xss = no_filter(request.headers());
    let limits = connection.limits();
    let body = match body::read(request.into_body(), limits.payload, limits.stall).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => return Ok(too_large(connection)),
        Err(Unread::Late) => return Ok(bare(StatusCode::REQUEST_TIMEOUT)),
        Err(Unread::Broken) => return Ok(bare(StatusCode::BAD_REQUEST)),
    };
    let body = match &query.script {
        Some(_) => jsonp::payload(&body),
        None => Some(body),
    };
    let mut response = ok();
    if let Some(value) = xss {
        response.headers_mut().insert(X_XSS_PROTECTION, value);
    }
    // As Node: a form without packets is nothing.
    let Some(body) = body else {
        return Ok(response);
    };
    let Ok(parts) = payload::split(connection, &body, is_binary) else {
        connection.close(CloseReason::BadPacket);
        return Ok(response);
    };
    if parts.iter().any(|part| part.len() > limits.message) {
        return Ok(too_large(connection));
    }
    for part in parts {
        if !may_take(connection).await || !connection.receive(part.read(connection.protocol())) {
            break;
        }
    }
    Ok(response)
}

/// Waits until the next packet may be taken; false where none is any more.
async fn may_take(connection: &Arc<Connection>) -> bool {
    let may = poll_fn(|cx| match connection.close_reason() {
        // Once it is being ended nothing more can come, and a drain waits for this.
        Some(why) => Poll::Ready(why.reads_on()),
        None if connection.is_over() => Poll::Ready(false),
        None if !connection.flow.may_read(Reader::Post, cx.waker()) => Poll::Pending,
        None => Poll::Ready(true),
    });
    if !may.await {
        return false;
    }
    let is_in_time = connection.close_reason().is_some() || connection.flow.came();
    if !is_in_time {
        connection.close(CloseReason::Flooding);
    }
    is_in_time
}

fn refuse(refused: Refused, connection: &Arc<Connection>) -> Result<Response<Body>, Error> {
    match refused {
        Refused::Over => Err(Error::SidUnknown),
        Refused::Transport => Err(Error::BadRequest),
        Refused::Overlap => {
            connection.close(CloseReason::BadPacket);
            Ok(bare(StatusCode::BAD_REQUEST))
        }
    }
}

fn too_large(connection: &Arc<Connection>) -> Response<Body> {
    connection.close(CloseReason::TooLarge);
    let mut response = bare(StatusCode::PAYLOAD_TOO_LARGE);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// An answer with packets, as the client can read it.
fn respond(
    asked: &HeaderMap,
    query: &Query,
    connection: &Connection,
    open: Option<String>,
    packets: Vec<Packet>,
) -> Response<Body> {
    let payload = payload::join(connection, open, packets);
    let kind = match payload.is_binary {
        true => "application/octet-stream",
        false => "text/plain; charset=UTF-8",
    };
    let mut body = match (&query.script, std::str::from_utf8(&payload.body)) {
        (Some(index), Ok(text)) if !payload.is_binary => jsonp::script(index, text).into(),
        _ => payload.body,
    };
    let mut response = bare(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(value) = no_filter(asked) {
        headers.insert(X_XSS_PROTECTION, value);
    }
    let is_long = body.len() >= COMPRESSED_FROM;
    if let Some(encoding) = encoding::preferred(asked, &[Encoding::Gzip]).filter(|_| is_long) {
        body = encoding.encode(&body).into();
        headers.insert(CONTENT_ENCODING, encoding.header());
    }
    headers.insert(CONTENT_LENGTH, body.len().into());
    *response.body_mut() = Body::from(body);
    response
}

/// Internet Explorer's filter takes what was posted and comes back for an attack.
fn no_filter(asked: &HeaderMap) -> Option<HeaderValue> {
    let browser = asked.get(USER_AGENT)?.to_str().ok()?;
    (browser.contains(";MSIE") || browser.contains("Trident/"))
        .then_some(HeaderValue::from_static("0"))
}

/// Counts packets that leave the queue with an answer.
fn count(connection: &Connection, packets: &[Packet]) {
    let is_message = |packet: &&Packet| packet.is_binary() || matches!(packet, Packet::Message(_));
    connection
        .flow
        .taken(packets.iter().filter(is_message).count());
    connection.flow.sent(packets.iter().map(size).sum());
}

/// Ends the poll when it is dropped, with the request.
struct PollTurn(Arc<Connection>);

impl Drop for PollTurn {
    fn drop(&mut self) {
        self.0.state.lock().end_poll();
    }
}

/// Ends the taking when it is dropped, with the request.
struct PostTurn(Arc<Connection>);

impl Drop for PostTurn {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.end_post();
        // It was kept from answering pings.
        state.is_held_back(Instant::now());
    }
}
