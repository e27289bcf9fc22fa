//! Attempts to read what lies outside of the folder or is hidden in it, over a real connection, so that no client
//! library tidies the path first.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use handshaken::transport::web::{Web, router};
use http::StatusCode;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{folder, get, own, pages};

const SECRET: &str = "not for browsers";

/// `secret` beside `pages`, which is what is served.
fn house() -> TempDir {
    folder(&[
        ("secret", SECRET),
        ("pages/index.html", "the page"),
        ("pages/sub/page.html", "a page"),
        ("pages/.env", SECRET),
        ("pages/.git/config", SECRET),
        ("pages/sub/.hidden/page.html", SECRET),
    ])
}

fn served(house: &TempDir) -> Router {
    router(Web {
        public: Some(house.path().join("pages")),
        ..Web::default()
    })
}

#[tokio::test]
async fn no_spelling_of_a_path_leaves_the_folder() {
    let house = house();
    let attempts = [
        "/../secret",
        "/sub/../../secret",
        "/..%2fsecret",
        "/%2e%2e/secret",
        "/%2e%2e%2fsecret",
        "/%252e%252e/secret",
        "/..%5csecret",
        "/sub/..%5c..%5csecret",
        "/....//secret",
        "/..;/secret",
        "/./../secret",
        "//../secret",
        "/%2fetc/passwd",
        "//etc/passwd",
        "/public/../secret",
        "/public/../../secret",
        "/public/%2e%2e/secret",
        "/index.html%00.js",
        "/%00",
        "/sub%00/page.html",
        "/%ff%fe",
        "/bower_components/../../secret",
        "/public/bower_components/%2e%2e/%2e%2e/secret",
        "/socket.io/../secret",
        "/socket.io/4/../../../secret",
    ];
    for web in [served(&house), own()] {
        let address = listen(web).await;
        for path in attempts {
            let answer = raw(address, path).await;
            let status = answer.split(' ').nth(1).unwrap_or_default();
            assert!(matches!(status, "404" | "400"), "{path}: {answer}");
            assert!(!answer.contains(SECRET), "{path}: {answer}");
            assert!(!answer.contains("root:"), "{path}: {answer}");
        }
        let long = raw(address, &format!("/{}", "a".repeat(5000))).await;
        assert!(long.starts_with("HTTP/1.1 404"), "{long}");
    }
    let address = listen(served(&house)).await;
    let page = raw(address, "/sub/page.html").await;
    assert!(page.ends_with("a page"), "{page}");
}

#[tokio::test]
async fn hidden_files_are_not_served() {
    let house = house();
    symlink(".env", house.path().join("pages/settings.txt")).unwrap();
    for path in [
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/public/.git/config",
        "/sub/.hidden/page.html",
        "/settings.txt",
    ] {
        let answer = get(&served(&house), path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn links_are_followed_inside_of_the_folder_only() {
    let house = house();
    let pages = house.path().join("pages");
    symlink("../secret", pages.join("out.txt")).unwrap();
    symlink(house.path().join("secret"), pages.join("absolute.txt")).unwrap();
    symlink("..", pages.join("up")).unwrap();
    fs::create_dir(pages.join("index")).unwrap();
    symlink("../../secret", pages.join("index/index.html")).unwrap();
    symlink("nowhere", pages.join("broken.txt")).unwrap();
    symlink("sub/page.html", pages.join("in.html")).unwrap();
    for path in [
        "/out.txt",
        "/absolute.txt",
        "/up/secret",
        "/index/",
        "/broken.txt",
        "/up",
    ] {
        let answer = get(&served(&house), path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get(&served(&house), "/in.html").await.text(), "a page");
}

#[tokio::test]
async fn the_folder_may_itself_be_a_link_that_is_turned_to_a_new_release() {
    let house = folder(&[("1/index.html", "first"), ("2/index.html", "second")]);
    let current = house.path().join("current");
    symlink("1", &current).unwrap();
    let web = router(Web {
        public: Some(current.clone()),
        ..Web::default()
    });
    assert_eq!(get(&web, "/").await.text(), "first");
    fs::remove_file(&current).unwrap();
    symlink("2", &current).unwrap();
    assert_eq!(get(&web, "/").await.text(), "second");
}

#[tokio::test]
async fn a_pipe_in_the_folder_holds_nobody_up() {
    let house = house();
    let pipe = house.path().join("pages/pipe");
    make_pipe(&pipe);
    let web = served(&house);
    let answer = tokio::time::timeout(Duration::from_secs(10), get(&web, "/pipe")).await;
    assert_eq!(
        answer.expect("answered in time").status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_redirect_stays_on_this_site() {
    let folder = folder(&[("example.org/index.html", "a page")]);
    let answer = get(&pages(&folder), "//example.org").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let answer = get(&pages(&folder), "/example.org").await;
    assert_eq!(answer.header("location"), "/example.org/");
    let answer = get(&pages(&folder), "/public//example.org").await;
    assert_eq!(answer.header("location"), "/public//example.org/");
}

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success(), "mkfifo {}", path.display());
}

async fn listen(web: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, web).await });
    address
}

/// The whole answer to a GET of the path, byte for byte as it is written here.
async fn raw(address: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
