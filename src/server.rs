//! Puts the house together: the only file that names every room of it. Starts in the order in which
//! things need each other, and stops in the other one. `logins` does so for accounts and sessions.

mod logins;

use std::{
    fs::DirBuilder, net::SocketAddr, num::NonZeroU32, os::unix::fs::DirBuilderExt, sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::any,
};
use http::{HeaderValue, Method, header, request::Parts};
use jiff::tz::TimeZone;
use tokio::{sync::watch, task::JoinSet};
use tower_http::cors::{AllowOrigin, CorsLayer};

use self::logins::Logins;
use crate::{
    account::tokens::{self, Tokens},
    chat::{
        self, Chat,
        log::{Log, Tail},
        peer::Goodbye,
    },
    cluster,
    dialect::{
        Fleeting,
        amqpchat::AmqpChat,
        by_session::BySession,
        infinite::Infinite,
        kschat::Kschat,
        native::{self, Native},
        rabbitpubsub::RabbitPubSub,
        talk::Talk,
    },
    log::{embedded::EmbeddedLog, redis::RedisLog},
    redis::Redis,
    settings::{self, Origin, Settings, Switch},
    transport::{
        legacy::{self, Legacy},
        listener::{self, Connections},
        origin::Allowed,
        proxy,
        socketio::{self, SocketIo, Timing},
        web::{self, Web},
        websocket::{self, WebSocket},
    },
};

/// How long a Socket.IO client may take to join a namespace after its handshake; Node's default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);

/// Largest body of a polling request, which may hold several messages; Node's default. Clients before
/// 4.x send all they have at once.
const MAX_PAYLOAD: usize = 1_000_000;

/// How long a drain waits until what is still to be told has been written: goodbyes, answers to polls.
/// Whoever does not read them by then has to do without.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a browser may remember what a preflight answered.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);

/// A running server.
pub struct Server {
    addresses: Vec<SocketAddr>,
    chat: Arc<Chat>,
    logins: Logins,
    socketio: Arc<SocketIo>,
    legacy: Arc<Legacy>,
    websocket: Arc<WebSocket>,
    stop: watch::Sender<bool>,
    connections: Connections,
    /// Listeners, delivery, presence.
    tasks: JoinSet<()>,
    delivery: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Opens the log, binds every address, opens the accounts, and serves.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let replica: Arc<str> = settings.replica().into();
        let redis = shared_redis(&settings);
        let (log, tail) = open_log(&settings, redis.as_ref())?;
        let listeners = (settings.listen.iter())
            .map(|address| {
                listener::bind(*address).with_context(|| format!("cannot listen on {address}"))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let addresses = listeners
            .iter()
            .map(|listener| Ok(listener.local_addr()?))
            .collect::<anyhow::Result<_>>()?;
        let logins = Logins::open(&settings).await?;
        let limits = chat::Limits {
            text: text_limit(settings.max_message),
            history: settings.history.into(),
            pending: settings.direct.max_pending.get(),
        };
        let chat = Chat::new(log, replica, limits);

        let limits = socketio::Limits {
            message: settings.max_message as usize,
            payload: MAX_PAYLOAD.max(settings.max_message as usize),
            backlog: settings.max_backlog as usize,
            backlog_packets: settings.max_backlog_packets.get(),
            sessions: settings.max_connections.get(),
            stall: settings.stall_timeout,
            event_rate: NonZeroU32::new(settings.event_rate),
            flood: settings.flood_timeout,
        };
        let cors_origin = settings.cors_origin.clone();
        let allowed: Allowed = Arc::new(move |origin| is_allowed(&cors_origin, origin.as_bytes()));
        let socketio = Arc::new(SocketIo::new(
            limits,
            Timing {
                ping_interval: settings.ping_interval,
                ping_timeout: settings.ping_timeout,
                connect_timeout: CONNECT_TIMEOUT,
            },
            allowed.clone(),
        ));
        let legacy = Arc::new(Legacy::new(
            limits,
            legacy::Times {
                heartbeat_timeout: settings.legacy.heartbeat_timeout,
                heartbeat_interval: settings.legacy.heartbeat_interval,
                close_timeout: settings.legacy.close_timeout,
                polling_duration: settings.legacy.polling_duration,
                ..Default::default()
            },
            &legacy::Transport::ALL,
            allowed.clone(),
        ));
        let zone = settings.time_zone.clone().unwrap_or_else(TimeZone::system);
        let websocket = Arc::new(WebSocket::new(
            limits,
            websocket::Timing {
                ping_interval: settings.ping_interval,
                ping_timeout: settings.ping_timeout,
            },
            allowed.clone(),
            Arc::new(Infinite::new(chat.clone(), zone)),
        ));
        let here: Arc<dyn Fleeting> =
            Arc::new(vec![socketio.fleeting("/chat"), legacy.fleeting("/chat")]);
        let mut tasks = JoinSet::new();
        let fleeting: Arc<dyn Fleeting> = match redis {
            Some(redis) => {
                let (everywhere, carrier) = cluster::fleeting::everywhere(redis, here.clone())?;
                tasks.spawn(carrier.run());
                Arc::new(everywhere)
            }
            None => here.clone(),
        };
        let talk = Arc::new(Talk::new(chat.clone()));
        let tokens = token_rules(&settings.tokens).map(Tokens::new);
        let native = Arc::new(Native::new(chat.clone(), fleeting, tokens.clone()));
        socketio.mount("/", talk.clone());
        socketio.mount("/chat", native.clone());
        let kschat = Kschat::new(chat.clone(), tokens.clone());
        socketio.mount("/kschat", Arc::new(kschat));
        let by_session = BySession::new(
            chat.clone(),
            logins.sessions.clone(),
            vec![Arc::new(RabbitPubSub), Arc::new(AmqpChat)],
            talk,
            legacy.fleeting("/"),
        );
        legacy.mount("/", Arc::new(by_session));
        legacy.mount("/chat", native);

        let (stop, stopped) = watch::channel(false);
        let connections = Connections::new(
            settings.max_connections.get(),
            settings.stall_timeout,
            stopped,
        );
        let forms = logins.router(&settings, allowed)?;
        let forms = forms.merge(logins::page_for_two(&settings, tokens.as_ref())?);
        let router = router(
            &settings,
            forms,
            socketio.clone(),
            legacy.clone(),
            websocket.clone(),
        );
        for listener in listeners {
            tasks.spawn(listener::serve(
                listener,
                router.clone(),
                connections.clone(),
            ));
        }
        tasks.spawn(legacy.clone().keep_time());
        tasks.spawn(logins.sessions.clone().keep_time());
        tasks.spawn(native::tell_presence(chat.clone(), here));
        if let Some(tokens) = tokens {
            tasks.spawn(tokens.keep());
        }
        let delivery = tokio::spawn(chat.clone().run(tail));
        Ok(Self {
            addresses,
            chat,
            logins,
            socketio,
            legacy,
            websocket,
            stop,
            connections,
            tasks,
            delivery,
        })
    }

    /// Where it listens, in the order of the settings, with real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The Socket.IO transport, for what it knows of its connections.
    pub fn socketio(&self) -> &SocketIo {
        &self.socketio
    }

    /// The transport for 0.9 clients, for what it knows of its connections.
    pub fn legacy(&self) -> &Legacy {
        &self.legacy
    }

    /// The transport for bare WebSockets, for what it knows of its connections.
    pub fn websocket(&self) -> &WebSocket {
        &self.websocket
    }

    /// Stops accepting, sends clients away, keeps what was accepted, closes the log.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        tokio::join!(
            self.socketio.drain(),
            self.legacy.drain(),
            self.websocket.drain()
        );
        self.chat.close().await;
        // The tail ends with the log: whoever still reads has been told everything.
        let _ = self.delivery.await;
        let _ = tokio::time::timeout(LAST_WORDS, self.connections.ended()).await;
        self.tasks.shutdown().await;
        self.logins.close().await;
        for why in Goodbye::ALL {
            let sessions = self.socketio.sessions().ended(why)
                + self.legacy.sessions().ended(why)
                + self.websocket.peers().ended(why);
            if sessions > 0 {
                tracing::info!(
                    sessions,
                    reason = why.code(),
                    "sessions that this server ended"
                );
            }
        }
        tracing::info!("everything accepted is kept");
    }
}

/// The Redis that this replica shares with others, if it is one of several.
fn shared_redis(settings: &Settings) -> Option<Redis> {
    let address = settings.redis.address.clone()?;
    tracing::info!(redis = %address, prefix = settings.redis.prefix, "sharing a redis");
    Some(Redis::new(address, &settings.redis.prefix))
}

/// The log of all replicas, or of this one where there are no others.
fn open_log(settings: &Settings, redis: Option<&Redis>) -> anyhow::Result<(Arc<dyn Log>, Tail)> {
    Ok(match redis {
        Some(redis) => {
            // Logins are kept there all the same.
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&settings.data)
                .with_context(|| {
                    format!("cannot use data directory {}", settings.data.display())
                })?;
            let (log, tail) = RedisLog::open(redis.clone(), settings.retain)?;
            (Arc::new(log), tail)
        }
        None => {
            let (log, tail) = EmbeddedLog::open(&settings.data, settings.retain)?;
            (Arc::new(log), tail)
        }
    })
}

/// What may be said, in bytes: a message also holds its event's name, room and key.
fn text_limit(max_message: u32) -> usize {
    max_message as usize - 500
}

/// What tokens are held to; `None` where none is taken.
fn token_rules(settings: &settings::Tokens) -> Option<tokens::Rules> {
    settings.are_accepted().then(|| tokens::Rules {
        secrets: settings
            .secrets
            .iter()
            .map(|secret| secret.0.clone())
            .collect(),
        jwks: settings.jwks.clone(),
        issuer: settings.issuer.clone(),
        audience: settings.audience.clone(),
        user: settings.user.clone(),
        name: settings.name.clone(),
        check_not_before: settings.check_not_before == Switch::On,
        grace: settings.grace,
    })
}

fn router(
    settings: &Settings,
    forms: Router,
    socketio: Arc<SocketIo>,
    legacy: Arc<Legacy>,
    websocket: Arc<WebSocket>,
) -> Router {
    let engine = any(move |request: Request| {
        let socketio = socketio.clone();
        async move { socketio.answer(request).await }
    });
    let legacy = any(move |request: Request| {
        let legacy = legacy.clone();
        async move { legacy.answer(request).await }
    });
    let web = web::router(Web {
        public: settings.public.clone(),
        client: settings.client,
        catch_up: settings.catch_up == Switch::On,
    });
    let mut router = Router::new()
        .route("/socket.io", engine.clone())
        .route("/socket.io/", engine)
        .merge(forms)
        .merge(web.layer(middleware::from_fn_with_state(websocket, or_websocket)));
    if !settings.cors_origin.is_empty() {
        router = router.layer(cors(settings.cors_origin.clone()));
    }
    // Has ways of its own with other origins, older than preflights.
    router = router.route("/socket.io/{*rest}", legacy);
    if !settings.trusted_proxy.is_empty() {
        let trusted: Arc<[_]> = settings.trusted_proxy.clone().into();
        router = router.layer(middleware::from_fn_with_state(trusted, proxy::see_through));
    }
    router
}

/// Has whoever asks for a WebSocket where a page would be, or nothing, speak without Socket.IO.
async fn or_websocket(
    State(websocket): State<Arc<WebSocket>>,
    request: Request,
    page: Next,
) -> Response {
    if WebSocket::is_asked_for(&request) && !request.uri().path().starts_with("/socket.io/") {
        websocket.answer(request)
    } else {
        page.run(request).await
    }
}

/// Lets pages of these origins connect with credentials. On refusals too: a browser would hide them.
fn cors(origins: Vec<Origin>) -> CorsLayer {
    let allowed = move |origin: &HeaderValue, _: &Parts| is_allowed(&origins, origin.as_bytes());
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION])
        .max_age(PREFLIGHT_AGE)
}

fn is_allowed(origins: &[Origin], origin: &[u8]) -> bool {
    origins.iter().any(|allowed| match allowed {
        Origin::Any => true,
        Origin::Exactly(allowed) => origin.eq_ignore_ascii_case(allowed.as_bytes()),
    })
}
