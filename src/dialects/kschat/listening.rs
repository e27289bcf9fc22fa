//! Whether a page listens yet. It connects while it is still being loaded, and what reaches it before its
//! handlers are there is neither shown nor acknowledged. So until it has acknowledged something it is given
//! one message at a time, again after a while.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use super::client::Client;
use crate::chat::{direct::Delivery, message::Message};

/// When a message that is not acknowledged is sent again; after the last it is taken for granted that
/// the page listens.
const AGAIN_AFTER: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

/// Messages that are held back; with more it is taken for granted, too.
const HELD_BACK: usize = 64;

/// A message, and its delivery where it is for the page's user.
type Held = (Arc<Message>, Option<Delivery>);

/// The messages that are held back, the first of which has been sent; none once the page listens.
pub(super) struct Listening(Mutex<Option<VecDeque<Held>>>);

impl Listening {
    pub fn not_yet() -> Self {
        Self(Mutex::new(Some(VecDeque::new())))
    }

    /// Sends a message in its turn.
    pub fn send(&self, client: &Arc<Client>, message: &Arc<Message>, delivery: Option<Delivery>) {
        let mut held = self.0.lock();
        let Some(waiting) = held.as_mut() else {
            return send_now(client, message, delivery);
        };
        waiting.push_back((message.clone(), delivery));
        if waiting.len() == 1 {
            try_out(client, waiting);
            tokio::spawn(repeat(Arc::downgrade(client)));
        } else if waiting.len() > HELD_BACK {
            send_all(client, held.take());
        }
    }

    /// Nothing is sent any more, and what was held back waits for the next connection.
    pub fn stop(&self) {
        self.0.lock().take();
    }

    /// The page has acknowledged the first of them.
    fn begin(&self, client: &Arc<Client>) {
        let first = {
            let mut held = self.0.lock();
            let first = held.as_mut().and_then(VecDeque::pop_front);
            // With the lock held, so that what is new comes behind them.
            send_all(client, held.take());
            first
        };
        if let Some((_, Some(delivery))) = first {
            delivery.acknowledge();
        }
    }

    /// Sends the first of them again; false where the page listens by now.
    fn try_again(&self, client: &Arc<Client>) -> bool {
        let held = self.0.lock();
        held.as_ref()
            .is_some_and(|waiting| try_out(client, waiting))
    }

    fn take_for_granted(&self, client: &Arc<Client>) {
        let mut held = self.0.lock();
        send_all(client, held.take());
    }
}

async fn repeat(client: Weak<Client>) {
    for pause in AGAIN_AFTER {
        tokio::time::sleep(pause).await;
        let Some(client) = client.upgrade() else {
            return;
        };
        if !client.listening.try_again(&client) {
            return;
        }
    }
    if let Some(client) = client.upgrade() {
        client.listening.take_for_granted(&client);
    }
}

/// Sends the first of them, if there is one.
fn try_out(client: &Arc<Client>, waiting: &VecDeque<Held>) -> bool {
    let Some((message, delivery)) = waiting.front() else {
        return false;
    };
    let page = Arc::downgrade(client);
    client.receive(message, delivery.is_some(), move || {
        if let Some(client) = page.upgrade() {
            client.listening.begin(&client);
        }
    });
    true
}

fn send_all(client: &Arc<Client>, held: Option<VecDeque<Held>>) {
    for (message, delivery) in held.into_iter().flatten() {
        send_now(client, &message, delivery);
    }
}

fn send_now(client: &Client, message: &Message, delivery: Option<Delivery>) {
    client.receive(message, delivery.is_some(), move || {
        if let Some(delivery) = delivery {
            delivery.acknowledge();
        }
    });
}
