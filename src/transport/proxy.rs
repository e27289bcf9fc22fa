//! Sees through the proxies in front: what they say of where a request came from, and how, is believed of those
//! that the settings name and of nobody else. All transports then have the client's address as [`Remote`].

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::HeaderMap;
use ipnet::IpNet;

use super::listener::Remote;

/// The client's connection is by TLS, as the proxy says; an extension of such requests.
#[derive(Clone, Copy, Debug)]
pub struct ByTls;

/// The middleware that does it, for every route.
pub async fn see_through(
    State(trusted): State<Arc<[IpNet]>>,
    mut request: Request,
    next: Next,
) -> Response {
    let remote = request.extensions().get().map(|Remote(address)| *address);
    if let Some(remote) = remote.filter(|remote| is_trusted(&trusted, remote.ip())) {
        let client = client(&trusted, remote, request.headers());
        let by_tls = is_by_tls(request.headers());
        request.extensions_mut().insert(Remote(client));
        if by_tls {
            request.extensions_mut().insert(ByTls);
        }
    }
    next.run(request).await
}

fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// The last address that a trusted proxy noted and that is no trusted proxy itself: what stands before it the
/// client may have written.
fn client(trusted: &[IpNet], remote: SocketAddr, headers: &HeaderMap) -> SocketAddr {
    let noted = headers.get_all("x-forwarded-for").iter();
    let noted: Vec<_> = noted.filter_map(|value| value.to_str().ok()).collect();
    let noted = noted.join(",");
    let mut client = remote;
    for hop in noted
        .rsplit(',')
        .map(str::trim)
        .filter(|hop| !hop.is_empty())
    {
        let Some(address) = address(hop) else { break };
        client = SocketAddr::new(address.to_canonical(), 0);
        if !is_trusted(trusted, address) {
            break;
        }
    }
    client
}

/// An address as proxies note it: alone, or with a port.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let alone = bare.unwrap_or(hop).parse();
    alone
        .ok()
        .or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()))
}

/// Of several proxies the first says how the client came.
fn is_by_tls(headers: &HeaderMap) -> bool {
    let said = headers.get("x-forwarded-proto");
    let first = said.and_then(|said| said.to_str().ok()?.split(',').next());
    first.is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_client_is_whom_the_outermost_trusted_proxy_saw() {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for (noted, expected) in [
            (&[][..], "10.0.0.1"),
            (&["203.0.113.9"], "203.0.113.9"),
            (&["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
            (&["1.2.3.4, 203.0.113.9, 10.7.7.7"], "203.0.113.9"),
            (&["203.0.113.9", "10.7.7.7"], "203.0.113.9"),
            (&["203.0.113.9:4711"], "203.0.113.9"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["2001:db8::1,fd00::2"], "2001:db8::1"),
            (&["::ffff:203.0.113.9"], "203.0.113.9"),
            // Nobody outside is named.
            (&["10.1.1.1, 10.7.7.7"], "10.1.1.1"),
            // What cannot be read ends it.
            (&["203.0.113.9, unknown, 10.7.7.7"], "10.7.7.7"),
            (&["<script>"], "10.0.0.1"),
            (&[" ,, "], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for value in noted {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            let remote = "10.0.0.1:5000".parse().unwrap();
            let client = client(&trusted, remote, &headers);
            assert_eq!(client.ip().to_string(), expected, "{noted:?}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_one_that_it_maps() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        assert!(is_trusted(&trusted, "::ffff:10.0.0.1".parse().unwrap()));
        assert!(!is_trusted(&trusted, "::ffff:11.0.0.1".parse().unwrap()));
    }

    #[test]
    fn tls_is_what_the_first_proxy_says() {
        for (said, by_tls) in [
            ("https", true),
            ("HTTPS, http", true),
            ("http,https", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-proto", HeaderValue::from_static(said));
            assert_eq!(is_by_tls(&headers), by_tls, "{said}");
        }
    }
}
