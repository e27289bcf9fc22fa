//! Somebody's page, at a server of ours or in Node: it says things, and keeps what it is told.

use std::{net::SocketAddr, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle};
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::harness::{eventually, soon};

/// A page that is open until it is dropped.
pub struct Page {
    words: Words,
    say: mpsc::Sender<String>,
    told: Arc<Mutex<Vec<Value>>>,
    reading: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    Talk,
    Infinite,
}

impl Page {
    /// Talk's, at a server of ours or one of 3.x or later.
    pub async fn talk(address: SocketAddr) -> Self {
        let page = Self::open(
            address,
            "/socket.io/?EIO=4&transport=websocket",
            Words::Talk,
        )
        .await;
        page.send("40".into()).await;
        page.joined().await
    }

    /// Talk's, at a server of 1.x or 2.x.
    pub async fn old_talk(address: SocketAddr) -> Self {
        let page = Self::open(
            address,
            "/socket.io/?EIO=3&transport=websocket",
            Words::Talk,
        )
        .await;
        page.joined().await
    }

    /// Infinite Chat's.
    pub async fn infinite(address: SocketAddr) -> Self {
        let page = Self::open(address, "/", Words::Infinite).await;
        page.joined().await
    }

    async fn open(address: SocketAddr, path: &str, words: Words) -> Self {
        let stream = soon("a TCP connection", TcpStream::connect(address))
            .await
            .unwrap();
        let request = format!("ws://{address}{path}");
        let (socket, _) = soon("a WebSocket", client_async(request, stream))
            .await
            .unwrap();
        let (mut sink, mut stream) = socket.split();
        let (say, mut saying) = mpsc::channel::<String>(1024);
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        let reading = tokio::spawn(async move {
            loop {
                tokio::select! {
                    frame = stream.next() => match frame {
                        Some(Ok(Message::Text(text))) if text == "2" => {
                            let _ = sink.send(Message::text("3")).await;
                        }
                        Some(Ok(Message::Text(text))) => telling.lock().extend(words.read(&text)),
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return,
                    },
                    Some(text) = saying.recv() => {
                        let _ = sink.send(Message::text(text)).await;
                    }
                }
            }
        });
        Self {
            words,
            say,
            told,
            reading,
        }
    }

    /// Waits until it is told what is said from now on.
    async fn joined(self) -> Self {
        eventually("the page is joined", async || {
            let told = self.told.lock().clone();
            (!told.is_empty())
                .then_some(())
                .ok_or_else(|| format!("{told:?}"))
        })
        .await;
        self.told.lock().clear();
        self
    }

    /// Says something, as ann where the words have names.
    pub async fn say(&self, text: &str) {
        match self.words {
            Words::Talk => self.event("message", text).await,
            Words::Infinite => {
                let said = json!({ "username": "ann", "msg": text });
                self.send(said.to_string()).await
            }
        }
    }

    /// Sends an event of Socket.IO.
    pub async fn event(&self, name: &str, text: &str) {
        self.send(format!("42{}", json!([name, text]))).await
    }

    async fn send(&self, frame: String) {
        self.say.send(frame).await.unwrap();
    }

    /// What it was told, as it came.
    pub fn told(&self) -> Vec<Value> {
        self.told.lock().clone()
    }

    /// The texts of what it was told.
    pub fn texts(&self) -> Vec<String> {
        let text = |told: &Value| {
            let text = [&told["text"], &told["msg"], told]
                .into_iter()
                .find_map(Value::as_str);
            text.unwrap_or_else(|| panic!("no text in {told}"))
                .to_owned()
        };
        self.told.lock().iter().map(text).collect()
    }

    /// Waits until it was told this, and returns all texts until then and after.
    pub async fn texts_with(&self, text: &str) -> Vec<String> {
        eventually(&format!("the page is told {text:?}"), async || {
            let texts = self.texts();
            let is_there = texts.iter().any(|told| told == text);
            if is_there {
                Ok(texts)
            } else {
                Err(format!("{texts:?}"))
            }
        })
        .await
    }

    /// Waits until it was told so many texts.
    pub async fn texts_of(&self, count: usize) -> Vec<String> {
        eventually(&format!("the page is told {count} messages"), async || {
            let texts = self.texts();
            if texts.len() >= count {
                Ok(texts)
            } else {
                Err(format!("{}: {texts:?}", texts.len()))
            }
        })
        .await
    }
}

impl Words {
    /// What a frame tells; the first thing that says that the page is joined counts.
    fn read(self, frame: &str) -> Vec<Value> {
        if self == Self::Infinite {
            let lines: Vec<Value> = serde_json::from_str(frame).unwrap();
            return if lines.is_empty() {
                vec![json!("")]
            } else {
                lines
            };
        }
        if frame.starts_with("40") {
            return vec![json!(frame)];
        }
        let Some(event) = frame.strip_prefix("42") else {
            return Vec::new();
        };
        let mut event: Value = serde_json::from_str(event).unwrap();
        if event[0] == "message" {
            vec![event[1].take()]
        } else {
            Vec::new()
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// How often each page says something in [`say_in_turn`].
const ROUNDS: usize = 5;

/// Has all pages say something in turn, and checks that each was told all of it once, what one said in its order. `said`
/// makes the text of one in a round, `shown` what a page is told of it.
pub async fn say_in_turn(
    pages: &[Page],
    said: impl Fn(usize, usize) -> String,
    shown: impl Fn(usize, usize, usize) -> String,
) {
    for round in 0..ROUNDS {
        for (from, page) in pages.iter().enumerate() {
            page.say(&said(from, round)).await;
        }
    }
    let count = ROUNDS * pages.len();
    for page in pages {
        page.texts_of(count).await;
    }
    // What came back, or came twice, would come before this.
    pages[0].say("over").await;
    for (n, page) in pages.iter().enumerate() {
        let told = page.texts_with("over").await;
        assert_eq!(told.len(), count + 1, "page {n}: {told:?}");
        for from in 0..pages.len() {
            let begin = format!("{from} ");
            let of_one: Vec<_> = (told.iter().filter(|text| text.starts_with(&begin))).collect();
            let expected: Vec<_> = (0..ROUNDS).map(|round| shown(n, from, round)).collect();
            assert_eq!(of_one, expected.iter().collect::<Vec<_>>(), "page {n}");
        }
    }
}
