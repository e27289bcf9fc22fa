//! Cookies and records against those of Node's express-session, and sessions from their beginning to their end.

use std::{
    collections::HashSet,
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;

use super::*;

/// What Node's express-session 1.18 set for a login, with this secret.
const OF_EXPRESS: &str =
    "s%3A4nWajvwyKeUn8B_1Mk_hunqc_FlohzGo.uPsqafQ8vpVbQfxkshfZ8utg8bdpRtLkXGBSMcqdOCc";
const SECRET_OF_EXPRESS: &str = "your secret here";

/// The record that express-session kept for it.
const RECORD_OF_EXPRESS: &str = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"name":"Ann","mail":"a@b.c"}"#;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn open(dir: &TempDir, secrets: &[&str]) -> Sessions {
    let rules = Rules {
        cookie: "jsessionid".into(),
        secrets: secrets.iter().map(|secret| secret.to_string()).collect(),
        max_age: None,
    };
    Sessions::open(dir.path(), rules).unwrap()
}

fn ann() -> Record {
    Record::of_account("Ann".into(), "a@b.c".into())
}

/// The `Cookie` header that a browser makes of a `Set-Cookie`.
fn cookie(sessions: &Sessions, id: &SessionId) -> String {
    let set = sessions.set_cookie(id, false);
    set.split(';').next().unwrap().to_owned()
}

fn seal(secret: &str) -> Seal {
    Seal::new("jsessionid".into(), &[secret.to_owned()])
}

#[test]
fn a_cookie_of_express_is_read_and_written_as_express_does() {
    let seal = seal(SECRET_OF_EXPRESS);
    let header = format!("theme=dark; jsessionid={OF_EXPRESS}");
    let ids: Vec<_> = seal.ids(&header).collect();
    assert_eq!(ids, ["4nWajvwyKeUn8B_1Mk_hunqc_FlohzGo"]);
    let set = seal.set(&ids[0], None, false);
    let value = set.split(';').next().unwrap();
    assert_eq!(value, format!("jsessionid={OF_EXPRESS}"));
}

#[test]
fn signatures_with_slashes_and_pluses_survive_the_way() {
    let seal = seal("amqpchat");
    // Its signature, by cookie-signature 1.2: NvvZYaxs6cjG1ghNnihjCiia6VMP503D/hzImi5HdmI
    let set = seal.set("abcDEF_-123", None, true);
    assert_eq!(
        set,
        "jsessionid=s%3AabcDEF_-123.NvvZYaxs6cjG1ghNnihjCiia6VMP503D%2FhzImi5HdmI; HttpOnly; SameSite=Lax; Secure; Path=/"
    );
    let bare = "jsessionid=s:abcDEF_-123.NvvZYaxs6cjG1ghNnihjCiia6VMP503D/hzImi5HdmI";
    assert_eq!(seal.ids(bare).count(), 1);
}

#[test]
fn what_is_no_cookie_of_ours_names_nobody() {
    let seal = seal(SECRET_OF_EXPRESS);
    let long = "x".repeat(10_000);
    let unsigned = OF_EXPRESS.split('.').next().unwrap();
    for value in [
        "",
        "s",
        "s:",
        "s:.",
        "%",
        "%FF%FE",
        &long,
        &format!("s:{long}.{long}"),
        unsigned,
        &format!("{unsigned}."),
        &OF_EXPRESS.replace("OCc", "OCd"),
        &OF_EXPRESS.replace("4nWa", "5nWa"),
        &OF_EXPRESS[4..],
        &format!("{OF_EXPRESS}="),
    ] {
        let header = format!("jsessionid={value}");
        assert_eq!(seal.ids(&header).count(), 0, "{value}");
    }
    assert_eq!(seal.ids(&format!("other={OF_EXPRESS}")).count(), 0);
}

#[test]
fn a_record_is_in_the_form_of_express_and_keeps_what_others_put_there() {
    assert_eq!(ann().to_json(None), RECORD_OF_EXPRESS);
    let kept = r#"{"cookie":{},"name":"Ann","cart":[1,{"a":2}],"pass":"secret","user":7}"#;
    let record = Record::parse(kept).unwrap();
    assert_eq!(record.name.as_deref(), Some("Ann"));
    assert_eq!(record.user, None);
    let json = record.to_json(None);
    assert!(json.contains(r#""cart":[1,{"a":2}]"#), "{json}");
    assert!(!json.contains("secret"), "{json}");
    assert_eq!(Record::parse("[]"), None);
}

#[tokio::test]
async fn a_session_is_found_by_its_cookie_until_it_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = open(&dir, &["one"]);
    let session = sessions.begin(ann()).await.unwrap();
    let cookie = cookie(&sessions, &session.id);
    let found = sessions.of(&cookie, HOME).await.unwrap().unwrap();
    assert_eq!(found.record, ann());
    sessions.end(&found.id).await.unwrap();
    assert!(sessions.of(&cookie, HOME).await.unwrap().is_none());
}

#[tokio::test]
async fn later_secrets_verify_what_the_first_one_did_not_sign() {
    let dir = tempfile::tempdir().unwrap();
    let (old, drawn) = {
        let sessions = open(&dir, &["old"]);
        let id = sessions.begin(ann()).await.unwrap().id;
        (cookie(&sessions, &id), cookie(&open(&dir, &[]), &id))
    };
    for (secrets, knows_old, knows_drawn) in [
        (&["old"][..], true, false),
        (&["new", "old"], true, false),
        (&["new"], false, false),
        (&[], false, true),
    ] {
        let sessions = open(&dir, secrets);
        let knows = async |cookie| sessions.of(cookie, HOME).await.unwrap().is_some();
        assert_eq!(knows(&old).await, knows_old, "{secrets:?}");
        assert_eq!(knows(&drawn).await, knows_drawn, "{secrets:?}");
    }
}

#[tokio::test]
async fn a_renewed_session_is_known_by_both_ids_and_has_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = open(&dir, &["one"]);
    let session = sessions.begin(ann()).await.unwrap();
    let before = cookie(&sessions, &session.id);
    let renewed = cookie(&sessions, &sessions.renew(&session).await.unwrap());
    assert_ne!(before, renewed);
    // Another tab, which asked before it had the answer of the first.
    let late = sessions.of(&before, HOME).await.unwrap().unwrap();
    assert_eq!(
        cookie(&sessions, &sessions.renew(&late).await.unwrap()),
        renewed
    );
    sessions.end(&late.id).await.unwrap();
    for cookie in [before, renewed] {
        assert!(sessions.of(&cookie, HOME).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn requests_that_renew_a_session_at_the_same_time_get_the_same_id() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = open(&dir, &["one"]);
    let session = sessions.begin(ann()).await.unwrap();
    let before = cookie(&sessions, &session.id);
    // Both tabs were read under the old id before either got a new one.
    let tabs = tokio::join!(sessions.renew(&session), sessions.renew(&session));
    let (one, other) = (tabs.0.unwrap(), tabs.1.unwrap());
    assert_eq!(cookie(&sessions, &one), cookie(&sessions, &other));
    for cookie in [before, cookie(&sessions, &one)] {
        assert!(sessions.of(&cookie, HOME).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_session_gets_only_so_many_ids_at_once_and_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = open(&dir, &["one"]);
    let session = sessions.begin(ann()).await.unwrap();
    let mut held = cookie(&sessions, &session.id);
    let mut ids = HashSet::new();
    for _ in 0..RENEWALS + 10 {
        let session = sessions.of(&held, HOME).await.unwrap().unwrap();
        held = cookie(&sessions, &sessions.renew(&session).await.unwrap());
        ids.insert(held.clone());
    }
    assert_eq!(ids.len(), RENEWALS as usize);
}

#[tokio::test]
async fn whoever_gives_a_name_gets_another_id_and_the_former_leads_there_only_from_the_same_place()
{
    let dir = tempfile::tempdir().unwrap();
    let sessions = open(&dir, &["one"]);
    let elsewhere: IpAddr = "192.0.2.1".parse().unwrap();
    let mut held = cookie(&sessions, &sessions.unused());
    assert!(sessions.of(&held, HOME).await.unwrap().is_none());
    for user in ["Bob", "Rob"] {
        let naming = sessions.naming(HOME).unwrap();
        let named = sessions.name_visitor(naming, &held, user.into());
        let named = cookie(&sessions, &named.await.unwrap().id);
        assert_ne!(named, held);
        // The page may have connected before it had the answer.
        for (cookie, from, expected) in [
            (&held, HOME, Some(user)),
            (&held, elsewhere, None),
            (&named, HOME, Some(user)),
            (&named, elsewhere, Some(user)),
        ] {
            let found = sessions.of(cookie, from).await.unwrap();
            let found = found.and_then(|found| found.record.user);
            assert_eq!(found.as_deref(), expected, "{cookie} {from}");
        }
        held = named;
    }
}

#[tokio::test]
async fn what_ended_while_it_was_changed_stays_ended() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = open(&dir, &["one"]);
    let session = sessions.begin(ann()).await.unwrap();
    let before = cookie(&sessions, &session.id);
    // As when the logout comes between reading and writing.
    sessions.end(&session.id).await.unwrap();
    let renamed = (sessions.store).rename(&session.id, &session.record, "new", "former");
    assert!(!renamed.await.unwrap());
    assert!(sessions.of(&before, HOME).await.unwrap().is_none());
}

#[tokio::test]
async fn names_from_one_address_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = open(&dir, &["one"]);
    for at in 0..NAMINGS {
        let naming = sessions.naming(HOME).unwrap();
        // It counts whether the name is taken or not.
        if at % 2 == 0 {
            let named = sessions.name_visitor(naming, "", "Bob".into()).await;
            named.unwrap();
        }
    }
    let refused = sessions.naming(HOME).err();
    assert!(matches!(refused, Some(SessionError::TooMany { .. })));
    let elsewhere = "192.0.2.1".parse().unwrap();
    assert!(sessions.naming(elsewhere).is_ok());
}

#[tokio::test]
async fn whoever_watches_is_told_of_the_end_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = open(&dir, &["one"]);
    let (one, other) = (
        sessions.begin(ann()).await.unwrap(),
        sessions.begin(ann()).await.unwrap(),
    );
    let told = Arc::new(AtomicUsize::new(0));
    let watch = |session: &Session| {
        let told = told.clone();
        sessions.watch(&session.id, move || {
            told.fetch_add(1, Ordering::Relaxed);
        })
    };
    let (kept, dropped, elsewhere) = (watch(&one), watch(&one), watch(&other));
    drop(dropped);
    sessions.end(&one.id).await.unwrap();
    assert_eq!(told.load(Ordering::Relaxed), 1);
    // It was looked up before it ended.
    let late = watch(&one);
    assert_eq!(told.load(Ordering::Relaxed), 2);
    drop((kept, late, elsewhere));
    assert!(sessions.watched.sessions().is_empty());
}

#[tokio::test]
async fn what_is_used_or_watched_lasts_and_the_rest_expires() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = open(&dir, &["one"]);
    let mut begun = Vec::new();
    for _ in 0..3 {
        let session = sessions.begin(ann()).await.unwrap();
        begun.push((cookie(&sessions, &session.id), session));
    }
    let _watch = sessions.watch(&begun[1].1.id, || {});
    sessions.of(&begun[0].0, HOME).await.unwrap().unwrap();
    let file = rusqlite::Connection::open(dir.path().join("sessions.db")).unwrap();
    file.execute("UPDATE sessions SET expires = 1", []).unwrap();
    // Before that is noted, too.
    assert!(sessions.of(&begun[0].0, HOME).await.unwrap().is_some());
    assert!(sessions.of(&begun[2].0, HOME).await.unwrap().is_none());
    sessions.tidy().await;
    let count = "SELECT count(*) FROM sessions";
    assert_eq!(file.query_row(count, [], |row| row.get(0)), Ok(2));
    assert!(sessions.of(&begun[1].0, HOME).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_used_is_good_while_that_is_being_noted() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = open(&dir, &["one"]);
    let session = sessions.begin(ann()).await.unwrap();
    let cookie = cookie(&sessions, &session.id);
    sessions.of(&cookie, HOME).await.unwrap().unwrap();
    let file = rusqlite::Connection::open(dir.path().join("sessions.db")).unwrap();
    file.execute("UPDATE sessions SET expires = 1", []).unwrap();
    // The request reads the record first, and then looks whether it was used.
    let (found, noted) = tokio::join!(sessions.of(&cookie, HOME), sessions.tidy());
    assert!(found.unwrap().is_some() && noted);
}

#[tokio::test]
async fn one_account_has_only_so_many_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = open(&dir, &["one"]);
    let bob = Record::of_account("Bob".into(), "b@b.c".into());
    let bob = sessions.begin(bob).await.unwrap();
    let first = sessions.begin(ann()).await.unwrap();
    let file = rusqlite::Connection::open(dir.path().join("sessions.db")).unwrap();
    // The file's times are in milliseconds; the oldest is not to be a matter of luck.
    file.execute("UPDATE sessions SET expires = expires - 1000", [])
        .unwrap();
    for _ in 0..100 {
        sessions.begin(ann()).await.unwrap();
    }
    let is_there = async |session: &Session| {
        let cookie = cookie(&sessions, &session.id);
        sessions.of(&cookie, HOME).await.unwrap().is_some()
    };
    assert!(!is_there(&first).await);
    assert!(is_there(&bob).await);
}

#[tokio::test]
async fn a_file_of_another_program_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sessions.db");
    let theirs = rusqlite::Connection::open(&file).unwrap();
    theirs.execute_batch("CREATE TABLE theirs (a)").unwrap();
    let rules = Rules {
        cookie: "jsessionid".into(),
        secrets: Vec::new(),
        max_age: None,
    };
    let error = Sessions::open(dir.path(), rules).err().unwrap();
    assert!(error.to_string().contains("of another program"), "{error}");
}
