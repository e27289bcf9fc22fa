//! The old page for two, from its template: who it is for and whom it writes to stand in its address. Its values land
//! within texts of a script, where escaping HTML does not help, so only what cannot end such a text is let in.

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use serde::Deserialize;

use super::views::{View, ViewError};
use crate::account::tokens::Tokens;
use crate::log_limit::log_limited;

/// The template in the operator's folder.
pub const FILE: &str = "client.ejs";

/// What the template may show: who it is for, whom it writes to, a number of the page's own, a token.
const VARIABLES: [&str; 4] = ["uid", "rid", "random", "tokenId"];

/// Characters of a user's id in the address. Longer ids are for pages that do not come from here.
const LONGEST_ID: usize = 255;

/// Characters of a token; no longer one is accepted.
const LONGEST_TOKEN: usize = 8 * 1024;

/// The page, and who makes tokens for it where that is tried out.
pub struct Kschat {
    pub view: View,
    /// Mints tokens for whoever asks. For demonstrations, on this machine alone.
    pub demo: Option<Arc<Tokens>>,
    /// Whether `/` is this page's as well.
    pub owns_root: bool,
}

/// Reads the template of a folder.
pub fn read(dir: &Path) -> Result<View, Vec<ViewError>> {
    View::read(&dir.join(FILE), &VARIABLES)
}

/// The routes of the page.
pub fn router(page: Kschat) -> Router {
    let mut router = Router::new().route("/kschat", get(show));
    if page.owns_root {
        router = router.route("/", get(tell));
    }
    router.with_state(Arc::new(page))
}

async fn tell() -> &'static str {
    "the chat is at /kschat?uid=<your id>&rid=<the other's id>\n"
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    rid: String,
    #[serde(default, rename = "tokenId")]
    token: String,
}

async fn show(
    State(page): State<Arc<Kschat>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let refuse = |told: &'static str| (StatusCode::BAD_REQUEST, told).into_response();
    let Ok(Query(Asked { uid, rid, token })) = asked else {
        return refuse("uid, rid or tokenId is there twice, or is no text\n");
    };
    if !is_plain_id(&uid) || !is_plain_id(&rid) {
        return refuse(
            "uid and rid are ids of users: 1 to 255 letters, digits and any of - _ . : @ | +\n",
        );
    }
    if !is_like_a_token(&token) {
        return refuse("tokenId is not a token\n");
    }
    let token = match &page.demo {
        Some(tokens) if token.is_empty() => tokens.mint(&uid).unwrap_or_default(),
        _ => token,
    };
    let Some(random) = random() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let shown = page.view.render(&[
        ("uid", Some(&uid)),
        ("rid", Some(&rid)),
        ("random", Some(&random)),
        ("tokenId", Some(&token)),
    ]);
    let Ok(shown) =
        shown.inspect_err(|error| log_limited!(error, %error, "could not render the page"))
    else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        // It bears a token, in its text and in its address.
        (CACHE_CONTROL, "private, no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, shown).into_response()
}

/// What applications name users with, and none of it ends a text in HTML or in a script.
fn is_plain_id(id: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || "-_.:@|+".contains(c);
    !id.is_empty() && id.chars().nth(LONGEST_ID).is_none() && id.chars().all(is_plain)
}

/// A token's alphabet; or nothing.
fn is_like_a_token(token: &str) -> bool {
    let is_in_it = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    token.len() <= LONGEST_TOKEN && token.bytes().all(is_in_it)
}

/// What the page receipts its own messages with: a number that another page hardly has.
fn random() -> Option<String> {
    getrandom::u32()
        .map(|number| number.to_string())
        .inspect_err(|error| log_limited!(error, %error, "the system has no randomness for a page"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_end_a_text_of_a_script_is_no_plain_id() {
        for id in [
            "7",
            "ann",
            "ann@a.example",
            "auth0|5f7c",
            "a-b_c.d:e+f",
            "Zoë",
            "山田",
        ] {
            assert!(is_plain_id(id), "{id}");
        }
        let long = "x".repeat(LONGEST_ID + 1);
        for id in [
            "",
            "'",
            "a'b",
            "\\",
            "a\\",
            "\n",
            "a\u{2028}b",
            "a\u{2029}",
            "<",
            "</script>",
            "a b",
            "\"",
            "`",
            "$",
            "{",
            "&",
            "a;b",
            "(",
            "%27",
            "\0",
            &long,
        ] {
            assert!(!is_plain_id(id), "{id:?}");
        }
    }

    #[test]
    fn what_is_no_token_is_not_let_in() {
        for token in ["", "a.b-c_d", &"x".repeat(LONGEST_TOKEN)] {
            assert!(is_like_a_token(token));
        }
        for token in ["'", "a&b", "a b", "é", "a=", &"x".repeat(LONGEST_TOKEN + 1)] {
            assert!(!is_like_a_token(token), "{token}");
        }
    }
}
