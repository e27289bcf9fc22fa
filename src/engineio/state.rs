//! The protocol of one connection, without IO: what waits to be sent, what it travels on, whether the client is
//! still there, and what each of its packets means. Whoever moves the bytes asks here; the time comes from outside.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use engineioxide_core::Packet;

use super::{
    connection::Message,
    request::{Protocol, Transport},
};

/// Packets in one answer to a poll: python-engineio refuses more.
const PACKETS_AT_ONCE: usize = 16;

/// One connection's state.
#[derive(Debug)]
pub struct State {
    protocol: Protocol,
    ping_interval: Duration,
    ping_timeout: Duration,
    transport: Transport,
    /// Its client tries a WebSocket while it polls.
    is_probed: bool,
    queue: VecDeque<Packet>,
    poll: Poll,
    /// A body with packets is being taken.
    is_posting: bool,
    heartbeat: Heartbeat,
    /// When it must have joined a namespace.
    join_by: Option<Instant>,
    phase: Phase,
}

/// The request that asks for packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    None,
    Waits,
    /// It is to be answered although there is nothing to say.
    Released,
}

#[derive(Clone, Copy, Debug)]
enum Heartbeat {
    /// Engine.IO 4: the server pings then.
    PingAt(Instant),
    /// The server has pinged, and the client must answer by then.
    PongBy(Instant),
    /// Engine.IO 3: the client must ping by then.
    ClientPingBy(Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The server ends it: nothing more is queued, and what is queued is sent.
    Closing,
    Over,
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another one of its kind is under way.
    Overlap,
    /// The connection travels over WebSocket.
    Transport,
    Over,
}

/// What there is for a poll.
#[derive(Debug, PartialEq)]
pub enum Answer {
    Nothing,
    /// At least one.
    Packets(Vec<Packet>),
    /// The connection is over, and everything was sent.
    Over,
}

/// What a packet of the client's means.
#[derive(Debug, PartialEq)]
pub enum Received {
    Message(Message),
    /// Something is queued for the client.
    Queued,
    Nothing,
    /// The client has left.
    Left,
    /// It has no place in the protocol.
    Invalid,
}

/// What the time has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing before then.
    At(Instant),
    /// A ping was queued.
    Ping,
    /// The client is gone, or has not joined in time.
    Gone,
    Never,
}

impl State {
    /// A connection that has just been opened.
    pub fn new(
        protocol: Protocol,
        transport: Transport,
        timing: super::Timing,
        now: Instant,
    ) -> Self {
        let (ping_interval, ping_timeout) = (timing.ping_interval, timing.ping_timeout);
        Self {
            protocol,
            ping_interval,
            ping_timeout,
            transport,
            is_probed: false,
            queue: VecDeque::new(),
            poll: Poll::None,
            is_posting: false,
            heartbeat: match protocol {
                Protocol::Eio3 => Heartbeat::ClientPingBy(now + ping_interval + ping_timeout),
                Protocol::Eio4 => Heartbeat::PingAt(now + ping_interval),
            },
            join_by: Some(now + timing.connect_timeout),
            phase: Phase::Open,
        }
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The client has joined a namespace.
    pub fn joined(&mut self) {
        self.join_by = None;
    }

    /// Queues a packet; false once the connection is over.
    pub fn push(&mut self, packet: Packet) -> bool {
        if !self.is_over() {
            self.queue.push_back(packet);
        }
        !self.is_over()
    }

    /// The next packet for a WebSocket.
    pub fn pop(&mut self) -> Option<Packet> {
        let packet = self.queue.pop_front();
        if self.queue.is_empty() {
            // Gives the memory back: most connections are silent most of the time.
            self.queue = VecDeque::new();
        }
        packet
    }

    /// Begins a poll. It must be ended with [`State::end_poll`].
    pub fn begin_poll(&mut self) -> Result<(), Refused> {
        if self.is_over() {
            return Err(Refused::Over);
        }
        if self.transport == Transport::Websocket {
            return Err(Refused::Transport);
        }
        if self.poll != Poll::None {
            return Err(Refused::Overlap);
        }
        self.poll = Poll::Waits;
        Ok(())
    }

    pub fn end_poll(&mut self) {
        self.poll = Poll::None;
    }

    /// What the poll that waits is to be answered with.
    pub fn answer(&mut self) -> Answer {
        let gone_over = self.transport == Transport::Websocket;
        if !self.queue.is_empty() && !gone_over {
            let count = self.queue.len().min(PACKETS_AT_ONCE);
            let packets = self.queue.drain(..count).collect();
            if self.queue.is_empty() {
                self.queue = VecDeque::new();
            }
            return Answer::Packets(packets);
        }
        match self.phase {
            Phase::Open if gone_over || self.poll == Poll::Released => {
                Answer::Packets(vec![Packet::Noop])
            }
            Phase::Open => Answer::Nothing,
            Phase::Closing | Phase::Over => Answer::Over,
        }
    }

    /// Has a poll that waits answered, so that its client can go over to a WebSocket.
    pub fn release_poll(&mut self) {
        if self.poll == Poll::Waits {
            self.poll = Poll::Released;
        }
    }

    /// Begins to take a body. It must be ended with [`State::end_post`].
    pub fn begin_post(&mut self) -> Result<(), Refused> {
        if self.is_over() {
            return Err(Refused::Over);
        }
        if self.is_posting {
            return Err(Refused::Overlap);
        }
        self.is_posting = true;
        Ok(())
    }

    pub fn end_post(&mut self) {
        self.is_posting = false;
    }

    /// Begins to try a WebSocket; false while another one is tried, or used.
    pub fn begin_probe(&mut self) -> bool {
        let may = self.transport == Transport::Polling && !self.is_probed && !self.is_over();
        self.is_probed |= may;
        may
    }

    /// The WebSocket that was tried came to nothing.
    pub fn end_probe(&mut self) {
        self.is_probed = false;
    }

    /// The client goes over to the WebSocket that it has tried; false where the connection is over.
    pub fn go_over(&mut self, now: Instant) -> bool {
        if self.is_over() {
            return false;
        }
        self.transport = Transport::Websocket;
        // Node waits for the next ping of an Engine.IO 3 client without a limit; here the time begins anew.
        if let Heartbeat::ClientPingBy(by) = &mut self.heartbeat {
            *by = now + self.ping_interval + self.ping_timeout;
        }
        true
    }

    /// What the client sent. As Node: packets that mean nothing here are ignored, those that no client sends
    /// are not.
    pub fn receive(&mut self, packet: Packet, now: Instant) -> Received {
        match packet {
            Packet::Message(text) => Received::Message(Message::Text(text)),
            Packet::Binary(data) | Packet::BinaryV3(data) => {
                Received::Message(Message::Binary(data))
            }
            // A probe that comes too late is a ping like any other.
            Packet::Ping | Packet::PingUpgrade if self.protocol == Protocol::Eio3 => {
                let by = now + self.ping_interval + self.ping_timeout;
                self.heartbeat = Heartbeat::ClientPingBy(by);
                self.push(Packet::Pong);
                Received::Queued
            }
            Packet::Pong | Packet::PongUpgrade if self.protocol == Protocol::Eio4 => {
                self.heartbeat = Heartbeat::PingAt(now + self.ping_interval);
                Received::Nothing
            }
            Packet::Close if self.transport == Transport::Polling => Received::Left,
            Packet::Close | Packet::Upgrade | Packet::Noop => Received::Nothing,
            Packet::Open(_)
            | Packet::Ping
            | Packet::PingUpgrade
            | Packet::Pong
            | Packet::PongUpgrade => Received::Invalid,
        }
    }

    /// The client is kept from sending a sign of life.
    pub fn is_held_back(&mut self, now: Instant) {
        match &mut self.heartbeat {
            Heartbeat::PingAt(_) => {}
            Heartbeat::PongBy(by) => *by = now + self.ping_timeout,
            Heartbeat::ClientPingBy(by) => *by = now + self.ping_interval + self.ping_timeout,
        }
    }

    /// Does what the time has come for.
    pub fn due(&mut self, now: Instant) -> Due {
        if self.is_over() {
            return Due::Never;
        }
        if self.is_posting {
            self.is_held_back(now);
        }
        if self.join_by.is_some_and(|by| by <= now) {
            return Due::Gone;
        }
        let next = match self.heartbeat {
            Heartbeat::PingAt(at) if at <= now => {
                self.heartbeat = Heartbeat::PongBy(now + self.ping_timeout);
                self.push(Packet::Ping);
                return Due::Ping;
            }
            Heartbeat::PongBy(by) | Heartbeat::ClientPingBy(by) if by <= now => return Due::Gone,
            Heartbeat::PingAt(at) | Heartbeat::PongBy(at) | Heartbeat::ClientPingBy(at) => at,
        };
        Due::At(self.join_by.map_or(next, |by| by.min(next)))
    }

    /// The server ends the connection: what is queued is still sent.
    pub fn close(&mut self) {
        if self.is_open() {
            self.phase = Phase::Closing;
        }
    }

    /// Nothing more goes in or out.
    pub fn end(&mut self) {
        self.phase = Phase::Over;
        self.queue = VecDeque::new();
    }
}

/// Bytes of a message in a packet, as the flow counts them: without types and framing.
pub fn size(packet: &Packet) -> usize {
    match packet {
        Packet::Message(text) => text.as_str().len(),
        Packet::Binary(data) | Packet::BinaryV3(data) => data.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
