//! An exchange whose messages are for everybody: what is said in the lobby goes out, what comes in is said there.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    broker::{Broker, Trouble},
    exchange::Exchange,
    intake::{Intake, Said, Unreadable},
    publisher::{Manner, Publication, Published, Publisher},
};
use crate::{
    bridges::{BridgeContext, PAUSE, receiver::Receiver, sender::Sender, status::Status},
    chat::{
        message::{Message, RoomName},
        store::StoreError,
    },
};

/// Messages published at once: as many may come twice after a crash.
const BATCH: usize = 32;

/// How long a broker that was away has to be back before we tell what has waited: with it went the queues of
/// the old servers, and what is told before they have new ones they do not hear.
const OTHERS_RETURN: Duration = Duration::from_secs(5);

/// The words of an old chat on its exchange.
pub(super) trait Format: Send + Sync {
    fn exchange(&self) -> &'static Exchange;

    /// What its consumers expect the broker to say of a body.
    fn content_type(&self) -> Option<&'static str>;

    fn write(&self, message: &Message) -> Vec<u8>;

    /// Nothing where it is well but no message.
    fn read(&self, body: &[u8]) -> Result<Option<Said>, Unreadable>;
}

/// Works on one exchange.
pub(super) struct Fanout {
    context: Arc<BridgeContext>,
    broker: Arc<Broker>,
    status: Arc<Status>,
    format: Box<dyn Format>,
    receiver: Receiver,
}

impl Fanout {
    pub fn new(
        context: Arc<BridgeContext>,
        broker: Arc<Broker>,
        status: Arc<Status>,
        format: Box<dyn Format>,
    ) -> Self {
        Self {
            receiver: Receiver::new(context.clone(), status.name()),
            context,
            broker,
            status,
            format,
        }
    }

    /// Has the bus told what is said from now on, if it never was. An error says that the store is closed.
    pub async fn begin(&self) -> Result<(), StoreError> {
        Sender::begin(&self.context, self.status.name(), RoomName::lobby()).await
    }

    /// Works both ways until something fails, or everything is told after `stopping`. Where the broker
    /// `was_away`, the others on it are waited for before they are told anything.
    pub async fn session(
        &self,
        stopping: &CancellationToken,
        was_away: bool,
    ) -> Result<(), Trouble> {
        let exchange = self.format.exchange();
        let Ok(mark) = self.context.mark().await else {
            return Ok(());
        };
        let connection = self
            .broker
            .connect(&format!("{} in", exchange.name))
            .await?;
        exchange.declare(&connection).await?;
        let channel = connection.create_channel().await?;
        exchange.declare_queue(&channel, mark).await?;
        exchange.bind(&channel, mark).await?;
        let manner = Manner {
            content_type: self.format.content_type(),
            registered: false,
        };
        let publisher = Publisher::open(&self.broker, &self.status, exchange, manner, mark).await?;
        self.status.connected();
        let intake = Intake {
            context: &self.context,
            receiver: &self.receiver,
            exchange,
            channel: &channel,
            mark,
        };
        tokio::select! {
            ended = intake.run(|body| self.format.read(body), |_| {}) => ended,
            ended = async {
                if was_away {
                    sleep(OTHERS_RETURN).await;
                }
                self.tell(publisher, stopping).await
            } => ended,
        }
    }

    async fn tell(
        &self,
        mut publisher: Publisher,
        stopping: &CancellationToken,
    ) -> Result<(), Trouble> {
        let (context, name) = (&*self.context, self.status.name());
        let Ok(mut sender) = Sender::open(context, name, RoomName::lobby()).await else {
            return Ok(());
        };
        loop {
            let messages = tokio::select! {
                biased;
                messages = sender.next(BATCH) => messages,
                // What is there is given out first.
                () = nothing_left(stopping) => return Ok(()),
            };
            let Ok(messages) = messages else {
                return Ok(());
            };
            let publications: Vec<_> = messages
                .iter()
                .map(|message| self.publication(message))
                .collect();
            let Published { confirmed, trouble } = publisher.publish(&publications).await;
            if let Some(last) = confirmed.len().checked_sub(1) {
                let is_all = confirmed.len() == messages.len();
                let told = if is_all {
                    None
                } else {
                    Some(messages[last].id)
                };
                if sender.sent_until(told).await.is_err() {
                    return Ok(());
                }
            }
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
        }
    }

    fn publication(&self, message: &Message) -> Publication {
        Publication {
            exchange: self.format.exchange().name,
            key: String::new(),
            body: self.format.write(message),
            id: message.id.to_string(),
        }
    }
}

/// Returns a moment after it is to end: what was kept until then has passed the tail.
async fn nothing_left(stopping: &CancellationToken) {
    stopping.cancelled().await;
    sleep(PAUSE / 4).await;
}
