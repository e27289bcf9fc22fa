//! What a replica needs to be one of several: its place in the directory, its listener for the others,
//! and who passes requests on.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use tokio::net::TcpListener;

use crate::{
    cluster::{directory::Directory, replicas::Replicas},
    redis::Redis,
    settings::{Settings, Switch},
    transport::{
        forward::{Forward, Secret},
        listener,
    },
};

/// This replica among the others.
pub(super) struct Cluster {
    pub replicas: Arc<Replicas>,
    /// `None` where the settings want no listener for the others.
    pub inside: Option<Inside>,
}

/// Where other replicas reach the sessions of this one, and who passes on what is theirs.
pub(super) struct Inside {
    pub forward: Arc<Forward>,
    pub secret: Secret,
    pub listener: TcpListener,
    pub address: SocketAddr,
}

impl Cluster {
    /// Binds the listener for other replicas. Needs no Redis yet.
    pub(super) fn start(settings: &Settings, redis: Redis) -> anyhow::Result<Self> {
        let listening = match settings.cluster.cluster_listen {
            Some(address) => Some(listen(settings, &redis, address)?),
            None => None,
        };
        let reached_at = listening.as_ref().map(|(_, _, reached_at)| *reached_at);
        let replicas = Replicas::new(Directory::new(redis), reached_at, settings.replica())
            .context("the system has no randomness for a replica's id")?;
        let secret = settings.cluster.cluster_secret.as_ref();
        let secret = Secret::of(secret.map(|secret| &*secret.0));
        let sets_cookie = settings.cluster.affinity_cookie == Switch::On;
        let inside = listening.map(|(listener, address, _)| Inside {
            forward: Arc::new(Forward::new(replicas.clone(), secret.clone(), sets_cookie)),
            secret,
            listener,
            address,
        });
        Ok(Self { replicas, inside })
    }

    /// What the ids of sessions begin with: nothing where nobody else asks for them.
    pub(super) fn mark(&self) -> &str {
        match self.inside {
            Some(_) => self.replicas.id().as_str(),
            None => "",
        }
    }
}

/// A listener, its address, and where the others reach it.
fn listen(
    settings: &Settings,
    redis: &Redis,
    address: SocketAddr,
) -> anyhow::Result<(TcpListener, SocketAddr, SocketAddr)> {
    let listener = listener::bind(address)
        .with_context(|| format!("cannot listen on {address} for other replicas"))?;
    let address = listener.local_addr()?;
    let reached_at = match settings.cluster.advertise {
        Some(address) => address,
        None if !address.ip().is_unspecified() => address,
        None => {
            let ip = redis.own_address();
            let ip =
                ip.context("cannot tell where other replicas reach this one: set --advertise")?;
            (ip, address.port()).into()
        }
    };
    Ok((listener, address, reached_at))
}

/// The Redis that this replica shares with others, if it is one of several.
pub(super) fn shared_redis(settings: &Settings) -> Option<Redis> {
    let address = settings.redis.address.clone()?;
    tracing::info!(redis = %address, prefix = settings.redis.prefix, "sharing a redis");
    Some(Redis::new(address, &settings.redis.prefix))
}
