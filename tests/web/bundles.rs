//! The client libraries under `/socket.io/`, of every generation.

use std::fs;
use std::path::Path;

use axum::Router;
use handshaken::transport::web::{Web, router};
use http::StatusCode;

use crate::client::{ask, get, own};

#[tokio::test]
async fn each_generation_has_its_own_client_library() {
    let expected = [
        ("0.9", "0.9.17"),
        ("1", "socket.io-client"),
        ("2", "Socket.IO v2.5.0"),
        ("3", "Socket.IO v3.1.3"),
        ("4", "Socket.IO v4.8.4"),
    ];
    for (generation, mark) in expected {
        let web = router(Web {
            public: None,
            client: generation.parse().unwrap(),
            ..Web::default()
        });
        let chosen = get(&web, "/socket.io/socket.io.js").await;
        let named = get(&web, &format!("/socket.io/{generation}/socket.io.js")).await;
        assert_eq!(chosen.status, StatusCode::OK, "{}", chosen.text());
        assert!(chosen.text().contains(mark), "{generation} lacks {mark}");
        assert_eq!(chosen.body, named.body, "{generation}");
        assert_eq!(chosen.header("etag"), named.header("etag"));
        for answer in [&chosen, &named] {
            assert_eq!(
                answer.header("content-type"),
                "application/javascript; charset=utf-8"
            );
        }
        assert_eq!(
            chosen.header("cache-control"),
            "public, max-age=0, must-revalidate"
        );
        assert_eq!(named.header("cache-control"), "public, max-age=604800");
    }
}

#[tokio::test]
async fn bundles_and_source_maps_are_those_of_the_npm_package() {
    let web = own();
    for generation in ["0.9", "1", "2", "3", "4"] {
        let folder = Path::new("node_modules")
            .join(format!("socket.io-client-{generation}"))
            .join("dist");
        let names: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}: run `npm ci`", folder.display()))
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("socket.io"))
            .collect();
        assert!(names.len() >= 2, "{generation}: {names:?}");
        for name in names {
            let answer = get(&web, &format!("/socket.io/{generation}/{name}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{generation}/{name}");
            assert_eq!(answer.body, fs::read(folder.join(&name)).unwrap(), "{name}");
            if name.ends_with(".map") {
                assert_eq!(answer.header("content-type"), "application/json", "{name}");
            }
        }
    }
    let default = get(&web, "/socket.io/socket.io.msgpack.min.js").await;
    assert_eq!(default.status, StatusCode::OK);
    let absent = get(&web, "/socket.io/0.9/socket.io.msgpack.min.js").await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_has_pages_catch_up_follows_the_library_and_nothing_else() {
    let [plain, adding] = [false, true].map(|catch_up| {
        router(Web {
            catch_up,
            ..Web::default()
        })
    });
    let addition = fs::read("src/transport/web/library/catch-up.js").unwrap();
    for generation in ["0.9", "1", "2", "3", "4"] {
        let path = format!("/socket.io/{generation}/socket.io.js");
        let (before, after) = (get(&plain, &path).await, get(&adding, &path).await);
        assert_eq!(after.body, [&*before.body, &*addition].concat());
        assert_ne!(before.header("etag"), after.header("etag"));
        let known = [("if-none-match", after.header("etag"))];
        let again = ask(&adding, "GET", &path, &known).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    }
    for name in ["socket.io.esm.min.js", "socket.io.js.map"] {
        let path = format!("/socket.io/4/{name}");
        assert_eq!(
            get(&plain, &path).await.body,
            get(&adding, &path).await.body
        );
    }
}

#[tokio::test]
async fn the_rest_of_the_socket_io_path_is_left_to_its_transport() {
    let transport = Router::new()
        .route("/socket.io/", axum::routing::any(async || "transport"))
        .route(
            "/socket.io/{*rest}",
            axum::routing::any(async || "transport"),
        );
    let together = own().merge(transport);
    for path in [
        "/socket.io/",
        "/socket.io/?EIO=4&transport=polling",
        "/socket.io/1/",
        "/socket.io/1/websocket/abc",
        "/socket.io/4/nothing.js",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = ask(&together, method, path, &[]).await;
            assert_eq!(answer.text(), "transport", "{method} {path}");
        }
    }
    let bundle = get(&together, "/socket.io/socket.io.js?t=1").await;
    assert!(bundle.text().contains("Socket.IO v4"));
}
