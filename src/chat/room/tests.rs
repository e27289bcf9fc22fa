//! Rooms over a store whose answers and tail are told apart by hand: what a reader is given must not
//! depend on which of the two is ahead.

use std::sync::atomic::Ordering;

use self::{
    listener::{Listener, settle},
    scripted::Scripted,
};
use super::{
    pace::{AT_FIRST, AT_MOST},
    recent::{RECENT_BYTES, RECENT_BYTES_OF_ALL, RECENT_MESSAGES},
    *,
};
use crate::chat::message::Epoch;

mod listener;
mod scripted;

const EPOCH: Epoch = Epoch(7);

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn rooms_of(store: Arc<Scripted>) -> Arc<Rooms> {
    Rooms::new(store, Turns::new())
}

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
            payload: serde_json::value::to_raw_value(&(message.id.seq, &message.text)).unwrap(),
        }
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
    let entry = rooms.enter(RoomName::lobby(), from, CLIENT).await.unwrap();
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
    let rooms = rooms_of(store.clone());
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
    let rooms = rooms_of(store.clone());
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
        let rooms = rooms_of(store.clone());
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
    let rooms = rooms_of(store.clone());
    let listener = Listener::new();
    let _seat = sit(&rooms, Start::After(id(1), 25), &listener).await;
    tell(&rooms, messages(2001..=2001));
    assert_eq!(listener.heard(), seqs(2..=2001));
    let pages = store.pages.lock();
    let read: usize = pages.iter().map(|limit| limit.messages).sum();
    assert!(
        (2000 - RECENT_MESSAGES..2500).contains(&read),
        "asked for {read} messages in {pages:?}"
    );
}

#[tokio::test]
async fn what_is_said_while_a_reader_catches_up_comes_once_and_in_order() {
    let store = Scripted::holding(messages(1..=600));
    let rooms = rooms_of(store.clone());
    let listener = Listener::that_takes(100);
    let entering = at_the_door(&rooms, &store, Start::After(id(1), 25), &listener).await;
    for next in 601..=1200 {
        store.kept.lock().push(message(next, 10));
        tell(&rooms, [message(next, 10)]);
        if next % 50 == 0 {
            listener.take(100 + 80 * (next as usize - 600) / 50);
            tokio::task::yield_now().await;
        }
    }
    listener.take(usize::MAX);
    let _seat = entering.await.unwrap();
    assert_eq!(listener.heard(), seqs(2..=1200));
}

#[tokio::test]
async fn a_seat_that_is_given_up_late_leaves_the_next_one_of_its_reader_alone() {
    let rooms = rooms_of(Scripted::holding(messages(1..=3)));
    let (listener, words) = (Listener::new(), words());
    let mut subscriptions = Vec::new();
    for _ in 0..2 {
        let entry = rooms.enter(RoomName::lobby(), Start::Last(0), CLIENT).await;
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
async fn what_waits_for_a_reader_is_no_more_than_it_took_before() {
    let size = 20 * 1024;
    let kept = (1..=100).map(|seq| message(seq, size)).collect();
    let store = Scripted::holding(kept);
    let rooms = rooms_of(store.clone());
    for from in [Start::Last(100), Start::After(id(0), 100)] {
        let listener = Listener::that_takes(0);
        let (all, reader) = (rooms.clone(), listener.clone());
        let entering = tokio::spawn(async move { sit(&all, from, &reader).await });
        let (mut sent, mut taken) = (Vec::new(), 0);
        while !entering.is_finished() {
            settle().await;
            sent.push(listener.heard().len() - taken);
            assert!(listener.queued() < AT_MOST + size, "{sent:?}");
            let are_held = store
                .kept
                .lock()
                .iter()
                .filter(|kept| Arc::strong_count(kept) > 1)
                .count();
            assert!(
                are_held <= RECENT_BYTES / size,
                "{are_held} messages are held"
            );
            taken = listener.heard().len();
            listener.take(taken);
        }
        assert!(sent.starts_with(&[1, 1, 2, 4, 6, 6]), "{sent:?}");
        drop(entering.await.unwrap());
        assert_eq!(listener.heard(), seqs(1..=100));
    }
}

#[tokio::test]
async fn a_reader_of_which_nothing_is_known_is_sent_little() {
    let rooms = rooms_of(Scripted::holding(
        (1..=1000).map(|seq| message(seq, 1000)).collect(),
    ));
    let listener = Listener::that_takes(0);
    let (all, reader) = (rooms.clone(), listener.clone());
    let entering = tokio::spawn(async move { sit(&all, Start::After(id(0), 0), &reader).await });
    settle().await;
    assert_eq!(listener.heard(), seqs(1..=8));
    assert!(listener.queued() <= AT_FIRST);
    listener.take(usize::MAX);
    let _seat = entering.await.unwrap();
    assert_eq!(listener.heard(), seqs(1..=1000));
}

#[tokio::test]
async fn nothing_more_is_read_for_a_reader_that_is_gone() {
    let store = Scripted::holding((1..=1000).map(|seq| message(seq, 1000)).collect());
    let rooms = rooms_of(store.clone());
    let listener = Listener::that_takes(0);
    let (all, reader) = (rooms.clone(), listener.clone());
    let entering = tokio::spawn(async move { sit(&all, Start::After(id(0), 0), &reader).await });
    settle().await;
    let read = store.pages.lock().len();
    listener.close(CloseReason::Stalled);
    drop(entering.await.unwrap());
    assert_eq!(store.pages.lock().len(), read);
}

#[tokio::test]
async fn rooms_together_hold_little_in_memory() {
    let rooms = rooms_of(Scripted::holding(Vec::new()));
    let mut subscriptions = Vec::new();
    let name = |room: usize| -> RoomName { format!("room {room}").parse().unwrap() };
    let (count, size) = (2 * RECENT_BYTES_OF_ALL / RECENT_BYTES, 60 * 1024);
    for room in 0..count {
        let entry = rooms
            .enter(name(room), Start::Last(0), CLIENT)
            .await
            .unwrap();
        subscriptions.push(entry.follow(Listener::new(), words()).await.unwrap());
        for seq in 1..=4 {
            let room = name(room);
            tell(
                &rooms,
                [Arc::new(Message {
                    room,
                    ..(*message(seq, size)).clone()
                })],
            );
        }
    }
    let held = rooms.held.load(Ordering::Relaxed);
    let each = (count * size + RECENT_BYTES_OF_ALL + size) as f64;
    assert!((held as f64) < each, "{held} bytes are held");
    drop(subscriptions);
    assert_eq!(rooms.held.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_reader_whose_place_is_not_kept_any_more_starts_anew() {
    let store = Scripted::holding(messages(500..=600));
    let rooms = rooms_of(store.clone());
    let of_another = MessageId {
        seq: 590,
        epoch: Epoch(8),
    };
    for after in [id(100), id(700), of_another] {
        let entry = rooms
            .enter(RoomName::lobby(), Start::After(after, 10), CLIENT)
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
    let rooms = rooms_of(store.clone());
    let listener = Listener::that_takes(50);
    let entering = at_the_door(&rooms, &store, Start::After(id(1), 25), &listener).await;
    settle().await;
    let before = listener.heard();
    store.kept.lock().drain(..600);
    listener.take(usize::MAX);
    let _seat = entering.await.unwrap();
    assert_eq!(*listener.closed.lock(), Some(CloseReason::FellBehind));
    assert_eq!(listener.heard(), before);
    tell(&rooms, messages(1001..=1001));
    assert_eq!(listener.heard(), before, "told on after a hole");
}

#[tokio::test]
async fn the_first_message_of_a_room_reaches_whoever_came_before_it() {
    let store = Scripted::holding(Vec::new());
    let rooms = rooms_of(store.clone());
    let listener = Listener::new();
    let entry = rooms
        .enter(RoomName::lobby(), Start::Last(25), CLIENT)
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
    let rooms = rooms_of(store.clone());
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
    let rooms = rooms_of(store.clone());
    let (seated, at_the_door) = (Listener::new(), Listener::new());
    let entry = rooms
        .enter(RoomName::lobby(), Start::Last(2), CLIENT)
        .await
        .unwrap();
    let subscription = entry.follow(seated.clone(), words()).await.unwrap();
    let entry = rooms
        .enter(RoomName::lobby(), Start::Last(2), CLIENT)
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
    let entry = rooms
        .enter(RoomName::lobby(), Start::After(id(3), 2), CLIENT)
        .await;
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
