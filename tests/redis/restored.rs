//! Redis is restored from a copy by the very lines of docs/operating.md: what the copy has is there, and whoever saw more
//! starts anew.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::harness::{client::Client, redis::RedisServer, server::Server};

const ROOM: &str = "lobby";

/// How long one of the docs' commands may take, s.
const PATIENCE: &str = "60";

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_restored_as_the_docs_say_has_all_of_the_copy_and_its_readers_start_anew() {
    let docs = fs::read_to_string("docs/operating.md").unwrap();
    let [copying, restoring] = [
        ("redis redis-cli --rdb", " > redis.rdb", "redis-cli --rdb"),
        ("redis sh -ec '", "' < redis.rdb", ""),
    ]
    .map(|(before, after, begin)| {
        let (_, rest) = docs.split_once(before).expect(before);
        format!("{begin}{}", rest.split_once(after).expect(after).0)
    });
    let mut redis = RedisServer::start();
    let server = Server::start(&["--redis", &redis.url()]);
    let mut ann = Client::native(server.address(), "ann").await;
    ann.join(ROOM, None).await;
    let copied = ann.post(ROOM, "in the copy", None).await;
    let copy = run(&copying, &redis, &[]).stdout;
    let lost = ann.post(ROOM, "later", None).await;
    drop(server.kill());
    redis.cli(&["SHUTDOWN"]);
    redis.kill();

    let restored = run(&restoring, &redis, &copy);
    assert!(restored.status.success(), "{restored:?}");
    redis.start_again();
    let server = Server::start(&["--redis", &redis.url()]);
    for seen in [&copied, &lost] {
        let mut ann = Client::native(server.address(), "ann").await;
        let answer = ann.join(ROOM, Some(seen)).await;
        assert_eq!(answer["reset"], true, "{answer}");
        assert_eq!(ann.said().await.text, "in the copy");
    }
    let mut bob = Client::native(server.address(), "bob").await;
    bob.join(ROOM, None).await;
    assert_eq!(bob.said().await.text, "in the copy");
    assert_ne!(bob.post(ROOM, "after it", None).await, lost);
}

/// Runs a script of the docs, with `stdin`, on this Redis in place of the one in a container.
fn run(script: &str, redis: &RedisServer, stdin: &[u8]) -> Output {
    let kept_in = redis.kept_in();
    let folder = kept_in.ancestors().nth(2).and_then(Path::to_str).unwrap();
    let port = redis.address().port();
    let script = script
        .replace("/data", folder)
        .replace("redis-cli ", &format!("redis-cli -p {port} "))
        .replace(
            "redis-server ",
            &format!("redis-server --port {port} --bind 127.0.0.1 "),
        );
    let mut shell = Command::new("timeout")
        .args([PATIENCE, "sh", "-ec", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut input = shell.stdin.take().unwrap();
    // Who reads nothing of it hangs up.
    let _ = input.write_all(stdin);
    drop(input);
    shell.wait_with_output().unwrap()
}
