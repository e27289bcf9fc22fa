//! What a client meets first: each request of Engine.IO's path is checked and answered as Node's engine.io
//! answers it.

use std::{net::IpAddr, sync::Arc};

use ::http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, SEC_WEBSOCKET_KEY},
};
use axum::body::Body;

use super::{
    connection::Connection,
    connections::Connections,
    polling,
    refusal::{Error, bare},
    request::{Query, Transport},
    websocket::{self, Begun},
};
use crate::{
    dialects::Handshake,
    log_limit::log_limited,
    transport::{
        origin::{self, Allowed, Readers},
        upgrade,
    },
};

/// The versions of WebSocket that Node's ws speaks.
const VERSIONS: [&str; 2] = ["13", "8"];

/// Answers requests.
pub(super) struct Front {
    pub connections: Arc<Connections>,
    pub allowed: Allowed,
}

impl Front {
    pub(super) async fn answer(&self, request: Request<Body>, remote: IpAddr) -> Response<Body> {
        if upgrade::is_asked_for(request.headers()) {
            let upgraded = self.upgrade(request, remote);
            return upgraded.unwrap_or_else(Error::upgrade_response);
        }
        match self.answer_polling(request, remote).await {
            Ok(mut response) => {
                if response.status().is_success() {
                    let headers = response.headers_mut();
                    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                }
                response
            }
            Err(error) => error.response(),
        }
    }

    async fn answer_polling(
        &self,
        request: Request<Body>,
        remote: IpAddr,
    ) -> Result<Response<Body>, Error> {
        let query = Query::check(&request, &self.connections, false)?;
        let Some(sid) = &query.sid else {
            let connection = self.begin(&request, &query, remote)?;
            self.connections.open(&connection);
            return Ok(polling::begin(&request, &query, &connection));
        };
        let connection = self.connections.find(sid).ok_or(Error::SidUnknown)?;
        match *request.method() {
            Method::GET => polling::poll(&request.into_parts().0, &query, connection).await,
            Method::POST => polling::take(request, &query, connection).await,
            _ => Ok(bare(StatusCode::INTERNAL_SERVER_ERROR)),
        }
    }

    fn upgrade(&self, mut request: Request<Body>, remote: IpAddr) -> Result<Response<Body>, Error> {
        let query = Query::check(&request, &self.connections, true)?;
        let key = request.headers().get(SEC_WEBSOCKET_KEY).cloned();
        let key = key
            .filter(|_| query.transport == Transport::Websocket && request.method() == Method::GET);
        let key = key.ok_or(Error::BadRequest)?;
        if !upgrade::is_of_version(request.headers(), &VERSIONS) {
            return Ok(upgrade::other_version(&VERSIONS));
        }
        let (connection, is_new) = match &query.sid {
            Some(sid) => (self.connections.find(sid).ok_or(Error::SidUnknown)?, false),
            None => (self.begin(&request, &query, remote)?, true),
        };
        if !is_new {
            let base64 = query.base64;
            let carry =
                move |stream, unread| websocket::try_upgrade(stream, unread, connection, base64);
            return Ok(upgrade::answer(&mut request, &key, carry));
        }
        let connection = Begun(connection);
        let connections = self.connections.clone();
        Ok(upgrade::answer(
            &mut request,
            &key,
            move |stream, unread| {
                connections.open(&connection.0);
                websocket::begin(stream, unread, connection)
            },
        ))
    }

    fn begin(
        &self,
        request: &Request<Body>,
        query: &Query,
        remote: IpAddr,
    ) -> Result<Arc<Connection>, Error> {
        // A script's answer is anybody's who includes it.
        let readers = match query.script {
            Some(_) => Readers::Anybody,
            None => Readers::Allowed,
        };
        let handshake = Handshake {
            remote,
            query: request.uri().query().unwrap_or_default().into(),
            auth: None,
            credentials: origin::credentials(request.headers(), &self.allowed, readers),
        };
        let how = (query.protocol, query.transport, query.base64);
        let connection = self.connections.begin(how, handshake);
        connection.ok_or_else(|| {
            log_limited!(warn, %remote, "refused a session: as many are connected as --max-connections allows");
            Error::Forbidden
        })
    }
}

/// The packet that opens a connection, with what a client needs to know of it.
pub(super) fn open_packet(connection: &Connection) -> String {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Open<'a> {
        sid: &'a str,
        upgrades: &'a [&'a str],
        ping_interval: u64,
        ping_timeout: u64,
        max_payload: usize,
    }
    let timing = connection.timing();
    let open = Open {
        sid: connection.sid(),
        upgrades: match connection.transport() {
            Transport::Polling => &["websocket"],
            Transport::Websocket => &[],
        },
        ping_interval: timing.ping_interval.as_millis() as u64,
        ping_timeout: timing.ping_timeout.as_millis() as u64,
        max_payload: connection.limits().payload,
    };
    let open = serde_json::to_string(&open).expect("text and numbers encode as JSON");
    format!("0{open}")
}
