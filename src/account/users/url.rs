//! Where the users' table is: `sqlite:`, `mysql:` or `postgres:` URLs, read and checked before anything connects.
//! Shown without password and parameters wherever they are shown.

use std::{fmt, io, path::Path, str::FromStr};

use sqlx::{
    ConnectOptions, mysql::MySqlConnectOptions, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use url::Url;

/// A database of one of the three kinds, with what is needed to connect to it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    pub(super) kind: Kind,
    pub(super) url: Url,
}

/// Whose SQL is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sqlite,
    MySql,
    Postgres,
}

impl DatabaseUrl {
    /// An SQLite file.
    pub fn file(path: &Path) -> io::Result<Self> {
        let mut url = Url::from_file_path(std::path::absolute(path)?)
            .map_err(|()| io::Error::new(io::ErrorKind::InvalidInput, "not a path of a file"))?;
        url = Url::parse(&format!("sqlite:{}", url.path())).map_err(io::Error::other)?;
        Ok(Self {
            kind: Kind::Sqlite,
            url,
        })
    }

    /// Whether it is on this machine only.
    pub fn is_file(&self) -> bool {
        self.kind == Kind::Sqlite
    }

    /// The file, where it is one.
    pub(super) fn path(&self) -> Option<std::path::PathBuf> {
        if self.kind != Kind::Sqlite {
            return None;
        }
        let options = SqliteConnectOptions::from_url(&self.url).ok()?;
        Some(options.get_filename().to_owned())
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    /// Errors say what is wrong and never quote the URL, which may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| {
            format!("not a URL ({error}): special characters of a user or password must be written as %XX")
        })?;
        let kind = match url.scheme() {
            "sqlite" => Kind::Sqlite,
            "mysql" | "mariadb" => Kind::MySql,
            "postgres" | "postgresql" => Kind::Postgres,
            scheme => {
                return Err(format!(
                    "{scheme}: is none of sqlite:, mysql: and postgres:"
                ));
            }
        };
        let understood = match kind {
            Kind::Sqlite => SqliteConnectOptions::from_url(&url).map(drop),
            Kind::MySql => MySqlConnectOptions::from_url(&url).map(drop),
            Kind::Postgres => PgConnectOptions::from_url(&url).map(drop),
        };
        understood.map_err(|error| error.to_string())?;
        if kind == Kind::Sqlite {
            if text.contains(":memory:") || url.query_pairs().any(|(_, value)| value == "memory") {
                return Err(
                    "an SQLite database in memory would forget its users: name a file".into(),
                );
            }
        } else if url.path().trim_start_matches('/').is_empty() {
            return Err(format!(
                "names no database: write {}://user:password@host/database",
                url.scheme()
            ));
        }
        Ok(Self { kind, url })
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_secrets(&self.url))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A URL without its password and its parameters.
pub(in crate::account) fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    // Fails only where there can be no password.
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_by_its_scheme_and_shown_without_its_secrets() {
        for (url, kind, shown) in [
            ("sqlite:accounts.db", Kind::Sqlite, "sqlite:accounts.db"),
            (
                "sqlite:///var/chat.db?mode=rwc",
                Kind::Sqlite,
                "sqlite:///var/chat.db",
            ),
            (
                "mysql://chat:s%40cret@db:3307/chat?ssl-mode=required",
                Kind::MySql,
                "mysql://chat@db:3307/chat",
            ),
            (
                "mariadb://chat@db/chat",
                Kind::MySql,
                "mariadb://chat@db/chat",
            ),
            (
                "postgres://chat:secret@db/chat",
                Kind::Postgres,
                "postgres://chat@db/chat",
            ),
            (
                "postgresql://db/chat?password=secret",
                Kind::Postgres,
                "postgresql://db/chat",
            ),
        ] {
            let read: DatabaseUrl = url.parse().unwrap();
            assert_eq!(read.kind, kind, "{url}");
            assert_eq!(read.to_string(), shown);
            assert_eq!(format!("{read:?}"), shown);
        }
    }

    #[test]
    fn what_is_no_database_is_refused_without_a_word_of_its_password() {
        for url in [
            "",
            "chat.db",
            "mysql://chat:secret@db",
            "postgres://chat:secret@db/",
            "mysql://chat:secret/x@db/chat",
            "mysql://chat:secret@db/chat?ssl-mode=perhaps",
            "redis://:secret@db/1",
            "sqlite::memory:",
            "sqlite:x?mode=memory",
            "sqlite:x?mode=perhaps",
        ] {
            let error = url.parse::<DatabaseUrl>().unwrap_err();
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn a_file_of_any_name_is_that_file() {
        for name in ["/data/accounts.db", "/da ta/a?b#c%41/ü.db"] {
            let url = DatabaseUrl::file(Path::new(name)).unwrap();
            assert_eq!(url.path().unwrap(), Path::new(name));
        }
        let relative = DatabaseUrl::file(Path::new("data/accounts.db")).unwrap();
        assert!(relative.path().unwrap().ends_with("data/accounts.db"));
        assert!(relative.path().unwrap().is_absolute());
    }
}
