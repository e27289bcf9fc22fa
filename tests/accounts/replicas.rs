//! What guards logins where replicas share a Redis: all of them together allow no more tries than one, wherever they are
//! made, and each goes on by itself where Redis fails.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use handshaken::{
    account::{Accounts, Limits, LoginError, RegisterError, Shared},
    redis::Redis,
};
use tempfile::TempDir;

use crate::{
    harness::{HERE, eventually, in_folder, open},
    servers::{
        proxy::{Proxy, Weather},
        redis::RedisServer,
    },
};

const MAIL: &str = "ann@example.org";

/// Failures of an account, of an address, and registrations.
const FAILURES: u32 = 4;
const OF_ADDRESS: u32 = 10;
const REGISTRATIONS: u32 = 5;

/// A replica: the same accounts and the same secret on all.
async fn replica(folder: &TempDir, redis: SocketAddr) -> Accounts {
    let count = |count| NonZeroU32::new(count).unwrap();
    let mut options = in_folder(folder.path());
    options.limits = Limits {
        account_failures: count(FAILURES),
        address_failures: count(OF_ADDRESS),
        failure_window: Duration::from_secs(600),
        registrations: count(REGISTRATIONS),
    };
    let redis = Redis::new(format!("redis://{redis}").parse().unwrap(), "test");
    open(options).await.share(Shared::new(redis, "a secret"))
}

/// What became of a login with the wrong password.
async fn guess(replica: &Accounts, mail: &str, from: IpAddr) -> &'static str {
    word(replica.login(mail, "wrong", from).await.unwrap_err())
}

fn word(error: LoginError) -> &'static str {
    match error {
        LoginError::Wrong => "wrong",
        LoginError::TooMany { .. } => "too many",
        LoginError::Busy => "busy",
        error => panic!("{error}"),
    }
}

/// An address that is nobody else's.
fn there(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + n).into()
}

#[tokio::test]
async fn failures_count_on_all_replicas_together_and_a_success_on_none() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().unwrap());
    let (a, b) = (
        replica(&folder, redis.address()).await,
        replica(&folder, redis.address()).await,
    );
    let password = a.register("ann", MAIL, there(500)).await.unwrap().password;
    let mut from = (0..).map(there);
    for each in [&a, &b, &a, &b, &a, &b] {
        let login = each.login(MAIL, &password, from.next().unwrap()).await;
        login.unwrap();
    }
    assert_eq!(redis.cli(&["exists", "test:attempts:logins"]), "0");
    for each in [&a, &b, &a, &b] {
        assert_eq!(guess(each, MAIL, from.next().unwrap()).await, "wrong");
    }
    for each in [&a, &b] {
        let refused = each.login(MAIL, &password, from.next().unwrap()).await;
        let Err(LoginError::TooMany { retry_after }) = refused else {
            panic!("{refused:?}");
        };
        let wait = retry_after.as_secs();
        assert!((300..=600).contains(&wait), "{wait} s");
        let other = guess(each, "bob@example.org", from.next().unwrap()).await;
        assert_eq!(other, "wrong", "others are not concerned");
    }
}

#[tokio::test]
async fn the_owner_gets_in_at_home_on_every_replica_whoever_guesses_elsewhere() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().unwrap());
    let (a, b) = (
        replica(&folder, redis.address()).await,
        replica(&folder, redis.address()).await,
    );
    let password = a.register("ann", MAIL, HERE).await.unwrap().password;
    for n in 0..FAILURES {
        assert_eq!(guess(&b, MAIL, there(n)).await, "wrong");
    }
    assert_eq!(guess(&b, MAIL, there(99)).await, "too many");
    b.login(MAIL, &password, HERE).await.unwrap();
    // One that is started later knows it, too.
    let later = replica(&folder, redis.address()).await;
    later.login(MAIL, &password, HERE).await.unwrap();
    assert_eq!(guess(&later, MAIL, there(100)).await, "too many");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_logins_at_once_on_all_replicas_get_no_more_tries_than_on_one() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().unwrap());
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Arc::new(replica(&folder, redis.address()).await));
    }
    let guesses: Vec<_> = (0..3000)
        .map(|n| {
            let replica = replicas[n % 3].clone();
            let mail = format!("mail{n}@example.org");
            tokio::spawn(async move { guess(&replica, &mail, there(1)).await })
        })
        .collect();
    let mut answers = BTreeMap::new();
    for guess in guesses {
        *answers.entry(guess.await.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(answers["wrong"], OF_ADDRESS, "{answers:?}");
    for replica in &replicas {
        assert_eq!(
            guess(replica, "else@example.org", there(1)).await,
            "too many"
        );
    }
}

#[tokio::test]
async fn who_hangs_up_guesses_no_more_often() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().unwrap());
    let (a, b) = (
        Arc::new(replica(&folder, redis.address()).await),
        replica(&folder, redis.address()).await,
    );
    for n in 0..FAILURES {
        let hasty = a.clone();
        let guess = tokio::spawn(async move { guess(&hasty, MAIL, there(n)).await });
        eventually("it is under way", async || {
            let counts = redis.cli(&["hlen", "test:attempts:logins"]);
            let expected = (n + 2).to_string();
            (counts == expected).then_some(()).ok_or(counts)
        })
        .await;
        guess.abort();
    }
    eventually("all have failed", async || {
        let counts = redis.cli(&["hvals", "test:attempts:logins"]);
        let is_over = counts.lines().all(|count| count.ends_with(" 0"));
        is_over.then_some(()).ok_or(counts)
    })
    .await;
    assert_eq!(guess(&b, MAIL, there(99)).await, "too many");
}

#[tokio::test]
async fn registrations_of_an_address_count_on_all_replicas_together() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().unwrap());
    let (a, b) = (
        replica(&folder, redis.address()).await,
        replica(&folder, redis.address()).await,
    );
    let register = async |replica: &Accounts, n: u32, from| {
        let mail = format!("ann{n}@example.org");
        replica.register(&format!("ann{n}"), &mail, from).await
    };
    for n in 0..REGISTRATIONS {
        let each = [&a, &b][n as usize % 2];
        register(each, n, HERE).await.unwrap();
    }
    for (n, each) in (10..).zip([&a, &b]) {
        let refused = register(each, n, HERE).await;
        assert!(
            matches!(refused, Err(RegisterError::TooMany { .. })),
            "{refused:?}"
        );
        register(each, n, there(n)).await.unwrap();
    }
}

#[tokio::test]
async fn a_replica_that_redis_does_not_answer_goes_on_with_what_it_counted_itself() {
    for weather in [Weather::Cut, Weather::Silent] {
        let (redis, folder) = (RedisServer::start(), TempDir::new().unwrap());
        let proxy = Proxy::to(redis.address()).await;
        let (a, b) = (
            replica(&folder, redis.address()).await,
            replica(&folder, proxy.address()).await,
        );
        let password = b.register("ann", MAIL, there(500)).await.unwrap().password;
        for n in 0..2 {
            assert_eq!(guess(&b, MAIL, there(n)).await, "wrong");
        }
        proxy.set(weather);
        // The first two count here as well, and nothing is lost with Redis but what the others count.
        for n in 2..FAILURES {
            assert_eq!(guess(&b, MAIL, there(n)).await, "wrong");
        }
        assert_eq!(guess(&b, MAIL, there(50)).await, "too many");
        b.login(MAIL, &password, there(500)).await.unwrap();
        for n in 60..62 {
            assert_eq!(guess(&a, MAIL, there(n)).await, "wrong");
        }
        assert_eq!(guess(&a, MAIL, there(62)).await, "too many");
        proxy.set(Weather::Fair);
        let mut others = 100..;
        eventually("they count together again", async || {
            let n = others.next().unwrap();
            guess(&b, &format!("mail{n}@example.org"), there(n)).await;
            let all = redis.cli(&["hvals", "test:attempts:logins"]);
            // The account and the address.
            (all.lines().count() >= 7).then_some(()).ok_or(all)
        })
        .await;
    }
}

#[tokio::test]
async fn a_full_redis_loses_no_limit() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().unwrap());
    let a = replica(&folder, redis.address()).await;
    redis.cli(&["config", "set", "maxmemory", "1"]);
    for n in 0..FAILURES {
        assert_eq!(guess(&a, MAIL, there(n)).await, "wrong");
    }
    assert_eq!(guess(&a, MAIL, there(50)).await, "too many");
}

#[tokio::test]
async fn neither_names_nor_addresses_are_to_be_read_in_redis() {
    let (redis, folder) = (RedisServer::start(), TempDir::new().unwrap());
    let a = replica(&folder, redis.address()).await;
    a.register("ann", MAIL, HERE).await.unwrap();
    guess(&a, MAIL, HERE).await;
    guess(&a, "bob@example.org", there(1)).await;
    for (name, count, command) in [
        ("attempts:logins", 4, ["hkeys", ""]),
        ("attempts:registrations", 1, ["hkeys", ""]),
        ("attempts:logins:ends", 4, ["zrange", "0 -1"]),
        ("homes", 1, ["zrange", "0 -1"]),
    ] {
        let [verb, range] = command;
        let name = format!("test:{name}");
        let command: Vec<_> = [verb, &name].into_iter().chain(range.split(' ')).collect();
        let command: Vec<_> = command.into_iter().filter(|it| !it.is_empty()).collect();
        let shown = redis.cli(&command);
        assert_eq!(shown.lines().count(), count, "{name}: {shown}");
        for line in shown.lines() {
            let is_hidden = line.len() == 32 && line.bytes().all(|c| c.is_ascii_hexdigit());
            assert!(is_hidden, "{name}: {line}");
        }
        let left: i64 = redis.cli(&["ttl", &name]).parse().unwrap();
        assert!(left > 0, "{name} stays for ever");
    }
}

#[test]
fn what_is_counted_in_redis_is_bounded_and_what_ended_is_forgotten() {
    let redis = RedisServer::start();
    let script = include_str!("../../src/account/shared.lua");
    let begin = |key: &str, window: &str| {
        let args = ["eval", script, "2", "counts", "ends", "begin", window, "50"];
        let args: Vec<_> = args.into_iter().chain([key, "1"]).collect();
        redis.cli(&args).lines().next().unwrap().to_owned()
    };
    for n in 0..120 {
        assert_eq!(begin(&format!("key {n}"), "600000"), "begun");
        assert_eq!(begin(&format!("key {n}"), "600000"), "busy");
    }
    for (command, name) in [("hlen", "counts"), ("zcard", "ends")] {
        assert_eq!(redis.cli(&[command, name]), "50");
    }
    assert_eq!(begin("key 70", "600000"), "busy");
    assert_eq!(begin("key 69", "600000"), "begun", "the oldest went first");
    redis.cli(&["flushall"]);
    assert_eq!(begin("short", "1"), "begun");
    assert_eq!(begin("long", "600000"), "begun");
    assert_eq!(redis.cli(&["hkeys", "counts"]), "long");
}
