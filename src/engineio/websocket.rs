//! Packets as WebSocket messages, one each: of a connection that begins so, or of one that polls and tries it. It
//! goes over once its client has been answered on the new one and says so; until then it polls on, and a WebSocket
//! that comes to nothing costs nothing.

use std::{
    pin::Pin,
    sync::Arc,
    task::Context,
    time::{Duration, Instant},
};

use bytes::Bytes;
use engineioxide_core::{Packet, Str};
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{
    connection::Connection,
    http::open_packet,
    payload::{binary_head, read_binary, read_text},
    state::size,
};
use crate::{
    chat::socket::CloseReason,
    connection::{
        closing::{CLOSE_GRACE, close_status},
        exchange::{self, Carried, End, Frames, Misread, Next, Stream},
        flow::{Flow, Reader},
    },
};

/// How long a client may take to go over; Node's default.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a poll that waits is answered, so that the client can go over; as Node does.
const RELEASE_PERIOD: Duration = Duration::from_millis(100);

/// A connection that ends with this, should it never get to its first frame.
pub(super) struct Begun(pub Arc<Connection>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Carries a connection that begins on this stream. `unread` came in behind the request.
pub(super) async fn begin(stream: impl Stream, unread: Vec<u8>, connection: Begun) {
    let base64 = connection.0.base64;
    let packets = Packets::new(connection.0.clone(), base64, Stage::Beginning);
    carry(stream, unread, packets).await;
}

/// Carries a connection that polls, once its client goes over to this stream.
pub(super) async fn try_upgrade(
    stream: impl Stream,
    unread: Vec<u8>,
    connection: Arc<Connection>,
    base64: bool,
) {
    if !connection.state.lock().begin_probe() {
        return;
    }
    let stage = Stage::Probing {
        is_asked: false,
        is_answered: false,
        is_given_up: false,
        until: Instant::now() + UPGRADE_TIMEOUT,
    };
    carry(stream, unread, Packets::new(connection, base64, stage)).await;
}

async fn carry(mut stream: impl Stream, unread: Vec<u8>, mut packets: Packets) {
    let limits = *packets.connection.limits();
    let end = exchange::carry(&mut stream, unread, limits.payload, &mut packets).await;
    // Nothing of it is needed while the client takes its time.
    drop(packets);
    if matches!(end, End::Over | End::Left) {
        exchange::hang_up(stream, limits.stall).await;
    }
}

/// One connection's packets on their way.
struct Packets {
    connection: Arc<Connection>,
    /// Its client cannot read binary frames.
    base64: bool,
    stage: Stage,
    alarm: Pin<Box<Sleep>>,
}

enum Stage {
    /// The client has not been sent the open packet.
    Beginning,
    Probing {
        is_asked: bool,
        is_answered: bool,
        is_given_up: bool,
        until: Instant,
    },
    Open,
}

impl Packets {
    fn new(connection: Arc<Connection>, base64: bool, stage: Stage) -> Self {
        Self {
            connection,
            base64,
            stage,
            alarm: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    fn is_probing(&self) -> bool {
        matches!(self.stage, Stage::Probing { .. })
    }

    /// Has the task woken at this time; false where that has come.
    fn wait_until(&mut self, time: Instant, cx: &mut Context<'_>) -> bool {
        if self.alarm.deadline() != time.into() {
            self.alarm.as_mut().reset(time.into());
        }
        self.alarm.as_mut().poll(cx).is_pending()
    }

    fn next_of_probe(&mut self, cx: &mut Context<'_>, out: &mut Frames) -> Next {
        let ending = self.connection.close_reason();
        let is_over = self.connection.is_over();
        let Stage::Probing {
            is_asked,
            is_answered,
            is_given_up,
            until,
        } = &mut self.stage
        else {
            return Next::Wait;
        };
        if std::mem::take(is_asked) {
            *is_answered = true;
            out.uncounted("3probe");
            return Next::Appended;
        }
        let now = Instant::now();
        if let Some(why) = ending {
            // A client that has its answer comes over, or finds the end in its poll; without either it would wait for
            // both.
            match why.reads_on() && *is_answered {
                true => *until = (*until).min(now + CLOSE_GRACE),
                false => *is_given_up = true,
            }
        }
        if *is_given_up || is_over || *until <= now {
            return Next::Over(None);
        }
        let mut next = *until;
        if *is_answered {
            next = next.min(now + RELEASE_PERIOD);
            self.connection.release_poll();
        }
        // Ready only where it was reset to a time that has passed meanwhile.
        if !self.wait_until(next, cx) {
            cx.waker().wake_by_ref();
        }
        Next::Wait
    }

    fn give_up(&mut self) {
        if let Stage::Probing { is_given_up, .. } = &mut self.stage {
            *is_given_up = true;
        }
    }

    fn hear_in_probe(&mut self, text: &str) {
        let Stage::Probing {
            is_asked,
            is_answered,
            is_given_up,
            ..
        } = &mut self.stage
        else {
            return;
        };
        match text {
            "2probe" => *is_asked = true,
            "5" if *is_answered && self.connection.state.lock().go_over(Instant::now()) => {
                self.connection.poll.wake();
                self.stage = Stage::Open;
            }
            _ => *is_given_up = true,
        }
    }

    fn put(&self, packet: Packet, out: &mut Frames) {
        let counted = size(&packet);
        match packet {
            Packet::Message(text) => out.text(counted, &["4", &text]),
            packet if packet.is_binary() && self.base64 => {
                out.text(counted, &[&String::from(packet)]);
            }
            Packet::Binary(data) | Packet::BinaryV3(data) => {
                let head = binary_head(self.connection.protocol());
                out.binary(counted, &[head, &data]);
            }
            other => out.uncounted(&String::from(other)),
        }
    }
}

impl Carried for Packets {
    fn flow(&self) -> &Flow {
        &self.connection.flow
    }

    fn is_cut(&self) -> bool {
        !self.is_probing()
            && match self.connection.close_reason() {
                Some(why) => why.is_abrupt(),
                None => self.connection.is_over(),
            }
    }

    fn is_going_down(&self) -> bool {
        !self.is_probing()
            && self
                .connection
                .is_ending()
                .is_some_and(CloseReason::reads_on)
    }

    fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        let flow = &self.connection.flow;
        if self.is_probing() {
            // However much waits: the client cannot read it before it has gone over.
            flow.wake_me(Reader::Wire, cx.waker());
            return true;
        }
        flow.may_read(Reader::Wire, cx.waker())
    }

    fn next(&mut self, cx: &mut Context<'_>, out: &mut Frames) -> Next {
        match self.stage {
            Stage::Probing { .. } => return self.next_of_probe(cx, out),
            Stage::Beginning => {
                self.stage = Stage::Open;
                out.uncounted(&open_packet(&self.connection));
                return Next::Appended;
            }
            Stage::Open => {}
        }
        let packet = self.connection.state.lock().pop();
        if let Some(packet) = packet {
            self.put(packet, out);
            return Next::Appended;
        }
        if let Some(why) = self.connection.is_ending() {
            return Next::Over(Some(CloseFrame {
                code: close_status(why).into(),
                reason: why.message().into(),
            }));
        }
        match self.connection.look() {
            Some(time) if self.wait_until(time, cx) => Next::Wait,
            // It may have queued a ping, or ended the connection, which is cut then.
            Some(_) | None => {
                cx.waker().wake_by_ref();
                Next::Wait
            }
        }
    }

    fn hear(&mut self, text: &str) {
        if self.is_probing() {
            return self.hear_in_probe(text);
        }
        let packet = read_text(Str::copy_from_slice(text), self.connection.protocol());
        self.connection.receive(packet);
    }

    fn hear_binary(&mut self, data: Bytes) {
        if self.is_probing() {
            return self.give_up();
        }
        let packet = read_binary(data, self.connection.protocol());
        self.connection.receive(packet);
    }

    fn misread(&mut self, why: Misread) {
        if self.is_probing() {
            return self.give_up();
        }
        self.connection.close(match why {
            Misread::TooLarge => CloseReason::TooLarge,
            Misread::Binary | Misread::NotUtf8 | Misread::Protocol => CloseReason::BadPacket,
        });
    }

    fn flooded(&mut self) {
        match self.is_probing() {
            true => self.give_up(),
            false => self.connection.close(CloseReason::Flooding),
        }
    }

    fn held_back(&mut self) {
        (self.connection.state.lock()).is_held_back(Instant::now());
    }

    fn stalled(&mut self) {
        match self.is_probing() {
            true => self.give_up(),
            false => self.connection.close(CloseReason::Stalled),
        }
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        match self.is_probing() {
            true => self.connection.state.lock().end_probe(),
            false => self.connection.end(),
        }
    }
}
