//! Set-ups with which nothing is wrong.

use sqlx::Executor;

use crate::{
    asked::SetUp,
    databases::{PASSWORD, Server as Database, connect, one, prepare},
    harness::{redis::RedisServer, server::Server},
};

/// The page of talk, as far as the doctor is concerned.
const TALK: &str = r#"<!doctype html><html><head>
    <link href="//fonts.example/css?family=Raleway:400,300,600" rel="stylesheet">
    <link rel="stylesheet" href="/public/css/custom.css">
    <link rel="stylesheet" href="/public/bower_components/skeleton/css/skeleton.css">
    <script src="/socket.io/socket.io.js"></script>
    <script src="/public/bower_components/jquery/dist/jquery.min.js"></script>
    <script src="/public/js/communication.js"></script></head><body></body></html>"#;

#[tokio::test]
async fn a_right_set_up_is_told_line_by_line_and_nothing_is_changed() {
    let redis = RedisServer::start();
    let database = Database::mariadb().await;
    let url = database.url("chat");
    let create =
        "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) NOT NULL UNIQUE,
        mail VARCHAR(255) NOT NULL UNIQUE, pass VARCHAR(40) NOT NULL)";
    let fill =
        "INSERT INTO users (name, mail, pass) VALUES ('Ann', 'ann@example.org', SHA1('secret'))";
    prepare(&url, create, fill).await;
    let services = format!(
        r#"{{"redis-2.6": [{{"credentials": {{"host": "127.0.0.1", "port": {}}}}}],
            "mysql-5.1": [{{"credentials": {{"uri": "{url}"}}}}]}}"#,
        redis.address().port()
    );
    let set_up = SetUp::right()
        .with(&["--public", "chat", "--client", "1"])
        .with_file(
            "chat/package.json",
            r#"{"dependencies": {"socket.io": "^1.3.5"}}"#,
        )
        .with_file("chat/index.html", TALK)
        .with_file(
            "chat/public/css/custom.css",
            "body { background: url(../bower_components/none.png) }",
        )
        .with_file("chat/public/js/communication.js", "var socket = io();")
        .with_variable("HANDSHAKEN_SESSION_SECRET", "the same on all replicas")
        .with_variable("HANDSHAKEN_SESSION_SECRET", "known to all of them")
        .with_variable("VCAP_SERVICES", &services);
    // What the style sheet shows is not there: told, and no more than that.
    let said = set_up.ask();
    assert_eq!(said.code, 0);
    said.says("warn", "pages", &["/public/bower_components/none.png"]);

    let set_up = set_up.with_file("chat/public/bower_components/none.png", "");
    let said = set_up.ask();
    assert_eq!(said.code, 0);
    said.has_none("bad");
    said.has_none("warn");
    assert!(!said.lines.join("\n").contains(PASSWORD));
    for (subject, words) in [
        ("settings", &["right"][..]),
        ("data", &["./data will be made"]),
        ("port", &["127.0.0.1:", "is free"]),
        ("open files", &["enough for --max-connections 500"]),
        (
            "redis",
            &[
                "127.0.0.1:",
                "answers: version ",
                "names begin with handshaken:",
            ],
        ),
        ("redis", &["appendfsync always"]),
        (
            "database",
            &["mysql://chat@127.0.0.1:", "1 users of an old chat"],
        ),
        ("clock", &["the same as of", "Redis", "the database"]),
        (
            "pages",
            &["everything that the page at / needs of this server is there (6 files)"],
        ),
        (
            "pages",
            &["generation 1: its old server has socket.io 1.3.5 in package.json"],
        ),
        (
            "pages",
            &["from elsewhere, and works without: fonts.example"],
        ),
    ] {
        said.says("ok", subject, words);
    }
    assert_eq!(said.lines.last().unwrap(), "nothing is wrong");
    assert_eq!(said.lines.len(), 14, "{:#?}", said.lines);

    assert!(!set_up.path().join("data").exists());
    let columns = "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE()";
    assert_eq!(one(&mut connect(&url).await.unwrap(), columns).await, 4);
    // They may still live, for a second.
    let keys = redis.cli(&["keys", "*"]);
    assert!(keys.lines().all(|key| key.ends_with(":doctor")), "{keys}");
}

#[tokio::test]
async fn a_server_that_runs_already_is_no_mistake() {
    let server = Server::start(&[]);
    let set_up = SetUp::right().with(&["--data"]);
    let data = server.data().join("data").display().to_string();
    let said = set_up
        .with(&[&data, "--listen", &server.address().to_string()])
        .ask();
    assert_eq!(said.code, 0, "{:#?}", said.lines);
    said.says("warn", "data", &["a server uses", "all is well"]);
    said.says(
        "warn",
        "port",
        &[
            &server.address().to_string(),
            "is in use by a Handshaken server",
        ],
    );
    said.says("ok", "database", &["accounts.db: 0 users"]);
}

#[tokio::test]
async fn postgres_is_looked_at_as_well() {
    let database = Database::postgres().await;
    let url = database.url("postgres");
    let said = SetUp::right().with(&["--database", &url]).ask();
    assert_eq!(said.code, 0);
    said.has_none("warn");
    said.says(
        "ok",
        "database",
        &["postgres://chat@127.0.0.1:", "the table users will be made"],
    );
    said.says("ok", "clock", &["the same as of the database"]);

    let mut connection = connect(&url).await.unwrap();
    let create = "CREATE ROLE guest LOGIN PASSWORD 'guest'";
    connection.execute(create).await.unwrap();
    let (start, end) = (url.find("chat:").unwrap(), url.rfind('@').unwrap());
    let guest = format!("{}guest:guest{}", &url[..start], &url[end..]);
    let said = SetUp::right().with(&["--database", &guest]).ask();
    said.is_wrong("database", &["not to be allowed to make the table users"]);
}
