//! How often something may be tried, and that a flood is answered without the work that it asks for.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use handshaken::account::{Accounts, Limits, LoginError, Options, RegisterError};
use tempfile::TempDir;

use crate::harness::{HERE, eventually, in_folder, open};

const FLOOD: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_logins_at_once_from_one_address_cost_no_more_than_its_failures() {
    let folder = TempDir::new().unwrap();
    let accounts = Arc::new(open(limited(&folder)).await);
    let registered = accounts
        .register("ann", "ann@example.org", HERE)
        .await
        .unwrap();
    let before = accounts.hashed();
    let tasks: Vec<_> = (0..FLOOD)
        .map(|n| {
            let accounts = Arc::clone(&accounts);
            tokio::spawn(async move {
                accounts
                    .login(&format!("mail{n}@example.org"), "wrong", there(1))
                    .await
            })
        })
        .collect();
    // Somebody else logs in meanwhile, as soon as there is a place.
    eventually("another address is heard", async || {
        let login = accounts
            .login("ann@example.org", &registered.password, HERE)
            .await;
        login.map_err(|error| error.to_string())
    })
    .await;
    let mut answers = BTreeMap::new();
    for task in tasks {
        *answers
            .entry(word(&task.await.unwrap().unwrap_err()))
            .or_insert(0) += 1;
    }
    assert_eq!(answers.values().sum::<usize>(), FLOOD);
    assert_eq!(
        answers
            .keys()
            .filter(|word| !["wrong", "too many", "busy"].contains(*word))
            .count(),
        0,
        "{answers:?}"
    );
    let most = usize::try_from(limited(&folder).limits.address_failures.get()).unwrap();
    assert!(answers["wrong"] <= most, "{answers:?}");
    let hashed = accounts.hashed() - before;
    assert_eq!(
        hashed,
        u64::try_from(answers["wrong"]).unwrap() + 1,
        "{answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_logins_at_once_from_everywhere_are_no_more_than_the_queue_holds() {
    let folder = TempDir::new().unwrap();
    let options = in_folder(folder.path());
    let at_once = options.hashes_at_once.get();
    let accounts = Arc::new(open(options).await);
    let logins = (0..FLOOD).map(|n| {
        let accounts = Arc::clone(&accounts);
        let from = there(u32::try_from(n).unwrap());
        async move {
            accounts
                .login(&format!("mail{n}@example.org"), "wrong", from)
                .await
        }
    });
    // All are asked once before any goes on: none of them has to be quick.
    let answers = futures_util::future::join_all(logins).await;
    let wrong = answers
        .iter()
        .filter(|answer| matches!(answer, Err(LoginError::Wrong)))
        .count();
    let busy = answers
        .iter()
        .filter(|answer| matches!(answer, Err(LoginError::Busy)))
        .count();
    assert_eq!((wrong, busy), (at_once * 33, FLOOD - at_once * 33));
    assert_eq!(accounts.hashed(), u64::try_from(wrong).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_logs_in_rightly_without_end_keeps_nobody_else_from_logging_in_and_registering() {
    let folder = TempDir::new().unwrap();
    let mut options = in_folder(folder.path());
    options.hashes_at_once = NonZeroUsize::MIN;
    let accounts = Arc::new(open(options).await);
    let ann = accounts
        .register("ann", "ann@example.org", HERE)
        .await
        .unwrap();
    let mut flood = tokio::task::JoinSet::new();
    for n in 0..5 {
        let mail = format!("flood{n}@example.org");
        let registered = accounts
            .register(&format!("flood {n}"), &mail, there(1))
            .await
            .unwrap();
        for _ in 0..20 {
            let (accounts, mail) = (Arc::clone(&accounts), mail.clone());
            let password = registered.password.clone();
            flood.spawn(async move {
                loop {
                    let _ = accounts.login(&mail, &password, there(1)).await;
                    tokio::task::yield_now().await;
                }
            });
        }
    }
    // Neither at another address nor at the same one: none of these is told to try again.
    for n in 0..10 {
        for from in [HERE, there(1)] {
            accounts
                .login("ann@example.org", &ann.password, from)
                .await
                .unwrap_or_else(|error| panic!("{n} from {from}: {error}"));
        }
        accounts
            .register(
                &format!("new {n}"),
                &format!("new{n}@example.org"),
                there(2),
            )
            .await
            .unwrap_or_else(|error| panic!("{n}: {error}"));
    }
}

#[tokio::test]
async fn right_logins_of_an_account_are_limited_and_those_of_others_are_not() {
    let folder = TempDir::new().unwrap();
    let accounts = open(in_folder(folder.path())).await;
    let (mut passwords, mails) = (Vec::new(), ["ann@example.org", "bob@example.org"]);
    for mail in mails {
        let registered = accounts.register(mail, mail, HERE).await.unwrap();
        passwords.push(registered.password);
    }
    let log_in = async |who: usize, from| accounts.login(mails[who], &passwords[who], from).await;
    for n in 0..60 {
        log_in(0, there(n)).await.unwrap();
    }
    let before = accounts.hashed();
    let refused = log_in(0, HERE).await;
    assert!(
        matches!(refused, Err(LoginError::TooMany { .. })),
        "{refused:?}"
    );
    assert_eq!(accounts.hashed(), before, "it costs no hash");
    log_in(1, HERE).await.unwrap();
}

#[tokio::test]
async fn an_account_waits_after_its_failures_wherever_they_come_from() {
    let folder = TempDir::new().unwrap();
    let options = limited(&folder);
    let window = options.limits.failure_window;
    let accounts = open(options).await;
    let registered = accounts
        .register("ann", "ann@example.org", HERE)
        .await
        .unwrap();
    for n in 0..3 {
        assert_eq!(
            word(&fail(&accounts, "ANN@example.org", there(n)).await),
            "wrong"
        );
    }
    let refused = accounts
        .login("ann@example.org", &registered.password, there(9))
        .await;
    let Err(LoginError::TooMany { retry_after }) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        retry_after <= window && retry_after > window / 2,
        "{retry_after:?}"
    );
    assert_eq!(
        word(&fail(&accounts, "bob@example.org", there(9)).await),
        "wrong",
        "others are not concerned"
    );
}

#[tokio::test]
async fn an_unknown_mail_is_counted_like_a_known_one() {
    let folder = TempDir::new().unwrap();
    let accounts = open(limited(&folder)).await;
    accounts
        .register("ann", "ann@example.org", HERE)
        .await
        .unwrap();
    for mail in ["ann@example.org", "nobody@example.org"] {
        let mut words = Vec::new();
        let before = accounts.hashed();
        for n in 0..5 {
            words.push(word(&fail(&accounts, mail, there(n)).await));
        }
        assert_eq!(
            words,
            ["wrong", "wrong", "wrong", "too many", "too many"],
            "{mail}"
        );
        assert_eq!(
            accounts.hashed() - before,
            3,
            "each failure is the same work: {mail}"
        );
    }
}

#[tokio::test]
async fn who_guesses_from_elsewhere_does_not_keep_the_owner_out() {
    let folder = TempDir::new().unwrap();
    let accounts = open(limited(&folder)).await;
    let registered = accounts
        .register("ann", "ann@example.org", there(50))
        .await
        .unwrap();
    let log_in = async |from| {
        accounts
            .login("ANN@example.org", &registered.password, from)
            .await
    };
    log_in(HERE).await.unwrap();
    for n in 0..10 {
        fail(&accounts, "ann@example.org", there(n)).await;
    }
    assert_eq!(
        word(&fail(&accounts, "ann@example.org", there(99)).await),
        "too many"
    );
    log_in(HERE).await.expect("where she has logged in");
    log_in(there(50)).await.expect("where she has registered");
    // At home, too, guessing ends.
    for _ in 0..3 {
        assert_eq!(
            word(&fail(&accounts, "ann@example.org", HERE).await),
            "wrong"
        );
    }
    assert_eq!(
        word(&fail(&accounts, "ann@example.org", HERE).await),
        "too many"
    );
}

#[tokio::test]
async fn the_wait_ends_with_the_window() {
    let folder = TempDir::new().unwrap();
    let mut options = limited(&folder);
    options.limits.failure_window = Duration::from_secs(2);
    let accounts = open(options).await;
    let registered = accounts
        .register("ann", "ann@example.org", HERE)
        .await
        .unwrap();
    eventually("enough have failed within one window", async || match fail(
        &accounts,
        "ann@example.org",
        there(1),
    )
    .await
    {
        LoginError::TooMany { .. } => Ok(()),
        error => Err(error.to_string()),
    })
    .await;
    eventually("the login works again", async || {
        let login = accounts
            .login("ann@example.org", &registered.password, there(2))
            .await;
        login.map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn registrations_of_an_address_are_limited_and_those_of_others_are_not() {
    let folder = TempDir::new().unwrap();
    let accounts = open(limited(&folder)).await;
    let register = async |n: u32, from| {
        accounts
            .register(&format!("ann{n}"), &format!("ann{n}@example.org"), from)
            .await
    };
    for n in 0..4 {
        register(n, "2001:db8::1".parse().unwrap()).await.unwrap();
    }
    let refused = register(4, "2001:db8::2".parse().unwrap()).await;
    assert!(
        matches!(refused, Err(RegisterError::TooMany { .. })),
        "{refused:?}"
    );
    register(5, "2001:db8:0:1::1".parse().unwrap())
        .await
        .unwrap();
}

/// Three failures of an account, ten of an address, four registrations.
fn limited(folder: &TempDir) -> Options {
    let count = |count| NonZeroU32::new(count).unwrap();
    let mut options = in_folder(folder.path());
    options.limits = Limits {
        account_failures: count(3),
        address_failures: count(10),
        failure_window: Duration::from_secs(600),
        registrations: count(4),
    };
    options
}

async fn fail(accounts: &Accounts, mail: &str, from: IpAddr) -> LoginError {
    accounts
        .login(mail, "wrong", from)
        .await
        .expect_err("the password is wrong")
}

/// An address that is nobody else's.
fn there(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + n).into()
}

fn word(error: &LoginError) -> &'static str {
    match error {
        LoginError::Missing => "missing",
        LoginError::Wrong => "wrong",
        LoginError::TooMany { .. } => "too many",
        LoginError::Busy => "busy",
        LoginError::Database(_) => "database",
    }
}
