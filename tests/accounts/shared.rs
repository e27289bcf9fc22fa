//! The users' table while the old chat still runs on it: each logs in whom the other registered, until the sharing is
//! ended, by the program, with what it says. The old chat is played by its own statements, on a real MariaDB.

use std::process::{Command, Output};

use handshaken::account::{Accounts, LoginError};
use sqlx::{AnyConnection, Executor};
use tempfile::TempDir;

use crate::{
    databases::{PASSWORD, Server, connect, one},
    harness::{HERE, open, options},
    servers::program::without_settings,
};

#[tokio::test]
async fn the_old_chat_and_ours_log_in_whom_the_other_registered() {
    let server = Server::mariadb().await;
    let url = server.url("chat");
    let mut old = OldChat::start(&url).await;
    old.register("Ann", "ann@example.org", "first").await;

    let ours = open(options(url.parse().unwrap())).await;
    old.register("Bob", "bob@example.org", "second").await;
    let registered = ours.register("Cleo", "cleo@example.org", HERE).await;
    let password = registered.unwrap().password;
    let users = [
        ("ann@example.org", "first"),
        ("bob@example.org", "second"),
        ("cleo@example.org", &password),
    ];
    // Twice: a login must not take anything away from the other.
    for _ in 0..2 {
        for (mail, password) in users {
            ours.login(mail, password, HERE).await.unwrap();
            assert!(old.login(mail, password).await, "{mail}");
            assert!(!old.login(mail, "wrong").await, "{mail}");
        }
    }
    let width = "SELECT CAST(character_maximum_length AS SIGNED) FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'users' AND column_name = 'pass'";
    assert_eq!(one(&mut old.0, width).await, 40, "its column stays its own");

    let finished = program(&url, "--finish-migration");
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let told = String::from_utf8(finished.stdout).unwrap();
    let database = url.replace(
        &url[url.find("chat:").unwrap() + 4..url.rfind('@').unwrap()],
        "",
    );
    assert_eq!(
        told,
        format!(
            "the users' table of {database} is not shared any more; passwords that became Argon2id: 3; \
             no password is SHA-1 any more\n"
        )
    );
    assert!(!told.contains(PASSWORD));
    for (mail, password) in users {
        ours.login(mail, password, HERE).await.unwrap();
        assert!(!old.login(mail, password).await, "{mail}: it is Argon2id");
    }
    let again = program(&url, "--finish-migration");
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let told = String::from_utf8(again.stdout).unwrap();
    assert!(told.contains("nothing to finish"), "{told}");
}

#[tokio::test]
async fn an_end_of_the_sharing_that_was_killed_is_finished_by_the_next() {
    let server = Server::mariadb().await;
    let url = server.url("chat");
    let mut old = OldChat::start(&url).await;
    for (name, mail) in [("Ann", "ann@example.org"), ("Bob", "bob@example.org")] {
        old.register(name, mail, "secret").await;
    }
    let ours = open(options(url.parse().unwrap())).await;
    ours.login("ann@example.org", "secret", HERE).await.unwrap();
    // As far as it may have come: every statement is kept by itself.
    old.0
        .execute("ALTER TABLE users MODIFY pass VARCHAR(255) CHARACTER SET latin1 NOT NULL")
        .await
        .unwrap();
    old.0
        .execute("UPDATE users SET pass = argon2id WHERE argon2id_of = pass")
        .await
        .unwrap();
    // Meanwhile, and with a replica that starts in between, everybody gets in.
    let other = open(options(url.parse().unwrap())).await;
    for accounts in [&ours, &other] {
        accounts
            .login("ann@example.org", "secret", HERE)
            .await
            .unwrap();
    }
    ours.login("bob@example.org", "secret", HERE).await.unwrap();

    let finished = Accounts::finish_migration(&url.parse().unwrap()).await;
    let finished = finished.unwrap();
    assert!(finished.was_shared, "{finished:?}");
    assert_eq!((finished.taken_over, finished.old), (1, 0), "{finished:?}");
    for accounts in [&ours, &other] {
        for mail in ["ann@example.org", "bob@example.org"] {
            accounts.login(mail, "secret", HERE).await.unwrap();
            let wrong = accounts.login(mail, "Secret", HERE).await;
            assert!(matches!(wrong, Err(LoginError::Wrong)), "{wrong:?}");
        }
    }
}

#[tokio::test]
async fn a_sharing_that_cannot_be_ended_is_told_without_a_password() {
    let refused = program(
        &format!("mysql://chat:{PASSWORD_IN_URL}@127.0.0.1:1/chat"),
        "--finish-migration",
    );
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        told.contains("cannot use the database mysql://chat@127.0.0.1:1/chat"),
        "{told}"
    );
    assert!(!told.contains(PASSWORD_IN_URL), "{told}");
}

const PASSWORD_IN_URL: &str = "geheim";

/// The old chat, as far as the table knows it.
struct OldChat(AnyConnection);

impl OldChat {
    async fn start(url: &str) -> Self {
        let mut connection = connect(url).await.unwrap();
        connection
            .execute(
                "CREATE TABLE IF NOT EXISTS `users` (`id` INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
                    `name` VARCHAR(255) NOT NULL UNIQUE, `mail` VARCHAR(255) NOT NULL UNIQUE, `pass` VARCHAR(40) NOT NULL)",
            )
            .await
            .unwrap();
        Self(connection)
    }

    async fn register(&mut self, name: &str, mail: &str, password: &str) {
        let insert = "INSERT INTO `users` SET `name` = ?, `mail` = ?, `pass` = SHA1(?)";
        let insert = sqlx::query(insert).bind(name).bind(mail).bind(password);
        insert.execute(&mut self.0).await.unwrap();
    }

    async fn login(&mut self, mail: &str, password: &str) -> bool {
        let found =
            "SELECT CAST(COUNT(*) AS SIGNED) FROM `users` WHERE `mail` = ? AND `pass` = SHA1(?)";
        let found = sqlx::query_scalar(found).bind(mail).bind(password);
        let found: i64 = found.fetch_one(&mut self.0).await.unwrap();
        found == 1
    }
}

/// Runs the program against a database.
fn program(database: &str, flag: &str) -> Output {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_handshaken"));
    command.arg(flag).current_dir(folder.path());
    without_settings(&mut command)
        .env("HANDSHAKEN_DATABASE", database)
        .output()
        .unwrap()
}
