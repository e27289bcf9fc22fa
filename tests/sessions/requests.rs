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
async fn only_a_page_of_ours_or_the_user_alone_logs_somebody_out() {
    let (server, _views) = server_with_accounts(&[]);
    let pass = Browser::new(server.address()).register("Ann").await;
    let ours = format!("Referer: http://{}/\r\n", server.address());
    for (headers, is_proven) in [
        (&*ours, true),
        ("Sec-Fetch-Site: same-origin\r\n", true),
        // Somebody typed the address.
        ("Sec-Fetch-Site: none\r\n", true),
        (
            "Referer: https://evil.example/\r\nSec-Fetch-Site: cross-site\r\n",
            false,
        ),
        ("Sec-Fetch-Site: same-site\r\n", false),
        // A link with rel=noreferrer, over plain HTTP.
        ("", false),
    ] {
        for path in ["/logout", "/logout?everywhere"] {
            let mut browser = Browser::new(server.address());
            browser.login("Ann", &pass).await;
            browser.headers = headers.into();
            let answer = browser.get(path).await;
            let status = if is_proven { 302 } else { 200 };
            assert_eq!(answer.status, status, "{headers} {answer:?}");
            let expected = if is_proven { "nobody" } else { "Ann" };
            assert_eq!(browser.who().await, expected, "{headers}");
        }
    }
}

#[tokio::test]
async fn who_is_asked_whether_to_log_out_does_it_with_the_button_of_that_page() {
    let (server, _views) = server_with_accounts(&[]);
    let mut bob = Browser::new(server.address());
    bob.enter("Bob").await;
    bob.headers.clear();
    let bobs = token(&bob.get("/logout").await.body).to_owned();
    for path in ["/logout", "/logout?everywhere"] {
        let mut ann = Browser::new(server.address());
        ann.enter(if path.ends_with('t') { "Ann" } else { "Anna" })
            .await;
        ann.headers.clear();
        let page = ann.get(path).await;
        assert_eq!(page.status, 200, "{page:?}");
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(
            page.body.contains(&format!("action=\"{path}\"")),
            "{page:?}"
        );
        let right = token(&page.body).to_owned();
        for wrong in ["", "x", &bobs, &right[1..]] {
            let answer = ann.post_form(path, &[("token", wrong)]).await;
            assert_eq!(answer.status, 200, "{wrong} {answer:?}");
            assert!(ann.who().await.starts_with("Ann"));
        }
        // Neither Origin nor Referer is sent.
        let answer = ann.post_form(path, &[("token", &right)]).await;
        assert_eq!((answer.status, answer.header("location")), (302, Some("/")));
        assert_eq!(ann.who().await, "nobody");
    }
    assert_eq!(bob.who().await, "Bob");
}

/// The value of the field `token`.
fn token(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"token\" value=\"").expect(page);
    rest.split('"').next().unwrap()
}

#[tokio::test]
async fn a_script_on_a_page_that_hides_where_it_is_gets_no_login() {
    let (server, _views) = server_with_accounts(&[]);
    let address = server.address();
    let mut ann = Browser::new(address);
    ann.enter("Ann").await;
    let cookie = format!("Cookie: {}\r\n", ann.cookie.unwrap());
    let ours = format!("Referer: http://{address}/page\r\n");
    for (query, headers, known) in [
        ("?t=1", &*cookie, "\"Ann\""),
        ("?t=1&jsonp=0", &*format!("{cookie}{ours}"), "\"Ann\""),
        (
            "?t=1&jsonp=0",
            &*format!("{cookie}Sec-Fetch-Site: same-origin\r\n"),
            "\"Ann\"",
        ),
        ("?t=1&jsonp=0", &cookie, "null"),
    ] {
        let path = format!("/socket.io/1/{query}");
        let told = ask(address, "GET", &path, headers, b"").await.unwrap().body;
        let told = told.trim_start_matches("io.j[0](\"");
        let session = format!(
            "/socket.io/1/xhr-polling/{}",
            told.split(':').next().unwrap()
        );
        let poll = async || ask(address, "GET", &session, "", b"").await.unwrap().body;
        assert_eq!(poll().await, "1::");
        let joined = br#"5:1+::{"name":"joined","args":[]}"#;
        ask(address, "POST", &session, "", joined).await.unwrap();
        let mut told = String::new();
        while !told.contains("6:::1+[") {
            told = crate::harness::soon("the name of the login", poll()).await;
        }
        assert!(
            told.contains(&format!("6:::1+[{known}]")),
            "{query} {headers}: {told}"
        );
    }
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
    for (method, path) in [("GET", "/login"), ("PUT", "/logout"), ("PUT", "/user")] {
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
