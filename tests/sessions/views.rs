//! The old pages' templates: rendered as their servers did, and refused at the start where they cannot be.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;

use crate::{browser::Browser, harness::server::Server};

/// A page that shows the account's name, or `nobody`.
const ACCOUNTS: &str = "<% if (name) { %><%= name %><% } else { %>nobody<% } %>";

/// A page that shows the name which a visitor gave.
const VISITORS: &str = "{{ server }} {% raw %} <%= server %>: <% if(user) { %><%= user %><% } %>\n";

/// A folder with an `index.ejs`.
pub fn folder(template: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.ejs"), template).unwrap();
    folder
}

/// A server whose page says who has logged in, and the folder of its template.
pub fn server_with_accounts(flags: &[&str]) -> (Server, TempDir) {
    server_with(ACCOUNTS, flags)
}

fn server_with(template: &str, flags: &[&str]) -> (Server, TempDir) {
    let views = folder(template);
    let dir = views.path().to_str().unwrap();
    let flags: Vec<_> = ["--views", dir]
        .into_iter()
        .chain(flags.iter().copied())
        .collect();
    (Server::start(&flags), views)
}

#[tokio::test]
async fn a_visitor_gives_a_name_and_keeps_it_under_another_id() {
    let (server, _views) = server_with(VISITORS, &["--host-name", "one & two"]);
    let mut browser = Browser::new(server.address());
    let page = browser.get("/").await;
    let empty = "{{ server }} {% raw %} one &amp; two: \n";
    assert_eq!(page.body, empty);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(page.header("cache-control"), Some("private, no-store"));
    // The page connects before it has the answer to its form.
    let first = browser
        .cookie
        .clone()
        .expect("a cookie with the first page");
    let answer = browser.post("/user", &[("user", "<img onerror>")]).await;
    assert_eq!(answer, serde_json::json!({ "error": "" }));
    assert_ne!(browser.cookie.as_ref(), Some(&first), "others may know it");
    assert_eq!(
        browser.who().await,
        empty.replace(": ", ": &lt;img onerror&gt;")
    );
    let second = browser.cookie.clone().unwrap();
    assert_ne!(second, first);
    browser.who().await;
    assert_ne!(browser.cookie, Some(second));
    let away = browser.get("/logout").await;
    assert_eq!((away.status, away.header("location")), (302, Some("/")));
    assert_eq!(browser.who().await, empty);
}

#[tokio::test]
async fn a_name_that_cannot_be_one_is_refused_and_nothing_is_kept() {
    let (server, _views) = server_with(VISITORS, &[]);
    let mut browser = Browser::new(server.address());
    let long = "x".repeat(41);
    for (user, why) in [
        ("", "Please fill out all required fields!"),
        (" \t", "Please fill out all required fields!"),
        (
            &long,
            "Please use another name: name is longer than 40 characters!",
        ),
        (
            "a\nb",
            "Please use another name: name holds a control character!",
        ),
    ] {
        let answer = browser.post("/user", &[("user", user)]).await;
        assert_eq!(answer["error"], why, "{user:?}");
    }
    assert_eq!(browser.cookie, None);
}

#[tokio::test]
async fn a_name_of_an_account_is_nobodys_who_has_not_proved_it() {
    let (server, _views) = server_with(VISITORS, &["--host-name", "one"]);
    let ann = [("name", "Ann <b>"), ("mail", "ann@mail.example")];
    let registered = Browser::new(server.address()).post("/register", &ann).await;
    assert!(registered["pass"].is_string(), "{registered}");
    let mut browser = Browser::new(server.address());
    browser.get("/").await;
    for (name, named) in [
        ("Ann <b>", "Ann &lt;b&gt;"),
        (" aNN <b>", "aNN &lt;b&gt;"),
        ("Ａnn <b>", "Ａnn &lt;b&gt;"),
    ] {
        let answer = browser.post("/user", &[("user", name)]).await;
        let taken = format!("The name <b>{named}</b> is already taken, please use another name!");
        assert_eq!(answer, serde_json::json!({ "error": taken }), "{name}");
    }
    assert_eq!(browser.who().await, "{{ server }} {% raw %} one: \n");
    let answer = browser.post("/user", &[("user", "Anna")]).await;
    assert_eq!(answer, serde_json::json!({ "error": "" }));
}

#[tokio::test]
async fn names_of_accounts_are_not_found_out_by_trying() {
    let (server, _views) = server_with(VISITORS, &[]);
    let mut browser = Browser::new(server.address());
    browser.register("Ann").await;
    for _ in 0..60 {
        let answer = browser.post("/user", &[("user", "Ann")]).await;
        assert_ne!(answer["error"], "");
    }
    let answer = browser.post("/user", &[("user", "Ann")]).await;
    let told = answer["error"].as_str().unwrap();
    assert!(told.starts_with("You tried that too often"), "{told}");
}

#[tokio::test]
async fn a_visitor_of_a_page_with_logins_gets_no_cookie() {
    let (server, _views) = server_with_accounts(&[]);
    let mut browser = Browser::new(server.address());
    assert_eq!(browser.who().await, "nobody");
    assert_eq!(browser.set, None);
}

#[tokio::test]
async fn without_views_the_page_is_the_folders_or_our_own() {
    let public = tempfile::tempdir().unwrap();
    fs::write(public.path().join("index.html"), "<%= name %>").unwrap();
    let server = Server::start(&["--public", public.path().to_str().unwrap()]);
    let mut browser = Browser::new(server.address());
    browser.enter("Ann").await;
    assert_eq!(browser.who().await, "<%= name %>");
}

#[test]
fn what_a_template_may_not_use_is_told_at_the_start_all_at_once() {
    let views = folder("<html>\n<%- include('head') %>\n<%= title %>\n<% while (name) { %><% } %>");
    let (code, told) = check(views.path());
    assert_eq!(code, Some(64), "{told}");
    let file = views.path().join("index.ejs");
    for mistake in [
        "line 2: `<%- include('head') %>`: only the name of a variable can be printed",
        "line 4: `<% while (name) { %>`: only `if (name) {`",
    ] {
        let mistake = format!("--views: {}: {mistake}", file.display());
        assert!(told.contains(&mistake), "no `{mistake}` in:\n{told}");
    }
    assert_eq!(told.lines().count(), 3, "{told}");

    let views = folder("\n<%= title %>");
    let (code, told) = check(views.path());
    assert_eq!(code, Some(64), "{told}");
    assert!(
        told.contains(
            "line 2: `<%= title %>`: there is no variable `title`, only name, user, server"
        ),
        "{told}"
    );

    let (code, told) = check(tempfile::tempdir().unwrap().path());
    assert_eq!(code, Some(64), "{told}");
    assert!(
        told.contains("index.ejs: cannot be read: No such file"),
        "{told}"
    );
}

fn check(views: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_handshaken"))
        .args(["--check", "--views"])
        .arg(views)
        .current_dir(views)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), told)
}
