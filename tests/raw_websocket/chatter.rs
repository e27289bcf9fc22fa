//! A client that speaks as the page of `infinite-chat` does.

use std::{collections::VecDeque, net::SocketAddr};

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, protocol::CloseFrame},
};

use crate::harness::soon;

/// What the page shows as one line.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Line {
    pub username: String,
    pub msg: String,
    pub date: String,
}

pub struct Chatter {
    socket: WebSocketStream<TcpStream>,
    lines: VecDeque<Line>,
    /// How many lines each array held.
    pub arrays: Vec<usize>,
    pub end: Option<CloseFrame>,
}

impl Chatter {
    pub async fn open(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap(), address).await
    }

    /// One whose kernel takes little for it.
    pub async fn small(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::on(socket.connect(address).await.unwrap(), address).await
    }

    async fn on(stream: TcpStream, address: SocketAddr) -> Self {
        let request = format!("ws://{address}/");
        let (socket, _) = soon("an upgrade", client_async(request, stream))
            .await
            .unwrap();
        Self {
            socket,
            lines: VecDeque::new(),
            arrays: Vec::new(),
            end: None,
        }
    }

    /// Sends a text as it is.
    pub async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub async fn say(&mut self, username: &str, msg: &str) {
        let said = json!({ "username": username, "msg": msg });
        self.send(&said.to_string()).await;
    }

    /// The next line; `None` once the connection is over.
    pub async fn line(&mut self) -> Option<Line> {
        soon("a line", async {
            loop {
                if let Some(line) = self.lines.pop_front() {
                    return Some(line);
                }
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let lines: Vec<Line> = serde_json::from_str(&text).unwrap();
                        self.arrays.push(lines.len());
                        self.lines.extend(lines);
                    }
                    Some(Ok(Message::Close(end))) => self.end = end,
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        })
        .await
    }

    /// The texts of the next lines.
    pub async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        for _ in 0..count {
            texts.push(self.line().await.expect("a line").msg);
        }
        texts
    }

    /// All that still comes.
    pub async fn rest(&mut self) -> Vec<Line> {
        let mut rest = Vec::new();
        while let Some(line) = self.line().await {
            rest.push(line);
        }
        rest
    }
}
