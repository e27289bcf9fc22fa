//! Where a socket may have put its token when it connected: the query of its handshake, the payload of its
//! CONNECT packet, or an `Authorization` header, which browsers let no page send.

use super::Handshake;

/// The socket gave several tokens that are not the same, or one parameter twice: there is no telling
/// which of them it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than one token was given")]
pub struct SeveralTokens;

impl Handshake {
    /// The token that the socket brought along, if it brought one.
    pub fn token(&self) -> Result<Option<String>, SeveralTokens> {
        let query = form_urlencoded::parse(self.query.as_bytes())
            .filter(|(name, _)| name == "token")
            .map(|(_, token)| token.into_owned());
        let mut query: Vec<_> = query.collect();
        if query.len() > 1 {
            return Err(SeveralTokens);
        }
        let mut tokens = [query.pop(), self.connect_token(), self.bearer()]
            .into_iter()
            .flatten()
            .filter(|token| !token.is_empty());
        let token = tokens.next();
        match tokens.all(|other| Some(&other) == token.as_ref()) {
            true => Ok(token),
            false => Err(SeveralTokens),
        }
    }

    fn connect_token(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Auth {
            token: String,
        }
        Some(self.auth::<Auth>()?.token)
    }

    /// RFC 6750, 2.1.
    fn bearer(&self) -> Option<String> {
        let header = self.credentials.authorization.as_deref()?;
        let (scheme, token) = header.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer")).then(|| token.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::dialects::Credentials;

    fn handshake(query: &str, auth: Option<&str>, authorization: Option<&str>) -> Handshake {
        Handshake {
            remote: Ipv4Addr::LOCALHOST.into(),
            query: query.into(),
            auth: auth.map(Into::into),
            credentials: Credentials {
                authorization: authorization.map(Into::into),
                ..Credentials::default()
            },
        }
    }

    #[test]
    fn a_token_is_found_wherever_it_may_be_and_two_are_too_many() {
        for (query, auth, authorization, expected) in [
            ("", None, None, Ok(None)),
            ("token=&EIO=3", None, Some("Basic x"), Ok(None)),
            ("EIO=3&token=a.b-c_d", None, None, Ok(Some("a.b-c_d"))),
            ("", Some(r#"{"token":"t"}"#), None, Ok(Some("t"))),
            ("", Some(r#"{"token":7}"#), None, Ok(None)),
            ("", None, Some("bearer  t"), Ok(Some("t"))),
            (
                "token=t",
                Some(r#"{"token":"t"}"#),
                Some("Bearer t"),
                Ok(Some("t")),
            ),
            ("token=t&token=t", None, None, Err(SeveralTokens)),
            ("token=&token=t", None, None, Err(SeveralTokens)),
            (
                "token=t",
                Some(r#"{"token":"u"}"#),
                None,
                Err(SeveralTokens),
            ),
            ("token=t", None, Some("Bearer u"), Err(SeveralTokens)),
        ] {
            let token = handshake(query, auth, authorization).token();
            let token = token.as_ref().map(Option::as_deref).map_err(|error| *error);
            assert_eq!(token, expected, "{query} {auth:?} {authorization:?}");
        }
    }
}
