//! Direct messages on their way to the sockets of one user: what waits in the store comes oldest first, so
//! many at a time, and what is new behind it. The store decides what waits; what is held here can be lost.
//! Beside it: `store` (whose tail, inboxes and receipts drive this), `dialects` (which shows it to the sockets).

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast::error::RecvError, watch};

use self::inbox::{Inbox, Step};
use super::{
    message::{Message, UserId},
    socket::SocketId,
    store::{Receipt, ReceiptKind, Receipts, Store, StoreError},
};

mod inbox;

/// How long a store that failed is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// A socket of a user, in the words of its dialect. Called with a lock held: must neither wait nor call back.
pub trait InboxReader: Send + Sync + 'static {
    fn id(&self) -> SocketId;

    /// Shows a message to or from the user. With a delivery it is for this user, and waits until one of
    /// the user's sockets acknowledges it.
    fn show(&self, message: &Arc<Message>, delivery: Option<Delivery>);

    /// Shows what became of a message to or from the user.
    fn receipt(&self, receipt: &Receipt);

    /// What waits for the user cannot be read now; it comes as soon as it can.
    fn trouble(&self) {}

    /// Messages passed unseen, some of them perhaps the user's own, which no inbox holds: the socket's connection ends, and
    /// it comes back for them.
    fn break_off(&self);
}

/// The inboxes of the users who have a socket on this replica.
pub struct Inboxes {
    store: Arc<dyn Store>,
    boxes: Mutex<HashMap<UserId, (Arc<Inbox>, usize)>>,
    /// How often places have lost their meaning.
    beginnings: AtomicU64,
    emptied: Notify,
    /// Changes when an inbox comes or goes.
    changes: watch::Sender<u64>,
}

impl Inboxes {
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            boxes: Mutex::default(),
            beginnings: AtomicU64::new(0),
            emptied: Notify::new(),
            changes: watch::Sender::default(),
        })
    }

    /// Has a socket told what is written to the user and by it: first what waits, then what is new.
    pub fn open(self: &Arc<Self>, user: UserId, socket: Arc<dyn InboxReader>) -> Subscription {
        let hold = Hold::take(self, user);
        let id = socket.id();
        hold.inbox.subscribe(&hold, socket);
        hold.work();
        Subscription { hold, socket: id }
    }

    /// Shows a message that passed the tail to those here whom it concerns. Returns how many.
    pub fn deliver(self: &Arc<Self>, message: &Arc<Message>) -> usize {
        let Some(direct) = &message.direct else {
            return 0;
        };
        let mut shown = 0;
        if direct.from != direct.to
            && let Some(hold) = Hold::find(self, &direct.from)
        {
            shown += hold.inbox.show_sent(message);
        }
        if let Some(hold) = Hold::find(self, &direct.to) {
            shown += hold.inbox.arrive(&hold, message, direct.place);
            hold.work();
        }
        shown
    }

    /// Sends all sockets away, to come back for what they missed: messages passed unseen, or places were given out a
    /// second time. What waits is shown again then.
    pub fn start_anew(self: &Arc<Self>) {
        self.beginnings.fetch_add(1, Ordering::Relaxed);
        let users: Vec<_> = self.boxes.lock().keys().cloned().collect();
        for user in users {
            if let Some(hold) = Hold::find(self, &user) {
                for socket in hold.inbox.start_anew() {
                    socket.break_off();
                }
            }
        }
    }

    /// Tells what becomes of messages, for ever.
    pub async fn tell(self: Arc<Self>, mut receipts: Receipts) {
        loop {
            match receipts.recv().await {
                Ok(receipt) => self.note(&receipt),
                Err(RecvError::Lagged(receipts)) => {
                    tracing::warn!(
                        receipts,
                        "delivered and read marks came too fast to be told"
                    );
                }
                Err(RecvError::Closed) => return std::future::pending().await,
            }
        }
    }

    fn note(self: &Arc<Self>, receipt: &Receipt) {
        if let Some(hold) = Hold::find(self, &receipt.from) {
            hold.inbox.receipt(receipt);
        }
        if let Some(hold) = Hold::find(self, &receipt.to) {
            match receipt.what {
                ReceiptKind::Delivered { place } => {
                    hold.inbox.forget(&[place]);
                    hold.work();
                }
                ReceiptKind::Read if receipt.from != receipt.to => hold.inbox.receipt(receipt),
                ReceiptKind::Read => {}
            }
        }
    }

    /// Waits until nobody is here and every acknowledgement that was given is recorded.
    pub async fn settled(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.in_use() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// The users who have a socket here, and those of whom something is still to be recorded.
    pub fn users(&self) -> Vec<UserId> {
        self.boxes.lock().keys().cloned().collect()
    }

    /// Changes whenever [`Inboxes::users`] does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How many inboxes are held in memory.
    pub fn in_use(&self) -> usize {
        self.boxes.lock().len()
    }
}

/// A message on its way to a socket. Dropped, it goes on waiting for its user.
pub struct Delivery {
    inboxes: Arc<Inboxes>,
    user: UserId,
    place: u64,
    /// Of [`Inboxes::beginnings`], when it was shown.
    beginning: u64,
}

impl Delivery {
    /// The socket has the message: it is recorded, and the user is not sent it again.
    pub fn acknowledge(self) {
        if self.beginning != self.inboxes.beginnings.load(Ordering::Relaxed) {
            // Another message may have this place by now; this one is shown again if it waits.
            return;
        }
        // The socket may be gone by now, and the inbox with it.
        let hold = Hold::take(&self.inboxes, self.user);
        hold.inbox.acknowledge(self.place);
        hold.work();
    }
}

/// A socket's share in its user's messages. Dropping it ends that.
pub struct Subscription {
    hold: Hold,
    socket: SocketId,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hold.inbox.unsubscribe(self.socket);
    }
}

/// Keeps an inbox in memory for as long as somebody is there or something is to be recorded.
struct Hold {
    inboxes: Arc<Inboxes>,
    user: UserId,
    inbox: Arc<Inbox>,
}

impl Hold {
    fn take(inboxes: &Arc<Inboxes>, user: UserId) -> Self {
        let mut boxes = inboxes.boxes.lock();
        let (inbox, count) = match boxes.entry(user.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                inboxes.changes.send_modify(|changes| *changes += 1);
                new.insert((Arc::default(), 0))
            }
        };
        *count += 1;
        let inbox = inbox.clone();
        drop(boxes);
        Self {
            inboxes: inboxes.clone(),
            user,
            inbox,
        }
    }

    /// An inbox that is there.
    fn find(inboxes: &Arc<Inboxes>, user: &UserId) -> Option<Self> {
        let mut boxes = inboxes.boxes.lock();
        let (inbox, count) = boxes.get_mut(user)?;
        *count += 1;
        let inbox = inbox.clone();
        drop(boxes);
        Some(Self {
            inboxes: inboxes.clone(),
            user: user.clone(),
            inbox,
        })
    }

    fn delivery(&self, place: u64) -> Delivery {
        Delivery {
            inboxes: self.inboxes.clone(),
            user: self.user.clone(),
            place,
            beginning: self.inboxes.beginnings.load(Ordering::Relaxed),
        }
    }

    /// Has the store asked for what is to be asked, one thing after the other: what was read is never
    /// older than what was acknowledged before.
    fn work(&self) {
        if self.inbox.begin_work() {
            tokio::spawn(work(Self::take(&self.inboxes, self.user.clone())));
        }
    }
}

async fn work(hold: Hold) {
    let (store, inbox, user) = (&hold.inboxes.store, &hold.inbox, &hold.user);
    let mut is_failing = false;
    while let Some(step) = inbox.next_step() {
        let done = match step {
            Step::Acknowledge(places) => {
                let recorded = store.acknowledge(user, places.clone()).await;
                recorded.map(|()| inbox.forget(&places))
            }
            Step::Read { after, limit } => {
                let waiting = store.pending(user, after, limit).await;
                inbox.read(&hold, waiting.as_ref().ok());
                waiting.map(|_| ())
            }
        };
        match done {
            Ok(()) => is_failing = false,
            Err(StoreError::Closed) => return inbox.give_up(),
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::error!(%error, "the store did not answer for a box, trying again");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut boxes = self.inboxes.boxes.lock();
        if let Some((_, count)) = boxes.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                boxes.remove(&self.user);
                self.inboxes.changes.send_modify(|changes| *changes += 1);
                if boxes.is_empty() {
                    self.inboxes.emptied.notify_waiters();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
