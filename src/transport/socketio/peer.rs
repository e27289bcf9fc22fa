//! One client in one namespace. Its events are taken in the order in which they arrive, into its
//! inbox, from which a dialect's handler hears them.

use std::{
    borrow::Cow,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
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

use super::{
    answer::Args,
    outbox::{FRAMING, MARK, Packet},
    reword::PLACEHOLDER,
    session::Session,
    text,
};
use crate::{
    chat::socket::{Answer, Backlog, CloseReason, Socket as ChatSocket, SocketId, Unanswered},
    dialects::{Ack, Dialect, Event, Handler, Handshake, Held, Refusal, Rendered},
    transport::{
        asks::{self, Answered, Asks},
        channels::Member,
        flow::Unheard,
        inbox::{self, Host, Inbox, Item},
    },
};

/// A packet that sends a client away, by which its size is counted.
const DISCONNECT: &str = "41";

/// A client in a namespace.
pub(super) struct Peer {
    id: SocketId,
    itself: Weak<Self>,
    namespace: &'static str,
    socket: Weak<Socket<LocalAdapter>>,
    session: Arc<Session>,
    dialect: Arc<dyn Dialect>,
    greeted: Weak<Greeted>,
    /// Nothing that it is told now can come before its client's CONNECT.
    is_in: AtomicBool,
    inbox: Inbox,
    /// Where it receives volatile events.
    channels: Mutex<Vec<Box<str>>>,
    asks: Asks,
}

/// A handler that has not been opened. It belongs to the socket, so that it goes with it should
/// the client be gone before it was told that it is connected.
type Greeted = Mutex<Option<Box<dyn Handler>>>;

impl Peer {
    pub(super) fn say_goodbye(&self, why: CloseReason) {
        if let Some(Rendered { event, payload }) = self.dialect.close_notice(why) {
            match self.dialect.asks_always() {
                true => self.ask(event, &payload, Box::new(|_| {})),
                false => self.emit(event, &payload),
            }
        }
        if !why.reconnect()
            && let Some(socket) = self.socket.upgrade()
        {
            // A client that is disconnected in words, not just cut off, stays away.
            let disconnect = || socket.disconnect().map_err(SendError::Socket);
            self.session.queue(DISCONNECT.len(), disconnect);
        }
    }

    /// The client was told that it is connected: what it may have said since comes after this.
    fn open(self: &Arc<Self>) {
        self.is_in.store(true, Ordering::Release);
        let Some(handler) = self
            .greeted
            .upgrade()
            .and_then(|greeted| greeted.lock().take())
        else {
            return;
        };
        inbox::open(self.clone(), handler);
    }

    /// Has the engine's queue marked as far as it is filled; false where the client has left.
    pub(super) fn mark(&self) -> Result<bool, SendError> {
        let socket = self.socket.upgrade();
        match socket.map(|socket| socket.emit(MARK, &())) {
            None | Some(Err(SendError::Socket(SocketError::Closed))) => Ok(false),
            Some(marked) => marked.map(|()| true),
        }
    }

    /// Answers an event of the client's.
    fn answer(&self, id: i64, answer: &RawValue, ack: AckSender<LocalAdapter>) {
        let packet = Packet::Ack {
            namespace: self.namespace,
            id,
            answer,
        };
        self.tell(&packet, |_| ack.send(answer));
    }

    fn tell(
        &self,
        packet: &Packet<'_>,
        by_engine: impl FnOnce(&Socket<LocalAdapter>) -> Result<(), SendError>,
    ) {
        let Some(socket) = self.socket() else { return };
        let is_in = || self.is_in.load(Ordering::Acquire) && socket.connected();
        self.session.tell(packet, is_in, || by_engine(&socket));
    }

    fn is_connected(&self) -> bool {
        self.session.close_reason().is_none() && self.socket().is_some()
    }

    fn socket(&self) -> Option<Arc<Socket<LocalAdapter>>> {
        self.socket.upgrade().filter(|socket| socket.connected())
    }
}

/// An answer as the engine tells it. It is held to the same rules as an event.
fn read_answer(session: &Arc<Session>, told: Result<Args, AckError>) -> Answer {
    match told {
        Ok(args) if args.size() > session.limits().message => session.close(CloseReason::TooLarge),
        Ok(args) => return Ok(args.mended()),
        Err(AckError::Timeout) => return Err(Unanswered::Late),
        Err(AckError::Decode(_)) => session.close(CloseReason::BadPacket),
        Err(AckError::Socket(_)) => {}
    }
    Err(Unanswered::Gone)
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.session.channels().forget(self);
    }
}

impl Member for Peer {
    fn namespace(&self) -> &'static str {
        self.namespace
    }

    fn joined(&self) -> &Mutex<Vec<Box<str>>> {
        &self.channels
    }
}

impl Host for Peer {
    fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    fn is_cut_off(&self) -> bool {
        self.session
            .close_reason()
            .is_some_and(|why| !why.reconnect())
    }
}

#[async_trait]
impl ChatSocket for Peer {
    fn id(&self) -> SocketId {
        self.id
    }

    fn remote(&self) -> IpAddr {
        self.session.handshake.remote
    }

    fn emit(&self, event: &str, payload: &RawValue) {
        let packet = Packet::Event {
            namespace: self.namespace,
            name: event,
            payload,
        };
        self.tell(&packet, |socket| socket.emit(event, payload));
    }

    fn ask(&self, event: &str, payload: &RawValue, answered: Answered) {
        let size = event.len() + payload.get().len() + FRAMING;
        let asked = self.socket().and_then(|socket| {
            let ask = || socket.emit_with_ack::<_, Args>(event, payload);
            (self.session).queue(size, || self.session.outbox.queue_behind(ask))
        });
        if asked.is_some() {
            self.expect(1);
        }
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

    fn expect(&self, packets: u32) {
        self.session.flow.asked(packets);
    }

    fn join(&self, channel: &str) {
        if let Some(peer) = self.itself.upgrade() {
            self.session.channels().join(&peer, channel);
        }
    }

    fn leave(&self, channel: &str) {
        self.session.channels().leave(self, channel);
    }

    fn backlog(&self) -> Option<Backlog> {
        self.is_connected().then(|| self.session.flow.backlog())
    }

    async fn drained(&self) {
        self.session.flow.drained(|| self.is_connected()).await;
    }

    async fn emptied(&self) {
        self.session.flow.emptied(|| self.is_connected()).await;
    }

    fn close(&self, why: CloseReason) {
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
        let peer = Arc::new_cyclic(|itself| Peer {
            id: SocketId::next(),
            itself: itself.clone(),
            namespace: self.namespace,
            socket: Arc::downgrade(socket),
            session: session.clone(),
            dialect: self.dialect.clone(),
            greeted: Arc::downgrade(&greeted),
            is_in: AtomicBool::new(false),
            inbox: Inbox::default(),
            channels: Mutex::default(),
            asks: Asks::default(),
        });
        *greeted.lock() = Some(self.dialect.connect(peer.clone(), &handshake)?);
        session.subscribe(&peer);
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
            peer.session.connected(&peer);
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
            return peer.session.close(CloseReason::TooLarge);
        }
        let parts = serde_json::from_str::<Vec<Box<RawValue>>>(&text::mend(&array)).ok();
        let Some(mut args) = parts.filter(|parts| !parts.is_empty()) else {
            return peer.session.close(CloseReason::BadPacket);
        };
        let Ok(name) = serde_json::from_str(args.remove(0).get()) else {
            return peer.session.close(CloseReason::BadPacket);
        };
        let ack = ack_id.map(|id| {
            let Ok(ack) =
                AckSender::<LocalAdapter>::from_message_parts(&socket, &mut value, &ack_id);
            let peer = peer.clone();
            Ack::new(move |answer| peer.answer(id, answer, ack))
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
