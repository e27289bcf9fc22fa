//! One client in one namespace. Its events are taken in the order in which they arrive, into one
//! bounded queue, and a dialect's conversation hears them one after the other. The task that does so
//! lives only while there is something to hear: an idle peer costs none.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use socketioxide::{
    SendError, SocketError,
    adapter::LocalAdapter,
    extract::AckSender,
    handler::{ConnectHandler, FromMessageParts, MessageHandler, Value},
    socket::Socket,
};

use super::{session::Session, text};
use crate::{
    chat::peer::{Goodbye, Outlet, PeerId},
    dialect::{Ack, Conversation, Dialect, Event, Handshake, Held, Refusal},
};

/// What an event costs besides its name and payload: brackets, quotes, comma, packet type.
const EVENT_FRAMING: usize = 8;

/// A client in a namespace.
pub(super) struct Peer {
    id: PeerId,
    namespace: &'static str,
    socket: Weak<Socket<LocalAdapter>>,
    session: Arc<Session>,
    dialect: Arc<dyn Dialect>,
    greeted: Weak<Greeted>,
    inbox: Mutex<Inbox>,
}

/// A conversation that has not been opened. It belongs to the socket, so that it goes with it should
/// the client be gone before it was told that it is connected.
type Greeted = Mutex<Option<Box<dyn Conversation>>>;

#[derive(Default)]
struct Inbox {
    items: VecDeque<Item>,
    /// Taken out while it listens.
    conversation: Option<Box<dyn Conversation>>,
    pace: Pace,
}

enum Item {
    Open,
    Hear(Event),
    Close,
}

impl Peer {
    pub(super) fn namespace(&self) -> &'static str {
        self.namespace
    }

    pub(super) fn say_goodbye(&self, why: Goodbye) {
        if let Some(goodbye) = self.dialect.goodbye(why) {
            self.emit(goodbye.event, &goodbye.payload);
        }
        if !why.reconnect()
            && let Some(socket) = self.socket.upgrade()
        {
            // A client that is disconnected in words, not just cut off, stays away.
            if socket.disconnect().is_ok() {
                self.session.queued(EVENT_FRAMING);
            }
        }
    }

    /// The client was told that it is connected: what it may have said since comes after this.
    fn open(self: &Arc<Self>) {
        let Some(conversation) = self
            .greeted
            .upgrade()
            .and_then(|greeted| greeted.lock().take())
        else {
            return;
        };
        self.inbox.lock().items.push_front(Item::Open);
        tokio::spawn(self.clone().listen(conversation));
    }

    fn push(self: &Arc<Self>, item: Item) {
        let mut inbox = self.inbox.lock();
        inbox.items.push_back(item);
        if let Some(conversation) = inbox.conversation.take() {
            drop(inbox);
            tokio::spawn(self.clone().listen(conversation));
        }
    }

    async fn listen(self: Arc<Self>, mut conversation: Box<dyn Conversation>) {
        let mut pace = std::mem::take(&mut self.inbox.lock().pace);
        loop {
            let item = {
                let mut inbox = self.inbox.lock();
                match inbox.items.pop_front() {
                    Some(item) => item,
                    None => {
                        pace.caught_up();
                        inbox.items = VecDeque::new();
                        inbox.pace = pace;
                        inbox.conversation = Some(conversation);
                        return;
                    }
                }
            };
            match item {
                Item::Open => conversation.open().await,
                Item::Hear(event) => {
                    // Once the session is being ended nothing more can come, and a drain waits for this.
                    if self.session.goodbye().is_none() && !pace.keep(self.session.limits()).await {
                        self.session.close(Goodbye::Flooding);
                    }
                    // Whoever does not read its answers is not asked for more questions.
                    self.drained().await;
                    if !self.is_cut_off() {
                        conversation.hear(event).await;
                    }
                }
                // Nothing comes after it: the conversation ends with this task.
                Item::Close => return conversation.close().await,
            }
        }
    }

    /// Whoever broke the rules is not heard any more.
    fn is_cut_off(&self) -> bool {
        self.session.goodbye().is_some_and(|why| !why.reconnect())
    }
}

#[async_trait]
impl Outlet for Peer {
    fn id(&self) -> PeerId {
        self.id
    }

    fn emit(&self, event: &str, payload: &RawValue) {
        let Some(socket) = self.socket.upgrade() else {
            return;
        };
        match socket.emit(event, payload) {
            Ok(()) => self
                .session
                .queued(event.len() + payload.get().len() + EVENT_FRAMING),
            Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                self.session.close(Goodbye::SlowPeer)
            }
            // It is gone; its conversation is about to be told.
            Err(SendError::Socket(SocketError::Closed)) => {}
            Err(SendError::Serialize(error)) => {
                tracing::error!(peer = %self.id, event, %error, "could not encode an event")
            }
        }
    }

    fn join(&self, channel: &str) {
        if let Some(socket) = self.socket.upgrade() {
            socket.join(channel.to_owned());
        }
    }

    fn leave(&self, channel: &str) {
        if let Some(socket) = self.socket.upgrade() {
            socket.leave(channel.to_owned());
        }
    }

    async fn drained(&self) {
        let is_connected = || {
            self.socket
                .upgrade()
                .is_some_and(|socket| socket.connected())
        };
        self.session.drained(is_connected).await;
    }

    fn close(&self, why: Goodbye) {
        self.session.close(why);
    }
}

/// Keeps a peer to the event rate: slows it down first.
#[derive(Default)]
struct Pace {
    /// Made at the first event; most connections never send one.
    limiter: Option<Box<DefaultDirectRateLimiter>>,
    too_fast_since: Option<Instant>,
}

impl Pace {
    /// Waits until one more event is due; false once the flood timeout has passed that way.
    async fn keep(&mut self, limits: &super::session::Limits) -> bool {
        let Some(rate) = limits.event_rate else {
            return true;
        };
        let burst = rate.saturating_mul(const { std::num::NonZeroU32::new(2).unwrap() });
        let limiter = self.limiter.get_or_insert_with(|| {
            Box::new(RateLimiter::direct(
                Quota::per_second(rate).allow_burst(burst),
            ))
        });
        while let Err(early) = limiter.check() {
            let since = *self.too_fast_since.get_or_insert_with(Instant::now);
            if since.elapsed() > limits.flood {
                return false;
            }
            let wait = early.wait_time_from(limiter.clock().now());
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
        true
    }

    /// Nothing is left to hear: it was not too fast after all.
    fn caught_up(&mut self) {
        self.too_fast_since = None;
    }
}

/// Seats the clients of one namespace. Everything is registered before the client is told that it is
/// connected, so that no event of its gets lost.
#[derive(Clone)]
pub(super) struct Mount {
    pub namespace: &'static str,
    pub dialect: Arc<dyn Dialect>,
}

type Accepted = Result<(), Box<dyn std::fmt::Display + Send>>;

impl Mount {
    fn accept(
        &self,
        socket: &Arc<Socket<LocalAdapter>>,
        auth: Option<&Value>,
    ) -> Result<(), Refusal> {
        let session = session_of(socket).ok_or(Refusal("Internal error"))?;
        let handshake = said_by(session, auth);
        let greeted = Arc::new(Greeted::default());
        let peer = Arc::new(Peer {
            id: PeerId::next(),
            namespace: self.namespace,
            socket: Arc::downgrade(socket),
            session: session.clone(),
            dialect: self.dialect.clone(),
            greeted: Arc::downgrade(&greeted),
            inbox: Mutex::default(),
        });
        *greeted.lock() = Some(self.dialect.greet(peer.clone(), &handshake)?);
        session.seat(&peer);
        socket.on_fallback(Intake {
            peer: peer.clone(),
            _greeted: greeted,
        });
        socket.on_disconnect(move || {
            peer.session.lost_a_peer();
            peer.push(Item::Close);
            std::future::ready(())
        });
        Ok(())
    }
}

impl ConnectHandler<LocalAdapter, Mount> for Mount {
    fn call(&self, socket: Arc<Socket<LocalAdapter>>, _: Option<Value>) {
        if let Some(peer) = session_of(&socket).and_then(|session| session.peer(self.namespace)) {
            peer.open();
        }
    }

    fn call_middleware<'a>(
        &'a self,
        socket: Arc<Socket<LocalAdapter>>,
        auth: &'a Option<Value>,
    ) -> Pin<Box<dyn Future<Output = Accepted> + Send + 'a>> {
        let accepted = self
            .accept(&socket, auth.as_ref())
            .map_err(|refusal| Box::new(refusal) as Box<_>);
        Box::pin(std::future::ready(accepted))
    }
}

/// What a client said when it connected to a namespace, for handlers on [`super::SocketIo::io`]: the
/// request that the engine shows them is not the client's. `None` for a socket that is not of this
/// transport.
pub fn handshake(socket: &Socket<LocalAdapter>, auth: Option<&Value>) -> Option<Handshake> {
    Some(said_by(session_of(socket)?, auth))
}

fn session_of(socket: &Socket<LocalAdapter>) -> Option<&Arc<Session>> {
    socket.req_parts().extensions.get()
}

fn said_by(session: &Session, auth: Option<&Value>) -> Handshake {
    Handshake {
        remote: session.remote,
        query: session.query.clone(),
        auth: auth
            .and_then(Value::as_str)
            .map(|auth| auth.as_str().into()),
    }
}

/// Takes a peer's events, in the very call that the engine makes for each packet: its own handlers
/// would each get a task, and the order would be gone.
struct Intake {
    peer: Arc<Peer>,
    _greeted: Arc<Greeted>,
}

impl MessageHandler<LocalAdapter, Intake> for Intake {
    fn call(&self, socket: Arc<Socket<LocalAdapter>>, mut value: Value, ack_id: Option<i64>) {
        let peer = &self.peer;
        let parts = value
            .as_str()
            .map(|packet| text::mend(packet))
            .and_then(|packet| serde_json::from_str::<Vec<Box<RawValue>>>(&packet).ok());
        let Some(mut args) = parts.filter(|parts| !parts.is_empty()) else {
            return peer.session.close(Goodbye::BadPacket);
        };
        let Ok(name) = serde_json::from_str(args.remove(0).get()) else {
            return peer.session.close(Goodbye::BadPacket);
        };
        let ack = ack_id.map(|_| {
            let Ok(ack) =
                AckSender::<LocalAdapter>::from_message_parts(&socket, &mut value, &ack_id);
            let session = peer.session.clone();
            Ack::new(move |answer| match ack.send(answer) {
                Ok(()) => session.queued(answer.get().len() + EVENT_FRAMING),
                Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                    session.close(Goodbye::SlowPeer)
                }
                Err(SendError::Socket(SocketError::Closed)) => {}
                Err(SendError::Serialize(error)) => {
                    tracing::error!(%error, "could not encode an answer")
                }
            })
        });
        let size = value.as_str().map_or(0, |packet| packet.len());
        let held = Held::new(Session::arrived(&peer.session, size));
        peer.push(Item::Hear(Event {
            name,
            args,
            ack,
            held,
        }));
    }
}
