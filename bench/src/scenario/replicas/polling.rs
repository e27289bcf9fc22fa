//! Clients that poll, one request after the other, each over one connection that is kept: what one request takes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::clock;
use crate::stats::Latencies;

const CLIENTS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(10);
const HELLO: &str = r#"42/chat,1["hello",{"name":"bench"}]"#;

/// Has clients ask and poll for some time. How long they took to connect, and each poll for an answer that is there.
pub fn converse(balancers: &[SocketAddr], time: Duration) -> Result<(Latencies, Latencies)> {
    let (mut connects, mut polls) = (Latencies::default(), Latencies::default());
    let mut clients = Vec::new();
    for balancer in balancers.iter().cycle().take(CLIENTS) {
        let began = clock::now();
        clients.push(Client::connect(*balancer)?);
        connects.record(clock::now() - began);
    }
    let end = Instant::now() + time;
    while Instant::now() < end {
        for client in &mut clients {
            client.post(HELLO)?;
            // The answer is there, or on its way.
            let began = clock::now();
            let answer = client.poll()?;
            polls.record(clock::now() - began);
            if !answer.contains("43/chat,1") {
                // A ping came first.
                client.post("3")?;
                client.poll()?;
            }
        }
    }
    Ok((connects, polls))
}

struct Client {
    stream: TcpStream,
    sid: String,
    polls: u64,
}

impl Client {
    fn connect(balancer: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(balancer)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self {
            stream,
            sid: String::new(),
            polls: 0,
        };
        let opened = client.poll()?;
        let sid = opened
            .split("\"sid\":\"")
            .nth(1)
            .and_then(|it| it.split('"').next());
        client.sid = format!(
            "&sid={}",
            sid.context("no session in the answer to a handshake")?
        );
        client.post("40/chat,")?;
        while !client.poll()?.contains("40/chat") {}
        Ok(client)
    }

    fn poll(&mut self) -> Result<String> {
        self.polls += 1;
        let head = format!(
            "GET /socket.io/?EIO=4&transport=polling&t={}{}",
            self.polls, self.sid
        );
        self.ask(&head, "")
    }

    fn post(&mut self, packets: &str) -> Result<()> {
        let head = format!("POST /socket.io/?EIO=4&transport=polling{}", self.sid);
        self.ask(&head, packets).map(drop)
    }

    fn ask(&mut self, head: &str, body: &str) -> Result<String> {
        let request = format!(
            "{head} HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes())?;
        read_answer(&mut self.stream)
    }
}

/// The body of an answer that says how long it is.
fn read_answer(stream: &mut TcpStream) -> Result<String> {
    let (mut read, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let status = lines.next().unwrap_or_default();
            if !status.contains(" 200 ") {
                bail!("a poll was answered with {status}");
            }
            let length = lines.find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse::<usize>().ok())?
            });
            if body.len() >= length.context("an answer does not say how long it is")? {
                return Ok(body.to_owned());
            }
        }
        match stream.read(&mut part)? {
            0 => bail!("a replica hung up"),
            count => read.extend_from_slice(&part[..count]),
        }
    }
}
