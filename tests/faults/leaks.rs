//! Thousands of clients come and go, each kind in its own way, and leave nothing behind.

use std::net::SocketAddr;

use crate::harness::{
    client::{Client, Eio},
    eventually,
    http::Polling,
    raw::{Raw, TEXT, frame},
    server::Server,
};

const ROOM: &str = "leaks";
/// Visits of each kind in one batch.
const ROUNDS: usize = 1000;

/// One of so many batches adds nothing to what the one before it left. How much an allocator keeps of what was
/// alive at one time takes a while to settle; what leaks grows with every batch.
const BATCHES: usize = 8;

const AT_ONCE: usize = 20;

/// KiB that an allocator may keep of a batch more than of the one before.
const KEPT: usize = 4 * 1024;

/// File descriptors that come and go by themselves: the store's readers, connections that are just closed.
const SPARE_FILES: usize = 20;

#[derive(Clone, Copy, Debug)]
enum Visit {
    Websocket,
    PollingClosed,
    PollingAbandoned,
    UpgradeFailed,
    UpgradedThenClosed,
    WithoutSocketIo,
}

const VISITS: [Visit; 6] = [
    Visit::Websocket,
    Visit::PollingClosed,
    Visit::PollingAbandoned,
    Visit::UpgradeFailed,
    Visit::UpgradedThenClosed,
    Visit::WithoutSocketIo,
];

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_visitors_of_every_kind_leave_nothing_behind() {
    let server = Server::patient(&["--ping-interval", "1s", "--ping-timeout", "3s"]);
    let address = server.address();
    let (mut memory, mut files) = (server.memory(), server.files());
    let mut levels = Vec::new();
    loop {
        for visit in VISITS {
            pay(address, visit, ROUNDS).await;
        }
        alone(address).await;
        let (memory_before, files_before) = (memory, files);
        (memory, files) = (server.memory(), server.files());
        levels.push(format!("{memory} KiB, {files} files"));
        if memory < memory_before + KEPT && files < files_before + SPARE_FILES {
            break;
        }
        assert!(levels.len() < BATCHES, "it only grows: {levels:?}");
    }
    println!("{levels:?}");
    server.terminate();
    let (status, _) = server.exit().await;
    assert!(status.success(), "{status}");
}

/// Waits until nobody else is in the room.
async fn alone(address: SocketAddr) {
    let mut watching = Client::native(address, "watching").await;
    eventually("everybody else has left", async || {
        let answer = watching.join(ROOM, None).await;
        watching.forget();
        let total = &answer["total"];
        (*total == 1)
            .then_some(())
            .ok_or_else(|| format!("{total} are there"))
    })
    .await;
}

async fn pay(address: SocketAddr, visit: Visit, rounds: usize) {
    let visitors: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            tokio::spawn(async move {
                for _ in 0..rounds / AT_ONCE {
                    pay_one(address, visit).await;
                }
            })
        })
        .collect();
    for visitor in visitors {
        visitor.await.unwrap();
    }
}

async fn pay_one(address: SocketAddr, visit: Visit) {
    match visit {
        Visit::Websocket => {
            let mut client = Client::native(address, "visitor").await;
            client.join(ROOM, None).await;
        }
        Visit::PollingClosed | Visit::PollingAbandoned => {
            let mut client = Client::polling(address, "/chat").await;
            client.hello("visitor").await;
            client.join(ROOM, None).await;
            if matches!(visit, Visit::PollingClosed) {
                client.send("1").await.unwrap();
            }
        }
        Visit::WithoutSocketIo => {
            let mut raw = Raw::upgrade(address, "/").await.unwrap();
            let said = r#"{"username":"visitor","msg":""}"#;
            raw.text(said).await.unwrap();
            assert!(!raw.ends_before("Not sent").await, "it is not heard");
        }
        Visit::UpgradeFailed => {
            let mut polling = Polling::open(address, Eio::V4, "").await.unwrap();
            // The engine holds on to one that never joins for as long as it might, longer than all batches take.
            polling.send("40/chat,").await.unwrap();
            let mut raw = Raw::upgrade(address, &polling.upgrade_path())
                .await
                .unwrap();
            raw.text("2probe").await.unwrap();
        }
        Visit::UpgradedThenClosed => {
            let mut polling = Polling::open(address, Eio::V4, "").await.unwrap();
            polling.send("40/chat,").await.unwrap();
            while !polling.next().await.unwrap().starts_with("40/chat") {}
            let mut raw = Raw::upgrade(address, &polling.upgrade_path())
                .await
                .unwrap();
            raw.text("2probe").await.unwrap();
            assert!(
                !raw.ends_before("3probe").await,
                "the probe is not answered"
            );
            let hello = r#"42/chat,1["hello",{"name":"visitor"}]"#;
            let join = format!(r#"42/chat,2["join",{{"room":"{ROOM}"}}]"#);
            for packet in ["5", hello, &join] {
                raw.write(&frame(true, TEXT, packet.as_bytes()))
                    .await
                    .unwrap();
            }
            assert!(!raw.ends_before("43/chat,2").await, "it cannot join");
        }
    }
}
