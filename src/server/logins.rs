//! Puts accounts, sessions and tokens together with the routes that lead to them.

use std::sync::Arc;

use axum::Router;

use crate::{
    account::{
        Accounts, Names, Shared,
        sessions::{Rules, Sessions},
        tokens::{self, Tokens},
    },
    redis::Redis,
    settings::{self, Settings, Switch},
    transport::{
        origin::Allowed,
        web::{
            forms::{self, Forms},
            index::{self, Index},
            kschat::{self, Kschat},
            views::ViewError,
        },
    },
};

/// What logins of several replicas need.
const SHARED: &str = "--session-secret and --database mysql://… or postgres://…, the same for all";

/// What accounts of several replicas need.
const DATABASE: &str =
    "to register and log in on all replicas, set --database mysql://… or postgres://…";

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

/// Ends the sharing of the users' table with the old chat. Says in words what came of it.
pub async fn finish_migration(settings: &Settings) -> anyhow::Result<String> {
    let options = settings.accounts.options(&settings.data);
    let options = options.map_err(|mistakes| anyhow::anyhow!(mistakes.join("; ")))?;
    let database = &options.database;
    let finished = Accounts::finish_migration(database).await?;
    let old = match finished.old {
        0 => "no password is SHA-1 any more".to_owned(),
        old => format!("passwords that stay SHA-1 until their user logs in: {old}"),
    };
    Ok(if finished.was_shared {
        format!(
            "the users' table of {database} is not shared any more; passwords that became Argon2id: {}; {old}",
            finished.taken_over
        )
    } else {
        format!(
            "the users' table of {database} is not shared with an old chat: nothing to finish; {old}"
        )
    })
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
    /// None where people cannot register here.
    accounts: Option<Arc<Accounts>>,
    pub sessions: Arc<Sessions>,
    /// Who may be called what.
    pub names: Arc<Names>,
    /// Whether any cookie names anybody.
    pub are_on: bool,
}

impl Logins {
    /// Opens both: with a Redis where all replicas find them, or not at all; else in the data folder, which must be there.
    pub async fn open(settings: &Settings, redis: Option<&Redis>) -> anyhow::Result<Self> {
        let are_on = settings.has_sessions();
        if !are_on {
            tracing::info!("logins are off: to be known on all replicas they need {SHARED}");
        } else if !settings.has_accounts() {
            tracing::info!("accounts are off, and only logins made elsewhere count: {DATABASE}");
        }
        let accounts = match settings.has_accounts() {
            true => {
                let options = settings.accounts.options(&settings.data);
                let options = options.map_err(|mistakes| anyhow::anyhow!(mistakes.join("; ")))?;
                let mut accounts = Accounts::open(options).await?;
                // Whoever reaches all replicas through a balancer is to have no more tries than with one.
                if let Some((redis, secret)) = redis.zip(settings.sessions.secrets().first()) {
                    accounts = accounts.share(Shared::new(redis.clone(), secret));
                }
                Some(Arc::new(accounts))
            }
            false => None,
        };
        let rules = Rules {
            cookie: settings.sessions.cookie.clone(),
            secrets: settings.sessions.secrets(),
            max_age: settings.sessions.max_age,
        };
        let sessions = match redis {
            Some(redis) => Sessions::shared(redis.clone(), settings.sessions.prefix.clone(), rules),
            None => Sessions::open(&settings.data, rules)?,
        };
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
        let sessions = Arc::new(sessions);
        Ok(Self {
            names: Arc::new(Names::new(accounts.clone(), sessions.clone())),
            accounts,
            sessions,
            are_on,
        })
    }

    /// The routes of forms, and of the old page at `/` where the settings name one.
    pub fn router(&self, settings: &Settings, allowed: Allowed) -> anyhow::Result<Router> {
        if !self.are_on {
            return Ok(forms::closed());
        }
        let forms = Forms::new(
            self.accounts.clone(),
            self.names.clone(),
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
        if let Some(accounts) = &self.accounts {
            accounts.close().await;
        }
    }
}
