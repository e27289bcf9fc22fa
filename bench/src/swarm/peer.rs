//! One load client: a TCP connection and how far it has come on its way to a joined namespace.
//! Knows bytes and frames; what to do with packets is the [`Role`](super::Role)'s matter.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use socket2::{Domain, SockRef, Socket, Type};

use crate::clock;
use crate::wire::frame;
use crate::wire::language::Language;
use crate::wire::packet::Packet;

/// Clients spread over this many loopback addresses, so that ephemeral ports never run short.
const SOURCES: usize = 16;

/// How far a peer has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// Has no connection.
    Absent,
    /// TCP connection under way.
    Connecting,
    /// Upgrade asked for.
    Upgrading,
    /// WebSocket stands; waits for Engine.IO's open packet, then for CONNECT's acknowledgement.
    Joining,
    /// CONNECT acknowledged; the role has more to do before it counts.
    Connected,
    /// As the scenario wants it.
    Ready,
}

/// Begins to connect; `spread` chooses the address that the connection comes from.
pub fn dial(server: SocketAddr, spread: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    let source = Ipv4Addr::new(127, 0, 0, 2 + (spread % SOURCES) as u8);
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    match socket.connect(&server.into()) {
        Err(error)
            if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            Err(error)
        }
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// One load client; `index` is its place among its worker's peers.
pub struct Peer {
    pub index: usize,
    language: Language,
    /// WebSocket pings answered since somebody asked.
    pub(super) pings: usize,
    pub(super) state: State,
    pub(super) stream: Option<TcpStream>,
    pub(super) attempts: u32,
    pub(super) attempt_started: u64,
    pub(super) journey_started: u64,
    partial: Vec<u8>,
    outbox: Vec<u8>,
    written: usize,
}

impl Peer {
    pub(super) fn new(index: usize, language: Language) -> Self {
        Self {
            index,
            language,
            pings: 0,
            state: State::Absent,
            stream: None,
            attempts: 0,
            attempt_started: 0,
            journey_started: 0,
            partial: Vec::new(),
            outbox: Vec::new(),
            written: 0,
        }
    }

    /// Queues a packet; the worker writes it when the role has returned.
    pub fn send(&mut self, packet: &str) {
        frame::write(&mut self.outbox, frame::TEXT, packet.as_bytes());
    }

    /// Says something to everybody.
    pub fn say(&mut self, text: &str) {
        self.send(&self.language.message(text));
    }

    /// Says that this peer is as the scenario wants it.
    pub fn become_ready(&mut self) {
        self.state = State::Ready;
    }

    /// Whether everything queued has been handed to the kernel.
    pub fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
    }

    pub(super) fn connect(&mut self, server: SocketAddr, spread: usize) -> io::Result<()> {
        self.stream = Some(dial(server, spread)?);
        self.state = State::Connecting;
        self.attempts += 1;
        self.attempt_started = clock::now();
        self.outbox = frame::upgrade_request(&server.to_string(), self.language.path());
        Ok(())
    }

    /// Whether an attempt to connect has lasted longer than `limit`.
    pub(super) fn is_overdue(&self, now: u64, limit: Duration) -> bool {
        let under_way = !matches!(self.state, State::Absent | State::Ready);
        under_way && now.saturating_sub(self.attempt_started) > clock::nanos(limit)
    }

    /// Takes note of a finished TCP handshake.
    pub(super) fn on_writable(&mut self) -> io::Result<()> {
        if let (State::Connecting, Some(stream)) = (self.state, &self.stream) {
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            self.state = State::Upgrading;
        }
        self.flush()
    }

    /// Writes as much of what is queued as the kernel takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let (false, Some(stream)) = (self.state == State::Connecting, &mut self.stream) else {
            return Ok(());
        };
        while self.written < self.outbox.len() {
            match stream.write(&self.outbox[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.outbox.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads what has arrived and hands each packet to `each`. The scratch buffer belongs to the worker: a peer
    /// keeps only the beginning of a frame whose end is still under way.
    pub(super) fn on_readable(
        &mut self,
        scratch: &mut [u8],
        read_closed: bool,
        mut each: impl FnMut(&mut Self, &[u8]) -> Result<()>,
    ) -> Result<()> {
        loop {
            let Some(stream) = &mut self.stream else {
                return Ok(());
            };
            let count = match stream.read(scratch) {
                Ok(0) => bail!("connection closed by the server"),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot read"),
            };
            if self.partial.is_empty() {
                let used = self.consume(&scratch[..count], &mut each)?;
                self.partial.extend_from_slice(&scratch[used..count]);
            } else {
                let mut bytes = mem::take(&mut self.partial);
                bytes.extend_from_slice(&scratch[..count]);
                let used = self.consume(&bytes, &mut each)?;
                bytes.drain(..used);
                self.partial = bytes;
            }
            // A short read has emptied the socket: what comes later raises a new event. A close may have
            // come with this one.
            if count < scratch.len() && !read_closed {
                return Ok(());
            }
        }
    }

    fn consume(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(&mut Self, &[u8]) -> Result<()>,
    ) -> Result<usize> {
        let mut used = 0;
        if matches!(self.state, State::Connecting | State::Upgrading) {
            match frame::upgrade_answer(bytes)? {
                Some(length) => used = length,
                None => return Ok(0),
            }
            self.state = State::Joining;
        }
        while let Some((frame, length)) = frame::read(&bytes[used..])? {
            used += length;
            match frame.opcode {
                frame::TEXT => each(self, frame.payload)?,
                frame::PING => {
                    self.pings += 1;
                    frame::write(&mut self.outbox, frame::PONG, frame.payload);
                }
                frame::CLOSE => bail!(frame::close_reason(frame.payload)),
                _ => {}
            }
        }
        Ok(used)
    }

    /// Deals with the packets that every client answers alike; what is left is the role's.
    pub(super) fn answer<'a>(&mut self, packet: Packet<'a>) -> Result<Option<Packet<'a>>> {
        match packet {
            Packet::Open => {
                if let Some(connect) = self.language.connect() {
                    self.send(&connect);
                }
            }
            Packet::Ping => frame::write(&mut self.outbox, frame::TEXT, b"3"),
            Packet::Close => bail!("closed by an Engine.IO close packet"),
            Packet::Refused(body) => {
                bail!("sent away: {}", String::from_utf8_lossy(body))
            }
            Packet::Connected => self.state = State::Connected,
            rest => return Ok(Some(rest)),
        }
        Ok(None)
    }

    /// Ends the connection at once with a reset, as a cut cable or a dead balancer would.
    pub(super) fn cut(&mut self) {
        if let Some(stream) = self.stream.take() {
            // Without it the close would only be polite, and leave the port in TIME_WAIT: no harm beyond that.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        self.state = State::Absent;
        self.partial.clear();
        self.outbox.clear();
        self.written = 0;
    }
}
