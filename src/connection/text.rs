//! JSON from browsers may escape half of a surrogate pair (`"\ud83d"`): JavaScript strings can hold
//! that, Unicode text cannot.

use std::borrow::Cow;

/// An escape of one UTF-16 unit: `\uXXXX`.
const ESCAPE: usize = 6;

/// Puts U+FFFD in the place of each half of a pair that stands alone, as browsers do when they turn
/// such a string into bytes.
pub(crate) fn mend(json: &str) -> Cow<'_, str> {
    let mut mended = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = json[at..].find('\\') {
        let escape = at + found;
        at = match unit(json, escape) {
            None => escape + 2,
            Some(0xd800..=0xdbff)
                if matches!(unit(json, escape + ESCAPE), Some(0xdc00..=0xdfff)) =>
            {
                escape + 2 * ESCAPE
            }
            Some(0xd800..=0xdfff) => {
                mended.push_str(&json[copied..escape]);
                mended.push_str("\\ufffd");
                copied = escape + ESCAPE;
                copied
            }
            Some(_) => escape + ESCAPE,
        };
        // What follows a backslash may be anything in text that is not JSON.
        while at < json.len() && !json.is_char_boundary(at) {
            at += 1;
        }
        if at >= json.len() {
            break;
        }
    }
    if copied == 0 {
        return json.into();
    }
    mended.push_str(&json[copied..]);
    mended.into()
}

/// The unit that is escaped at this place, if one is.
fn unit(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_halves_that_stand_alone_are_replaced() {
        for (json, mended) in [
            (r#"["plain ✓"]"#, r#"["plain ✓"]"#),
            (r#"["\ud83d\ude00"]"#, r#"["\ud83d\ude00"]"#),
            (r#"["\ud83d"]"#, r#"["\ufffd"]"#),
            (r#"["\ude00\ud83d\n"]"#, r#"["\ufffd\ufffd\n"]"#),
            (r#"["\ud83d\ud83d\ude00"]"#, r#"["\ufffd\ud83d\ude00"]"#),
            (r#"["\\ud83d"]"#, r#"["\\ud83d"]"#),
            ("\\", "\\"),
            ("\\é", "\\é"),
            (r"\ud83", r"\ud83"),
        ] {
            assert_eq!(mend(json), mended, "{json}");
        }
    }
}
