//! One polling client: its connection, where it stands on the way from a handshake to its next poll, and its HTTP.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;

use super::Tongue;
use crate::swarm;

/// Longest head of an answer, and most headers in it.
const LONGEST_HEAD: usize = 8 << 10;
const MOST_HEADERS: usize = 32;

/// What a 0.9 server says to a session that it does not know.
const NOT_HANDSHAKEN: &[u8] = b"7:::1";

/// One polling client.
pub(super) struct Client {
    tongue: Tongue,
    stream: TcpStream,
    host: String,
    sid: String,
    step: Step,
    ready: bool,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    written: usize,
    /// The number that the next message of the run has.
    pub next: u32,
}

/// What the request that is under way is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Handshake,
    Connect,
    Poll,
    Pong,
}

/// What an answer meant.
pub(super) enum Answer {
    /// The client is connected from now on.
    Ready,
    Polled(Vec<u8>),
    /// The server does not know the session.
    Unknown,
    /// Something on the way.
    Done,
}

impl Tongue {
    /// The packets of a body.
    pub(super) fn packets(self, body: &[u8]) -> impl Iterator<Item = &[u8]> {
        // The last byte of U+FFFD, which 0.9 puts around lengths, is in no ASCII text.
        let border = match self {
            Self::Legacy => 0xBD,
            Self::Current => 0x1E,
        };
        body.split(move |byte| *byte == border)
    }
}

impl Client {
    /// Begins to connect, and queues the handshake.
    pub(super) fn connect(tongue: Tongue, server: SocketAddr, spread: usize) -> io::Result<Self> {
        let mut client = Self {
            tongue,
            stream: swarm::dial(server, spread)?,
            host: server.to_string(),
            sid: String::new(),
            step: Step::Handshake,
            ready: false,
            inbox: Vec::new(),
            outbox: Vec::new(),
            written: 0,
            next: 0,
        };
        client.ask(Step::Handshake);
        Ok(client)
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    fn ask(&mut self, step: Step) {
        self.step = step;
        let sid = &self.sid;
        let path = match (self.tongue, step) {
            (Tongue::Legacy, Step::Handshake) => "/socket.io/1/?t=1".to_owned(),
            (Tongue::Legacy, _) => format!("/socket.io/1/xhr-polling/{sid}?t=1"),
            (Tongue::Current, Step::Handshake) => {
                "/socket.io/?EIO=4&transport=polling&t=1".to_owned()
            }
            (Tongue::Current, _) => format!("/socket.io/?EIO=4&transport=polling&t=1&sid={sid}"),
        };
        let body = match step {
            Step::Handshake | Step::Poll => None,
            Step::Connect => Some("40"),
            Step::Pong => Some("3"),
        };
        let host = &self.host;
        let request = match body {
            None => format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            Some(body) => format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        };
        self.outbox.extend_from_slice(request.as_bytes());
    }

    /// Writes as much of what is queued as the kernel takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.written < self.outbox.len() {
            match self.stream.write(&self.outbox[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // Not connected yet: there will be an event.
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.outbox.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads once; false when nothing is there.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> Result<bool> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => bail!("connection closed by the server"),
                Ok(count) => {
                    self.inbox.extend_from_slice(&scratch[..count]);
                    return Ok(true);
                }
                Err(error)
                    if [ErrorKind::WouldBlock, ErrorKind::NotConnected].contains(&error.kind()) =>
                {
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read an answer"),
            }
        }
    }

    /// The next whole answer, after which the next request is queued.
    pub(super) fn answer(&mut self) -> Result<Option<Answer>> {
        let Some((status, body, length)) = head(&self.inbox)? else {
            return Ok(None);
        };
        let Some(content) = self.inbox.get(body..body + length).map(<[u8]>::to_vec) else {
            return Ok(None);
        };
        self.inbox.drain(..body + length);
        let unknown = status == 400 || content.starts_with(NOT_HANDSHAKEN);
        if unknown {
            return Ok(Some(Answer::Unknown));
        }
        if status != 200 {
            bail!(
                "status {status}: {}",
                String::from_utf8_lossy(&content[..content.len().min(100)])
            );
        }
        Ok(Some(self.go_on(content)?))
    }

    fn go_on(&mut self, content: Vec<u8>) -> Result<Answer> {
        match (self.tongue, self.step) {
            (Tongue::Legacy, Step::Handshake) => {
                let text = String::from_utf8_lossy(&content);
                self.sid = text.split(':').next().unwrap_or_default().to_owned();
                self.ask(Step::Poll);
                Ok(Answer::Done)
            }
            (Tongue::Current, Step::Handshake) => {
                let open = content.get(1..).unwrap_or_default();
                let open: serde_json::Value =
                    serde_json::from_slice(open).context("the handshake is no JSON")?;
                self.sid = open["sid"].as_str().context("no sid")?.to_owned();
                self.ask(Step::Connect);
                Ok(Answer::Done)
            }
            (_, Step::Connect | Step::Pong) => {
                self.ask(Step::Poll);
                Ok(Answer::Done)
            }
            (tongue, Step::Poll) => {
                let pinged =
                    tongue == Tongue::Current && tongue.packets(&content).any(|it| it == b"2");
                self.ask(if pinged { Step::Pong } else { Step::Poll });
                if !std::mem::replace(&mut self.ready, true) {
                    let connected: &[u8] = match tongue {
                        Tongue::Legacy => b"1::",
                        Tongue::Current => b"40",
                    };
                    if !tongue.packets(&content).any(|it| it.starts_with(connected)) {
                        bail!("connected with {:?}", String::from_utf8_lossy(&content));
                    }
                    return Ok(Answer::Ready);
                }
                Ok(Answer::Polled(content))
            }
        }
    }
}

/// Status, where the body begins, and its length, of an answer whose head is there.
fn head(bytes: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let body = match response.parse(bytes).context("answer is no HTTP")? {
        httparse::Status::Complete(body) => body,
        httparse::Status::Partial if bytes.len() > LONGEST_HEAD => bail!("endless head of answer"),
        httparse::Status::Partial => return Ok(None),
    };
    let length = (response.headers.iter())
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| str::from_utf8(header.value).ok()?.parse().ok());
    // The old server sent handshakes in chunks; nobody who is measured does.
    let length = length.context("answer without a length")?;
    Ok(Some((response.code.unwrap_or_default(), body, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_its_head_is_there() {
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\n1::HTTP";
        for end in 0..answer.len() - 7 {
            assert_eq!(head(&answer[..end]).unwrap(), None, "{end}");
        }
        assert_eq!(head(answer).unwrap(), Some((200, answer.len() - 7, 3)));
        assert!(head(b"garbage\r\n\r\n").is_err());
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn packets_of_both_generations_are_told_apart() {
        let split = |tongue: Tongue, body: &str| {
            let packets = tongue.packets(body.as_bytes());
            packets
                .map(<[u8]>::len)
                .filter(|length| *length > 3)
                .count()
        };
        assert_eq!(split(Tongue::Legacy, "5:::one"), 1);
        assert_eq!(
            split(
                Tongue::Legacy,
                "\u{fffd}7\u{fffd}5:::one\u{fffd}7\u{fffd}5:::two"
            ),
            2
        );
        assert_eq!(
            split(Tongue::Current, "42[\"one\"]\u{1e}42[\"two\"]\u{1e}2"),
            2
        );
    }
}
