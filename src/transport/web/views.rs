//! The old pages' templates, unchanged: EJS is translated once, at the start (`ejs`), and rendered by minijinja as
//! EJS would. They stand with the pages because that is what they become.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use minijinja::{
    AutoEscape, Environment, Output, State, UndefinedBehavior, Value, syntax::SyntaxConfig,
};

use self::ejs::{Mistake, RAW, SYNTAX, quoted};

mod ejs;

/// A template, ready to be rendered.
pub struct View {
    templates: Environment<'static>,
    variables: Vec<String>,
}

/// The name that the template has among minijinja's; nobody sees it.
const NAME: &str = "view";

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    #[error("{}: cannot be read: {source}", .file.display())]
    File { file: PathBuf, source: io::Error },
    #[error("{}: {mistake}", .file.display())]
    Construct { file: PathBuf, mistake: String },
}

impl View {
    /// Reads a template that may use these variables; tells every mistake in it.
    pub fn read(file: &Path, variables: &[&str]) -> Result<Self, Vec<ViewError>> {
        let source = fs::read_to_string(file).map_err(|source| {
            vec![ViewError::File {
                file: file.into(),
                source,
            }]
        })?;
        Self::compile(&source, variables).map_err(|mistakes| {
            let with_file = |mistake| ViewError::Construct {
                file: file.into(),
                mistake,
            };
            mistakes.into_iter().map(with_file).collect()
        })
    }

    fn compile(source: &str, variables: &[&str]) -> Result<Self, Vec<String>> {
        let in_words = |mistakes: Vec<Mistake>| -> Vec<_> {
            mistakes.iter().map(Mistake::to_string).collect()
        };
        let translated = ejs::translate(source).map_err(in_words)?;
        let unknown = (translated.variables.iter())
            .filter(|variable| !variables.contains(&variable.name.as_str()))
            .map(|variable| {
                format!(
                    "line {}: {}: there is no variable `{}`, only {}",
                    variable.line,
                    quoted(&variable.construct),
                    variable.name,
                    variables.join(", ")
                )
            });
        let unknown: Vec<_> = unknown.collect();
        if !unknown.is_empty() {
            return Err(unknown);
        }
        let mut templates = environment();
        (templates.add_template_owned(NAME, translated.template))
            .map_err(|error| vec![error.to_string()])?;
        Ok(Self {
            templates,
            variables: (translated.variables.into_iter())
                .map(|variable| variable.name)
                .collect(),
        })
    }

    /// Whether a variable stands in it.
    pub fn uses(&self, variable: &str) -> bool {
        self.variables.iter().any(|name| name == variable)
    }

    /// The page, with these values for its variables.
    pub fn render(&self, values: &[(&str, Option<&str>)]) -> Result<String, minijinja::Error> {
        let values = values
            .iter()
            .map(|(name, value)| (name.to_string(), Value::from(*value)));
        let values: BTreeMap<String, Value> = values.collect();
        self.templates
            .get_template(NAME)?
            .render(Value::from(values))
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}

fn environment() -> Environment<'static> {
    let [expression, statement, comment] = SYNTAX;
    let syntax = SyntaxConfig::builder()
        .variable_delimiters(expression.0, expression.1)
        .block_delimiters(statement.0, statement.1)
        .comment_delimiters(comment.0, comment.1)
        .keep_trailing_newline(true)
        .build()
        .expect("the delimiters differ");
    let mut environment = Environment::empty();
    environment.set_syntax(syntax);
    environment.add_filter(RAW, raw);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_formatter(print);
    environment
}

/// Receipts a value as HTML already.
fn raw(value: Value) -> Value {
    if value.is_none() {
        value
    } else {
        Value::from_safe_string(value.to_string())
    }
}

/// Prints as EJS does: nothing for null, and other characters' names than minijinja's.
fn print(out: &mut Output, _: &mut State, value: &Value) -> Result<(), minijinja::Error> {
    if value.is_none() {
        return Ok(());
    }
    let text = value.to_string();
    let text = if value.is_safe() { text } else { escape(&text) };
    out.write_str(&text).map_err(minijinja::Error::from)
}

/// Text as HTML, with the names that EJS writes (`escapeXML` of its lib/utils.js).
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, name: Option<&str>) -> String {
        let view = View::compile(source, &["name"]).unwrap();
        view.render(&[("name", name)]).unwrap()
    }

    #[test]
    fn values_are_printed_as_ejs_prints_them() {
        let source = "[<%= name %>][<%- name %>]";
        // ejs 2.6.1 answers `[&amp;&lt;&gt;&#34;&#39;/]` to the first.
        assert_eq!(
            render(source, Some("&<>\"'/")),
            "[&amp;&lt;&gt;&#34;&#39;/][&<>\"'/]"
        );
        assert_eq!(render(source, None), "[][]");
    }

    #[test]
    fn conditions_hold_for_what_javascript_takes_for_true() {
        let source = "<% if (name) { %>yes<% } else { %>no<% } %>";
        for (name, answer) in [
            (None, "no"),
            (Some(""), "no"),
            (Some("0"), "yes"),
            (Some(" "), "yes"),
        ] {
            assert_eq!(render(source, name), answer, "{name:?}");
        }
    }

    #[test]
    fn text_stays_as_it_is() {
        let text = "{{ a }} {% b %} {# c #} {{{ %} }} %> <% if (name) { %>\r\n{% raw %}\n<% } %>  \t\r\n\n";
        let plain = text.replace("<% if (name) { %>", "").replace("<% } %>", "");
        assert_eq!(render(text, Some("x")), plain);
        assert_eq!(render("", None), "");
        assert_eq!(render("\n", None), "\n");
    }

    #[test]
    fn a_value_is_no_template() {
        let value = "<%= name %><%: if name %>{{ name }}";
        assert_eq!(render("<%- name %>", Some(value)), value);
    }

    #[test]
    fn a_variable_that_there_is_not_is_a_mistake() {
        let mistakes = View::compile(
            "<%= name %>\n<%= nam %><% if (mail) { %><% } %>",
            &["name", "user"],
        );
        assert_eq!(
            mistakes.unwrap_err(),
            [
                "line 2: `<%= nam %>`: there is no variable `nam`, only name, user",
                "line 2: `<% if (mail) { %>`: there is no variable `mail`, only name, user",
            ]
        );
    }
}
