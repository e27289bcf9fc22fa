//! What comes in from a neighbour: held to the same rules as what a peer says, and kept once.

use std::sync::Arc;

use tokio::time::sleep;

use super::{PAUSE, Site};
use crate::{
    chat::{
        Refused,
        log::LogError,
        message::{AuthorName, Envelope, IdempotencyKey, NeighbourName, Post, RoomName},
    },
    complaints::Complaints,
};

/// The longest host name of another server that is kept, in characters, as DNS has it.
const HOST_NAME_MAX: usize = 253;

/// A message as a neighbour had it.
pub struct Foreign {
    pub room: RoomName,
    /// As the neighbour wrote it; what cannot be a name here is cut.
    pub author: Option<String>,
    pub text: String,
    /// The host name of the replica that took it, where that is known.
    pub replica: Option<String>,
    /// The same whenever it is the same message.
    pub key: IdempotencyKey,
    pub direct: Option<Envelope>,
}

/// Takes in what one neighbour says.
pub struct Inbox {
    site: Arc<Site>,
    neighbour: NeighbourName,
    complaints: Complaints,
}

impl Inbox {
    pub fn new(site: Arc<Site>, neighbour: &NeighbourName) -> Self {
        Self {
            site,
            neighbour: neighbour.clone(),
            complaints: Complaints::default(),
        }
    }

    /// Returns once it is kept, or is refused for good. Waits for a log that fails, so that those taken one
    /// after the other are kept in that order; an error says that the log is closed.
    pub async fn take(&self, foreign: Foreign) -> Result<(), LogError> {
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
            neighbour: Some(self.neighbour.clone()),
            direct: foreign.direct,
        };
        let mut is_failing = false;
        loop {
            let error = match self.keep(post.clone()).await {
                Ok(()) => return Ok(()),
                Err(Refused::Log(LogError::BoxFull(waiting))) => {
                    self.refused(&LogError::BoxFull(waiting));
                    return Ok(());
                }
                Err(Refused::Log(error)) => error,
                Err(refused) => {
                    self.refused(&refused);
                    return Ok(());
                }
            };
            if let LogError::Closed = error {
                return Err(error);
            }
            if !std::mem::replace(&mut is_failing, true) {
                tracing::warn!(neighbour = %self.neighbour, %error, "a message of a neighbour waits for the log");
            }
            sleep(PAUSE).await;
        }
    }

    async fn keep(&self, post: Post) -> Result<(), Refused> {
        self.site.chat.relay(post).await?.await?;
        Ok(())
    }

    /// Something that is no message, or not one for us: it is not asked for again.
    pub fn refused(&self, why: &dyn std::fmt::Display) {
        if let Some(unsaid_before) = self.complaints.due() {
            tracing::warn!(
                neighbour = %self.neighbour, %why, unsaid_before,
                "refused what a neighbour sent"
            );
        }
    }
}

/// A host name as pages may show it.
fn printable(name: &str) -> String {
    let fits = |c: &char| !c.is_control() && !c.is_whitespace();
    name.chars().filter(fits).take(HOST_NAME_MAX).collect()
}
