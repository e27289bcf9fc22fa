//! Settings of several replicas behind one balancer.

use std::net::SocketAddr;

use clap::Args;

use super::{
    Switch,
    unshown::{self, Unshown},
};

/// How replicas reach each other.
#[derive(Clone, Debug, Args)]
pub struct Cluster {
    /// Address to listen on for other replicas, IP:PORT; port 0 takes a free one. Needs --redis
    /// [default: none; requests for sessions of other replicas are refused]
    #[arg(long, value_name = "ADDR", env = "HANDSHAKEN_CLUSTER_LISTEN")]
    pub cluster_listen: Option<SocketAddr>,

    /// Where the other replicas reach --cluster-listen, IP:PORT [default: the address it listens on;
    /// where that is 0.0.0.0 or [::], the one that this machine has on the way to Redis]
    #[arg(long, value_name = "ADDR", env = "HANDSHAKEN_ADVERTISE")]
    pub advertise: Option<SocketAddr>,

    /// What replicas prove to each other that they belong together, 16 to 200 visible ASCII
    /// characters; needed unless --cluster-listen is a loopback address [default: none]
    #[arg(long, value_name = "TEXT", env = "HANDSHAKEN_CLUSTER_SECRET", hide_env_values = true, value_parser = unshown::secret)]
    pub cluster_secret: Option<Unshown<String>>,

    /// Whether answers to handshakes carry a cookie, handshaken-replica, that names the replica, for
    /// balancers that can send a client to the same one again
    #[arg(
        long,
        value_name = "SWITCH",
        env = "HANDSHAKEN_AFFINITY_COOKIE",
        default_value = "on"
    )]
    pub affinity_cookie: Switch,
}

impl Cluster {
    pub(super) fn check_together(&self, has_redis: bool, mistakes: &mut Vec<String>) {
        if let Some(Unshown(secret)) = &self.cluster_secret
            && !((16..=200).contains(&secret.len())
                && secret.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            mistakes.push("--cluster-secret: not 16 to 200 visible ASCII characters".into());
        }
        let Some(listen) = self.cluster_listen else {
            if self.advertise.is_some() {
                mistakes.push("--advertise: there is no --cluster-listen to advertise".into());
            }
            return;
        };
        if !has_redis {
            mistakes.push(format!(
                "--cluster-listen {listen}: replicas find each other in Redis; set --redis too"
            ));
        }
        if !listen.ip().is_loopback() && self.cluster_secret.is_none() {
            mistakes.push(format!(
                "--cluster-listen {listen}: others can reach it; set --cluster-secret, the same on every replica"
            ));
        }
    }
}
