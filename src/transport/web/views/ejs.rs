//! Turns an EJS template into one of minijinja's: the part of EJS that the old pages use, and nothing else. Text
//! stays as it is, whatever it holds, because the delimiters of the new template begin as EJS's do ([`SYNTAX`]).

use std::fmt;

/// Delimiters of the template that comes out, for an expression, a statement and a comment: text holds none of
/// them, as each `<%` of the EJS template was a construct.
pub const SYNTAX: [(&str, &str); 3] = [("<%=", "%>"), ("<%:", "%>"), ("<%#", "%>")];

/// The filter of what is printed as it is.
pub const RAW: &str = "raw";

/// Characters of a construct that a mistake quotes.
const QUOTED: usize = 60;

/// A template of minijinja's, and what it asks for.
#[derive(Debug)]
pub struct Translated {
    pub template: String,
    /// Each variable once for every place where it stands.
    pub variables: Vec<Variable>,
}

/// Where a variable stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    pub line: usize,
    /// All of the construct.
    pub construct: String,
}

/// A place in an EJS template that is not understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    pub line: usize,
    pub construct: String,
    pub why: &'static str,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}: {}: {}",
            self.line,
            quoted(&self.construct),
            self.why
        )
    }
}

/// A construct as a mistake shows it, on one line.
pub fn quoted(construct: &str) -> String {
    let words = construct.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = words.chars().take(QUOTED).collect();
    let more = if cut.len() < words.len() { "…" } else { "" };
    format!("`{cut}{more}`")
}

/// Translates a template, or tells everything in it that cannot be.
pub fn translate(source: &str) -> Result<Translated, Vec<Mistake>> {
    let mut reader = Reader::default();
    let mut rest = source;
    while let Some(start) = rest.find("<%") {
        let (text, tag) = rest.split_at(start);
        reader.text(text);
        let Some(end) = tag.find("%>") else {
            reader.mistake(tag, "it does not end: `%>` is missing");
            rest = "";
            break;
        };
        let (tag, after) = tag.split_at(end + "%>".len());
        reader.tag(tag);
        rest = after;
    }
    reader.text(rest);
    reader.finish()
}

#[derive(Default)]
struct Reader {
    template: String,
    variables: Vec<Variable>,
    mistakes: Vec<Mistake>,
    /// Line ends so far.
    lines: usize,
    open: Vec<Open>,
}

/// An `if` whose end has not come.
struct Open {
    line: usize,
    construct: String,
    has_else: bool,
}

impl Reader {
    fn text(&mut self, text: &str) {
        self.template.push_str(text);
        self.lines += text.matches('\n').count();
    }

    fn mistake(&mut self, construct: &str, why: &'static str) {
        self.mistakes.push(Mistake {
            line: self.lines + 1,
            construct: construct.to_owned(),
            why,
        });
    }

    /// One construct, its delimiters included.
    fn tag(&mut self, tag: &str) {
        let inner = tag
            .strip_prefix("<%")
            .and_then(|tag| tag.strip_suffix("%>"));
        let inner = inner.unwrap_or_default();
        if inner.ends_with(['-', '_']) {
            self.mistake(
                tag,
                "trimming white space with `-%>` or `_%>` is not understood",
            );
        } else if let Some(expression) = inner.strip_prefix('=') {
            self.print(tag, expression, None);
        } else if let Some(expression) = inner.strip_prefix('-') {
            self.print(tag, expression, Some(RAW));
        } else if inner.starts_with(['%', '#', '_']) {
            self.mistake(tag, "`<%%`, `<%#` and `<%_` are not understood");
        } else {
            self.statement(tag, inner.trim());
        }
        self.lines += tag.matches('\n').count();
    }

    fn print(&mut self, tag: &str, expression: &str, filter: Option<&str>) {
        let name = expression.trim();
        if !is_name(name) {
            return self.mistake(tag, "only the name of a variable can be printed");
        }
        let filter = filter.map(|filter| format!("|{filter}"));
        let filter = filter.unwrap_or_default();
        self.template.push_str(&format!("<%= {name}{filter} %>"));
        self.uses(tag, name);
    }

    fn statement(&mut self, tag: &str, code: &str) {
        if code == "}" {
            match self.open.pop() {
                Some(_) => self.template.push_str("<%: endif %>"),
                None => self.mistake(tag, "there is no `if` that it could end"),
            }
        } else if is_else(code) {
            match self.open.last_mut() {
                Some(open) if !open.has_else => {
                    open.has_else = true;
                    self.template.push_str("<%: else %>");
                }
                _ => self.mistake(tag, "there is no `if` that it could belong to"),
            }
        } else if let Some(name) = condition(code) {
            self.template.push_str(&format!("<%: if {name} %>"));
            self.uses(tag, name);
            self.open.push(Open {
                line: self.lines + 1,
                construct: tag.to_owned(),
                has_else: false,
            });
        } else {
            self.mistake(tag, "only `if (name) {`, `} else {` and `}` are understood");
            // What ends it is no second mistake.
            if code.ends_with('{') && !code.starts_with('}') {
                self.open.push(Open {
                    line: self.lines + 1,
                    construct: tag.to_owned(),
                    has_else: false,
                });
            }
        }
    }

    fn uses(&mut self, tag: &str, name: &str) {
        self.variables.push(Variable {
            name: name.to_owned(),
            line: self.lines + 1,
            construct: tag.to_owned(),
        });
    }

    fn finish(mut self) -> Result<Translated, Vec<Mistake>> {
        for open in std::mem::take(&mut self.open) {
            self.mistakes.push(Mistake {
                line: open.line,
                construct: open.construct,
                why: "it does not end: `<% } %>` is missing",
            });
        }
        if self.mistakes.is_empty() {
            Ok(Translated {
                template: self.template,
                variables: self.variables,
            })
        } else {
            self.mistakes.sort_by_key(|mistake| mistake.line);
            Err(self.mistakes)
        }
    }
}

/// `} else {`
fn is_else(code: &str) -> bool {
    let between = code
        .strip_prefix('}')
        .and_then(|code| code.strip_suffix('{'));
    between.is_some_and(|between| between.trim() == "else")
}

/// The name in `if (name) {`.
fn condition(code: &str) -> Option<&str> {
    let code = code.strip_prefix("if")?.trim_start().strip_prefix('(')?;
    let name = code.strip_suffix('{')?.trim_end().strip_suffix(')')?.trim();
    is_name(name).then_some(name)
}

/// A name that is one in both languages.
fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_old_pages_use_is_translated() {
        let source = "<b><% if (name) { %><%= name %><% } else { %>you<% } %></b>\n<%- raw %> <%if(user){%>!<%}%>\n";
        let translated = translate(source).unwrap();
        assert_eq!(
            translated.template,
            "<b><%: if name %><%= name %><%: else %>you<%: endif %></b>\n<%= raw|raw %> <%: if user %>!<%: endif %>\n"
        );
        let names: Vec<_> = translated
            .variables
            .iter()
            .map(|variable| (variable.name.as_str(), variable.line))
            .collect();
        assert_eq!(names, [("name", 1), ("name", 1), ("raw", 2), ("user", 2)]);
    }

    #[test]
    fn everything_else_is_told_with_its_line() {
        let source = "ok\n<%= user.name %>\n<%- include('head') %> <% users.forEach(function (u) { %>\n<%= u %><% }) %>\n\
            <%# note %> <%% <% if (!a) { %>\n<% } %> <%_ x _%> <%= y -%>\n<%= 'a' %> <%  %>\n<% } %>\n<% } else { %>\n<% if (a) {\n %>\n<%= never";
        let mistakes = translate(source).unwrap_err();
        let told: Vec<_> = mistakes
            .iter()
            .map(|mistake| (mistake.line, quoted(&mistake.construct)))
            .collect();
        let expected = [
            (2, "`<%= user.name %>`"),
            (3, "`<%- include('head') %>`"),
            (3, "`<% users.forEach(function (u) { %>`"),
            (4, "`<% }) %>`"),
            (5, "`<%# note %>`"),
            (5, "`<%% <% if (!a) { %>`"),
            (6, "`<%_ x _%>`"),
            (6, "`<%= y -%>`"),
            (7, "`<%= 'a' %>`"),
            (7, "`<% %>`"),
            (8, "`<% } %>`"),
            (9, "`<% } else { %>`"),
            (10, "`<% if (a) { %>`"),
            (12, "`<%= never`"),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(line, construct)| (*line, construct.to_string()))
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_long_construct_is_cut() {
        let source = format!("<%= {} %>", "x + ".repeat(100));
        let mistake = translate(&source).unwrap_err().remove(0).to_string();
        assert!(mistake.starts_with("line 1: `<%= x + x +"), "{mistake}");
        assert!(mistake.contains("…`: only the name"), "{mistake}");
        assert!(mistake.len() < 150, "{mistake}");
    }
}
