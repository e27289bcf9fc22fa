//! For which host and path a request is: checked and made plain before any route sees it, so that no two parts of the
//! server, nor a proxy in front, read it differently.

use axum::body::Body;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_TYPE, HOST},
    uri::Authority,
};

/// Why nobody can say for whom a request is. Answered with 400 (RFC 9112, 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unclear {
    #[error("a request has one Host header; this one has none or several")]
    HostCount,
    #[error("Host is not a host with a port or without")]
    Host,
    #[error("the target is neither a path nor an http address")]
    Target,
}

/// Checks `Host` and the target. A target that is a whole address becomes its path, and its host is the one that
/// counts, whatever `Host` says (RFC 9112, 3.2.2).
///
/// # Errors
/// The request can be read in more than one way.
pub(super) fn make_plain<B>(request: &mut Request<B>) -> Result<(), Unclear> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => {}
        (Some(_), None) => return Err(Unclear::Host),
        // There was none yet.
        (None, None) if request.version() < Version::HTTP_11 => {}
        _ => return Err(Unclear::HostCount),
    }
    let (uri, method) = (request.uri(), request.method());
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path().starts_with('/') => Ok(()),
        (None, None) if uri.path() == "*" && method == Method::OPTIONS => Ok(()),
        // The host and port alone are for CONNECT, which no route knows.
        (None, Some(_)) if method == Method::CONNECT => Ok(()),
        (Some("http" | "https"), Some(host)) if is_host(host.as_str().as_bytes()) => {
            let host = HeaderValue::from_str(host.as_str()).map_err(|_| Unclear::Target)?;
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            // `http://host?query` has no path of its own.
            let path = match path.starts_with('/') {
                true => path.parse(),
                false => format!("/{path}").parse(),
            };
            let path: Uri = path.map_err(|_| Unclear::Target)?;
            *request.uri_mut() = path;
            request.headers_mut().insert(HOST, host);
            Ok(())
        }
        _ => Err(Unclear::Target),
    }
}

/// `host[:port]`; or nothing, for addresses that have no host.
fn is_host(text: &[u8]) -> bool {
    if text.is_empty() {
        return true;
    }
    let Ok(host) = Authority::try_from(text) else {
        return false;
    };
    let port = host.as_str().strip_prefix(host.host());
    let is_port = |port: &str| {
        port.is_empty()
            || port
                .strip_prefix(':')
                .is_some_and(|port| port.is_empty() || port.parse::<u16>().is_ok())
    };
    // User names do not belong there: `ours@theirs` is theirs.
    !host.host().is_empty() && port.is_some_and(is_port)
}

impl Unclear {
    /// What the client is told. Its connection ends, because what follows may be somebody else's request.
    pub(super) fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(method: &str, target: &str, hosts: &[&str]) -> Result<(String, String), Unclear> {
        let mut request = Request::new(());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = target.parse().unwrap();
        for host in hosts {
            request.headers_mut().append(HOST, host.parse().unwrap());
        }
        make_plain(&mut request)?;
        let host = request.headers().get(HOST);
        let host = host.map_or("", |host| host.to_str().unwrap());
        Ok((host.to_owned(), request.uri().to_string()))
    }

    #[test]
    fn a_whole_address_counts_as_its_path_and_its_host() {
        for (target, host, path) in [
            ("/page?x=1", "chat.example:3000", "/page?x=1"),
            ("//evil.example/x", "chat.example:3000", "//evil.example/x"),
            ("http://evil.example/page?x=1", "evil.example", "/page?x=1"),
            ("http://evil.example", "evil.example", "/"),
            ("http://evil.example?x=1", "evil.example", "/?x=1"),
            ("HTTPS://evil.example:8443/", "evil.example:8443", "/"),
        ] {
            let read = plain("GET", target, &["chat.example:3000"]);
            assert_eq!(read, Ok((host.into(), path.into())), "{target}");
        }
    }

    #[test]
    fn one_host_is_named_and_it_is_one() {
        for host in [
            "chat.example",
            "chat.example:80",
            "[::1]:3000",
            "127.0.0.1",
            "",
            "a_b",
        ] {
            assert!(plain("GET", "/", &[host]).is_ok(), "{host}");
        }
        for host in [
            "a b",
            "chat.example/",
            "chat.example/page",
            "http://chat.example",
            "ann@chat.example",
            "chat.example@evil.example",
            "chat.example:port",
            "chat.example:99999",
            "chat.example:80:80",
            "chat.example, evil.example",
            ":80",
            "?",
            "#",
        ] {
            assert_eq!(plain("GET", "/", &[host]), Err(Unclear::Host), "{host}");
        }
        for hosts in [&[][..], &["a", "a"], &["a", "b"], &["a", ""]] {
            assert_eq!(plain("GET", "/", hosts), Err(Unclear::HostCount));
        }
    }

    #[test]
    fn other_targets_are_for_the_methods_that_have_them() {
        assert!(plain("OPTIONS", "*", &["a"]).is_ok());
        assert!(plain("CONNECT", "chat.example:80", &["a"]).is_ok());
        for (method, target) in [
            ("GET", "*"),
            ("GET", "chat.example:80"),
            ("GET", "ftp://chat.example/"),
            ("GET", "file://chat.example/etc/passwd"),
            ("GET", "http://ann@chat.example/"),
        ] {
            let read = plain(method, target, &["a"]);
            assert_eq!(read, Err(Unclear::Target), "{method} {target}");
        }
    }
}
