//! Settings of the sessions of pages with logins, with the names that express had for them.

use std::time::Duration;

use clap::Args;

use super::{
    unshown::{self, Unshown},
    values::{duration, key_prefix},
};

/// A secret of this length cannot be found by trying, whatever it is made of; characters.
const LONG_ENOUGH: usize = 16;

/// Browsers keep no cookie for longer (RFC 6265bis, 5.5).
const LONGEST_COOKIE: &str = "400d";

/// Cookies, and how long a login lasts.
#[derive(Clone, Debug, Args)]
pub struct Sessions {
    /// Name of the cookie of logins, 1 to 64 letters, digits and other signs that cookies may have
    #[arg(long = "session-cookie", value_name = "NAME", env = "HANDSHAKEN_SESSION_COOKIE", default_value = "jsessionid", value_parser = cookie_name)]
    pub cookie: String,

    /// What cookies of logins are signed with; may be given several times: the first signs, all are
    /// accepted [default: a random one, kept in the data folder; with --redis none, and logins are
    /// off]
    #[arg(
        long = "session-secret",
        value_name = "SECRET",
        env = "HANDSHAKEN_SESSION_SECRET",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = unshown::secret
    )]
    pub secrets: Vec<Unshown<String>>,

    /// How long a login lasts after it was last used, 1m to 400d [default: as long as the browser
    /// runs, and a day after it was last used]
    #[arg(long = "session-max-age", value_name = "DURATION", env = "HANDSHAKEN_SESSION_MAX_AGE", value_parser = duration("1m", LONGEST_COOKIE))]
    pub max_age: Option<Duration>,

    /// With --redis: what the names of sessions there begin with, 1 to 64 characters: a-z, A-Z, 0-9,
    /// and any of -_.: as in connect-redis
    #[arg(id = "session-prefix", long = "session-prefix", value_name = "PREFIX", env = "HANDSHAKEN_SESSION_PREFIX", default_value = "sess:", value_parser = key_prefix)]
    pub prefix: String,
}

impl Sessions {
    pub(super) fn check_together(&self, mistakes: &mut Vec<String>) {
        if self.secrets.iter().any(|Unshown(secret)| secret.is_empty()) {
            mistakes.push("--session-secret: empty, anybody could sign with that".into());
        }
    }

    /// What cookies are signed with, and verified.
    pub fn secrets(&self) -> Vec<String> {
        let secrets = self.secrets.iter();
        secrets.map(|Unshown(secret)| secret.clone()).collect()
    }

    /// Whether a stranger might find the secret that signs.
    pub fn has_short_secret(&self) -> bool {
        let first = self.secrets.first();
        first.is_some_and(|Unshown(secret)| secret.chars().count() < LONG_ENOUGH)
    }
}

/// A token of RFC 6265, 4.1.1.
fn cookie_name(text: &str) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(is_token) {
        Ok(text.to_owned())
    } else {
        Err("not a name of 1 to 64 letters, digits or !#$%&'*+-.^_`|~".into())
    }
}
