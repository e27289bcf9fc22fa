//! How much is sent to a reader that catches up: as much as it has shown that it takes. What waits for a client
//! costs memory, and one that polls need not even keep a connection open for it. So the first of it is little, the
//! rest waits in the store, and each time that the reader has taken what it was sent it may be sent twice as much.

use crate::chat::{socket::Socket, store::Limit};

/// Bytes that are queued for a reader of which nothing is known. A longer message waits until nothing else is queued.
pub(super) const AT_FIRST: usize = 8 * 1024;

/// Bytes that are queued at most, whatever the reader took before; what is read from the store at once, too.
pub(super) const AT_MOST: usize = 128 * 1024;

/// Bytes of an event besides the text of its message, about.
const FRAMING: usize = 200;

/// What one reader was sent so far, in bytes, and whether it has just taken all of it.
#[derive(Default)]
pub(super) struct Pace {
    sent: usize,
    has_taken: bool,
}

/// Whether something may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    Send,
    /// Not before the reader has taken what is queued.
    Wait,
    /// The reader is gone.
    Stop,
}

impl Pace {
    /// Whether an event of so many bytes may be queued now; if so, it counts.
    pub fn may_send(&mut self, reader: &dyn Socket, bytes: usize) -> May {
        let Some(backlog) = reader.backlog() else {
            return May::Stop;
        };
        let fits = backlog.bytes + bytes <= self.most(backlog.bytes);
        // What others queue meanwhile must not keep a long message waiting for ever.
        let may = backlog.bytes == 0 || (!backlog.is_half_full && (fits || self.has_taken));
        if !may {
            return May::Wait;
        }
        self.has_taken = false;
        self.sent += bytes;
        May::Send
    }

    /// Waits until the reader has taken what is queued, or is gone.
    pub async fn wait(&mut self, reader: &dyn Socket) {
        reader.emptied().await;
        self.has_taken = true;
    }

    /// How much is worth reading for this reader. A power of two, so that readers who begin together ask for the same.
    pub fn page(&self, reader: &dyn Socket) -> Limit {
        let queued = reader.backlog().map_or(0, |backlog| backlog.bytes);
        let bytes = 1 << self.most(queued).ilog2();
        Limit {
            messages: bytes / FRAMING,
            bytes,
        }
    }

    fn most(&self, queued: usize) -> usize {
        self.sent.saturating_sub(queued).clamp(AT_FIRST, AT_MOST)
    }
}
