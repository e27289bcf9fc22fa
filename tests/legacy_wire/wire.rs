//! HTTP and WebSocket frames by hand, so that every byte of an answer is seen.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub const PATIENCE: Duration = Duration::from_secs(10);

/// A whole answer; chunks are put together.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// Sends one request over a connection of its own.
pub async fn request(server: SocketAddr, head: &str, body: &str) -> Answer {
    let mut stream = send(server, head, body).await;
    read_answer(&mut stream).await
}

/// Sends it, and leaves the answer to the caller.
pub async fn send(server: SocketAddr, head: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.to_ascii_lowercase().contains("host:") {
        text.push_str("Host: x\r\n");
    }
    for header in headers.lines() {
        text.push_str(&format!("{header}\r\n"));
    }
    if line.starts_with("POST") {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str(&format!("\r\n{body}"));
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

pub async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    read.expect("an answer, and the end of the connection")
        .unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers: Vec<_> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
    Answer {
        status: status.parse().unwrap(),
        body: if chunked {
            unchunk(body)
        } else {
            body.to_owned()
        },
        headers,
    }
}

fn unchunk(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((length, rest)) = chunks.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&rest[..length]);
        chunks = &rest[length + 2..];
    }
    body
}

/// Shakes hands; the session's id.
pub async fn handshake(server: SocketAddr) -> String {
    let answer = request(server, "GET /socket.io/1/?t=1", "").await;
    answer.body.split(':').next().unwrap().to_owned()
}

pub async fn poll(server: SocketAddr, sid: &str) -> String {
    let head = format!("GET /socket.io/1/xhr-polling/{sid}?t=1");
    request(server, &head, "").await.body
}

pub async fn post(server: SocketAddr, sid: &str, payload: &str) -> String {
    let head = format!("POST /socket.io/1/xhr-polling/{sid}?t=1");
    request(server, &head, payload).await.body
}

/// A WebSocket, upgraded.
pub struct Socket {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Socket {
    pub async fn open(server: SocketAddr, sid: &str, version: &str) -> Self {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let request = format!(
            "GET /socket.io/1/websocket/{sid} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nOrigin: 127.0.0.1:3091\r\nSec-WebSocket-Version: {version}\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut socket = Self {
            stream,
            read: Vec::new(),
        };
        let end = |read: &[u8]| read.windows(4).position(|four| four == b"\r\n\r\n");
        while end(&socket.read).is_none() {
            assert!(socket.more().await, "the upgrade is answered");
        }
        let head: Vec<_> = socket
            .read
            .drain(..end(&socket.read).unwrap() + 4)
            .collect();
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(
            head.starts_with("http/1.1 101 switching protocols\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
        assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
        let accept = "\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n";
        assert!(head.contains(accept), "{head}");
        assert!(!head.contains("sec-websocket-protocol"), "{head}");
        assert!(!head.contains("sec-websocket-extensions"), "{head}");
        socket
    }

    async fn more(&mut self) -> bool {
        let count = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
        // A reset is an end as well.
        count.expect("bytes, or the end").unwrap_or(0) > 0
    }

    /// The next packet; `None` at the end of the stream. The frame must be a whole, bare text frame.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.frame_end() {
                let frame: Vec<_> = self.read.drain(..end).collect();
                assert_eq!(frame[0], 0x81, "a text frame, whole");
                let head = if frame[1] == 126 { 4 } else { 2 };
                return Some(String::from_utf8(frame[head..].to_vec()).unwrap());
            }
            if !self.more().await {
                assert!(self.read.is_empty(), "half a frame: {:?}", self.read);
                return None;
            }
        }
    }

    fn frame_end(&self) -> Option<usize> {
        let end = match *self.read.get(1)? {
            126 => 4 + u16::from_be_bytes(self.read.get(2..4)?.try_into().unwrap()) as usize,
            length => 2 + length as usize,
        };
        (self.read.len() >= end).then_some(end)
    }

    /// Sends a close frame.
    pub async fn close(&mut self) {
        let frame = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Sends a text frame, masked.
    pub async fn say(&mut self, packet: &str) {
        let mask = [0xab, 0x72, 0xeb, 0x22];
        let mut frame = vec![0x81];
        match packet.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..65536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(
            packet
                .bytes()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        // Whoever was sent away finds out by reading.
        let _ = self.stream.write_all(&frame).await;
    }
}

/// Waits for a condition.
pub async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
