//! What is read from the settings and shown to nobody: secrets, and addresses that may hold one.

use std::{convert::Infallible, fmt, str::FromStr};

/// A value that no log, error or `--help` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Unshown<T>(pub T);

/// Takes any text: clap would quote a wrong one. Whether it is right is judged with all settings together.
pub(super) fn secret(text: &str) -> Result<Unshown<String>, Infallible> {
    Ok(Unshown(text.to_owned()))
}

/// The same, for what is read as something else.
pub(super) fn judged_later<T: FromStr>(
    text: &str,
) -> Result<Unshown<Result<T, T::Err>>, Infallible> {
    Ok(Unshown(text.parse()))
}

impl<T> fmt::Debug for Unshown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}
