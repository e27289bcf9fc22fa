//! The page of kschat, as far as it matters: it has a token, writes, is shown messages, and acknowledges them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use crate::harness::{
    client::{Client, Eio},
    server::Server,
    soon,
};

pub const SECRET: &str = "what the application and the chat both know";

/// A page of one user.
pub struct Page {
    stream: WebSocketStream<TcpStream>,
    user: String,
    /// Whether it acknowledges what it is shown.
    pub acknowledges: bool,
}

impl Page {
    pub async fn open(server: &Server, user: &str) -> Self {
        let claims = json!({ "data": { "id": user }, "exp": 4_102_444_800_u64 });
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
        let mut client = Client::unjoined(server.address(), "/kschat", Eio::V4).await;
        let connect = format!("40/kschat,{}", json!({ "token": token }));
        client.send(&connect).await.unwrap();
        let mut page = Self {
            stream: client.into_websocket(),
            user: user.to_owned(),
            acknowledges: true,
        };
        let connected = page.frame().await;
        assert!(connected.starts_with("40/kschat"), "{connected}");
        page
    }

    /// Writes to somebody, and waits until it is kept.
    pub async fn write(&mut self, to: &str, text: &str) {
        let payload = json!({ "uId": self.user, "pId": to, "msg": text, "rno": 1, "time": 1 });
        self.send(format!("42/kschat,7[\"Send\",{payload}]")).await;
        while !self.frame().await.starts_with("43/kschat,7[") {}
    }

    /// The next message from somebody else to this user: whom it is from, and its text.
    pub async fn next(&mut self) -> (String, String) {
        loop {
            let frame = soon("a message on the page", self.frame()).await;
            if let Some(message) = self.received(&frame).await {
                return message;
            }
        }
    }

    /// What it is shown within a moment.
    pub async fn shown_within(&mut self, moment: Duration) -> Vec<String> {
        let mut shown = Vec::new();
        let _ = tokio::time::timeout(moment, async {
            loop {
                let frame = self.frame().await;
                if let Some((_, text)) = self.received(&frame).await {
                    shown.push(text);
                }
            }
        })
        .await;
        shown
    }

    async fn received(&mut self, frame: &str) -> Option<(String, String)> {
        let (number, event) = frame.strip_prefix("42/kschat,")?.split_once('[')?;
        let event: Value = serde_json::from_str(&format!("[{event}")).unwrap();
        let said = &event[1]["MSG"][0];
        if event[0] == "RESPRECEIVER" && !self.acknowledges {
            return Some((text(&said["uId"]), text(&said["msg"])));
        }
        self.send(format!("43/kschat,{number}[{{}}]")).await;
        // What its user wrote elsewhere has another status.
        let is_for_it = event[0] == "RESPRECEIVER" && said["rStatus"] == 1;
        is_for_it.then(|| (text(&said["uId"]), text(&said["msg"])))
    }

    async fn send(&mut self, frame: String) {
        self.stream.send(Message::text(frame)).await.unwrap();
    }

    async fn frame(&mut self) -> String {
        loop {
            match soon("a frame", self.stream.next()).await {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => {
                    self.send("3".into()).await;
                }
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(_)) => {}
                end => panic!("the page of {} lost its connection: {end:?}", self.user),
            }
        }
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no string: {value}"))
        .to_owned()
}
