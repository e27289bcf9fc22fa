//! Which requests count: from which pages, in which form, through which proxies.

use crate::{
    browser::Browser,
    harness::{
        http::{Answer, ask},
        server::Server,
    },
    views::server_with_accounts,
};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[tokio::test]
async fn forms_of_other_peoples_pages_are_refused() {
    let flags = ["--cors-origin", "https://friend.example"];
    let (server, _views) = server_with_accounts(&flags);
    for (headers, is_ours) in [
        ("Origin: https://evil.example\r\n", false),
        ("Origin: null\r\n", false),
        ("Referer: https://evil.example/127.0.0.1\r\n", false),
        ("Sec-Fetch-Site: cross-site\r\n", false),
        ("Origin: https://friend.example\r\n", true),
        ("Origin: http://127.0.0.1:81\r\n", true),
        ("", true),
    ] {
        for path in ["/register", "/login", "/user"] {
            let mut browser = Browser::new(server.address());
            browser.headers = headers.to_owned();
            let answer = browser.post_form(path, &[("user", "Bob")]).await;
            let expected = if is_ours { 200 } else { 403 };
            assert_eq!(answer.status, expected, "{path} {headers} {answer:?}");
            if !is_ours {
                assert_eq!(answer.body, r#"{"error":"This page may not do that."}"#);
                assert_eq!(browser.set, None);
            }
        }
    }
}

#[tokio::test]
async fn a_link_on_somebody_elses_page_shows_who_is_logged_in_and_logs_nobody_out() {
    let (server, _views) = server_with_accounts(&[]);
    let mut browser = Browser::new(server.address());
    browser.enter("Ann").await;
    browser.headers = "Referer: https://evil.example/\r\nSec-Fetch-Site: cross-site\r\n".into();
    assert_eq!(browser.get("/logout").await.status, 302);
    assert_eq!(browser.who().await, "Ann");
}

#[tokio::test]
async fn what_is_no_small_form_is_refused() {
    let (server, _views) = server_with_accounts(&["--stall-timeout", "1s"]);
    let mut browser = Browser::new(server.address());
    let json = "Content-Type: application/json\r\n";
    let plain = "Content-Type: text/plain\r\n";
    let large = format!("user={}", "x".repeat(8192));
    for (headers, body, status) in [
        (json, r#"{"user":"Bob"}"#, 415),
        (plain, "user=Bob", 415),
        ("", "user=Bob", 415),
        (FORM, &large, 413),
        (FORM, "user=%FF%", 200),
        (FORM, "&&&=&", 200),
    ] {
        let answer = browser.send("POST", "/user", headers, body).await;
        assert_eq!(answer.status, status, "{headers} {answer:?}");
        let is_json = serde_json::from_str::<serde_json::Value>(&answer.body).is_ok();
        assert!(is_json, "{answer:?}");
    }
    for (method, path) in [("GET", "/login"), ("POST", "/logout"), ("PUT", "/user")] {
        let answer = browser.send(method, path, FORM, "").await;
        assert_eq!(answer.status, 405, "{method} {path}");
    }
    let late = "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n";
    let head = format!(
        "POST /user HTTP/1.1\r\nHost: {}\r\n{late}\r\n1\r\nu\r\n",
        server.address()
    );
    let answer = unfinished(server.address(), &head).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

/// The answer to a request that never ends.
async fn unfinished(address: std::net::SocketAddr, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let length = crate::harness::soon("an answer", stream.read(&mut answer)).await;
    String::from_utf8_lossy(&answer[..length.unwrap()]).into_owned()
}

#[tokio::test]
async fn the_cookie_is_for_tls_where_a_trusted_proxy_says_so() {
    for (trusted, is_secure) in [("127.0.0.0/8", true), ("10.0.0.0/8", false)] {
        let (server, _views) = server_with_accounts(&["--trusted-proxy", trusted]);
        let mut browser = Browser::new(server.address());
        browser.headers = "X-Forwarded-Proto: https\r\n".into();
        browser.enter("Ann").await;
        for _ in 0..2 {
            let set = browser.set.clone().unwrap();
            assert_eq!(set.contains("; Secure"), is_secure, "{set}");
            assert_eq!(browser.who().await, "Ann");
        }
        browser.headers.clear();
        browser.get("/").await;
        assert!(!browser.set.clone().unwrap().contains("Secure"));
    }
}

#[tokio::test]
async fn attempts_are_counted_by_the_address_that_a_trusted_proxy_names() {
    for (trusted, apart) in [("127.0.0.1", true), ("10.0.0.1", false)] {
        let flags = ["--trusted-proxy", trusted, "--address-failures", "1"];
        let (server, _views) = server_with_accounts(&flags);
        let fails = async |from: &str, mail: &str| -> Answer {
            let mut browser = Browser::new(server.address());
            browser.headers = format!("X-Forwarded-For: 198.51.100.1, {from}\r\n");
            browser
                .post_form("/login", &[("mail", mail), ("pass", "wrong")])
                .await
        };
        fails("203.0.113.1", "a@b.example").await;
        let again = fails("203.0.113.1", "b@b.example").await;
        assert!(again.header("retry-after").is_some(), "{again:?}");
        let other = fails("203.0.113.2", "c@b.example").await;
        assert_eq!(other.header("retry-after").is_none(), apart, "{other:?}");
    }
}

#[tokio::test]
async fn connections_have_the_address_that_a_trusted_proxy_names() {
    let server = Server::start(&["--trusted-proxy", "127.0.0.1"]);
    let forwarded = "X-Forwarded-For: 203.0.113.7\r\n";
    let path = "/socket.io/?EIO=4&transport=polling";
    let opened = ask(server.address(), "GET", path, forwarded, b"").await;
    let opened = opened.unwrap().body;
    let open: serde_json::Value = serde_json::from_str(&opened[1..]).unwrap();
    let path = format!("{path}&sid={}", open["sid"].as_str().unwrap());
    // No packet of Engine.IO begins so.
    ask(server.address(), "POST", &path, forwarded, b"?")
        .await
        .unwrap();
    server.logged(&["bad_packet", "203.0.113.7"]).await;
}
