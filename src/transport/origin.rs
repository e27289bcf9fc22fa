//! Which pages may speak for their visitors: a browser sends a visitor's cookies whatever page asks. All
//! transports ask here, so that they agree.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, REFERER},
};

use crate::dialects::Credentials;

/// Whether pages of an origin, `scheme://host[:port]`, may connect; those of our own host may anyway.
pub type Allowed = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A page that may not speak for its visitors.
#[derive(Debug)]
pub(super) struct Foreign;

/// The origin of the page that a request comes from, where it names one and is ours or allowed.
pub(super) fn of(headers: &HeaderMap, allowed: &Allowed) -> Result<Option<HeaderValue>, Foreign> {
    let origin = headers.get(ORIGIN);
    // Scripts that a page includes name no origin, but most say where they are included.
    let Some(from) = origin.or_else(|| headers.get(REFERER)) else {
        let elsewhere = headers
            .get("sec-fetch-site")
            .is_some_and(|site| site == "cross-site");
        return if elsewhere && !allowed("null") {
            Err(Foreign)
        } else {
            Ok(None)
        };
    };
    let from = from.to_str().map_err(|_| Foreign)?;
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let same = host.is_some_and(|host| is_same_host(authority(from), host));
    let page = match (origin, from.split_once("://")) {
        (None, Some((scheme, _))) => format!("{scheme}://{}", authority(from)),
        _ => from.to_owned(),
    };
    if same || allowed(&page) {
        Ok(origin.cloned())
    } else {
        Err(Foreign)
    }
}

/// What the request brings along that can prove who sent it. Cookies of another page's visitor prove
/// nothing.
pub(super) fn credentials(headers: &HeaderMap, allowed: &Allowed) -> Credentials {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let cookies: Vec<_> = headers.get_all(COOKIE).iter().filter_map(text).collect();
    Credentials {
        cookie: (!cookies.is_empty() && of(headers, allowed).is_ok())
            .then(|| cookies.join("; ").into()),
        authorization: headers.get(AUTHORIZATION).and_then(text).map(Into::into),
    }
}

/// `host[:port]` of an address; the 0.9 client on Node names its origin without a scheme.
fn authority(from: &str) -> &str {
    let rest = from.split_once("://").map_or(from, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Ports do not matter.
fn is_same_host(one: &str, other: &str) -> bool {
    !one.is_empty() && without_port(one).eq_ignore_ascii_case(without_port(other))
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(named: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in named {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn cookie(named: &[(&'static str, &'static str)]) -> Option<Box<str>> {
        let allowed: Allowed = Arc::new(|origin| origin == "https://friend.example");
        credentials(&headers(named), &allowed).cookie
    }

    #[test]
    fn cookies_count_for_pages_of_ours_and_allowed_ones() {
        let host = ("host", "chat.example:3000");
        let sent = ("cookie", "a=b");
        assert_eq!(cookie(&[host, sent]).as_deref(), Some("a=b"));
        for origin in [
            "http://chat.example",
            "http://CHAT.example:8080",
            "https://friend.example",
        ] {
            assert!(
                cookie(&[host, sent, ("origin", origin)]).is_some(),
                "{origin}"
            );
        }
        for origin in [
            "http://evil.example",
            "null",
            "http://chat.example.evil",
            "x",
        ] {
            assert_eq!(cookie(&[host, sent, ("origin", origin)]), None, "{origin}");
        }
        assert_eq!(
            cookie(&[host, sent, ("sec-fetch-site", "cross-site")]),
            None
        );
        assert_eq!(
            cookie(&[host, sent, ("referer", "http://evil.example/chat.example")]),
            None
        );
    }

    #[test]
    fn several_cookie_headers_are_one() {
        assert_eq!(
            cookie(&[("cookie", "a=b"), ("cookie", "c=d")]).as_deref(),
            Some("a=b; c=d")
        );
    }

    #[test]
    fn ports_schemes_and_case_do_not_make_another_host() {
        for (from, host, same) in [
            ("http://Chat.example:81", "chat.example", true),
            ("https://chat.example/page?x=1", "chat.example:3000", true),
            ("127.0.0.1:3091", "127.0.0.1:3000", true),
            ("http://[::1]:80", "[::1]:3000", true),
            ("http://[::1]", "[::1]:3000", true),
            ("http://evil.example", "chat.example", false),
            ("http://chat.example.evil.example", "chat.example", false),
            ("http://evil.example/chat.example", "chat.example", false),
            ("null", "chat.example", false),
            ("", "", false),
            ("http://", "chat.example", false),
        ] {
            assert_eq!(is_same_host(authority(from), host), same, "{from} {host}");
        }
    }
}
