//! Who of the 0.9 clients receives which fleeting events. The engine of later clients has rooms of
//! its own for this; `server` has both told.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::value::RawValue;

use super::{packet, peer::Peer, sessions::Sessions};
use crate::{
    chat::peer::{Outlet, PeerId},
    dialect::Fleeting,
};

/// The members of all channels, by namespace and name.
#[derive(Default)]
pub(super) struct Channels(Mutex<HashMap<(&'static str, Box<str>), Members>>);

type Members = HashMap<PeerId, Weak<Peer>>;

impl Channels {
    pub(super) fn join(&self, peer: &Arc<Peer>, channel: &str) {
        let mut joined = peer.channels.lock();
        if joined.iter().any(|known| **known == *channel) {
            return;
        }
        joined.push(channel.into());
        self.0
            .lock()
            .entry((peer.endpoint, channel.into()))
            .or_default()
            .insert(peer.id(), Arc::downgrade(peer));
    }

    pub(super) fn leave(&self, peer: &Peer, channel: &str) {
        peer.channels.lock().retain(|known| **known != *channel);
        self.remove(peer, channel.into());
    }

    /// The peer is gone.
    pub(super) fn forget(&self, peer: &Peer) {
        let joined = std::mem::take(&mut *peer.channels.lock());
        for channel in joined {
            self.remove(peer, channel);
        }
    }

    fn remove(&self, peer: &Peer, channel: Box<str>) {
        let mut channels = self.0.lock();
        let key = (peer.endpoint, channel);
        if let Some(members) = channels.get_mut(&key) {
            members.remove(&peer.id());
            if members.is_empty() {
                channels.remove(&key);
            }
        }
    }

    fn members(&self, endpoint: &'static str, channel: &str) -> Vec<Arc<Peer>> {
        let channels = self.0.lock();
        channels
            .get(&(endpoint, channel.into()))
            .map(|members| members.values().filter_map(Weak::upgrade).collect())
            .unwrap_or_default()
    }
}

/// Fleeting events for the 0.9 clients of a namespace.
pub(super) struct Told {
    pub sessions: Arc<Sessions>,
    pub endpoint: &'static str,
}

#[async_trait]
impl Fleeting for Told {
    async fn tell(&self, channel: &str, event: &str, payload: Box<RawValue>) {
        let members = self.sessions.channels.members(self.endpoint, channel);
        if members.is_empty() {
            return;
        }
        let packet = packet::event(self.endpoint, event, &payload);
        for peer in members {
            peer.send(packet.clone());
        }
    }
}
