//! Gives each message of a queue the key by which the store knows it again (`intake`). A body does not say which
//! message it is, and two messages may have the same one; but there is one queue, in one order, and what may come
//! again is what was taken last. So messages are numbered, and the numbers are noted beside the store.

use serde::{Deserialize, Serialize};

use crate::{
    bridges::{BridgeContext, again},
    chat::{message::IdempotencyKey, store::StoreError},
};

/// The numbers that were given to the messages of a queue.
pub(super) struct Taken {
    /// Of the note beside the store.
    name: String,
    exchange: &'static str,
    noted: Noted,
    /// What comes again comes in its order: numbers below this one do not.
    from: u64,
    /// How many of the last may come again.
    kept: usize,
    is_noted: bool,
}

/// What is noted beside the store.
#[derive(Default, Serialize, Deserialize)]
struct Noted {
    next: u64,
    /// Number and fingerprint of what was taken last, in its order. The store has all of it, or some.
    last: Vec<(u64, String)>,
}

impl Taken {
    /// `ahead` is how many messages the broker sends before it is told that one was taken.
    /// An error says that the store is closed.
    pub async fn open(
        context: &BridgeContext,
        exchange: &'static str,
        ahead: u16,
    ) -> Result<Self, StoreError> {
        let name = format!("{exchange} in");
        let noted = again(|| context.store.bookmark(&name)).await?;
        let noted = noted.and_then(|noted| serde_json::from_str(&noted).ok());
        Ok(Self {
            name,
            exchange,
            noted: noted.unwrap_or_default(),
            from: 0,
            kept: usize::from(ahead),
            is_noted: true,
        })
    }

    /// The key of a message: the one it had, where it was `redelivered` and is one of the last.
    pub fn key(&mut self, fingerprint: &str, redelivered: bool) -> IdempotencyKey {
        let Noted { next, last } = &mut self.noted;
        let had = last
            .iter()
            .filter(|_| redelivered)
            .find(|(number, had)| *number >= self.from && had == fingerprint);
        let number = match had {
            Some((number, _)) => *number,
            None => {
                last.push((*next, fingerprint.to_owned()));
                *next += 1;
                self.is_noted = false;
                *next - 1
            }
        };
        self.from = number + 1;
        let key = format!("{}.{number}.{fingerprint}", self.exchange);
        key.parse().expect("letters, digits and dots are a key")
    }

    /// Notes the keys that were given out. To be waited for before anything is kept under one of them: whoever
    /// goes on after a crash must find it. An error says that the store is closed.
    pub async fn note(&mut self, context: &BridgeContext) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.is_noted, true) {
            return Ok(());
        }
        // The batch before this one may not be acknowledged either.
        let Noted { last, .. } = &mut self.noted;
        last.drain(..last.len().saturating_sub(2 * self.kept));
        let noted = serde_json::to_string(&self.noted).expect("numbers and strings encode as JSON");
        again(|| context.store.set_bookmark(&self.name, &noted)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridges::amqp::{Bus, intake::FINGERPRINT};

    fn taken(next: u64, last: &[(u64, &str)]) -> Taken {
        let last = last
            .iter()
            .map(|(number, print)| (*number, (*print).into()));
        Taken {
            name: "test".into(),
            exchange: "messages",
            noted: Noted {
                next,
                last: last.collect(),
            },
            from: 0,
            kept: 16,
            is_noted: true,
        }
    }

    fn keys(taken: &mut Taken, messages: &[(&str, bool)]) -> Vec<String> {
        let key = |(print, again): &(&str, bool)| taken.key(print, *again).as_str().to_owned();
        messages.iter().map(key).collect()
    }

    #[test]
    fn what_comes_again_has_the_key_that_it_had() {
        let mut taken = taken(9, &[(6, "a"), (7, "b"), (8, "b")]);
        let found = keys(
            &mut taken,
            &[("b", true), ("b", true), ("b", true), ("a", true)],
        );
        assert_eq!(
            found,
            [
                "messages.7.b",
                "messages.8.b",
                "messages.9.b",
                "messages.10.a"
            ]
        );
    }

    #[test]
    fn what_is_new_has_a_key_of_its_own_though_it_reads_the_same() {
        let mut taken = taken(7, &[(6, "a")]);
        let found = keys(&mut taken, &[("a", false), ("a", false)]);
        assert_eq!(found, ["messages.7.a", "messages.8.a"]);
        assert!(!taken.is_noted);
    }

    #[test]
    fn it_does_not_matter_how_what_comes_again_is_cut_into_batches() {
        let mut first = taken(7, &[(6, "a")]);
        let before = keys(&mut first, &[("b", false), ("c", false)]);
        let noted = serde_json::to_string(&first.noted).unwrap();
        let mut second = taken(0, &[]);
        second.noted = serde_json::from_str(&noted).unwrap();
        let mut again = keys(&mut second, &[("b", true)]);
        assert!(second.is_noted, "nothing is new");
        again.extend(keys(&mut second, &[("c", true)]));
        assert_eq!(before, again);
    }

    #[test]
    fn the_longest_key_is_one() {
        let names = Bus::ALL.map(Bus::name);
        let longest = names.into_iter().max_by_key(|name| name.len());
        let mut taken = taken(u64::MAX - 1, &[]);
        taken.exchange = longest.unwrap();
        taken.key(&"f".repeat(2 * FINGERPRINT), false);
    }
}
