//! Which pages may speak for their visitors: a browser sends a visitor's cookies whatever page asks. All
//! transports ask here, so that they agree.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, REFERER},
};

use crate::dialects::Credentials;

/// How the page and this server are related, in the browser's words (W3C Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether pages of an origin, `scheme://host[:port]`, may connect; those of our own host may anyway.
pub type Allowed = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A page that may not speak for its visitors.
#[derive(Debug)]
pub(crate) struct Foreign;

/// What a request says of the page that it comes from.
enum Page {
    /// One of ours or an allowed one, with the origin that it names.
    Ours(Option<HeaderValue>),
    /// Nothing is said: by a program, or by an old browser on behalf of a page that withholds its address.
    Unsaid,
}

/// Which pages a browser lets read an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Ours, and those that CORS allows.
    Allowed,
    /// Every page: the answer is a script (JSONP), which any page may include.
    Anybody,
}

/// The origin that a request names, where it comes from a page of ours, an allowed one, or no page that is known.
///
/// # Errors
/// The page is somebody else's.
pub(crate) fn of(headers: &HeaderMap, allowed: &Allowed) -> Result<Option<HeaderValue>, Foreign> {
    match page(headers, allowed)? {
        Page::Ours(origin) => Ok(origin),
        Page::Unsaid => Ok(None),
    }
}

/// Whether the request shows that it comes from a page of ours or an allowed one, or from the user alone (an address that was
/// typed). A request that says nothing may come from any page.
pub(crate) fn is_proven(headers: &HeaderMap, allowed: &Allowed) -> bool {
    matches!(page(headers, allowed), Ok(Page::Ours(_)))
}

/// What the request brings along that can prove who sent it. Cookies of another page's visitor prove
/// nothing. An answer that every page can read needs a proof that one of ours asked.
pub(crate) fn credentials(headers: &HeaderMap, allowed: &Allowed, readers: Readers) -> Credentials {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let cookies: Vec<_> = headers.get_all(COOKIE).iter().filter_map(text).collect();
    let counts = match readers {
        Readers::Allowed => of(headers, allowed).is_ok(),
        Readers::Anybody => is_proven(headers, allowed),
    };
    Credentials {
        cookie: (!cookies.is_empty() && counts).then(|| cookies.join("; ").into()),
        authorization: headers.get(AUTHORIZATION).and_then(text).map(Into::into),
        place: None,
    }
}

fn page(headers: &HeaderMap, allowed: &Allowed) -> Result<Page, Foreign> {
    let origin = headers.get(ORIGIN);
    // Scripts that a page includes name no origin, but most say where they are included.
    let Some(from) = origin.or_else(|| headers.get(REFERER)) else {
        // Sent over TLS, and to this machine, whatever the page wants. `same-site` is another host of the same domain.
        return match headers.get(SEC_FETCH_SITE) {
            None => Ok(Page::Unsaid),
            Some(site) if site == "same-origin" || site == "none" => Ok(Page::Ours(None)),
            Some(_) if allowed("null") => Ok(Page::Ours(None)),
            Some(_) => Err(Foreign),
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
        Ok(Page::Ours(origin.cloned()))
    } else {
        Err(Foreign)
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

    fn allowed() -> Allowed {
        Arc::new(|origin| origin == "https://friend.example")
    }

    fn cookie(named: &[(&'static str, &'static str)]) -> Option<Box<str>> {
        credentials(&headers(named), &allowed(), Readers::Allowed).cookie
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
        for origin in FOREIGN {
            assert_eq!(cookie(&[host, sent, ("origin", origin)]), None, "{origin}");
            assert_eq!(cookie(&[host, sent, ("referer", origin)]), None, "{origin}");
        }
        for (site, counts) in SITES {
            let cookie = cookie(&[host, sent, ("sec-fetch-site", site)]);
            assert_eq!(cookie.is_some(), counts, "{site}");
        }
    }

    /// As `Sec-Fetch-BridgeContext` has it, with neither `Origin` nor `Referer`, and whether the page is ours.
    const SITES: [(&str, bool); 6] = [
        ("same-origin", true),
        ("none", true),
        ("same-site", false),
        ("cross-site", false),
        ("", false),
        ("Same-Origin", false),
    ];

    /// Origins that only look like `http://chat.example:3000` or `https://friend.example`.
    const FOREIGN: [&str; 18] = [
        "http://evil.example",
        "null",
        "x",
        "",
        // Suffix and prefix.
        "http://chat.example.evil.example",
        "http://evilchat.example",
        "http://evil.chat.example",
        "https://friend.example.evil.example",
        "https://evil-friend.example",
        "https://a.friend.example",
        // Userinfo.
        "http://chat.example@evil.example",
        "http://chat.example:3000@evil.example",
        "https://friend.example@evil.example",
        // Path, query, fragment, backslash.
        "http://evil.example/chat.example",
        "http://evil.example?chat.example",
        "http://evil.example#chat.example",
        "http://evil.example\\chat.example",
        // Another port or scheme is another origin where an origin is allowed by name.
        "http://friend.example",
    ];

    #[test]
    fn an_answer_that_every_page_can_read_needs_a_page_that_is_known() {
        let (host, sent) = (("host", "chat.example:3000"), ("cookie", "a=b"));
        let cookie = |named: &[_]| {
            let named = [&[host, sent][..], named].concat();
            credentials(&headers(&named), &allowed(), Readers::Anybody).cookie
        };
        for named in [
            ("origin", "http://chat.example"),
            ("referer", "http://chat.example:3000/page"),
            ("referer", "https://friend.example/page?x#y"),
        ] {
            assert!(cookie(&[named]).is_some(), "{named:?}");
        }
        assert_eq!(cookie(&[]), None);
        for (site, counts) in SITES {
            let cookie = cookie(&[("sec-fetch-site", site)]);
            assert_eq!(cookie.is_some(), counts, "{site}");
        }
        for origin in FOREIGN {
            assert_eq!(cookie(&[("origin", origin)]), None, "{origin}");
            assert_eq!(cookie(&[("referer", origin)]), None, "{origin}");
        }
    }

    #[test]
    fn a_token_counts_whatever_page_it_comes_from() {
        let sent = [
            ("authorization", "Bearer x"),
            ("origin", "http://evil.example"),
        ];
        for readers in [Readers::Allowed, Readers::Anybody] {
            let credentials = credentials(&headers(&sent), &allowed(), readers);
            assert_eq!(credentials.authorization.as_deref(), Some("Bearer x"));
        }
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
