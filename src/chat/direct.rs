//! Direct messages on their way to the peers of one user: what waits in the log comes oldest first, so
//! many at a time, and what is new behind it. The log decides what waits; what is held here can be lost.
//! Neighbours: `log` (whose tail, boxes and marks drive this), `dialect` (which shows it to the peers).

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

use self::mailbox::{Mailbox, Step};
use super::{
    log::{Became, Log, LogError, Mark, Marks},
    message::{Message, UserId},
    peer::PeerId,
};

mod mailbox;

/// How long a log that failed is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// A peer of a user, in the words of its dialect. Called with a lock held: must neither wait nor call back.
pub trait Correspondent: Send + Sync + 'static {
    fn id(&self) -> PeerId;

    /// Shows a message to or from the user. With a delivery it is for this user, and waits until one of
    /// the user's peers acknowledges it.
    fn show(&self, message: &Arc<Message>, delivery: Option<Delivery>);

    /// Shows what became of a message to or from the user.
    fn mark(&self, mark: &Mark);

    /// What waits for the user cannot be read now; it comes as soon as it can.
    fn trouble(&self) {}

    /// Messages passed unseen, some of them perhaps the user's own, which no box holds: the peer's connection ends, and
    /// it comes back for them.
    fn break_off(&self);
}

/// The boxes of the users who have a peer on this replica.
pub struct Mailboxes {
    log: Arc<dyn Log>,
    boxes: Mutex<HashMap<UserId, (Arc<Mailbox>, usize)>>,
    /// How often places have lost their meaning.
    beginnings: AtomicU64,
    emptied: Notify,
    /// Changes when a box comes or goes.
    changes: watch::Sender<u64>,
}

impl Mailboxes {
    pub fn new(log: Arc<dyn Log>) -> Arc<Self> {
        Arc::new(Self {
            log,
            boxes: Mutex::default(),
            beginnings: AtomicU64::new(0),
            emptied: Notify::new(),
            changes: watch::Sender::default(),
        })
    }

    /// Has a peer told what is written to the user and by it: first what waits, then what is new.
    pub fn open(self: &Arc<Self>, user: UserId, peer: Arc<dyn Correspondent>) -> Seat {
        let hold = Hold::take(self, user);
        let id = peer.id();
        hold.mailbox.seat(&hold, peer);
        hold.work();
        Seat { hold, peer: id }
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
            shown += hold.mailbox.show_sent(message);
        }
        if let Some(hold) = Hold::find(self, &direct.to) {
            shown += hold.mailbox.arrive(&hold, message, direct.place);
            hold.work();
        }
        shown
    }

    /// Sends all peers away, to come back for what they missed: messages passed unseen, or places were given out a
    /// second time. What waits is shown again then.
    pub fn start_anew(self: &Arc<Self>) {
        self.beginnings.fetch_add(1, Ordering::Relaxed);
        let users: Vec<_> = self.boxes.lock().keys().cloned().collect();
        for user in users {
            if let Some(hold) = Hold::find(self, &user) {
                for peer in hold.mailbox.start_anew() {
                    peer.break_off();
                }
            }
        }
    }

    /// Tells what becomes of messages, for ever.
    pub async fn tell(self: Arc<Self>, mut marks: Marks) {
        loop {
            match marks.recv().await {
                Ok(mark) => self.note(&mark),
                Err(RecvError::Lagged(marks)) => {
                    tracing::warn!(marks, "delivered and read marks came too fast to be told");
                }
                Err(RecvError::Closed) => return std::future::pending().await,
            }
        }
    }

    fn note(self: &Arc<Self>, mark: &Mark) {
        if let Some(hold) = Hold::find(self, &mark.from) {
            hold.mailbox.mark(mark);
        }
        if let Some(hold) = Hold::find(self, &mark.to) {
            match mark.what {
                Became::Delivered { place } => {
                    hold.mailbox.forget(&[place]);
                    hold.work();
                }
                Became::Read if mark.from != mark.to => hold.mailbox.mark(mark),
                Became::Read => {}
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

    /// The users who have a peer here, and those of whom something is still to be recorded.
    pub fn users(&self) -> Vec<UserId> {
        self.boxes.lock().keys().cloned().collect()
    }

    /// Changes whenever [`Mailboxes::users`] does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How many boxes are held in memory.
    pub fn in_use(&self) -> usize {
        self.boxes.lock().len()
    }
}

/// A message on its way to a peer. Dropped, it goes on waiting for its user.
pub struct Delivery {
    mailboxes: Arc<Mailboxes>,
    user: UserId,
    place: u64,
    /// Of [`Mailboxes::beginnings`], when it was shown.
    beginning: u64,
}

impl Delivery {
    /// The peer has the message: it is recorded, and the user is not sent it again.
    pub fn acknowledge(self) {
        if self.beginning != self.mailboxes.beginnings.load(Ordering::Relaxed) {
            // Another message may have this place by now; this one is shown again if it waits.
            return;
        }
        // The peer may be gone by now, and the box with it.
        let hold = Hold::take(&self.mailboxes, self.user);
        hold.mailbox.acknowledge(self.place);
        hold.work();
    }
}

/// A peer's share in its user's messages. Dropping it ends that.
pub struct Seat {
    hold: Hold,
    peer: PeerId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hold.mailbox.unseat(self.peer);
    }
}

/// Keeps a box in memory for as long as somebody is there or something is to be recorded.
struct Hold {
    mailboxes: Arc<Mailboxes>,
    user: UserId,
    mailbox: Arc<Mailbox>,
}

impl Hold {
    fn take(mailboxes: &Arc<Mailboxes>, user: UserId) -> Self {
        let mut boxes = mailboxes.boxes.lock();
        let (mailbox, count) = match boxes.entry(user.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                mailboxes.changes.send_modify(|changes| *changes += 1);
                new.insert((Arc::default(), 0))
            }
        };
        *count += 1;
        let mailbox = mailbox.clone();
        drop(boxes);
        Self {
            mailboxes: mailboxes.clone(),
            user,
            mailbox,
        }
    }

    /// A box that is there.
    fn find(mailboxes: &Arc<Mailboxes>, user: &UserId) -> Option<Self> {
        let mut boxes = mailboxes.boxes.lock();
        let (mailbox, count) = boxes.get_mut(user)?;
        *count += 1;
        let mailbox = mailbox.clone();
        drop(boxes);
        Some(Self {
            mailboxes: mailboxes.clone(),
            user: user.clone(),
            mailbox,
        })
    }

    fn delivery(&self, place: u64) -> Delivery {
        Delivery {
            mailboxes: self.mailboxes.clone(),
            user: self.user.clone(),
            place,
            beginning: self.mailboxes.beginnings.load(Ordering::Relaxed),
        }
    }

    /// Has the log asked for what is to be asked, one thing after the other: what was read is never
    /// older than what was acknowledged before.
    fn work(&self) {
        if self.mailbox.begin_work() {
            tokio::spawn(work(Self::take(&self.mailboxes, self.user.clone())));
        }
    }
}

async fn work(hold: Hold) {
    let (log, mailbox, user) = (&hold.mailboxes.log, &hold.mailbox, &hold.user);
    let mut is_failing = false;
    while let Some(step) = mailbox.next_step() {
        let done = match step {
            Step::Acknowledge(places) => {
                let recorded = log.acknowledge(user, places.clone()).await;
                recorded.map(|()| mailbox.forget(&places))
            }
            Step::Read { after, limit } => {
                let waiting = log.pending(user, after, limit).await;
                mailbox.read(&hold, waiting.as_ref().ok());
                waiting.map(|_| ())
            }
        };
        match done {
            Ok(()) => is_failing = false,
            Err(LogError::Closed) => return mailbox.give_up(),
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::error!(%error, "the log did not answer for a box, trying again");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut boxes = self.mailboxes.boxes.lock();
        if let Some((_, count)) = boxes.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                boxes.remove(&self.user);
                self.mailboxes.changes.send_modify(|changes| *changes += 1);
                if boxes.is_empty() {
                    self.mailboxes.emptied.notify_waiters();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
