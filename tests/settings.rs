//! The settings as whoever starts the program meets them: README's table says what the code does, mistakes are told
//! together, and what stands in the way of a start is told in words.

#[path = "harness/program.rs"]
mod program;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use clap::CommandFactory;
use handshaken::settings::{
    Settings,
    secret_files::{self, SUFFIX},
};
use program::without_settings;
use tempfile::TempDir;

/// Flags of other programs that the docs name.
const OF_OTHERS: [&str; 22] = [
    "--clean",
    "--clients",
    "--daemonize",
    "--detach",
    "--dir",
    "--example",
    "--exit",
    "--if-exists",
    "--import",
    "--legacy",
    "--no-deps",
    "--now",
    "--prefix",
    "--protocol",
    "--quiet",
    "--rdb",
    "--release",
    "--require",
    "--rm",
    "--shell",
    "--system",
    "--username",
];

/// A row of README's table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    variable: String,
    default: String,
}

#[test]
fn the_table_in_the_readme_says_what_the_code_does() {
    let readme = fs::read_to_string("README.md").unwrap();
    assert_eq!(rows_of(&readme), rows_of_the_code());
}

#[test]
fn the_help_names_every_range_that_the_readme_names() {
    let help = String::from_utf8(server(&[]).arg("--help").output().unwrap().stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let readme = fs::read_to_string("README.md").unwrap();
    let mut ranges = 0;
    for line in table_lines(&readme) {
        let cells = cells(line);
        if let [_, _, _, range, _] = &cells[..]
            && range.contains(" to ")
        {
            let bare: String = range.chars().filter(|c| *c != '`').collect();
            assert!(help.contains(&bare), "--help lacks `{bare}` of: {line}");
            ranges += 1;
        }
    }
    assert!(ranges > 8, "only {ranges} rows with a range");
}

#[test]
fn every_flag_and_variable_that_the_docs_name_is_there() {
    let command = Settings::command();
    let flags: BTreeSet<String> = (command.get_arguments())
        .filter_map(|argument| Some(format!("--{}", argument.get_long()?)))
        .chain(["--help".into(), "--version".into()])
        .collect();
    let mut variables: BTreeSet<String> = (command.get_arguments())
        .filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()))
        .collect();
    variables.extend(secret_files::FLAGS.map(in_file));
    let of_others: BTreeSet<String> = OF_OTHERS.map(str::to_owned).into();
    let mut pages: Vec<_> = fs::read_dir("docs")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.extend(["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(Into::into));
    let (mut seen, mut unknown) = (BTreeSet::new(), Vec::new());
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for flag in words(&text, "--", |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
        }) {
            // `--jwt-…` stands for all that begin so.
            let is_there = flags.contains(&flag)
                || (flag.ends_with('-') && flags.iter().any(|there| there.starts_with(&flag)));
            if !is_there && !of_others.contains(&flag) {
                unknown.push(format!("{}: {flag}", page.display()));
            }
            seen.insert(flag);
        }
        for variable in words(&text, "HANDSHAKEN_", |c| {
            c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'
        }) {
            if !variables.contains(&variable) && variable != "HANDSHAKEN_" {
                unknown.push(format!("{}: {variable}", page.display()));
            }
            seen.insert(variable);
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(seen.len() > 80, "only {} found", seen.len());
    let in_vain: Vec<_> = of_others.difference(&seen).collect();
    assert!(in_vain.is_empty(), "nobody names {in_vain:?} any more");
}

/// The words of a text that begin so and go on with these characters.
fn words(text: &str, start: &str, goes_on: fn(char) -> bool) -> Vec<String> {
    let found = text.match_indices(start).filter(|(at, _)| {
        let before = text[..*at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_')
    });
    let whole = found.map(|(at, _)| {
        let rest = &text[at + start.len()..];
        let end = rest.find(|c| !goes_on(c)).unwrap_or(rest.len());
        format!("{start}{}", &rest[..end])
    });
    // Dashes of tables and of comments in HTML are no flags.
    whole
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .collect()
}

#[test]
fn every_variable_of_ours_bears_our_name() {
    for argument in Settings::command().get_arguments() {
        if let Some(variable) = argument.get_env() {
            let variable = variable.to_string_lossy();
            assert!(variable.starts_with("HANDSHAKEN_"), "{variable}");
        }
    }
}

#[test]
fn the_files_for_docker_set_only_what_there_is_and_set_it_right() {
    for file in ["compose.yaml", "deploy/stack.yaml"] {
        let text = fs::read_to_string(file).unwrap();
        let variables: Vec<_> = (text.lines())
            .filter_map(|line| line.trim().split_once(": "))
            .filter(|(name, _)| name.starts_with("HANDSHAKEN_"))
            .collect();
        assert_eq!(variables.len(), text.matches("HANDSHAKEN_").count());
        let settings = Settings::command();
        let known: Vec<_> = settings
            .get_arguments()
            .filter_map(|argument| argument.get_env()?.to_str())
            .collect();
        let secrets = TempDir::new().unwrap();
        let mut check = server(&["--check"]);
        for (name, value) in variables {
            if secret_files::FLAGS.map(in_file).contains(&name.to_owned()) {
                check.env(name, secret_as_told(&text, value, &secrets));
            } else {
                assert!(known.contains(&name), "{file}: {name}");
                check.env(name, filled_in(value));
            }
        }
        let output = check.output().unwrap();
        assert_eq!(code(&output), 0, "{file}: {output:?}");
    }
}

#[test]
fn check_accepts_right_settings_and_binds_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = server(&["--check", "--listen", &address]).output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(stdout(&output), "settings are right\n");
}

#[test]
fn all_mistakes_are_told_at_once_wherever_they_were_made() {
    let output = server(&["--max-message", "5", "--retain=7", "--public", "/nowhere"])
        .args(["--bogus", "1", "--check"])
        .env("HANDSHAKEN_HISTORY", "5000")
        .env("HANDSHAKEN_PING_TIMEOUT", "soon")
        .env("NODE_PORT", "http")
        .output()
        .unwrap();
    assert_eq!(code(&output), 64, "{output:?}");
    let told = stderr(&output);
    for mistake in [
        "'--max-message <BYTES>': 5 is not in 1000..=1000000",
        "'--retain <LIMITS>': fewer than 1000",
        "--public /nowhere: not a folder",
        "'--bogus'",
        "5000 is not in 0..=1000 (from HANDSHAKEN_HISTORY)",
        "not a duration such as 500ms, 10s or 5m (from HANDSHAKEN_PING_TIMEOUT)",
        "NODE_PORT=http: not a port number",
    ] {
        assert!(told.contains(mistake), "no `{mistake}` in:\n{told}");
    }
    assert_eq!(told.lines().count(), 8, "{told}");
}

#[test]
fn a_password_in_a_wrong_address_of_redis_is_not_repeated() {
    for (variable, named) in [("HANDSHAKEN_REDIS", "--redis"), ("REDIS_URL", "REDIS_URL")] {
        let mut server = server(&["--check"]);
        let output = server.env(variable, "redis://ann:s3cret@h/x").output();
        let output = output.unwrap();
        assert_eq!(code(&output), 64, "{output:?}");
        let told = stderr(&output);
        assert!(
            told.contains(&format!("{named}: not a Redis URL")),
            "{told}"
        );
        assert!(!told.contains("s3cret"), "{told}");
    }
}

#[test]
fn the_variables_that_other_programs_read_name_the_redis_too() {
    let output = server(&["--check"]).env("REDIS_HOST", "::1").output();
    assert_eq!(code(&output.unwrap()), 0);
    let mut server = server(&["--check"]);
    let output = server.env("REDIS_HOST", "h").env("REDIS_PORT", "many");
    let output = output.output().unwrap();
    assert_eq!(code(&output), 64, "{output:?}");
    assert!(stderr(&output).contains("REDIS_PORT=many"), "{output:?}");
}

#[test]
fn services_of_cloud_foundry_count_where_nothing_else_says_where_they_are() {
    let wrong = r#"{"mysql-5.1": [{"credentials": {"uri": "mysql://u:s3cret@h"}}],
        "redis-2.6": [{"credentials": {"password": "s3cret"}}]}"#;
    let output = server(&["--check"]).env("VCAP_SERVICES", wrong).output();
    let output = output.unwrap();
    assert_eq!(code(&output), 64, "{output:?}");
    let told = stderr(&output);
    for mistake in [
        "VCAP_SERVICES: mysql-5.1: names no database",
        "VCAP_SERVICES: redis-2.6: no address of a Redis in its credentials",
    ] {
        assert!(told.contains(mistake), "{told}");
    }
    assert!(!told.contains("s3cret"), "{told}");

    let mut otherwise = server(&["--check", "--database", "postgres://h/users"]);
    let otherwise = (otherwise.env("REDIS_HOST", "h"))
        .env("HANDSHAKEN_SESSION_SECRET", "the same on all replicas")
        .env("VCAP_SERVICES", wrong);
    assert_eq!(code(&otherwise.output().unwrap()), 0);

    let broker = r#"{"rabbitmq-2.4": [{"credentials": {"url": "amqp://u:s3cret@h:x"}}]}"#;
    let mut bus = server(&["--check"]);
    let bus = bus.env("VCAP_SERVICES", broker);
    assert_eq!(
        code(&bus.output().unwrap()),
        0,
        "it may be there for others"
    );
    let output = bus.args(["--amqp-exchange", "messages"]).output().unwrap();
    assert_eq!(code(&output), 64, "{output:?}");
    let told = stderr(&output);
    let mistake = "VCAP_SERVICES: rabbitmq-2.4: not a URL such as amqp://";
    assert!(told.contains(mistake) && !told.contains("s3cret"), "{told}");
    let right = broker.replace(":x", "");
    assert_eq!(code(&bus.env("VCAP_SERVICES", right).output().unwrap()), 0);

    let output = otherwise.env("VCAP_SERVICES", r#"{"redis": [s3cret"#);
    let output = output.output().unwrap();
    assert_eq!(code(&output), 64, "{output:?}");
    let told = stderr(&output);
    assert!(
        told.contains("VCAP_SERVICES: not JSON: expected value at line 1 column 12"),
        "{told}"
    );
    assert!(!told.contains("s3cret"), "{told}");
}

#[test]
fn a_broker_and_its_exchanges_are_named_together_and_no_password_is_repeated() {
    let check = |args: &[&str]| {
        let output = server(&["--check"]).args(args).output().unwrap();
        (code(&output), stderr(&output).to_owned())
    };
    let url = "amqp://ann:s3cret@h:5672/x?heartbeat=60";
    let exchange = "--amqp-exchange=messages,chatExchange";
    assert_eq!(check(&["--amqp", url, exchange]).0, 0);
    for (args, mistake) in [
        (vec!["--amqp", url], "--amqp: say which exchanges"),
        (vec![exchange], "--amqp-exchange: say where the RabbitMQ is"),
        (
            vec!["--amqp", url, "--amqp-exchange=logs"],
            "no such exchange; there are messages",
        ),
        (
            vec!["--amqp", "amqp://ann:s3cret@h:x", exchange],
            "--amqp: not a URL such as amqp://",
        ),
        (
            vec!["--amqp", "redis://ann:s3cret@h", exchange],
            "it begins with neither amqp:// nor",
        ),
    ] {
        let (code, told) = check(&args);
        assert_eq!(code, 64, "{args:?}");
        assert!(told.contains(mistake), "no `{mistake}` in {told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_mistakes() {
    let small = ["--max-backlog", "100000", "--max-message", "200000"];
    let few = ["--max-backlog-packets", "16", "--history", "16"];
    for (args, mistake) in [
        (small, "--max-backlog 100000: smaller than one message"),
        (
            few,
            "--max-backlog-packets 16: no more than a newcomer gets",
        ),
    ] {
        let output = server(&args).arg("--check").output().unwrap();
        assert_eq!(code(&output), 64, "{output:?}");
        assert!(stderr(&output).contains(mistake), "{output:?}");
    }
}

#[test]
fn logins_that_other_replicas_would_not_know_are_mistakes() {
    let views = |template: &str| {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("index.ejs"), template).unwrap();
        folder
    };
    let (accounts, visitors, plain) = (
        views("<%= name %>"),
        views("<%= user %>"),
        views("<%= server %>"),
    );
    let [accounts, visitors, plain] =
        [&accounts, &visitors, &plain].map(|folder| folder.path().to_str().unwrap());
    let shared = "--database=postgres://chat@db/chat";
    let secret = "--session-secret=known to all of them";
    let set_a_database = "set --database mysql://… or postgres://…";
    let give_a_secret = "--session-secret: there is none";
    for (args, mistakes) in [
        (&[][..], &[][..]),
        (&[secret], &[]),
        (&[secret, shared, "--views", accounts], &[]),
        (&[secret, "--views", visitors], &[]),
        (&["--views", plain], &[]),
        (&[shared], &[give_a_secret]),
        (
            &[secret, "--database=sqlite:/srv/accounts.db"],
            &[set_a_database],
        ),
        (&[secret, "--views", accounts], &[set_a_database]),
        (&["--views", accounts], &[set_a_database, give_a_secret]),
        (&["--views", visitors], &[give_a_secret]),
        (
            &[
                "--smtp=smtps://mail.example",
                "--smtp-from=chat@mail.example",
            ],
            &["--smtp: there are no accounts"],
        ),
        (
            &["--session-prefix=handshaken:sess:"],
            &["--session-prefix handshaken:sess:"],
        ),
    ] {
        // Without a Redis there are no others.
        for redis in [&["--redis", "redis://h"][..], &[]] {
            let output = server(&[&["--check"], args, redis].concat())
                .output()
                .unwrap();
            let mistakes = if redis.is_empty() { &[] } else { mistakes };
            let told = stderr(&output);
            let expected = if mistakes.is_empty() { 0 } else { 64 };
            assert_eq!(code(&output), expected, "{args:?}: {told}");
            assert_eq!(
                told.lines().count(),
                if mistakes.is_empty() {
                    0
                } else {
                    mistakes.len() + 1
                },
                "{told}"
            );
            for mistake in mistakes {
                assert!(told.contains(mistake), "no `{mistake}` in:\n{told}");
            }
        }
    }
}

#[test]
fn channels_of_bridges_need_a_redis_and_names_that_are_not_ours() {
    let ours = ["--redis", "redis://h"];
    for (flags, mistake) in [
        (
            &["--new-msg-channel", "newMsg"][..],
            Some("--new-msg-channel newMsg: no Redis is named"),
        ),
        (
            &["--socketio-redis-key", "socket.io"],
            Some("--socketio-redis-key socket.io: no Redis"),
        ),
        (
            &[
                "--new-msg-channel",
                "newMsg",
                "--neighbour-redis",
                "redis://i",
            ],
            None,
        ),
        (
            &[
                &ours[..],
                &["--new-msg-channel", "newMsg", "--socketio-redis-key", "k"],
            ]
            .concat(),
            None,
        ),
        (
            &[
                "--socketio-redis-key",
                "chat",
                "--redis-prefix",
                "chat",
                "--neighbour-redis",
                "redis://i",
            ],
            Some("--socketio-redis-key chat: what is ours in Redis is called so too"),
        ),
        (
            &[&ours[..], &["--new-msg-channel", "handshaken:fleeting"]].concat(),
            Some("--new-msg-channel handshaken:fleeting: what is ours"),
        ),
        (
            &["--neighbour-redis", "redis://ann:s3cret@h/x"],
            Some("--neighbour-redis: not a Redis URL"),
        ),
    ] {
        let output = server(flags).arg("--check").output().unwrap();
        let told = stderr(&output);
        assert_eq!(
            code(&output),
            if mistake.is_some() { 64 } else { 0 },
            "{flags:?}: {told}"
        );
        assert!(
            told.contains(mistake.unwrap_or_default()),
            "{flags:?}: {told}"
        );
        assert!(!told.contains("s3cret"), "{told}");
    }
}

#[test]
fn a_secret_is_told_by_no_help_and_no_mistake() {
    for args in [
        &["--help"][..],
        &["--check", "--jwt-issuer", "x", "--bogus"],
    ] {
        let mut server = server(args);
        let output = server.env("HANDSHAKEN_JWT_SECRET", "hushhush").output();
        let output = output.unwrap();
        let told = format!("{}{}", stdout(&output), stderr(&output));
        assert!(!told.is_empty());
        assert!(!told.contains("hushhush"), "{told}");
    }
    let settings = format!(
        "{:?}",
        Settings::parse(["x".into(), "--jwt-secret=hushhush".into()])
    );
    assert!(
        settings.contains("(not shown)") && !settings.contains("hushhush"),
        "{settings}"
    );
}

#[test]
fn a_password_in_the_address_of_a_key_set_is_shown_nowhere() {
    for (address, code_of_check) in [
        ("https://a/keys?key=s3cret", 0),
        ("https://ann:s3cret@a/", 64),
        ("ftp://ann:s3cret@a/", 64),
        ("https:/ann:s3cret@a/", 64),
    ] {
        for (asked, expected) in [("--check", code_of_check), ("--help", 0)] {
            let from_flag = server(&[asked, "--jwt-jwks", address]).output();
            let mut server = server(&[asked]);
            let from_variable = server.env("HANDSHAKEN_JWT_JWKS", address).output();
            for output in [from_flag.unwrap(), from_variable.unwrap()] {
                assert_eq!(code(&output), expected, "{output:?}");
                let told = format!("{}{}", stdout(&output), stderr(&output));
                assert!(!told.contains("s3cret"), "{told}");
                assert!(expected == 0 || told.contains("--jwt-jwks: "), "{told}");
            }
        }
    }
    let flag = "--jwt-jwks=https://a/keys?key=s3cret";
    let settings = Settings::parse(["x".into(), flag.into()]).unwrap();
    assert!(!format!("{settings:?}").contains("s3cret"), "{settings:?}");
}

#[test]
fn demands_on_tokens_that_nobody_could_meet_are_mistakes() {
    for demand in ["--jwt-issuer", "--jwt-audience"] {
        let output = server(&["--check", demand, "us"]).output().unwrap();
        assert_eq!(code(&output), 64, "{output:?}");
        let mistake = format!("{demand} us: no token is accepted without --jwt-secret");
        assert!(stderr(&output).contains(&mistake), "{output:?}");
    }
}

#[test]
fn the_edges_of_every_range_are_right_and_what_lies_beyond_is_not() {
    for (flag, right, wrong) in [
        ("--history", ["0", "1000"], ["-1", "1001"]),
        ("--max-message", ["1000", "1000000"], ["999", "1000001"]),
        ("--event-rate", ["0", "1000000"], ["-1", "1000001"]),
        ("--flood-timeout", ["1s", "1h"], ["999ms", "61m"]),
        (
            "--max-backlog",
            ["100000", "100000000"],
            ["99999", "100000001"],
        ),
        (
            "--max-backlog-packets",
            ["26", "1000000"],
            ["15", "1000001"],
        ),
        ("--stall-timeout", ["1s", "5m"], ["0s", "6m"]),
        ("--max-connections", ["1", "10000000"], ["0", "10000001"]),
        ("--handshake-rate", ["0", "1000000"], ["-1", "1000001"]),
        ("--ping-interval", ["1s", "1h"], ["0s", "-5s"]),
        ("--ping-timeout", ["1s", "1h"], ["5", "2h"]),
        ("--legacy-heartbeat-timeout", ["26s", "1h"], ["25s", "61m"]),
        ("--legacy-heartbeat-interval", ["1s", "59s"], ["60s", "0s"]),
        ("--legacy-close-timeout", ["1s", "1h"], ["0s", "2h"]),
        ("--legacy-polling-duration", ["1s", "1h"], ["0s", "2h"]),
        (
            "--legacy-transports",
            ["xhr-polling", "jsonp-polling,websocket"],
            ["flashsocket", "websocket,websocket"],
        ),
        ("--public-max-age", ["0s", "365d"], ["366d", "month"]),
        ("--jwt-secret", ["a b", "a\nb\n"], ["", "\n"]),
        (
            "--jwt-jwks",
            [
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
                "https://a:1/k?x=y",
            ],
            ["nowhere.json", "http://u:p@a/"],
        ),
        (
            "--jwt-jwks",
            ["http://a/", "http://[::1]/"],
            ["ftp://a/", "https://"],
        ),
        ("--jwt-not-before", ["on", "off"], ["1", ""]),
        ("--jwt-grace", ["0s", "24h"], ["-1s", "25h"]),
        ("--drain-timeout", ["0s", "1h"], ["-1s", "2h"]),
        ("--retain", ["1000", "90d,1000"], ["999", "90d,80d"]),
        ("--retain", ["all", "1m"], ["59s", "many"]),
        ("--retain", ["64MB", "90d,1000,2GB"], ["63MB", "1GB,2GB"]),
        ("--new-rooms", ["0", "1000000"], ["-1", "1000001"]),
        (
            "--time-zone",
            ["UTC", "Asia/Kathmandu"],
            ["Mars/Olympus", ""],
        ),
        ("--cors-origin", ["*", "http://a:1"], ["a", "http://a/b"]),
        ("--client", ["0.9", "4"], ["1.7", "5"]),
        (
            "--redis",
            ["redis://:p@h:1/2", "redis+sentinel://h,i:7/name"],
            ["h:6379", "rediss://h/#insecure"],
        ),
        ("--redis-prefix", ["a", "chat-1.x:y"], ["", "a b"]),
        (
            "--neighbour-redis",
            ["redis://:p@h:1/2", "redis+sentinel://h,i:7/name"],
            ["h:6379", "rediss://h/#insecure"],
        ),
        ("--session-cookie", ["a", "connect.sid"], ["", "a b"]),
        ("--session-secret", ["a", "old,new"], ["", "a,"]),
        ("--session-max-age", ["1m", "400d"], ["59s", "401d"]),
        ("--session-prefix", ["a", "chat:sess:"], ["", "a b"]),
        (
            "--trusted-proxy",
            ["10.0.0.7,::1", "fd00::/8"],
            ["proxy", "10.0.0.0/33"],
        ),
        ("--host-name", ["a", "Küche"], ["", "a\nb"]),
    ] {
        for value in right {
            let output = server(&["--check", &format!("{flag}={value}")]).output();
            let output = output.unwrap();
            assert_eq!(code(&output), 0, "{flag}={value}: {output:?}");
        }
        for value in wrong {
            let output = server(&["--check", &format!("{flag}={value}")]).output();
            let output = output.unwrap();
            assert_eq!(code(&output), 64, "{flag}={value}: {output:?}");
            assert!(stderr(&output).contains(flag), "{flag}={value}: {output:?}");
        }
    }
}

#[test]
fn the_old_servers_variables_set_the_port_unless_an_address_is_given() {
    let free = || TcpListener::bind("0.0.0.0:0").unwrap();
    let port = |free: TcpListener| free.local_addr().unwrap().port().to_string();
    let (one, other) = (port(free()), port(free()));
    let listens = |command: &mut Command| listening(command.arg("--drain-timeout=1s"));

    assert_eq!(
        listens(server(&[]).env("NODE_PORT", &one).env("PORT", &other)),
        format!("listening on http://0.0.0.0:{one}")
    );
    assert_eq!(
        listens(server(&[]).env("NODE_PORT", "").env("PORT", &other)),
        format!("listening on http://0.0.0.0:{other}")
    );
    let given = listens(server(&["--listen", "127.0.0.1:0"]).env("NODE_PORT", &one));
    let address = given.strip_prefix("listening on http://127.0.0.1:");
    assert!(
        address.is_some_and(|port| port != "0" && port != one),
        "{given}"
    );
}

#[test]
fn a_file_named_env_is_read_and_the_environment_wins_over_it() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(".env"), "HANDSHAKEN_HISTORY=5000\n").unwrap();
    let mut check = server(&["--check"]);
    check.current_dir(folder.path());
    let output = check.output().unwrap();
    assert_eq!(code(&output), 64, "{output:?}");
    assert!(
        stderr(&output).contains("(from HANDSHAKEN_HISTORY)"),
        "{output:?}"
    );
    assert_eq!(
        code(&check.env("HANDSHAKEN_HISTORY", "5").output().unwrap()),
        0
    );

    fs::write(folder.path().join(".env"), "half a line\n").unwrap();
    let output = check.output().unwrap();
    assert_eq!(code(&output), 64, "{output:?}");
    assert!(
        stderr(&output).starts_with("handshaken: .env: line 1 is not NAME=value"),
        "{output:?}"
    );
}

#[test]
fn a_wrong_line_of_the_file_named_env_is_told_before_what_it_brings_about_and_never_quoted() {
    let folder = TempDir::new().unwrap();
    let wrong = "HANDSHAKEN_SESSION_SECRET=correct horse\nHANDSHAKEN_CLUSTER_SECRET=s\n";
    fs::write(folder.path().join(".env"), wrong).unwrap();
    // The secret that this needs is in the file, behind the line that is wrong.
    let mut check = server(&[
        "--check",
        "--redis",
        "redis://h",
        "--cluster-listen",
        "0.0.0.0:0",
    ]);
    let output = check.current_dir(folder.path()).output().unwrap();
    assert_eq!(code(&output), 64, "{output:?}");
    let told: Vec<_> = stderr(&output).lines().collect();
    assert!(told[0].starts_with("handshaken: .env: line 1 "), "{told:?}");
    assert!(told[1].contains("set --cluster-secret"), "{told:?}");
    assert!(!stderr(&output).contains("horse"), "{told:?}");
}

#[test]
fn passwords_of_a_database_and_a_mail_server_are_shown_nowhere() {
    const SECRET: &str = "geheim";
    let urls = [
        (
            "mysql://chat:geheim@db/chat",
            "smtps://chat:geheim@mail.example",
        ),
        (
            "mysql://chat:geheim@db:port/chat",
            "smtps://chat:geheim@mail.example:port",
        ),
        ("geheim", "geheim"),
        (
            "postgres://chat:geheim@db",
            "https://chat:geheim@mail.example",
        ),
    ];
    for (right, (database, smtp)) in [true, false, false, false].into_iter().zip(urls) {
        for asked in ["--check", "--help"] {
            let mut command = server(&[asked, "--smtp-from", "chat@mail.example"]);
            let from_flags = server(&[
                asked,
                "--smtp-from",
                "chat@mail.example",
                "--database",
                database,
                "--smtp",
                smtp,
            ])
            .output();
            let from_variables = command
                .env("HANDSHAKEN_DATABASE", database)
                .env("HANDSHAKEN_SMTP", smtp)
                .output();
            for output in [from_flags.unwrap(), from_variables.unwrap()] {
                let refused = asked == "--check" && !right;
                assert_eq!(code(&output), if refused { 64 } else { 0 }, "{output:?}");
                assert!(!stdout(&output).contains(SECRET), "{output:?}");
                let told = stderr(&output);
                assert!(!told.contains(SECRET), "{told}");
                assert!(
                    !refused || (told.contains("--database ") && told.contains("--smtp ")),
                    "{told}"
                );
            }
        }
    }
    let flags = [
        "",
        "--database",
        urls[0].0,
        "--smtp",
        urls[0].1,
        "--smtp-from",
        "chat@mail.example",
    ];
    let settings = Settings::parse(flags.map(Into::into)).unwrap();
    assert!(!format!("{settings:?}").contains(SECRET), "{settings:?}");
    let options = settings.accounts.options(&settings.data).unwrap();
    assert!(!format!("{options:?}").contains(SECRET), "{options:?}");
}

#[test]
fn a_mail_server_needs_a_sender_and_a_sender_a_server() {
    for (flag, value, missing) in [
        ("--smtp", "smtps://mail.example", "--smtp-from"),
        ("--smtp-from", "chat@mail.example", "--smtp"),
    ] {
        let output = server(&["--check", flag, value]).output().unwrap();
        assert_eq!(code(&output), 64, "{output:?}");
        assert!(
            stderr(&output).contains(&format!("give {missing} too")),
            "{output:?}"
        );
    }
}

#[test]
fn a_port_in_use_is_told_with_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = TempDir::new().unwrap();
    let mut command = server(&["--listen", &address, "--data"]);
    let output = command.arg(data.path()).output().unwrap();
    assert_eq!(code(&output), 1, "{output:?}");
    let told = stderr(&output);
    assert!(
        told.contains(&format!(
            "cannot listen on {address}: Address already in use"
        )),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn a_data_folder_that_cannot_be_used_is_told_with_what_to_check() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();

    let output = server(&["--data"]).arg(&file).output().unwrap();
    assert_eq!(code(&output), 64, "{output:?}");
    assert!(stderr(&output).contains("file: not a folder"), "{output:?}");

    let output = start_in(&file.join("below"));
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(
        stderr(&output).contains("check that it is a directory and may be written"),
        "{output:?}"
    );
}

#[test]
fn a_data_folder_that_another_server_uses_is_told_so() {
    let folder = TempDir::new().unwrap();
    let mut first = server(&["--listen", "127.0.0.1:0", "--data"]);
    let mut first = Running::start(first.arg(folder.path()));
    first.first_line();
    let output = start_in(folder.path());
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(
        stderr(&output).contains("is in use by another process"),
        "{output:?}"
    );
}

/// A file as the secret is that a container finds at `path`, made up in the way that the file's first lines tell.
fn secret_as_told(text: &str, path: &str, folder: &TempDir) -> PathBuf {
    let secret = path
        .strip_prefix("/run/secrets/")
        .expect("a secret of Docker's");
    let made = format!(" docker secret create chat_{secret} -");
    let line = text.lines().find_map(|line| line.strip_suffix(&made));
    let line = line.unwrap_or_else(|| panic!("nothing makes chat_{secret}"));
    let command = line
        .trim_start_matches(['#', ' '])
        .trim_end_matches(['|', ' ']);
    let mut shell = Command::new("sh");
    let output = shell
        .args(["-c", command])
        .env("password", "drawn")
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    let file = folder.path().join(secret);
    fs::write(&file, output.stdout).unwrap();
    file
}

/// The variable that names a file for the value of this flag.
fn in_file(flag: &str) -> String {
    let variable = flag.replace('-', "_").to_uppercase();
    format!("HANDSHAKEN_{variable}{SUFFIX}")
}

/// The value as it is once who deploys has given what `${…}` asks for.
fn filled_in(value: &str) -> String {
    let mut parts = value.trim_matches('"').split("${");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_, rest) = part.split_once('}').expect("what is opened is closed");
        filled = filled + "what-somebody-makes-up" + rest;
    }
    filled
}

/// The program with these arguments, nothing of ours in its environment, and a working folder without a `.env`.
fn server(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handshaken"));
    without_settings(&mut command)
        .args(args)
        .current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

fn start_in(data: &Path) -> Output {
    let mut command = server(&["--listen", "127.0.0.1:0", "--data"]);
    command.arg(data).output().unwrap()
}

/// What a server says when it is ready. It runs in a folder of its own, and is ended.
fn listening(command: &mut Command) -> String {
    let data = TempDir::new().unwrap();
    Running::start(command.arg("--data").arg(data.path())).first_line()
}

/// A server that ends with the test.
struct Running(std::process::Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        Self(command.spawn().unwrap())
    }

    /// Waits for the line; a server that does not start closes its end.
    fn first_line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.0.stdout.take().expect("asked for once");
        BufReader::new(stdout).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("ended by itself")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The lines of the table of settings: they begin with a flag.
fn table_lines(readme: &str) -> impl Iterator<Item = &str> {
    readme.lines().filter(|line| line.starts_with("| `--"))
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn rows_of(readme: &str) -> BTreeMap<String, Row> {
    let rows = table_lines(readme).map(|line| {
        let cells = cells(line);
        let [flag, variable, default, _, _] = cells[..] else {
            panic!("not five cells: {line}");
        };
        let bare = |cell: &str| cell.trim_matches('`').to_owned();
        let row = Row {
            variable: bare(variable),
            default: if default.starts_with('`') {
                bare(default)
            } else {
                String::new()
            },
        };
        (bare(flag), row)
    });
    rows.collect()
}

/// Defaults that only words can tell have none here.
fn rows_of_the_code() -> BTreeMap<String, Row> {
    let command = Settings::command();
    let rows = command.get_arguments().map(|argument| {
        let values = argument.get_default_values().iter();
        let value = |value: &clap::builder::OsStr| value.to_string_lossy().into_owned();
        let row = Row {
            variable: argument
                .get_env()
                .map_or(String::new(), |name| name.to_string_lossy().into_owned()),
            default: values.map(value).collect(),
        };
        (
            format!(
                "--{}",
                argument.get_long().expect("every setting is a flag")
            ),
            row,
        )
    });
    rows.collect()
}
