//! Tokens signed with secrets, honest and forged; who is ended when. What is signed with private keys, and
//! where public ones come from, is tried with the whole server (`tests/tokens`).

use std::{
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{json, value::RawValue};

use super::*;
use crate::chat::socket::{Answer, Backlog, CloseReason, SocketId};

const SECRET: &str = "a secret of the application, long enough";

fn rules() -> Rules {
    Rules {
        secrets: vec![SECRET.into()],
        jwks: None,
        issuer: None,
        audience: None,
        user: vec!["data.id".parse().unwrap(), "sub".parse().unwrap()],
        name: "name".parse().unwrap(),
        check_not_before: false,
        grace: Duration::ZERO,
    }
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

fn signed(secret: &str, algorithm: Algorithm, claims: &serde_json::Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

fn token(claims: serde_json::Value) -> String {
    signed(SECRET, Algorithm::HS256, &claims)
}

fn claims() -> serde_json::Value {
    json!({ "data": { "id": 7 }, "exp": now() + 60, "name": "Ann" })
}

fn without(mut claims: serde_json::Value, name: &str) -> serde_json::Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn with(mut claims: serde_json::Value, name: &str, value: serde_json::Value) -> serde_json::Value {
    claims[name] = value;
    claims
}

fn is_invalid(verified: Result<Identity, TokenError>) -> bool {
    matches!(verified, Err(TokenError::Invalid(_)))
}

#[test]
fn an_honest_token_says_who_its_bearer_is() {
    let identity = Tokens::new(rules()).verify(&token(claims())).unwrap();
    assert_eq!(identity.user.as_str(), "7");
    assert_eq!(identity.name.unwrap().as_str(), "Ann");
    assert!(identity.expires > Timestamp::now());
}

#[test]
fn any_of_several_secrets_will_do_and_no_other() {
    let secrets = ["old", "new"].map(|age| format!("{age}, {SECRET}"));
    let tokens = Tokens::new(Rules {
        secrets: secrets.to_vec(),
        ..rules()
    });
    for secret in &secrets {
        let token = signed(secret, Algorithm::HS256, &claims());
        assert!(tokens.verify(&token).is_ok(), "{secret}");
    }
    assert!(is_invalid(tokens.verify(&token(claims()))));
}

#[test]
fn a_token_that_was_cut_or_changed_anywhere_is_refused() {
    let (tokens, token) = (Tokens::new(rules()), token(claims()));
    assert!(tokens.verify(&token).is_ok());
    for end in 0..token.len() {
        assert!(is_invalid(tokens.verify(&token[..end])), "{end}");
    }
    // The last character holds bits that say nothing; every other one counts.
    for at in 0..token.len() - 1 {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(is_invalid(tokens.verify(&changed)), "{at}");
    }
    for more in [".", ".x", " ", "\n", "=", "\u{e9}"] {
        assert!(is_invalid(tokens.verify(&format!("{token}{more}"))));
        assert!(is_invalid(tokens.verify(&format!("{more}{token}"))));
    }
}

#[test]
fn what_nobody_signed_is_refused() {
    let tokens = Tokens::new(rules());
    let part = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let body = part(claims());
    for algorithm in ["none", "None", "NONE", "nOnE", "", "HS256"] {
        let head = part(json!({ "alg": algorithm, "typ": "JWT" }));
        for signature in ["", "AAAA"] {
            let token = format!("{head}.{body}.{signature}");
            assert!(is_invalid(tokens.verify(&token)), "{algorithm}");
        }
    }
    for head in [json!({}), json!([]), json!({ "alg": 7 }), json!(null)] {
        assert!(is_invalid(
            tokens.verify(&format!("{}.{body}.", part(head)))
        ));
    }
}

#[test]
fn other_algorithms_are_refused_though_the_secret_is_right() {
    let tokens = Tokens::new(rules());
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        assert!(is_invalid(tokens.verify(&signed(
            SECRET,
            algorithm,
            &claims()
        ))));
    }
    let mut header = Header::new(Algorithm::HS256);
    header.crit = Some(vec!["exp".into()]);
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let asking = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
    assert!(is_invalid(tokens.verify(&asking)));
}

#[test]
fn a_token_is_good_to_its_last_second_and_no_longer() {
    let tokens = Tokens::new(rules());
    for (exp, expected) in [
        (json!(now() + 10), None),
        (json!((now() + 10) as f64 + 0.5), None),
        (json!(u64::MAX), None),
        (json!(now()), Some(TokenError::Expired)),
        (json!(now() - 1), Some(TokenError::Expired)),
        (json!(0), Some(TokenError::Expired)),
    ] {
        let verified = tokens.verify(&token(with(claims(), "exp", exp.clone())));
        assert_eq!(verified.err(), expected, "{exp}");
    }
    for exp in [json!(null), json!("9999999999"), json!({}), json!(true)] {
        assert!(is_invalid(tokens.verify(&token(with(
            claims(),
            "exp",
            exp
        )))));
    }
    assert!(is_invalid(tokens.verify(&token(without(claims(), "exp")))));
}

#[test]
fn a_token_that_is_not_valid_yet_is_refused_where_the_settings_say_so() {
    let early = token(with(claims(), "nbf", json!(now() + 30)));
    assert!(Tokens::new(rules()).verify(&early).is_ok());
    let strict = Tokens::new(Rules {
        check_not_before: true,
        ..rules()
    });
    assert_eq!(strict.verify(&early), Err(TokenError::NotYet));
    let late = token(with(claims(), "nbf", json!(now() - 1)));
    assert!(strict.verify(&late).is_ok());
    assert!(strict.verify(&token(claims())).is_ok());
    assert!(is_invalid(strict.verify(&token(with(
        claims(),
        "nbf",
        json!("x")
    )))));
}

#[test]
fn issuer_and_audience_count_where_the_settings_name_them() {
    let named = with(
        with(claims(), "iss", json!("us")),
        "aud",
        json!(["chat", "x"]),
    );
    assert!(Tokens::new(rules()).verify(&token(named.clone())).is_ok());
    let tokens = Tokens::new(Rules {
        issuer: Some("us".into()),
        audience: Some("chat".into()),
        ..rules()
    });
    assert!(tokens.verify(&token(named.clone())).is_ok());
    for wrong in [
        without(named.clone(), "iss"),
        without(named.clone(), "aud"),
        with(named.clone(), "iss", json!("them")),
        with(named.clone(), "aud", json!("mail")),
        with(named.clone(), "aud", json!([])),
        with(named.clone(), "iss", json!(7)),
    ] {
        assert!(is_invalid(tokens.verify(&token(wrong.clone()))), "{wrong}");
    }
}

#[test]
fn a_token_that_names_nobody_or_is_huge_is_refused() {
    let tokens = Tokens::new(rules());
    for data in [
        json!(null),
        json!({}),
        json!([]),
        json!(""),
        json!(0),
        json!("0"),
        json!(false),
    ] {
        assert!(is_invalid(tokens.verify(&token(with(
            claims(),
            "data",
            data
        )))));
    }
    let huge = token(with(claims(), "more", json!("x".repeat(100_000))));
    assert!(is_invalid(tokens.verify(&huge)));
    assert!(is_invalid(tokens.verify(&"x".repeat(100_000))));
    assert!(is_invalid(tokens.verify("")));
}

#[derive(Default)]
struct Ended(AtomicUsize);

#[async_trait]
impl Socket for Ended {
    fn id(&self) -> SocketId {
        SocketId::next()
    }

    fn emit(&self, _: &str, _: &RawValue) {}

    fn ask(&self, _: &str, _: &RawValue, _: Box<dyn FnOnce(Answer) + Send>) {}

    fn join(&self, _: &str) {}

    fn leave(&self, _: &str) {}

    fn remote(&self) -> IpAddr {
        IpAddr::from([127, 0, 0, 1])
    }

    fn backlog(&self) -> Option<Backlog> {
        Some(Backlog::default())
    }

    async fn drained(&self) {}

    async fn emptied(&self) {}

    fn close(&self, why: CloseReason) {
        assert_eq!(why, CloseReason::TokenExpired);
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_connection_ends_with_its_token_and_the_grace_once() {
    let tokens = Tokens::new(Rules {
        grace: Duration::from_secs(5),
        ..rules()
    });
    let identity = |seconds| Identity {
        user: "ann".parse().unwrap(),
        name: None,
        expires: Timestamp::from_second(seconds).unwrap(),
    };
    let at = |seconds| {
        tokens
            .expiries
            .end_those_due(Timestamp::from_second(seconds).unwrap())
    };
    let ended = Arc::new([Ended::default(), Ended::default(), Ended::default()].map(Arc::new));
    let peer = |at: usize| ended[at].clone() as Arc<dyn Socket>;
    let ends = || ended.each_ref().map(|peer| peer.0.load(Ordering::Relaxed));

    let _first = tokens.watch(&peer(0), &identity(100));
    let _same = tokens.watch(&peer(1), &identity(100));
    let gone = tokens.watch(&peer(2), &identity(100));
    drop(gone);
    at(104);
    assert_eq!(ends(), [0, 0, 0]);
    at(105);
    assert_eq!(ends(), [1, 1, 0]);
    at(1000);
    assert_eq!(ends(), [1, 1, 0]);

    // A new token takes the place of the one before.
    let mut watch = tokens.watch(&peer(2), &identity(2000));
    assert_eq!(tokens.expiries.count(), 1);
    watch = {
        let later = tokens.watch(&peer(2), &identity(3000));
        drop(watch);
        later
    };
    at(2500);
    assert_eq!(ends(), [1, 1, 0]);
    drop(watch);
    assert_eq!(tokens.expiries.count(), 0);
    // The end of all time is one as well.
    let _forever = tokens.watch(
        &peer(0),
        &Identity {
            expires: Timestamp::MAX,
            ..identity(0)
        },
    );
}
