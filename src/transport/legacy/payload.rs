//! Bodies of polling requests and answers: one packet bare, or several, each behind its length:
//! U+FFFD, the length in UTF-16 code units (what JavaScript calls a string's length), U+FFFD, the
//! packet. Without any IO; `packet` reads the packets.

/// Stands around each length.
const MARK: char = '\u{fffd}';

/// The length of a packet is missing, or not what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload is not framed as Socket.IO 0.9 does it")]
pub struct BadFraming;

/// Writes packets into one body.
pub fn join<S: AsRef<str>>(packets: &[S]) -> String {
    if let [packet] = packets {
        return packet.as_ref().to_owned();
    }
    let mut payload = String::new();
    for packet in packets.iter().map(AsRef::as_ref) {
        let length = packet.encode_utf16().count();
        payload.push_str(&format!("{MARK}{length}{MARK}{packet}"));
    }
    payload
}

/// The packets of a body, in order. Ends with an error where the framing goes wrong: what comes
/// after that cannot be told apart.
pub fn split(payload: &str) -> Split<'_> {
    Split {
        rest: payload,
        framed: payload.starts_with(MARK),
    }
}

/// See [`split`].
#[derive(Clone, Debug)]
pub struct Split<'a> {
    rest: &'a str,
    framed: bool,
}

impl<'a> Iterator for Split<'a> {
    type Item = Result<&'a str, BadFraming>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        if !self.framed {
            return Some(Ok(std::mem::take(&mut self.rest)));
        }
        let Some((packet, rest)) = frame(self.rest) else {
            self.rest = "";
            return Some(Err(BadFraming));
        };
        self.rest = rest;
        Some(Ok(packet))
    }
}

/// The first packet of a framed body, and what follows it.
fn frame(framed: &str) -> Option<(&str, &str)> {
    let (length, rest) = framed.strip_prefix(MARK)?.split_once(MARK)?;
    if !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut missing: usize = length.parse().ok()?;
    let mut end = 0;
    for char in rest.chars() {
        if missing == 0 {
            break;
        }
        // In the middle of a pair, nothing can end.
        missing = missing.checked_sub(char.len_utf16())?;
        end += char.len_utf8();
    }
    let (packet, rest) = rest.split_at(end);
    (missing == 0 && (rest.is_empty() || rest.starts_with(MARK))).then_some((packet, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_packet_is_bare_and_several_are_framed_in_utf16_units() {
        assert_eq!(join(&["3:::héllo"]), "3:::héllo");
        assert_eq!(
            join(&["3:::one", "3:::h\u{e9}llo \u{2713} \u{1f600}"]),
            "\u{fffd}7\u{fffd}3:::one\u{fffd}14\u{fffd}3:::h\u{e9}llo \u{2713} \u{1f600}"
        );
    }

    #[test]
    fn what_was_joined_is_split_again() {
        for packets in [
            &["3:::a"][..],
            &["3:::a", "2::"],
            &["3:::✓😀", "3:::\u{fffd}5\u{fffd}3:::x", "3:::m\nline2"],
        ] {
            let payload = join(packets);
            let split: Result<Vec<_>, _> = split(&payload).collect();
            assert_eq!(split.as_deref(), Ok(packets));
        }
    }

    #[test]
    fn an_empty_body_holds_nothing() {
        assert_eq!(split("").next(), None);
    }

    #[test]
    fn lengths_that_lie_end_it_after_what_was_true() {
        for (payload, before) in [
            ("\u{fffd}", 0),
            ("\u{fffd}5", 0),
            ("\u{fffd}\u{fffd}3:::a", 0),
            ("\u{fffd}6\u{fffd}3:::a", 0),
            ("\u{fffd}4\u{fffd}3:::a", 0),
            ("\u{fffd}5\u{fffd}3:::😀", 0),
            ("\u{fffd}-5\u{fffd}3:::a", 0),
            ("\u{fffd}+5\u{fffd}3:::a", 0),
            ("\u{fffd}5x\u{fffd}3:::a", 0),
            ("\u{fffd}99999999999999999999999\u{fffd}3:::a", 0),
            ("\u{fffd}5\u{fffd}3:::a\u{fffd}5\u{fffd}3:::", 1),
            ("\u{fffd}5\u{fffd}3:::a\u{fffd}3:::b", 1),
        ] {
            let split: Vec<_> = split(payload).collect();
            assert_eq!(split.len(), before + 1, "{payload:?}");
            assert!(split[..before].iter().all(Result::is_ok), "{payload:?}");
            assert_eq!(split[before], Err(BadFraming), "{payload:?}");
        }
    }

    #[test]
    fn a_length_of_nothing_is_an_empty_packet() {
        let split: Vec<_> = split("\u{fffd}0\u{fffd}\u{fffd}3\u{fffd}2::").collect();
        assert_eq!(split, [Ok(""), Ok("2::")]);
    }
}
