//! A Redis that is not as it must be.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    asked::SetUp,
    harness::{eventually, redis::RedisServer},
};

#[test]
fn one_that_forgets_and_throws_away_is_told_with_what_to_set() {
    let redis =
        RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let said = SetUp::right().with(&["--redis", &redis.url()]).ask();
    said.is_wrong(
        "redis",
        &[
            "throws messages away",
            "allkeys-lru",
            "Set maxmemory-policy noeviction",
        ],
    );
    said.says("warn", "redis", &["appendonly no", "Set appendonly yes"]);
    assert_eq!(
        said.lines.last().unwrap(),
        "1 thing is wrong (bad), 1 deserves a thought (warn)"
    );
    said.says("ok", "database", &["nobody can register or log in here"]);
}

#[test]
fn one_that_is_not_there_is_told_with_its_address_and_no_password() {
    let said = SetUp::right()
        .with(&["--redis", "redis://ann:s3cret@127.0.0.1:1"])
        .ask();
    said.is_wrong(
        "redis",
        &[
            "127.0.0.1:1 cannot be used: Connection refused",
            "correct --redis",
        ],
    );
    assert!(!said.lines.join("\n").contains("s3cret"));
}

#[test]
fn one_that_wants_a_password_is_told_so() {
    let redis = RedisServer::start_with(&["--requirepass", "s3cret"]);
    let said = SetUp::right().with(&["--redis", &redis.url()]).ask();
    said.is_wrong(
        "redis",
        &[
            "it does not let us in",
            "Put its user and password into HANDSHAKEN_REDIS",
        ],
    );
    let wrong = redis.url().replace("://", "://:wr0ng@");
    let said = SetUp::right()
        .with_variable("HANDSHAKEN_REDIS", &wrong)
        .ask();
    said.is_wrong("redis", &["it does not let us in"]);
    assert!(!said.lines.join("\n").contains("wr0ng"));
    let right = redis.url().replace("://", "://:s3cret@");
    assert_eq!(SetUp::right().with(&["--redis", &right]).ask().code, 0);
}

#[test]
fn one_without_tls_and_one_that_is_full_are_told_by_what_they_say() {
    let redis = RedisServer::start();
    let by_tls = redis.url().replace("redis://", "rediss://");
    let said = SetUp::right().with(&["--redis", &by_tls]).ask();
    said.is_wrong(
        "redis",
        &["it speaks no TLS at this port", "Write redis://"],
    );
    redis.cli(&["config", "set", "maxclients", "1"]);
    let _only = std::net::TcpStream::connect(redis.address()).unwrap();
    let said = SetUp::right().with(&["--redis", &redis.url()]).ask();
    said.is_wrong("redis", &["it says: ERR max number of clients reached"]);
}

#[test]
fn a_user_with_too_few_rights_is_told_which_are_missing() {
    let redis = RedisServer::start();
    redis.cli(&[
        "acl",
        "setuser",
        "ann",
        "on",
        ">pass",
        "~other:*",
        "&*",
        "+@all",
        "-@dangerous",
    ]);
    let url = redis.url().replace("://", "://ann:pass@");
    let said = SetUp::right().with(&["--redis", &url]).ask();
    said.is_wrong("redis", &["it refuses SET", "~handshaken:*"]);
    said.says("warn", "redis", &["it refuses INFO", "+info"]);
    // As docs/replicas.md has it.
    redis.cli(&[
        "acl",
        "setuser",
        "ann",
        "resetkeys",
        "~handshaken:*",
        "resetchannels",
        "&handshaken:*",
        "+info",
    ]);
    let said = SetUp::right().with(&["--redis", &url]).ask();
    assert_eq!(said.code, 0);
    assert!(said.of("warn", "redis").is_empty());
    let logins = SetUp::right()
        .with(&["--redis", &url])
        .with_variable("HANDSHAKEN_SESSION_SECRET", "known to all of them");
    logins.ask().is_wrong(
        "redis",
        &["it refuses SET", "~handshaken:* ~sess:* &handshaken:*"],
    );
    redis.cli(&["acl", "setuser", "ann", "~sess:*"]);
    assert_eq!(logins.ask().code, 0);
}

#[tokio::test]
async fn a_copy_of_another_is_told_so() {
    let primary = RedisServer::start();
    let port = primary.address().port().to_string();
    let copy = RedisServer::start_with(&["--appendonly", "yes", "--replicaof", "127.0.0.1", &port]);
    eventually("it is in step", async || {
        let info = copy.cli(&["info", "replication"]);
        if info.contains("master_link_status:up") {
            Ok(())
        } else {
            Err(info)
        }
    })
    .await;
    let said = SetUp::right().with(&["--redis", &copy.url()]).ask();
    said.is_wrong("redis", &["it is a copy of another", "Name the primary"]);
}

#[tokio::test]
async fn a_channel_of_old_servers_is_told_with_who_listens() {
    let redis = RedisServer::start();
    let channel = ["--new-msg-channel", "newMsg", "--neighbour-redis"];
    let set_up = SetUp::right().with(&channel).with(&[&redis.url()]);
    let said = set_up.ask();
    assert_eq!(said.code, 0);
    said.says(
        "warn",
        "channels",
        &["nobody listens on newMsg", "start it"],
    );

    let port = redis.address().port().to_string();
    let mut old = Command::new("redis-cli")
        .args(["-p", &port, "subscribe", "newMsg"])
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-cli cannot be run: install redis-tools");
    eventually("an old server listens", async || {
        let count = redis.cli(&["pubsub", "numsub", "newMsg"]);
        if count.ends_with('1') {
            Ok(())
        } else {
            Err(count)
        }
    })
    .await;
    let said = set_up.ask();
    old.kill().unwrap();
    old.wait().unwrap();
    said.has_none("warn");
    said.says("ok", "channels", &["1 server listens on newMsg"]);

    let away = SetUp::right()
        .with(&channel)
        .with(&["redis://ann:s3cret@127.0.0.1:1"]);
    let said = away.ask();
    said.is_wrong(
        "channels",
        &[
            "127.0.0.1:1 cannot be used for newMsg",
            "correct --neighbour-redis",
        ],
    );
    assert!(!said.lines.join("\n").contains("s3cret"));
}

#[test]
fn one_that_says_nothing_holds_the_doctor_for_seconds_only() {
    let redis = RedisServer::start();
    redis.pause();
    let start = Instant::now();
    let said = SetUp::right().with(&["--redis", &redis.url()]).ask();
    redis.resume();
    said.is_wrong("redis", &["cannot be used"]);
    // Its own bound, and what a slow machine needs.
    assert!(
        start.elapsed() < Duration::from_secs(40),
        "{:?}",
        start.elapsed()
    );
}
