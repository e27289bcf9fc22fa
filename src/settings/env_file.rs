//! A file `.env` in the working folder, where there is one. What the environment says wins. What is wrong with it is
//! told without quoting it: a line that cannot be read may be that of a password.

use std::{fs, io, path::Path};

const FILE: &str = ".env";

/// Why it was not read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum EnvFileError {
    #[error("{FILE}: cannot be read: {0}")]
    File(io::Error),
    #[error("{FILE}: line {0} is not NAME=value: a value with spaces, quotes or # needs 'quotes'")]
    Line(usize),
}

/// Puts its variables into the environment, until a line is wrong.
pub fn read() -> Result<(), EnvFileError> {
    match dotenvy::from_path(FILE) {
        Ok(()) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        Err(dotenvy::Error::LineParse(wrong, _)) => {
            let text = fs::read_to_string(Path::new(FILE)).unwrap_or_default();
            Err(EnvFileError::Line(number(&text, &wrong)))
        }
        Err(dotenvy::Error::Io(error)) => Err(EnvFileError::File(error)),
        Err(_) => Err(EnvFileError::File(io::ErrorKind::InvalidData.into())),
    }
}

/// Which line of a text this one is, which may go on for several, and ends before a comment.
fn number(text: &str, wrong: &str) -> usize {
    let wrong = wrong.lines().next().unwrap_or_default();
    let is_it = |line: &str| {
        let rest = line.strip_prefix(wrong);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
    };
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    lines.position(is_it).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_read_is_told_by_its_number() {
        for (text, wrong, expected) in [
            ("A=1\nB=two words\n", "B=two words\n", 2),
            ("\u{feff}A b\n", "A b\n", 1),
            ("# B=1 2\nAB=1\r\nA\r\n", "A\r\n", 3),
            ("A=1\nB=1 2 # note\n", "B=1 2 ", 2),
            ("A=1\nB='1\nC=2\n", "B='1\nC=2\n", 2),
        ] {
            assert_eq!(number(text, wrong), expected, "{text:?}");
        }
    }
}
