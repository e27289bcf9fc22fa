//! Clients that poll, one after the other: what a request for an answer that is there takes, and what it takes from
//! a post until the poll that waits for it brings the message.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::clock;
use crate::stats::Latencies;

const CLIENTS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(10);
const HELLO: &str = r#"42/chat,1["hello",{"name":"bench"}]"#;

/// What clients were told, and how long each thing took.
#[derive(Default)]
pub struct Told {
    pub connects: Latencies,
    /// For an answer that is there.
    pub polls: Latencies,
    /// From a post until its author has got it as a message.
    pub messages: Latencies,
}

/// Has clients poll for some time, and then post for as long.
pub fn converse(balancers: &[SocketAddr], time: Duration) -> Result<Told> {
    let mut told = Told::default();
    let mut clients = Vec::new();
    for (n, balancer) in balancers.iter().cycle().take(CLIENTS).enumerate() {
        let began = clock::now();
        let mut client = Client::connect(*balancer)?;
        told.connects.record(clock::now() - began);
        client.enter(&format!("room {n}"))?;
        clients.push(client);
    }
    let end = Instant::now() + time;
    while Instant::now() < end {
        for client in &mut clients {
            client.post(HELLO)?;
            // The answer is there, or on its way.
            let began = clock::now();
            client.begin_poll()?;
            let answer = client.end_poll()?;
            told.polls.record(clock::now() - began);
            client.await_from(answer, "43/chat,1[")?;
        }
    }
    let end = Instant::now() + time;
    while Instant::now() < end {
        for client in &mut clients {
            client.begin_poll()?;
            let began = clock::now();
            client.post(&client.message.clone())?;
            let mut answer = client.end_poll()?;
            // Which of the two comes first is not fixed.
            let (mut is_shown, mut is_answered) = (false, false);
            loop {
                if !is_shown && has(&answer, "42/chat,[\"message\"") {
                    told.messages.record(clock::now() - began);
                    is_shown = true;
                }
                is_answered |= has(&answer, "43/chat,3[");
                if is_shown && is_answered {
                    break;
                }
                client.begin_poll()?;
                answer = client.end_poll()?;
            }
        }
    }
    Ok(told)
}

/// As a browser has it: one connection on which a poll waits, and one for what is sent meanwhile.
struct Client {
    polling: TcpStream,
    posting: TcpStream,
    sid: String,
    polls: u64,
    /// What it posts.
    message: String,
}

impl Client {
    fn connect(balancer: SocketAddr) -> Result<Self> {
        let mut client = Self {
            polling: dial(balancer)?,
            posting: dial(balancer)?,
            sid: String::new(),
            polls: 0,
            message: String::new(),
        };
        client.begin_poll()?;
        let opened = client.end_poll()?;
        let sid = opened
            .split("\"sid\":\"")
            .nth(1)
            .and_then(|it| it.split('"').next());
        client.sid = format!(
            "&sid={}",
            sid.context("no session in the answer to a handshake")?
        );
        client.post("40/chat,")?;
        client.await_from(String::new(), "40/chat,")?;
        Ok(client)
    }

    /// A room of its own.
    fn enter(&mut self, room: &str) -> Result<()> {
        self.post(HELLO)?;
        self.await_from(String::new(), "43/chat,1[")?;
        self.post(&format!(r#"42/chat,2["join",{{"room":"{room}"}}]"#))?;
        self.await_from(String::new(), "43/chat,2[")?;
        self.message = format!(
            r#"42/chat,3["post",{{"room":"{room}","text":"{}"}}]"#,
            "a ".repeat(60)
        );
        Ok(())
    }

    fn begin_poll(&mut self) -> Result<()> {
        self.polls += 1;
        let path = format!(
            "GET /socket.io/?EIO=4&transport=polling&t={}{}",
            self.polls, self.sid
        );
        ask(&mut self.polling, &path, "")
    }

    fn end_poll(&mut self) -> Result<String> {
        let answer = read_answer(&mut self.polling)?;
        if answer.split('\u{1e}').any(|packet| packet == "2") {
            self.post("3")?;
        }
        Ok(answer)
    }

    /// Polls until a packet has come that begins so; `answer` is what came last.
    fn await_from(&mut self, mut answer: String, packet: &str) -> Result<()> {
        while !has(&answer, packet) {
            self.begin_poll()?;
            answer = self.end_poll()?;
        }
        Ok(())
    }

    fn post(&mut self, packets: &str) -> Result<()> {
        let path = format!("POST /socket.io/?EIO=4&transport=polling{}", self.sid);
        ask(&mut self.posting, &path, packets)?;
        read_answer(&mut self.posting).map(drop)
    }
}

/// Whether a packet of an answer begins so.
fn has(answer: &str, packet: &str) -> bool {
    answer.split('\u{1e}').any(|it| it.starts_with(packet))
}

fn dial(balancer: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(balancer)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream, path: &str, body: &str) -> Result<()> {
    let request = format!(
        "{path} HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Ok(stream.write_all(request.as_bytes())?)
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
