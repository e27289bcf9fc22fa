//! What makes two names, or two mail addresses, the same: no database's collation decides it, so it is the same
//! in all of them.

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

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
        let digest = Sha256::digest(folded.trim());
        Self(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(in crate::account) fn as_str(&self) -> &str {
        &self.0
    }
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
}
