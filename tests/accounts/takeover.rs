//! A table as the old chat left it is taken over as it is, in every database.

use handshaken::account::{Accounts, DatabaseUrl, LoginError, RegisterError};
use sqlx::{AnyConnection, Executor};
use tempfile::TempDir;

use crate::{
    databases::{Server, connect, one, prepare},
    harness::{HERE, SHA1_OF_SECRET, chain, open, options},
};

/// What the old chat kept, in the words that it wrote it in.
const OLD_USERS: &str = "INSERT INTO users (name, mail, pass) VALUES
    ('Ann', 'ann@example.org', 'e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4'),
    ('Bob', 'Bob@Example.org', 'e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4')";

/// Rows that clash only by case, where nothing forbade it, and rows that somebody left half empty.
const CLASHING_USERS: &str = "INSERT INTO users (name, mail, pass) VALUES
    ('ann', 'ann@example.org', 'e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4'),
    ('ANN', 'ANN@example.org', 'e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4'),
    (NULL, NULL, NULL),
    ('pale', 'pale@example.org', NULL)";

#[tokio::test]
async fn a_mysql_table_of_the_old_chat_is_taken_over() {
    let server = Server::mariadb().await;
    let url = server.url("chat");
    prepare(
        &url,
        "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) UNIQUE, mail VARCHAR(255) UNIQUE,
            pass VARCHAR(40))",
        OLD_USERS,
    )
    .await;
    is_taken_over(&url).await;

    // Latin 1 has no such letters. That is the name's fault and not the server's.
    let accounts = open(options(url.parse().unwrap())).await;
    let refused = accounts.register("Жанна", "zhanna@example.org", HERE).await;
    assert!(
        matches!(refused, Err(RegisterError::InvalidName(_))),
        "{refused:?}"
    );
    let refused = accounts.login("жанна@example.org", "secret", HERE).await;
    assert!(matches!(refused, Err(LoginError::Wrong)), "{refused:?}");
    // What the old constraint calls the same is taken, too.
    accounts
        .register("Zoe", "zoe@example.org", HERE)
        .await
        .unwrap();
    let refused = accounts.register("Zoë", "other@example.org", HERE).await;
    assert!(
        matches!(refused, Err(RegisterError::NameTaken(_))),
        "{refused:?}"
    );

    let url = server.url("other");
    prepare(
        &url,
        "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) COLLATE utf8_bin,
            mail VARCHAR(255) COLLATE utf8_bin, pass CHAR(40) COLLATE utf8_bin) ENGINE = MyISAM",
        CLASHING_USERS,
    )
    .await;
    clashing_users_log_in(&url).await;
}

#[tokio::test]
async fn a_postgres_table_of_that_shape_is_taken_over() {
    let server = Server::postgres().await;
    let url = server.url("postgres");
    let create = "CREATE TABLE users (id SERIAL PRIMARY KEY, name VARCHAR(255) UNIQUE, mail VARCHAR(255) UNIQUE,
        pass VARCHAR(40))";
    prepare(&url, create, OLD_USERS).await;
    is_taken_over(&url).await;

    let mut database = connect(&url).await.unwrap();
    database.execute("CREATE DATABASE other").await.unwrap();
    let url = server.url("other");
    let create =
        "CREATE TABLE users (id BIGSERIAL PRIMARY KEY, name TEXT, mail TEXT, pass CHAR(40))";
    prepare(&url, create, CLASHING_USERS).await;
    clashing_users_log_in(&url).await;
}

#[tokio::test]
async fn an_sqlite_table_of_that_shape_is_taken_over() {
    let folder = TempDir::new().unwrap();
    let url = |name: &str| format!("sqlite:{}/{name}?mode=rwc", folder.path().display());
    let create = "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(255) UNIQUE, mail VARCHAR(255) UNIQUE,
        pass VARCHAR(40))";
    prepare(&url("one"), create, OLD_USERS).await;
    is_taken_over(&url("one")).await;

    let create = "CREATE TABLE users (id INTEGER PRIMARY KEY, name, mail, pass)";
    prepare(&url("two"), create, CLASHING_USERS).await;
    clashing_users_log_in(&url("two")).await;
}

#[tokio::test]
async fn replicas_that_start_at_once_make_one_table() {
    let mariadb = Server::mariadb().await;
    let postgres = Server::postgres().await;
    let folder = TempDir::new().unwrap();
    let sqlite = format!("sqlite:{}/new", folder.path().display());
    for url in [mariadb.url("chat"), postgres.url("postgres"), sqlite] {
        let database: DatabaseUrl = url.parse().unwrap();
        let starts = (0..6).map(|_| Accounts::open(options(database.clone())));
        let started = futures_util::future::join_all(starts).await;
        for accounts in &started {
            assert!(
                accounts.is_ok(),
                "{database}: {}",
                chain(accounts.as_ref().err().unwrap())
            );
        }
        let accounts: Vec<_> = started.into_iter().flatten().collect();
        let registered = accounts[0]
            .register("Жанна", "zhanna@example.org", HERE)
            .await
            .unwrap();
        let user = accounts[5]
            .login("zhanna@example.org", &registered.password, HERE)
            .await
            .unwrap();
        assert_eq!(user, registered.user);
        let refused = accounts[1]
            .register("ЖАННА", "other@example.org", HERE)
            .await;
        assert!(
            matches!(refused, Err(RegisterError::NameTaken(_))),
            "{refused:?}"
        );
    }
}

async fn is_taken_over(url: &str) {
    let mut database = connect(url).await.unwrap();
    let accounts = open(options(url.parse().unwrap())).await;
    let login = async |mail: &str, password: &str| accounts.login(mail, password, HERE).await;

    let wrong = login("ann@example.org", "Secret").await;
    assert!(matches!(wrong, Err(LoginError::Wrong)), "{wrong:?}");
    assert_eq!(
        pass(&mut database, "Ann").await,
        SHA1_OF_SECRET,
        "a wrong password changes nothing"
    );

    let user = login("ann@example.org", "secret").await.unwrap();
    assert_eq!((&*user.name, &*user.mail), ("Ann", "ann@example.org"));
    let better = pass(&mut database, "Ann").await;
    assert!(
        better.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{better}"
    );
    assert_eq!(
        pass(&mut database, "Bob").await,
        SHA1_OF_SECRET,
        "others' rows stay as they are"
    );

    assert_eq!(login("ANN@example.org", "secret").await.unwrap(), user);
    assert_eq!(
        pass(&mut database, "Ann").await,
        better,
        "it is good as it is"
    );
    let wrong = login("ann@example.org", "wrong").await;
    assert!(matches!(wrong, Err(LoginError::Wrong)), "{wrong:?}");

    for (name, mail) in [("ann", "new@example.org"), ("BOB", "new@example.org")] {
        let refused = accounts.register(name, mail, HERE).await;
        assert!(
            matches!(refused, Err(RegisterError::NameTaken(_))),
            "{refused:?}"
        );
    }
    let refused = accounts.register("new", "bob@example.org", HERE).await;
    assert!(
        matches!(refused, Err(RegisterError::MailTaken(_))),
        "{refused:?}"
    );
    let registered = accounts
        .register("new", "new@example.org", HERE)
        .await
        .unwrap();
    assert!(registered.user.id.0 > user.id.0);

    // Another start finds everything done.
    accounts.close().await;
    let accounts = open(options(url.parse().unwrap())).await;
    assert_eq!(
        accounts
            .login("new@example.org", &registered.password, HERE)
            .await
            .unwrap(),
        registered.user
    );
    assert_eq!(
        accounts
            .login("bob@example.org", "secret", HERE)
            .await
            .unwrap()
            .name,
        "Bob"
    );

    // The old chat goes on writing, should somebody go back to it.
    database.execute("INSERT INTO users (name, mail, pass) VALUES ('Old', 'Old@example.org', 'e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4')").await.unwrap();
    assert_eq!(
        accounts
            .login("Old@example.org", "secret", HERE)
            .await
            .unwrap()
            .name,
        "Old"
    );
}

async fn clashing_users_log_in(url: &str) {
    let mut database = connect(url).await.unwrap();
    let accounts = open(options(url.parse().unwrap())).await;
    for (mail, name) in [
        ("ann@example.org", "ann"),
        ("ANN@example.org", "ANN"),
        ("Ann@example.org", "ann"),
    ] {
        let user = accounts.login(mail, "secret", HERE).await.unwrap();
        assert_eq!(user.name, name, "{mail}");
    }
    for name in ["ann", "ANN"] {
        assert!(
            pass(&mut database, name).await.starts_with("$argon2id$"),
            "{name}"
        );
    }
    for mail in ["pale@example.org", "NULL", "null"] {
        let refused = accounts.login(mail, "secret", HERE).await;
        assert!(
            matches!(refused, Err(LoginError::Wrong)),
            "{mail}: {refused:?}"
        );
    }
    let refused = accounts.register("aNn", "other@example.org", HERE).await;
    assert!(
        matches!(refused, Err(RegisterError::NameTaken(_))),
        "{refused:?}"
    );
    let rows: i64 = one(&mut database, "SELECT COUNT(*) FROM users").await;
    assert_eq!(rows, 4, "nothing is dropped");
}

/// What is stored as the password of this user, written just so.
async fn pass(database: &mut AnyConnection, name: &str) -> String {
    let all = "SELECT name, pass FROM users WHERE name IS NOT NULL AND pass IS NOT NULL";
    let all: Vec<(String, String)> = sqlx::query_as(all).fetch_all(database).await.unwrap();
    let user = all.into_iter().find(|(there, _)| there == name);
    user.unwrap_or_else(|| panic!("no {name}")).1
}
