//! The house keeps its shape: who may know whom, and which library belongs to whom. Read from the
//! sources, so that a wrong import fails here and not in a review. ARCHITECTURE.md shows the same table.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Who may import what, from the room itself apart. The arrows go one way: transport, engineio → socketio → dialect → chat ← store.
/// `account` stands aside of them. Only `server` knows several rooms as a whole; `settings` names the values that it reads.
const MAY_IMPORT: [(&str, &[&str]); 18] = [
    (
        "account",
        &["chat::message", "chat::socket", "log_limit", "redis"],
    ),
    ("chat", &[]),
    ("store", &["chat", "redis"]),
    ("redis", &[]),
    (
        "bridges",
        &[
            "chat",
            "cluster::lease",
            "log_limit",
            "dialects::infinite",
            "dialects::talk",
            "dialects::amqpchat::AmqpChat",
            "dialects::escape",
            "dialects::iso",
            "dialects::rabbitpubsub::RabbitPubSub",
            "redis",
        ],
    ),
    (
        "cluster",
        &[
            "chat::message",
            "chat::presence",
            "dialects::Volatile",
            "redis",
        ],
    ),
    (
        "dialects",
        &[
            "account::names",
            "account::sessions",
            "account::tokens",
            "chat",
            "log_limit",
        ],
    ),
    ("connection", &["chat::socket", "dialects"]),
    (
        "engineio",
        &[
            "chat::socket",
            "connection",
            "dialects::Handshake",
            "log_limit",
            "transport::body",
            "transport::encoding",
            "transport::forward::Hop",
            "transport::listener::Remote",
            "transport::origin",
            "transport::upgrade",
        ],
    ),
    (
        "socketio",
        &[
            "chat::socket",
            "connection",
            "dialects",
            "engineio",
            "transport::origin",
        ],
    ),
    (
        "transport",
        &[
            "account",
            "connection",
            "dialects",
            "chat::message",
            "chat::socket",
            "cluster::replicas",
            "log_limit",
        ],
    ),
    (
        "settings",
        &[
            "account::DatabaseUrl",
            "account::Limits",
            "account::Options",
            "account::Smtp",
            "account::tokens::InvalidSource",
            "account::tokens::JwksSource",
            "account::tokens::Path",
            "store::sqlite::Retain",
            "bridges::amqp::Address",
            "bridges::amqp::Bus",
            "bridges::amqp::InvalidAddress",
            "redis::Address",
            "redis::InvalidAddress",
            "transport::legacy::Transport",
            "transport::web::ClientGeneration",
            "transport::web::index",
            "transport::web::kschat",
        ],
    ),
    ("log_limit", &[]),
    ("telemetry", &["settings::LogFormat"]),
    (
        "server",
        &[
            "account",
            "chat",
            "cluster",
            "dialects",
            "store",
            "bridges",
            "redis",
            "settings",
            "socketio",
            "transport",
        ],
    ),
    (
        "doctor",
        &[
            "account",
            "store::sqlite",
            "bridges::amqp",
            "redis",
            "settings",
            "transport::legacy::Transport",
            "transport::listener",
            "transport::web",
        ],
    ),
    ("main", &["doctor", "server", "settings", "telemetry"]),
    ("lib", &[]),
];

/// Libraries that only these places name, so that replacing one stays a matter of one place.
const AT_HOME: [(&str, &[&str]); 16] = [
    ("jsonwebtoken", &["account/tokens", "account/tokens.rs"]),
    ("argon2", &["account/passwords.rs"]),
    ("minijinja", &["transport/web/views.rs"]),
    ("lettre", &["account/mail.rs"]),
    ("lapin", &["bridges/amqp"]),
    ("sqlx", &["account/users"]),
    ("engineioxide_core", &["engineio", "socketio"]),
    ("socketioxide_core", &["socketio"]),
    ("socketioxide_parser_common", &["socketio"]),
    (
        "tokio_tungstenite",
        &["connection", "engineio", "transport"],
    ),
    ("rusqlite", &["store/sqlite", "account/sessions"]),
    // Our own room of that name is written the same, so its users are named here as well.
    (
        "redis",
        &[
            "redis",
            "store/redis",
            "account/sessions",
            "account/shared.rs",
            "cluster",
            "bridges",
            "settings",
            "server",
            "doctor",
        ],
    ),
    ("rmpv", &["bridges/socketio_redis"]),
    (
        "clap",
        &["settings", "transport/legacy/mod.rs", "transport/web.rs"],
    ),
    ("axum", &["engineio", "socketio", "transport", "server"]),
    ("hyper", &["transport"]),
];

/// What front ends have in common that are told apart by a login. Their dialects know it, and it knows none of them.
const NO_FRONT_END: &str = "by_session";

/// One file of `src`.
struct Source {
    /// From `src` on, with slashes.
    name: String,
    /// `chat/room.rs` is `["chat", "room"]`, `chat/mod.rs` is `["chat"]`.
    module: Vec<String>,
    text: String,
}

impl Source {
    fn room(&self) -> &str {
        &self.module[0]
    }

    /// The text without comments.
    fn code(&self) -> String {
        let lines = self.text.lines();
        let code = lines.map(|line| line.split("//").next().unwrap_or_default());
        code.collect::<Vec<_>>().join("\n")
    }

    /// Every path to a module of ours that the code names, from the crate's top on.
    fn imports(&self) -> BTreeSet<String> {
        let code = self.code();
        let mut found = BTreeSet::new();
        // `handshaken::` is what main.rs calls the library.
        for (root, depth) in [
            ("crate::", 0),
            ("handshaken::", 0),
            ("super::", self.module.len() - 1),
        ] {
            for (at, _) in code.match_indices(root) {
                let before = code[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                    continue;
                }
                let mut top = self.module[..depth].to_vec();
                let mut rest = &code[at + root.len()..];
                while let Some(further) = rest.strip_prefix("super::") {
                    top.pop();
                    rest = further;
                }
                let prefix = top
                    .iter()
                    .map(|part| format!("{part}::"))
                    .collect::<String>();
                expand(rest, &prefix, &mut found);
            }
        }
        found
    }
}

/// Adds the paths of a use tree (`a::{b, c::{d, e}}`), and returns what follows it.
fn expand<'a>(tree: &'a str, prefix: &str, found: &mut BTreeSet<String>) -> &'a str {
    let tree = tree.trim_start();
    if let Some(mut rest) = tree.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            match rest.strip_prefix('}') {
                Some(after) => return after,
                None if rest.is_empty() => return rest,
                None => rest = expand(rest, prefix, found).trim_start(),
            }
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '*';
    let end = tree.find(|c| !is_part(c)).unwrap_or(tree.len());
    let (part, rest) = tree.split_at(end);
    if let Some(deeper) = rest.strip_prefix("::") {
        return expand(deeper, &format!("{prefix}{part}::"), found);
    }
    found.insert(format!("{prefix}{part}"));
    // Past `as name`, and past whatever else is no use tree.
    let end = rest.find([',', '}', ';']).unwrap_or(rest.len());
    &rest[end..]
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(source(&path));
            }
        }
    }
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    sources
}

fn source(path: &Path) -> Source {
    let name = path
        .strip_prefix("src")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let module = name.trim_end_matches(".rs").trim_end_matches("/mod");
    Source {
        module: module.split('/').map(str::to_owned).collect(),
        text: fs::read_to_string(path).unwrap(),
        name,
    }
}

/// Whether a path is this one or leads through it.
fn is_within(path: &str, allowed: &str) -> bool {
    let rest = path.strip_prefix(allowed);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn rooms() -> BTreeSet<String> {
    sources()
        .iter()
        .map(|source| source.room().to_owned())
        .collect()
}

#[test]
fn every_room_of_the_house_is_in_the_table() {
    let named: BTreeSet<_> = MAY_IMPORT
        .iter()
        .map(|(room, _)| (*room).to_owned())
        .collect();
    assert_eq!(rooms(), named);
}

#[test]
fn a_room_imports_only_what_the_table_allows() {
    let rooms = rooms();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for source in sources() {
        let (_, allowed) = MAY_IMPORT
            .iter()
            .find(|(room, _)| *room == source.room())
            .unwrap();
        for path in source.imports() {
            let room = path.split("::").next().unwrap_or_default();
            if room == source.room() || !rooms.contains(room) {
                continue;
            }
            checked += 1;
            if !allowed.iter().any(|allowed| is_within(&path, allowed)) {
                wrong.push(format!("src/{} imports crate::{path}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        checked > 50,
        "only {checked} imports found: has the notation changed?"
    );
}

#[test]
fn nothing_in_the_table_is_allowed_in_vain() {
    let sources = sources();
    for (room, allowed) in MAY_IMPORT {
        for allowed in allowed {
            let used = sources.iter().filter(|source| source.room() == room);
            let used = used
                .flat_map(Source::imports)
                .any(|path| is_within(&path, allowed));
            assert!(
                used,
                "{room} does not import {allowed} any more: take it out of the table"
            );
        }
    }
}

#[test]
fn a_dialect_knows_no_other_dialect() {
    let sources = sources();
    let dialects: BTreeSet<_> = (sources.iter())
        .filter(|source| source.room() == "dialects")
        .filter_map(|source| source.module.get(1).cloned())
        .collect();
    assert!(dialects.len() > 1, "{dialects:?}");
    assert!(dialects.contains(NO_FRONT_END), "{dialects:?}");
    for source in sources.iter().filter(|source| source.room() == "dialects") {
        for path in source.imports() {
            let other = path
                .strip_prefix("dialects::")
                .and_then(|path| path.split("::").next());
            let other = other.filter(|other| dialects.contains(*other));
            let own = source.module.get(1).map(String::as_str);
            assert!(
                other.is_none() || other == own || other == Some(NO_FRONT_END),
                "src/{} imports {path}",
                source.name
            );
        }
    }
}

#[test]
fn a_library_is_named_only_where_it_is_at_home() {
    let sources = sources();
    for (library, homes) in AT_HOME {
        let path = format!("{library}::");
        let names_it = |source: &Source| {
            let code = source.code();
            code.match_indices(&path).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
            })
        };
        let mut named = 0;
        for source in sources.iter().filter(|source| names_it(source)) {
            let at_home = homes.iter().any(|home| source.name.starts_with(home));
            assert!(at_home, "src/{} names {library}", source.name);
            named += 1;
        }
        assert!(
            named > 0,
            "nobody names {library}: take it out of the table"
        );
    }
}

#[test]
fn no_queue_is_unbounded() {
    for source in sources() {
        let code = source.code();
        for call in ["unbounded", "std::sync::mpsc::channel", "mpsc::channel()"] {
            assert!(!code.contains(call), "src/{} has `{call}`", source.name);
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for source in sources() {
        let said = source.text.starts_with("//! ");
        assert!(
            said,
            "src/{} does not begin with what it is for",
            source.name
        );
    }
}

#[test]
fn the_walkthrough_names_files_that_there_are() {
    let sources = sources();
    let walkthrough = fs::read_to_string("ARCHITECTURE.md").unwrap();
    let quoted = walkthrough.split('`').skip(1).step_by(2);
    let mut named = 0;
    for file in quoted.filter(|word| word.ends_with(".rs") && !word.starts_with("tests/")) {
        let exists = sources
            .iter()
            .any(|source| Path::new(&source.name).ends_with(file));
        assert!(exists, "ARCHITECTURE.md names {file}, which is not in src");
        named += 1;
    }
    assert!(named > 20, "only {named} files named");
}

#[test]
fn the_reader_of_imports_reads_every_notation() {
    let source = Source {
        name: "chat/room.rs".into(),
        module: vec!["chat".into(), "room".into()],
        text:
            "use crate::{a::{self, b::*}, c as d};\nuse super::{e, f::G};\n// use crate::comment;\n\
               fn f() -> crate::h::I { super::super::j::k() }\nuse my_crate::not_ours;\n"
                .into(),
    };
    let expected = [
        "a::b::*",
        "a::self",
        "c",
        "chat::e",
        "chat::f::G",
        "h::I",
        "j::k",
    ];
    let found: Vec<_> = source.imports().into_iter().collect();
    assert_eq!(found, expected);
}
