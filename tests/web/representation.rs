//! Conditional requests, compression and ranges, for embedded files and for those of a folder.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use http::StatusCode;

use crate::client::{JQUERY, ask, folder, get, own, pages};

#[tokio::test]
async fn an_unchanged_file_is_not_sent_again() {
    let folder = folder(&[("page.html", &"<p>words</p>".repeat(200))]);
    let public = pages(&folder);
    for (web, path) in [
        (&own(), "/socket.io/4/socket.io.min.js"),
        (&own(), JQUERY),
        (&public, "/page.html"),
    ] {
        let etag = get(web, path).await.header("etag").to_owned();
        assert!(etag.starts_with('"'), "{path}: {etag} is not strong");
        for known in [
            etag.clone(),
            format!("W/{etag}"),
            format!("\"other\", {etag}"),
            "*".to_owned(),
        ] {
            for method in ["GET", "HEAD"] {
                let answer = ask(web, method, path, &[("if-none-match", &known)]).await;
                assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{path}: {known}");
                assert!(answer.body.is_empty(), "{path}: {known}");
                assert!(answer.header("etag").ends_with(&etag), "{path}: {known}");
                assert_eq!(answer.header("vary"), "accept-encoding", "{path}");
                assert!(answer.headers.contains_key("cache-control"), "{path}");
            }
        }
        let answer = ask(web, "GET", path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn text_is_compressed_for_those_who_accept_it() {
    let folder = folder(&[("page.html", &"<p>✓😀</p>".repeat(200))]);
    let public = pages(&folder);
    for (web, path) in [
        (&own(), "/socket.io/socket.io.js"),
        (&own(), "/public/bower_components/skeleton/css/skeleton.css"),
        (&own(), "/socket.io/4/socket.io.js.map"),
        (&public, "/page.html"),
    ] {
        let plain = get(web, path).await;
        assert!(!plain.headers.contains_key("content-encoding"), "{path}");
        for accepted in ["gzip", "br", "gzip;q=0.5, br"] {
            let answer = ask(web, "GET", path, &[("accept-encoding", accepted)]).await;
            let encoding = answer.header("content-encoding");
            assert!(accepted.ends_with(encoding), "{path}: {encoding}");
            assert_eq!(answer.header("vary"), "accept-encoding");
            assert!(answer.body.len() < plain.body.len() / 2, "{path}");
            assert_eq!(decoded(encoding, &answer.body), plain.body, "{path}");

            let weak = format!("W/{}", plain.header("etag"));
            assert_eq!(answer.header("etag"), weak, "{path}: other bytes");
            let headers = [("accept-encoding", accepted), ("if-none-match", &weak)];
            let again = ask(web, "GET", path, &headers).await;
            assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path}");
            assert_eq!(again.header("etag"), weak, "{path}");
        }
    }
}

#[tokio::test]
async fn a_file_is_compressed_once_until_it_changes() {
    let (first, second) = ("first ".repeat(500), "second".repeat(500));
    let folder = folder(&[("page.html", &first)]);
    let web = pages(&folder);
    let file = folder.path().join("page.html");
    let written = file.metadata().unwrap().modified().unwrap();
    let told = async |path| {
        let answer = ask(&web, "GET", path, &[("accept-encoding", "gzip")]).await;
        String::from_utf8(decoded(answer.header("content-encoding"), &answer.body)).unwrap()
    };
    assert_eq!(told("/page.html").await, first);

    // Length and date are as they were, so only what was kept can tell of the first content.
    std::fs::write(&file, &second).unwrap();
    set_modified(&file, written);
    assert_eq!(told("/page.html").await, first);
    assert_eq!(told("/p%61ge.html").await, first, "by another address");

    set_modified(&file, written + Duration::from_secs(1));
    assert_eq!(told("/page.html").await, second);
}

#[tokio::test]
async fn a_head_request_tells_what_a_get_would() {
    let folder = folder(&[("page.html", &"<p>words</p>".repeat(200))]);
    for (web, path) in [(pages(&folder), "/page.html"), (own(), JQUERY)] {
        for accepted in ["gzip", "identity"] {
            let headers = [("accept-encoding", accepted)];
            let whole = ask(&web, "GET", path, &headers).await;
            let head = ask(&web, "HEAD", path, &headers).await;
            for name in [
                "content-encoding",
                "content-type",
                "etag",
                "vary",
                "accept-ranges",
            ] {
                let (whole, head) = (whole.headers.get(name), head.headers.get(name));
                assert_eq!(head, whole, "{path}, {accepted}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn files_that_are_too_large_to_keep_are_sent_as_they_are() {
    let folder = folder(&[("large.json", &"1,".repeat(5 << 20))]);
    let answer = ask(
        &pages(&folder),
        "GET",
        "/large.json",
        &[("accept-encoding", "gzip")],
    )
    .await;
    assert!(!answer.headers.contains_key("content-encoding"));
    assert_eq!(answer.body.len(), 10 << 20);
}

#[tokio::test]
async fn pictures_and_small_answers_are_not_compressed() {
    let folder = folder(&[("picture.png", &"x".repeat(5000)), ("small.html", "short")]);
    let web = pages(&folder);
    for path in ["/picture.png", "/small.html"] {
        let answer = ask(&web, "GET", path, &[("accept-encoding", "gzip, br")]).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!answer.headers.contains_key("content-encoding"), "{path}");
    }
}

#[tokio::test]
async fn part_of_a_file_is_sent_when_it_is_asked_for() {
    let folder = folder(&[("film.webm", "0123456789")]);
    let web = pages(&folder);
    let part = ask(&web, "GET", "/film.webm", &[("range", "bytes=2-4")]).await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.text(), "234");
    assert_eq!(part.header("content-range"), "bytes 2-4/10");
    let of_another_version = [("range", "bytes=2-4"), ("if-range", "\"other\"")];
    let whole = ask(&web, "GET", "/film.webm", &of_another_version).await;
    assert_eq!(whole.status, StatusCode::OK);
    assert_eq!(whole.text(), "0123456789");
}

fn set_modified(file: &Path, time: SystemTime) {
    let file = File::options().write(true).open(file).unwrap();
    file.set_modified(time).unwrap();
}

fn decoded(encoding: &str, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match encoding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut plain),
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut plain),
        other => panic!("`{other}` was not asked for"),
    }
    .unwrap();
    plain
}
