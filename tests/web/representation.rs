//! Conditional requests, compression and ranges, for embedded files and for those of a folder.

use std::io::Read;

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
