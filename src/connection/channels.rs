//! Who receives which volatile events: the members of each channel, among the peers of one transport.
//! `server` has those of all transports told.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::value::RawValue;

use crate::{
    chat::socket::{Socket, SocketId},
    dialects::Volatile,
};

/// A peer that channels can be joined by.
pub(crate) trait Member: Socket {
    fn namespace(&self) -> &'static str;

    /// The channels that it is in.
    fn joined(&self) -> &Mutex<Vec<Box<str>>>;
}

/// The members of all channels, by namespace and name.
pub(crate) struct Channels<P>(Mutex<HashMap<Channel, Members<P>>>);

type Channel = (&'static str, Box<str>);

type Members<P> = HashMap<SocketId, Weak<P>>;

impl<P: Member> Channels<P> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default()))
    }

    pub(crate) fn join(&self, peer: &Arc<P>, channel: &str) {
        let mut joined = peer.joined().lock();
        if joined.iter().any(|known| **known == *channel) {
            return;
        }
        joined.push(channel.into());
        self.0
            .lock()
            .entry((peer.namespace(), channel.into()))
            .or_default()
            .insert(peer.id(), Arc::downgrade(peer));
    }

    pub(crate) fn leave(&self, peer: &P, channel: &str) {
        peer.joined().lock().retain(|known| **known != *channel);
        self.remove(peer, channel.into());
    }

    /// The peer is gone.
    pub(crate) fn forget(&self, peer: &P) {
        let joined = std::mem::take(&mut *peer.joined().lock());
        for channel in joined {
            self.remove(peer, channel);
        }
    }

    fn remove(&self, peer: &P, channel: Box<str>) {
        let mut channels = self.0.lock();
        let key = (peer.namespace(), channel);
        if let Some(members) = channels.get_mut(&key) {
            members.remove(&peer.id());
            if members.is_empty() {
                channels.remove(&key);
            }
        }
    }

    fn members(&self, namespace: &'static str, channel: &str) -> Vec<Arc<P>> {
        let channels = self.0.lock();
        channels
            .get(&(namespace, channel.into()))
            .map(|members| members.values().filter_map(Weak::upgrade).collect())
            .unwrap_or_default()
    }
}

/// Volatile events for the peers of a namespace.
pub(crate) struct Told<P> {
    pub channels: Arc<Channels<P>>,
    pub namespace: &'static str,
}

#[async_trait]
impl<P: Member> Volatile for Told<P> {
    async fn tell(&self, channel: &str, event: &str, payload: Box<RawValue>) {
        for peer in self.channels.members(self.namespace, channel) {
            peer.emit(event, &payload);
        }
    }
}
