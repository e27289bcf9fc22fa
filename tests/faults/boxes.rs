//! A store that cannot be written for a while: whoever writes to one person is told, and nothing is sent
//! twice or lost when it can be written again.

use jsonwebtoken::{EncodingKey, Header};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{
    client::{Client, Eio, Packet},
    server::Server,
};

const SECRET: &str = "what the application and the chat both know";

async fn visit(server: &Server, user: &str) -> Client {
    let claims = json!({ "data": { "id": user }, "exp": 4_102_444_800_u64 });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
    let mut client = Client::unjoined(server.address(), "/kschat", Eio::V4).await;
    let connect = format!("40/kschat,{}", json!({ "token": token }));
    client.send(&connect).await.unwrap();
    client
        .expect("CONNECT", |packet| match packet {
            Packet::Connect(_) => Some(()),
            _ => None,
        })
        .await;
    client
}

async fn told(client: &mut Client, event: &str) -> Value {
    client
        .expect(event, |packet| match packet {
            Packet::Event(name, payload) if name == event => Some(payload.clone()),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_is_said_to_the_sender_and_nothing_is_lost_with_it() {
    let server = Server::start(&["--jwt-secret", SECRET]);
    let mut ann = visit(&server, "ann").await;
    let mut bob = visit(&server, "bob").await;
    let send = |text: &str| json!({ "uId": "ann", "pId": "bob", "msg": text, "rno": 1 });

    let other = Connection::open(server.data().join("data/log.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    ann.start("Send", &send("not kept")).await.unwrap();
    let refused = told(&mut ann, "RESPSEND").await;
    assert_eq!((&refused["RC"], &refused["ER"]), (&json!(1), &json!(2)));
    let shown = refused["MSG"].as_str().unwrap();
    assert!(
        shown.starts_with("Not sent") && shown.ends_with(": not kept"),
        "{refused}"
    );
    other.execute_batch("ROLLBACK").unwrap();

    ann.ask("Send", &send("kept")).await;
    assert_eq!(told(&mut ann, "RESPSEND").await["MSG"], "kept");
    let received = told(&mut bob, "RESPRECEIVER").await;
    assert_eq!(received["MSG"][0]["msg"], "kept", "{received}");
}
