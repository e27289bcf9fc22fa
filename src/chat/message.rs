//! What is said: rooms' names, messages, and the ids that order them.
//! Everything that arrives from outside becomes one of these types here, or is refused.

use std::{fmt, str::FromStr, sync::Arc};

use jiff::Timestamp;

#[cfg(test)]
pub mod testing;
mod user;

pub use self::user::{USER_ID_MAX, UserId};

/// The longest room name, in characters.
pub const ROOM_NAME_MAX: usize = 64;

/// The longest author name, in characters.
pub const AUTHOR_NAME_MAX: usize = 40;

/// A room's name: 1 to [`ROOM_NAME_MAX`] characters, none of them a control character,
/// no white space at either end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// The room that every front end without rooms of its own meets in.
    pub fn lobby() -> Self {
        Self("lobby".into())
    }

    /// The thread of two users, or of one with itself. No name from outside is equal to it: it
    /// holds control characters.
    pub fn direct(one: &UserId, other: &UserId) -> Self {
        let (first, second) = if one.as_str() <= other.as_str() {
            (one, other)
        } else {
            (other, one)
        };
        Self(format!("\u{1}{first}\u{1}{second}").into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoomName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        check_name(name, ROOM_NAME_MAX).map(|name| Self(name.into()))
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who said it, where the front end knows: 1 to [`AUTHOR_NAME_MAX`] characters, none of them a
/// control character, no white space at either end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuthorName(Arc<str>);

impl AuthorName {
    /// The name of somebody whom another system let be called something that could not be a name here:
    /// without what cannot be, and cut. `None` where nothing is left.
    pub fn shortened(name: &str) -> Option<Self> {
        let printable = name.chars().filter(|c| !is_unprintable(*c));
        let printable: String = printable.take(AUTHOR_NAME_MAX).collect();
        printable.parse().ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AuthorName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        check_name(name, AUTHOR_NAME_MAX).map(|name| Self(name.into()))
    }
}

/// Why a name was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("name is empty")]
    Empty,
    #[error("name is longer than {0} characters")]
    TooLong(usize),
    #[error("name holds a control character")]
    Control,
}

fn check_name(name: &str, max: usize) -> Result<&str, InvalidName> {
    let name = name.trim();
    if (name.chars()).all(|c| is_invisible(c) || c.is_whitespace()) {
        return Err(InvalidName::Empty);
    }
    if name.chars().nth(max).is_some() {
        return Err(InvalidName::TooLong(max));
    }
    if name.chars().any(is_unprintable) {
        return Err(InvalidName::Control);
    }
    Ok(name)
}

/// Control characters, and the receipts that turn the direction of all text after them.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether nothing is shown for a character: two names that differ in such ones alone look the same. Unicode's
/// `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt), some of which make emoji and direct messages of others; and blanks that
/// Unicode counts as no white space: of braille, of music, of hieroglyphs.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{13441}'..='\u{13442}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Tells one history from another: a store that starts empty draws a new epoch, so that an id of a
/// history that is gone is never taken for one of this history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u32);

/// A message's place in its room: ids of one room and epoch are dense and grow by one.
/// On the wire `<seq>-<epoch in hex>`, opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    pub seq: u64,
    pub epoch: Epoch,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}", self.seq, self.epoch.0)
    }
}

impl FromStr for MessageId {
    type Err = InvalidId;

    fn from_str(id: &str) -> Result<Self, InvalidId> {
        let (seq, epoch) = id.split_once('-').ok_or(InvalidId)?;
        Ok(Self {
            seq: seq.parse().map_err(|_| InvalidId)?,
            epoch: Epoch(u32::from_str_radix(epoch, 16).map_err(|_| InvalidId)?),
        })
    }
}

/// Not an id that this server gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message id")]
pub struct InvalidId;

/// The client's own mark on a post: the same mark in the same room is kept once.
/// 1 to 64 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidName;

    fn from_str(key: &str) -> Result<Self, InvalidName> {
        match key.len() {
            0 => Err(InvalidName::Empty),
            65.. => Err(InvalidName::TooLong(64)),
            _ if !key.bytes().all(|b| b.is_ascii_graphic()) => Err(InvalidName::Control),
            _ => Ok(Self(key.into())),
        }
    }
}

/// The bridge, another chat server's bus, that a message came in by: it goes out to all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BridgeName(Arc<str>);

impl BridgeName {
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BridgeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A message before it has its place: what a dialect asks to be said.
#[derive(Clone, Debug)]
pub struct Post {
    pub room: RoomName,
    pub author: Option<AuthorName>,
    pub text: Box<str>,
    pub key: Option<IdempotencyKey>,
    /// The host name of the replica that took the message.
    pub replica: Arc<str>,
    /// Where it was not said to one of us.
    pub bridge: Option<BridgeName>,
    /// Where it is for one person: `room` is then [`RoomName::direct`] of both.
    pub direct: Option<Envelope>,
}

/// Whom a direct message is from and for.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub from: UserId,
    pub to: UserId,
    /// Messages that may wait for the recipient, this one included.
    pub box_size: usize,
}

/// A message at its place, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub room: RoomName,
    pub id: MessageId,
    pub author: Option<AuthorName>,
    pub text: Box<str>,
    /// When the store took it, to the millisecond.
    pub time: Timestamp,
    /// The host name of the replica that took the message.
    pub replica: Arc<str>,
    /// Where it was not said to one of us.
    pub bridge: Option<BridgeName>,
    /// Boxed: most messages are for everybody in a room.
    pub direct: Option<Box<Direct>>,
}

/// What a message to one person has besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    pub from: UserId,
    pub to: UserId,
    /// Its place among all messages to this person, whoever wrote them: dense, and growing by one.
    pub place: u64,
    /// The mark that its post came with.
    pub key: Option<IdempotencyKey>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_measured_in_characters() {
        let name = |name: &str| name.parse::<AuthorName>();
        assert_eq!(name(" \u{a0}Zoë\n").unwrap().as_str(), "Zoë");
        assert_eq!(name(&"é".repeat(40)).unwrap().as_str(), "é".repeat(40));
        assert_eq!(name(&"é".repeat(41)), Err(InvalidName::TooLong(40)));
        assert_eq!(
            name(&format!(" {} ", "x".repeat(40)))
                .unwrap()
                .as_str()
                .len(),
            40
        );
        assert_eq!(
            "x".repeat(65).parse::<RoomName>(),
            Err(InvalidName::TooLong(64))
        );
        for empty in [
            "",
            " ",
            "\t\n",
            "\u{3000}",
            "\u{200b}",
            "\u{3164}\u{feff}",
            "\u{2800}",
            "\u{200b} \u{200b}",
        ] {
            assert_eq!(name(empty), Err(InvalidName::Empty), "{empty:?}");
        }
    }

    #[test]
    fn what_would_turn_or_hide_other_text_is_no_name() {
        for c in [
            '\0', '\n', '\u{7f}', '\u{9f}', '\u{200e}', '\u{202a}', '\u{202e}', '\u{2066}',
            '\u{2069}',
        ] {
            let name = format!("a{c}b");
            assert_eq!(
                name.parse::<RoomName>(),
                Err(InvalidName::Control),
                "{name:?}"
            );
        }
        for name in [
            "<script>",
            "عربي",
            "می\u{200c}خواهم",
            "👩\u{200d}🚀",
            "a b",
            "../x",
        ] {
            assert_eq!(name.parse::<RoomName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_conversation_is_one_room_for_both_and_nobody_elses_nor_enterable_by_name() {
        let room = |one: &str, other: &str| {
            RoomName::direct(&one.parse().unwrap(), &other.parse().unwrap())
        };
        assert_eq!(room("ann", "bob"), room("bob", "ann"));
        assert_ne!(room("a", "bc"), room("ab", "c"));
        assert_ne!(room("ann", "ann"), room("ann", "bob"));
        let name = room("ann", "bob").to_string();
        assert_eq!(name.parse::<RoomName>(), Err(InvalidName::Control));
    }

    #[test]
    fn an_id_is_read_as_it_was_written() {
        for (seq, epoch) in [(0, 0), (1, 0xff), (u64::MAX, u32::MAX)] {
            let id = MessageId {
                seq,
                epoch: Epoch(epoch),
            };
            assert_eq!(id.to_string().parse::<MessageId>().ok(), Some(id));
        }
        assert_eq!(
            MessageId {
                seq: 7,
                epoch: Epoch(0xab)
            }
            .to_string(),
            "7-000000ab"
        );
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for id in [
            "",
            "-",
            "7",
            "7-",
            "-7",
            "x-7",
            "7-x",
            "7-100000000",
            "18446744073709551616-0",
            "1-2-3",
            " 7-0",
            "7 -0",
        ] {
            assert!(id.parse::<MessageId>().is_err(), "{id:?}");
        }
    }

    #[test]
    fn a_key_is_printable_and_bounded() {
        let key = |key: &str| key.parse::<IdempotencyKey>().map(|_| ());
        assert_eq!(key(&"k".repeat(64)), Ok(()));
        assert_eq!(key("6f9619ff-8b86-d011-b42d-00c04fc964ff"), Ok(()));
        assert_eq!(key(""), Err(InvalidName::Empty));
        assert_eq!(key(&"k".repeat(65)), Err(InvalidName::TooLong(64)));
        for wrong in ["a b", "a\n", "é", "\0"] {
            assert_eq!(key(wrong), Err(InvalidName::Control), "{wrong:?}");
        }
    }
}
