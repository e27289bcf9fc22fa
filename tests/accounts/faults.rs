//! A database that goes away, hangs, refuses, or is another program's.

use crate::{
    databases::{PASSWORD, Server, connect, one, prepare},
    harness::{DEADLINE, HERE, chain, eventually, open, options},
};
use handshaken::account::{Accounts, LoginError, OpenError};

#[tokio::test]
async fn a_mysql_that_goes_away_is_told_of_and_comes_back() {
    let mut server = Server::mariadb().await;
    let accounts = open(options(server.url("chat").parse().unwrap())).await;
    let registered = accounts
        .register("ann", "ann@example.org", HERE)
        .await
        .unwrap();
    server.kill();
    let refused = accounts
        .login("ann@example.org", &registered.password, HERE)
        .await;
    assert!(
        matches!(refused, Err(LoginError::Database(_))),
        "{refused:?}"
    );
    let refused = accounts.register("bob", "bob@example.org", HERE).await;
    let error = refused.expect_err("there is no database");
    assert!(!chain(&error).contains(PASSWORD), "{}", chain(&error));

    server.restart().await;
    let user = eventually("the login works again", async || {
        let login = accounts
            .login("ann@example.org", &registered.password, HERE)
            .await;
        login.map_err(|error| chain(&error))
    })
    .await;
    assert_eq!(user, registered.user);
}

#[tokio::test]
async fn a_mysql_that_hangs_holds_nobody_for_ever() {
    let server = Server::mariadb().await;
    let accounts = open(options(server.url("chat").parse().unwrap())).await;
    let registered = accounts
        .register("ann", "ann@example.org", HERE)
        .await
        .unwrap();
    server.signal("STOP");
    let login = accounts.login("ann@example.org", &registered.password, HERE);
    let refused = tokio::time::timeout(DEADLINE, login)
        .await
        .expect("it gives up by itself");
    assert!(
        matches!(refused, Err(LoginError::Database(_))),
        "{refused:?}"
    );

    server.signal("CONT");
    let user = eventually("the login works again", async || {
        let login = accounts
            .login("ann@example.org", &registered.password, HERE)
            .await;
        login.map_err(|error| chain(&error))
    })
    .await;
    assert_eq!(user, registered.user);
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_named_without_its_password() {
    let server = Server::postgres().await;
    let url = server.url("postgres").replace("chat:", "nobody:");
    let error = Accounts::open(options(url.parse().unwrap()))
        .await
        .err()
        .expect("no such user");
    let told = chain(&error);
    assert!(told.contains("postgres://nobody@127.0.0.1"), "{told}");
    assert!(!told.contains(PASSWORD) && !told.contains("geh"), "{told}");

    let url = server.url("postgres");
    let create = "CREATE TABLE users (id SERIAL PRIMARY KEY, login TEXT, pass TEXT)";
    prepare(
        &url,
        create,
        "INSERT INTO users (login) VALUES ('somebody')",
    )
    .await;
    let error = Accounts::open(options(url.parse().unwrap()))
        .await
        .err()
        .expect("another program's");
    assert!(
        matches!(error, OpenError::OtherTable { column: "name", .. }),
        "{error:?}"
    );
    let mut database = connect(&url).await.unwrap();
    let columns: i64 = one(
        &mut database,
        "SELECT COUNT(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0",
    )
    .await;
    assert_eq!(columns, 3, "it is left as it was");
}
