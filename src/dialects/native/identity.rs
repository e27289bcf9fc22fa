//! Who a connection is: to the application by what its token proves, brought along when it connected or given with
//! `hello`; and what it may be called, where no token says so.

use std::{net::IpAddr, sync::Arc};

use super::answer::Problem;
use crate::{
    account::{
        names::Names,
        sessions,
        tokens::{Identity, TokenError, Tokens, Watch},
    },
    chat::{
        message::{AuthorName, UserId},
        socket::Socket,
    },
    dialects::{Handshake, SeveralTokens},
    log_limit::log_limited,
};

/// What one connection has proved.
pub(super) struct Proof {
    /// Absent where this server takes none.
    tokens: Option<Arc<Tokens>>,
    /// Until one is accepted.
    brought: Result<Option<String>, SeveralTokens>,
    /// Who it is, and the end of that.
    known: Option<(Identity, Watch)>,
    names: Arc<Names>,
    /// Those of the handshake.
    cookies: Option<Box<str>>,
    from: IpAddr,
    /// Ends the connection with its login, where it is called as the login's account is.
    login: Option<sessions::Watch>,
}

impl Proof {
    pub(super) fn new(
        tokens: Option<Arc<Tokens>>,
        names: Arc<Names>,
        handshake: &Handshake,
    ) -> Self {
        Self {
            // A parameter of that name may mean something else where no token is taken.
            brought: match &tokens {
                Some(_) => handshake.token(),
                None => Ok(None),
            },
            tokens,
            known: None,
            names,
            cookies: handshake.credentials.cookie.clone(),
            from: handshake.remote,
            login: None,
        }
    }

    /// Checks this token, or the one that was brought along; `None` without either. Whoever brought one that is
    /// refused is not taken for nobody.
    pub(super) async fn check(
        &self,
        socket: &Arc<dyn Socket>,
        given: Option<String>,
    ) -> Result<Option<Identity>, Problem> {
        let token = given.map_or_else(|| self.brought.clone(), |given| Ok(Some(given)));
        let Some(token) = token? else {
            return Ok(None);
        };
        let tokens = self.tokens.as_ref().ok_or(Problem::NoTokens)?;
        let identity = tokens.verify_patiently(&token).await.inspect_err(|error| {
            log_limited!(warn, socket = %socket.id(), reason = error.detail(), "refused a token");
        })?;
        Ok(Some(identity))
    }

    /// From now on the connection is this user's, and ends with the token.
    pub(super) fn accept(&mut self, socket: &Arc<dyn Socket>, identity: Identity) {
        if let Some(tokens) = &self.tokens {
            let watch = tokens.watch(socket, &identity);
            self.brought = Ok(None);
            self.known = Some((identity, watch));
        }
    }

    fn identity(&self) -> Option<&Identity> {
        self.known.as_ref().map(|(identity, _)| identity)
    }

    pub(super) fn user(&self) -> Option<UserId> {
        Some(self.identity()?.user.clone())
    }

    /// What the connection is called from now on: the name that the application gives the user, or else the one that it
    /// gives itself, if it may.
    pub(super) async fn called(
        &mut self,
        socket: &Arc<dyn Socket>,
        proved: Option<&Identity>,
        given: Option<String>,
    ) -> Result<AuthorName, Problem> {
        if let Some(identity) = proved.or(self.identity())
            && let Some(name) = identity.name.clone()
        {
            self.login = None;
            return Ok(name);
        }
        let given = given.ok_or(Problem::BadRequest("`name` is missing"))?;
        let name = given.parse().map_err(Problem::BadName)?;
        let came = (self.cookies.as_deref()).map(|cookies| (cookies, self.from));
        let claimed = self.names.claim(&name, came, socket).await;
        self.login = claimed.map_err(Problem::NameRefused)?;
        Ok(name)
    }
}

impl From<SeveralTokens> for Problem {
    fn from(_: SeveralTokens) -> Self {
        Self::SeveralTokens
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Expired => Self::TokenExpired,
            TokenError::NotYet | TokenError::Invalid(_) | TokenError::UnknownKey => {
                Self::TokenInvalid(error)
            }
        }
    }
}
