//! Sessions on WebSocket, frame by frame.

use std::time::{Duration, Instant};

use handshaken::transport::legacy::Times;

use super::{
    server::{self, LIMITS},
    wire::{Socket, eventually, handshake, poll, post, request},
};

async fn expect(socket: &mut Socket, packets: &[&str]) {
    for packet in packets {
        assert_eq!(socket.next().await.as_deref(), Some(*packet));
    }
}

#[tokio::test]
async fn a_session_speaks_as_recorded() {
    let server = server::start().await;
    for version in ["13", "8", "7"] {
        let sid = handshake(server.address).await;
        let mut socket = Socket::open(server.address, &sid, version).await;
        expect(&mut socket, &["1::"]).await;
        for (said, answers) in [
            (
                r#"3:::hello"#,
                &[r#"5:::{"name":"echo","args":["hello"]}"#][..],
            ),
            (
                "3:1::with-ack",
                &["6:::1", r#"5:::{"name":"echo","args":["with-ack"]}"#],
            ),
            (
                r#"4:::{"a":1,"b":"x"}"#,
                &[r#"5:::{"name":"echo","args":[{"a":1,"b":"x"}]}"#],
            ),
            (r#"5:2+::{"name":"ev","args":["✓"]}"#, &[r#"6:::2+["✓"]"#]),
            (
                "1::/chat",
                &[
                    "1::/chat",
                    r#"5::/chat:{"name":"welcome","args":[{"nsp":"/chat"}]}"#,
                ],
            ),
            (
                r#"5:1+:/chat:{"name":"hello","args":["w"]}"#,
                &[r#"6::/chat:1+["w"]"#],
            ),
            ("0::/chat", &[]),
            (r#"5::/chat:{"name":"ev"}"#, &[]),
            (
                "1::/chat:?my=query",
                &[
                    "1::/chat",
                    r#"5::/chat:{"name":"welcome","args":[{"my":"query"}]}"#,
                ],
            ),
            ("1::/deny", &["7::/deny:2"]),
            ("\u{fffd}5\u{fffd}3:::a\u{fffd}5\u{fffd}3:::b", &[]),
            ("2::", &[]),
            ("9:::", &[]),
            ("garbage", &[]),
            ("", &[]),
            (r#"5:::{"name":"disconnect"}"#, &[]),
            ("6:::7+[1]", &[]),
            ("3::", &[r#"5:::{"name":"echo","args":[""]}"#]),
            (
                r#"3:::\ud83d"#,
                &[r#"5:::{"name":"echo","args":["\\ufffd"]}"#],
            ),
            (
                "5:99999999999999999999:/no:x",
                &["6::/no:99999999999999999999"],
            ),
            ("0::", &["0::"]),
        ] {
            socket.say(said).await;
            expect(&mut socket, answers).await;
        }
        assert_eq!(socket.next().await, None);
        assert_eq!(poll(server.address, &sid).await, "7:::1+0");
    }
}

#[tokio::test]
async fn a_session_that_is_not_known_is_told_so_and_ended() {
    let server = server::start().await;
    let mut socket = Socket::open(server.address, "123456", "13").await;
    expect(&mut socket, &["7:::1+0"]).await;
    assert_eq!(socket.next().await, None);
}

#[tokio::test]
async fn a_disconnect_by_query_ends_it() {
    let server = server::start().await;
    for path in ["websocket/", "/"] {
        let sid = handshake(server.address).await;
        let mut socket = Socket::open(server.address, &sid, "13").await;
        expect(&mut socket, &["1::"]).await;
        let head = format!("GET /socket.io/1/{path}{sid}/?disconnect=1");
        let answer = request(server.address, &head, "").await;
        assert_eq!((answer.status, &*answer.body), (200, ""));
        expect(&mut socket, &["0::"]).await;
        assert_eq!(socket.next().await, None);
    }
}

#[tokio::test]
async fn who_is_sent_away_is_told_and_who_may_come_back_is_only_cut_off() {
    let server = server::start().await;
    for (event, words) in [
        ("kick", &["0::"][..]),
        ("sign-out", &["0::"]),
        ("drop", &[]),
    ] {
        let sid = handshake(server.address).await;
        let mut socket = Socket::open(server.address, &sid, "13").await;
        expect(&mut socket, &["1::"]).await;
        socket.say(&format!(r#"5:::{{"name":"{event}"}}"#)).await;
        expect(&mut socket, words).await;
        assert_eq!(socket.next().await, None);
    }
    assert_eq!(server.legacy.sessions().count(), 0);
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_session_in_words() {
    let server = server::start().await;
    let sid = handshake(server.address).await;
    let mut socket = Socket::open(server.address, &sid, "13").await;
    expect(&mut socket, &["1::"]).await;
    socket
        .say(&format!("3:::{}", "x".repeat(LIMITS.message)))
        .await;
    expect(&mut socket, &["0::"]).await;
    assert_eq!(socket.next().await, None);
}

#[tokio::test]
async fn a_close_frame_of_the_clients_ends_the_session_at_once() {
    let server = server::start().await;
    let sid = handshake(server.address).await;
    let mut socket = Socket::open(server.address, &sid, "13").await;
    expect(&mut socket, &["1::"]).await;
    socket.close().await;
    let sessions = server.legacy.sessions().clone();
    eventually("it is gone", || sessions.count() == 0).await;
    assert_eq!(poll(server.address, &sid).await, "7:::1+0");
}

#[tokio::test]
async fn a_session_moves_from_polling_to_websocket_and_is_gone_with_it() {
    let server = server::start().await;
    let sid = handshake(server.address).await;
    assert_eq!(poll(server.address, &sid).await, "1::");
    post(server.address, &sid, "3:1:/no:x").await;
    let mut socket = Socket::open(server.address, &sid, "13").await;
    expect(&mut socket, &["6::/no:1"]).await;
    socket.say("3:::x").await;
    expect(&mut socket, &[r#"5:::{"name":"echo","args":["x"]}"#]).await;
    drop(socket);
    let sessions = server.legacy.sessions().clone();
    eventually("it is gone", || sessions.count() == 0).await;
    assert_eq!(poll(server.address, &sid).await, "7:::1+0");
}

#[tokio::test]
async fn who_answers_no_heartbeat_is_cut_off() {
    let times = Times {
        heartbeat_interval: Duration::from_millis(500),
        heartbeat_timeout: Duration::from_millis(1_000),
        ..Times::default()
    };
    let server = server::start_with(times).await;
    let sid = handshake(server.address).await;
    let mut socket = Socket::open(server.address, &sid, "13").await;
    let began = Instant::now();
    expect(&mut socket, &["1::", "2::"]).await;
    assert!(began.elapsed() >= Duration::from_millis(450));
    socket.say("2::").await;
    let answered = Instant::now();
    expect(&mut socket, &["2::"]).await;
    assert!(answered.elapsed() >= Duration::from_millis(450));
    assert_eq!(socket.next().await, None);
    assert!(answered.elapsed() >= Duration::from_millis(1_450));
}

#[tokio::test]
async fn a_drain_waits_until_everybody_is_told() {
    let server = server::start().await;
    let sid = handshake(server.address).await;
    let mut socket = Socket::open(server.address, &sid, "13").await;
    expect(&mut socket, &["1::"]).await;
    let polling = handshake(server.address).await;
    assert_eq!(poll(server.address, &polling).await, "1::");
    server.legacy.drain().await;
    assert_eq!(server.legacy.sessions().count(), 0);
    assert_eq!(socket.next().await, None);
    assert_eq!(poll(server.address, &polling).await, "7:::1+0");
}

#[tokio::test]
async fn a_connection_that_takes_the_place_of_another_is_told_what_comes() {
    let server = server::start().await;
    let sid = handshake(server.address).await;
    let mut older = Socket::open(server.address, &sid, "13").await;
    expect(&mut older, &["1::"]).await;
    for round in 0..50 {
        let mut newer = Socket::open(server.address, &sid, "13").await;
        assert_eq!(older.next().await, None);
        post(server.address, &sid, &format!("3:::{round}")).await;
        let echo = format!(r#"5:::{{"name":"echo","args":["{round}"]}}"#);
        expect(&mut newer, &[&echo]).await;
        older = newer;
    }
}
