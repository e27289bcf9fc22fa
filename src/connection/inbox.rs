//! One peer's events on their way to its handler: taken in the order in which they arrive, into
//! one bounded queue, and heard one after the other. The task that does so lives only while there
//! is something to hear: an idle peer costs none. `flow` bounds the queue, `pace` what comes into it.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use crate::{
    chat::socket::Socket,
    dialects::{Event, Handler},
};

/// A peer, as its inbox sees it.
pub(crate) trait Host: Socket {
    fn inbox(&self) -> &Inbox;

    /// Whoever broke the rules is not heard any more.
    fn is_cut_off(&self) -> bool;
}

/// What a peer said and its handler has not heard.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// Taken out while it listens.
    handler: Option<Box<dyn Handler>>,
}

pub(crate) enum Item {
    Open,
    Hear(Event),
    Close,
}

/// Lets a handler begin: what the peer may have said by now comes after its opening.
pub(crate) fn open<H: Host>(host: Arc<H>, handler: Box<dyn Handler>) {
    host.inbox().0.lock().items.push_front(Item::Open);
    tokio::spawn(listen(host, handler));
}

pub(crate) fn push<H: Host>(host: &Arc<H>, item: Item) {
    let mut waiting = host.inbox().0.lock();
    waiting.items.push_back(item);
    if let Some(handler) = waiting.handler.take() {
        drop(waiting);
        tokio::spawn(listen(host.clone(), handler));
    }
}

async fn listen<H: Host>(host: Arc<H>, mut handler: Box<dyn Handler>) {
    let inbox = host.inbox();
    loop {
        let item = {
            let mut waiting = inbox.0.lock();
            match waiting.items.pop_front() {
                Some(item) => item,
                None => {
                    waiting.items = VecDeque::new();
                    waiting.handler = Some(handler);
                    return;
                }
            }
        };
        match item {
            Item::Open => handler.open().await,
            Item::Hear(event) => {
                // Whoever does not read its answers is not asked for more questions.
                host.drained().await;
                if !host.is_cut_off() {
                    handler.handle(event).await;
                }
            }
            // Nothing comes after it: the handler ends with this task.
            Item::Close => return handler.close().await,
        }
    }
}
