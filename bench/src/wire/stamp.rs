//! The text that load clients send: 120 bytes that say of which run it is, which message, and when it was due.
//! A receiver finds it in a packet without decoding JSON, and leaves alone what earlier runs left in a history.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Length of every stamped text in bytes.
pub const TEXT_LENGTH: usize = 120;

const MARK: &str = "~hb~";
const STAMP_LENGTH: usize = MARK.len() + 8 + 8 + 16;

static MARK_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));

/// What a stamped text says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stamp {
    /// One measured window; unique within the life of the generator.
    pub run: u32,
    /// Counts the messages of a run from 0.
    pub number: u32,
    /// When the message was due to be sent, by [`crate::clock`].
    pub due: u64,
}

impl Stamp {
    /// The text that carries this stamp.
    pub fn text(self) -> String {
        let Self { run, number, due } = self;
        let stamp = format!("{MARK}{run:08x}{number:08x}{due:016x}");
        format!("{stamp:.<TEXT_LENGTH$}")
    }

    /// The stamp in a packet, if there is one.
    pub fn find(packet: &[u8]) -> Option<Self> {
        let start = MARK_FINDER.find(packet)?;
        let fields = packet.get(start + MARK.len()..start + STAMP_LENGTH)?;
        Some(Self {
            run: hex(&fields[..8])? as u32,
            number: hex(&fields[8..16])? as u32,
            due: hex(&fields[16..])?,
        })
    }
}

fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        run: 0xDEAD_BEEF,
        number: 41,
        due: 9_876_543_210_123,
    };

    #[test]
    fn a_text_is_of_the_promised_length_and_plain() {
        let text = STAMP.text();
        assert_eq!(text.len(), TEXT_LENGTH);
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"~.".contains(&byte))
        );
    }

    #[test]
    fn a_stamp_is_found_wherever_a_server_puts_the_text() {
        let packet = format!(r#"["message",{{"ip":"~h","text":"{}"}}]"#, STAMP.text());
        assert_eq!(Stamp::find(packet.as_bytes()), Some(STAMP));
    }

    #[test]
    fn other_texts_carry_no_stamp() {
        assert_eq!(Stamp::find(br#"["message",{"text":"hello"}]"#), None);
        assert_eq!(Stamp::find(b"~hb~0000"), None);
        let spoilt = STAMP.text().replace("deadbeef", "deadbeeg");
        assert_eq!(Stamp::find(spoilt.as_bytes()), None);
    }
}
