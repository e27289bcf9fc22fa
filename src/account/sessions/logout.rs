//! Proofs that a page which wants to end a login was made by us for that login: a link alone proves nothing.

use super::{Session, Sessions};

impl Sessions {
    /// What a page of ours has that may end this login: nobody else can read it there, nor make one.
    pub fn logout_token(&self, session: &Session) -> String {
        self.seal.sign_logout(&session.id.login.0.to_le_bytes())
    }

    /// Whether that is such a token, of this login.
    pub fn is_logout_token(&self, session: &Session, token: &str) -> bool {
        let login = session.id.login.0.to_le_bytes();
        self.seal.is_logout(&login, token)
    }
}
