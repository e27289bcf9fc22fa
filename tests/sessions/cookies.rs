//! What a cookie is worth: over a restart, with another secret, forged, expired, from an express server.

use rusqlite::Connection;

use crate::{
    browser::Browser,
    harness::server::Server,
    views::{folder, server_with_accounts},
};

/// What Node's express-session 1.18 set for a login, with this secret, and the record it kept.
const OF_EXPRESS: &str =
    "jsessionid=s%3A4nWajvwyKeUn8B_1Mk_hunqc_FlohzGo.uPsqafQ8vpVbQfxkshfZ8utg8bdpRtLkXGBSMcqdOCc";
const ID_OF_EXPRESS: &str = "4nWajvwyKeUn8B_1Mk_hunqc_FlohzGo";
const SECRET_OF_EXPRESS: &str = "your secret here";
const RECORD_OF_EXPRESS: &str = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"name":"Ann","mail":"a@b.c","pass":"plain"}"#;

/// The sessions' file of a server that has ended.
fn file(data: &std::path::Path) -> Connection {
    Connection::open(data.join("data/sessions.db")).unwrap()
}

#[tokio::test]
async fn a_login_survives_a_restart_and_a_crash() {
    let (server, _views) = server_with_accounts(&[]);
    let mut browser = Browser::new(server.address());
    browser.enter("Ann").await;
    server
        .logged(&["WARN", "no --session-secret: drew one"])
        .await;
    server.terminate();
    let (status, ended) = server.exit().await;
    assert!(status.success());
    let server = ended.start_again();
    assert_eq!(browser.who().await, "Ann");
    let server = server.kill().start_again();
    assert_eq!(browser.who().await, "Ann");
    browser.get("/logout").await;
    let mut thief = browser.twin();
    let _server = server.kill().start_again();
    assert_eq!(thief.who().await, "nobody");
}

#[tokio::test]
async fn no_secret_is_drawn_twice_or_readable_for_others() {
    use std::os::unix::fs::PermissionsExt;
    let (server, _views) = server_with_accounts(&[]);
    let path = server.data().join("data/sessions.db");
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let server = server.kill().start_again();
    Browser::new(server.address()).get("/").await;
    let log = server.log().join("\n");
    assert!(!log.contains("session-secret"), "{log}");
}

#[tokio::test]
async fn secrets_are_rotated_without_logging_anybody_out() {
    let views = folder("<%= name %>");
    let views = views.path().to_str().unwrap();
    let mut ended = None;
    let mut browser = None;
    for (secrets, name) in [
        (&["the first of all secrets"][..], "Ann"),
        (
            &["the second one of them", "the first of all secrets"],
            "Ann",
        ),
        (&["the second one of them"], "Ann"),
        (&["another that it does not know"], ""),
    ] {
        let mut flags = vec!["--views", views];
        for secret in secrets {
            flags.extend(["--session-secret", secret]);
        }
        let server = match ended.take() {
            None => Server::start(&flags),
            Some(ended) => start_again(ended, &flags),
        };
        let browser = browser.get_or_insert_with(|| Browser::new(server.address()));
        browser.address = server.address();
        if browser.cookie.is_none() {
            browser.enter("Ann").await;
        }
        // The page gives it a cookie that the first secret signed.
        assert_eq!(browser.who().await, name, "{secrets:?}");
        let log = server.log().join("\n");
        assert!(!log.contains("session-secret"), "{log}");
        ended = Some(server.kill());
    }
}

fn start_again(ended: crate::harness::server::Ended, flags: &[&str]) -> Server {
    ended.with_flags(flags).start_again()
}

#[tokio::test]
async fn a_login_of_an_express_server_holds_on() {
    let (server, _views) = server_with_accounts(&["--session-secret", SECRET_OF_EXPRESS]);
    let ended = server.kill();
    let sql = "INSERT INTO sessions (login, id, renewed, account, record, expires) VALUES (7, ?1, 0, 'a@b.c', ?2, ?3)";
    let row = (ID_OF_EXPRESS, RECORD_OF_EXPRESS, i64::from(u32::MAX) * 1000);
    file(ended.data()).execute(sql, row).unwrap();
    let server = ended.start_again();
    let mut browser = Browser::new(server.address());
    browser.cookie = Some(OF_EXPRESS.to_owned());
    assert_eq!(browser.who().await, "Ann");
    assert_ne!(browser.cookie.as_deref(), Some(OF_EXPRESS));
    assert_eq!(browser.who().await, "Ann");
}

#[tokio::test]
async fn forged_cookies_are_nobodys() {
    let (server, _views) = server_with_accounts(&["--session-secret", SECRET_OF_EXPRESS]);
    let mut browser = Browser::new(server.address());
    browser.enter("Ann").await;
    let right = browser.cookie.clone().unwrap();
    let (id, signature) = right.rsplit_once('.').unwrap();
    let long = "x".repeat(10_000);
    for forged in [
        id.to_owned(),
        format!("{id}."),
        format!("{id}.{}", &signature[1..]),
        format!("{id}.{}", signature.to_lowercase()),
        format!("{}x.{signature}", id),
        OF_EXPRESS.replace("OCc", "OCd"),
        OF_EXPRESS.to_owned(),
        format!("jsessionid=s%3A{long}.{long}"),
        "jsessionid=%00%FF%".to_owned(),
        "jsessionid=".to_owned(),
    ] {
        let mut other = Browser::new(server.address());
        other.cookie = Some(forged.clone());
        assert_eq!(other.who().await, "nobody", "{forged}");
    }
    assert_eq!(browser.who().await, "Ann");
}

#[tokio::test]
async fn a_session_that_was_not_used_expires() {
    let (server, _views) = server_with_accounts(&[]);
    let mut browser = Browser::new(server.address());
    browser.enter("Ann").await;
    let ended = server.kill();
    let day = 86_400_000.0;
    let left: f64 = file(ended.data())
        .query_row(
            "SELECT expires - (julianday('now') - 2440587.5) * 86400000 FROM sessions",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!((day - 3_600_000.0..=day).contains(&left), "{left}");
    file(ended.data())
        .execute("UPDATE sessions SET expires = 1000", [])
        .unwrap();
    let _server = ended.start_again();
    assert_eq!(browser.who().await, "nobody");
}

#[tokio::test]
async fn the_settings_say_what_the_cookie_is_called_and_how_long_it_is_good() {
    let flags = ["--session-cookie", "sid", "--session-max-age", "2d"];
    let (server, _views) = server_with_accounts(&flags);
    let mut browser = Browser::new(server.address());
    browser.enter("Ann").await;
    for _ in 0..2 {
        let set = browser.set.clone().unwrap();
        assert!(set.starts_with("sid=s%3A"), "{set}");
        assert!(set.contains("; Max-Age=172800"), "{set}");
        // Each view has it last on.
        assert_eq!(browser.who().await, "Ann");
    }
    let ended = server.kill();
    let record: String = file(ended.data())
        .query_row("SELECT record FROM sessions", [], |row| row.get(0))
        .unwrap();
    assert!(
        record.starts_with(r#"{"cookie":{"originalMaxAge":172800000,"expires":"20"#),
        "{record}"
    );
}

#[tokio::test]
async fn sessions_that_cannot_be_written_are_told_and_nothing_else_suffers() {
    let (server, _views) = server_with_accounts(&[]);
    let mut browser = Browser::new(server.address());
    let pass = browser.enter("Ann").await;
    let mut other = Browser::new(server.address());
    let held = file(server.data());
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = other.login("Ann", &pass).await;
    let told = "Registrations and logins do not work at the moment, please try again later!";
    assert_eq!(answer, serde_json::json!({ "error": told }));
    assert_eq!(other.cookie, None);
    for path in ["/", "/logout"] {
        assert_eq!(browser.get(path).await.status, 503, "{path}");
    }
    assert_eq!(other.get("/health").await.status, 200);
    assert_eq!(other.who().await, "nobody");
    held.execute_batch("ROLLBACK").unwrap();
    assert_eq!(browser.who().await, "Ann");
}
