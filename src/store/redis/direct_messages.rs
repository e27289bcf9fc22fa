//! Direct messages: what waits for a person, what becomes of it, and how threads stand. Questions
//! go over the readers' connection; each may be asked twice without harm.

use std::sync::Arc;

use redis::{Script, Value, from_redis_value};
use tokio::sync::broadcast;

use super::{
    failure,
    reader::{Question, Reader, stored},
    row::{self, Entry, stored_user},
};
use crate::chat::{
    message::{Direct, Epoch, MessageId, RoomName, UserId},
    store::{self, Limit, Receipt, ReceiptKind, StoreError, Thread, ThreadState, Waiting},
};

pub(super) struct DirectMessages {
    pub reader: Arc<Reader>,
    /// Tells this process' receipts from those of others.
    pub name: String,
    pub receipts: broadcast::Sender<Receipt>,
    acknowledge: Script,
    mark: Script,
    pending: Script,
    direct_messages: Script,
    talks: Script,
}

impl DirectMessages {
    pub fn new(reader: Arc<Reader>, name: String, receipts: broadcast::Sender<Receipt>) -> Self {
        Self {
            reader,
            name,
            receipts,
            acknowledge: Script::new(include_str!("acknowledge.lua")),
            mark: Script::new(include_str!("mark.lua")),
            pending: Script::new(include_str!("box.lua")),
            direct_messages: Script::new(include_str!("letters.lua")),
            talks: Script::new(include_str!("talks.lua")),
        }
    }

    pub async fn pending(
        &self,
        user: &UserId,
        after: u64,
        limit: Limit,
    ) -> Result<Waiting, StoreError> {
        let redis = self.reader.link.redis();
        let mut pending = self.pending.prepare_invoke();
        pending
            .key(redis.key("history"))
            .arg(redis.key(""))
            .arg(user.as_str())
            .arg(after)
            .arg(stored(limit.messages))
            .arg(stored(limit.bytes));
        let question = Question::Script(&pending);
        let (epoch, entries, more): (String, Vec<Entry>, bool) = self.reader.ask(question).await?;
        let Some(epoch) = known(&epoch) else {
            return Ok(Waiting::default());
        };
        let messages = row::messages(entries, None, epoch).map_err(failure)?;
        Ok(Waiting { messages, more })
    }

    pub async fn direct_messages(
        &self,
        after: u64,
        limit: Limit,
    ) -> Result<store::DirectMessages, StoreError> {
        let redis = self.reader.link.redis();
        let mut direct_messages = self.direct_messages.prepare_invoke();
        direct_messages
            .key(redis.key("history"))
            .key(redis.key("letters"))
            .arg(redis.key(""))
            .arg(after)
            .arg(stored(limit.messages))
            .arg(stored(limit.bytes));
        let question = Question::Script(&direct_messages);
        let (epoch, newest, found): (String, u64, Vec<(u64, Entry)>) =
            self.reader.ask(question).await?;
        let Some(epoch) = known(&epoch) else {
            return Ok(store::DirectMessages::default());
        };
        let messages = found.iter().map(|(number, entry)| {
            let message = entry.message(None, entry.number, epoch);
            Ok((*number, Arc::new(message.map_err(failure)?)))
        });
        Ok(store::DirectMessages {
            newest,
            messages: messages.collect::<Result<_, StoreError>>()?,
        })
    }

    pub async fn acknowledge(&self, user: &UserId, places: &[u64]) -> Result<(), StoreError> {
        if places.is_empty() {
            return Ok(());
        }
        let redis = self.reader.link.redis();
        let mut acknowledge = self.acknowledge.prepare_invoke();
        acknowledge
            .key(redis.key("history"))
            .key(redis.key("marks"))
            .arg(redis.key(""))
            .arg(user.as_str())
            .arg(&self.name)
            .arg(places);
        let question = Question::Script(&acknowledge);
        let (epoch, taken): (String, Vec<Entry>) = self.reader.ask(question).await?;
        let Some(epoch) = known(&epoch) else {
            return Ok(());
        };
        for message in row::messages(taken, None, epoch).map_err(failure)? {
            if let Some(Direct {
                from, to, place, ..
            }) = message.direct.as_deref()
            {
                self.tell(Receipt {
                    from: from.clone(),
                    to: to.clone(),
                    id: message.id,
                    time: message.time,
                    what: ReceiptKind::Delivered { place: *place },
                });
            }
        }
        Ok(())
    }

    pub async fn read(
        &self,
        reader: &UserId,
        other: &UserId,
        id: MessageId,
    ) -> Result<Option<u64>, StoreError> {
        let redis = self.reader.link.redis();
        let room = RoomName::direct(reader, other);
        let mut mark = self.mark.prepare_invoke();
        mark.key(redis.key("history"))
            .key(redis.key("marks"))
            .key(redis.key(format_args!("room:{room}")))
            .arg(redis.key(""))
            .arg(room.as_str())
            .arg(reader.as_str())
            .arg(stored_user(reader))
            .arg(stored_user(other))
            .arg(id.epoch.0)
            .arg(id.seq)
            .arg(&self.name);
        let answer: Option<(u64, u64)> = self.reader.ask(Question::Script(&mark)).await?;
        let Some((unread, time)) = answer else {
            return Ok(None);
        };
        if time > 0 {
            self.tell(Receipt {
                from: other.clone(),
                to: reader.clone(),
                id,
                time: row::time(time).map_err(failure)?,
                what: ReceiptKind::Read,
            });
        }
        Ok(Some(unread))
    }

    pub async fn thread_state(
        &self,
        user: &UserId,
        other: &UserId,
    ) -> Result<ThreadState, StoreError> {
        let room = RoomName::direct(user, other);
        let one = [room.as_str(), other.as_str()];
        let (epoch, thread_state) = self.talks::<Option<(u64, u64, u64)>>(user, &one).await?;
        let (Some(epoch), Some((delivered, read, unread))) = (known(&epoch), thread_state) else {
            return Ok(ThreadState::default());
        };
        let id = |seq| (seq > 0).then_some(MessageId { seq, epoch });
        Ok(ThreadState {
            delivered: id(delivered),
            read: id(read),
            unread,
        })
    }

    pub async fn threads(&self, user: &UserId, limit: usize) -> Result<Vec<Thread>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let most = stored(limit).to_string();
        let (epoch, all) = self
            .talks::<Vec<(String, u64, Value)>>(user, &[&most])
            .await?;
        let Some(epoch) = known(&epoch) else {
            return Ok(Vec::new());
        };
        all.into_iter()
            .map(|(with, unread, last)| {
                let last: Option<Entry> =
                    from_redis_value(last).map_err(|error| failure(error.into()))?;
                let last = last.map(|entry| entry.message(None, entry.number, epoch));
                Ok(Thread {
                    with: row::user(&with).map_err(failure)?,
                    unread,
                    last: last.transpose().map_err(failure)?.map(Arc::new),
                })
            })
            .collect()
    }

    async fn talks<T: redis::FromRedisValue>(
        &self,
        user: &UserId,
        which: &[&str],
    ) -> Result<(String, T), StoreError> {
        let redis = self.reader.link.redis();
        let mut talks = self.talks.prepare_invoke();
        talks
            .key(redis.key("history"))
            .key(redis.key("places"))
            .arg(redis.key(""))
            .arg(user.as_str())
            .arg(which);
        self.reader.ask(Question::Script(&talks)).await
    }

    fn tell(&self, mark: Receipt) {
        // Nobody may be interested.
        let _ = self.receipts.send(mark);
    }
}

/// None where Redis was emptied a moment ago, and nobody has begun a new history.
fn known(epoch: &str) -> Option<Epoch> {
    epoch.parse().ok().map(Epoch)
}
