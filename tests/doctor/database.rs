//! A database that is not as it must be.

use sqlx::Executor;

use crate::{
    asked::SetUp,
    databases::{PASSWORD, Server, connect, prepare},
};

#[tokio::test]
async fn a_database_that_will_not_do_is_told_with_what_to_do() {
    let server = Server::mariadb().await;
    let (url, other) = (server.url("chat"), server.url("other"));
    let ask = |url: &str| {
        SetUp::right()
            .with_variable("HANDSHAKEN_DATABASE", url)
            .ask()
    };

    prepare(
        &other,
        "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, login VARCHAR(255))",
        "INSERT INTO users (login) VALUES ('somebody')",
    )
    .await;
    let said = ask(&other);
    said.is_wrong(
        "database",
        &["another program's: no column name", "Name the chat's own"],
    );

    let mut connection = connect(&url).await.unwrap();
    connection
        .execute("CREATE USER guest IDENTIFIED BY 'guest'")
        .await
        .unwrap();
    let grant = "GRANT SELECT, INSERT, UPDATE ON chat.* TO guest";
    connection.execute(grant).await.unwrap();
    let (start, end) = (url.find("chat:").unwrap(), url.rfind('@').unwrap());
    let guest = format!("{}guest:guest{}", &url[..start], &url[end..]);
    let said = ask(&guest);
    said.is_wrong(
        "database",
        &["not to be allowed to make the table users", "GRANT ALL"],
    );
    connection
        .execute("GRANT ALL ON chat.* TO guest")
        .await
        .unwrap();
    assert_eq!(ask(&guest).code, 0);

    let wrong = url.replace("chat:", "nobody:");
    let said = ask(&wrong);
    said.is_wrong(
        "database",
        &[
            "mysql://nobody@127.0.0.1:",
            "cannot be used:",
            "Access denied",
        ],
    );
    assert!(!said.lines.join("\n").contains(PASSWORD));
    let said = ask("mysql://chat:s3cret@127.0.0.1:1/chat");
    said.is_wrong(
        "database",
        &["127.0.0.1:1/chat cannot be used:", "Connection refused"],
    );
}

#[tokio::test]
async fn a_table_that_is_shared_is_told_until_the_migration_is_finished() {
    let server = Server::mariadb().await;
    let url = server.url("chat");
    let create = "CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) UNIQUE, mail VARCHAR(255) UNIQUE,
        pass VARCHAR(40), name_key VARCHAR(64), mail_key VARCHAR(64), argon2id VARCHAR(255), argon2id_of VARCHAR(40))";
    let fill =
        "INSERT INTO users (name, mail, pass) VALUES ('Ann', 'ann@example.org', SHA1('secret'))";
    prepare(&url, create, fill).await;
    let set_up = SetUp::right().with_variable("HANDSHAKEN_DATABASE", &url);
    let said = set_up.ask();
    assert_eq!(said.code, 0);
    said.says(
        "warn",
        "database",
        &["1 users, shared with an old chat", "--finish-migration"],
    );
    let finished = set_up.run("--finish-migration");
    assert!(finished.status.success(), "{finished:?}");
    let said = set_up.ask();
    said.has_none("warn");
    said.says(
        "ok",
        "database",
        &["1 users, 1 of them with a password of the old chat"],
    );
}
