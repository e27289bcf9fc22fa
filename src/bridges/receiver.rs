//! Stores what a bridge receives. It is checked by the same rules as a socket's messages, and stored once.

use std::sync::Arc;

use tokio::time::sleep;

use super::{BridgeContext, PAUSE};
use crate::{
    chat::{
        Refused,
        message::{AuthorName, BridgeName, Envelope, IdempotencyKey, Post, RoomName},
        store::StoreError,
    },
    log_limit::LogLimit,
};

/// The longest host name of another server that is kept, in characters, as DNS has it.
const HOST_NAME_MAX: usize = 253;

/// A message as a bus carried it.
pub struct BridgedMessage {
    pub room: RoomName,
    /// As the other server wrote it; characters that a name cannot have are removed.
    pub author: Option<String>,
    pub text: String,
    /// Host name of the server that accepted it, where the bus tells it.
    pub replica: Option<String>,
    /// The same for every delivery of the message.
    pub key: IdempotencyKey,
    pub direct: Option<Envelope>,
}

/// Stores the messages of one bridge.
pub struct Receiver {
    context: Arc<BridgeContext>,
    bridge: BridgeName,
    log_limit: LogLimit,
}

impl Receiver {
    pub fn new(context: Arc<BridgeContext>, bridge: &BridgeName) -> Self {
        Self {
            context,
            bridge: bridge.clone(),
            log_limit: LogLimit::default(),
        }
    }

    /// Returns once the message is stored or refused. Waits while the store fails, so that the order stays.
    ///
    /// # Errors
    /// The store is closed.
    pub async fn take(&self, foreign: BridgedMessage) -> Result<(), StoreError> {
        let host_name = foreign
            .replica
            .as_deref()
            .map(printable)
            .unwrap_or_default();
        let post = Post {
            room: foreign.room,
            author: foreign.author.as_deref().and_then(AuthorName::shortened),
            text: foreign.text.into(),
            key: Some(foreign.key),
            replica: host_name.into(),
            bridge: Some(self.bridge.clone()),
            direct: foreign.direct,
        };
        let mut is_failing = false;
        loop {
            let error = match self.keep(post.clone()).await {
                Ok(()) => return Ok(()),
                Err(Refused::Store(StoreError::InboxFull(waiting))) => {
                    self.refused(&StoreError::InboxFull(waiting));
                    return Ok(());
                }
                Err(Refused::Store(error)) => error,
                Err(refused) => {
                    self.refused(&refused);
                    return Ok(());
                }
            };
            if let StoreError::Closed = error {
                return Err(error);
            }
            if !std::mem::replace(&mut is_failing, true) {
                tracing::warn!(bridge = %self.bridge, %error, "a message of a bridge waits for the store");
            }
            sleep(PAUSE).await;
        }
    }

    async fn keep(&self, post: Post) -> Result<(), Refused> {
        self.context.chat.relay(post).await?.await?;
        Ok(())
    }

    /// Logs, at a bounded rate, that a message is dropped.
    pub fn refused(&self, why: &dyn std::fmt::Display) {
        if let Some(unsaid_before) = self.log_limit.due() {
            tracing::warn!(
                bridge = %self.bridge, %why, unsaid_before,
                "refused what a bridge sent"
            );
        }
    }
}

/// A host name without characters that a page should not show.
fn printable(name: &str) -> String {
    let fits = |c: &char| !c.is_control() && !c.is_whitespace();
    name.chars().filter(fits).take(HOST_NAME_MAX).collect()
}
