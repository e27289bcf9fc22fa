//! What a replica needs to be one of several: its place in the directory, its listener for the others,
//! and who passes requests on.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use tokio::net::TcpListener;

use crate::{
    cluster::{directory::Directory, members::Members},
    redis::Redis,
    settings::{Settings, Switch},
    transport::{
        forward::{Forward, Secret},
        listener,
    },
};

/// This replica among the others.
pub(super) struct Cluster {
    pub members: Arc<Members>,
    pub forward: Arc<Forward>,
    pub secret: Secret,
    pub listener: TcpListener,
    pub address: SocketAddr,
}

impl Cluster {
    /// Binds the listener for other replicas; `None` where the settings want none. Needs no Redis yet.
    pub(super) fn start(settings: &Settings, redis: Redis) -> anyhow::Result<Option<Self>> {
        let Some(address) = settings.cluster.cluster_listen else {
            return Ok(None);
        };
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
        let members = Members::new(Directory::new(redis), reached_at, settings.replica())
            .context("the system has no randomness for a replica's id")?;
        let secret = Secret::of(
            settings
                .cluster
                .cluster_secret
                .as_ref()
                .map(|secret| &*secret.0),
        );
        let forward = Forward::new(
            members.clone(),
            secret.clone(),
            settings.cluster.affinity_cookie == Switch::On,
        );
        Ok(Some(Self {
            members,
            forward: Arc::new(forward),
            secret,
            listener,
            address,
        }))
    }
}
