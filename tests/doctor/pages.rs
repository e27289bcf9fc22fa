//! Folders of pages, as they may be brought along.

use std::net::TcpListener;

use crate::asked::SetUp;

/// The page of kschat: a library from elsewhere, an address of its own.
const KSCHAT: &str = r#"<html><head><script src="https://cdn.socket.io/socket.io-1.4.5.js"></script></head><body>
    <script>var socket = io('http://localhost:PORT/kschat', { reconnect: false, transports: ['websocket'],
        query: 'token=<%= tokenId %>&ksId=<%= uid %>' });</script></body></html>"#;

/// The page of AMQPChat: the library within a script of its own.
const AMQPCHAT: &str = r#"<html><head><link rel="stylesheet" href="/css/main.css"></head><body><% if (name) { %><%= name %><% } %>
    <script src="/js/libs/socket.io.js"></script><script src="/js/main.js"></script></body></html>"#;

fn of_kschat(port: u16) -> SetUp {
    let page = KSCHAT.replace("PORT", &port.to_string());
    SetUp::right()
        .with_file("views/client.ejs", &page)
        .with(&["--views", "views"])
}

#[test]
fn a_page_that_connects_to_where_nothing_listens_is_told_with_the_port() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let address = format!("127.0.0.1:{port}");
    let said = of_kschat(port).ask();
    said.is_wrong(
        "pages",
        &[
            "the page at /kschat connects to http://localhost:",
            "nothing listens",
            &format!("--listen {address}"),
        ],
    );
    said.says(
        "ok",
        "pages",
        &["brings Socket.IO 1.4.5, which is spoken here"],
    );
    said.says(
        "warn",
        "pages",
        &["scripts from elsewhere: cdn.socket.io", "keep copies"],
    );

    let said = of_kschat(port).with(&["--listen", &address]).ask();
    assert_eq!(said.code, 0);
    said.says(
        "warn",
        "pages",
        &["right only in a browser on this machine"],
    );
}

#[test]
fn a_page_that_brings_its_library_is_told_its_version_and_that_it_reaches_port_80() {
    let library = std::fs::read_to_string("node_modules/socket.io-client-0.9/dist/socket.io.js");
    let library = library.expect("install the libraries with `npm ci`");
    let set_up = SetUp::right()
        .with(&["--views", "views", "--public", "public"])
        .with_file("views/index.ejs", AMQPCHAT)
        .with_file("public/js/libs/socket.io.js", &library)
        .with_file("public/css/main.css", "")
        .with_file(
            "public/js/main.js",
            "socket = io.connect('http://' + location.hostname, {'try multiple transports': false});",
        );
    let said = set_up.ask();
    assert_eq!(said.code, 0, "a proxy may listen there");
    said.says(
        "ok",
        "pages",
        &["brings Socket.IO 0.9.17, which is spoken here"],
    );
    said.says(
        "ok",
        "pages",
        &["the page at / needs of this server is there (3 files)"],
    );
    said.says("warn", "pages", &["that is 80", "--listen 0.0.0.0:80"]);
}

#[test]
fn a_library_within_a_script_of_the_page_is_found_and_so_is_what_the_page_says() {
    let library =
        std::fs::read_to_string("node_modules/socket.io-client-0.9/dist/socket.io.min.js");
    let library = library.expect("install the libraries with `npm ci`");
    let script = format!("/* another */ {library}; io.connect('http://127.0.0.1:9/chat');");
    let said = SetUp::right()
        .with(&["--public", "public"])
        .with_file("public/index.html", "<script src='/js/all.js'></script>")
        .with_file("public/js/all.js", &script)
        .ask();
    said.says("ok", "pages", &["brings Socket.IO 0.9.17"]);
    said.is_wrong(
        "pages",
        &["connects to http://127.0.0.1:9, where nothing listens"],
    );
}

#[test]
fn what_a_page_needs_and_the_folder_has_not_is_named() {
    let page = r#"<script src="/socket.io/socket.io.js"></script><script src="js/main.js"></script>
        <link rel=stylesheet href="css/a.css"><img src="logo.png"><script src="/bower_components/jquery/dist/jquery.min.js"></script>"#;
    let set_up = SetUp::right()
        .with(&["--public", "public"])
        .with_file("public/index.html", page);
    let said = set_up.ask();
    said.is_wrong(
        "pages",
        &[
            "needs what is not there: /js/main.js, /css/a.css",
            "--public",
        ],
    );
    said.says("warn", "pages", &["shows what is not there: /logo.png"]);
    let set_up = set_up
        .with_file("public/js/main.js", "")
        .with_file("public/css/a.css", "");
    let said = set_up.with_file("public/logo.png", "").ask();
    assert_eq!(said.code, 0);
    said.has_none("warn");
}

#[test]
fn a_page_that_was_written_for_another_generation_is_told_which() {
    let page = r#"<script src="/socket.io/socket.io.js"></script><script>SCRIPT</script>"#;
    let set_up = |script: &str, client: &str| {
        SetUp::right()
            .with(&["--public", "public", "--client", client])
            .with_file("public/index.html", &page.replace("SCRIPT", script))
    };
    let old = "var socket = io.connect(location.origin, {'force new connection': true});";
    let said = set_up(old, "4").ask();
    said.is_wrong(
        "pages",
        &["generation 4, but was written for 0.9", "Give --client 0.9"],
    );
    let said = set_up(old, "0.9").ask();
    assert_eq!(said.code, 0);
    said.says(
        "ok",
        "pages",
        &["generation 0.9: its scripts use words of 0.9"],
    );

    let later = set_up("var socket = io();", "4")
        .with_file(
            "package.json",
            r#"{"dependencies": {"socket.io": "~2.1.0"}}"#,
        )
        .ask();
    assert_eq!(later.code, 0, "they speak nearly alike");
    later.says(
        "warn",
        "pages",
        &[
            "written for 2",
            "socket.io 2.1.0 in package.json",
            "Give --client 2",
        ],
    );
}

#[test]
fn a_folder_without_a_page_is_told_so() {
    let said = SetUp::right().with(&["--public", "."]).ask();
    said.is_wrong(
        "pages",
        &["there is nothing at /", "Name the folder that has it"],
    );
    let app = SetUp::right()
        .with(&["--public", "app"])
        .with_file("app/public/index.html", "");
    let said = app.ask();
    said.is_wrong("pages", &["app/public has one: --public app/public"]);
}

#[test]
fn a_page_of_bare_websockets_needs_no_library() {
    let page = "<script>new WebSocket(`ws://${socketUrl}:${port}`);</script>";
    let set_up = SetUp::right()
        .with(&["--public", "public"])
        .with_file("public/index.html", page);
    let said = set_up.ask();
    assert_eq!(said.code, 0);
    said.has_none("warn");
    said.says("ok", "pages", &["uses the browser's WebSocket"]);
}
