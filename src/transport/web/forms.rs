//! Registration, login and logout as the old chats' pages ask for them: forms in, JSON out, status 200 with an
//! `error` that the page shows as HTML. `form` takes the request apart, `words` has what a page is told. `logout` is asked for with an
//! address alone, so it makes sure that the user wants it.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Request, State},
    response::{AppendHeaders, IntoResponse, Response},
    routing::{any, get, post},
};
use http::{
    StatusCode,
    header::{CACHE_CONTROL, SET_COOKIE},
};
use serde_json::json;

use self::{form::Form, words::Told};
use crate::{
    account::{
        Accounts, Names,
        sessions::{Record, SessionId, Sessions},
    },
    chat::message::AuthorName,
    transport::origin::Allowed,
};

mod form;
mod logout;
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
            .route("/logout", get(logout::ask).post(logout::confirm))
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

fn answer(json: serde_json::Value) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(json)).into_response()
}
