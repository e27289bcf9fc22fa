//! A user's other connection, on another replica, may have a message and acknowledge it before it is read here.

use super::*;

fn delivered(place: u64) -> Receipt {
    Receipt {
        from: user("ann"),
        to: user("bob"),
        id: MessageId {
            seq: place,
            epoch: Epoch(7),
        },
        time: jiff::Timestamp::UNIX_EPOCH,
        what: ReceiptKind::Delivered { place },
    }
}

#[tokio::test]
async fn what_is_acknowledged_elsewhere_while_what_waits_is_read_is_shown_all_the_same() {
    // The mark may come before what was read, or after it.
    for is_marked_first in [true, false] {
        let store = Scripted::holding(0);
        let boxes = Inboxes::new(store.clone());
        store.hold_answers();
        let bob = Tab::new();
        let _seat = boxes.open(user("bob"), bob.clone());
        store.asked.notified().await;
        for place in 4..=5 {
            boxes.deliver(&message(place, 10));
        }
        if is_marked_first {
            boxes.note(&delivered(4));
        }
        store.answer_all();
        eventually("both are shown", || bob.shown() == [4, 5]).await;
        if !is_marked_first {
            boxes.note(&delivered(4));
        }
        let late = Tab::new();
        let _late = boxes.open(user("bob"), late.clone());
        assert_eq!(late.shown(), [5], "what was acknowledged waits");
    }
}

#[tokio::test]
async fn the_first_that_is_new_to_a_box_is_shown_though_it_waits_no_more_when_it_is_read() {
    let store = Scripted::holding(0);
    let boxes = Inboxes::new(store.clone());
    let bob = Tab::new();
    let _seat = boxes.open(user("bob"), bob.clone());
    stillness().await;
    boxes.deliver(&message(7, 10));
    eventually("it is shown", || bob.shown() == [7]).await;
}
