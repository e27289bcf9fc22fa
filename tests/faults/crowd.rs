//! Two clients that misbehave in a crowd of hundreds. `bench crowd` measures what the others notice; here
//! they are told everything, in order, and the two end with a reason.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use crate::harness::{
    DEADLINE,
    client::{Client, Pace},
    eventually,
    raw::{TEXT, frame},
    server::Server,
    soon,
    words::{Said, assert_dense, post},
};

const ROOM: &str = "crowd";
const HEALTHY: usize = 250;
const PER_SECOND: u32 = 25;
/// Long enough that one who stops reading is noticed soon.
const LENGTH: usize = 2000;
const ALONE: usize = 50;

/// Messages that readers may be behind before the sender waits for them: this is no test of how fast a
/// machine is.
const BEHIND: usize = 20;

/// KiB that an allocator may keep of what a crowd needed for a while.
const KEPT_BY_ALLOCATOR: usize = 40 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_and_a_flooding_client_end_with_a_reason_and_nobody_else_misses_anything() {
    let server = Server::start(&["--stall-timeout", "2s", "--flood-timeout", "2s"]);
    let address = server.address();
    let mut sender = Client::native(address, "sender").await;
    sender.join(ROOM, None).await;
    let heard = Arc::new(AtomicUsize::new(0));
    let mut healthy = Vec::new();
    for n in 0..HEALTHY {
        healthy.push(tokio::spawn(read_to_the_last(address, n, heard.clone())));
    }
    eventually("everybody is there", async || {
        let answer = sender.join(ROOM, None).await;
        (answer["total"] == HEALTHY + 1)
            .then_some(())
            .ok_or_else(|| answer["total"].to_string())
    })
    .await;
    let before = server.memory();

    let mut steady = Steady {
        sender,
        pace: Pace::per_second(PER_SECOND),
        number: 0,
        heard,
    };
    while steady.number < ALONE {
        steady.say().await;
    }
    let mut stalled = Client::small(address, "/chat").await;
    stalled.hello("stalled").await;
    stalled.join(ROOM, None).await;
    let flooding = tokio::spawn(flood(address));
    let both_ended = |store: Vec<String>| {
        let ended = |reasons: &[&str]| {
            store
                .iter()
                .any(|line| reasons.iter().any(|reason| line.contains(reason)))
        };
        ended(&["\"flooding\""]) && ended(&["\"stalled\"", "\"slow_peer\""])
    };
    let start = Instant::now();
    while !both_ended(server.log()) {
        assert!(start.elapsed() < DEADLINE, "{:#?}", server.log());
        steady.say().await;
    }
    let Steady {
        mut sender, number, ..
    } = steady;
    sender
        .start("post", &post(ROOM, "last", None))
        .await
        .unwrap();

    let mut delays: [Vec<u64>; 2] = Default::default();
    let mut all = Vec::<Said>::new();
    for reader in healthy {
        let (read, delayed) = reader.await.unwrap();
        assert_dense(&read, 1);
        assert_eq!(read.last().unwrap().text, "last");
        let (alone, with_the_two) = delayed.split_at(ALONE);
        delays[0].extend(alone);
        delays[1].extend(with_the_two);
        all = read;
    }
    let of_sender = all.iter().filter(|said| said.text.len() > LENGTH).count();
    assert_eq!(of_sender, number, "a post of the steady sender is missing");
    let told = flooding.await.unwrap();
    assert!(
        holds(&told, br#"["goodbye",{"code":"flooding""#),
        "it is not told"
    );
    assert!(holds(&told, b"41/chat"), "it would connect again by itself");
    let last = &told[told.len().saturating_sub(100)..];
    assert!(holds(last, &1008u16.to_be_bytes()), "it ends with {last:?}");
    let ended: Vec<_> = (server.log().into_iter())
        .filter(|line| line.contains("ending a session"))
        .collect();
    assert_eq!(ended.len(), 2, "somebody else was sent away: {ended:#?}");

    for (what, mut delays) in ["alone", "with the two"].into_iter().zip(delays) {
        delays.sort_unstable();
        println!(
            "{} messages to {HEALTHY} readers {what}: p50 {} ms, p99 {} ms",
            delays.len() / HEALTHY,
            delays[delays.len() / 2],
            delays[delays.len() * 99 / 100],
        );
    }
    eventually("memory returns to its level", async || {
        let after = server.memory();
        (after < before + KEPT_BY_ALLOCATOR)
            .then_some(())
            .ok_or_else(|| format!("{before} KiB before, {after} KiB after"))
    })
    .await;
}

/// Says one thing after the other at a steady pace, as long as the readers keep up.
struct Steady {
    sender: Client,
    pace: Pace,
    number: usize,
    heard: Arc<AtomicUsize>,
}

impl Steady {
    async fn say(&mut self) {
        self.pace.moment().await;
        eventually("the readers keep up", async || {
            let heard = self.heard.load(Ordering::Relaxed);
            (self.number * HEALTHY < heard + BEHIND * HEALTHY)
                .then_some(())
                .ok_or_else(|| format!("{heard} of {} times {HEALTHY}", self.number))
        })
        .await;
        self.number += 1;
        let text = format!("{} {:LENGTH$}", self.number, millis());
        self.sender
            .start("post", &post(ROOM, &text, None))
            .await
            .unwrap();
        drain(&mut self.sender).await;
    }
}

/// Returns what it read, and how late each post of the sender's was, ms.
async fn read_to_the_last(
    address: SocketAddr,
    n: usize,
    heard: Arc<AtomicUsize>,
) -> (Vec<Said>, Vec<u64>) {
    let mut client = Client::native(address, &format!("healthy {n}")).await;
    client.join(ROOM, None).await;
    let (mut read, mut delays) = (Vec::<Said>::new(), Vec::new());
    while read.last().is_none_or(|said| said.text != "last") {
        let said = client.said().await;
        if let Some(sent) = said.text.split_whitespace().nth(1) {
            delays.push(millis().saturating_sub(sent.parse().unwrap()));
            heard.fetch_add(1, Ordering::Relaxed);
        }
        read.push(said);
        client.forget();
    }
    (read, delays)
}

/// Posts as fast as the connection takes it; returns all that the server sent meanwhile.
async fn flood(address: SocketAddr) -> Vec<u8> {
    let mut client = Client::native(address, "flooding").await;
    client.join(ROOM, None).await;
    // Bare, so that a write that fails does not keep anything from being read.
    let (mut read, mut write) = client.into_websocket().into_inner().into_split();
    let flood = tokio::spawn(async move {
        let packet = format!("42/chat,[\"post\",{}]", post(ROOM, "flood", None));
        let packets = frame(true, TEXT, packet.as_bytes()).repeat(10);
        while write.write_all(&packets).await.is_ok() {}
    });
    let mut told = Vec::new();
    soon("the end of the flood", async {
        while read.read_buf(&mut told).await.is_ok_and(|count| count > 0) {}
    })
    .await;
    flood.abort();
    told
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Reads what has come, and does not wait for more.
async fn drain(client: &mut Client) {
    while tokio::time::timeout(Duration::from_millis(1), client.next())
        .await
        .is_ok()
    {}
}

fn millis() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_millis() as u64
}
