//! Logging out. Old pages do it with a link, `GET /logout`, and so could any other page. So it needs a proof that a page of ours
//! asked, or the user alone; else the user is shown a button, whose form has a token that no other page can know.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::{AppendHeaders, Html, IntoResponse, Response},
};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, SET_COOKIE,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
    request::Parts,
};

use super::{Forms, form::Form};
use crate::{
    account::sessions::{Session, SessionError},
    transport::{
        listener::Remote,
        origin,
        proxy::ByTls,
        web::index::{SOON, cookies},
    },
};

/// The field of the form.
const TOKEN: &str = "token";

/// Nothing but the form, sent to us alone, and in nobody's frame, where a click could be stolen.
const BUTTON_POLICY: [(HeaderName, HeaderValue); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    ),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// `GET /logout`: logs out, or shows the button.
pub(super) async fn ask(State(forms): State<Arc<Forms>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let cookies = cookies(&head.headers);
    answer(&forms, &head, &cookies, "").await
}

/// `POST /logout`: the button was pressed.
pub(super) async fn confirm(State(forms): State<Arc<Forms>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let request = Request::from_parts(head.clone(), body);
    match Form::read(forms.patience, request).await {
        Ok(form) => answer(&forms, &head, &form.cookies, form.field(TOKEN)).await,
        Err(refused) => refused.into_response(),
    }
}

async fn answer(forms: &Forms, request: &Parts, cookies: &str, token: &str) -> Response {
    match end(forms, request, cookies, token).await {
        Ok(response) => response,
        Err(error) => {
            error.log("could not log somebody out");
            let told = "nobody can log out now, try again\n";
            (StatusCode::SERVICE_UNAVAILABLE, SOON, told).into_response()
        }
    }
}

async fn end(
    forms: &Forms,
    request: &Parts,
    cookies: &str,
    token: &str,
) -> Result<Response, SessionError> {
    let from = Remote::ip(&request.extensions);
    let session = forms.sessions.of(cookies, from).await?;
    let is_for_all = is_for_all(request);
    let is_proven = origin::is_proven(&request.headers, &forms.allowed);
    match &session {
        Some(session) if !is_proven && !forms.sessions.is_logout_token(session, token) => {
            return Ok(button(forms, session, is_for_all));
        }
        Some(session) if is_for_all => forms.sessions.end_everywhere(session).await?,
        Some(session) => forms.sessions.end(&session.id).await?,
        None => {}
    }
    let away = [(LOCATION, "/"), (CACHE_CONTROL, "no-store")];
    let away = (StatusCode::FOUND, away);
    // A link on another page takes no cookie away either, such as one with which a visitor is about to give a name.
    if session.is_none() && !is_proven {
        return Ok(away.into_response());
    }
    let by_tls = request.extensions.get::<ByTls>().is_some();
    let forget = AppendHeaders([(SET_COOKIE, forms.sessions.forget_cookie(by_tls))]);
    Ok((forget, away).into_response())
}

/// Whether all logins of the account are to end: `/logout?everywhere`.
fn is_for_all(request: &Parts) -> bool {
    let query = request.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "everywhere")
}

fn button(forms: &Forms, session: &Session, is_for_all: bool) -> Response {
    let (action, question) = match is_for_all {
        true => ("/logout?everywhere", "Log out of all browsers?"),
        false => ("/logout", "Log out?"),
    };
    // Of letters, digits, `-` and `_`.
    let token = forms.sessions.logout_token(session);
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Log out</title>\n\
         <h1>{question}</h1>\n<form method=\"post\" action=\"{action}\">\n\
         <input type=\"hidden\" name=\"{TOKEN}\" value=\"{token}\">\n\
         <p><button>Log out</button></p>\n</form>\n<p><a href=\"/\">Stay logged in</a></p>\n</html>\n"
    );
    (BUTTON_POLICY, Html(page)).into_response()
}
