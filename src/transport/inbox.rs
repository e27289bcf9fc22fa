//! One peer's events on their way to its conversation: taken in the order in which they arrive, into
//! one bounded queue, and heard one after the other. The task that does so lives only while there
//! is something to hear: an idle peer costs none. `flow` bounds the queue.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock};
use parking_lot::Mutex;

use super::flow::Limits;
use crate::{
    chat::peer::{Goodbye, Outlet},
    dialect::{Conversation, Event},
};

/// A peer, as its inbox sees it.
pub(super) trait Host: Outlet {
    fn inbox(&self) -> &Inbox;

    fn limits(&self) -> &Limits;

    /// The server is ending its connection.
    fn is_ending(&self) -> bool;

    /// Whoever broke the rules is not heard any more.
    fn is_cut_off(&self) -> bool;
}

/// What a peer said and its conversation has not heard.
#[derive(Default)]
pub(super) struct Inbox(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// Taken out while it listens.
    conversation: Option<Box<dyn Conversation>>,
    pace: Pace,
}

pub(super) enum Item {
    Open,
    Hear(Event),
    Close,
}

/// Lets a conversation begin: what the peer may have said by now comes after its opening.
pub(super) fn open<H: Host>(host: Arc<H>, conversation: Box<dyn Conversation>) {
    host.inbox().0.lock().items.push_front(Item::Open);
    tokio::spawn(listen(host, conversation));
}

pub(super) fn push<H: Host>(host: &Arc<H>, item: Item) {
    let mut waiting = host.inbox().0.lock();
    waiting.items.push_back(item);
    if let Some(conversation) = waiting.conversation.take() {
        drop(waiting);
        tokio::spawn(listen(host.clone(), conversation));
    }
}

async fn listen<H: Host>(host: Arc<H>, mut conversation: Box<dyn Conversation>) {
    let inbox = host.inbox();
    let mut pace = std::mem::take(&mut inbox.0.lock().pace);
    loop {
        let item = {
            let mut waiting = inbox.0.lock();
            match waiting.items.pop_front() {
                Some(item) => item,
                None => {
                    pace.caught_up();
                    waiting.items = VecDeque::new();
                    waiting.pace = pace;
                    waiting.conversation = Some(conversation);
                    return;
                }
            }
        };
        match item {
            Item::Open => conversation.open().await,
            Item::Hear(event) => {
                // Once it is being ended nothing more can come, and a drain waits for this.
                if !host.is_ending() && !pace.keep(host.limits()).await {
                    host.close(Goodbye::Flooding);
                }
                // Whoever does not read its answers is not asked for more questions.
                host.drained().await;
                if !host.is_cut_off() {
                    conversation.hear(event).await;
                }
            }
            // Nothing comes after it: the conversation ends with this task.
            Item::Close => return conversation.close().await,
        }
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
    async fn keep(&mut self, limits: &Limits) -> bool {
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
