//! Puts the house together: the only file that names every room of it. Starts in the order in which
//! things need each other, and stops in the other one. `logins` does so for accounts and sessions.

mod bridges;
mod cluster;
mod logins;
mod ready;
mod routes;

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use anyhow::Context;
use futures_util::future::OptionFuture;
use tokio::{sync::watch, task::JoinSet};

pub use self::logins::finish_migration;
use self::{
    bridges::Bridges, cluster::Cluster, logins::Logins, ready::Readiness, routes::Transports,
};
use crate::{
    account::tokens::Tokens,
    chat::{
        self, Chat,
        socket::CloseReason,
        store::{Store, Tail},
    },
    cluster::{presence, replicas::Replicas, volatile},
    dialects::{
        Volatile,
        amqpchat::AmqpChat,
        by_session::{BySession, Strangers},
        infinite::Infinite,
        kschat::Kschat,
        native::{self, Native},
        rabbitpubsub::RabbitPubSub,
        talk::Talk,
    },
    redis::Redis,
    settings::Settings,
    socketio::{self, SocketIo, Timing},
    store::{redis::RedisStore, sqlite::SqliteStore},
    transport::{
        forward::Forward,
        gate::Gate,
        legacy::{self, Legacy},
        listener::{self, Connections},
        websocket::{self, WebSocket},
    },
};

/// How long a Socket.IO client may take to join a namespace after its handshake; Node's default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);

/// Largest body of a polling request, which may hold several messages; Node's default. Clients before
/// 4.x send all they have at once.
const MAX_PAYLOAD: usize = 1_000_000;

/// How long a drain waits until queued packets, close packets and answers to polls are written. What a
/// client has not read by then is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// A running server.
pub struct Server {
    addresses: Vec<SocketAddr>,
    cluster_address: Option<SocketAddr>,
    replicas: Option<Arc<Replicas>>,
    forward: Option<Arc<Forward>>,
    readiness: Readiness,
    drain: Drain,
    chat: Arc<Chat>,
    logins: Logins,
    socketio: Arc<SocketIo>,
    legacy: Arc<Legacy>,
    bridges: Bridges,
    websocket: Arc<WebSocket>,
    gate: Arc<Gate>,
    stop: watch::Sender<bool>,
    connections: Connections,
    /// From other replicas.
    passed_on: Connections,
    /// Listeners, delivery, presence.
    tasks: JoinSet<()>,
    delivery: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Opens the store, binds every address, opens the accounts, and serves.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let replica: Arc<str> = settings.replica().into();
        let redis = cluster::shared_redis(&settings);
        let (store, tail) = open_log(&settings, redis.as_ref())?;
        let listeners = (settings.listen.iter())
            .map(|address| {
                listener::bind(*address).with_context(|| format!("cannot listen on {address}"))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let addresses = listeners
            .iter()
            .map(|listener| Ok(listener.local_addr()?))
            .collect::<anyhow::Result<_>>()?;
        let logins = Logins::open(&settings, redis.as_ref()).await?;
        let limits = chat::Limits {
            text: text_limit(settings.max_message),
            history: settings.history.into(),
            pending: settings.direct.max_pending.get(),
            new_rooms: NonZeroU32::new(settings.new_rooms),
        };
        let chat = Chat::new(store.clone(), replica, limits);

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
            Some(redis) => Some(Cluster::start(&settings, redis.clone())?),
            None => None,
        };
        let replicas = cluster.as_ref().map(|cluster| cluster.replicas.clone());
        let mark = cluster.as_ref().map_or("", Cluster::mark).to_owned();

        let allowed = routes::allowed(&settings);
        let socketio = Arc::new(SocketIo::new(
            limits,
            Timing {
                ping_interval: settings.ping_interval,
                ping_timeout: settings.ping_timeout,
                connect_timeout: CONNECT_TIMEOUT,
            },
            allowed.clone(),
            &mark,
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
            &settings
                .legacy
                .transports(settings.index_template().is_some()),
            allowed.clone(),
            &mark,
            &logins.sessions.keys("places in a room"),
        ));
        let bridges = Bridges::start(&settings, chat.clone(), store, redis.clone())?;
        let websocket = Arc::new(WebSocket::new(
            limits,
            websocket::Timing {
                ping_interval: settings.ping_interval,
                ping_timeout: settings.ping_timeout,
            },
            allowed.clone(),
            Arc::new(Infinite::new(
                chat.clone(),
                settings.time_zone(),
                logins.names.clone(),
            )),
        ));
        let chat_here: Arc<dyn Volatile> =
            Arc::new(vec![socketio.volatile("/chat"), legacy.volatile("/chat")]);
        let here =
            volatile::Namespaces::from([("/", legacy.volatile("/")), ("/chat", chat_here.clone())]);
        let mut tasks = JoinSet::new();
        let volatile = match &redis {
            Some(redis) => {
                let (everywhere, carrier) = volatile::everywhere(redis.clone(), here)?;
                tasks.spawn(carrier.run());
                everywhere
            }
            None => here,
        };
        let talk = Arc::new(Talk::new(chat.clone()));
        let tokens = logins::token_rules(&settings.tokens).map(Tokens::new);
        let native = Arc::new(Native::new(
            chat.clone(),
            volatile["/chat"].clone(),
            tokens.clone(),
            logins.names.clone(),
            limits.event_rate,
        ));
        socketio.mount("/", talk.clone());
        socketio.mount("/chat", native.clone());
        let kschat = Kschat::new(chat.clone(), tokens.clone());
        socketio.mount("/kschat", Arc::new(kschat));
        let by_session = BySession::new(
            chat.clone(),
            logins.sessions.clone(),
            vec![Arc::new(RabbitPubSub), Arc::new(AmqpChat)],
            talk,
            volatile["/"].clone(),
            match settings.index_template() {
                Some(_) => Strangers::Listen,
                None => Strangers::Speak,
            },
        );
        legacy.mount("/", Arc::new(by_session));
        legacy.mount("/chat", native);

        let (stop, stopped) = watch::channel(false);
        let most = settings.max_connections.get();
        let connections = Connections::new(most, settings.stall_timeout, stopped.clone());
        // Of their own: no crowd of clients keeps those out whose sessions are here.
        let passed_on = Connections::new(most, settings.stall_timeout, stopped);
        let transports = Transports {
            socketio: socketio.clone(),
            legacy: legacy.clone(),
            gate: Arc::new(Gate::new(NonZeroU32::new(settings.handshake_rate))),
            websocket: websocket.clone(),
        };
        if let Some((redis, replicas)) = redis.zip(replicas.clone()) {
            let presence = presence::Shared::new(redis, replicas.clone(), chat.presence.clone());
            tasks.spawn(presence.run());
            let counted = transports.clone();
            tasks.spawn(replicas.keep(move || counted.sessions()));
        }
        let mut cluster_address = None;
        let mut forward = None;
        if let Some(inside) = cluster.and_then(|cluster| cluster.inside) {
            tasks.spawn(listener::serve(
                inside.listener,
                routes::internal(&transports, inside.secret, &inside.forward),
                passed_on.clone(),
            ));
            cluster_address = Some(inside.address);
            forward = Some(inside.forward);
        }
        let readiness = Readiness::new(replicas.clone(), bridges.watched());
        let drain = Drain {
            delay: settings.drain_delay,
            // The other half is for what is still to be written.
            spread: settings.drain_timeout.saturating_sub(settings.drain_delay) / 2,
        };
        let pages = logins
            .router(&settings, allowed)?
            .merge(logins::page_for_two(&settings, tokens.as_ref())?)
            .merge(readiness.clone().router());
        let router = routes::public(&settings, pages, &transports, forward.as_ref());
        for listener in listeners {
            tasks.spawn(listener::serve(
                listener,
                router.clone(),
                connections.clone(),
            ));
        }
        tasks.spawn(legacy.clone().keep_time());
        if logins.are_on {
            tasks.spawn(logins.sessions.clone().keep_time());
        }
        tasks.spawn(native::tell_presence(chat.clone(), chat_here));
        if let Some(tokens) = tokens {
            tasks.spawn(tokens.keep());
        }
        let delivery = tokio::spawn(chat.clone().run(tail));
        Ok(Self {
            addresses,
            cluster_address,
            replicas,
            forward,
            readiness,
            drain,
            chat,
            logins,
            socketio,
            legacy,
            bridges,
            websocket,
            gate: transports.gate,
            stop,
            connections,
            passed_on,
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

    /// The transport for bare WebSockets, for what it knows of its connections.
    pub fn websocket(&self) -> &WebSocket {
        &self.websocket
    }

    /// Says that it is not ready any more, lets nobody in, sends clients away and hears what they said before they knew,
    /// stops listening, keeps what was accepted, closes the store.
    pub async fn stop(mut self) {
        self.readiness.drain();
        let forward = self.forward.as_deref();
        if let Some(forward) = forward {
            forward.drain();
        }
        tokio::time::sleep(self.drain.delay).await;
        // Others take the clients in, if there are any.
        if self
            .replicas
            .as_ref()
            .is_some_and(|replicas| replicas.count() > 1)
        {
            let over = self.drain.spread;
            tokio::join!(
                self.socketio.thin_out(over),
                self.legacy.thin_out(over),
                self.websocket.thin_out(over),
                OptionFuture::from(forward.map(|forward| forward.thin_out(over)))
            );
        }
        self.gate.close();
        // What clients that poll still say comes in requests of their own.
        tokio::join!(
            self.socketio.drain(),
            self.legacy.drain(),
            self.websocket.drain(),
            OptionFuture::from(forward.map(|forward| forward.end_tunnels()))
        );
        self.stop.send_replace(true);
        self.bridges.stop().await;
        if let Some(replicas) = &self.replicas {
            replicas.leave().await;
        }
        self.chat.close().await;
        // The tail ends with the store: whoever still reads has been told everything.
        let _ = self.delivery.await;
        let ended = async { tokio::join!(self.connections.ended(), self.passed_on.ended()) };
        let _ = tokio::time::timeout(WRITE_TIMEOUT, ended).await;
        self.tasks.shutdown().await;
        self.logins.close().await;
        for why in CloseReason::ALL {
            let sessions = self.socketio.connections().ended(why)
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

/// The times of a stop.
#[derive(Clone, Copy)]
struct Drain {
    /// Between saying that it is not ready and sending clients away.
    delay: Duration,
    /// How long the clients of one of several replicas are sent away one after the other.
    spread: Duration,
}

/// The store of all replicas, or of this one where there are no others.
fn open_log(settings: &Settings, redis: Option<&Redis>) -> anyhow::Result<(Arc<dyn Store>, Tail)> {
    Ok(match redis {
        Some(redis) => {
            let (store, tail) = RedisStore::open(redis.clone(), settings.retain)?;
            (Arc::new(store), tail)
        }
        None => {
            let (store, tail) = SqliteStore::open(&settings.data, settings.retain)?;
            (Arc::new(store), tail)
        }
    })
}

/// What may be said, in bytes: a message also holds its event's name, room and key.
fn text_limit(max_message: u32) -> usize {
    max_message as usize - 500
}
