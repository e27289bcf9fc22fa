//! Settings of tokens: what they are signed with, and what is where in them.

use std::{net::SocketAddr, time::Duration};

use clap::Args;

use super::{
    Switch,
    unshown::{self, Unshown},
    values::duration,
};
use crate::account::tokens::{InvalidSource, JwksSource, Path};

/// Who users are to the application that the chat belongs to.
#[derive(Clone, Debug, Args)]
pub struct Tokens {
    /// Secret that tokens are signed with (HS256); may be given several times, the variable holds
    /// several on lines of their own [default: such tokens are not accepted]
    #[arg(
        id = "jwt-secret",
        long = "jwt-secret",
        value_name = "SECRET",
        env = "HANDSHAKEN_JWT_SECRET",
        hide_env_values = true,
        value_delimiter = '\n',
        value_parser = unshown::secret
    )]
    pub secrets: Vec<Unshown<String>>,

    /// Public keys that tokens are signed for (RS256, ES256, EdDSA), a JSON Web Key Set: a file, or an
    /// address of http or https [default: such tokens are not accepted]
    #[arg(
        id = "jwt-jwks",
        long = "jwt-jwks",
        value_name = "URL|FILE",
        env = "HANDSHAKEN_JWT_JWKS",
        hide_env_values = true,
        value_parser = unshown::judged_later::<JwksSource>
    )]
    given_jwks: Option<Unshown<Result<JwksSource, InvalidSource>>>,

    /// Where they are, if they are anywhere.
    #[arg(skip)]
    pub jwks: Option<JwksSource>,

    /// Issuer (iss) that a token must name [default: any]
    #[arg(
        id = "jwt-issuer",
        long = "jwt-issuer",
        value_name = "TEXT",
        env = "HANDSHAKEN_JWT_ISSUER"
    )]
    pub issuer: Option<String>,

    /// Audience (aud) that a token must be for [default: any]
    #[arg(
        id = "jwt-audience",
        long = "jwt-audience",
        value_name = "TEXT",
        env = "HANDSHAKEN_JWT_AUDIENCE"
    )]
    pub audience: Option<String>,

    /// Where in a token the user's id is, with dots; several with commas, the first that is there
    #[arg(
        id = "jwt-user-claim",
        long = "jwt-user-claim",
        value_name = "PATHS",
        env = "HANDSHAKEN_JWT_USER_CLAIM",
        default_value = "data.id,sub",
        value_delimiter = ','
    )]
    pub user: Vec<Path>,

    /// Where in a token the user's name is, if it has one
    #[arg(
        id = "jwt-name-claim",
        long = "jwt-name-claim",
        value_name = "PATH",
        env = "HANDSHAKEN_JWT_NAME_CLAIM",
        default_value = "name"
    )]
    pub name: Path,

    /// Refuse tokens that are not valid yet (nbf)
    #[arg(
        id = "jwt-not-before",
        long = "jwt-not-before",
        value_name = "SWITCH",
        env = "HANDSHAKEN_JWT_NOT_BEFORE",
        num_args = 0..=1,
        default_value = "off",
        default_missing_value = "on"
    )]
    pub check_not_before: Switch,

    /// How long a connection may go on after its token has expired, 0s to 24h
    #[arg(id = "jwt-grace", long = "jwt-grace", value_name = "DURATION", env = "HANDSHAKEN_JWT_GRACE", default_value = "60s", value_parser = duration("0s", "24h"))]
    pub grace: Duration,

    /// Give the page of --views' client.ejs a token for whatever user its address names; for trying it
    /// out: everybody is who they say. Only where all addresses to listen on are loopback
    #[arg(
        long = "demo",
        value_name = "SWITCH",
        env = "HANDSHAKEN_DEMO",
        num_args = 0..=1,
        default_value = "off",
        default_missing_value = "on"
    )]
    pub demo: Switch,
}

impl Tokens {
    /// Whether any token can be checked.
    pub fn are_accepted(&self) -> bool {
        !self.secrets.is_empty() || self.given_jwks.is_some()
    }

    pub(super) fn check_together(&mut self, listen: &[SocketAddr], mistakes: &mut Vec<String>) {
        // A file that the variable was read from ends with a line break.
        let given = self.secrets.len();
        self.secrets.retain(|secret| !secret.0.is_empty());
        if given > 0 && self.secrets.is_empty() {
            mistakes.push("--jwt-secret: the secret is empty".into());
        }
        match &self.given_jwks {
            // A path that is none may be an address with a password.
            Some(Unshown(Ok(JwksSource::File(path)))) if !path.is_file() => {
                mistakes.push(
                    "--jwt-jwks: there is no such file, and it is no address of http or https"
                        .into(),
                );
            }
            Some(Unshown(Ok(source))) => self.jwks = Some(source.clone()),
            Some(Unshown(Err(mistake))) => mistakes.push(format!("--jwt-jwks: {mistake}")),
            None => {}
        }
        if self.demo == Switch::On {
            if let Some(address) = listen.iter().find(|address| !address.ip().is_loopback()) {
                mistakes.push(format!(
                    "--demo: everybody would be whoever they say, and --listen {address} is not loopback"
                ));
            }
            if self.secrets.is_empty() {
                mistakes.push("--demo: tokens are made with a --jwt-secret".into());
            }
        }
        let demands = [
            ("--jwt-issuer", &self.issuer),
            ("--jwt-audience", &self.audience),
        ];
        for (name, value) in demands {
            if let Some(value) = value
                && !self.are_accepted()
            {
                mistakes.push(format!(
                    "{name} {value}: no token is accepted without --jwt-secret or --jwt-jwks"
                ));
            }
        }
    }
}
