//! One line of the report: how it stands with something, and what to do about it.

use std::{fmt, sync::LazyLock};

use regex_lite::Regex;

static OS_ERROR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r" \(os error \d+\)").expect("a right pattern"));

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    /// It works, and something about it may surprise.
    Warn,
    /// It does not work, or loses something.
    Bad,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Finding {
    pub level: Level,
    subject: &'static str,
    what: String,
    /// Empty where there is nothing to do.
    to_do: String,
}

impl Finding {
    pub fn ok(subject: &'static str, what: String) -> Self {
        Self::new(Level::Ok, subject, what, "")
    }

    pub fn warn(subject: &'static str, what: String, to_do: impl Into<String>) -> Self {
        Self::new(Level::Warn, subject, what, to_do)
    }

    pub fn bad(subject: &'static str, what: String, to_do: impl Into<String>) -> Self {
        Self::new(Level::Bad, subject, what, to_do)
    }

    pub fn new(
        level: Level,
        subject: &'static str,
        what: String,
        to_do: impl Into<String>,
    ) -> Self {
        Self {
            level,
            subject,
            what,
            to_do: to_do.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Bad => "bad",
        };
        // What others said may have lines of its own, and numbers that say nothing to people.
        let words: Vec<_> = self.what.split_whitespace().collect();
        let what = OS_ERROR.replace_all(&words.join(" "), "").into_owned();
        let what = what.trim_end_matches('.');
        write!(f, "{level:<4}  {:<10}  {what}", self.subject)?;
        if !self.to_do.is_empty() {
            write!(f, ". {}", self.to_do)?;
        }
        Ok(())
    }
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some have their causes in their own text.
        let told = error.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}
