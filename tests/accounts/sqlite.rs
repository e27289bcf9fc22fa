//! What holds for every database, tried on the default one.

use std::os::unix::fs::PermissionsExt;

use handshaken::account::{LoginError, RegisterError};
use tempfile::TempDir;

use crate::{
    databases::{connect, one, prepare},
    harness::{HERE, in_folder, open},
};

#[tokio::test]
async fn who_registers_can_log_in_with_the_password_that_was_shown() {
    let folder = TempDir::new().unwrap();
    let accounts = open(in_folder(folder.path())).await;
    let registered = accounts
        .register(" Zoë ", " zoe@Example.org", HERE)
        .await
        .unwrap();
    assert_eq!(registered.user.name, "Zoë");
    assert_eq!(registered.user.mail, "zoe@Example.org");
    let user = accounts
        .login("ZOE@example.ORG", &registered.password, HERE)
        .await
        .unwrap();
    assert_eq!(user, registered.user);
    accounts.close().await;

    let accounts = open(in_folder(folder.path())).await;
    let user = accounts
        .login("zoe@Example.org ", &registered.password, HERE)
        .await
        .unwrap();
    assert_eq!(user, registered.user);
    for (mail, password) in [
        ("zoe@Example.org", "wrong"),
        ("nobody@example.org", &*registered.password),
        ("a\0b", "x"),
    ] {
        let refused = accounts.login(mail, password, HERE).await;
        assert!(
            matches!(refused, Err(LoginError::Wrong)),
            "{mail:?}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_name_and_a_mail_are_taken_however_they_are_written() {
    let folder = TempDir::new().unwrap();
    let accounts = open(in_folder(folder.path())).await;
    accounts
        .register("Zoë", "zoe@example.org", HERE)
        .await
        .unwrap();
    for name in [
        "Zoë",
        "ZOË",
        "zoe\u{308}",
        "Zoë\u{2800}",
        "Z\u{43e}ë",
        "zoë.",
        " Z oë",
    ] {
        let refused = accounts.register(name, "other@example.org", HERE).await;
        assert!(
            matches!(&refused, Err(RegisterError::NameTaken(taken)) if taken == name.trim()),
            "{refused:?}"
        );
    }
    let refused = accounts.register("other", "ZOE@example.org", HERE).await;
    assert!(
        matches!(&refused, Err(RegisterError::MailTaken(taken)) if taken == "ZOE@example.org"),
        "{refused:?}"
    );
    accounts
        .register("Zoe", "other@example.org", HERE)
        .await
        .unwrap();
}

#[tokio::test]
async fn users_whose_names_look_alike_stay_and_nobody_joins_them() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("accounts.db");
    let url = format!("sqlite:{}?mode=rwc", file.display());
    let long = "x".repeat(60);
    // As a version left it that knew no look-alikes.
    prepare(
        &url,
        "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name VARCHAR(255) UNIQUE, mail VARCHAR(255) UNIQUE,
            pass VARCHAR(255), name_key VARCHAR(64), mail_key VARCHAR(64))",
        "INSERT INTO users (name, mail, pass) VALUES
            ('admin', 'one@example.org', 'e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4'),
            (char(1072) || 'dmin', 'two@example.org', 'e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4'),
            (printf('%.60c', 'x'), 'long@example.org', 'e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4'),
            (char(10), 'none@example.org', 'e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4')",
    )
    .await;
    let skeletons = "SELECT COUNT(name_skeleton) FROM users";
    for round in 0..2 {
        let accounts = open(in_folder(folder.path())).await;
        for (mail, name) in [
            ("one@example.org", "admin"),
            ("two@example.org", "\u{430}dmin"),
            ("long@example.org", &*long),
            ("none@example.org", "\n"),
        ] {
            let user = accounts.login(mail, "secret", HERE).await.unwrap();
            assert_eq!(user.name, name, "{mail}");
        }
        // What they speak under is theirs.
        for name in [
            "Admin.",
            "\u{430}dmin",
            "adm\u{131}n",
            &long[..40],
            "User 4",
        ] {
            let refused = accounts.register(name, "new@example.org", HERE).await;
            assert!(
                matches!(refused, Err(RegisterError::NameTaken(_))),
                "{name}: {refused:?}"
            );
        }
        accounts.close().await;
        let mut database = connect(&url).await.unwrap();
        assert_eq!(one(&mut database, skeletons).await, 3, "{round}");
        // Tables of another version of Unicode's made these.
        let stale = "UPDATE users SET name_skeleton = '0-0:' || id";
        sqlx::query(stale).execute(&mut database).await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_a_name_or_a_mail_is_refused_with_its_reason() {
    let folder = TempDir::new().unwrap();
    let accounts = open(in_folder(folder.path())).await;
    for (name, mail) in [
        ("", "a@example.org"),
        ("a", ""),
        (" \t", "a@example.org"),
        ("", ""),
    ] {
        let refused = accounts.register(name, mail, HERE).await;
        assert!(
            matches!(refused, Err(RegisterError::Missing)),
            "{refused:?}"
        );
    }
    for name in [
        "x".repeat(41),
        "a\nb".into(),
        "a\u{202e}b".into(),
        "a\0".into(),
    ] {
        let refused = accounts.register(&name, "a@example.org", HERE).await;
        assert!(
            matches!(refused, Err(RegisterError::InvalidName(_))),
            "{name:?}: {refused:?}"
        );
    }
    let long = format!("{}@{}.org", "x".repeat(60), "y.".repeat(100));
    for mail in [
        "a",
        "@",
        "a@",
        "@b",
        "a b@example.org",
        "a@example.org\r\nBcc: b@example.org",
        "a@b@c",
        &long,
    ] {
        let refused = accounts.register("a", mail, HERE).await;
        assert!(
            matches!(refused, Err(RegisterError::InvalidMail)),
            "{mail:?}: {refused:?}"
        );
    }
    for (mail, password) in [("", "x"), ("a@example.org", ""), (" ", "x")] {
        let refused = accounts.login(mail, password, HERE).await;
        assert!(matches!(refused, Err(LoginError::Missing)), "{refused:?}");
    }
    assert_eq!(
        accounts.hashed(),
        0,
        "what is refused for its form costs no hash"
    );
}

#[tokio::test]
async fn of_many_who_want_one_name_at_once_one_gets_it() {
    let folder = TempDir::new().unwrap();
    let accounts = &open(in_folder(folder.path())).await;
    let wanting = (0..20).map(|n| async move {
        let name = if n % 2 == 0 { "ann" } else { "ANN" };
        accounts
            .register(name, &format!("ann{n}@example.org"), HERE)
            .await
    });
    let answers = futures_util::future::join_all(wanting).await;
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    let taken = |answer: &&Result<_, _>| matches!(answer, Err(RegisterError::NameTaken(_)));
    assert_eq!(
        (won, answers.iter().filter(taken).count()),
        (1, 19),
        "{answers:?}"
    );
}

#[tokio::test]
async fn only_the_server_can_read_a_new_file() {
    let folder = TempDir::new().unwrap();
    let accounts = open(in_folder(folder.path())).await;
    accounts
        .register("ann", "ann@example.org", HERE)
        .await
        .unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
}
