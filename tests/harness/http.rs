//! One HTTP request on a connection of its own, and the polling transport of Engine.IO on top.

use std::{collections::VecDeque, io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::client::Eio;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// A header, the first where there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut named = headers.filter(|(header, _)| header.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value)
    }
}

/// Asks, and reads until the server closes.
pub async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let mut request = head(address, method, path, headers, body.len()).into_bytes();
    request.extend_from_slice(body);
    stream.write_all(&request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let answer = Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    };
    let length = answer.header("content-length");
    if length.is_some_and(|length| length != body.len().to_string()) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

/// A request's head; the connection ends with the answer.
pub fn head(address: SocketAddr, method: &str, path: &str, headers: &str, length: usize) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n{headers}\r\n"
    )
}

/// An Engine.IO session over polling.
pub struct Polling {
    address: SocketAddr,
    eio: Eio,
    pub sid: String,
    came: VecDeque<String>,
}

impl Polling {
    pub async fn open(address: SocketAddr, eio: Eio, query: &str) -> io::Result<Self> {
        let path = format!("{}&transport=polling{query}", eio.path());
        let answer = ask(address, "GET", &path, "", b"").await?;
        let mut packets: VecDeque<_> = split(eio, &answer.body).into();
        let open = packets.pop_front().ok_or(io::ErrorKind::InvalidData)?;
        let open: serde_json::Value = serde_json::from_str(open.trim_start_matches('0'))?;
        let sid = open["sid"].as_str().ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self {
            address,
            eio,
            sid: sid.to_owned(),
            came: packets,
        })
    }

    pub fn path(&self) -> String {
        format!("{}&transport=polling&sid={}", self.eio.path(), self.sid)
    }

    /// The path that asks for this session over WebSocket.
    pub fn upgrade_path(&self) -> String {
        format!("{}&transport=websocket&sid={}", self.eio.path(), self.sid)
    }

    /// Sends one packet.
    pub async fn send(&mut self, packet: &str) -> io::Result<Answer> {
        let body = match self.eio {
            Eio::V3 => format!("{}:{packet}", packet.encode_utf16().count()),
            Eio::V4 => packet.to_owned(),
        };
        self.post(body.as_bytes()).await
    }

    /// Sends a body as it is.
    pub async fn post(&mut self, body: &[u8]) -> io::Result<Answer> {
        let kind = "Content-Type: text/plain;charset=UTF-8\r\n";
        ask(self.address, "POST", &self.path(), kind, body).await
    }

    /// The next packet that says something; `None` once the session is over.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            let packet = self.next_with_noop().await?;
            if packet != "6" {
                return Some(packet);
            }
        }
    }

    /// The next packet of those that a poll has brought already.
    pub fn came(&mut self) -> Option<String> {
        self.came.pop_front()
    }

    /// The next packet; `None` once the session is over.
    pub async fn next_with_noop(&mut self) -> Option<String> {
        loop {
            match self.came.pop_front() {
                Some(packet) if packet == "1" => return None,
                Some(packet) => return Some(packet),
                None => {}
            }
            let answer = ask(self.address, "GET", &self.path(), "", b"").await;
            let answer = answer.ok().filter(|answer| answer.status == 200)?;
            self.came = split(self.eio, &answer.body).into();
        }
    }
}

fn split(eio: Eio, body: &str) -> Vec<String> {
    match eio {
        Eio::V4 => body.split('\u{1e}').map(str::to_owned).collect(),
        Eio::V3 => {
            let (mut packets, mut rest) = (Vec::new(), body);
            // The server's answers to old clients are ASCII.
            while let Some((length, tail)) = rest.split_once(':') {
                let (packet, following) = tail.split_at(length.parse().unwrap());
                packets.push(packet.to_owned());
                rest = following;
            }
            packets
        }
    }
}
