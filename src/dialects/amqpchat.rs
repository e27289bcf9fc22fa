//! The words of AMQPChat: one event `chat`, whose argument is a string of JSON, `{action, name, message}`. The page
//! puts name and message into the document as HTML, after it has put pictures in the place of smileys.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Event,
    by_session::{Id, News, PageEvents, Refused, Said, in_a_string},
};
use crate::{
    account::sessions::Record,
    chat::{
        message::{AuthorName, Message},
        room::{Render, Rendered},
    },
};

/// Who speaks where nobody knows the name.
const GUEST: &str = "Guest";

/// Places in one text where its sender's name is marked; a text that is nothing but a short name would become
/// twenty times as long.
const MARKS: usize = 1_000;

/// See the module.
pub struct AmqpChat;

/// What the page shows.
#[derive(Serialize)]
struct Shown<'a> {
    action: &'static str,
    name: Cow<'a, str>,
    message: Cow<'a, str>,
    #[serde(flatten)]
    id: Option<Id>,
}

impl PageEvents for AmqpChat {
    fn front_end(&self) -> &'static str {
        "amqpchat"
    }

    fn name_in<'a>(&self, record: &'a Record) -> Option<&'a str> {
        record.name.as_deref()
    }

    fn understand(&self, event: &Event) -> Result<Said, &'static str> {
        match &*event.name {
            "joined" => Ok(Said::Joined),
            "left" => Ok(Said::Left),
            "message" => {
                let text = event.arg().ok_or("text is not a string")?;
                Ok(Said::Text(text))
            }
            _ => Err("no such event"),
        }
    }

    fn tell(&self, whom: &AuthorName, what: News) -> Rendered {
        let message = match what {
            News::Joined => " joined the chat!",
            News::Left => " left the chat!",
        };
        chat(&Shown {
            action: "system",
            name: escape_name(whom.as_str()),
            message: message.into(),
            id: None,
        })
    }

    fn tell_refused(&self, what: Refused, reason: &str) -> Rendered {
        chat(&Shown {
            action: "system",
            name: format!("{} ", what.heading()).into(),
            message: escape(reason),
            id: None,
        })
    }
}

impl Render for AmqpChat {
    fn render(&self, message: &Message) -> Rendered {
        let author = message.author.as_ref().map(AuthorName::as_str);
        chat(&Shown {
            action: "message",
            name: escape_name(author.unwrap_or(GUEST)),
            message: match author {
                Some(author) => marked(&message.text, author).into(),
                None => escape(&message.text),
            },
            id: Some(Id::of(message)),
        })
    }
}

fn chat(shown: &Shown<'_>) -> Rendered {
    let payload: Box<RawValue> = in_a_string(shown);
    Rendered {
        event: "chat",
        payload,
    }
}

/// A text as HTML, with its sender's name marked wherever it stands in it.
fn marked(text: &str, name: &str) -> String {
    let mark = format!("<b class=\"you\">{}</b>", escape_name(name));
    let pieces: Vec<_> = text.splitn(MARKS + 1, name).map(escape).collect();
    pieces.join(&mark)
}

/// A text as HTML that shows it as it was typed, smileys apart. Only what could begin markup is replaced, and so
/// that no smiley of the page's comes to be where none was typed: `;(` is one, so an entity's `;` is left out
/// before `(` and `=(`, where it may be. `:&` is one too, and stays.
fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['<', '&']) {
        return text.into();
    }
    let mut html = String::with_capacity(text.len() + 16);
    for (at, char) in text.char_indices() {
        let entity = match char {
            '<' => "&lt",
            '&' if begins_entity(&text[at + 1..]) && !ends_smiley(&text[..at]) => "&amp",
            char => {
                html.push(char);
                continue;
            }
        };
        html.push_str(entity);
        if !text[at + 1..].starts_with(['(', '=']) {
            html.push(';');
        }
    }
    html.into()
}

/// Whether `&` before this would be read as the beginning of a character's name or number.
fn begins_entity(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '#')
}

/// Whether the page makes a picture of `&` after this, which takes it out of what the browser reads.
fn ends_smiley(before: &str) -> bool {
    [":", ":=", ":-"].iter().any(|eyes| before.ends_with(eyes))
}

/// A name as HTML; the page looks for no smileys in it.
fn escape_name(name: &str) -> Cow<'_, str> {
    if !name.contains(['<', '>', '&', '"', '\'']) {
        return name.into();
    }
    let escaped = name.replace('&', "&amp;").replace('<', "&lt;");
    let escaped = escaped.replace('>', "&gt;").replace('"', "&quot;");
    escaped.replace('\'', "&#39;").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the page makes of a text before the browser sees it, with two of its smileys.
    fn with_smileys(html: &str) -> String {
        html.replace(";(", "[crying]").replace(":&", "[puke]")
    }

    /// What a browser shows of it, pictures as they stand in the text.
    fn shown(html: &str) -> String {
        let named = [
            ("&lt;", "<"),
            ("&lt(", "<("),
            ("&lt=", "<="),
            ("&amp;", "&"),
        ];
        let tags_gone = html.replace("<b class=\"you\">", "").replace("</b>", "");
        assert!(!tags_gone.contains('<'), "{html}");
        (named.iter()).fold(tags_gone, |text, (entity, char)| text.replace(entity, char))
    }

    #[test]
    fn what_is_typed_is_shown_and_never_becomes_markup() {
        for text in [
            "plain",
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "a < b && c > d",
            "&lt;b&gt; &#60; &amp; &nothing",
            "<(o)> and <=(",
            "a & b",
            "\"quoted\" 'too'",
            "✓ é <é>",
            "ends with <",
            "ends with &",
        ] {
            assert_eq!(shown(&with_smileys(&escape(text))), text);
        }
    }

    #[test]
    fn smileys_that_are_typed_stay_and_none_is_made() {
        assert_eq!(
            with_smileys(&escape(":& &lt; :&lt;")),
            "[puke] &amp;lt; [puke]lt;"
        );
        assert_eq!(with_smileys(&escape("<( ;( &(")), "&lt( [crying] &(");
        assert_eq!(escape(":\"> >:)"), ":\"> >:)");
    }

    #[test]
    fn the_senders_name_is_marked_wherever_it_stands() {
        let mark = "<b class=\"you\">ann</b>";
        assert_eq!(
            marked("ann, annie & ann", "ann"),
            format!("{mark}, {mark}ie & {mark}")
        );
        assert_eq!(marked("nobody", "ann"), "nobody");
        assert_eq!(
            marked("a<b a<b", "<"),
            "a<b class=\"you\">&lt;</b>b a<b class=\"you\">&lt;</b>b"
        );
    }

    #[test]
    fn a_text_of_nothing_but_a_name_stays_within_bounds() {
        let html = marked(&"a".repeat(100_000), "a");
        assert_eq!(html.matches("<b ").count(), MARKS);
        assert!(html.len() < 130_000, "{}", html.len());
    }

    #[test]
    fn a_name_becomes_no_markup() {
        assert_eq!(
            escape_name("<img onerror='x' \"y\">&"),
            "&lt;img onerror=&#39;x&#39; &quot;y&quot;&gt;&amp;"
        );
    }
}
