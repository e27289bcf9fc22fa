//! A small Socket.IO client in one namespace, over WebSocket or polling. It does nothing behind its
//! user's back: who does not call `next` does not read, nor answer pings.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest},
};

use super::{eventually, http::Polling, soon};

/// Which Engine.IO protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eio {
    V3,
    V4,
}

impl Eio {
    /// The path of every request, with the first part of the query.
    pub fn path(self) -> &'static str {
        match self {
            Self::V3 => "/socket.io/?EIO=3",
            Self::V4 => "/socket.io/?EIO=4",
        }
    }
}

enum Line {
    Websocket(Box<WebSocketStream<TcpStream>>),
    Polling(Polling),
}

/// What the server said.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    Connect(String),
    ConnectError(String),
    /// The namespace and nothing else is over.
    Disconnect(String),
    Event(String, Value),
    Ack(u64, Value),
    /// The connection is over; the close frame's code and text where there was one.
    End(Option<(u16, String)>),
}

/// A client in a namespace.
pub struct Client {
    line: Line,
    namespace: String,
    acks: u64,
    put_back: VecDeque<Packet>,
}

impl Client {
    /// Connects over WebSocket and joins a namespace.
    pub async fn websocket(address: SocketAddr, namespace: &str) -> Self {
        let mut client = Self::unjoined(address, namespace, Eio::V4).await;
        client.join_namespace().await;
        client
    }

    /// The same, with a `Cookie` header.
    pub async fn with_cookie(address: SocketAddr, namespace: &str, cookie: &str) -> Self {
        let stream = soon("a TCP connection", TcpStream::connect(address)).await;
        let stream = stream.unwrap();
        let mut client = Self::over(stream, namespace, Eio::V4, Some(cookie)).await;
        client.join_namespace().await;
        client
    }

    /// Connects over WebSocket, without CONNECT.
    pub async fn unjoined(address: SocketAddr, namespace: &str, eio: Eio) -> Self {
        let stream = soon("a TCP connection", TcpStream::connect(address)).await;
        Self::over(stream.unwrap(), namespace, eio, None).await
    }

    /// Connects over WebSocket with a receive buffer as small as the system has it, so that little
    /// is under way when it stops reading.
    pub async fn small(address: SocketAddr, namespace: &str) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(1).unwrap();
        let stream = soon("a TCP connection", socket.connect(address)).await;
        let mut client = Self::over(stream.unwrap(), namespace, Eio::V4, None).await;
        client.join_namespace().await;
        client
    }

    async fn over(stream: TcpStream, namespace: &str, eio: Eio, cookie: Option<&str>) -> Self {
        stream.set_nodelay(true).unwrap();
        let address = stream.peer_addr().unwrap();
        let uri = format!("ws://{address}{}&transport=websocket", eio.path());
        let mut request = uri.into_client_request().unwrap();
        if let Some(cookie) = cookie {
            let cookie = cookie.parse().unwrap();
            request.headers_mut().insert("cookie", cookie);
        }
        let (stream, _) = soon("a WebSocket", client_async(request, stream))
            .await
            .unwrap();
        let mut client = Self::on(Line::Websocket(Box::new(stream)), namespace);
        let open = soon("an open packet", client.text()).await.unwrap();
        assert!(open.starts_with('0'), "{open}");
        client
    }

    /// Connects over polling and joins a namespace.
    pub async fn polling(address: SocketAddr, namespace: &str) -> Self {
        let polling = soon("a session", Polling::open(address, Eio::V4, "")).await;
        let mut client = Self::on(Line::Polling(polling.unwrap()), namespace);
        client.join_namespace().await;
        client
    }

    fn on(line: Line, namespace: &str) -> Self {
        Self {
            line,
            namespace: if namespace == "/" {
                String::new()
            } else {
                format!("{namespace},")
            },
            acks: 0,
            put_back: VecDeque::new(),
        }
    }

    /// Sends CONNECT and waits for the answer.
    pub async fn join_namespace(&mut self) {
        self.send(&format!("40{}", self.namespace)).await.unwrap();
        let namespace = self.namespace.trim_end_matches(',').to_owned();
        let connected = Packet::Connect(namespace);
        self.expect("CONNECT", |packet| (*packet == connected).then_some(()))
            .await;
    }

    /// Sends an Engine.IO packet as it is.
    pub async fn send(&mut self, packet: &str) -> io::Result<()> {
        match &mut self.line {
            Line::Websocket(stream) => stream
                .send(Message::text(packet))
                .await
                .map_err(io::Error::other),
            Line::Polling(polling) => match polling.send(packet).await?.status {
                200 => Ok(()),
                status => Err(io::Error::other(format!("status {status}"))),
            },
        }
    }

    /// Sends an event.
    pub async fn emit(&mut self, event: &str, payload: &Value) -> io::Result<()> {
        let packet = format!("42{}[\"{event}\",{payload}]", self.namespace);
        self.send(&packet).await
    }

    /// Sends an event that asks for an answer; returns the answer's number.
    pub async fn start(&mut self, event: &str, payload: &Value) -> io::Result<u64> {
        self.acks += 1;
        let packet = format!("42{}{}[\"{event}\",{payload}]", self.namespace, self.acks);
        self.send(&packet).await.map(|()| self.acks)
    }

    /// Sends an event and waits for its answer. What comes meanwhile is kept for [`Client::next`].
    pub async fn ask(&mut self, event: &str, payload: &Value) -> Value {
        let number = self.start(event, payload).await.unwrap();
        self.expect(&format!("an answer to {event}"), |packet| match packet {
            Packet::Ack(answered, value) if *answered == number => Some(value.clone()),
            _ => None,
        })
        .await
    }

    /// Waits for a packet of a kind. The others are kept for [`Client::next`].
    pub async fn expect<T>(&mut self, what: &str, mut pick: impl FnMut(&Packet) -> Option<T>) -> T {
        let mut passed = VecDeque::new();
        loop {
            let packet = soon(what, self.next()).await;
            if let Some(found) = pick(&packet) {
                passed.append(&mut self.put_back);
                self.put_back = passed;
                return found;
            }
            if let Packet::End(why) = packet {
                panic!("{what}: the connection ended: {why:?}, after {passed:?}");
            }
            passed.push_back(packet);
        }
    }

    /// The next thing the server says. Pings are answered here.
    pub async fn next(&mut self) -> Packet {
        if let Some(packet) = self.put_back.pop_front() {
            return packet;
        }
        loop {
            let text = match self.text().await {
                Ok(text) => text,
                Err(end) => return Packet::End(end),
            };
            match text.split_at_checked(1) {
                // A failure shows when reading.
                Some(("2", rest)) => drop(self.send(&format!("3{rest}")).await),
                Some(("4", packet)) => return Packet::parse(packet),
                _ => {}
            }
        }
    }

    /// The connection itself.
    pub fn into_websocket(self) -> WebSocketStream<TcpStream> {
        match self.line {
            Line::Websocket(stream) => *stream,
            Line::Polling(_) => panic!("not over WebSocket"),
        }
    }

    /// Drops what was kept for [`Client::next`].
    pub fn forget(&mut self) {
        self.put_back.clear();
    }

    /// Reads on until the end; returns what came, and the end.
    pub async fn rest(mut self) -> (Vec<Packet>, Option<(u16, String)>) {
        let mut packets = Vec::new();
        soon("the end of the connection", async {
            loop {
                match self.next().await {
                    Packet::End(why) => return (std::mem::take(&mut packets), why),
                    packet => packets.push(packet),
                }
            }
        })
        .await
    }

    async fn text(&mut self) -> Result<String, Option<(u16, String)>> {
        match &mut self.line {
            Line::Polling(polling) => polling.next().await.ok_or(None),
            Line::Websocket(stream) => loop {
                match stream.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                    Some(Ok(Message::Close(frame))) => {
                        let _ = stream.flush().await;
                        return Err(frame.map(|f| (f.code.into(), f.reason.to_string())));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(tungstenite::Error::ConnectionClosed)) | None => return Err(None),
                    Some(Err(_)) => return Err(None),
                }
            },
        }
    }
}

impl Packet {
    /// Reads a Socket.IO packet.
    pub fn parse(packet: &str) -> Self {
        let (kind, rest) = packet.split_at(1);
        let (namespace, rest) = match rest.split_once(',') {
            Some((namespace, rest)) if namespace.starts_with('/') => (namespace, rest),
            _ if rest.starts_with('/') => (rest, ""),
            _ => ("", rest),
        };
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, json) = rest.split_at(digits);
        let value = || serde_json::from_str::<Value>(json).unwrap_or_default();
        match kind {
            "0" => Self::Connect(namespace.into()),
            "1" => Self::Disconnect(namespace.into()),
            "2" => {
                let mut value = value();
                let name = value[0].as_str().unwrap_or_default().to_owned();
                Self::Event(name, value[1].take())
            }
            "3" => Self::Ack(number.parse().unwrap(), value()[0].take()),
            "4" => Self::ConnectError(json.into()),
            _ => panic!("an unexpected packet: {packet}"),
        }
    }
}

/// Waits until a server answers on this address.
pub async fn accepting(address: SocketAddr) {
    eventually("it accepts connections", async || {
        TcpStream::connect(address)
            .await
            .map(drop)
            .map_err(|e| e.to_string())
    })
    .await
}

/// Gives out moments at a steady rate.
pub struct Pace {
    next: Instant,
    period: Duration,
}

impl Pace {
    pub fn per_second(rate: u32) -> Self {
        Self {
            next: Instant::now(),
            period: Duration::from_secs(1) / rate,
        }
    }

    /// Waits for the next moment. May be given up and called again.
    pub async fn moment(&mut self) {
        tokio::time::sleep_until(self.next.into()).await;
        self.next += self.period;
    }
}
