//! What is served at which address: to clients, and to other replicas. Sessions that live on another replica are passed
//! on; the transports answer the rest.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    routing::any,
};
use http::{Method, Response};

use crate::{
    settings::{Origin, Settings, Switch},
    socketio::SocketIo,
    transport::{
        cors,
        forward::{self, Forward, Secret},
        gate::{self, Gate},
        legacy::Legacy,
        origin::Allowed,
        proxy,
        web::{self, Web},
        websocket::WebSocket,
    },
};

/// The transports that answer below `/socket.io`, and the one that answers where a WebSocket is asked for
/// anywhere else.
#[derive(Clone)]
pub(super) struct Transports {
    pub socketio: Arc<SocketIo>,
    pub legacy: Arc<Legacy>,
    pub gate: Arc<Gate>,
    pub websocket: Arc<WebSocket>,
}

/// All that is served to clients; `pages` are those that need more than the transports know.
pub(super) fn public(
    settings: &Settings,
    pages: Router,
    transports: &Transports,
    forward: Option<&Arc<Forward>>,
) -> Router {
    let web = web::router(Web {
        public: settings.public.clone(),
        public_max_age: settings.public_max_age,
        client: settings.client,
        catch_up: settings.catch_up == Switch::On,
    });
    let pages = web.merge(pages).layer(middleware::from_fn_with_state(
        transports.clone(),
        or_websocket,
    ));
    let mut router = transports.engine_routes(forward).merge(pages);
    if !settings.cors_origin.is_empty() {
        let allowed = allowed(settings);
        router = router.layer(middleware::from_fn_with_state(allowed, cors::layer));
    }
    // Has ways of its own with other origins, older than preflights.
    router = router.merge(transports.legacy_routes(forward, forward));
    if !settings.trusted_proxy.is_empty() {
        let trusted: Arc<[_]> = settings.trusted_proxy.clone().into();
        router = router.layer(middleware::from_fn_with_state(trusted, proxy::see_through));
    }
    router
}

/// The sessions of this replica, for the others.
pub(super) fn internal(transports: &Transports, secret: Secret, forward: &Arc<Forward>) -> Router {
    // What a replica that goes down is asked for, it passes on.
    let sessions = transports
        .engine_routes(None)
        .merge(transports.legacy_routes(None, Some(forward)));
    forward::guarded(sessions, secret)
}

/// The origins whose pages may read answers and send credentials.
pub(super) fn allowed(settings: &Settings) -> Allowed {
    let origins = settings.cors_origin.clone();
    Arc::new(move |origin| {
        origins.iter().any(|allowed| match allowed {
            Origin::Any => true,
            Origin::Exactly(allowed) => origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()),
        })
    })
}

/// Has whoever asks for a WebSocket where a page would be, or nothing, speak without Socket.IO.
async fn or_websocket(
    State(own): State<Transports>,
    request: Request,
    page: Next,
) -> Response<Body> {
    if WebSocket::is_asked_for(&request) && !request.uri().path().starts_with("/socket.io/") {
        if own.gate.pass().await {
            own.websocket.answer(request)
        } else {
            gate::later()
        }
    } else {
        page.run(request).await
    }
}

impl Transports {
    /// How many clients are connected by any of them.
    pub(super) fn sessions(&self) -> usize {
        self.socketio.connections().count()
            + self.legacy.sessions().count()
            + self.websocket.peers().count()
    }

    fn engine_routes(&self, forward: Option<&Arc<Forward>>) -> Router {
        let (own, forward) = (self.clone(), forward.cloned());
        let engine = any(move |request: Request| {
            let (own, forward) = (own.clone(), forward.clone());
            async move { own.answer_engine(forward.as_deref(), request).await }
        });
        Router::new()
            .route("/socket.io", engine.clone())
            .route("/socket.io/", engine)
    }

    /// `movable` has those answered whose session any replica can take over.
    fn legacy_routes(
        &self,
        forward: Option<&Arc<Forward>>,
        movable: Option<&Arc<Forward>>,
    ) -> Router {
        let (own, forward, movable) = (self.clone(), forward.cloned(), movable.cloned());
        let legacy = any(move |request: Request| {
            let (own, forward, movable) = (own.clone(), forward.clone(), movable.clone());
            async move {
                if SocketIo::is_asked_for(&request) {
                    return own.answer_engine(forward.as_deref(), request).await;
                }
                let session = Legacy::session_of(&request).map(str::to_owned);
                let here = async |request| own.legacy.answer(request).await;
                if let Some((forward, session)) = movable.as_deref().zip(session.as_deref())
                    && Legacy::may_move(&request)
                {
                    let is_here = own.legacy.has(session);
                    return forward
                        .answer_movable(session, is_here, request, here)
                        .await;
                }
                own.answer(forward.as_deref(), session.as_deref(), request, here)
                    .await
            }
        });
        Router::new().route("/socket.io/{*rest}", legacy)
    }

    async fn answer_engine(&self, forward: Option<&Forward>, request: Request) -> Response<Body> {
        let session = SocketIo::sid_of(&request).map(str::to_owned);
        let here = async |request| self.socketio.answer(request).await;
        self.answer(forward, session.as_deref(), request, here)
            .await
    }

    /// Has the replica answer that has the session; where that is this one, `here`. New ones pass the gate.
    async fn answer(
        &self,
        forward: Option<&Forward>,
        session: Option<&str>,
        request: Request,
        here: impl AsyncFnOnce(Request) -> Response<Body>,
    ) -> Response<Body> {
        let begins = session.is_none() && request.method() != Method::OPTIONS;
        let here = async |request| {
            if begins && !self.gate.pass().await {
                return gate::later();
            }
            here(request).await
        };
        match forward {
            Some(forward) => forward.answer(session, request, here).await,
            None => here(request).await,
        }
    }
}
