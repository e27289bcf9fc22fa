//! Polls that come late, twice, or die; sessions between two polls; htmlfile.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use handshaken::transport::legacy::Times;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{interval, timeout},
};

use super::{
    server::{self, LIMITS},
    wire::{PATIENCE, eventually, handshake, poll, post, read_answer, request, send},
};

async fn connected(server: SocketAddr) -> String {
    let sid = handshake(server).await;
    assert_eq!(poll(server, &sid).await, "1::");
    sid
}

async fn held_poll(server: SocketAddr, sid: &str) -> TcpStream {
    send(server, &format!("GET /socket.io/1/xhr-polling/{sid}"), "").await
}

fn short(close: u64, polling: u64) -> Times {
    Times {
        close_timeout: Duration::from_millis(close),
        polling_duration: Duration::from_millis(polling),
        ..Times::default()
    }
}

#[tokio::test]
async fn a_poll_that_arrives_late_finds_its_messages_in_order() {
    let server = server::start().await;
    let sid = connected(server.address).await;
    for id in 1..=5 {
        assert_eq!(
            post(server.address, &sid, &format!("3:{id}:/no:x")).await,
            "1"
        );
    }
    let frames: String = (1..=5)
        .map(|id| format!("\u{fffd}8\u{fffd}6::/no:{id}"))
        .collect();
    assert_eq!(poll(server.address, &sid).await, frames);
}

#[tokio::test]
async fn a_held_poll_is_answered_as_soon_as_there_is_something() {
    let server = server::start().await;
    let sid = connected(server.address).await;
    let mut held = held_poll(server.address, &sid).await;
    post(server.address, &sid, r#"5:::{"name":"ev","args":["✓"]}"#).await;
    let answer = read_answer(&mut held).await;
    assert_eq!(answer.body, r#"5:::{"name":"ev-back","args":["✓"]}"#);
}

#[tokio::test]
async fn what_a_poll_that_died_was_waiting_for_goes_to_the_next_one() {
    let server = server::start().await;
    let sid = connected(server.address).await;
    for round in 0..20 {
        drop(held_poll(server.address, &sid).await);
        post(
            server.address,
            &sid,
            &format!(r#"5:::{{"name":"ev","args":[{round}]}}"#),
        )
        .await;
        let echo = format!(r#"5:::{{"name":"ev-back","args":[{round}]}}"#);
        assert_eq!(poll(server.address, &sid).await, echo);
    }
}

#[tokio::test]
async fn an_answer_on_a_connection_that_was_reset_is_given_again() {
    let server = server::start().await;
    let sid = connected(server.address).await;
    for round in 0..20 {
        let mut broken = TcpStream::connect(server.address).await.unwrap();
        let head = format!("GET /socket.io/1/xhr-polling/{sid} HTTP/1.1\r\nHost: x\r\n\r\n");
        broken.write_all(head.as_bytes()).await.unwrap();
        post(
            server.address,
            &sid,
            &format!(r#"5:::{{"name":"ev","args":[{round}]}}"#),
        )
        .await;
        // The answer is there, and is never read.
        broken.readable().await.unwrap();
        SockRef::from(&broken)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(broken);
        // The server is told before it hears of the next poll: a round trip of its own lies between.
        handshake(server.address).await;
        let echo = format!(r#"5:::{{"name":"ev-back","args":[{round}]}}"#);
        assert_eq!(poll(server.address, &sid).await, echo);
    }
}

#[tokio::test]
async fn of_two_polls_the_later_one_gets_what_is_said_and_the_other_ends_in_its_time() {
    let server = server::start_with(short(5_000, 700)).await;
    let sid = connected(server.address).await;
    let began = Instant::now();
    let mut older = held_poll(server.address, &sid).await;
    let attached = server.legacy.sessions().clone();
    eventually("it is held", || attached.count() == 1).await;
    let mut newer = held_poll(server.address, &sid).await;
    assert_eq!(read_answer(&mut older).await.body, "8::");
    assert!(began.elapsed() >= Duration::from_millis(700));
    assert_eq!(read_answer(&mut newer).await.body, "8::");
    // Whichever came second: nothing was lost, and the session lives.
    post(server.address, &sid, "3:1:/no:x").await;
    assert_eq!(poll(server.address, &sid).await, "6::/no:1");
}

#[tokio::test]
async fn a_session_survives_the_gap_between_polls_and_dies_after_its_close_timeout() {
    let server = server::start_with(short(1_500, 200)).await;
    let sid = connected(server.address).await;
    for _ in 0..5 {
        let asked = Instant::now();
        assert_eq!(poll(server.address, &sid).await, "8::");
        assert!(asked.elapsed() >= Duration::from_millis(200));
    }
    let left = Instant::now();
    let sessions = server.legacy.sessions().clone();
    eventually("it is gone", || sessions.count() == 0).await;
    assert!(
        left.elapsed() >= Duration::from_millis(1_400),
        "{:?}",
        left.elapsed()
    );
    assert_eq!(poll(server.address, &sid).await, "7:::1+0");
}

#[tokio::test]
async fn an_unused_handshake_is_forgotten() {
    let times = Times {
        unused: Duration::from_millis(300),
        ..Times::default()
    };
    let server = server::start_with(times).await;
    let sid = handshake(server.address).await;
    let sessions = server.legacy.sessions().clone();
    eventually("it is gone", || sessions.count() == 0).await;
    assert_eq!(poll(server.address, &sid).await, "7:::1+0");
}

#[tokio::test]
async fn who_is_sent_away_by_polling_is_told_in_words() {
    let server = server::start().await;
    for how in ["kick", "sign-out"] {
        let sid = connected(server.address).await;
        let event = format!(r#"5:::{{"name":"{how}"}}"#);
        post(server.address, &sid, &event).await;
        assert_eq!(poll(server.address, &sid).await, "0::", "{how}");
        assert_eq!(poll(server.address, &sid).await, "7:::1+0", "{how}");
    }
}

#[tokio::test]
async fn who_is_to_come_back_is_advised_to() {
    let server = server::start().await;
    let sid = connected(server.address).await;
    let mut held = held_poll(server.address, &sid).await;
    post(server.address, &sid, r#"5:::{"name":"drop"}"#).await;
    assert_eq!(read_answer(&mut held).await.body, "7:::1+0");
}

#[tokio::test]
async fn a_disconnect_ends_the_poll_that_is_held() {
    let server = server::start().await;
    for how in ["by packet", "by query"] {
        let sid = connected(server.address).await;
        let mut held = held_poll(server.address, &sid).await;
        // Until it is held, there is nobody to be told.
        post(server.address, &sid, r#"5:::{"name":"ev","args":[1]}"#).await;
        assert!(
            read_answer(&mut held).await.body.starts_with("5:::"),
            "{how}"
        );
        let mut held = held_poll(server.address, &sid).await;
        if how == "by packet" {
            assert_eq!(post(server.address, &sid, "0::").await, "1");
        } else {
            let head = format!("GET /socket.io/1//{sid}/?disconnect=1");
            assert_eq!(request(server.address, &head, "").await.body, "");
        }
        // The poll may have been overtaken, and then finds nothing.
        let told = read_answer(&mut held).await.body;
        assert!(told == "0::" || told == "7:::1+0", "{how}: {told}");
        assert_eq!(poll(server.address, &sid).await, "7:::1+0", "{how}");
    }
}

#[tokio::test]
async fn too_much_is_refused_and_ends_the_session() {
    let server = server::start().await;
    for size in [LIMITS.message + 1, LIMITS.payload + 1] {
        let sid = connected(server.address).await;
        let head = format!("POST /socket.io/1/xhr-polling/{sid}");
        let answer = request(server.address, &head, &format!("3:::{}", "x".repeat(size))).await;
        assert_eq!(answer.status, 413);
        assert_eq!(poll(server.address, &sid).await, "0::");
        assert_eq!(poll(server.address, &sid).await, "7:::1+0");
    }
}

#[tokio::test]
async fn who_never_polls_is_cut_off_when_too_much_waits() {
    let server = server::start().await;
    let sid = connected(server.address).await;
    post(server.address, &sid, r#"5:::{"name":"flood"}"#).await;
    let sessions = server.legacy.sessions().clone();
    eventually("it is gone", || sessions.count() == 0).await;
    assert_eq!(poll(server.address, &sid).await, "7:::1+0");
}

#[tokio::test]
async fn only_as_many_sessions_begin_as_there_may_be() {
    let server = server::start().await;
    for _ in 0..LIMITS.sessions {
        handshake(server.address).await;
    }
    let answer = request(server.address, "GET /socket.io/1/", "").await;
    assert_eq!((answer.status, &*answer.body), (500, "handshake error"));
}

#[tokio::test]
async fn a_request_for_no_transport_is_refused() {
    let server = server::start().await;
    for path in [
        "foo/123456",
        "flashsocket/123456",
        "websocket/123456",
        "/123456",
    ] {
        let answer = request(server.address, &format!("GET /socket.io/1/{path}"), "").await;
        assert_eq!(answer.status, 400, "{path}");
    }
    let long = format!("GET /socket.io/1/xhr-polling/{}", "x".repeat(10_000));
    assert_eq!(request(server.address, &long, "").await.body, "7:::1+0");
}

#[tokio::test]
async fn a_script_of_another_page_gets_no_session() {
    let server = server::start().await;
    for header in [
        "Referer: http://bad.example/page",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ] {
        let head = format!("GET /socket.io/1/?jsonp=0\n{header}");
        let answer = request(server.address, &head, "").await;
        assert_eq!(
            answer.body, "io.j[0](new Error(\"handshake bad origin\"));",
            "{header}"
        );
    }
    for header in [
        "Referer: http://x:81/page",
        "Referer: http://foo.example/page",
    ] {
        let head = format!("GET /socket.io/1/?jsonp=0\n{header}");
        let answer = request(server.address, &head, "").await;
        assert!(
            answer.body.starts_with("io.j[0](\""),
            "{header}: {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn an_htmlfile_goes_on_script_by_script() {
    let server = server::start().await;
    let sid = handshake(server.address).await;
    let path = format!("/socket.io/1/htmlfile/{sid}");
    let mut page = send(server.address, &format!("GET {path}"), "").await;
    let mut read = Vec::new();
    read_until(
        &mut page,
        &mut read,
        "1A\r\n<script>_(\"1::\");</script>\r\n",
    )
    .await;
    let begin = String::from_utf8(read.clone()).unwrap();
    assert!(
        begin.contains(&format!("100\r\n{:256}\r\n", PREAMBLE)),
        "{begin}"
    );
    let answer = request(
        server.address,
        &format!("POST {path}"),
        "3:::a/b\"</script>",
    )
    .await;
    assert_eq!(answer.body, "1");
    let script =
        r#"<script>_("5:::{\"name\":\"echo\",\"args\":[\"a\/b\\\"\u003c\/script>\"]}");</script>"#;
    read_until(&mut page, &mut read, script).await;
    request(server.address, &format!("POST {path}"), "0::").await;
    read_until(
        &mut page,
        &mut read,
        "1A\r\n<script>_(\"0::\");</script>\r\n0\r\n\r\n",
    )
    .await;
}

const PREAMBLE: &str =
    "<html><body><script>var _ = function (msg) { parent.s._(msg, document); };</script>";

async fn read_until(page: &mut TcpStream, read: &mut Vec<u8>, end: &str) {
    while !read.ends_with(format!("{end}\r\n").as_bytes()) && !read.ends_with(end.as_bytes()) {
        let count = tokio::time::timeout(super::wire::PATIENCE, page.read_buf(read)).await;
        let so_far = String::from_utf8_lossy(read);
        assert!(
            count.is_ok_and(|count| count.unwrap() > 0),
            "{so_far} has no {end}"
        );
    }
}

#[tokio::test]
async fn a_stream_whose_client_reads_slowly_holds_up_no_drain() {
    let server = server::start().await;
    let sid = handshake(server.address).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let head = format!("GET /socket.io/1/htmlfile/{sid} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let reading = tokio::spawn(async move {
        let mut period = interval(Duration::from_millis(200));
        while stream.read(&mut [0; 600]).await.unwrap_or(0) > 0 {
            period.tick().await;
        }
    });
    // Until so much waits for it that what it says is left unread.
    let said = format!("3:::{}", "x".repeat(9_000));
    let said = || post(server.address, &sid, &said);
    while timeout(Duration::from_secs(1), said()).await.is_ok() {}
    assert!(!reading.is_finished(), "it was cut off");
    let drained = timeout(PATIENCE, server.legacy.drain()).await;
    assert!(drained.is_ok(), "the drain waits for it");
    reading.abort();
}
