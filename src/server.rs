//! Puts the house together: the only file that names every room of it. Starts in the order in which
//! things need each other, and stops in the other one.

mod cluster;
mod ready;

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, extract::Request, routing::any};
use http::{HeaderValue, Method, header, request::Parts};
use tokio::{sync::watch, task::JoinSet};
use tower_http::cors::{AllowOrigin, CorsLayer};

use self::{cluster::Cluster, ready::Readiness};
use crate::{
    chat::{
        self, Chat,
        log::{Log, Tail},
        peer::Goodbye,
    },
    cluster::{fleeting, members::Members},
    dialect::{
        Fleeting,
        native::{self, Native},
        talk::Talk,
    },
    log::{embedded::EmbeddedLog, redis::RedisLog},
    redis::Redis,
    settings::{Origin, Settings, Switch},
    transport::{
        forward::{self, Forward, Secret},
        legacy::{self, Legacy},
        listener::{self, Connections},
        origin::Allowed,
        socketio::{self, SocketIo, Timing},
        web::{self, Web},
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
    cluster_address: Option<SocketAddr>,
    members: Option<Arc<Members>>,
    forward: Option<Arc<Forward>>,
    readiness: Readiness,
    drain: Drain,
    chat: Arc<Chat>,
    socketio: Arc<SocketIo>,
    legacy: Arc<Legacy>,
    stop: watch::Sender<bool>,
    connections: Connections,
    /// Listeners, delivery, presence.
    tasks: JoinSet<()>,
    delivery: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Opens the log, binds every address, and serves. Must be called on a tokio runtime.
    pub fn start(settings: Settings) -> anyhow::Result<Self> {
        let replica: Arc<str> = settings.replica().into();
        let redis = shared_redis(&settings);
        let (log, tail) = open_log(&settings, redis.as_ref())?;
        let limits = chat::Limits {
            text: text_limit(settings.max_message),
            history: settings.history.into(),
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
        let cluster = match &redis {
            Some(redis) => Cluster::start(&settings, redis.clone())?,
            None => None,
        };
        let members = cluster.as_ref().map(|cluster| cluster.members.clone());
        let member = members.as_ref().map_or("", |members| members.id().as_str());

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
            member,
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
            allowed,
            member,
        ));
        let here: Arc<dyn Fleeting> =
            Arc::new(vec![socketio.fleeting("/chat"), legacy.fleeting("/chat")]);
        let mut tasks = JoinSet::new();
        let fleeting: Arc<dyn Fleeting> = match redis {
            Some(redis) => {
                let (everywhere, carrier) = fleeting::everywhere(redis, here.clone())?;
                tasks.spawn(carrier.run());
                Arc::new(everywhere)
            }
            None => here.clone(),
        };
        let talk = Arc::new(Talk::new(chat.clone()));
        let native = Arc::new(Native::new(chat.clone(), fleeting));
        socketio.mount("/", talk.clone());
        socketio.mount("/chat", native.clone());
        legacy.mount("/", talk);
        legacy.mount("/chat", native);

        let listeners = (settings.listen.iter())
            .map(|address| {
                listener::bind(*address).with_context(|| format!("cannot listen on {address}"))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let addresses = listeners
            .iter()
            .map(|listener| Ok(listener.local_addr()?))
            .collect::<anyhow::Result<_>>()?;

        let (stop, stopped) = watch::channel(false);
        let connections = Connections::new(
            settings.max_connections.get(),
            settings.stall_timeout,
            stopped,
        );
        let mut tasks = JoinSet::new();
        let mut cluster_address = None;
        let mut forward = None;
        if let Some(cluster) = cluster {
            tasks.spawn(listener::serve(
                cluster.listener,
                cluster_router(socketio.clone(), legacy.clone(), cluster.secret),
                connections.clone(),
            ));
            let (socketio, legacy) = (socketio.clone(), legacy.clone());
            let count = move || socketio.sessions().count() + legacy.sessions().count();
            tasks.spawn(cluster.members.keep(count));
            cluster_address = Some(cluster.address);
            forward = Some(cluster.forward);
        }
        let readiness = Readiness::new(members.clone());
        let drain = Drain {
            delay: settings.drain_delay,
            // The other half is for what is still to be written.
            spread: settings.drain_timeout.saturating_sub(settings.drain_delay) / 2,
        };
        let router = router(&settings, socketio.clone(), legacy.clone(), forward.clone())
            .merge(readiness.clone().router());
        for listener in listeners {
            tasks.spawn(listener::serve(
                listener,
                router.clone(),
                connections.clone(),
            ));
        }
        tasks.spawn(legacy.clone().keep_time());
        tasks.spawn(native::tell_presence(chat.clone(), here));
        let delivery = tokio::spawn(chat.clone().run(tail));
        Ok(Self {
            addresses,
            cluster_address,
            members,
            forward,
            readiness,
            drain,
            chat,
            socketio,
            legacy,
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

    /// Where it listens for other replicas.
    pub fn cluster_address(&self) -> Option<SocketAddr> {
        self.cluster_address
    }

    /// The Socket.IO transport, for what it knows of its connections.
    pub fn socketio(&self) -> &SocketIo {
        &self.socketio
    }

    /// The transport for 0.9 clients, for what it knows of its connections.
    pub fn legacy(&self) -> &Legacy {
        &self.legacy
    }

    /// Says that it is not ready any more, sends clients away, stops accepting, keeps what was accepted,
    /// closes the log.
    pub async fn stop(mut self) {
        self.readiness.drain();
        if let Some(forward) = &self.forward {
            forward.drain();
        }
        tokio::time::sleep(self.drain.delay).await;
        // Others take the clients in, if there are any.
        if self
            .members
            .as_ref()
            .is_some_and(|members| members.count() > 1)
        {
            let over = self.drain.spread;
            tokio::join!(self.socketio.thin_out(over), self.legacy.thin_out(over));
        }
        self.stop.send_replace(true);
        tokio::join!(self.socketio.drain(), self.legacy.drain());
        if let Some(members) = &self.members {
            members.leave().await;
        }
        self.chat.close().await;
        // The tail ends with the log: whoever still reads has been told everything.
        let _ = self.delivery.await;
        let _ = tokio::time::timeout(LAST_WORDS, self.connections.ended()).await;
        self.tasks.shutdown().await;
        for why in Goodbye::ALL {
            let sessions = self.socketio.sessions().ended(why) + self.legacy.sessions().ended(why);
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

/// The times of a stop.
#[derive(Clone, Copy)]
struct Drain {
    /// Between saying that it is not ready and sending clients away.
    delay: Duration,
    /// How long the clients of one of several replicas are sent away one after the other.
    spread: Duration,
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

/// All that is served to clients. Sessions that live on another replica are passed on.
fn router(
    settings: &Settings,
    socketio: Arc<SocketIo>,
    legacy: Arc<Legacy>,
    forward: Option<Arc<Forward>>,
) -> Router {
    let mut router = engine_routes(socketio, forward.clone()).merge(web::router(Web {
        public: settings.public.clone(),
        client: settings.client,
        catch_up: settings.catch_up == Switch::On,
    }));
    if !settings.cors_origin.is_empty() {
        router = router.layer(cors(settings.cors_origin.clone()));
    }
    // Has ways of its own with other origins, older than preflights.
    router.merge(legacy_routes(legacy, forward))
}

/// The sessions of this replica, for the others.
fn cluster_router(socketio: Arc<SocketIo>, legacy: Arc<Legacy>, secret: Secret) -> Router {
    let sessions = engine_routes(socketio, None).merge(legacy_routes(legacy, None));
    forward::guarded(sessions, secret)
}

fn engine_routes(socketio: Arc<SocketIo>, forward: Option<Arc<Forward>>) -> Router {
    let engine = any(move |request: Request| {
        let (socketio, forward) = (socketio.clone(), forward.clone());
        async move {
            let Some(forward) = forward else {
                return socketio.answer(request).await;
            };
            let session = SocketIo::session_of(&request).map(str::to_owned);
            let here = async |request| socketio.answer(request).await;
            forward.answer(session.as_deref(), request, here).await
        }
    });
    Router::new()
        .route("/socket.io", engine.clone())
        .route("/socket.io/", engine)
}

fn legacy_routes(legacy: Arc<Legacy>, forward: Option<Arc<Forward>>) -> Router {
    let legacy = any(move |request: Request| {
        let (legacy, forward) = (legacy.clone(), forward.clone());
        async move {
            let Some(forward) = forward else {
                return legacy.answer(request).await;
            };
            let session = Legacy::session_of(&request).map(str::to_owned);
            let here = async |request| legacy.answer(request).await;
            forward.answer(session.as_deref(), request, here).await
        }
    });
    Router::new().route("/socket.io/{*rest}", legacy)
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
