//! What makes two names, or two mail addresses, the same (`Key`), and two names look alike (`Skeleton`): no database's
//! collation decides it, so it is the same in all of them.

use sha2::{Digest, Sha256};
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_security::{UNICODE_VERSION, skeleton};

use crate::chat::message::is_invisible;

/// The hex SHA-256 of a name or a mail address in lower case and Unicode's compatible form (NFKC), without characters
/// that nothing is shown for: of one length, so that an index of any database takes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::account) struct Key(String);

impl Key {
    pub(in crate::account) fn of(text: &str) -> Self {
        // Lower case may bring characters that are not in that form.
        let folded: String = text
            .chars()
            .filter(|c| !is_invisible(*c))
            .nfkc()
            .flat_map(char::to_lowercase)
            .nfkc()
            .collect();
        Self(hex(&Sha256::digest(folded.trim())))
    }

    pub(in crate::account) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The rules below; raised whenever they change.
const RULES: u32 = 1;

/// Bytes of a skeleton's hash.
const SKELETON_BYTES: usize = 16;

/// A hash of what a name looks like: equal for two names that readers may take for one another. Made of the skeleton that
/// Unicode's UTS 39 (Unicode Security Mechanisms), section 4, defines, of letters, digits and accents alone, in lower
/// case; `i` counts as `l`, because the capital of the one looks like the other. Begins with the version of these rules and of Unicode's tables, so that
/// those made by others are found and made anew.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::account) struct Skeleton(String);

impl Skeleton {
    pub(in crate::account) fn of(name: &str) -> Self {
        let mut look = looks_like(name);
        if look.is_empty() {
            // Nothing but signs and pictures: those are what it looks like.
            look = name.chars().filter(|c| !is_invisible(*c)).nfkc().collect();
            look = skeleton(look.trim()).collect();
        }
        let digest = Sha256::digest(look);
        Self(Self::version() + &hex(&digest[..SKELETON_BYTES]))
    }

    /// What those begin with that this program makes.
    pub(super) fn version() -> String {
        let (major, minor, _) = UNICODE_VERSION;
        format!("{RULES}-{major}.{minor}:")
    }

    pub(in crate::account) fn as_str(&self) -> &str {
        &self.0
    }
}

/// DirectMessages, digits and accents as they are read.
fn looks_like(name: &str) -> String {
    let is_read = |c: &char| c.is_alphanumeric() || is_combining_mark(*c);
    let mut look: String = name.nfkc().filter(|c| !is_invisible(*c)).collect();
    // Twice: some capitals look alike, some small letters do, and what one looks like may be a capital.
    for _ in 0..2 {
        let read: String = look.chars().filter(is_read).collect();
        look = skeleton(&read)
            .filter(is_read)
            .flat_map(char::to_lowercase)
            .collect();
    }
    look.replace('i', "l")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_ways_of_writing_and_what_is_not_shown_do_not_matter_and_accents_do() {
        for (one, other) in [
            ("Ann", "aNN"),
            ("ZOË", "zoe\u{308}"),
            (" ann ", "ann"),
            ("Ａnn", "ann"),
            ("an\u{200b}n", "ann"),
            ("\u{200b} ann", "ann"),
            ("\u{feff}Ann\u{fe0f}", "ann"),
            ("zoe\u{200d}\u{308}", "zoë"),
        ] {
            assert_eq!(Key::of(one), Key::of(other), "{one} {other}");
        }
        for (one, other) in [("Zoë", "Zoe"), ("ann", "anna"), ("a nn", "ann")] {
            assert_ne!(Key::of(one), Key::of(other), "{one} {other}");
        }
        assert_eq!(Key::of(&"x".repeat(1000)).as_str().len(), 64);
    }

    #[test]
    fn names_that_look_alike_have_one_skeleton() {
        for (one, other) in [
            ("admin", "ADMIN"),
            ("admin", "admin\u{2800}"),
            ("admin", "\u{430}dmin"),
            ("admin", "adm\u{131}n"),
            ("admin", "admin."),
            ("admin", "a-d m_i\u{200a}n"),
            ("admin", "admin \u{2713}"),
            ("admin", "\u{391}DM\u{406}N"),
            ("admin", "ａｄｍｉｎ"),
            ("admin", "adrnin"),
            ("admin", "adm1n"),
            ("admin", "admin\u{1c3}"),
            ("Paul", "PauI"),
            ("Bob", "B0b"),
            ("Zoë", "ZOE\u{308}"),
            ("Zoë", "Z\u{43e}\u{451}"),
            ("🚀", " 🚀\u{200d}"),
        ] {
            assert_eq!(Skeleton::of(one), Skeleton::of(other), "{one} {other}");
        }
    }

    #[test]
    fn names_that_are_read_differently_have_skeletons_of_their_own() {
        for (one, other) in [
            ("ann", "anna"),
            ("ann", "ann2"),
            ("Zoë", "Zoe"),
            ("Андрей", "Андрія"),
            ("李", "王"),
            ("علي", "عمر"),
            ("🚀", "🛸"),
            ("???", "!!!"),
        ] {
            assert_ne!(Skeleton::of(one), Skeleton::of(other), "{one} {other}");
        }
        let long = Skeleton::of(&"x".repeat(1000));
        assert!(long.as_str().len() <= 64, "{long:?}");
        assert!(long.as_str().starts_with(&Skeleton::version()));
    }
}
