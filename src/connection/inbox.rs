//! One peer's events on their way to its conversation: taken in the order in which they arrive, into
//! one bounded queue, and heard one after the other. The task that does so lives only while there
//! is something to hear: an idle peer costs none. `flow` bounds the queue, `pace` what comes into it.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use crate::{
    chat::peer::Outlet,
    dialect::{Conversation, Event},
};

/// A peer, as its inbox sees it.
pub(crate) trait Host: Outlet {
    fn inbox(&self) -> &Inbox;

    /// Whoever broke the rules is not heard any more.
    fn is_cut_off(&self) -> bool;
}

/// What a peer said and its conversation has not heard.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// Taken out while it listens.
    conversation: Option<Box<dyn Conversation>>,
}

pub(crate) enum Item {
    Open,
    Hear(Event),
    Close,
}

/// Lets a conversation begin: what the peer may have said by now comes after its opening.
pub(crate) fn open<H: Host>(host: Arc<H>, conversation: Box<dyn Conversation>) {
    host.inbox().0.lock().items.push_front(Item::Open);
    tokio::spawn(listen(host, conversation));
}

pub(crate) fn push<H: Host>(host: &Arc<H>, item: Item) {
    let mut waiting = host.inbox().0.lock();
    waiting.items.push_back(item);
    if let Some(conversation) = waiting.conversation.take() {
        drop(waiting);
        tokio::spawn(listen(host.clone(), conversation));
    }
}

async fn listen<H: Host>(host: Arc<H>, mut conversation: Box<dyn Conversation>) {
    let inbox = host.inbox();
    loop {
        let item = {
            let mut waiting = inbox.0.lock();
            match waiting.items.pop_front() {
                Some(item) => item,
                None => {
                    waiting.items = VecDeque::new();
                    waiting.conversation = Some(conversation);
                    return;
                }
            }
        };
        match item {
            Item::Open => conversation.open().await,
            Item::Hear(event) => {
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
