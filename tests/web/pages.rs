//! Our own pages, pages of a folder, the libraries that old pages expect, and what is answered elsewhere.

use std::{fs, time::Duration};

use http::StatusCode;

use crate::client::{JQUERY, ask, folder, get, own, pages, pages_kept};

#[tokio::test]
async fn health_is_an_empty_200() {
    for method in ["GET", "HEAD"] {
        let answer = ask(&own(), method, "/health", &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{method}");
        assert!(answer.body.is_empty(), "{method}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn old_pages_find_their_libraries() {
    let folder = folder(&[("index.html", "old page")]);
    for web in [own(), pages(&folder)] {
        for (file, media_type, mark) in [
            ("jquery/dist/jquery.min.js", "text/javascript", "jQuery v3"),
            ("moment/min/moment.min.js", "text/javascript", "moment"),
            ("skeleton/css/normalize.css", "text/css", "normalize.css"),
            ("skeleton/css/skeleton.css", "text/css", "Skeleton V2"),
        ] {
            for prefix in ["/public/bower_components", "/bower_components"] {
                let answer = get(&web, &format!("{prefix}/{file}")).await;
                assert_eq!(answer.status, StatusCode::OK, "{prefix}/{file}");
                assert!(answer.text().contains(mark), "{file}");
                let expected = format!("{media_type}; charset=utf-8");
                assert_eq!(answer.header("content-type"), expected, "{file}");
            }
        }
    }
}

#[tokio::test]
async fn a_library_of_the_folder_goes_before_the_embedded_one() {
    let folder = folder(&[("bower_components/jquery/dist/jquery.min.js", "jQuery v1")]);
    assert_eq!(get(&pages(&folder), JQUERY).await.text(), "jQuery v1");
}

#[tokio::test]
async fn the_page_is_the_one_that_was_built_in() {
    let answer = get(&own(), "/").await;
    match fs::read("public/index.html") {
        Ok(page) => {
            assert_eq!(answer.body, page);
            assert_eq!(get(&own(), "/index.html").await.body, page);
            assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        }
        Err(_) => {
            assert_eq!(answer.status, StatusCode::NOT_FOUND);
            assert!(answer.text().contains("--public"), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn our_own_pages_allow_nothing_inline_and_pages_of_others_are_left_alone() {
    let own = get(&own(), JQUERY).await;
    let policy = own.header("content-security-policy");
    assert!(policy.contains("default-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(own.header("x-content-type-options"), "nosniff");
    assert_eq!(own.header("referrer-policy"), "same-origin");
    assert!(own.header("permissions-policy").contains("camera=()"));

    let folder = folder(&[("index.html", "<script>old()</script>")]);
    for path in ["/", JQUERY] {
        let old = get(&pages(&folder), path).await;
        assert_eq!(old.status, StatusCode::OK, "{path}");
        assert!(
            !old.headers.contains_key("content-security-policy"),
            "{path}"
        );
        assert!(!old.headers.contains_key("permissions-policy"), "{path}");
    }
}

#[tokio::test]
async fn a_folder_is_served_at_the_root_and_at_public() {
    let folder = folder(&[
        ("index.html", "the page"),
        ("css/custom.css", "body {}"),
        ("js/a b.js", "let a"),
        ("sub/index.html", "the sub page"),
        ("public/inner.txt", "inner"),
        ("empty/kept", ""),
    ]);
    let web = pages(&folder);
    for prefix in ["", "/public"] {
        for (path, text, media_type) in [
            ("/", "the page", "text/html; charset=utf-8"),
            ("/index.html", "the page", "text/html; charset=utf-8"),
            ("/css/custom.css", "body {}", "text/css; charset=utf-8"),
            ("/js/a%20b.js", "let a", "text/javascript; charset=utf-8"),
            ("/sub/", "the sub page", "text/html; charset=utf-8"),
            ("/inner.txt", "inner", "text/plain; charset=utf-8"),
        ] {
            if prefix.is_empty() && path == "/inner.txt" {
                continue;
            }
            let path = format!("{prefix}{path}");
            let answer = get(&web, &path).await;
            assert_eq!(answer.text(), text, "{path}");
            assert_eq!(answer.header("content-type"), media_type, "{path}");
            assert_eq!(answer.header("cache-control"), "public, max-age=0");
            let head = ask(&web, "HEAD", &path, &[]).await;
            assert_eq!(head.status, StatusCode::OK, "{path}");
            assert_eq!(head.header("content-length"), text.len().to_string());
            assert!(head.body.is_empty(), "{path}");
        }
        let moved = get(&web, &format!("{prefix}/sub?a=b")).await;
        assert_eq!(moved.status, StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(moved.header("location"), format!("{prefix}/sub/?a=b"));
        let listing = get(&web, &format!("{prefix}/empty/")).await;
        assert_eq!(listing.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn what_browsers_may_keep_they_keep_and_pages_are_asked_for_anew() {
    const KEPT: &str = "public, max-age=2628";
    const NOT_KEPT: &str = "public, max-age=0";
    let folder = folder(&[
        ("index.html", "the page"),
        ("css/main.css", "body {}"),
        ("sub/index.html", "the sub page"),
        ("old.htm", "an old page"),
    ]);
    let web = pages_kept(&folder, Duration::from_millis(2_628_000));
    for (path, status, expected) in [
        ("/", 200, NOT_KEPT),
        ("/index.html", 200, NOT_KEPT),
        ("/old.htm", 200, NOT_KEPT),
        ("/public/sub/", 200, NOT_KEPT),
        ("/sub", 307, NOT_KEPT),
        ("/css/main.css", 200, KEPT),
        ("/public/css/main.css", 200, KEPT),
    ] {
        let answer = get(&web, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("cache-control"), expected, "{path}");
        if status != 200 {
            continue;
        }
        let modified = answer.header("last-modified");
        let unchanged = [("if-modified-since", modified)];
        let again = ask(&web, "GET", path, &unchanged).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(again.header("cache-control"), expected, "{path}");
    }
    // One that this version does not have may come with the next.
    assert!(
        !get(&web, "/no.css")
            .await
            .headers
            .contains_key("cache-control")
    );
    // Ours change with the program, whatever is said of the folder's.
    let ours = handshaken::transport::web::router(handshaken::transport::web::Web {
        public_max_age: Duration::from_secs(9),
        ..Default::default()
    });
    let style = get(&ours, "/chat.css").await;
    assert_eq!(style.status, StatusCode::OK);
    assert_eq!(
        style.header("cache-control"),
        "public, max-age=0, must-revalidate"
    );
}

#[tokio::test]
async fn what_is_not_there_is_a_plain_404() {
    let folder = folder(&[("index.html", "the page")]);
    for web in [own(), pages(&folder)] {
        for path in [
            "/nothing",
            "/public/nothing",
            "/public",
            "/publicity",
            "/sub/",
        ] {
            let answer = get(&web, path).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
            assert_eq!(answer.text(), "not found\n", "{path}");
        }
        for path in ["/", "/nothing"] {
            let answer = ask(&web, "POST", path, &[]).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(answer.header("allow"), "GET,HEAD");
        }
    }
}
