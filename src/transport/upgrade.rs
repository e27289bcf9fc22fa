//! Turns a request into a WebSocket: tells which requests ask for one, answers them, and hands over the
//! connection. What is spoken on it then is each transport's own matter.

use axum::body::Body;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use ::http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{
        CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};

use super::listener::Connection;

/// Whether a request asks for a WebSocket, well or badly.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(UPGRADE).iter();
    offers
        .filter_map(|offers| offers.to_str().ok())
        .flat_map(|offers| offers.split(','))
        .any(|offer| offer.trim().eq_ignore_ascii_case("websocket"))
}

/// Whether a request asks for one of these versions of the protocol.
pub(crate) fn is_of_version(headers: &HeaderMap, spoken: &[&str]) -> bool {
    let mut asked = headers.get_all(SEC_WEBSOCKET_VERSION).iter();
    // Each client names one, once (RFC 6455, 11.3.5).
    let (asked, more) = (asked.next(), asked.next());
    more.is_none() && asked.is_some_and(|asked| spoken.iter().any(|spoken| asked == spoken))
}

/// Refuses a version that is not spoken here, and names those that are (RFC 6455, 4.4).
pub(crate) fn other_version(spoken: &[&str]) -> Response<Body> {
    let spoken = spoken.join(", ");
    let told = format!("the WebSocket versions spoken here are {spoken}\n");
    let mut response = Response::new(Body::from(told));
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    let spoken = HeaderValue::try_from(spoken).expect("version numbers are a header value");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(SEC_WEBSOCKET_VERSION, spoken);
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response
}

/// Answers that the connection is a WebSocket from now on, and has `converse` speak on it: with the
/// stream, and what came in behind the request.
pub(crate) fn answer<F>(
    request: &mut Request<Body>,
    key: &HeaderValue,
    converse: impl FnOnce(Connection, Vec<u8>) -> F + Send + 'static,
) -> Response<Body>
where
    F: Future<Output = ()> + Send + 'static,
{
    let protocol = first_protocol(request.headers());
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        // The listener makes no others.
        let Ok(parts) = upgraded.downcast::<TokioIo<Connection>>() else {
            return;
        };
        // A copy: even an empty slice of it would keep hyper's whole buffer alive. And a task of its own: this
        // one has room for the upgrade as long as it lives.
        let unread = parts.read_buf.to_vec();
        tokio::spawn(converse(parts.io.into_inner(), unread));
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = derive_accept_key(key.as_bytes());
    let accept = accept.parse().expect("base64 is a header value");
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The first of the subprotocols that a client offers, as Node takes it: a browser that offers some refuses an answer
/// with none.
fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offers = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = offers.split(',').next()?.trim();
    HeaderValue::from_str(first)
        .ok()
        .filter(|first| !first.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_subprotocol_that_is_offered_is_taken() {
        let mut headers = HeaderMap::new();
        assert_eq!(first_protocol(&headers), None);
        headers.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(" chat , other"),
        );
        assert_eq!(first_protocol(&headers).unwrap(), "chat");
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(" ,other"));
        assert_eq!(first_protocol(&headers), None);
    }

    #[test]
    fn a_websocket_may_be_one_of_several_offers_in_any_case() {
        for (offers, asked) in [
            (&["websocket"][..], true),
            (&["WebSocket"], true),
            (&["h2c, websocket"], true),
            (&["h2c", "websocket"], true),
            (&["h2c"], false),
            (&["websockets"], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for offer in offers {
                headers.append(UPGRADE, HeaderValue::from_static(offer));
            }
            assert_eq!(is_asked_for(&headers), asked, "{offers:?}");
        }
    }
}
