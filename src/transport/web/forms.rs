//! Registration, login and logout as the old chats' pages ask for them: forms in, JSON out, status 200 with an
//! `error` that the page shows as HTML. `form` takes the request apart, `words` has what a page is told.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{AppendHeaders, IntoResponse, Response},
    routing::{any, get, post},
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, LOCATION, SET_COOKIE},
    request::Parts,
};
use serde_json::json;

use self::{form::Form, words::Told};
use super::index::{SOON, cookies};
use crate::{
    account::{
        Accounts, Names,
        sessions::{Record, SessionError, SessionId, Sessions},
    },
    chat::message::AuthorName,
    transport::{
        listener::Remote,
        origin::{self, Allowed},
        proxy::ByTls,
    },
};

mod form;
mod words;

/// What the routes need.
pub struct Forms {
    /// None where nobody can have one.
    accounts: Option<Arc<Accounts>>,
    names: Arc<Names>,
    sessions: Arc<Sessions>,
    allowed: Allowed,
    patience: Duration,
}

impl Forms {
    /// Forms of pages whose origin is `allowed`; a form may take `patience` to arrive.
    pub fn new(
        accounts: Option<Arc<Accounts>>,
        names: Arc<Names>,
        sessions: Arc<Sessions>,
        allowed: Allowed,
        patience: Duration,
    ) -> Self {
        Self {
            accounts,
            names,
            sessions,
            allowed,
            patience,
        }
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/register", post(register))
            .route("/login", post(login))
            .route("/user", post(name_visitor))
            .route("/logout", get(logout))
            .with_state(Arc::new(self))
    }

    fn accounts(&self) -> Result<&Accounts, Told> {
        self.accounts.as_deref().ok_or_else(no_accounts)
    }

    fn set_cookie(
        &self,
        id: &SessionId,
        by_tls: bool,
    ) -> AppendHeaders<[(http::HeaderName, String); 1]> {
        AppendHeaders([(SET_COOKIE, self.sessions.set_cookie(id, by_tls))])
    }
}

/// The routes where nobody can be known.
pub fn closed() -> Router {
    let told = || async { no_accounts() };
    ["/register", "/login", "/user", "/logout"]
        .into_iter()
        .fold(Router::new(), |router, path| router.route(path, any(told)))
}

fn no_accounts() -> Told {
    Told::refused(
        StatusCode::NOT_FOUND,
        "There are no accounts on this server!",
    )
}

async fn register(State(forms): State<Arc<Forms>>, request: Request) -> Result<Response, Told> {
    let form = Form::take(&forms.allowed, forms.patience, request).await?;
    let (name, mail) = (form.field("name"), form.field("mail"));
    let registered = forms.accounts()?.register(name, mail, form.from).await?;
    Ok(answer(json!({ "pass": registered.password })))
}

async fn login(State(forms): State<Arc<Forms>>, request: Request) -> Result<Response, Told> {
    let form = Form::take(&forms.allowed, forms.patience, request).await?;
    let (mail, pass) = (form.field("mail"), form.field("pass"));
    let user = forms.accounts()?.login(mail, pass, form.from).await?;
    let name = user.author().as_str().to_owned();
    // Nobody can have given this browser the new id beforehand.
    let before = forms.sessions.of(&form.cookies, form.from).await?;
    let record = Record::of_account(name.clone(), user.mail);
    let session = forms.sessions.begin(record).await?;
    if let Some(before) = before {
        forms.sessions.end(&before.id).await?;
    }
    let cookie = forms.set_cookie(&session.id, form.by_tls);
    Ok((cookie, answer(json!({ "success": true, "name": name }))).into_response())
}

async fn name_visitor(State(forms): State<Arc<Forms>>, request: Request) -> Result<Response, Told> {
    let form = Form::take(&forms.allowed, forms.patience, request).await?;
    let user: AuthorName = form.field("user").parse()?;
    let naming = forms.sessions.naming(form.from)?;
    // A bare name proves nothing: it must not be taken for somebody's who has proved it.
    let checked = forms.names.check(&user, Some((&form.cookies, form.from)));
    (checked.await).map_err(|why| Told::name_refused(user.as_str(), &why))?;
    let user = user.as_str().to_owned();
    let named = (forms.sessions).name_visitor(naming, &form.cookies, user);
    let session = named.await?;
    let cookie = forms.set_cookie(&session.id, form.by_tls);
    Ok((cookie, answer(json!({ "error": "" }))).into_response())
}

async fn logout(State(forms): State<Arc<Forms>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    match end(&forms, &head).await {
        Ok(response) => response,
        Err(error) => {
            error.log("could not log somebody out");
            let told = "nobody can log out now, try again\n";
            (StatusCode::SERVICE_UNAVAILABLE, SOON, told).into_response()
        }
    }
}

async fn end(forms: &Forms, request: &Parts) -> Result<Response, SessionError> {
    let away = [(LOCATION, "/"), (CACHE_CONTROL, "no-store")];
    let away = (StatusCode::FOUND, away);
    // A link on somebody else's page logs nobody out.
    if origin::of(&request.headers, &forms.allowed).is_err() {
        return Ok(away.into_response());
    }
    let cookies = cookies(&request.headers);
    let from = Remote::ip(&request.extensions);
    if let Some(session) = forms.sessions.of(&cookies, from).await? {
        match is_for_all(request) {
            true => forms.sessions.end_everywhere(&session).await?,
            false => forms.sessions.end(&session.id).await?,
        }
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

fn answer(json: serde_json::Value) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(json)).into_response()
}
