//! The replica that works on a channel is killed, stopped, sent away; the Redis of the channel is killed. What is said meanwhile is
//! told once on all servers, in its speaker's order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::{
    harness::{eventually, redis::RedisServer, server::Server},
    node::{Node, hear, ours, ready, worker},
    page::Page,
};

/// Two replicas of ours and a server in Node, with a page at the replica that stays and one in Node.
struct Meeting {
    redis: RedisServer,
    /// The one that works on the channel; it has no page.
    worker: Option<Server>,
    other: Server,
    here: Arc<Page>,
    there: Arc<Page>,
    _node: Node,
}

impl Meeting {
    async fn on_new_msg() -> Self {
        let redis = RedisServer::start();
        let servers = [(); 2]
            .map(|()| ours(&redis, &["--new-msg-channel", "newMsg"]))
            .into();
        let node = Node::infinite(&redis);
        hear(&redis, "newMsg", 3).await;
        let there = Page::infinite(node.address).await;
        Self::with(redis, servers, node, there).await
    }

    async fn on_an_adapter() -> Self {
        let redis = RedisServer::start();
        let servers = [(); 2].map(|()| ours(&redis, &["--socketio-redis-key", "socket.io"]));
        let node = Node::talk("8", &redis, "node");
        hear(&redis, "socket.io#/#", 2).await;
        hear(&redis, "socket.io-request#/#", 1).await;
        let there = Page::talk(node.address).await;
        Self::with(redis, servers.into(), node, there).await
    }

    async fn with(redis: RedisServer, mut servers: Vec<Server>, node: Node, there: Page) -> Self {
        let worker = worker(&servers).await;
        let worker = servers.remove(worker);
        let other = servers.remove(0);
        Self {
            here: Arc::new(Page::talk(other.address()).await),
            there: Arc::new(there),
            redis,
            worker: Some(worker),
            other,
            _node: node,
        }
    }

    /// Whether the other replica works on the channel now.
    async fn is_taken_over(&self) {
        self.other.logged(&["bridge is connected"]).await;
    }

    /// All that both have said was told to both, once and in order.
    async fn assert_told(&self, said_here: usize, said_there: usize) {
        // What comes twice would come before this.
        for (speaker, text) in [(&self.here, "over here"), (&self.there, "over there")] {
            speaker.say(text).await;
            self.here.texts_with(text).await;
            self.there.texts_with(text).await;
        }
        for page in [&self.here, &self.there] {
            let told = page.texts();
            for (who, count) in [("here", said_here), ("there", said_there)] {
                let begin = format!("{who} ");
                let told: Vec<_> = told
                    .iter()
                    .filter(|text| text.starts_with(&begin))
                    .collect();
                let said: Vec<_> = (0..count).map(|n| format!("{who} {n}")).collect();
                assert_eq!(told, said.iter().collect::<Vec<_>>());
            }
        }
    }
}

/// Somebody who goes on saying numbers.
struct Talker {
    stop: Arc<AtomicBool>,
    talking: JoinHandle<usize>,
}

impl Talker {
    /// The first of them, `at_once`, without a pause.
    fn start(page: &Arc<Page>, who: &'static str, at_once: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, page) = (stop.clone(), page.clone());
        let talking = tokio::spawn(async move {
            let mut said = 0;
            while !stopped.load(Ordering::Relaxed) {
                page.say(&format!("{who} {said}")).await;
                said += 1;
                if said > at_once {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            said
        });
        Self { stop, talking }
    }

    /// How many it said.
    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.talking.await.unwrap()
    }
}

/// Waits until a page was told so many more of what somebody says.
async fn told_more(page: &Page, who: &str, more: usize) {
    let count = || {
        page.texts()
            .iter()
            .filter(|text| text.starts_with(who))
            .count()
    };
    let goal = count() + more;
    eventually("more is told", async || {
        let told = count();
        if told >= goal {
            Ok(())
        } else {
            Err(format!("{told} of {goal}"))
        }
    })
    .await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    SentAway,
    Paused,
}

async fn survives(mut meeting: Meeting, fault: Fault, at_once: usize) {
    let talkers = (
        Talker::start(&meeting.here, "here", 0),
        Talker::start(&meeting.there, "there", at_once),
    );
    told_more(&meeting.here, "there", at_once + 30).await;
    told_more(&meeting.there, "here", 30).await;
    let worker = meeting.worker.take().unwrap();
    match fault {
        Fault::Killed => drop(worker.kill()),
        Fault::SentAway => {
            worker.terminate();
            let (status, _) = worker.exit().await;
            assert!(status.success(), "{status}");
        }
        Fault::Paused => {
            worker.pause();
            meeting.is_taken_over().await;
            worker.resume();
            meeting.worker = Some(worker);
        }
    }
    meeting.is_taken_over().await;
    told_more(&meeting.here, "there", 50).await;
    told_more(&meeting.there, "here", 50).await;
    let (here, there) = (talkers.0.stop().await, talkers.1.stop().await);
    meeting.assert_told(here, there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_the_replica_that_works_on_new_msg_is_killed() {
    survives(Meeting::on_new_msg().await, Fault::Killed, 800).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_the_replica_that_works_on_an_adapter_is_killed() {
    survives(Meeting::on_an_adapter().await, Fault::Killed, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_the_replica_that_works_is_sent_away() {
    survives(Meeting::on_new_msg().await, Fault::SentAway, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_the_replica_that_works_stands_still_and_wakes() {
    survives(Meeting::on_an_adapter().await, Fault::Paused, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_go_on_when_redis_was_killed() {
    let mut meeting = Meeting::on_new_msg().await;
    let talk = async |meeting: &Meeting, from: usize| {
        for n in from..from + 5 {
            meeting.here.say(&format!("here {n}")).await;
            meeting.there.say(&format!("there {n}")).await;
        }
        meeting
            .here
            .texts_with(&format!("there {}", from + 4))
            .await;
        meeting
            .there
            .texts_with(&format!("here {}", from + 4))
            .await;
    };
    talk(&meeting, 0).await;
    for round in 1..3 {
        meeting.redis.kill();
        for server in [&meeting.other, meeting.worker.as_ref().unwrap()] {
            server.logged(&["bridge is away"]).await;
        }
        meeting.redis.start_again();
        hear(&meeting.redis, "newMsg", 3).await;
        talk(&meeting, 5 * round).await;
    }
    meeting.assert_told(15, 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_the_redis_of_the_channel_is_away_is_told_when_it_is_back() {
    let (mut elsewhere, redis) = (RedisServer::start_with(&[]), RedisServer::start());
    let url = elsewhere.url();
    let flags = ["--neighbour-redis", &url, "--new-msg-channel", "newMsg"];
    let servers: Vec<_> = (0..2).map(|_| ours(&redis, &flags)).collect();
    let node = Node::infinite(&elsewhere);
    hear(&elsewhere, "newMsg", 3).await;
    worker(&servers).await;
    let (here, there) = (
        Page::talk(servers[0].address()).await,
        Page::infinite(node.address).await,
    );
    here.say("before").await;
    there.texts_with("before").await;
    ready(&servers, "newMsg", &["connected", "standing_by"]).await;
    elsewhere.kill();
    ready(&servers, "newMsg", &["away", "away"]).await;
    let during: Vec<_> = (0..100).map(|n| format!("during {n}")).collect();
    for text in &during {
        here.say(text).await;
    }
    here.texts_with("during 99").await;
    elsewhere.start_again();
    ready(&servers, "newMsg", &["connected", "standing_by"]).await;
    there.texts_with("during 99").await;
    hear(&elsewhere, "newMsg", 3).await;
    there.say("after").await;
    here.texts_with("after").await;
    let mut all = vec!["before".to_owned()];
    all.extend(during);
    all.push("after".into());
    assert_eq!(here.texts(), all);
    assert_eq!(there.texts(), all);
}
