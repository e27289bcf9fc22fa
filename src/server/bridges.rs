//! Starts what works on the bridges' buses, and stops it.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    bridges::{
        BridgeContext, amqp,
        new_msg::NewMsg,
        pubsub::{self, Channel, MakeFormat},
        socketio_redis::{self, SocketIoRedis},
        status::{Status, Watched},
    },
    chat::{Chat, store::Store},
    redis::Redis,
    settings::Settings,
};

/// How long a stop waits for bridges to send what is stored and not sent yet. Another replica sends the
/// rest, or this one after its next start.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// All bridges of this replica.
pub struct Bridges {
    stopping: CancellationToken,
    tasks: JoinSet<()>,
    watched: Vec<Watched>,
}

impl Bridges {
    /// Connects to nothing yet: each does so, and goes on, by itself.
    pub fn start(
        settings: &Settings,
        chat: Arc<Chat>,
        store: Arc<dyn Store>,
        redis: Option<Redis>,
    ) -> anyhow::Result<Self> {
        let context = BridgeContext::new(chat, store, redis)?;
        let mut bridges = Self {
            stopping: CancellationToken::new(),
            tasks: JoinSet::new(),
            watched: Vec::new(),
        };
        if let Some(address) = &settings.bridges.amqp {
            for bus in &settings.bridges.amqp_exchanges {
                let bridge = amqp::Bridge::new(&context, address.clone(), *bus)?;
                tracing::info!(amqp = %address, exchange = bus.name(), "has a bridge");
                bridges.watched.push(bridge.watch());
                let running = bridge.run(bridges.stopping.clone());
                bridges.tasks.spawn(running);
            }
        }
        bridges.join_channels(&context, settings);
        Ok(bridges)
    }

    /// Joins the old servers that meet in Redis.
    fn join_channels(&mut self, context: &Arc<BridgeContext>, settings: &Settings) {
        let channels = &settings.redis_bridges;
        let Some(address) = &channels.address else {
            return;
        };
        let redis = Redis::new(address.clone(), &settings.redis.prefix);
        let mut join = |name: String, format: MakeFormat| {
            let status = Arc::new(Status::new(&name));
            self.watched.push(status.watch());
            tracing::info!(bridge = %name, redis = %address, "joining a channel");
            let channel = Channel {
                context: context.clone(),
                status,
                redis: redis.clone(),
                name,
                stopping: self.stopping.clone(),
            };
            self.tasks.spawn(pubsub::run(channel, format));
        };
        if let Some(name) = &channels.new_msg_channel {
            let zone = settings.time_zone();
            join(
                name.clone(),
                Box::new(move |mark| Box::new(NewMsg::new(zone, mark))),
            );
        }
        if let Some(key) = &channels.socketio_redis_key {
            join(
                socketio_redis::channel(key),
                Box::new(|mark| Box::new(SocketIoRedis::new(mark))),
            );
        }
    }

    /// How they are.
    pub fn watched(&self) -> Arc<[Watched]> {
        self.watched.clone().into()
    }

    /// Lets them tell what was said until now.
    pub async fn stop(&mut self) {
        self.stopping.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(DRAIN_TIMEOUT, ended).await.is_err() {
            tracing::warn!("stopping before every bridge was told everything");
            self.tasks.shutdown().await;
        }
    }
}
