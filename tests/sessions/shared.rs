//! Sessions in the Redis that replicas share, each replica with a store of its own: what is kept there, who learns of an
//! end, and what becomes of it all when Redis or the way to it fails.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use handshaken::{
    account::sessions::{Record, Rules, Session, SessionId, Sessions, Watch},
    redis::Redis,
};
use serde_json::{Value, json};

use crate::harness::{
    eventually,
    proxy::{Proxy, Weather},
    redis::RedisServer,
};

/// Replicas are told of an end, or find it out, in less than that.
const SOON: Duration = Duration::from_secs(20);

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A record as express-session 1.18 keeps it for a login, with what an application put there.
const OF_NODE: &str = r#"{"cookie":{"originalMaxAge":null,"expires":null,"secure":false,"httpOnly":true,"path":"/"},"name":"Ann","mail":"a@b.c","cart":[{"n":1,"empty":[]}],"pass":"plain"}"#;

/// One replica's sessions.
struct Replica(Arc<Sessions>);

impl Replica {
    /// One that hears what the others end.
    fn on(redis: SocketAddr) -> Self {
        let replica = Self::that_lasts(redis, None);
        tokio::spawn(replica.0.clone().keep_time());
        replica
    }

    fn that_lasts(redis: SocketAddr, max_age: Option<Duration>) -> Self {
        let url = format!("redis://{redis}");
        let rules = Rules {
            cookie: "jsessionid".into(),
            secrets: vec!["the secret of this test".into()],
            max_age,
        };
        let redis = Redis::new(url.parse().unwrap(), "test");
        Self(Arc::new(Sessions::shared(redis, "sess:".into(), rules)))
    }

    /// The `Cookie` header of a browser that was given this id.
    fn cookie(&self, id: &SessionId) -> String {
        let set = self.0.set_cookie(id, false);
        set.split(';').next().unwrap().to_owned()
    }

    async fn login(&self, name: &str) -> (Session, String) {
        let record = Record::of_account(name.into(), format!("{name}@b.c"));
        let session = self.0.begin(record).await.unwrap();
        let cookie = self.cookie(&session.id);
        (session, cookie)
    }

    async fn of(&self, cookie: &str) -> Option<Session> {
        self.0.of(cookie, HOME).await.unwrap()
    }

    /// Counts how often a session is told to be over.
    fn watch(&self, id: &SessionId) -> (Arc<AtomicUsize>, Watch) {
        let told = Arc::new(AtomicUsize::new(0));
        let tell = told.clone();
        let watch = self.0.watch(id, move || {
            tell.fetch_add(1, Ordering::Relaxed);
        });
        (told, watch)
    }

    /// Has what was used noted, as happens every half minute.
    async fn note(&self) {
        self.0.close().await;
    }
}

/// The id that a cookie of ours names.
fn id_in(cookie: &str) -> String {
    let value = cookie.strip_prefix("jsessionid=s%3A").unwrap();
    value.split('.').next().unwrap().to_owned()
}

fn kept(redis: &RedisServer, cookie: &str) -> Value {
    let key = format!("sess:{}", id_in(cookie));
    serde_json::from_str(&redis.cli(&["get", &key])).unwrap_or_default()
}

/// Seconds that a session has left.
fn left(redis: &RedisServer, cookie: &str) -> i64 {
    let left = redis.cli(&["ttl", &format!("sess:{}", id_in(cookie))]);
    left.parse().unwrap()
}

/// The cookie of a session that Node began under this id.
fn of_node(redis: &RedisServer, id: &str, record: &str) -> String {
    redis.cli(&["set", &format!("sess:{id}"), record, "EX", "1000"]);
    signed(id)
}

/// What express's cookie-signature makes of an id with the secret of this test.
fn signed(id: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"the secret of this test").unwrap();
    mac.update(id.as_bytes());
    let signature = STANDARD_NO_PAD.encode(mac.finalize().into_bytes());
    let signature = signature.replace('/', "%2F");
    format!("jsessionid=s%3A{id}.{signature}")
}

/// Waits for what comes long before everything is looked up, as happens every half minute.
async fn is_told(told: &AtomicUsize) {
    let start = Instant::now();
    eventually("the end is told", async || {
        assert!(start.elapsed() < SOON, "it is not told by itself");
        let times = told.load(Ordering::Relaxed);
        (times == 1).then_some(()).ok_or(format!("{times} times"))
    })
    .await
}

#[tokio::test]
async fn a_login_of_one_replica_counts_on_all_and_lies_where_express_looks_for_it() {
    let redis = RedisServer::start();
    let [a, b] = [Replica::on(redis.address()), Replica::on(redis.address())];
    let (_, cookie) = a.login("Ann").await;
    let found = b.of(&cookie).await.unwrap();
    assert_eq!(found.record.name.as_deref(), Some("Ann"));
    assert!(found.record.other.is_empty());
    let mut record = kept(&redis, &cookie);
    let ours = record.as_object_mut().unwrap().remove("handshaken");
    assert!(ours.unwrap()["login"].is_string());
    let cookie_of_express =
        json!({ "originalMaxAge": null, "expires": null, "httpOnly": true, "path": "/" });
    let expected = json!({ "cookie": cookie_of_express, "name": "Ann", "mail": "Ann@b.c" });
    assert_eq!(record, expected);
    assert!((86_390..=86_400).contains(&left(&redis, &cookie)));
}

#[tokio::test]
async fn a_login_of_node_counts_here_and_keeps_what_node_put_there() {
    let redis = RedisServer::start();
    let [a, b] = [Replica::on(redis.address()), Replica::on(redis.address())];
    let before = of_node(&redis, "4nWajvwyKeUn8B_1Mk_hunqc_FlohzGo", OF_NODE);
    let session = a.of(&before).await.unwrap();
    assert_eq!(session.record.name.as_deref(), Some("Ann"));
    let same = b.of(&before).await.unwrap();
    assert_eq!(same.id.login(), session.id.login());
    let renewed = a.cookie(&a.0.renew(&session).await.unwrap());
    assert_ne!(renewed, before);
    let mut record = kept(&redis, &renewed);
    record.as_object_mut().unwrap().remove("handshaken");
    let mut expected: Value = serde_json::from_str(OF_NODE).unwrap();
    expected.as_object_mut().unwrap().remove("pass");
    assert_eq!(record, expected);
    // Who comes with the former id is the same, and gets the present one.
    let late = b.of(&before).await.unwrap();
    assert_eq!(late.id.login(), session.id.login());
    assert_eq!(b.cookie(&b.0.renew(&late).await.unwrap()), renewed);
    assert!((290..=300).contains(&left(&redis, &before)));
    assert!(left(&redis, &renewed) > 86_000);
    // The end is that of all ids.
    b.0.end(&late.id).await.unwrap();
    for cookie in [before, renewed] {
        assert!(a.of(&cookie).await.is_none());
        assert_eq!(kept(&redis, &cookie), Value::Null);
    }
}

#[tokio::test]
async fn two_tabs_that_load_at_once_on_two_replicas_end_up_with_one_id() {
    let redis = RedisServer::start();
    let [a, b] = [Replica::on(redis.address()), Replica::on(redis.address())];
    for _ in 0..20 {
        let (_, cookie) = a.login("Ann").await;
        let (one, other) = (a.of(&cookie).await.unwrap(), b.of(&cookie).await.unwrap());
        let (one, other) = tokio::join!(a.0.renew(&one), b.0.renew(&other));
        let (one, other) = (a.cookie(&one.unwrap()), b.cookie(&other.unwrap()));
        assert_eq!(one, other);
        assert!(b.of(&one).await.is_some());
    }
}

#[tokio::test]
async fn what_node_changes_at_the_same_time_is_not_lost() {
    let redis = RedisServer::start();
    let a = Replica::on(redis.address());
    let cookie = of_node(&redis, "abc", r#"{"cookie":{},"count":0}"#);
    let naming = a.0.naming(HOME).unwrap();
    let named = a.0.name_visitor(naming, &cookie, "Bob".into()).await;
    let named = a.cookie(&named.unwrap().id);
    assert_ne!(named, cookie);
    assert_eq!(kept(&redis, &cookie), Value::Null);
    let record = kept(&redis, &named);
    assert_eq!(
        (&record["user"], &record["count"]),
        (&json!("Bob"), &json!(0))
    );
    // Node writes between our reading and our writing: as often as it likes, at most eight times in a row.
    let stop = tokio_util::sync::CancellationToken::new();
    let node = tokio::task::spawn_blocking({
        let (stop, port) = (stop.clone(), redis.address().port().to_string());
        move || {
            let mut count = 0;
            while !stop.is_cancelled() {
                count += 1;
                let record = format!(r#"{{"cookie":{{}},"user":"Bob","count":{count}}}"#);
                let set = ["-p", &port, "set", "sess:abc", &record, "EX", "1000"];
                std::process::Command::new("redis-cli")
                    .args(set)
                    .output()
                    .unwrap();
            }
            count
        }
    });
    let mut last = 0;
    for _ in 0..50 {
        let naming = a.0.naming(HOME).unwrap();
        let named = a.0.name_visitor(naming, &cookie, "Bob".into()).await;
        let named = a.cookie(&named.unwrap().id);
        let count = kept(&redis, &named)["count"].as_i64().unwrap();
        assert!(count >= last, "{count} after {last}");
        last = count;
    }
    stop.cancel();
    let count = node.await.unwrap();
    // What Node wrote last is where it wrote it, or went along to the new id.
    let left = kept(&redis, &cookie)["count"].as_i64();
    assert_eq!(left.unwrap_or(last), count);
}

#[tokio::test]
async fn a_visitor_who_connected_before_giving_a_name_is_known_on_all_replicas_from_the_same_place()
{
    let redis = RedisServer::start();
    let [a, b] = [Replica::on(redis.address()), Replica::on(redis.address())];
    let given = a.cookie(&a.0.unused());
    let elsewhere: IpAddr = "192.0.2.1".parse().unwrap();
    let mut held = given.clone();
    for user in ["Bob", "Rob"] {
        let naming = a.0.naming(HOME).unwrap();
        let named = a.0.name_visitor(naming, &held, user.into()).await;
        let named = a.cookie(&named.unwrap().id);
        assert_ne!(named, held);
        for cookie in [&held, &named] {
            let found = b.of(cookie).await.unwrap();
            assert_eq!(found.record.user.as_deref(), Some(user));
        }
        assert!(b.0.of(&held, elsewhere).await.unwrap().is_none());
        held = named;
    }
    let session = b.of(&held).await.unwrap();
    b.0.end(&session.id).await.unwrap();
    assert!(a.of(&held).await.is_none());
    assert_eq!(redis.cli(&["keys", "sess:*"]), "");
}

#[tokio::test]
async fn an_end_is_told_on_all_replicas_at_once_and_to_nobody_else() {
    let redis = RedisServer::start();
    let [a, b] = [Replica::on(redis.address()), Replica::on(redis.address())];
    let (session, cookie) = a.login("Ann").await;
    let (other, _) = a.login("Bob").await;
    let there = b.of(&cookie).await.unwrap();
    let (told, _watch) = b.watch(&there.id);
    let (here, _here) = a.watch(&session.id);
    let (bobs, _bobs) = b.watch(&other.id);
    let start = Instant::now();
    eventually("both replicas hear", async || {
        assert!(start.elapsed() < SOON, "they do not hear");
        let hearing = redis.cli(&["pubsub", "numsub", "test:ended"]);
        hearing.ends_with('2').then_some(()).ok_or(hearing)
    })
    .await;
    a.0.end(&session.id).await.unwrap();
    assert_eq!(here.load(Ordering::Relaxed), 1);
    is_told(&told).await;
    assert_eq!(bobs.load(Ordering::Relaxed), 0);
    // It was looked up before it ended, and is watched only now.
    let (late, _late) = b.watch(&there.id);
    assert_eq!(late.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn all_logins_of_an_account_end_at_once_wherever_they_are() {
    let redis = RedisServer::start();
    let [a, b] = [Replica::on(redis.address()), Replica::on(redis.address())];
    let (first, one) = a.login("Ann").await;
    let (_, two) = b.login("Ann").await;
    let (_, bobs) = b.login("Bob").await;
    let of_node = of_node(&redis, "xyz", &OF_NODE.replace("a@b.c", "Ann@b.c"));
    let there = b.of(&two).await.unwrap();
    let (told, _watch) = b.watch(&there.id);
    // One of Node's is known once it was used here and that was noted.
    assert!(b.of(&of_node).await.is_some());
    b.note().await;
    a.0.end_everywhere(&first).await.unwrap();
    is_told(&told).await;
    for cookie in [one, two, of_node] {
        assert!(b.of(&cookie).await.is_none());
        assert_eq!(kept(&redis, &cookie), Value::Null);
    }
    assert!(a.of(&bobs).await.is_some());
}

#[tokio::test]
async fn an_end_that_could_not_be_heard_is_found_out_when_the_way_is_back() {
    let redis = RedisServer::start();
    let proxy = Proxy::to(redis.address()).await;
    let [a, b] = [Replica::on(redis.address()), Replica::on(proxy.address())];
    for weather in [Weather::Cut, Weather::Silent] {
        let (ann, cookie) = a.login("Ann").await;
        let (_, bobs) = a.login("Bob").await;
        let (told, _ann) = b.watch(&b.of(&cookie).await.unwrap().id);
        let (others, _bob) = b.watch(&b.of(&bobs).await.unwrap().id);
        proxy.set(weather);
        a.0.end(&ann.id).await.unwrap();
        assert!(
            b.0.of(&cookie, HOME).await.is_err(),
            "what is not known is no answer"
        );
        assert_eq!(told.load(Ordering::Relaxed), 0);
        proxy.set(Weather::Fair);
        is_told(&told).await;
        assert_eq!(others.load(Ordering::Relaxed), 0);
        eventually("the other is logged in", async || {
            let found =
                b.0.of(&bobs, HOME)
                    .await
                    .map_err(|error| error.to_string())?;
            found.map(drop).ok_or("nobody".to_owned())
        })
        .await;
    }
}

#[tokio::test]
async fn redis_that_is_killed_or_stopped_logs_nobody_in_or_out() {
    let mut redis = RedisServer::start();
    let a = Replica::on(redis.address());
    let (session, cookie) = a.login("Ann").await;
    let (told, _watch) = a.watch(&session.id);
    for how in ["killed", "stopped"] {
        match how {
            "killed" => redis.kill(),
            _ => redis.pause(),
        }
        let refused = a.0.of(&cookie, HOME).await.unwrap_err();
        assert!(refused.to_string().contains("try again"), "{refused}");
        assert!(a.0.begin(Record::default()).await.is_err());
        assert!(a.0.end(&session.id).await.is_err());
        match how {
            "killed" => redis.start_again(),
            _ => redis.resume(),
        }
        if how == "killed" {
            eventually("the login counts", async || {
                let found =
                    a.0.of(&cookie, HOME)
                        .await
                        .map_err(|error| error.to_string())?;
                found.map(drop).ok_or("nobody".to_owned())
            })
            .await;
            assert_eq!(told.load(Ordering::Relaxed), 0);
        }
    }
    // What was asked of the stopped one may have been done when it went on; then that is told.
    eventually("it is one or the other", async || {
        let found =
            a.0.of(&cookie, HOME)
                .await
                .map_err(|error| error.to_string())?;
        let (is_in, is_told) = (found.is_some(), told.load(Ordering::Relaxed) == 1);
        (is_in != is_told)
            .then_some(())
            .ok_or(format!("in: {is_in}, told: {is_told}"))
    })
    .await;
}

#[tokio::test]
async fn what_is_used_or_watched_lasts_on_and_nothing_is_made_shorter() {
    let redis = RedisServer::start();
    let a = Replica::that_lasts(redis.address(), Some(Duration::from_secs(600)));
    let hour = r#"{"cookie":{"originalMaxAge":3600000,"expires":"2020-01-01T00:00:00.000Z"}}"#;
    let (session, used) = a.login("Ann").await;
    let (watched_by, watched) = a.login("Bob").await;
    let (_, idle) = a.login("Eve").await;
    let (told, _watch) = a.watch(&watched_by.id);
    let nodes = of_node(&redis, "hour", hour);
    let long = of_node(&redis, "long", r#"{"cookie":{}}"#);
    let for_ever = of_node(&redis, "ever", r#"{"cookie":{}}"#);
    a.note().await;
    for cookie in [&used, &watched, &idle] {
        redis.cli(&["expire", &format!("sess:{}", id_in(cookie)), "100"]);
    }
    redis.cli(&["expire", "sess:long", "100000"]);
    redis.cli(&["persist", "sess:ever"]);
    for cookie in [&used, &nodes, &long, &for_ever] {
        assert!(a.of(cookie).await.is_some());
    }
    a.note().await;
    for (cookie, expected) in [
        (&used, 600),
        (&watched, 600),
        (&idle, 100),
        (&nodes, 3600),
        (&long, 100_000),
    ] {
        let left = left(&redis, cookie);
        assert!(
            (expected - 15..=expected).contains(&left),
            "{left}, not {expected}"
        );
    }
    assert_eq!(left(&redis, &for_ever), -1);
    // The record says so too when it is written anew, for Node to read.
    let node = a.of(&nodes).await.unwrap();
    let renewed = a.cookie(&a.0.renew(&node).await.unwrap());
    let expires = kept(&redis, &renewed)["cookie"]["expires"].clone();
    assert!(expires.as_str() > Some("2026"), "{expires}");
    assert!((3585..=3600).contains(&left(&redis, &renewed)));
    // One that Node ended is found to be over, and told.
    redis.cli(&["del", &format!("sess:{}", id_in(&watched))]);
    assert_eq!(told.load(Ordering::Relaxed), 0);
    a.note().await;
    assert_eq!(told.load(Ordering::Relaxed), 1);
    assert!(a.of(&a.cookie(&session.id)).await.is_some());
}

#[tokio::test]
async fn a_session_that_node_gives_another_id_is_known_by_it_and_its_sockets_stay() {
    let redis = RedisServer::start();
    let a = Replica::on(redis.address());
    let (session, before) = a.login("Ann").await;
    let (told, _watch) = a.watch(&session.id);
    a.note().await;
    // As an application does that regenerates the session and takes all along that was in it.
    let record = redis.cli(&["get", &format!("sess:{}", id_in(&before))]);
    redis.cli(&["del", &format!("sess:{}", id_in(&before))]);
    let after = of_node(&redis, "another", &record);
    assert!(a.of(&before).await.is_none());
    let found = a.of(&after).await.unwrap();
    assert_eq!(found.id.login(), session.id.login());
    a.note().await;
    // Those that were watched before are looked up by the id that they have now.
    a.note().await;
    assert_eq!(told.load(Ordering::Relaxed), 0);
    let renewed = a.cookie(&a.0.renew(&found).await.unwrap());
    // A former id does not stand in for one that is gone.
    redis.cli(&["del", &format!("sess:{}", id_in(&renewed))]);
    assert!(a.of(&after).await.is_none());
    a.note().await;
    assert_eq!(told.load(Ordering::Relaxed), 1);
    assert_eq!(kept(&redis, &after), Value::Null);
}

#[tokio::test]
async fn a_redis_that_is_full_keeps_who_is_logged_in_and_takes_nobody_new() {
    let redis = RedisServer::start();
    let proxy = Proxy::to(redis.address()).await;
    let [a, b] = [Replica::on(redis.address()), Replica::on(proxy.address())];
    let (session, cookie) = a.login("Ann").await;
    let (told, _watch) = a.watch(&session.id);
    let mut watched = Vec::new();
    for name in ["Eve", "Zoe"] {
        let (session, cookie) = a.login(name).await;
        let there = b.of(&cookie).await.unwrap();
        watched.push((session, cookie, b.watch(&there.id)));
    }
    redis.cli(&["config", "set", "maxmemory", "1"]);
    for (n, (other, others, (told, _watch))) in watched.iter().enumerate() {
        // The first is heard of, the second must be looked up.
        proxy.set([Weather::Fair, Weather::Cut][n]);
        a.0.end(&other.id).await.unwrap();
        assert!(a.of(others).await.is_none());
        proxy.set(Weather::Fair);
        is_told(told).await;
    }
    assert!(a.0.begin(Record::default()).await.is_err());
    assert!(a.of(&cookie).await.is_some());
    a.note().await;
    assert_eq!(told.load(Ordering::Relaxed), 0);
    redis.cli(&["config", "set", "maxmemory", "0"]);
    a.note().await;
    assert!(a.of(&cookie).await.is_some());
    let (_, bobs) = a.login("Bob").await;
    assert!(a.of(&bobs).await.is_some());
    a.0.end(&session.id).await.unwrap();
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn one_account_has_only_so_many_sessions_over_all_replicas() {
    let redis = RedisServer::start();
    let replicas = [Replica::on(redis.address()), Replica::on(redis.address())];
    let (_, bobs) = replicas[0].login("Bob").await;
    let mut cookies = Vec::new();
    for n in 0..103 {
        cookies.push(replicas[n % 2].login("Ann").await.1);
    }
    for (n, cookie) in cookies.iter().enumerate() {
        let is_there = replicas[0].of(cookie).await.is_some();
        assert_eq!(is_there, n >= 3, "the login number {n}");
    }
    assert!(replicas[1].of(&bobs).await.is_some());
}

#[tokio::test]
async fn what_is_damaged_in_redis_is_nobodys_and_harms_nobody() {
    let redis = RedisServer::start();
    let a = Replica::on(redis.address());
    for (id, record) in [
        ("none", "no JSON"),
        ("list", "[]"),
        ("deep", &"[".repeat(5000)),
        (
            "loop",
            r#"{"cookie":{},"name":"Ann","handshaken":{"login":"7","now":"loop"}}"#,
        ),
        (
            "lost",
            r#"{"cookie":{},"name":"Ann","handshaken":{"login":"8","now":"nowhere"}}"#,
        ),
    ] {
        let cookie = of_node(&redis, id, record);
        assert!(a.of(&cookie).await.is_none(), "{record}");
    }
    let odd = r#"{"cookie":{"originalMaxAge":1e300},"name":"Ann","mail":7,"handshaken":"x"}"#;
    let odd = of_node(&redis, "odd", odd);
    let session = a.of(&odd).await.unwrap();
    let (_, cookie) = a.login("Bob").await;
    let (told, _watch) = a.watch(&session.id);
    redis.cli(&["rpush", "sess:other", "a"]);
    assert!(a.0.of(&signed("other"), HOME).await.is_err());
    a.note().await;
    assert_eq!(told.load(Ordering::Relaxed), 0);
    let renewed = a.cookie(&a.0.renew(&session).await.unwrap());
    assert!(a.of(&renewed).await.is_some());
    assert!(a.of(&cookie).await.is_some());
}
