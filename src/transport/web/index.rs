//! `/` as a page of the old chats: their template, with the name of whoever is logged in. Each view of it gives the
//! session another id, as the old servers did.

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderMap, HeaderName, Method, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_TYPE, COOKIE, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
};

use super::views::{View, ViewError};
use crate::{
    account::sessions::{SessionError, Sessions},
    log_limit::log_limited,
    transport::{listener::Remote, proxy::ByTls},
};

/// The template in the operator's folder.
pub const FILE: &str = "index.ejs";

/// What the template may show: the account's name, the name that a visitor gave, and the replica's name.
const VARIABLES: [&str; 3] = ["name", "user", "server"];

/// The header of an answer that says to try again: in some seconds.
pub(in crate::transport) const SOON: [(HeaderName, &str); 1] = [(RETRY_AFTER, "2")];

/// The page, and what it shows.
pub struct Index {
    pub view: View,
    pub sessions: Arc<Sessions>,
    /// The name of this replica.
    pub server: String,
}

/// Reads the template of a folder.
pub fn read(dir: &Path) -> Result<View, Vec<ViewError>> {
    View::read(&dir.join(FILE), &VARIABLES)
}

/// The route of the page.
pub fn router(index: Index) -> Router {
    Router::new()
        .route("/", get(show))
        .with_state(Arc::new(index))
}

async fn show(State(index): State<Arc<Index>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    match page(&index, &head).await {
        Ok(page) => page,
        Err(error) => {
            error.log("could not show who is logged in");
            let told = "logins cannot be read now, try again\n";
            (StatusCode::SERVICE_UNAVAILABLE, SOON, told).into_response()
        }
    }
}

async fn page(index: &Index, request: &Parts) -> Result<Response, SessionError> {
    let cookies = cookies(&request.headers);
    let from = Remote::ip(&request.extensions);
    let session = index.sessions.of(&cookies, from).await?;
    let id = match &session {
        // Nobody sees what is asked for in this way, nor keeps its cookie.
        _ if request.method == Method::HEAD => None,
        Some(session) => Some(index.sessions.renew(session).await?),
        // The page connects while it tells the name: it must have a cookie by then.
        None if index.view.uses("user") && !index.sessions.know(&cookies) => {
            Some(index.sessions.unused())
        }
        None => None,
    };
    let record = session.map(|session| session.record).unwrap_or_default();
    let page = index.view.render(&[
        ("name", record.name.as_deref()),
        ("user", record.user.as_deref()),
        ("server", Some(&index.server)),
    ]);
    let Ok(page) =
        page.inspect_err(|error| log_limited!(error, %error, "could not render the page"))
    else {
        return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    };
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        // It bears a name, and an id.
        (CACHE_CONTROL, "private, no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let cookie = id.map(|id| {
        let by_tls = request.extensions.get::<ByTls>().is_some();
        [(SET_COOKIE, index.sessions.set_cookie(&id, by_tls))]
    });
    Ok((headers, cookie.map(axum::response::AppendHeaders), page).into_response())
}

/// All `Cookie` headers as one.
pub(in crate::transport) fn cookies(headers: &HeaderMap) -> String {
    let text = headers.get_all(COOKIE).iter();
    let text: Vec<_> = text.filter_map(|value| value.to_str().ok()).collect();
    text.join("; ")
}
