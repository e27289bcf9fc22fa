//! The engine: socketioxide as a service that is asked request by request. The requests it sees are
//! written anew here, with nothing in them that it does not need: it keeps them as long as the
//! session lives, and a request of hyper's holds on to the whole buffer it was read into.

use std::{convert::Infallible, future::Ready, pin::Pin, sync::Arc, task::Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Frame;
use socketioxide::{adapter::LocalAdapter, service::SocketIoService};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service;

use super::session::{Protocol, Session};
use crate::{chat::socket::CloseReason, transport::flow::Reader};

/// What the query of a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub protocol: Protocol,
    pub transport: Transport,
    pub sid: Option<Box<str>>,
    /// The client cannot read binary (EIO3).
    pub base64: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    Websocket,
}

impl Query {
    fn uri(&self) -> String {
        let protocol = match self.protocol {
            Protocol::Eio3 => 3,
            Protocol::Eio4 => 4,
        };
        let transport = match self.transport {
            Transport::Polling => "polling",
            Transport::Websocket => "websocket",
        };
        let mut uri = format!("/socket.io/?EIO={protocol}&transport={transport}");
        if let Some(sid) = &self.sid {
            let sid: String = form_urlencoded::byte_serialize(sid.as_bytes()).collect();
            uri.push_str(&format!("&sid={sid}"));
        }
        if self.base64 {
            uri.push_str("&b64=1");
        }
        uri
    }
}

/// A handle on socketioxide.
#[derive(Clone)]
pub(super) struct Engine(pub(super) SocketIoService<Nothing, LocalAdapter>);

impl Engine {
    /// Opens a session, or answers a poll.
    pub(super) async fn get(&self, query: &Query, session: Option<Arc<Session>>) -> Response<Body> {
        self.call(self.request(query, Method::GET, session, Packets::none()))
            .await
    }

    /// Hands packets over as fast as the session takes them.
    pub(super) async fn post(
        &self,
        query: &Query,
        binary: bool,
        packets: Packets,
    ) -> Response<Body> {
        let mut request = self.request(query, Method::POST, None, packets);
        let content_type = if binary {
            "application/octet-stream"
        } else {
            "text/plain;charset=UTF-8"
        };
        request
            .headers_mut()
            .insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
        self.call(request).await
    }

    /// Gives the engine an upgraded connection.
    pub(super) fn upgrade<S>(&self, query: &Query, session: Arc<Session>, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = self.request(query, Method::GET, Some(session), ());
        // The answer is ready, and was foreseen: the query has been checked.
        // Boxed: the engine's task has room for the stream several times over.
        drop(Service::<(Box<S>, Request<()>)>::call(
            &mut self.0.clone(),
            (Box::new(stream), request),
        ));
    }

    /// Ends a polling session, as its client would: with a close packet.
    pub(super) fn close(
        &self,
        protocol: Protocol,
        sid: Box<str>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let engine = self.clone();
        async move {
            let query = Query {
                protocol,
                transport: Transport::Polling,
                sid: Some(sid),
                base64: false,
            };
            let packet = match protocol {
                Protocol::Eio3 => "1:1",
                Protocol::Eio4 => "1",
            };
            engine
                .post(
                    &query,
                    false,
                    Packets::one(Bytes::from_static(packet.as_bytes())),
                )
                .await;
        }
    }

    fn request<B>(
        &self,
        query: &Query,
        method: Method,
        session: Option<Arc<Session>>,
        body: B,
    ) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = query.uri().parse().expect("made of plain parts");
        if let Some(session) = session {
            request.extensions_mut().insert(session);
        }
        request
    }

    async fn call(&self, request: Request<Packets>) -> Response<Body> {
        let Ok(response) = Service::<Request<Packets>>::call(&mut self.0.clone(), request).await;
        response.map(Body::new)
    }
}

/// What the engine answers for paths that are not its own; it is not asked for any.
#[derive(Clone, Debug)]
pub struct Nothing;

impl<B> Service<Request<B>> for Nothing {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        std::future::ready(Ok(response))
    }
}

/// A request's body, given out packet by packet while the session takes more events. One at a time,
/// since the engine asks for more before it looks at what it has.
#[derive(Debug)]
pub(super) struct Packets {
    packets: std::vec::IntoIter<Bytes>,
    session: Option<Pace>,
}

struct Pace(Arc<Session>);

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pace")
    }
}

impl Packets {
    pub(super) fn paced(packets: Vec<Bytes>, session: Arc<Session>) -> Self {
        Self {
            packets: packets.into_iter(),
            session: Some(Pace(session)),
        }
    }

    pub(super) fn none() -> Self {
        Self {
            packets: Vec::new().into_iter(),
            session: None,
        }
    }

    pub(super) fn one(packet: Bytes) -> Self {
        Self {
            packets: vec![packet].into_iter(),
            session: None,
        }
    }
}

impl http_body::Body for Packets {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if let Some(Pace(session)) = &this.session {
            match session.close_reason() {
                // Once it is being ended nothing more can come, and a drain waits for this.
                Some(why) if why.reconnect() => {}
                Some(_) => return Poll::Ready(None),
                None if this.packets.len() == 0 => {}
                None if !session.flow.may_read(Reader::Post, cx.waker()) => return Poll::Pending,
                None if !session.flow.came() => {
                    session.close(CloseReason::Flooding);
                    return Poll::Ready(None);
                }
                None => {}
            }
        }
        Poll::Ready(this.packets.next().map(|packet| Ok(Frame::data(packet))))
    }
}
