//! Exchange `direct_logs` of kschat: messages from one person to another, with the other's id as routing key. What the
//! broker returns because no server has its recipient stays pending here; what an old server took does not.
//! Who is connected to us is bound to our queue by `bindings`.

use std::{collections::HashSet, sync::Arc, time::Duration};

use lapin::{ExchangeKind, message::Delivery};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    broker::{Broker, Trouble},
    exchange::Exchange,
    intake::{Intake, Said, Unreadable, parse},
    publisher::{Manner, Publication, Published, Publisher},
};
use crate::{
    bridges::{BridgeContext, PAUSE, again, receiver::Receiver, status::Status},
    chat::{
        message::{Direct, Envelope, Message, MessageId, RoomName, UserId},
        store::{DirectMessages, Limit, StoreError},
    },
    dialects::escape,
};

pub(super) static EXCHANGE: Exchange = Exchange {
    name: "direct_logs",
    kind: ExchangeKind::Direct,
    auto_delete: false,
};

/// Messages published at once: as many may come twice after a crash.
const BATCH: usize = 32;

/// How long a broker that was away has to be back before we tell what has waited, as on the other exchanges.
const OTHERS_RETURN: Duration = Duration::from_secs(5);

/// How long it is relied on being told that something was said.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// How long our own queue may take to bring back what it was given last. After that it is taken for granted that
/// it got a message, which then waits here.
const COMING_BACK: Duration = Duration::from_secs(20);

/// Under this name it is noted how far the bus was told.
const BOOKMARK: &str = "direct_logs out";

const MANNER: Manner = Manner {
    content_type: None,
    registered: true,
};

/// What old servers bind and publish with.
pub(super) fn routing_key(user: &UserId) -> String {
    format!("ks_{user}")
}

/// Works on the exchange.
pub(super) struct DirectLogs {
    context: Arc<BridgeContext>,
    broker: Arc<Broker>,
    status: Arc<Status>,
    receiver: Receiver,
}

/// What our queue has brought back of what we published.
#[derive(Default)]
struct CameBack {
    ids: HashSet<String>,
    /// The last probe.
    probe: Option<String>,
}

impl DirectLogs {
    pub fn new(context: Arc<BridgeContext>, broker: Arc<Broker>, status: Arc<Status>) -> Self {
        Self {
            receiver: Receiver::new(context.clone(), status.name()),
            context,
            broker,
            status,
        }
    }

    /// Has the bus told what is written from now on, if it never was. An error says that the store is closed.
    pub async fn begin(&self) -> Result<(), StoreError> {
        self.place().await.map(|_| ())
    }

    /// Works both ways until something fails, or everything is told after `stopping`.
    pub async fn session(
        &self,
        stopping: &CancellationToken,
        was_away: bool,
    ) -> Result<(), Trouble> {
        let Ok(mark) = self.context.mark().await else {
            return Ok(());
        };
        let connection = self.broker.connect("direct_logs in").await?;
        EXCHANGE.declare(&connection).await?;
        let channel = connection.create_channel().await?;
        EXCHANGE.declare_queue(&channel, mark).await?;
        let publisher =
            Publisher::open(&self.broker, &self.status, &EXCHANGE, MANNER, mark).await?;
        self.status.connected();
        let intake = Intake {
            context: &self.context,
            receiver: &self.receiver,
            exchange: &EXCHANGE,
            channel: &channel,
            mark,
        };
        let came_back = watch::Sender::new(CameBack::default());
        let box_size = self.context.chat.limits().pending;
        tokio::select! {
            ended = intake.run(|body| read(body, box_size), |own| note(&came_back, own)) => ended,
            ended = async {
                if was_away {
                    sleep(OTHERS_RETURN).await;
                }
                self.tell(publisher, &came_back, mark, stopping).await
            } => ended,
        }
    }

    async fn tell(
        &self,
        mut publisher: Publisher,
        came_back: &watch::Sender<CameBack>,
        mark: &str,
        stopping: &CancellationToken,
    ) -> Result<(), Trouble> {
        let store = &*self.context.store;
        let mut passed = self.context.chat.rooms.passed();
        let Ok(mut place) = self.place().await else {
            return Ok(());
        };
        loop {
            passed.mark_unchanged();
            let Ok(waiting) = again(|| store.direct_messages(place, Limit::messages(BATCH))).await
            else {
                return Ok(());
            };
            let Some((last, _)) = waiting.messages.last() else {
                if waiting.newest != place {
                    place = self.skip(place, &waiting);
                } else if stopping.is_cancelled() {
                    return Ok(());
                } else {
                    tokio::select! {
                        _ = timeout(LOOK_PERIOD, passed.changed()) => {}
                        // What was kept until then has passed the tail a moment later.
                        () = stopping.cancelled() => sleep(PAUSE / 4).await,
                    }
                }
                continue;
            };
            let lost = (last - place).saturating_sub(waiting.messages.len() as u64);
            self.say_lost(lost);
            let ours: Vec<_> = (waiting.messages.iter())
                .filter(|(_, message)| message.bridge.as_ref() != Some(self.status.name()))
                .collect();
            let publications: Vec<_> = (ours.iter())
                .filter_map(|(number, message)| publication(*number, message))
                .collect();
            let Published { confirmed, trouble } = publisher.publish(&publications).await;
            place = match trouble {
                None => *last,
                Some(_) => match confirmed.len().checked_sub(1) {
                    Some(last) => ours[last].0,
                    None => place,
                },
            };
            let noted = place.to_string();
            if again(|| store.set_bookmark(BOOKMARK, &noted))
                .await
                .is_err()
            {
                return Ok(());
            }
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
            let routed = (ours.iter().zip(&publications).zip(confirmed)).filter_map(
                |((ours, publication), routed)| routed.then_some((&ours.1, &publication.id)),
            );
            let routed: Vec<_> = routed.collect();
            if !routed.is_empty() {
                self.settle(&mut publisher, came_back, mark, &routed)
                    .await?;
            }
        }
    }

    /// Takes what an old server got out of its recipient's box. Our own queue gets what is for people who are
    /// connected to us, and they have it from us; so whatever was routed and does not come back through that was
    /// taken by an old server alone. A probe that follows it through the queue tells when it would have come.
    async fn settle(
        &self,
        publisher: &mut Publisher,
        came_back: &watch::Sender<CameBack>,
        mark: &str,
        routed: &[(&Arc<Message>, &String)],
    ) -> Result<(), Trouble> {
        let probe = format!("probe-{:016x}", getrandom::u64().unwrap_or_default());
        let publication = Publication {
            exchange: "",
            key: EXCHANGE.queue(mark).to_string(),
            body: Vec::new(),
            id: probe.clone(),
        };
        let Published { trouble, .. } = publisher.publish(&[publication]).await;
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        let mut watching = came_back.subscribe();
        let came = watching.wait_for(|came| came.probe.as_ref() == Some(&probe));
        let taken: Vec<_> = match timeout(COMING_BACK, came).await {
            Ok(Ok(came)) => routed
                .iter()
                .filter(|(_, id)| !came.ids.contains(*id))
                .collect(),
            _ => return Ok(()),
        };
        for (message, _) in taken {
            let Some(Direct { to, place, .. }) = message.direct.as_deref() else {
                continue;
            };
            if again(|| self.context.store.acknowledge(to, vec![*place]))
                .await
                .is_err()
            {
                break;
            }
        }
        came_back.send_modify(|came| came.ids.clear());
        Ok(())
    }

    /// How far the bus was told. An error says that the store is closed.
    async fn place(&self) -> Result<u64, StoreError> {
        let store = &*self.context.store;
        let noted = match again(|| store.bookmark(BOOKMARK)).await? {
            Some(noted) => noted,
            None => {
                let newest = again(|| store.direct_messages(u64::MAX, Limit::NOTHING))
                    .await?
                    .newest
                    .to_string();
                again(|| store.first_bookmark(BOOKMARK, &newest)).await?
            }
        };
        Ok(noted.parse().unwrap_or(0))
    }

    /// Nothing is kept of what follows a place.
    fn skip(&self, place: u64, waiting: &DirectMessages) -> u64 {
        if waiting.newest < place {
            tracing::error!(bridge = %self.status.name(), "the store has another epoch: messages that were not sent yet are unknown; going on at its end");
            return waiting.newest;
        }
        let next = waiting.newest.min(place + BATCH as u64);
        self.say_lost(next - place);
        next
    }

    fn say_lost(&self, messages: u64) {
        if messages > 0 {
            tracing::error!(
                bridge = %self.status.name(), messages,
                "messages were removed by --retain before the bridge sent them"
            );
        }
    }
}

fn note(came_back: &watch::Sender<CameBack>, own: &Delivery) {
    let Some(id) = own.properties.message_id() else {
        return;
    };
    came_back.send_modify(|came| {
        // What is published with our key alone is a probe.
        if own.exchange.as_str().is_empty() {
            came.probe = Some(id.to_string());
        } else {
            came.ids.insert(id.to_string());
        }
    });
}

/// What is published of a message.
fn publication(number: u64, message: &Message) -> Option<Publication> {
    #[derive(Serialize)]
    struct Body<'a> {
        #[serde(rename = "uId")]
        from: &'a UserId,
        #[serde(rename = "pId")]
        to: &'a UserId,
        msg: &'a str,
        #[serde(rename = "rStatus")]
        status: u8,
        #[serde(rename = "msgTime")]
        time: i64,
    }
    let Direct { from, to, .. } = message.direct.as_deref()?;
    let body = Body {
        from,
        to,
        msg: &escape(&message.text),
        status: 1,
        time: message.time.as_millisecond(),
    };
    let epoch = message.id.epoch;
    Some(Publication {
        exchange: EXCHANGE.name,
        key: routing_key(to),
        body: serde_json::to_vec(&body).expect("strings and numbers encode as JSON"),
        id: MessageId { seq: number, epoch }.to_string(),
    })
}

fn read(body: &[u8], box_size: usize) -> Result<Option<Said>, Unreadable> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "uId")]
        from: UserId,
        #[serde(rename = "pId")]
        to: UserId,
        msg: String,
    }
    let shape = "it is {uId, pId, msg, rStatus, msgTime}, the ids strings or whole numbers";
    let Body { from, to, msg } = parse(body, shape)?;
    Ok(Some(Said {
        room: RoomName::direct(&from, &to),
        author: None,
        text: msg,
        replica: None,
        direct: Some(Envelope { from, to, box_size }),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::message::testing::said_by;

    #[test]
    fn a_body_has_the_ids_as_they_came_and_no_markup() {
        let (from, to) = (serde_json::from_str("7").unwrap(), "bob".parse().unwrap());
        let message = Message {
            direct: Some(Box::new(Direct {
                from,
                to,
                place: 1,
                key: None,
            })),
            ..said_by(None, "a<b>")
        };
        let publication = publication(3, &message).unwrap();
        let expected = "{\"uId\":7,\"pId\":\"bob\",\"msg\":\"a&lt;b>\",\"rStatus\":1,\"msgTime\":1767323045678}";
        assert_eq!(String::from_utf8(publication.body).unwrap(), expected);
        assert_eq!(
            (&*publication.key, &*publication.id),
            ("ks_bob", "3-00000001")
        );
    }

    #[test]
    fn bodies_are_read_and_what_is_none_is_refused() {
        let said = read(
            br#"{"uId":7,"pId":"8","msg":"<i>","rStatus":1,"msgTime":5}"#,
            9,
        );
        let said = said.unwrap().unwrap();
        let Envelope { from, to, box_size } = said.direct.unwrap();
        assert_eq!((from.as_str(), to.as_str(), box_size), ("7", "8", 9));
        assert_eq!(
            (&*said.text, said.room),
            ("<i>", RoomName::direct(&from, &to))
        );
        for body in [
            "",
            "{}",
            r#"{"uId":7,"msg":"x"}"#,
            r#"{"uId":7.5,"pId":8,"msg":"x"}"#,
            r#"{"uId":null,"pId":8,"msg":"x"}"#,
            r#"{"uId":7,"pId":8,"msg":["x"]}"#,
        ] {
            assert!(read(body.as_bytes(), 9).is_err(), "{body}");
        }
    }
}
