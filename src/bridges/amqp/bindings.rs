//! Who is connected to this replica, as bindings of our queue on `direct_logs`. Each replica has a *slot*, whose
//! number its bindings bear, so that nobody unbinds what another one needs; who is bound is noted beside the store
//! first, so that whoever has the slot next unbinds those that are gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use lapin::{Channel, Connection};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    broker::{Broker, Trouble},
    direct_logs::{EXCHANGE, routing_key},
};
use crate::{
    bridges::{BridgeContext, again},
    chat::{message::UserId, store::StoreError},
    cluster::lease::Lease,
};

/// Replicas that can have a slot.
const SLOTS: usize = 64;

/// How long somebody stays bound after leaving: a page that is loaded anew misses nothing, nor does
/// whoever goes to another replica.
const LINGER: Duration = Duration::from_secs(30);

/// How often it is looked for who has lingered long enough, and whether the connection is there.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// How long comings are gathered.
const GATHER: Duration = Duration::from_millis(20);

/// How often slots of replicas that are gone are looked for.
const SWEEP_PERIOD: Duration = Duration::from_secs(30);

/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Binds and unbinds.
pub(super) struct Bindings {
    context: Arc<BridgeContext>,
    broker: Arc<Broker>,
    /// One for each slot.
    leases: Vec<Lease>,
}

/// Who is bound in a slot, by id; where somebody is gone, since when.
type Bound = BTreeMap<String, Option<Instant>>;

impl Bindings {
    pub fn new(context: Arc<BridgeContext>, broker: Arc<Broker>) -> Result<Self, getrandom::Error> {
        let leases = (0..SLOTS)
            .map(|slot| context.lease(&format!("direct_logs {slot}")))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            context,
            broker,
            leases,
        })
    }

    /// Binds those who come and unbinds those who have gone, until `stopping`: whoever is bound then may come
    /// to another replica in a moment, which unbinds those who do not.
    pub async fn run(&self, stopping: &CancellationToken) {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&self) {
        let mut is_failing = false;
        loop {
            let mut had_slot = false;
            for (slot, lease) in self.leases.iter().enumerate() {
                let Some(ended) = lease.while_held_now(self.work(slot)).await else {
                    continue;
                };
                had_slot = true;
                match ended {
                    None | Some(Ok(())) => is_failing = false,
                    Some(Err(trouble)) => {
                        if !std::mem::replace(&mut is_failing, true) {
                            tracing::warn!(%trouble, "cannot tell direct_logs who is connected here, trying again");
                        }
                    }
                }
                break;
            }
            if !had_slot {
                tracing::debug!("no slot for bindings is free, or redis is away");
            }
            sleep(PAUSE).await;
        }
    }

    /// Works in a slot until something fails; without an error the store is closed.
    async fn work(&self, slot: usize) -> Result<(), Trouble> {
        let Ok(mark) = self.context.mark().await else {
            return Ok(());
        };
        let (_connection, channel) = self.connect(mark).await?;
        tokio::select! {
            ended = self.follow(slot, &channel, mark) => ended,
            ended = self.sweep(slot, &channel, mark) => ended,
        }
    }

    async fn follow(&self, slot: usize, channel: &Channel, mark: &str) -> Result<(), Trouble> {
        let Ok(mut bound) = self.noted(slot).await else {
            return Ok(());
        };
        let direct = &self.context.chat.direct;
        let mut changes = direct.changes();
        // The exchange may be a new one, without any binding.
        let mut missing: BTreeSet<_> = bound.keys().cloned().collect();
        loop {
            changes.mark_unchanged();
            let users = direct.users().into_iter();
            let here: BTreeSet<_> = users.map(|user| user.as_str().to_owned()).collect();
            let new = here.iter().filter(|user| !bound.contains_key(*user));
            let new: Vec<_> = new.cloned().collect();
            if !new.is_empty() {
                bound.extend(new.iter().map(|user| (user.clone(), None)));
                if self.note(slot, &bound).await.is_err() {
                    return Ok(());
                }
            }
            missing.extend(new);
            for user in std::mem::take(&mut missing) {
                EXCHANGE.bind_in(channel, mark, &key(&user), slot).await?;
            }
            if let Err(StoreError::Closed) = self
                .unbind_gone(slot, &mut bound, &here, channel, mark)
                .await?
            {
                return Ok(());
            }
            let _ = timeout(LOOK_PERIOD, changes.changed()).await;
            sleep(GATHER).await;
            // With the connection goes the exchange, perhaps, and what was bound to it.
            if !channel.status().connected() {
                return Err(Trouble::Away("the connection is gone".into()));
            }
        }
    }

    async fn connect(&self, mark: &str) -> Result<(Connection, Channel), Trouble> {
        let connection = self.broker.connect("direct_logs bindings").await?;
        EXCHANGE.declare(&connection).await?;
        let channel = connection.create_channel().await?;
        EXCHANGE.declare_queue(&channel, mark).await?;
        Ok((connection, channel))
    }

    /// Unbinds whoever has been gone for long enough. An inner error says that the store is closed.
    async fn unbind_gone(
        &self,
        slot: usize,
        bound: &mut Bound,
        here: &BTreeSet<String>,
        channel: &Channel,
        mark: &str,
    ) -> Result<Result<(), StoreError>, Trouble> {
        let now = Instant::now();
        for (user, gone) in bound.iter_mut() {
            *gone = match here.contains(user) {
                true => None,
                false => Some(gone.unwrap_or(now)),
            };
        }
        let lingered = |gone: &Option<Instant>| gone.is_some_and(|gone| now - gone >= LINGER);
        let over: Vec<_> = bound.iter().filter(|(_, gone)| lingered(gone)).collect();
        if over.is_empty() {
            return Ok(Ok(()));
        }
        for (user, _) in over {
            EXCHANGE.unbind_in(channel, mark, &key(user), slot).await?;
        }
        bound.retain(|_, gone| !lingered(gone));
        Ok(self.note(slot, bound).await)
    }

    /// Unbinds whom replicas left bound that are gone for good. Whoever comes back takes the first free slot, so
    /// what it had is there.
    async fn sweep(&self, own: usize, channel: &Channel, mark: &str) -> Result<(), Trouble> {
        loop {
            sleep(SWEEP_PERIOD).await;
            for (slot, lease) in self.leases.iter().enumerate() {
                let Ok(bound) = self.noted(slot).await else {
                    return Ok(());
                };
                if slot == own || bound.is_empty() {
                    continue;
                }
                let emptying = async {
                    for user in bound.keys() {
                        EXCHANGE.unbind_in(channel, mark, &key(user), slot).await?;
                    }
                    let _ = self.note(slot, &Bound::new()).await;
                    Ok::<_, Trouble>(())
                };
                if let Some(Some(emptied)) = lease.while_held_now(emptying).await {
                    emptied?;
                }
            }
        }
    }

    /// Who is noted as bound in a slot.
    async fn noted(&self, slot: usize) -> Result<Bound, StoreError> {
        let name = name(slot);
        let noted = again(|| self.context.store.bookmark(&name)).await?;
        let users: Vec<String> = noted
            .and_then(|noted| serde_json::from_str(&noted).ok())
            .unwrap_or_default();
        Ok(users.into_iter().map(|user| (user, None)).collect())
    }

    async fn note(&self, slot: usize, bound: &Bound) -> Result<(), StoreError> {
        let users: Vec<_> = bound.keys().collect();
        let users = serde_json::to_string(&users).expect("strings encode as JSON");
        let name = name(slot);
        again(|| self.context.store.set_bookmark(&name, &users)).await
    }
}

fn name(slot: usize) -> String {
    format!("direct_logs bound {slot}")
}

fn key(user: &str) -> String {
    user.parse()
        .map_or_else(|_| String::new(), |user: UserId| routing_key(&user))
}
