//! Somebody with an account.

use std::fmt;

use crate::chat::message::{AUTHOR_NAME_MAX, AuthorName};

/// A user's number, which never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserId(pub i64);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Somebody with an account. Name and mail are as they were registered: not escaped, and in a table of the old
/// chat's anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub mail: String,
}

impl User {
    /// The name under which the user speaks. A name of the old chat's that is too long is cut, one that cannot be
    /// shown becomes `user 7`.
    pub fn author(&self) -> AuthorName {
        Self::author_of(self.id, &self.name)
    }

    /// The same of a user who is called this.
    pub(super) fn author_of(id: UserId, name: &str) -> AuthorName {
        let cut: String = name.trim().chars().take(AUTHOR_NAME_MAX).collect();
        let author = cut.parse().or_else(|_| format!("user {id}").parse());
        author.expect("a short name without control characters")
    }
}

/// A new account, with its password: it is known here and nowhere else.
#[derive(Clone)]
pub struct Registered {
    pub user: User,
    pub password: String,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_of_an_old_table_has_a_name_to_speak_under() {
        let author = |name: &str| {
            let user = User {
                id: UserId(7),
                name: name.into(),
                mail: String::new(),
            };
            user.author().as_str().to_owned()
        };
        assert_eq!(author("Zoë"), "Zoë");
        assert_eq!(author(&"é".repeat(255)), "é".repeat(40));
        assert_eq!(
            author(&format!("{} {}", "x".repeat(39), "y".repeat(9))),
            "x".repeat(39)
        );
        for name in ["", " ", "a\nb", "\u{202e}", "\u{200b}"] {
            assert_eq!(author(name), "user 7", "{name:?}");
        }
    }
}
