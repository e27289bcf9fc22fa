//! Clients that are there, and clients that are gone without a word.

use std::time::{Duration, Instant};

use handshaken::transport::websocket::Timing;

use crate::{
    echo,
    harness::{
        eventually,
        raw::{PING, Raw, TEXT, frame},
        soon,
    },
};

const TIMING: Timing = Timing {
    ping_interval: Duration::from_millis(300),
    ping_timeout: Duration::from_secs(3),
};

const PONG: u8 = 10;

#[tokio::test]
async fn whoever_is_silent_is_pinged_and_then_gone() {
    let server = echo::start(TIMING).await;
    let mut raw = Raw::upgrade(server.address, "/").await.unwrap();
    let began = Instant::now();
    assert_eq!(soon("a ping", raw.read()).await.unwrap(), (PING, vec![]));
    assert!(began.elapsed() >= TIMING.ping_interval / 2);
    assert!(soon("the end", raw.read()).await.is_err());
    assert!(began.elapsed() >= TIMING.ping_timeout);
    assert_eq!(server.websocket.peers().count(), 0);
}

#[tokio::test]
async fn whoever_answers_stays() {
    let server = echo::start(TIMING).await;
    let mut raw = Raw::upgrade(server.address, "/").await.unwrap();
    for _ in 0..8 {
        assert_eq!(soon("a ping", raw.read()).await.unwrap(), (PING, vec![]));
        raw.write(&frame(true, PONG, b"")).await.unwrap();
    }
    raw.text("1").await.unwrap();
    let (kind, said) = soon("an answer", async {
        loop {
            match raw.read().await.unwrap() {
                (PING, _) => {}
                other => return other,
            }
        }
    })
    .await;
    assert_eq!((kind, said), (TEXT, b"1".to_vec()));
}

#[tokio::test]
async fn a_message_that_takes_its_time_is_a_sign_of_life() {
    let server = echo::start(TIMING).await;
    let mut raw = Raw::upgrade(server.address, "/").await.unwrap();
    let text = format!("\"{}\"", "x".repeat(60));
    let message = frame(true, TEXT, text.as_bytes());
    // Longer altogether than silence may last.
    let mut period = tokio::time::interval(Duration::from_millis(100));
    for byte in &message {
        period.tick().await;
        raw.write(&[*byte]).await.unwrap();
    }
    assert!(!raw.ends_before(&text).await);
}

#[tokio::test]
async fn whoever_hangs_up_without_a_word_is_gone_at_once() {
    let server = echo::start(echo::PATIENT).await;
    let peers = server.websocket.peers().clone();
    for unfinished in [&b""[..], &frame(true, TEXT, b"12345")[..4], &[0x81]] {
        let mut raw = Raw::upgrade(server.address, "/").await.unwrap();
        eventually("it is there", async || match peers.count() {
            1 => Ok(()),
            count => Err(format!("{count} are")),
        })
        .await;
        raw.write(unfinished).await.unwrap();
        drop(raw);
        eventually("it is gone", async || match peers.count() {
            0 => Ok(()),
            count => Err(format!("{count} are there")),
        })
        .await;
    }
}
