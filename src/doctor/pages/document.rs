//! What a page refers to: the scripts, styles and pictures that a browser fetches with it, and the scripts within it.

use std::sync::LazyLock;

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};
use regex_lite::Regex;

/// What a page is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    pub references: Vec<Reference>,
    /// Scripts in the page itself.
    pub scripts: Vec<String>,
    /// What relative addresses go by instead of the page's own.
    pub base: Option<String>,
}

/// Something that a browser fetches for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub kind: Kind,
    /// As it is written.
    pub address: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Script,
    Style,
    /// A picture, a font, an icon: the page works without it.
    Picture,
}

/// `@import "x"`, the form of it that has no `url`.
static IMPORT: LazyLock<Regex> = LazyLock::new(|| pattern(r#"@import\s+['"]([^'"]+)['"]"#));

static URL: LazyLock<Regex> = LazyLock::new(|| pattern(r#"url\(\s*['"]?([^'")\s]+)['"]?\s*\)"#));

static COMMENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)/\*.*?\*/"));

impl Document {
    pub fn read(html: &str) -> Self {
        let mut document = Self::default();
        let mut emitter = DefaultEmitter::default();
        // So that `<` within a script begins no tag.
        emitter.naively_switch_states(true);
        let mut within = None;
        for Ok(token) in Tokenizer::new_with_emitter(html, emitter) {
            match token {
                Token::StartTag(tag) => {
                    within = Some(tag.name.to_vec());
                    document.note(&tag);
                }
                Token::EndTag(_) => within = None,
                Token::String(text) => {
                    let text = || String::from_utf8_lossy(&text).into_owned();
                    match within.as_deref() {
                        Some(b"script") => document.scripts.push(text()),
                        Some(b"style") => document.references.extend(of_style(&text())),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        document
    }

    fn note(&mut self, tag: &StartTag<()>) {
        let value = |name: &str| {
            let value = tag.attributes.get(name.as_bytes())?;
            let value = String::from_utf8_lossy(value).trim().to_owned();
            Some(value).filter(|value| !value.is_empty())
        };
        let (kind, address) = match &tag.name[..] {
            b"script" => (Kind::Script, value("src")),
            b"link" => {
                let rel = value("rel").unwrap_or_default().to_ascii_lowercase();
                let kind = match &*rel {
                    rel if rel.split_whitespace().any(|word| word == "stylesheet") => Kind::Style,
                    rel if rel.contains("icon") => Kind::Picture,
                    _ => return,
                };
                (kind, value("href"))
            }
            b"img" | b"audio" | b"video" | b"source" | b"embed" => (Kind::Picture, value("src")),
            b"base" => {
                self.base = self.base.take().or_else(|| value("href"));
                return;
            }
            _ => return,
        };
        let address = address.filter(|address| !address.starts_with("data:"));
        self.references
            .extend(address.map(|address| Reference { kind, address }));
    }
}

/// What a style sheet fetches in its turn.
pub(super) fn of_style(css: &str) -> Vec<Reference> {
    let css = COMMENT.replace_all(css, "");
    let imports = IMPORT
        .captures_iter(&css)
        .map(|found| (Kind::Style, found[1].to_owned()));
    let urls = URL.captures_iter(&css).map(|found| {
        let before = &css[..found.get(0).map_or(0, |whole| whole.start())];
        let kind = if before.trim_end().ends_with("@import") {
            Kind::Style
        } else {
            Kind::Picture
        };
        (kind, found[1].to_owned())
    });
    let references = imports.chain(urls);
    references
        .filter(|(_, address)| !address.starts_with("data:") && !address.starts_with('#'))
        .map(|(kind, address)| Reference { kind, address })
        .collect()
}

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a right pattern")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_a_browser_reads_it() {
        let document = Document::read(
            r#"<!doctype html><HEAD><base href="/chat/">
            <LINK REL="shortcut icon" HREF=favicon.ico><link rel=stylesheet href='a.css?x=1&amp;y=2'>
            <link rel="canonical" href="/elsewhere"><style>@import "b.css"; p { background: url(p.png) }</style>
            <script src="/socket.io/socket.io.js"></script><!-- <script src="no.js"></script> -->
            <script>if (1 < 2) io('<script src="no.js">');</script>
            <img src="data:image/png;base64,xx"><img src=" i.png "><a href="no.html">a</a>"#,
        );
        let reference = |kind, address: &str| Reference {
            kind,
            address: address.into(),
        };
        assert_eq!(
            document.references,
            [
                reference(Kind::Picture, "favicon.ico"),
                reference(Kind::Style, "a.css?x=1&y=2"),
                reference(Kind::Style, "b.css"),
                reference(Kind::Picture, "p.png"),
                reference(Kind::Script, "/socket.io/socket.io.js"),
                reference(Kind::Picture, "i.png"),
            ]
        );
        assert_eq!(document.base.as_deref(), Some("/chat/"));
        assert_eq!(
            document.scripts,
            ["if (1 < 2) io('<script src=\"no.js\">');"]
        );
    }

    #[test]
    fn a_style_sheet_has_addresses_in_every_notation() {
        let css = "@import url('a.css'); /* url(no.png) */ a { src: url( \"f.woff\" ) } b { c: url(#d) url(data:x) }";
        let found = of_style(css);
        let found: Vec<_> = found
            .iter()
            .map(|found| (found.kind, &*found.address))
            .collect();
        assert_eq!(found, [(Kind::Style, "a.css"), (Kind::Picture, "f.woff")]);
    }
}
