//! Boxes over a store whose answers and tail are told apart by hand: who is shown what, in which order and
//! how often must not depend on which of them is ahead.

use std::sync::{Arc, atomic::AtomicBool};

use parking_lot::Mutex;

use self::scripted::{Scripted, message};
use super::{
    inbox::{WINDOW, WINDOW_BYTES},
    *,
};
use crate::chat::message::{Direct, Epoch, MessageId};

mod elsewhere;
mod scripted;

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

/// A socket that notes what it is shown, and acknowledges when the test says so.
struct Tab {
    id: SocketId,
    shown: Mutex<Vec<u64>>,
    deliveries: Mutex<Vec<Delivery>>,
    receipts: Mutex<Vec<Receipt>>,
    is_sent_away: AtomicBool,
}

impl Tab {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            id: SocketId::next(),
            shown: Mutex::default(),
            deliveries: Mutex::default(),
            receipts: Mutex::default(),
            is_sent_away: AtomicBool::new(false),
        })
    }

    fn shown(&self) -> Vec<u64> {
        self.shown.lock().clone()
    }

    fn waits_for_answers(&self) -> usize {
        self.deliveries.lock().len()
    }

    /// Acknowledges the oldest so many.
    fn acknowledge(&self, count: usize) {
        let given: Vec<_> = self.deliveries.lock().drain(..count).collect();
        for delivery in given {
            delivery.acknowledge();
        }
    }
}

impl InboxReader for Tab {
    fn id(&self) -> SocketId {
        self.id
    }

    fn show(&self, message: &Arc<Message>, delivery: Option<Delivery>) {
        self.shown
            .lock()
            .push(message.direct.as_ref().unwrap().place);
        self.deliveries.lock().extend(delivery);
    }

    fn receipt(&self, receipt: &Receipt) {
        self.receipts.lock().push(receipt.clone());
    }

    fn break_off(&self) {
        self.is_sent_away.store(true, Ordering::Relaxed);
    }
}

async fn eventually(what: &str, check: impl Fn() -> bool) {
    let checking = async {
        while !check() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), checking)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Nothing happens any more.
async fn stillness() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn places(shown: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    shown.collect()
}

#[tokio::test]
async fn what_waits_is_shown_oldest_first_and_what_is_new_behind_it() {
    let store = Scripted::holding(3);
    let boxes = Inboxes::new(store.clone());
    let bob = Tab::new();
    let _seat = boxes.open(user("bob"), bob.clone());
    eventually("what waits is shown", || bob.shown() == [1, 2, 3]).await;
    boxes.deliver(&store.keep(4));
    eventually("what is new is shown", || bob.shown() == [1, 2, 3, 4]).await;
    bob.acknowledge(4);
    eventually("all is recorded", || store.is_empty()).await;
    boxes.deliver(&store.keep(5));
    assert_eq!(
        bob.shown(),
        [1, 2, 3, 4, 5],
        "what is next is not read first"
    );
}

#[tokio::test]
async fn only_so_much_is_shown_as_nobody_acknowledges_and_nothing_overtakes() {
    for (size, fits) in [(10, WINDOW), (WINDOW_BYTES / 4, 4), (WINDOW_BYTES, 1)] {
        let fits = fits as u64;
        let store = Scripted::holding_sized(fits + 2, size);
        let boxes = Inboxes::new(store.clone());
        let bob = Tab::new();
        let _seat = boxes.open(user("bob"), bob.clone());
        eventually("as many as fit", || bob.shown() == places(1..=fits)).await;
        boxes.deliver(&store.keep(fits + 3));
        stillness().await;
        assert_eq!(bob.shown(), places(1..=fits));
        bob.acknowledge(1);
        eventually("one more", || bob.shown() == places(1..=fits + 1)).await;
        while !store.is_empty() {
            bob.acknowledge(bob.waits_for_answers());
            stillness().await;
        }
        assert_eq!(bob.shown(), places(1..=fits + 3));
    }
}

#[tokio::test]
async fn what_arrives_while_what_waits_is_read_is_shown_once_in_its_place() {
    // The tail may be ahead of what was read, or behind it.
    for is_read in [true, false] {
        let store = Scripted::holding(2);
        let boxes = Inboxes::new(store.clone());
        let arriving = is_read.then(|| store.keep(3));
        store.hold_answers();
        let bob = Tab::new();
        let _seat = boxes.open(user("bob"), bob.clone());
        store.asked.notified().await;
        boxes.deliver(&arriving.unwrap_or_else(|| store.keep(3)));
        assert!(bob.shown().is_empty());
        store.answer_all();
        eventually("all of it", || bob.shown() == [1, 2, 3]).await;
        stillness().await;
        assert_eq!(bob.shown(), [1, 2, 3]);
    }
}

#[tokio::test]
async fn a_tail_that_is_late_or_out_of_order_shows_nothing_twice_and_skips_nothing() {
    let store = Scripted::holding(2);
    let boxes = Inboxes::new(store.clone());
    let bob = Tab::new();
    let _seat = boxes.open(user("bob"), bob.clone());
    eventually("what waits is shown", || bob.shown() == [1, 2]).await;
    boxes.deliver(&message(1, 10));
    let (fourth, third) = {
        let third = store.keep(3);
        (store.keep(4), third)
    };
    boxes.deliver(&fourth);
    boxes.deliver(&third);
    eventually("both are shown", || bob.shown() == [1, 2, 3, 4]).await;
    stillness().await;
    assert_eq!(bob.shown(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn all_peers_are_shown_a_message_and_the_answer_of_one_is_enough() {
    let store = Scripted::holding(2);
    let boxes = Inboxes::new(store.clone());
    let (one, other) = (Tab::new(), Tab::new());
    let _one = boxes.open(user("bob"), one.clone());
    let _other = boxes.open(user("bob"), other.clone());
    eventually("both are shown all", || {
        one.shown() == [1, 2] && other.shown() == [1, 2]
    })
    .await;
    one.acknowledge(2);
    eventually("both are recorded", || store.is_empty()).await;
    other.acknowledge(2);
    stillness().await;
    assert_eq!(store.acknowledged(), [1, 2], "recorded twice");
}

#[tokio::test]
async fn who_comes_in_the_middle_is_shown_what_nobody_has_acknowledged() {
    let store = Scripted::holding(3);
    let boxes = Inboxes::new(store.clone());
    let (first, second) = (Tab::new(), Tab::new());
    let subscription = boxes.open(user("bob"), first.clone());
    eventually("what waits is shown", || first.shown() == [1, 2, 3]).await;
    first.acknowledge(1);
    let _second = boxes.open(user("bob"), second.clone());
    assert_eq!(second.shown(), [2, 3]);
    drop(subscription);
    boxes.deliver(&store.keep(4));
    eventually("what is new", || second.shown() == [2, 3, 4]).await;
    assert_eq!(first.shown(), [1, 2, 3], "shown to one who left");
}

#[tokio::test]
async fn an_answer_whose_peer_is_gone_counts_and_is_not_overtaken_by_the_next_one() {
    let store = Scripted::holding(2);
    let boxes = Inboxes::new(store.clone());
    let bob = Tab::new();
    let subscription = boxes.open(user("bob"), bob.clone());
    eventually("what waits is shown", || bob.shown() == [1, 2]).await;
    drop(subscription);
    eventually("the box is closed", || boxes.in_use() == 0).await;
    store.hold_answers();
    bob.acknowledge(1);
    store.asked.notified().await;
    // Comes back before the answer is recorded.
    let again = Tab::new();
    let _seat = boxes.open(user("bob"), again.clone());
    store.answer_all();
    eventually("the rest is shown", || again.shown() == [2]).await;
    stillness().await;
    assert_eq!((again.shown(), store.acknowledged()), (vec![2], vec![1]));
}

#[tokio::test]
async fn a_log_that_fails_is_asked_again_until_it_has_recorded_what_was_acknowledged() {
    let store = Scripted::holding(1);
    let boxes = Inboxes::new(store.clone());
    store.fail(1);
    let bob = Tab::new();
    let subscription = boxes.open(user("bob"), bob.clone());
    eventually("it is read at last", || bob.shown() == [1]).await;
    store.fail(1);
    bob.acknowledge(1);
    drop(subscription);
    boxes.settled().await;
    assert_eq!(store.acknowledged(), [1]);
}

#[tokio::test]
async fn a_log_that_is_closed_is_not_asked_again() {
    let store = Scripted::holding(1);
    let boxes = Inboxes::new(store.clone());
    let bob = Tab::new();
    let subscription = boxes.open(user("bob"), bob.clone());
    eventually("what waits is shown", || bob.shown() == [1]).await;
    store.close().await;
    bob.acknowledge(1);
    drop(subscription);
    boxes.settled().await;
    assert!(store.acknowledged().is_empty());
}

#[tokio::test]
async fn what_is_acknowledged_on_another_replica_makes_room_and_is_told_to_the_sender() {
    let store = Scripted::holding(WINDOW as u64 + 1);
    let boxes = Inboxes::new(store.clone());
    let (ann, bob, late) = (Tab::new(), Tab::new(), Tab::new());
    let _ann = boxes.open(user("ann"), ann.clone());
    let _bob = boxes.open(user("bob"), bob.clone());
    eventually("the window is full", || bob.shown().len() == WINDOW).await;
    let (told, receipts) = tokio::sync::broadcast::channel(4);
    let telling = tokio::spawn(boxes.clone().tell(receipts));
    store.acknowledge(&user("bob"), vec![1]).await.unwrap();
    let delivered = Receipt {
        from: user("ann"),
        to: user("bob"),
        id: MessageId {
            seq: 1,
            epoch: Epoch(7),
        },
        time: jiff::Timestamp::UNIX_EPOCH,
        what: ReceiptKind::Delivered { place: 1 },
    };
    told.send(delivered.clone()).unwrap();
    eventually("there is room for the last", || {
        bob.shown().len() == WINDOW + 1
    })
    .await;
    assert_eq!(*ann.receipts.lock(), std::slice::from_ref(&delivered));
    let _late = boxes.open(user("bob"), late.clone());
    assert_eq!(late.shown(), places(2..=WINDOW as u64 + 1));
    let read = Receipt {
        what: ReceiptKind::Read,
        ..delivered
    };
    told.send(read.clone()).unwrap();
    eventually("both are told what was read", || {
        ann.receipts.lock().last() == Some(&read)
            && *bob.receipts.lock() == std::slice::from_ref(&read)
    })
    .await;
    telling.abort();
}

#[tokio::test]
async fn when_places_begin_anew_what_waits_is_shown_again_and_old_answers_count_for_nothing() {
    let store = Scripted::holding(5);
    let boxes = Inboxes::new(store.clone());
    let bob = Tab::new();
    let _bob = boxes.open(user("bob"), bob.clone());
    eventually("all is shown", || bob.shown() == places(1..=5)).await;
    store
        .acknowledge(&user("bob"), vec![1, 2, 3])
        .await
        .unwrap();
    boxes.start_anew();
    assert!(bob.is_sent_away.load(Ordering::Relaxed));
    let back = Tab::new();
    let _back = boxes.open(user("bob"), back.clone());
    eventually("what waits is shown again", || back.shown() == [4, 5]).await;
    assert_eq!(bob.shown(), [1, 2, 3, 4, 5]);
    bob.acknowledge(5);
    stillness().await;
    assert_eq!(
        store.acknowledged(),
        [1, 2, 3],
        "an answer of before counts"
    );
    back.acknowledge(2);
    eventually("the answers of now count", || store.is_empty()).await;
}

#[tokio::test]
async fn what_was_read_before_places_began_anew_is_not_believed() {
    let store = Scripted::holding(0);
    for place in 7..=9 {
        store.keep(place);
    }
    store.hold_answers();
    let boxes = Inboxes::new(store.clone());
    let bob = Tab::new();
    let _bob = boxes.open(user("bob"), bob.clone());
    store.asked.notified().await;
    for place in 1..=2 {
        store.keep(place);
    }
    boxes.start_anew();
    let back = Tab::new();
    let _back = boxes.open(user("bob"), back.clone());
    store.answer_all();
    eventually("all is shown", || back.shown() == [1, 2, 7, 8, 9]).await;
    assert!(bob.shown().is_empty());
}

#[tokio::test]
async fn whoever_may_have_missed_its_own_message_is_sent_away_for_it() {
    let store = Scripted::holding(0);
    let boxes = Inboxes::new(store.clone());
    let (ann, other) = (Tab::new(), Tab::new());
    let _seats = [&ann, &other].map(|tab| boxes.open(user("ann"), tab.clone()));
    stillness().await;
    // It never passes the tail here.
    store.keep(1);
    boxes.start_anew();
    for tab in [ann, other] {
        assert!(tab.is_sent_away.load(Ordering::Relaxed));
    }
}

#[tokio::test]
async fn the_senders_peers_are_shown_its_message_and_asked_nothing() {
    let store = Scripted::holding(0);
    let boxes = Inboxes::new(store.clone());
    let ann = Tab::new();
    let _ann = boxes.open(user("ann"), ann.clone());
    stillness().await;
    assert_eq!(boxes.deliver(&store.keep(1)), 1);
    assert_eq!((ann.shown(), ann.waits_for_answers()), (vec![1], 0));
}

#[tokio::test]
async fn a_message_to_oneself_is_shown_once_and_waits_for_an_answer() {
    let store = Scripted::holding(0);
    let boxes = Inboxes::new(store.clone());
    let bob = Tab::new();
    let _bob = boxes.open(user("bob"), bob.clone());
    stillness().await;
    let mut note = Message::clone(&store.keep(1));
    note.direct = Some(Box::new(Direct {
        from: user("bob"),
        to: user("bob"),
        place: 1,
        key: None,
    }));
    boxes.deliver(&Arc::new(note));
    assert_eq!((bob.shown(), bob.waits_for_answers()), (vec![1], 1));
}
