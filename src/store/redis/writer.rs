//! The one task that appends. It takes whatever has been queued, has one script keep it, and answers;
//! the next batch goes out when the fate of this one is known, so that what it kept stays in order.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use redis::{
    ParsingError, RedisError, Script, Value, aio::MultiplexedConnection, from_redis_value,
    make_extension_error,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    failure,
    history::{History, Place},
    row::{self, Entry},
};
use crate::{
    chat::{
        message::{Direct, Envelope, Epoch, Message, MessageId, Post},
        store::StoreError,
    },
    redis::{Retry, is_away, is_unready},
};

/// The most posts in one batch.
const BATCH_POSTS: usize = 256;

/// A batch takes no more posts once their texts have this many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// Messages, and bytes of them, that the tail holds: enough for a replica that was away for a minute.
/// One that was away for longer has its readers start from what they have.
const TAIL_MESSAGES: u64 = 65_536;
const TAIL_BYTES: u64 = 64 << 20;

/// A post that waits for its place.
pub(super) struct Job {
    pub post: Post,
    pub answer: oneshot::Sender<Result<Arc<Message>, StoreError>>,
    /// When whoever said it is told that it did not work out.
    pub until: Instant,
    /// Its part of the queue's bytes, given back when it has been answered.
    pub bytes: OwnedSemaphorePermit,
}

impl Job {
    fn answer(self, answer: Result<Arc<Message>, StoreError>) {
        // Cannot be sent where nobody waits for it any more.
        let _ = self.answer.send(answer);
        drop(self.bytes);
    }
}

pub(super) struct Writer {
    pub history: Arc<History>,
    pub queue: mpsc::Receiver<Job>,
    pub closing: CancellationToken,
    /// The tail has begun, and will tell what is kept from now on.
    pub started: CancellationToken,
    /// Posts kept since the start, for whoever prunes.
    pub kept: Arc<AtomicU64>,
    pub script: Script,
    /// Tells this writer's batches from those of others, of this process and all that ever were.
    pub name: String,
    pub batch: u64,
    pub entered: Option<(MultiplexedConnection, Place)>,
    /// The batch went out at least once, and what became of it then was not heard.
    pub in_doubt: bool,
    pub retry: Retry,
}

/// Why a batch was not answered.
enum Failure {
    /// Redis will not take it.
    Refused(RedisError),
    /// Redis may take it later.
    NotYet(RedisError),
}

impl Writer {
    /// Runs until the store is closed and everything accepted has been answered.
    pub async fn run(mut self) {
        loop {
            let first = tokio::select! {
                biased;
                () = self.closing.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
                job = self.queue.recv() => match job {
                    Some(job) => job,
                    None => break,
                },
            };
            let jobs = self.take_queued(first);
            self.keep(jobs).await;
        }
    }

    fn take_queued(&mut self, first: Job) -> Vec<Job> {
        let mut bytes = first.post.text.len();
        let mut jobs = vec![first];
        while jobs.len() < BATCH_POSTS && bytes < BATCH_BYTES {
            let Ok(job) = self.queue.try_recv() else {
                break;
            };
            bytes += job.post.text.len();
            jobs.push(job);
        }
        // These waited too long already.
        let now = Instant::now();
        let (jobs, late): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.until > now);
        answer_all(late, &StoreError::Busy);
        jobs
    }

    /// Has a batch kept, trying until the last of its posts must be answered.
    async fn keep(&mut self, jobs: Vec<Job>) {
        let Some(until) = jobs.iter().map(|job| job.until).max() else {
            return;
        };
        self.batch += 1;
        self.in_doubt = false;
        loop {
            let posts = jobs.iter().map(|job| &job.post);
            let tried = timeout_at(until, self.append(posts)).await;
            let error = match tried.unwrap_or_else(|_| Err(Failure::NotYet(late()))) {
                Ok(answers) => {
                    self.retry.succeeded();
                    for (job, answer) in jobs.into_iter().zip(answers) {
                        job.answer(answer);
                    }
                    return;
                }
                Err(Failure::Refused(error)) => return answer_all(jobs, &failure(error)),
                Err(Failure::NotYet(error)) => error,
            };
            tokio::select! {
                () = self.retry.pause(&error) => {}
                () = sleep_until(until) => break,
            }
        }
        if self.in_doubt {
            answer_all(jobs, &StoreError::Unknown);
        } else {
            answer_all(jobs, &StoreError::Busy);
        }
    }

    /// Sends a batch once. Its number lets Redis tell a second try from a new batch.
    async fn append<'a>(
        &mut self,
        posts: impl Iterator<Item = &'a Post> + Clone,
    ) -> Result<Vec<Result<Arc<Message>, StoreError>>, Failure> {
        self.started.cancelled().await;
        let (mut connection, entered) = match self.entered.take() {
            Some(entered) => entered,
            None => self.enter().await.map_err(Failure::NotYet)?,
        };
        let redis = &self.history.redis;
        let mut append = self.script.prepare_invoke();
        for key in ["history", "tail", "rooms", "places", "letters"] {
            append.key(redis.key(key));
        }
        append
            .key(redis.key(format_args!("writer:{}", self.name)))
            .arg(&entered.token)
            .arg(self.batch)
            .arg(redis.key(""))
            .arg(TAIL_MESSAGES)
            .arg(TAIL_BYTES);
        for post in posts.clone() {
            append
                .arg(post.room.as_str())
                .arg(post.author.as_ref().map_or("", |author| author.as_str()))
                .arg(&*post.text)
                .arg(&*post.replica)
                .arg(post.key.as_ref().map_or("", |key| key.as_str()))
                .arg(post.bridge.as_ref().map_or("", |bridge| bridge.as_str()));
            match &post.direct {
                Some(Envelope { from, to, box_size }) => append
                    .arg(from.as_str())
                    .arg(to.as_str())
                    .arg(row::stored_user(from))
                    .arg(row::stored_user(to))
                    .arg(*box_size),
                None => append.arg("").arg("").arg("").arg("").arg(""),
            };
        }
        let was_in_doubt = std::mem::replace(&mut self.in_doubt, true);
        let answer: Value = match append.invoke_async(&mut connection).await {
            Ok(answer) => answer,
            Err(error) if is_away(&error) => {
                self.in_doubt = was_in_doubt || !is_unready(&error);
                return Err(Failure::NotYet(error));
            }
            Err(error) => {
                self.entered = Some((connection, entered));
                return Err(Failure::Refused(error));
            }
        };
        let Value::Array(_) = answer else {
            // Another process of Redis, or its data are gone: entered anew with the next try.
            self.in_doubt = was_in_doubt;
            return Err(Failure::NotYet(not_entered()));
        };
        let read = from_redis_value::<(u32, u64, Vec<Value>)>(answer);
        let (epoch, number, answers) = read.map_err(|error| Failure::NotYet(error.into()))?;
        let epoch = Epoch(epoch);
        self.history.saw(Place {
            epoch,
            number,
            token: entered.token.clone(),
        });
        self.entered = Some((connection, entered));
        let answers: Vec<_> = answers
            .into_iter()
            .zip(posts)
            .map(|(answer, post)| read_answer(answer, post, epoch))
            .collect();
        let kept = answers.iter().filter(|answer| answer.is_ok()).count();
        self.kept.fetch_add(kept as u64, Ordering::Relaxed);
        Ok(answers)
    }

    async fn enter(&self) -> Result<(MultiplexedConnection, Place), RedisError> {
        let mut connection = self.history.redis.connect().await?;
        let place = self.history.enter(&mut connection).await?;
        Ok((connection, place))
    }
}

/// What became of one post.
fn read_answer(answer: Value, post: &Post, epoch: Epoch) -> Result<Arc<Message>, StoreError> {
    let read = |error: ParsingError| failure(error.into());
    let fields: Vec<Value> = from_redis_value(answer).map_err(read)?;
    let mut fields = fields.into_iter();
    let mut next = || fields.next().unwrap_or(Value::Nil);
    match &*from_redis_value::<String>(next()).map_err(read)? {
        "kept" => {
            let seq = from_redis_value(next()).map_err(read)?;
            let time = from_redis_value(next()).map_err(read)?;
            let place = from_redis_value(next()).map_err(read)?;
            let direct = post.direct.as_ref().map(|envelope| Direct {
                from: envelope.from.clone(),
                to: envelope.to.clone(),
                place,
                key: post.key.clone(),
            });
            Ok(Arc::new(Message {
                room: post.room.clone(),
                id: MessageId { seq, epoch },
                author: post.author.clone(),
                text: post.text.clone(),
                time: row::time(time).map_err(failure)?,
                replica: post.replica.clone(),
                bridge: post.bridge.clone(),
                direct: direct.map(Box::new),
            }))
        }
        "earlier" => {
            let entry: Entry = from_redis_value(next()).map_err(read)?;
            let earlier = entry.message(Some(&post.room), entry.number, epoch);
            earlier.map(Arc::new).map_err(failure)
        }
        "full" => {
            let size = from_redis_value(next()).map_err(read)?;
            Err(StoreError::InboxFull(size))
        }
        _ => {
            let reason: String = from_redis_value(next()).map_err(read)?;
            let (code, detail) = reason.split_once(' ').unwrap_or(("ERR", &reason));
            let refused = make_extension_error(code.to_owned(), Some(detail.to_owned()));
            Err(failure(refused))
        }
    }
}

fn late() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time").into()
}

fn not_entered() -> RedisError {
    std::io::Error::other("it is another process, or lost its data").into()
}

fn answer_all(jobs: Vec<Job>, error: &StoreError) {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
}
