//! What logins leave behind in memory.

use crate::{
    browser::Browser,
    harness::{eventually, server::Server},
};

/// By how much more the server may take afterwards, in KiB.
const MOST: usize = 25 * 1024;

/// One login that leaves its memory behind costs 19 MiB; so many cost much more than is allowed.
const LOGINS: usize = 60;

#[tokio::test]
async fn memory_that_hashing_took_is_given_back() {
    let server = Server::start(&["--hashes-at-once", "4", "--address-failures", "10000"]);
    let log_in = async |n: usize| {
        let mut browser = Browser::new(server.address());
        let mail = format!("nobody{n}@mail.example");
        let fields = [("mail", mail.as_str()), ("pass", "wrong")];
        let answer = browser.post("/login", &fields).await;
        assert!(
            answer["error"].as_str().unwrap().contains("is wrong"),
            "{answer}"
        );
    };
    let before = server.memory();
    // One after the other, and several at once.
    for n in 0..LOGINS {
        log_in(n).await;
    }
    for n in 0..LOGINS / 4 {
        let four = [0, 1, 2, 3].map(|m| log_in(1000 + 4 * n + m));
        futures_util::future::join_all(four).await;
    }
    eventually("the memory is given back", async || {
        let more = server.memory().saturating_sub(before);
        let is_back = more <= MOST;
        is_back.then_some(()).ok_or(format!("{more} KiB more"))
    })
    .await;
}
