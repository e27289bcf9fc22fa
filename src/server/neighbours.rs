//! Starts what works on the neighbours' buses, and stops it.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    neighbour::{Site, status::Watched},
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
    pub fn start(_site: &Arc<Site>, _settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            stopping: CancellationToken::new(),
            tasks: JoinSet::new(),
            watched: Vec::new(),
        })
    }

    /// How they are.
    pub fn watched(&self) -> &[Watched] {
        &self.watched
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
