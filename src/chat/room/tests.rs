//! Rooms over a store whose answers and tail are told apart by hand: what a reader is given must not
//! depend on which of the two is ahead.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Notify;

use self::scripted::Scripted;
use super::{subscription::SUBSCRIBE_BYTES, *};
use crate::chat::{
    message::Epoch,
    socket::{Answer, CloseReason},
};

mod scripted;

const EPOCH: Epoch = Epoch(7);

fn id(seq: u64) -> MessageId {
    MessageId { seq, epoch: EPOCH }
}

fn message(seq: u64, size: usize) -> Arc<Message> {
    Arc::new(Message {
        room: RoomName::lobby(),
        id: id(seq),
        author: None,
        text: "x".repeat(size).into(),
        time: jiff::Timestamp::UNIX_EPOCH,
        replica: "replica".into(),
        bridge: None,
        direct: None,
    })
}

fn messages(seqs: std::ops::RangeInclusive<u64>) -> Vec<Arc<Message>> {
    seqs.map(|seq| message(seq, 10)).collect()
}

struct Renderer;

impl Render for Renderer {
    fn render(&self, message: &Message) -> Rendered {
        Rendered {
            event: "message",
            payload: serde_json::value::to_raw_value(&message.id.seq).unwrap(),
        }
    }
}

/// Takes `room_for` messages, then makes whoever asks wait until it is given more room.
struct Listener {
    id: SocketId,
    heard: Mutex<Vec<u64>>,
    closed: Mutex<Option<CloseReason>>,
    room_for: AtomicUsize,
    more_room: Notify,
}

impl Listener {
    fn with_room_for(messages: usize) -> Arc<Self> {
        Arc::new(Self {
            id: SocketId::next(),
            heard: Mutex::default(),
            closed: Mutex::default(),
            room_for: AtomicUsize::new(messages),
            more_room: Notify::new(),
        })
    }

    fn new() -> Arc<Self> {
        Self::with_room_for(usize::MAX)
    }

    fn heard(&self) -> Vec<u64> {
        self.heard.lock().clone()
    }

    fn is_full(&self) -> bool {
        self.heard.lock().len() >= self.room_for.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Socket for Listener {
    fn id(&self) -> SocketId {
        self.id
    }

    fn emit(&self, event: &str, payload: &RawValue) {
        assert_eq!(event, "message");
        self.heard.lock().push(payload.get().parse().unwrap());
    }

    fn ask(&self, _: &str, _: &RawValue, _: Box<dyn FnOnce(Answer) + Send>) {
        unreachable!("rooms ask nothing")
    }

    fn join(&self, _: &str) {}

    fn leave(&self, _: &str) {}

    async fn drained(&self) {
        while self.is_full() {
            self.more_room.notified().await;
        }
    }

    fn close(&self, why: CloseReason) {
        *self.closed.lock() = Some(why);
    }
}

fn words() -> Arc<dyn Render> {
    Arc::new(Renderer)
}

fn seqs(range: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    range.collect()
}

/// What passes the tail, as the store would tell it.
fn tell(rooms: &Arc<Rooms>, messages: impl IntoIterator<Item = Arc<Message>>) {
    for message in messages {
        let room = rooms
            .rooms
            .lock()
            .get(&message.room)
            .map(|(room, _)| room.clone());
        if let Some(room) = room {
            room.deliver(message);
        }
    }
}

async fn sit(rooms: &Arc<Rooms>, from: Start, listener: &Arc<Listener>) -> Subscription {
    let entry = rooms.enter(RoomName::lobby(), from).await.unwrap();
    entry.follow(listener.clone(), words()).await.unwrap()
}

/// Starts to enter a room, and returns once the store has been asked.
async fn at_the_door(
    rooms: &Arc<Rooms>,
    store: &Scripted,
    from: Start,
    listener: &Arc<Listener>,
) -> tokio::task::JoinHandle<Subscription> {
    let (rooms, listener) = (rooms.clone(), listener.clone());
    let entering = tokio::spawn(async move { sit(&rooms, from, &listener).await });
    store.asked.notified().await;
    entering
}

#[tokio::test]
async fn what_passes_the_tail_while_a_room_is_loaded_comes_behind_what_was_loaded() {
    let store = Scripted::holding(messages(1..=10));
    let rooms = Rooms::new(store.clone());
    let listener = Listener::new();
    store.hold_answers();
    let entering = at_the_door(&rooms, &store, Start::Last(5), &listener).await;
    // The tail is behind what was loaded, and then ahead of it.
    tell(&rooms, messages(8..=13));
    store.answers.add_permits(100);
    let _seat = entering.await.unwrap();
    tell(&rooms, messages(14..=15));
    assert_eq!(listener.heard(), seqs(9..=15));
}

#[tokio::test]
async fn a_tail_that_is_behind_the_log_tells_nothing_twice() {
    let store = Scripted::holding(messages(1..=10));
    let rooms = Rooms::new(store.clone());
    let (early, late) = (Listener::new(), Listener::new());
    let _early = sit(&rooms, Start::Last(1), &early).await;
    let _late = sit(&rooms, Start::After(id(3), 25), &late).await;
    tell(&rooms, messages(5..=12));
    assert_eq!(early.heard(), seqs(10..=12));
    assert_eq!(late.heard(), seqs(4..=12));
}

#[tokio::test]
async fn more_than_memory_holds_while_a_room_is_loaded_leaves_no_hole() {
    for (count, size) in [(1000, 10), (4, 100 * 1024), (3, 2 * RECENT_BYTES)] {
        let store = Scripted::holding(messages(1..=10));
        let rooms = Rooms::new(store.clone());
        let listener = Listener::new();
        store.hold_answers();
        let entering = at_the_door(&rooms, &store, Start::After(id(2), 25), &listener).await;
        let news: Vec<_> = (11..11 + count).map(|seq| message(seq, size)).collect();
        store.kept.lock().extend(news.clone());
        tell(&rooms, news);
        store.answers.add_permits(100);
        let _seat = entering.await.unwrap();
        tell(&rooms, [message(11 + count, 10)]);
        assert_eq!(listener.heard(), seqs(3..=11 + count), "{count} of {size}");
    }
}

#[tokio::test]
async fn a_reader_far_behind_is_given_pages_until_it_meets_memory() {
    let store = Scripted::holding(messages(1..=2000));
    let rooms = Rooms::new(store.clone());
    let listener = Listener::new();
    let _seat = sit(&rooms, Start::After(id(1), 25), &listener).await;
    tell(&rooms, messages(2001..=2001));
    assert_eq!(listener.heard(), seqs(2..=2001));
    assert_eq!(
        store.pages.load(Ordering::Relaxed),
        (2000 - RECENT_MESSAGES).div_ceil(PAGE)
    );
}

#[tokio::test]
async fn what_is_said_while_a_reader_catches_up_comes_once_and_in_order() {
    let store = Scripted::holding(messages(1..=600));
    let rooms = Rooms::new(store.clone());
    let listener = Listener::with_room_for(100);
    let entering = at_the_door(&rooms, &store, Start::After(id(1), 25), &listener).await;
    for next in 601..=1200 {
        store.kept.lock().push(message(next, 10));
        tell(&rooms, [message(next, 10)]);
        if next % 50 == 0 {
            listener.room_for.fetch_add(80, Ordering::Relaxed);
            listener.more_room.notify_one();
            tokio::task::yield_now().await;
        }
    }
    listener.room_for.store(usize::MAX, Ordering::Relaxed);
    listener.more_room.notify_one();
    let _seat = entering.await.unwrap();
    assert_eq!(listener.heard(), seqs(2..=1200));
}

#[tokio::test]
async fn a_seat_that_is_given_up_late_leaves_the_next_one_of_its_reader_alone() {
    let rooms = Rooms::new(Scripted::holding(messages(1..=3)));
    let (listener, words) = (Listener::new(), words());
    let mut subscriptions = Vec::new();
    for _ in 0..2 {
        let entry = rooms.enter(RoomName::lobby(), Start::Last(0)).await;
        let subscription = entry.unwrap().follow(listener.clone(), words.clone()).await;
        subscriptions.push(subscription.unwrap());
    }
    drop(subscriptions.remove(0));
    tell(&rooms, messages(4..=4));
    assert_eq!(listener.heard(), [4]);
    drop(subscriptions);
    assert_eq!(rooms.in_use(), 0);
}

#[tokio::test]
async fn a_page_is_given_no_faster_than_it_is_taken() {
    let kept = (1..=20).map(|seq| message(seq, SUBSCRIBE_BYTES)).collect();
    let store = Scripted::holding(kept);
    let rooms = Rooms::new(store.clone());
    for from in [Start::Last(20), Start::After(id(0), 20)] {
        let listener = Listener::with_room_for(3);
        let (all, reader) = (rooms.clone(), listener.clone());
        let entering = tokio::spawn(async move { sit(&all, from, &reader).await });
        while !listener.is_full() {
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(listener.heard(), seqs(1..=3));
        listener.room_for.store(usize::MAX, Ordering::Relaxed);
        listener.more_room.notify_one();
        drop(entering.await.unwrap());
        assert_eq!(listener.heard(), seqs(1..=20));
    }
}

#[tokio::test]
async fn a_reader_whose_place_is_not_kept_any_more_starts_anew() {
    let store = Scripted::holding(messages(500..=600));
    let rooms = Rooms::new(store.clone());
    let of_another = MessageId {
        seq: 590,
        epoch: Epoch(8),
    };
    for after in [id(100), id(700), of_another] {
        let entry = rooms
            .enter(RoomName::lobby(), Start::After(after, 10))
            .await
            .unwrap();
        assert!(entry.is_reset(), "{after:?}");
        let listener = Listener::new();
        let _seat = entry.follow(listener.clone(), words()).await.unwrap();
        assert_eq!(listener.heard(), seqs(591..=600));
    }
}

#[tokio::test]
async fn a_reader_that_is_overtaken_by_retention_is_sent_away_and_not_left_with_a_hole() {
    let store = Scripted::holding(messages(1..=1000));
    let rooms = Rooms::new(store.clone());
    let listener = Listener::with_room_for(50);
    let entering = at_the_door(&rooms, &store, Start::After(id(1), 25), &listener).await;
    store.kept.lock().drain(..600);
    listener.room_for.store(usize::MAX, Ordering::Relaxed);
    listener.more_room.notify_one();
    let _seat = entering.await.unwrap();
    assert_eq!(*listener.closed.lock(), Some(CloseReason::FellBehind));
    assert_eq!(listener.heard(), seqs(2..=201));
    tell(&rooms, messages(1001..=1001));
    assert_eq!(listener.heard(), seqs(2..=201), "told on after a hole");
}

#[tokio::test]
async fn the_first_message_of_a_room_reaches_whoever_came_before_it() {
    let store = Scripted::holding(Vec::new());
    let rooms = Rooms::new(store.clone());
    let listener = Listener::new();
    let entry = rooms
        .enter(RoomName::lobby(), Start::Last(25))
        .await
        .unwrap();
    tell(&rooms, messages(1..=1));
    let _seat = entry.follow(listener.clone(), words()).await.unwrap();
    tell(&rooms, messages(2..=2));
    assert_eq!(listener.heard(), seqs(1..=2));
}

#[tokio::test]
async fn a_room_is_let_go_with_its_last_reader() {
    let store = Scripted::holding(messages(1..=3));
    let rooms = Rooms::new(store.clone());
    let (one, another) = (Listener::new(), Listener::new());
    let first = sit(&rooms, Start::Last(1), &one).await;
    let second = sit(&rooms, Start::Last(1), &another).await;
    drop(first);
    tell(&rooms, messages(4..=4));
    assert_eq!((one.heard(), another.heard()), (vec![3], vec![3, 4]));
    assert_eq!(rooms.in_use(), 1);
    drop(second);
    assert_eq!(rooms.in_use(), 0);
    assert_eq!(Arc::strong_count(&another), 1, "something holds the reader");
}

#[tokio::test]
async fn after_a_gap_readers_are_sent_away_and_newcomers_read_the_log_anew() {
    let store = Scripted::holding(messages(1..=3));
    let rooms = Rooms::new(store.clone());
    let (seated, at_the_door) = (Listener::new(), Listener::new());
    let entry = rooms
        .enter(RoomName::lobby(), Start::Last(2))
        .await
        .unwrap();
    let subscription = entry.follow(seated.clone(), words()).await.unwrap();
    let entry = rooms
        .enter(RoomName::lobby(), Start::Last(2))
        .await
        .unwrap();

    let (tail, told) = tokio::sync::mpsc::channel(2);
    let direct = Inboxes::new(store.clone());
    let delivering = tokio::spawn(rooms.clone().deliver(told, direct));
    *store.kept.lock() = messages(1..=9);
    tail.send(TailItem::Gap).await.unwrap();
    tail.send(TailItem::Kept(messages(10..=10))).await.unwrap();
    drop(tail);
    delivering.await.unwrap();
    assert_eq!(*seated.closed.lock(), Some(CloseReason::FellBehind));
    assert_eq!(seated.heard(), seqs(2..=3), "told what does not join on");
    let late = entry.follow(at_the_door.clone(), words()).await.unwrap();
    assert_eq!(*at_the_door.closed.lock(), Some(CloseReason::FellBehind));

    let back = Listener::new();
    let entry = rooms.enter(RoomName::lobby(), Start::After(id(3), 2)).await;
    let _seat = entry.unwrap().follow(back.clone(), words()).await.unwrap();
    drop((subscription, late));
    tell(&rooms, messages(10..=10));
    assert_eq!(back.heard(), seqs(4..=10));
    assert_eq!(
        rooms.in_use(),
        1,
        "the room that is over took the new one away"
    );
}
