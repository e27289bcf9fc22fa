//! What one session has to say: packets that wait, those of the last answer until it is known whether they arrived, and
//! how far the client has been shown the room.

use std::collections::VecDeque;

use super::{packet, payload};
use crate::chat::message::MessageId;

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub packets: usize,
    pub bytes: usize,
}

/// Packets in their order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Queued>,
    /// What the answer to the last poll held, until it is known whether that arrived.
    handed: Vec<Queued>,
    /// The last message of the room that went out, or was shown before.
    shown: Option<MessageId>,
    /// What is shown began anew, and no answer has gone out since: what the client kept belongs to what was before.
    begins_anew: bool,
}

#[derive(Debug)]
struct Queued {
    packet: Box<str>,
    /// The message of the room that it shows, if it shows one.
    shows: Option<MessageId>,
}

impl Queue {
    pub fn push(&mut self, packet: impl Into<Box<str>>, shows: Option<MessageId>) {
        let packet = packet.into();
        self.waiting.push_back(Queued { packet, shows });
    }

    pub fn push_first(&mut self, packet: impl Into<Box<str>>) {
        let packet = packet.into();
        let shows = None;
        self.waiting.push_front(Queued { packet, shows });
    }

    /// What is shown of the room from now on follows this message. `anew`: the client was shown something before, and is
    /// shown it again.
    pub fn begin_after(&mut self, id: Option<MessageId>, anew: bool) {
        self.shown = id;
        self.begins_anew = anew;
    }

    /// The last message of the room that went out, or was shown before.
    pub fn shown(&self) -> Option<MessageId> {
        self.shown
    }

    /// All that waits, as the answer to a poll. It is kept until [`Queue::settle`] or [`Queue::take_back`].
    pub fn take_payload(&mut self) -> String {
        self.handed = std::mem::take(&mut self.waiting).into();
        self.begins_anew = false;
        if let Some(last) = self.last_handed() {
            self.shown = Some(last);
        }
        let packets: Vec<_> = self.handed.iter().map(|queued| &queued.packet).collect();
        payload::join(&packets)
    }

    /// The next packet, for a stream.
    pub fn take_packet(&mut self) -> Option<Box<str>> {
        let Queued { packet, shows } = self.waiting.pop_front()?;
        self.shown = shows.or(self.shown);
        Some(packet)
    }

    /// The client asks for more. `arrived`: it got the last answer, as far as anybody knows; `kept`: the last message that
    /// it was shown, where it says so itself. Returns what has arrived, and what need not be sent any more because it came
    /// by another replica; the rest is sent again.
    pub fn settle(&mut self, arrived: bool, kept: Option<MessageId>) -> Load {
        let kept = kept.filter(|_| !self.begins_anew);
        let told = self.last_handed().zip(kept);
        let told = told.filter(|(last, kept)| last.epoch == kept.epoch);
        let arrived = told.map_or(arrived, |(last, kept)| last.seq <= kept.seq);
        let mut load = Load::default();
        if arrived {
            self.handed.drain(..).for_each(|queued| load.add(&queued));
        } else {
            self.take_back();
        }
        if let Some(kept) = kept {
            let has = |id: MessageId| id.epoch == kept.epoch && id.seq <= kept.seq;
            self.waiting.retain(|queued| {
                let is_new = !queued.shows.is_some_and(has);
                if !is_new {
                    load.add(queued);
                }
                is_new
            });
        }
        load
    }

    /// The last answer did not arrive.
    pub fn take_back(&mut self) {
        for queued in self.handed.drain(..).rev() {
            self.waiting.push_front(queued);
        }
    }

    pub fn clear(&mut self) {
        self.waiting = VecDeque::new();
        self.handed = Vec::new();
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many packets wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many events wait, or were in the last answer.
    pub fn events(&self) -> usize {
        let all = self.waiting.iter().chain(&self.handed);
        all.filter(|queued| packet::is_event(&queued.packet))
            .count()
    }

    fn last_handed(&self) -> Option<MessageId> {
        self.handed.iter().rev().find_map(|queued| queued.shows)
    }
}

impl Load {
    fn add(&mut self, queued: &Queued) {
        self.packets += 1;
        self.bytes += queued.packet.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seq: u64) -> MessageId {
        format!("{seq}-0000002a").parse().expect("an id")
    }

    /// A queue in which these messages wait.
    fn showing(messages: std::ops::RangeInclusive<u64>) -> Queue {
        let mut queue = Queue::default();
        for seq in messages {
            queue.push(seq.to_string(), Some(id(seq)));
        }
        queue
    }

    fn packets(queue: &mut Queue) -> Vec<String> {
        let payload = queue.take_payload();
        let split = payload::split(&payload);
        split.filter_map(Result::ok).map(str::to_owned).collect()
    }

    #[test]
    fn what_the_client_kept_says_better_than_its_connection_whether_an_answer_arrived() {
        for (by_connection, kept, again) in [
            (false, 3, &["4"][..]),
            (true, 0, &["1", "2", "3", "4"]),
            (true, 2, &["3", "4"]),
        ] {
            let mut queue = showing(1..=3);
            queue.take_payload();
            queue.push("4", Some(id(4)));
            let load = queue.settle(by_connection, Some(id(kept)));
            assert_eq!(load.packets, 4 - again.len());
            assert_eq!(packets(&mut queue), again, "{kept}");
        }
    }

    #[test]
    fn what_came_by_another_replica_is_not_sent_again_and_all_else_is() {
        let mut queue = showing(1..=2);
        queue.push("joined", None);
        queue.push("3", Some(id(3)));
        assert_eq!(queue.settle(true, Some(id(2))).packets, 2);
        assert_eq!(packets(&mut queue), ["joined", "3"]);
        assert_eq!(queue.shown(), Some(id(3)));
    }

    #[test]
    fn a_queue_that_was_filled_before_the_client_came_holds_back_what_it_has() {
        let mut queue = Queue::default();
        queue.begin_after(Some(id(0)), false);
        queue.push("1", Some(id(1)));
        queue.push("2", Some(id(2)));
        queue.settle(true, Some(id(1)));
        assert_eq!(packets(&mut queue), ["2"]);
    }

    #[test]
    fn an_id_of_another_history_says_nothing() {
        let mut queue = showing(1..=2);
        queue.take_payload();
        let other = "9-0000002b".parse().expect("an id");
        queue.settle(false, Some(other));
        assert_eq!(packets(&mut queue), ["1", "2"]);
    }

    #[test]
    fn a_page_that_begins_anew_is_shown_what_it_had_before() {
        let mut queue = showing(1..=2);
        queue.take_payload();
        queue.settle(true, Some(id(2)));
        queue.begin_after(Some(id(0)), true);
        queue.push("1", Some(id(1)));
        queue.settle(true, Some(id(2)));
        assert_eq!(packets(&mut queue), ["1"]);
    }
}
