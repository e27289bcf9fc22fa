//! Puts accounts, sessions and tokens together with the routes that lead to them.

use std::sync::Arc;

use axum::Router;

use crate::{
    account::{
        Accounts,
        sessions::{Rules, Sessions},
        tokens::{self, Tokens},
    },
    settings::{self, Settings, Switch},
    transport::{
        origin::Allowed,
        web::{
            forms::Forms,
            index::{self, Index},
            kschat::{self, Kschat},
            views::ViewError,
        },
    },
};

/// The route of the old page for two, where the folder of templates has it.
pub fn page_for_two(settings: &Settings, tokens: Option<&Arc<Tokens>>) -> anyhow::Result<Router> {
    let views = settings.views.as_ref();
    let Some(views) = views.filter(|views| views.join(kschat::FILE).exists()) else {
        return Ok(Router::new());
    };
    let demo = tokens
        .filter(|_| settings.tokens.demo == Switch::On)
        .cloned();
    if demo.is_some() {
        tracing::warn!(
            "--demo: whoever opens /kschat?uid=… gets the token of that user; let nobody else reach this machine, and no proxy lead to it"
        );
    }
    Ok(kschat::router(Kschat {
        view: kschat::read(views).map_err(unreadable)?,
        demo,
        owns_root: !views.join(index::FILE).exists(),
    }))
}

fn unreadable(errors: Vec<ViewError>) -> anyhow::Error {
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("--views: {}", errors.join("; "))
}

/// What tokens are held to; `None` where none is taken.
pub fn token_rules(settings: &settings::Tokens) -> Option<tokens::Rules> {
    settings.are_accepted().then(|| tokens::Rules {
        secrets: settings
            .secrets
            .iter()
            .map(|secret| secret.0.clone())
            .collect(),
        jwks: settings.jwks.clone(),
        issuer: settings.issuer.clone(),
        audience: settings.audience.clone(),
        user: settings.user.clone(),
        name: settings.name.clone(),
        check_not_before: settings.check_not_before == Switch::On,
        grace: settings.grace,
    })
}

/// Who has an account, and who is logged in.
pub struct Logins {
    pub accounts: Arc<Accounts>,
    pub sessions: Arc<Sessions>,
}

impl Logins {
    /// Opens both; the data folder must be there.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let options = settings.accounts.options(&settings.data);
        let options = options.map_err(|mistakes| anyhow::anyhow!(mistakes.join("; ")))?;
        let rules = Rules {
            cookie: settings.sessions.cookie.clone(),
            secrets: settings.sessions.secrets(),
            max_age: settings.sessions.max_age,
        };
        let sessions = Sessions::open(&settings.data, rules)?;
        if sessions.has_drawn_secret() {
            tracing::warn!(
                "no --session-secret: drew one, and keep it in the data folder; set one where logins of another server are to count"
            );
        }
        if settings.sessions.has_short_secret() {
            tracing::warn!(
                "--session-secret is short enough to be found by trying: put a longer one before it"
            );
        }
        Ok(Self {
            accounts: Arc::new(Accounts::open(options).await?),
            sessions: Arc::new(sessions),
        })
    }

    /// The routes of forms, and of the old page at `/` where the settings name one.
    pub fn router(&self, settings: &Settings, allowed: Allowed) -> anyhow::Result<Router> {
        let forms = Forms::new(
            self.accounts.clone(),
            self.sessions.clone(),
            allowed,
            settings.stall_timeout,
        );
        let Some(views) = settings.index_template() else {
            return Ok(forms.router());
        };
        let view = index::read(views).map_err(unreadable)?;
        let index = Index {
            view,
            sessions: self.sessions.clone(),
            server: settings.replica(),
        };
        Ok(forms.router().merge(index::router(index)))
    }

    /// Finishes what is under way, and closes both.
    pub async fn close(&self) {
        self.sessions.close().await;
        self.accounts.close().await;
    }
}
