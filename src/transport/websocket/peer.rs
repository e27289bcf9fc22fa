//! One client on a bare WebSocket. There are no event names here: what the chat sends goes out as its
//! payload alone, and what the client says is the event [`SAID`].

use std::{
    borrow::Cow,
    collections::VecDeque,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::value::RawValue;

use super::peers::Peers;
use crate::{
    chat::socket::{Backlog, CloseReason, Socket, SocketId, Unanswered},
    connection::{
        asks::{self, Answered},
        closing::close_status,
        exchange::{Frames, Next},
        flow::{Flow, Unheard},
        inbox::{self, Host, Inbox, Item},
        text,
    },
    dialects::{Dialect, Event, Held},
    log_limit::log_limited,
};

/// The event that every text of a client is.
const SAID: &str = "message";

/// A client on its connection.
pub(super) struct Peer {
    id: SocketId,
    remote: IpAddr,
    dialect: Arc<dyn Dialect>,
    peers: Arc<Peers>,
    pub flow: Flow,
    inbox: Inbox,
    outbox: Mutex<Outbox>,
    end: OnceLock<Closing>,
    cut: AtomicBool,
}

/// What the client is still to be told.
#[derive(Default)]
struct Outbox {
    texts: VecDeque<Box<str>>,
    /// Nothing is added any more.
    closed: bool,
}

/// Why the server ends the connection, and how its close frame says so.
pub(super) struct Closing {
    pub why: CloseReason,
    pub status: u16,
    pub words: &'static str,
}

impl From<CloseReason> for Closing {
    fn from(why: CloseReason) -> Self {
        Self {
            why,
            status: close_status(why),
            words: why.message(),
        }
    }
}

impl Peer {
    pub(super) fn new(dialect: Arc<dyn Dialect>, remote: IpAddr, peers: Arc<Peers>) -> Arc<Self> {
        Arc::new(Self {
            id: SocketId::next(),
            remote,
            dialect,
            flow: Flow::new(peers.shared.clone()),
            peers,
            inbox: Inbox::default(),
            outbox: Mutex::default(),
            end: OnceLock::new(),
            cut: AtomicBool::new(false),
        })
    }

    /// Its connection stands.
    pub(super) fn arrive(self: &Arc<Self>) {
        self.peers.add(self.clone());
    }

    /// Its connection is over.
    pub(super) fn depart(self: &Arc<Self>) {
        *self.outbox.lock() = Outbox {
            closed: true,
            ..Outbox::default()
        };
        self.flow.look_again();
        inbox::push(self, Item::Close);
        self.peers.remove(self);
    }

    /// A text that is no JSON has no argument.
    pub(super) fn hear(self: &Arc<Self>, said: &str) {
        let json = match text::mend(said) {
            Cow::Borrowed(json) => serde_json::from_str(json),
            Cow::Owned(json) => RawValue::from_string(json),
        };
        let event = Event {
            name: SAID.into(),
            args: json.into_iter().collect(),
            attachments: Vec::new(),
            ack: None,
            held: Held::new(Unheard::new(self.clone(), said.len())),
        };
        inbox::push(self, Item::Hear(event));
    }

    fn queue(&self, text: &str) {
        // Counted first: it may be taken at once.
        let fits = self.flow.queued(text.len());
        let waiting = {
            let mut outbox = self.outbox.lock();
            if outbox.closed {
                return;
            }
            outbox.texts.push_back(text.into());
            outbox.texts.len()
        };
        if !fits || waiting > self.flow.limits().backlog_packets {
            return self.close(CloseReason::SlowPeer);
        }
        self.flow.wake();
    }

    /// Ends the connection, once: the first reason counts.
    pub(super) fn end(&self, closing: impl Into<Closing>) {
        let closing = closing.into();
        let (why, words) = (closing.why, closing.words);
        if self.end.set(closing).is_err() {
            return;
        }
        self.peers.shared.count_ended(why);
        if why.is_ordinary() {
            tracing::debug!(peer = %self.id, remote = %self.remote, reason = why.code(), "ending a WebSocket");
        } else {
            log_limited!(warn, of why.code(), peer = %self.id, remote = %self.remote, reason = why.code(), "ending a WebSocket: {words}");
        }
        let close_reason = self.dialect.close_notice(why).filter(|_| !why.is_abrupt());
        {
            let mut outbox = self.outbox.lock();
            if why.is_abrupt() {
                outbox.texts = VecDeque::new();
            }
            (outbox.texts)
                .extend(close_reason.map(|close_reason| close_reason.payload.get().into()));
            outbox.closed = true;
        }
        self.flow.look_again();
        self.flow.wake();
    }

    fn is_open(&self) -> bool {
        !self.outbox.lock().closed
    }

    /// Ends its connection without another word.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.flow.wake();
    }

    /// Nothing more is to be said to it.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire) || self.end.get().is_some_and(|end| end.why.is_abrupt())
    }

    /// Why the server ends its connection, if it does.
    pub(super) fn closing(&self) -> Option<&Closing> {
        self.end.get()
    }

    /// What it is to be told next; `None` where that is a close frame.
    pub(super) fn take(&self, out: &mut Frames) -> Option<Next> {
        let mut outbox = self.outbox.lock();
        match outbox.texts.pop_front() {
            Some(text) => {
                out.text(text.len(), &[&text]);
                Some(Next::Appended)
            }
            None if outbox.closed => None,
            None => {
                // Gives the memory back.
                outbox.texts = VecDeque::new();
                Some(Next::Wait)
            }
        }
    }
}

impl AsRef<Flow> for Peer {
    fn as_ref(&self) -> &Flow {
        &self.flow
    }
}

impl Host for Peer {
    fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    fn is_cut_off(&self) -> bool {
        self.end.get().is_some_and(|end| !end.why.reconnect())
    }
}

#[async_trait]
impl Socket for Peer {
    fn id(&self) -> SocketId {
        self.id
    }

    fn remote(&self) -> IpAddr {
        self.remote
    }

    fn emit(&self, _: &str, payload: &RawValue) {
        self.queue(payload.get());
    }

    fn ask(&self, event: &str, payload: &RawValue, answered: Answered) {
        self.emit(event, payload);
        asks::give_up(answered, Unanswered::Mute);
    }

    /// Volatile events have names, which nothing here could tell.
    fn join(&self, _: &str) {}

    fn leave(&self, _: &str) {}

    fn backlog(&self) -> Option<Backlog> {
        self.is_open().then(|| self.flow.backlog())
    }

    async fn drained(&self) {
        self.flow.drained(|| self.is_open()).await;
    }

    async fn emptied(&self) {
        self.flow.emptied(|| self.is_open()).await;
    }

    fn close(&self, why: CloseReason) {
        self.end(why);
    }
}
