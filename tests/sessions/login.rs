//! Registration, login and logout, as the old pages' scripts ask for them.

use serde_json::json;

use crate::{
    browser::{Browser, mail_of},
    views::server_with_accounts,
};

#[tokio::test]
async fn whoever_registers_logs_in_is_shown_and_logs_out() {
    let (server, _views) = server_with_accounts(&[]);
    let mut browser = Browser::new(server.address());
    let pass = browser.register("Ann").await;
    assert!(pass.len() >= 10, "{pass}");
    assert_eq!(browser.cookie, None, "registered is not logged in");
    assert_eq!(browser.who().await, "nobody");

    let answer = browser.login("Ann", &pass).await;
    assert_eq!(answer, json!({ "success": true, "name": "Ann" }));
    let set = browser.set.clone().unwrap();
    assert!(set.starts_with("jsessionid=s%3A"), "{set}");
    let attributes: Vec<_> = set.split("; ").skip(1).collect();
    assert_eq!(attributes, ["HttpOnly", "SameSite=Lax", "Path=/"]);
    assert_eq!(browser.who().await, "Ann");

    let mut thief = browser.twin();
    assert_eq!(thief.who().await, "Ann");
    let away = browser.get("/logout").await;
    assert_eq!((away.status, away.header("location")), (302, Some("/")));
    assert_eq!(browser.cookie, None);
    assert_eq!(
        thief.who().await,
        "nobody",
        "logged out is logged out everywhere"
    );
    assert_eq!(thief.get("/logout").await.status, 302);
}

#[tokio::test]
async fn what_is_wrong_is_told_as_html_with_status_200() {
    let (server, _views) = server_with_accounts(&[]);
    let mut browser = Browser::new(server.address());
    let name = "<img src=x onerror='a&b'>";
    let mail = "ann@mail.example";
    let pass = browser
        .post("/register", &[("name", name), ("mail", mail)])
        .await;
    assert!(pass["pass"].is_string(), "{pass}");
    let missing = "Please fill out all required fields!";
    let wrong = "Email or password is wrong, please try again!";
    let escaped = "&lt;img src=x onerror=&#39;a&amp;b&#39;&gt;";
    let name_taken =
        format!("The name <b>{escaped}</b> is already taken, please use another name!");
    let mail_taken = format!("The email <b>{mail}</b> is already taken, please use another email!");
    for (path, fields, error) in [
        ("/register", &[][..], missing),
        ("/register", &[("name", "Bob")], missing),
        (
            "/register",
            &[("name", " "), ("mail", "b@c.example")],
            missing,
        ),
        (
            "/register",
            &[("name", name), ("mail", "b@c.example")],
            &name_taken,
        ),
        ("/register", &[("name", "Bob"), ("mail", mail)], &mail_taken),
        (
            "/register",
            &[("name", "Bob"), ("mail", "<b>")],
            "Please use a valid email address!",
        ),
        ("/login", &[], missing),
        ("/login", &[("mail", mail)], missing),
        ("/login", &[("mail", mail), ("pass", "wrong")], wrong),
        (
            "/login",
            &[("mail", "nobody@mail.example"), ("pass", "wrong")],
            wrong,
        ),
    ] {
        let answer = browser.post(path, fields).await;
        assert_eq!(answer, json!({ "error": error }), "{path} {fields:?}");
        assert_eq!(browser.set, None);
    }
}

#[tokio::test]
async fn whoever_fails_too_often_is_told_how_long_to_wait() {
    let (server, _views) = server_with_accounts(&["--account-failures", "2"]);
    let mut browser = Browser::new(server.address());
    browser.register("Ann").await;
    let mail = mail_of("Ann");
    let fields = [("mail", mail.as_str()), ("pass", "wrong")];
    for _ in 0..2 {
        let answer = browser.post_form("/login", &fields).await;
        assert_eq!(answer.header("retry-after"), None);
    }
    let answer = browser.post_form("/login", &fields).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.contains("You tried that too often"),
        "{answer:?}"
    );
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=301).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_login_gets_an_id_that_nobody_knew_before() {
    let (server, _views) = server_with_accounts(&[]);
    let mut attacker = Browser::new(server.address());
    attacker.post("/user", &[("user", "Eve")]).await;
    let mut victim = attacker.twin();
    victim.enter("Ann").await;
    assert_ne!(victim.cookie, attacker.cookie);
    assert_eq!(victim.who().await, "Ann");
    assert_eq!(attacker.who().await, "nobody");
    // What was there before is gone, not only left.
    let before = victim.twin();
    victim.enter("Bob").await;
    assert_eq!(before.twin().who().await, "nobody");
}

#[tokio::test]
async fn each_browser_has_a_login_of_its_own() {
    let (server, _views) = server_with_accounts(&[]);
    let (mut one, mut other) = (
        Browser::new(server.address()),
        Browser::new(server.address()),
    );
    let pass = one.enter("Ann").await;
    other.login("Ann", &pass).await;
    one.get("/logout").await;
    assert_eq!(one.who().await, "nobody");
    assert_eq!(other.who().await, "Ann");
}

#[tokio::test]
async fn two_tabs_that_load_at_once_stay_logged_in() {
    let (server, _views) = server_with_accounts(&[]);
    let mut one = Browser::new(server.address());
    one.enter("Ann").await;
    let mut other = one.twin();
    assert_eq!(one.who().await, "Ann");
    assert_eq!(other.who().await, "Ann");
    // Whichever answer came last, its cookie holds.
    assert_eq!(one.cookie, other.cookie);
    assert_eq!(other.who().await, "Ann");
    assert_eq!(one.who().await, "Ann");
}
