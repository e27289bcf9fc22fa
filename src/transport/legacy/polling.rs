//! Packets in requests and their answers: xhr-polling, jsonp-polling and htmlfile. An answer that
//! could not be written gives its packets back to the session.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ::http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, SET_COOKIE},
};
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{
    attachment::{Attachment, Carrier},
    http::respond,
    moving::Keep,
    packet, payload, place,
    session::Session,
    state::{Taken, Way},
};
use crate::{
    chat::socket::CloseReason,
    connection::{flow::Reader, text},
    transport::body::{self, Unread},
};

const TEXT: &str = "text/plain; charset=UTF-8";
const SCRIPT: &str = "text/javascript; charset=UTF-8";
const PAGE: &str = "text/html; charset=UTF-8";

/// What an htmlfile answer begins with; spaces bring it to [`PREAMBLE_LENGTH`].
const PREAMBLE: &str =
    "<html><body><script>var _ = function (msg) { parent.s._(msg, document); };</script>";

/// Bytes that Internet Explorer wants before it looks at any.
const PREAMBLE_LENGTH: usize = 256;

/// Between two tries of a client to go on, where that is not possible now: it asks again as soon as it is answered.
const PAUSE: Duration = Duration::from_secs(1);

/// How a poll's answer is written.
#[derive(Clone, Debug)]
pub(super) enum Dress {
    Plain,
    /// A script that calls the client's function of this number.
    Script(String),
}

impl Dress {
    fn write(&self, payload: String) -> String {
        match self {
            Self::Plain => payload,
            Self::Script(index) => format!("io.j[{index}]({});", script_string(&payload)),
        }
    }

    fn respond(&self, body: impl Into<Body>) -> Response<Body> {
        let kind = match self {
            Self::Plain => TEXT,
            Self::Script(_) => SCRIPT,
        };
        respond(StatusCode::OK, Some(kind), body)
    }
}

/// Answers a poll: with what waits, or as soon as there is something, or at the end of its time.
pub(super) async fn poll(
    session: Option<Arc<Session>>,
    dress: Dress,
    poll: Carrier,
) -> Response<Body> {
    let by_tls = poll.by_tls;
    let again = match &session {
        Some(session) => session.is_asked_again(&poll).await,
        None => false,
    };
    let attached = session.and_then(|session| session.attach(Way::Poll, poll, again));
    let Some(mut attachment) = attached else {
        return dress.respond(dress.write(packet::NOT_HANDSHAKEN.to_owned()));
    };
    let session = attachment.session.clone();
    let end = tokio::time::Instant::now() + session.times().polling_duration;
    let taken = tokio::time::timeout_at(end, attachment.payload()).await;
    if attachment.first {
        session.open("");
    }
    let payload = match taken {
        Ok(Taken::Some(payload)) => {
            let mut response = dress.respond(Body::new(Answer {
                data: Some(dress.write(payload).into()),
                attachment,
            }));
            if matches!(dress, Dress::Plain) {
                keep_place(&mut response, &session, by_tls);
            }
            return response;
        }
        Ok(Taken::Over) if session.has_moved() => {
            drop(attachment);
            if session.close_reason() != Some(CloseReason::Shutdown) {
                tokio::time::sleep(PAUSE).await;
            }
            packet::NOOP
        }
        Ok(Taken::Over) => packet::NOT_HANDSHAKEN,
        Ok(Taken::Replaced) => {
            // Whoever sent this one has hardly a use for its answer. At once, it would make a
            // client that uses both ask again, and again.
            drop(attachment);
            tokio::time::sleep_until(end).await;
            packet::NOOP
        }
        Ok(Taken::Wait) | Err(_) => {
            let mut response = dress.respond(dress.write(packet::NOOP.to_owned()));
            if matches!(dress, Dress::Plain) {
                keep_place(&mut response, &session, by_tls);
            }
            return response;
        }
    };
    dress.respond(dress.write(payload.to_owned()))
}

/// Has the client keep how far this answer shows it the room.
fn keep_place(response: &mut Response<Body>, session: &Session, by_tls: bool) {
    let seal = session.sessions.seal();
    let cookie = match session.place() {
        Keep::Place(place) => seal.keep(&session.sid, place, session.times(), by_tls),
        Keep::Forget => place::forget(&session.sid),
        Keep::AsItIs => None,
    };
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// What is answered to a client that cannot go on now, and is to ask again.
pub(super) async fn later(method: &Method) -> Response<Body> {
    tokio::time::sleep(PAUSE).await;
    match *method {
        // It was not taken, and the client must not believe that it was.
        Method::POST => respond(StatusCode::SERVICE_UNAVAILABLE, Some(TEXT), ""),
        _ => respond(StatusCode::OK, Some(TEXT), packet::NOOP),
    }
}

/// The answer to a poll.
struct Answer {
    data: Option<Bytes>,
    attachment: Attachment,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.data.take();
        if data.is_some() {
            self.attachment.written();
        }
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}

/// Takes a client's packets, as fast as the session deals with them. `form`: they are in a form's
/// field, as a JSON string. What cannot be read is ignored, as it always was.
pub(super) async fn take(
    request: Request<Body>,
    session: Option<Arc<Session>>,
    form: bool,
) -> Response<Body> {
    let Some(session) = session else {
        return ok();
    };
    let _turn = session.posting.lock().await;
    let limits = session.limits();
    let body = match body::read(request.into_body(), limits.payload, limits.stall).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => return too_large(&session),
        Err(Unread::Late) => return respond(StatusCode::REQUEST_TIMEOUT, Some(TEXT), ""),
        Err(Unread::Broken) => return respond(StatusCode::BAD_REQUEST, Some(TEXT), ""),
    };
    let payload = if form {
        form_field(&body).unwrap_or_default()
    } else {
        String::from_utf8_lossy(&body).into_owned()
    };
    for packet in payload::split(&payload) {
        let Ok(packet) = packet else {
            tracing::debug!("ignored what is not framed as it should be");
            break;
        };
        if packet.len() > limits.message {
            return too_large(&session);
        }
        std::future::poll_fn(|cx| {
            let go_on = session.flow.may_read(Reader::Post, cx.waker()) || session.has_ended();
            if go_on {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        if !session.flow.came() {
            session.close(CloseReason::Flooding);
            break;
        }
        session.hear(packet);
    }
    ok()
}

/// The packets in a jsonp client's form.
fn form_field(body: &[u8]) -> Option<String> {
    let (_, value) = form_urlencoded::parse(body).find(|(key, _)| key == "d")?;
    serde_json::from_str(&text::mend(&value)).ok()
}

fn ok() -> Response<Body> {
    respond(StatusCode::OK, Some(TEXT), "1")
}

fn too_large(session: &Arc<Session>) -> Response<Body> {
    session.close(CloseReason::BadPacket);
    let mut response = respond(StatusCode::PAYLOAD_TOO_LARGE, Some(TEXT), "");
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// An answer that goes on: a page of scripts, one per packet.
pub(super) fn stream(session: Option<Arc<Session>>) -> Response<Body> {
    let attachment =
        session.and_then(|session| session.attach(Way::Stream, Carrier::default(), false));
    let scripts = Scripts {
        begun: false,
        last_packet: attachment.is_none().then_some(packet::NOT_HANDSHAKEN),
        attachment,
    };
    respond(StatusCode::OK, Some(PAGE), Body::new(scripts))
}

struct Scripts {
    begun: bool,
    /// All there is to say to a client without a session.
    last_packet: Option<&'static str>,
    attachment: Option<Attachment>,
}

impl Scripts {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        if !std::mem::replace(&mut self.begun, true) {
            return Poll::Ready(Some(format!("{PREAMBLE:PREAMBLE_LENGTH$}")));
        }
        if let Some(last_packet) = self.last_packet.take() {
            return Poll::Ready(Some(script(last_packet)));
        }
        let Some(attachment) = &mut self.attachment else {
            return Poll::Ready(None);
        };
        let session = attachment.session.clone();
        match attachment.packet(cx.waker()) {
            Taken::Some(packet) => {
                session.flow.taken(1);
                session.flow.sent(packet.len());
                session.is_alive();
                if std::mem::take(&mut attachment.first) {
                    session.open("");
                }
                Poll::Ready(Some(script(&packet)))
            }
            Taken::Wait => Poll::Pending,
            Taken::Replaced | Taken::Over => Poll::Ready(None),
        }
    }
}

impl http_body::Body for Scripts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let script = std::task::ready!(self.next(cx));
        Poll::Ready(script.map(|script| Ok(Frame::data(script.into()))))
    }
}

/// A call of the page's function. No `/` stands bare: `</script>` would end it.
fn script(packet: &str) -> String {
    let string = script_string(packet).replace('/', "\\/");
    format!("<script>_({string});</script>")
}

/// A string in a script, wherever the script stands. JSON may hold two line ends that scripts of old may not.
fn script_string(text: &str) -> String {
    crate::dialects::json(&text)
        .get()
        // In a page, `<!--` and `<script` would make text of what follows.
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_calls_the_function_that_the_client_named() {
        let dress = Dress::Script("3".into());
        assert_eq!(
            dress.write("3:::echo:he\"llo\n✓\u{2028}".into()),
            "io.j[3](\"3:::echo:he\\\"llo\\n✓\\u2028\");"
        );
    }

    #[test]
    fn no_packet_ends_a_script_of_a_page() {
        assert_eq!(
            script("3:::echo:a/b\"</script>"),
            "<script>_(\"3:::echo:a\\/b\\\"\\u003c\\/script>\");</script>"
        );
        assert_eq!(
            script("3:::<!--<script>"),
            "<script>_(\"3:::\\u003c!--\\u003cscript>\");</script>"
        );
    }

    #[test]
    fn a_form_holds_packets_as_a_json_string() {
        for (body, packets) in [
            (
                "d=%223%3A%3A%3Ahe%5C%22llo%5Cn%E2%9C%93%22",
                Some("3:::he\"llo\n✓"),
            ),
            ("x=1&d=%22a%22", Some("a")),
            ("d=%22%5Cud83d%22", Some("\u{fffd}")),
            ("d=3%3A%3A%3Ax", None),
            ("d=", None),
            ("", None),
            ("%22a%22", None),
        ] {
            assert_eq!(form_field(body.as_bytes()).as_deref(), packets, "{body}");
        }
    }
}
