//! The channels of a Redis on which the servers of an old chat meet: whether it answers, and whether anybody listens there.

use super::{finding::Finding, redis::to_do};
use crate::{redis::Redis, settings::Settings};

const SUBJECT: &str = "channels";

pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let channels = &settings.redis_bridges;
    let Some(address) = channels.address.clone() else {
        return Vec::new();
    };
    let new_msg = channels.new_msg_channel.clone();
    // Where servers with an adapter ask each other; those that only broadcast subscribe by pattern, which nobody can count.
    let requests = channels.socketio_redis_key.as_ref();
    let requests = requests.map(|key| format!("{key}-request#/#"));
    let shown = address.to_string();
    let redis = Redis::new(address, &settings.redis.prefix);
    let mut findings = Vec::new();
    for channel in [new_msg, requests].into_iter().flatten() {
        findings.push(match redis.listeners(&channel).await {
            Ok(0) => Finding::warn(
                SUBJECT,
                format!("nobody listens on {channel} of {shown}: no old server is there"),
                "If one should be: start it, and compare host and name",
            ),
            Ok(1) => Finding::ok(SUBJECT, format!("1 server listens on {channel} of {shown}")),
            Ok(count) => Finding::ok(
                SUBJECT,
                format!("{count} servers listen on {channel} of {shown}"),
            ),
            Err(error) => {
                let to_do = to_do(&error, "--neighbour-redis", "HANDSHAKEN_NEIGHBOUR_REDIS");
                Finding::bad(
                    SUBJECT,
                    format!("{shown} cannot be used for {channel}: {error}"),
                    to_do,
                )
            }
        });
    }
    findings
}
