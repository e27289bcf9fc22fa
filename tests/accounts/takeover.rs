//! A table of the old chat's is shared with it as it is, in every database, and taken over when that is asked for.

use handshaken::account::{Accounts, DatabaseUrl, Finished, LoginError, RegisterError};
use sha1::{Digest, Sha1};
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
    assert_eq!(login("ANN@example.org", "secret").await.unwrap(), user);
    let wrong = login("ann@example.org", "wrong").await;
    assert!(matches!(wrong, Err(LoginError::Wrong)), "{wrong:?}");
    for name in ["Ann", "Bob"] {
        assert_eq!(
            pass(&mut database, name).await,
            SHA1_OF_SECRET,
            "the old chat still reads it"
        );
    }
    let beside = beside(&mut database, "Ann").await.expect("it logged in");
    assert!(
        beside.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{beside}"
    );
    assert_eq!(self::beside(&mut database, "Bob").await, None);

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
    assert_eq!(
        pass(&mut database, "new").await,
        sha1(&registered.password),
        "the old chat can read it"
    );

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

    // The old chat goes on writing.
    database.execute("INSERT INTO users (name, mail, pass) VALUES ('Old', 'Old@example.org', 'e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4')").await.unwrap();
    assert_eq!(
        accounts
            .login("Old@example.org", "secret", HERE)
            .await
            .unwrap()
            .name,
        "Old"
    );
    is_finished(url, &mut database, &accounts, &registered.password).await;
}

/// Ends the sharing, beside a replica that runs.
async fn is_finished(url: &str, database: &mut AnyConnection, running: &Accounts, password: &str) {
    let login = async |mail: &str, password: &str| running.login(mail, password, HERE).await;
    // Another password, given in the old chat: what was made beside the former one is of no use any more.
    database
        .execute(
            "UPDATE users SET pass = '81fe8bfe87576c3ecb22426f8e57847382917acf' WHERE name = 'Ann'",
        )
        .await
        .unwrap();

    let url: DatabaseUrl = url.parse().unwrap();
    let finished = Accounts::finish_migration(&url).await.unwrap();
    let expected = Finished {
        was_shared: true,
        // Bob, Old and new logged in; Ann did, with her former password.
        taken_over: 3,
        old: 1,
    };
    assert_eq!(finished, expected);
    for name in ["Bob", "Old", "new"] {
        let pass = pass(database, name).await;
        assert!(pass.starts_with("$argon2id$"), "{name}: {pass}");
    }
    assert_eq!(pass(database, "Ann").await, sha1("abcd"));

    // The replica that runs was told nothing, and writes no SHA-1 any more.
    let wrong = login("ann@example.org", "secret").await;
    assert!(matches!(wrong, Err(LoginError::Wrong)), "{wrong:?}");
    let late = running
        .register("late", "late@example.org", HERE)
        .await
        .unwrap();
    login("ann@example.org", "abcd").await.unwrap();
    for name in ["Ann", "late"] {
        let pass = pass(database, name).await;
        assert!(pass.starts_with("$argon2id$"), "{name}: {pass}");
    }
    for (mail, password) in [
        ("ann@example.org", "abcd"),
        ("bob@example.org", "secret"),
        ("Old@example.org", "secret"),
        ("new@example.org", password),
        ("late@example.org", &*late.password),
    ] {
        login(mail, password).await.unwrap();
    }

    let again = Accounts::finish_migration(&url).await.unwrap();
    let nothing = Finished {
        was_shared: false,
        taken_over: 0,
        old: 0,
    };
    assert_eq!(again, nothing);
    let accounts = open(options(url)).await;
    let newest = accounts.register("newest", "newest@example.org", HERE);
    newest.await.unwrap();
    let pass = pass(database, "newest").await;
    assert!(pass.starts_with("$argon2id$"), "it is shared no more");
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
        let beside = beside(&mut database, name).await.expect(name);
        assert!(beside.starts_with("$argon2id$"), "{name}: {beside}");
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
    // PostgreSQL remembers the type of a bare column, which changes.
    let all = "SELECT name, SUBSTR(pass, 1) FROM users WHERE name IS NOT NULL AND pass IS NOT NULL";
    let all: Vec<(String, String)> = sqlx::query_as(all).fetch_all(database).await.unwrap();
    let user = all.into_iter().find(|(there, _)| there == name);
    user.unwrap_or_else(|| panic!("no {name}")).1
}

/// What is kept beside it.
async fn beside(database: &mut AnyConnection, name: &str) -> Option<String> {
    let all = "SELECT name, argon2id FROM users WHERE name IS NOT NULL";
    let all: Vec<(String, Option<String>)> = sqlx::query_as(all).fetch_all(database).await.unwrap();
    let user = all.into_iter().find(|(there, _)| there == name);
    user.unwrap_or_else(|| panic!("no {name}")).1
}

fn sha1(password: &str) -> String {
    let digest = Sha1::digest(password);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
