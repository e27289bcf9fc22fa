//! Session ids that say which replica they live on. The engine chooses its ids itself, so the replica's
//! is put in front of them in the answer to a handshake over polling, and taken away from what comes
//! back. A session over WebSocket alone never shows its id to another replica.

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Uri, uri::PathAndQuery};

/// Characters of the engine's own ids.
const ENGINE_ID: usize = 16;

/// The session that a request names, as it names it.
pub(super) fn of(uri: &Uri) -> Option<&str> {
    let query = uri.query()?;
    query.split('&').find_map(|pair| pair.strip_prefix("sid="))
}

/// Takes the replica's id away from the session id of a request.
pub(super) fn strip(request: &mut Request<Body>, member: &str) {
    let uri = request.uri();
    let Some(engine_id) = of(uri).and_then(|sid| sid.strip_prefix(member)) else {
        return;
    };
    if engine_id.len() != ENGINE_ID {
        return;
    }
    let marked = format!("sid={member}{engine_id}");
    let query = uri.query().unwrap_or_default();
    let stripped = query.replacen(&marked, &format!("sid={engine_id}"), 1);
    let path: Option<PathAndQuery> = format!("{}?{stripped}", uri.path()).parse().ok();
    if let Some(path) = path {
        *request.uri_mut() = Uri::from(path);
    }
}

/// Puts the replica's id in front of the one in an open packet. Engine.IO 3 says before each packet
/// how long it is: `97:0{…` in characters, or a zero, a digit a byte, and 255 before a binary one.
pub(super) fn mark(payload: &[u8], member: &str) -> Option<Bytes> {
    const BEFORE_ID: &[u8] = b"0{\"sid\":\"";
    let open = payload
        .windows(BEFORE_ID.len())
        .position(|window| window == BEFORE_ID)?;
    let (length, packet) = payload.split_at(open);
    let (id, rest) = packet.split_at(BEFORE_ID.len());
    let mut marked = Vec::with_capacity(payload.len() + member.len() + 1);
    match length {
        [] => {}
        [0, digits @ .., 255] => {
            let length = digits
                .iter()
                .fold(0, |length, digit| length * 10 + usize::from(*digit));
            marked.push(0);
            let longer = (length + member.len()).to_string();
            marked.extend(longer.bytes().map(|digit| digit - b'0'));
            marked.push(255);
        }
        [digits @ .., b':'] => {
            let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
            marked.extend_from_slice(format!("{}:", length + member.len()).as_bytes());
        }
        _ => return None,
    }
    for part in [id, member.as_bytes(), rest] {
        marked.extend_from_slice(part);
    }
    Some(marked.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_packet_names_the_replica_in_each_framing() {
        let mark = |payload: &[u8]| mark(payload, "mmmm").map(|bytes| bytes.to_vec());
        assert_eq!(
            mark(br#"0{"sid":"0123456789abcdef","x":1}"#).unwrap(),
            br#"0{"sid":"mmmm0123456789abcdef","x":1}"#
        );
        assert_eq!(
            mark(br#"27:0{"sid":"0123456789abcdef"}2:40"#).unwrap(),
            br#"31:0{"sid":"mmmm0123456789abcdef"}2:40"#
        );
        assert_eq!(
            mark(b"\x00\x09\x07\xff0{\"sid\":\"0123456789abcdef\"}").unwrap(),
            b"\x00\x01\x00\x01\xff0{\"sid\":\"mmmm0123456789abcdef\"}"
        );
        for other in [
            &b"2:40"[..],
            b"",
            b"ok",
            br#"{"code":1}"#,
            br#"x0{"sid":"0"}"#,
        ] {
            assert_eq!(mark(other), None, "{other:?}");
        }
    }

    #[test]
    fn only_the_own_mark_is_taken_away() {
        let strip = |query: &str| {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = format!("/socket.io/?{query}").parse().unwrap();
            strip(&mut request, "mmmm");
            request.uri().query().unwrap_or_default().to_owned()
        };
        assert_eq!(
            strip("EIO=4&sid=mmmm0123456789abcdef&t=1"),
            "EIO=4&sid=0123456789abcdef&t=1"
        );
        for other in [
            "EIO=4&sid=nnnn0123456789abcdef",
            "sid=mmmm0123",
            "asid=mmmm0123456789abcdef",
            "EIO=4",
            "",
        ] {
            assert_eq!(strip(other), other);
        }
    }
}
