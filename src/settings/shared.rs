//! What replicas must have in common so that a login is the same on all of them. With a Redis, accounts need a database
//! that all replicas reach, and cookies a secret that all of them know; without these, they are off.

use super::Settings;
use crate::transport::web::index;

/// What to do where accounts would be in a file.
const SET_A_DATABASE: &str =
    "set --database mysql://… or postgres://…, the same for all replicas on --redis";

impl Settings {
    /// Whether people can register and log in here.
    pub fn has_accounts(&self) -> bool {
        self.redis.address.is_none() || !self.accounts.are_in_a_file(&self.data)
    }

    /// Whether a cookie names anybody here.
    pub fn has_sessions(&self) -> bool {
        self.redis.address.is_none() || !self.sessions.secrets.is_empty()
    }

    pub(super) fn check_shared(&self, mistakes: &mut Vec<String>) {
        if self.redis.address.is_none() {
            return;
        }
        let prefix = &self.sessions.prefix;
        if prefix.starts_with(&format!("{}:", self.redis.prefix)) {
            mistakes.push(format!(
                "--session-prefix {prefix}: such names are those of --redis-prefix {}",
                self.redis.prefix
            ));
        }
        let view = self.views.as_deref().and_then(|dir| index::read(dir).ok());
        let shows = |variable| view.as_ref().is_some_and(|view| view.uses(variable));
        if !self.has_accounts() {
            if self.accounts.database.is_some() {
                mistakes.push(format!(
                    "--database: a file of this machine, which other replicas do not have: {SET_A_DATABASE}"
                ));
            }
            if shows("name") {
                mistakes.push(format!(
                    "--views: {} is for people with an account, and one in a file of this machine is unknown to other \
                     replicas: {SET_A_DATABASE}",
                    index::FILE
                ));
            }
            if self.accounts.smtp.is_some() {
                mistakes.push(format!(
                    "--smtp: there are no accounts to tell anybody of: {SET_A_DATABASE}"
                ));
            }
        }
        let needs_sessions = self.has_accounts() || shows("name") || shows("user");
        if needs_sessions && !self.has_sessions() {
            mistakes.push(
                "--session-secret: there is none, and one that each replica draws is unknown to the others: give all \
                 replicas on --redis the same"
                    .into(),
            );
        }
    }
}
