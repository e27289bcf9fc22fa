//! What the query of a request asks for, read as Node's engine.io reads it.

use ::http::{Method, Request, Uri};
use axum::body::Body;

use super::{connections::Connections, refusal::Error};

/// Which Engine.IO protocol a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Clients 1.x and 2.x.
    Eio3,
    /// Clients 3.x and 4.x.
    Eio4,
}

/// How packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    Websocket,
}

/// A request's query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub protocol: Protocol,
    pub transport: Transport,
    /// The connection that it names; an empty one is none.
    pub sid: Option<Box<str>>,
    /// The client cannot read binary.
    pub base64: bool,
    /// The index of the client's function that an answer is to call: polling by scripts (JSONP).
    pub script: Option<Box<str>>,
}

/// The connection that a request names, as it names it.
pub fn sid_of(uri: &Uri) -> Option<&str> {
    let parts = uri.query()?.split('&');
    parts
        .filter_map(|part| part.strip_prefix("sid="))
        .find(|sid| !sid.is_empty())
}

impl Query {
    fn of(uri: &Uri) -> Result<Self, Error> {
        let mut query = Self {
            // Whatever is not 4 is 3: some clients of 1.x name 2, or none.
            protocol: Protocol::Eio3,
            transport: Transport::Polling,
            sid: None,
            base64: false,
            script: None,
        };
        let mut transport = None;
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match &*key {
                "EIO" if value == "4" => query.protocol = Protocol::Eio4,
                "EIO" => query.protocol = Protocol::Eio3,
                "transport" => transport = Some(value),
                "sid" => query.sid = (!value.is_empty()).then(|| Box::from(&*value)),
                "b64" => query.base64 = !value.is_empty(),
                // Anything but digits could be a program.
                "j" => query.script = Some(value.chars().filter(char::is_ascii_digit).collect()),
                _ => {}
            }
        }
        query.transport = match transport.as_deref() {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::Websocket,
            _ => return Err(Error::TransportUnknown),
        };
        Ok(query)
    }

    /// Reads a request's query and makes the checks of engine.io's `verify`, in its order.
    pub(super) fn check(
        request: &Request<Body>,
        connections: &Connections,
        upgrade: bool,
    ) -> Result<Self, Error> {
        let query = Self::of(request.uri())?;
        match &query.sid {
            Some(sid) => {
                let connection = connections.find(sid).ok_or(Error::SidUnknown)?;
                if !upgrade && connection.transport() != query.transport {
                    return Err(Error::BadRequest);
                }
                if connection.protocol() != query.protocol {
                    return Err(Error::BadRequest);
                }
            }
            None if request.method() != Method::GET => return Err(Error::BadHandshakeMethod),
            None if query.transport == Transport::Websocket && !upgrade => {
                return Err(Error::BadRequest);
            }
            None => {}
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Query, Error> {
        Query::of(&format!("/socket.io/?{query}").parse().unwrap())
    }

    #[test]
    fn whatever_version_is_not_4_is_taken_for_3() {
        let protocol = |query: &str| of(query).unwrap().protocol;
        assert_eq!(protocol("EIO=4&transport=polling"), Protocol::Eio4);
        for other in ["EIO=3&", "EIO=2&", "EIO=&", "EIO=04&", "EIO=x&", ""] {
            let query = format!("{other}transport=polling");
            assert_eq!(protocol(&query), Protocol::Eio3, "{query}");
        }
    }

    #[test]
    fn an_empty_sid_is_none() {
        assert_eq!(of("transport=polling&sid=").unwrap().sid, None);
        assert_eq!(sid_of(&"/?sid=&sid=a".parse().unwrap()), Some("a"));
        assert_eq!(sid_of(&"/?asid=a&sid=".parse().unwrap()), None);
    }

    #[test]
    fn of_a_script_function_s_index_only_digits_are_left() {
        let query = of("transport=polling&j=1%3Balert(2)").unwrap();
        assert_eq!(query.script.as_deref(), Some("12"));
    }
}
