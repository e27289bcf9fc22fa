//! One page, and what it is shown: messages to its user, those its user sent from here and from elsewhere,
//! and what became of them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{json as object, value::RawValue};

use super::listening::Listening;
use crate::{
    chat::{
        direct::{Delivery, InboxReader},
        message::{Direct, IdempotencyKey, Message, MessageId, UserId},
        socket::{Answer, CloseReason, Socket, SocketId},
        store::{Receipt, ReceiptKind},
    },
    dialects::{escape, json},
};

/// `rStatus` of a message that its reader has not seen yet, of one that it has, and of one that is none
/// of its page's business: the page says of the first two that they were read.
const SENT: u8 = 1;
pub(super) const READ: u8 = 2;
const OWN: u8 = 0;

/// Messages that were shown last, for a client that says when what it has read was written.
const REMEMBERED: usize = 256;

pub(super) struct Client {
    socket: Arc<dyn Socket>,
    user: UserId,
    /// What it sent and has not been shown yet.
    sent: Mutex<HashMap<Box<str>, Sent>>,
    next: AtomicU64,
    shown: Mutex<VecDeque<Shown>>,
    pub(super) listening: Listening,
    /// It is told nothing more but what became of what it sent before.
    pub is_logged_out: AtomicBool,
}

/// What a client wants to be told of its own message besides.
pub(super) struct Sent {
    /// Its own mark, given back as it came.
    pub receipt: Option<Box<RawValue>>,
}

struct Shown {
    from: UserId,
    /// In ms since 1970.
    time: i64,
    id: MessageId,
}

impl Client {
    pub(super) fn new(socket: Arc<dyn Socket>, user: UserId) -> Self {
        Self {
            socket,
            user,
            sent: Mutex::default(),
            next: AtomicU64::new(0),
            shown: Mutex::default(),
            listening: Listening::not_yet(),
            is_logged_out: AtomicBool::new(false),
        }
    }

    pub(super) fn socket(&self) -> &dyn Socket {
        &*self.socket
    }

    pub(super) fn user(&self) -> &UserId {
        &self.user
    }

    /// A message is about to be sent; its key tells it from those of others.
    pub(super) fn expect(&self, sent: Sent) -> IdempotencyKey {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let key = format!("{}-{number}", self.socket.id());
        self.sent.lock().insert(key.as_str().into(), sent);
        key.parse().expect("hexadecimal digits are a key")
    }

    pub(super) fn expect_no_more(&self, key: &IdempotencyKey) {
        self.sent.lock().remove(key.as_str());
    }

    /// Shows a message that was sent from here, the first time. False where it was not.
    pub(super) fn show_sent(&self, message: &Message) -> bool {
        let Some(Direct { from, to, key, .. }) = message.direct.as_deref() else {
            return false;
        };
        let sent = key
            .as_ref()
            .and_then(|key| self.sent.lock().remove(key.as_str()));
        let Some(Sent { receipt }) = sent else {
            return false;
        };
        let shown = object!({
            "RC": 1,
            "ER": 0,
            "SID": from,
            "RID": to,
            "MSG": escape(&message.text),
            "RANDOMNO": receipt,
            "MSGTIME": message.time.as_millisecond(),
            "STATUS": SENT,
        });
        self.ask("RESPSEND", &shown, || {});
        true
    }

    /// The newest message from somebody at a time that was shown here.
    pub(super) fn shown_at(&self, from: &UserId, time: i64) -> Option<MessageId> {
        let shown = self.shown.lock();
        let found = (shown.iter().rev()).find(|shown| shown.time == time && shown.from == *from);
        found.map(|shown| shown.id)
    }

    /// Sends an event the way the page needs it: with an acknowledgement asked for.
    pub(super) fn ask(
        &self,
        event: &str,
        payload: &impl Serialize,
        acknowledged: impl FnOnce() + Send + 'static,
    ) {
        let answered = Box::new(move |answer: Answer| {
            if answer.is_ok() {
                acknowledged();
            }
        });
        self.socket.ask(event, &json(payload), answered);
    }

    /// Shows a message, for this user or by it.
    pub(super) fn receive(
        &self,
        message: &Message,
        is_for_user: bool,
        acknowledged: impl FnOnce() + Send + 'static,
    ) {
        let Some(Direct { from, to, .. }) = message.direct.as_deref() else {
            return;
        };
        let time = message.time.as_millisecond();
        if is_for_user {
            let mut shown = self.shown.lock();
            if shown.len() == REMEMBERED {
                shown.pop_front();
            }
            shown.push_back(Shown {
                from: from.clone(),
                time,
                id: message.id,
            });
        }
        let received = object!({
            "RC": 1,
            "ER": 0,
            "MSG": [{
                "uId": from,
                "pId": to,
                "msg": escape(&message.text),
                "rStatus": if is_for_user { SENT } else { OWN },
                "msgTime": time,
            }],
        });
        self.ask("RESPRECEIVER", &received, acknowledged);
        if is_for_user {
            // The page says at once that it was read.
            self.socket.expect(1);
        }
    }
}

/// A page, as its user's box sees it.
pub(super) struct Page(pub Arc<Client>);

impl InboxReader for Page {
    fn id(&self) -> SocketId {
        self.0.socket.id()
    }

    fn show(&self, message: &Arc<Message>, delivery: Option<Delivery>) {
        let is_from_here = self.0.show_sent(message);
        if delivery.is_some() || !is_from_here {
            self.0.listening.send(&self.0, message, delivery);
        }
    }

    fn receipt(&self, receipt: &Receipt) {
        // The old page does not listen to it: it would answer, and two pages go on for ever.
        if receipt.what == ReceiptKind::Read && receipt.from == self.0.user {
            let read = object!({
                "uId": receipt.to,
                "pId": receipt.from,
                "msgTime": receipt.time.as_millisecond(),
                "rStatus": READ,
            });
            self.0.socket.emit("MSGREAD", &json(&read));
        }
    }

    fn trouble(&self) {
        let away = object!({ "RC": 1, "ER": 2 });
        self.0.ask("RESPRECEIVER", &away, || {});
    }

    fn break_off(&self) {
        self.0.socket.close(CloseReason::FellBehind);
    }
}
