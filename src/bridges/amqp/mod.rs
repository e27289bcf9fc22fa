//! The buses of a RabbitMQ: exchanges that the old chats publish on, one file each (`messages`,
//! `chat_exchange`, `direct_logs`). This one keeps a session on each going, for ever: `fanout` is what happens in one
//! of the first two, on `broker`'s connections, with `exchange` declared, `publisher` telling and `intake` hearing.

mod address;
mod bindings;
mod broker;
mod chat_exchange;
mod direct_logs;
mod exchange;
mod fanout;
mod intake;
mod messages;
mod publisher;
mod survey;
mod taken;

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use self::{
    address::{Address, InvalidAddress},
    survey::{Found, survey},
};
use self::{
    bindings::Bindings,
    broker::{Broker, Trouble},
    direct_logs::DirectLogs,
    exchange::Exchange,
    fanout::Fanout,
};
use super::{
    BridgeContext,
    status::{Status, Watched},
};
use crate::cluster::lease::Lease;

/// The first pause after a failure; each is twice as long as the one before.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);

/// The longest, so that bridges are back soon after the broker is.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The pause where somebody has to change something first: a password, an exchange.
const REFUSED_PAUSE: Duration = Duration::from_secs(15);

/// How long this replica waits for its turn before it is said to stand by.
const TURN: Duration = Duration::from_secs(3);

/// An exchange that an old chat publishes on, by its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    Messages,
    DirectLogs,
    ChatExchange,
}

impl Bus {
    pub const ALL: [Self; 3] = [Self::Messages, Self::DirectLogs, Self::ChatExchange];

    /// The exchange's name.
    pub fn name(self) -> &'static str {
        self.exchange().name
    }

    fn exchange(self) -> &'static Exchange {
        match self {
            Self::Messages => &messages::EXCHANGE,
            Self::DirectLogs => &direct_logs::EXCHANGE,
            Self::ChatExchange => &chat_exchange::EXCHANGE,
        }
    }
}

/// Not one of [`Bus::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such exchange; there are {}", Bus::ALL.map(Bus::name).join(", "))]
pub struct NoSuchBus;

impl FromStr for Bus {
    type Err = NoSuchBus;

    fn from_str(name: &str) -> Result<Self, NoSuchBus> {
        let named = Self::ALL.into_iter().find(|bus| bus.name() == name);
        named.ok_or(NoSuchBus)
    }
}

/// One bus of a broker.
pub struct Bridge {
    status: Arc<Status>,
    lease: Lease,
    work: Work,
}

/// What is done on a bus.
enum Work {
    Fanout(Fanout),
    Direct(Box<(DirectLogs, Bindings)>),
}

impl Bridge {
    /// Connects to nothing until it runs.
    pub fn new(
        context: &Arc<BridgeContext>,
        address: Address,
        bus: Bus,
    ) -> Result<Self, getrandom::Error> {
        let status = Arc::new(Status::new(bus.name()));
        let broker = Arc::new(Broker::new(address));
        let fanout = |format: Box<dyn fanout::Format>| {
            Work::Fanout(Fanout::new(
                context.clone(),
                broker.clone(),
                status.clone(),
                format,
            ))
        };
        let work = match bus {
            Bus::Messages => fanout(Box::new(messages::Messages)),
            Bus::ChatExchange => fanout(Box::new(chat_exchange::ChatExchange)),
            Bus::DirectLogs => Work::Direct(Box::new((
                DirectLogs::new(context.clone(), broker.clone(), status.clone()),
                Bindings::new(context.clone(), broker)?,
            ))),
        };
        Ok(Self {
            lease: context.lease(bus.name())?,
            work,
            status,
        })
    }

    pub fn watch(&self) -> Watched {
        self.status.watch()
    }

    /// Works on the bus whenever it is this replica's turn. Once `stopping`, tells what is still to be told
    /// and ends.
    pub async fn run(self, stopping: CancellationToken) {
        match &self.work {
            Work::Fanout(fanout) => {
                if fanout.begin().await.is_ok() {
                    let session = |was_away| fanout.session(&stopping, was_away);
                    self.take_turns(session, &stopping).await;
                }
            }
            Work::Direct(direct) => {
                let (bus, bindings) = &**direct;
                if bus.begin().await.is_ok() {
                    let session = |was_away| bus.session(&stopping, was_away);
                    tokio::join!(self.take_turns(session, &stopping), bindings.run(&stopping));
                }
            }
        }
    }

    async fn take_turns<S>(&self, begin: impl Fn(bool) -> S, stopping: &CancellationToken)
    where
        S: Future<Output = Result<(), Trouble>>,
    {
        let mut pause = SHORTEST_PAUSE;
        let mut was_away = false;
        while !stopping.is_cancelled() {
            let has_begun = AtomicBool::new(false);
            let session = async {
                has_begun.store(true, Ordering::Relaxed);
                begin(was_away).await
            };
            let turn = self.lease.while_held(session);
            let not_begun = async {
                let _ = timeout(TURN, stopping.cancelled()).await;
                if !has_begun.load(Ordering::Relaxed) {
                    self.status.standing_by();
                    stopping.cancelled().await;
                }
                if has_begun.load(Ordering::Relaxed) {
                    std::future::pending().await
                }
            };
            let ended = tokio::select! {
                ended = turn => ended,
                () = not_begun => return,
            };
            let trouble = match ended {
                Some(Ok(())) => return,
                Some(Err(trouble)) => trouble,
                None => {
                    self.status.standing_by();
                    continue;
                }
            };
            was_away = true;
            if self.status.is_connected() {
                pause = SHORTEST_PAUSE;
            }
            let rest = self.say(&trouble, pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            tokio::select! {
                () = sleep(rest) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Says what the trouble is. Returns how long to leave the broker alone.
    fn say(&self, trouble: &Trouble, pause: Duration) -> Duration {
        match trouble {
            Trouble::Away(why) => {
                self.status.away(why);
                // Replicas that lost the broker at the same time need not come back at the same time.
                let part = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
                pause.mul_f64(0.5 + part / 2.0)
            }
            Trouble::Refused(why) => {
                self.status.away(why);
                REFUSED_PAUSE
            }
            Trouble::Misdeclared(why) => {
                self.status.misdeclared(why);
                REFUSED_PAUSE
            }
        }
    }
}
