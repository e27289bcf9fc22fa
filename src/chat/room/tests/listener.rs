//! A reader that takes what it is sent when the test says so.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::CLIENT;
use crate::chat::socket::{Answer, Backlog, CloseReason, Socket, SocketId};

/// Takes `takes` messages; what it is sent besides stays queued until it is made to take more.
pub(super) struct Listener {
    id: SocketId,
    /// Seqs, and sizes as they are queued.
    pub sent: Mutex<Vec<(u64, usize)>>,
    pub closed: Mutex<Option<CloseReason>>,
    takes: AtomicUsize,
    took: Notify,
}

impl Listener {
    pub fn that_takes(messages: usize) -> Arc<Self> {
        Arc::new(Self {
            id: SocketId::next(),
            sent: Mutex::default(),
            closed: Mutex::default(),
            takes: AtomicUsize::new(messages),
            took: Notify::new(),
        })
    }

    pub fn new() -> Arc<Self> {
        Self::that_takes(usize::MAX)
    }

    pub fn heard(&self) -> Vec<u64> {
        self.sent.lock().iter().map(|(seq, _)| *seq).collect()
    }

    pub fn take(&self, messages: usize) {
        self.takes.store(messages, Ordering::Relaxed);
        self.took.notify_one();
    }

    pub fn queued(&self) -> usize {
        let taken = self.takes.load(Ordering::Relaxed);
        let sent = self.sent.lock();
        sent.iter().skip(taken).map(|(_, size)| size).sum()
    }
}

#[async_trait]
impl Socket for Listener {
    fn id(&self) -> SocketId {
        self.id
    }

    fn remote(&self) -> IpAddr {
        CLIENT
    }

    fn emit(&self, event: &str, payload: &RawValue) {
        assert_eq!(event, "message");
        let (seq, _): (u64, String) = serde_json::from_str(payload.get()).unwrap();
        self.sent.lock().push((seq, payload.get().len()));
    }

    fn ask(&self, _: &str, _: &RawValue, _: Box<dyn FnOnce(Answer) + Send>) {
        unreachable!("rooms ask nothing")
    }

    fn backlog(&self) -> Option<Backlog> {
        self.closed.lock().is_none().then(|| Backlog {
            bytes: self.queued(),
            is_half_full: false,
        })
    }

    fn join(&self, _: &str) {}

    fn leave(&self, _: &str) {}

    async fn drained(&self) {
        self.emptied().await;
    }

    async fn emptied(&self) {
        while self.queued() > 0 && self.closed.lock().is_none() {
            self.took.notified().await;
        }
    }

    fn close(&self, why: CloseReason) {
        *self.closed.lock() = Some(why);
        self.took.notify_one();
    }
}

/// Lets everything else run until there is nothing to do.
pub(super) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
