//! One client in one namespace. Its events are taken in the order in which they arrive, into its
//! inbox, from which a dialect's conversation hears them.

use std::{
    borrow::Cow,
    pin::Pin,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use socketioxide::{
    AckError, SendError, SocketError,
    adapter::LocalAdapter,
    extract::AckSender,
    handler::{ConnectHandler, FromMessageParts, MessageHandler, Value},
    socket::Socket,
};

use super::{answer::Args, reword::PLACEHOLDER, session::Session, text};
use crate::{
    chat::peer::{Answer, Goodbye, Outlet, PeerId, Unanswered},
    dialect::{Ack, Conversation, Dialect, Event, Handshake, Held, Refusal},
    transport::{
        asks::{self, Answered, Asks},
        flow::Unheard,
        inbox::{self, Host, Inbox, Item},
    },
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
    inbox: Inbox,
    asks: Asks,
}

/// A conversation that has not been opened. It belongs to the socket, so that it goes with it should
/// the client be gone before it was told that it is connected.
type Greeted = Mutex<Option<Box<dyn Conversation>>>;

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
        inbox::open(self.clone(), conversation);
    }

    /// Queues an event the one or the other way; `None` where it did not get that far.
    fn queue<T>(
        &self,
        event: &str,
        payload: &RawValue,
        emit: impl FnOnce(&Socket<LocalAdapter>) -> Result<T, SendError>,
    ) -> Option<T> {
        let socket = self.socket.upgrade()?;
        let size = event.len() + payload.get().len() + EVENT_FRAMING;
        self.session.queued(size);
        match emit(&socket) {
            Ok(queued) => return Some(queued),
            Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                self.session.close(Goodbye::SlowPeer)
            }
            // It is gone; its conversation is about to be told.
            Err(SendError::Socket(SocketError::Closed)) => {}
            Err(SendError::Serialize(error)) => {
                self.session.flow.taken(1);
                self.session.flow.sent(size);
                tracing::error!(peer = %self.id, event, %error, "could not encode an event")
            }
        }
        None
    }
}

/// An answer as the engine tells it. It is held to the same rules as an event.
fn read_answer(session: &Arc<Session>, told: Result<Args, AckError>) -> Answer {
    match told {
        Ok(args) if args.size() > session.limits().message => session.close(Goodbye::TooLarge),
        Ok(args) => return Ok(args.mended()),
        Err(AckError::Timeout) => return Err(Unanswered::Late),
        Err(AckError::Decode(_)) => session.close(Goodbye::BadPacket),
        Err(AckError::Socket(_)) => {}
    }
    Err(Unanswered::Gone)
}

impl Host for Peer {
    fn inbox(&self) -> &Inbox {
        &self.inbox
    }

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
        self.queue(event, payload, |socket| socket.emit(event, payload));
    }

    fn ask(&self, event: &str, payload: &RawValue, answered: Answered) {
        let asked = self.queue(event, payload, |socket| {
            socket.emit_with_ack::<_, Args>(event, payload)
        });
        match (asked, self.asks.begin()) {
            (None, _) => asks::give_up(answered, Unanswered::Gone),
            (_, None) => asks::give_up(answered, Unanswered::TooMany),
            (Some(answer), Some(place)) => {
                let session = self.session.clone();
                let answer = async move { read_answer(&session, answer.await) };
                asks::wait(place, answer, answered);
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
            inbox: Inbox::default(),
            asks: Asks::default(),
        });
        *greeted.lock() = Some(self.dialect.greet(peer.clone(), &handshake)?);
        session.seat(&peer);
        socket.on_fallback(Intake {
            peer: peer.clone(),
            _greeted: greeted,
        });
        socket.on_disconnect(move || {
            peer.session.flow.look_again();
            inbox::push(&peer, Item::Close);
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
        auth: auth
            .and_then(Value::as_str)
            .map(|auth| auth.as_str().into()),
        ..session.handshake.clone()
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
        let packet = value.as_str().map(|packet| &**packet).unwrap_or_default();
        // The placeholder is there for the engine.
        let array = match packet
            .strip_prefix('[')
            .and_then(|rest| rest.strip_prefix(PLACEHOLDER))
        {
            Some(rest) => Cow::Owned(format!("[{rest}")),
            None => Cow::Borrowed(packet),
        };
        let size = array.len() + attached(&value);
        if size > peer.session.limits().message {
            return peer.session.close(Goodbye::TooLarge);
        }
        let parts = serde_json::from_str::<Vec<Box<RawValue>>>(&text::mend(&array)).ok();
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
            Ack::new(move |answer| {
                let size = answer.get().len() + EVENT_FRAMING;
                session.queued(size);
                match ack.send(answer) {
                    Ok(()) => {}
                    Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                        session.close(Goodbye::SlowPeer)
                    }
                    Err(SendError::Socket(SocketError::Closed)) => {}
                    Err(SendError::Serialize(error)) => {
                        session.flow.taken(1);
                        session.flow.sent(size);
                        tracing::error!(%error, "could not encode an answer")
                    }
                }
            })
        });
        let held = Held::new(Unheard::new(peer.session.clone(), size));
        let event = Event {
            name,
            args,
            ack,
            held,
        };
        inbox::push(peer, Item::Hear(event));
    }
}

/// Bytes of a packet's binary attachments.
fn attached(packet: &Value) -> usize {
    match packet {
        Value::Str(_, Some(attachments)) => attachments.iter().map(|bytes| bytes.len()).sum(),
        _ => 0,
    }
}
