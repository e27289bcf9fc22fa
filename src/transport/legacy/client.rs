//! A client as the protocol has it, for programs that say more than a dialect does: messages, JSON
//! messages, events with several arguments, questions. `peer` is what stands behind it.

use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::{packet, peer::Peer};
use crate::{
    chat::{
        peer::{Goodbye, Outlet},
        room::Rendered,
    },
    dialect::{Conversation, Handshake, Refusal},
};

/// Questions to one client that it may leave unanswered; older ones are given up.
const QUESTIONS: usize = 64;

/// What speaks with the clients of a namespace.
pub trait Program: Send + Sync + 'static {
    /// Begins a conversation with a client, or refuses it. Nothing can be sent yet.
    fn greet(
        &self,
        client: Client,
        handshake: &Handshake,
    ) -> Result<Box<dyn Conversation>, Refusal>;

    /// What a client is told before the server ends its connection.
    fn goodbye(&self, _why: Goodbye) -> Option<Rendered> {
        None
    }
}

/// A client in a namespace.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Peer>);

/// A client's answer; it fails where the client is gone, or was asked too much since.
pub type Answer = oneshot::Receiver<Vec<Box<RawValue>>>;

impl Client {
    /// Sends a message.
    pub fn send(&self, text: &str) {
        self.0.send(packet::message(self.0.endpoint, None, text));
    }

    /// Sends a message that the client's library acknowledges.
    pub fn send_registered(&self, text: &str) -> Answer {
        let (id, answer) = self.0.questions.lock().ask();
        self.0
            .send(packet::message(self.0.endpoint, Some(id), text));
        answer
    }

    /// Sends a JSON message.
    pub fn send_json(&self, value: &RawValue) {
        self.0.send(packet::json_message(self.0.endpoint, value));
    }

    /// Sends an event.
    pub fn emit(&self, event: &str, args: &[Box<RawValue>]) {
        self.0
            .send(packet::event_with(self.0.endpoint, None, event, args));
    }

    /// Sends an event that the client's program is to answer.
    pub fn ask(&self, event: &str, args: &[Box<RawValue>]) -> Answer {
        let (id, answer) = self.0.questions.lock().ask();
        self.0
            .send(packet::event_with(self.0.endpoint, Some(id), event, args));
        answer
    }

    /// Ends the connection; what is queued is still sent unless the reason is abrupt.
    pub fn close(&self, why: Goodbye) {
        self.0.close(why);
    }
}

/// What a client was asked and has not answered. Ids count from 1 in each namespace.
#[derive(Default)]
pub(super) struct Questions {
    last: u32,
    open: Vec<(u32, oneshot::Sender<Vec<Box<RawValue>>>)>,
}

impl Questions {
    fn ask(&mut self) -> (u32, Answer) {
        if self.open.len() >= QUESTIONS {
            self.open.remove(0);
        }
        self.last = self.last.wrapping_add(1);
        let (answered, answer) = oneshot::channel();
        self.open.push((self.last, answered));
        (self.last, answer)
    }

    /// Takes the data of an ack packet, `1` or `1+["x"]`. What nobody asked for is ignored.
    pub(super) fn answered(&mut self, data: &str) {
        let (id, args) = data.split_once('+').unwrap_or((data, "[]"));
        let Ok(id) = id.parse::<u32>() else { return };
        let Some(at) = self.open.iter().position(|(asked, _)| *asked == id) else {
            return;
        };
        let (_, answered) = self.open.remove(at);
        // Arguments that are no list of JSON are none, and who asked may not wait any more.
        let _ = answered.send(serde_json::from_str(args).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: &mut Answer) -> Option<Vec<String>> {
        let args = answer.try_recv().ok()?;
        Some(args.iter().map(|arg| arg.get().to_owned()).collect())
    }

    #[test]
    fn an_answer_finds_its_question_once() {
        let mut questions = Questions::default();
        let (first, mut one) = questions.ask();
        let (second, mut two) = questions.ask();
        assert_eq!((first, second), (1, 2));
        questions.answered(r#"2+["a",{"b":1}]"#);
        questions.answered("1");
        questions.answered("1");
        assert_eq!(told(&mut one), Some(vec![]));
        assert_eq!(
            told(&mut two),
            Some(vec![r#""a""#.into(), r#"{"b":1}"#.into()])
        );
    }

    #[test]
    fn what_answers_nothing_is_ignored_and_a_bad_answer_says_nothing() {
        let mut questions = Questions::default();
        let (_, mut answer) = questions.ask();
        for data in ["", "+", "x", "-1", "7", "18446744073709551617", "2+[1]"] {
            questions.answered(data);
        }
        assert_eq!(told(&mut answer), None);
        questions.answered("1+{bad");
        assert_eq!(told(&mut answer), Some(vec![]));
    }

    #[test]
    fn who_never_answers_costs_no_more_than_so_much() {
        let mut questions = Questions::default();
        let mut answers: Vec<_> = (0..=QUESTIONS).map(|_| questions.ask().1).collect();
        assert_eq!(questions.open.len(), QUESTIONS);
        questions.answered("1+[1]");
        assert_eq!(told(&mut answers[0]), None);
        questions.answered("65+[1]");
        assert_eq!(told(&mut answers[QUESTIONS]), Some(vec!["1".into()]));
    }
}
