//! Starts what works on the neighbours' buses, and stops it.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    chat::{Chat, log::Log},
    neighbour::{
        Site, amqp,
        new_msg::NewMsg,
        pubsub::{self, Channel, MakeWords},
        socketio_redis::{self, SocketIoRedis},
        status::{Status, Watched},
    },
    redis::Redis,
    settings::Settings,
};

/// How long stopping waits until neighbours have been told what they are still to be told. They are told the
/// rest by another replica, or when this one comes back.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// All neighbours of this replica.
pub struct Neighbours {
    stopping: CancellationToken,
    tasks: JoinSet<()>,
    watched: Vec<Watched>,
}

impl Neighbours {
    /// Connects to nothing yet: each does so, and goes on, by itself.
    pub fn start(
        settings: &Settings,
        chat: Arc<Chat>,
        log: Arc<dyn Log>,
        redis: Option<Redis>,
    ) -> anyhow::Result<Self> {
        let site = Site::new(chat, log, redis)?;
        let mut neighbours = Self {
            stopping: CancellationToken::new(),
            tasks: JoinSet::new(),
            watched: Vec::new(),
        };
        if let Some(address) = &settings.neighbours.amqp {
            for bus in &settings.neighbours.amqp_exchanges {
                let neighbour = amqp::Neighbour::new(&site, address.clone(), *bus)?;
                tracing::info!(amqp = %address, exchange = bus.name(), "has a neighbour");
                neighbours.watched.push(neighbour.watch());
                let running = neighbour.run(neighbours.stopping.clone());
                neighbours.tasks.spawn(running);
            }
        }
        neighbours.join_channels(&site, settings);
        Ok(neighbours)
    }

    /// Joins the old servers that meet in Redis.
    fn join_channels(&mut self, site: &Arc<Site>, settings: &Settings) {
        let channels = &settings.redis_neighbours;
        let Some(address) = &channels.address else {
            return;
        };
        let redis = Redis::new(address.clone(), &settings.redis.prefix);
        let mut join = |name: String, words: MakeWords| {
            let status = Arc::new(Status::new(&name));
            self.watched.push(status.watch());
            tracing::info!(neighbour = %name, redis = %address, "joining a channel");
            let channel = Channel {
                site: site.clone(),
                status,
                redis: redis.clone(),
                name,
                stopping: self.stopping.clone(),
            };
            self.tasks.spawn(pubsub::run(channel, words));
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
        if timeout(LAST_WORDS, ended).await.is_err() {
            tracing::warn!("stopping before every neighbour was told everything");
            self.tasks.shutdown().await;
        }
    }
}
