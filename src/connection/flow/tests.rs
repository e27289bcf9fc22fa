//! Bounds of what waits, and races between those who wait and those who count.

use std::future::poll_fn;

use futures_util::FutureExt;

use super::*;

/// How often each race is run.
const RUNS: usize = 200_000;
const DEADLINE: Duration = Duration::from_secs(30);

struct Session(Flow);

impl AsRef<Flow> for Session {
    fn as_ref(&self) -> &Flow {
        &self.0
    }
}

fn session() -> Arc<Session> {
    Arc::new(Session(Flow::new(Shared::new(Limits {
        message: 1 << 10,
        payload: 1 << 10,
        backlog: 1 << 20,
        backlog_packets: 8,
        sessions: 1,
        stall: DEADLINE,
        event_rate: None,
        flood: DEADLINE,
    }))))
}

async fn readable(flow: &Flow) {
    poll_fn(|cx| match flow.may_read(Reader::Wire, cx.waker()) {
        true => std::task::Poll::Ready(()),
        false => std::task::Poll::Pending,
    })
    .await;
}

#[test]
fn one_event_is_taken_whatever_its_size_where_little_waits() {
    let session = session();
    let (flow, most) = (&session.0, session.0.limits().backlog);
    assert!(flow.queued(4 * most));
    assert!(flow.queued(most), "what follows waits besides");
    assert!(!flow.queued(1));
    flow.sent(5 * most + 1);
    assert!(flow.queued(most));
    assert!(!flow.queued(1), "once it is gone, no more than ever");
}

#[test]
fn what_waits_is_too_much_by_its_packets_or_by_its_bytes() {
    let session = session();
    let flow = &session.0;
    let most = *flow.limits();
    assert!((0..most.backlog_packets).all(|_| flow.queued(1)));
    assert!(!flow.queued(1));
    flow.taken(2);
    assert!(flow.queued(1));
    flow.taken(1);
    assert!(flow.queued(most.backlog / 2));
    flow.taken(1);
    assert!(!flow.queued(most.backlog / 2));
}

#[tokio::test]
async fn what_is_queued_meanwhile_does_not_keep_a_queue_from_being_emptied() {
    let session = session();
    let flow = &session.0;
    assert!(flow.queued(10));
    let mut emptied = std::pin::pin!(flow.emptied(|| true));
    assert!(emptied.as_mut().now_or_never().is_none());
    assert!(flow.queued(10));
    flow.sent(9);
    assert!(emptied.as_mut().now_or_never().is_none());
    flow.sent(1);
    assert!(emptied.as_mut().now_or_never().is_some());
    assert_eq!(flow.backlog().bytes, 10);
    let waiting = flow.emptied(|| false);
    waiting.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_whose_events_are_dealt_with_meanwhile_is_read_on_from() {
    let session = session();
    let (heard, mut to_hear) = tokio::sync::mpsc::channel(2 * UNHEARD_EVENTS);
    let hearing = tokio::spawn(async move { while to_hear.recv().await.is_some() {} });
    let reading = async {
        for _ in 0..RUNS {
            readable(&session.0).await;
            let unheard = Unheard::new(session.clone(), 1);
            heard.send(unheard).await.ok();
        }
        drop(heard);
    };
    let read = tokio::time::timeout(DEADLINE, reading).await;
    assert!(read.is_ok(), "nobody woke the reader");
    hearing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_client_that_takes_what_it_is_told_is_read_on_from() {
    let session = session();
    let (queue, mut queued) = tokio::sync::mpsc::channel(64);
    let writer = session.clone();
    let writing = tokio::spawn(async move {
        while queued.recv().await.is_some() {
            writer.0.taken(1);
            writer.0.sent(1);
        }
    });
    let reading = async {
        for _ in 0..RUNS {
            readable(&session.0).await;
            assert!(session.0.queued(1));
            queue.send(()).await.unwrap();
        }
        drop(queue);
    };
    let read = tokio::time::timeout(DEADLINE, reading).await;
    assert!(read.is_ok(), "nobody woke the reader");
    writing.await.unwrap();
    assert_eq!(session.0.packets.load(Ordering::Acquire), 0);
}
