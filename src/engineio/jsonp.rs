//! Polling by scripts, for pages that can do no other requests: clients before 3.x. An answer is a script that
//! calls the client's function, and packets come as a field of a form.

use std::borrow::Cow;

use bytes::Bytes;

/// The field of the form.
const FIELD: &str = "d";

/// An answer as a script. JSON is made the JavaScript that it is not quite: two of its characters end lines there.
pub(super) fn script(index: &str, payload: &str) -> String {
    let text = serde_json::to_string(payload).expect("text encodes as JSON");
    let text = text
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    format!("___eio[{index}]({text});")
}

/// The payload in a form; `None` where it has none. Old browsers change line ends in forms, so clients send `\n`
/// for one, and `\\n` for a backslash and an n.
pub(super) fn payload(form: &[u8]) -> Option<Bytes> {
    let mut fields = form_urlencoded::parse(form);
    let (_, data) = fields.find(|(name, _)| name == FIELD)?;
    Some(unescape(&data).into_owned().into())
}

fn unescape(data: &str) -> Cow<'_, str> {
    if !data.contains("\\n") {
        return data.into();
    }
    let mut out = String::with_capacity(data.len());
    let mut rest = data;
    while let Some(at) = rest.find("\\n") {
        let before = &rest[..at];
        match before.strip_suffix('\\') {
            Some(before) => {
                out.push_str(before);
                out.push_str("\\n");
            }
            None => {
                out.push_str(before);
                out.push('\n');
            }
        }
        rest = &rest[at + 2..];
    }
    out.push_str(rest);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_call_of_the_client_s_function() {
        assert_eq!(
            script("7", "5:4\"\u{2028}\\\n\u{2029}"),
            "___eio[7](\"5:4\\\"\\u2028\\\\\\n\\u2029\");"
        );
    }

    #[test]
    fn line_ends_and_backslashes_come_as_they_were_sent() {
        for (form, sent) in [
            ("d=1%3A2", "1:2"),
            (r"d=a\nb", "a\nb"),
            (r"d=a\\nb", r"a\nb"),
            (r"d=\\n\n\\\n", "\\n\n\\\\n"),
            ("x=1&d=%E2%9C%93+1", "✓ 1"),
        ] {
            assert_eq!(payload(form.as_bytes()).unwrap(), sent, "{form}");
        }
        assert_eq!(payload(b"e=1"), None);
    }
}
