//! The pages that are to be served, looked at as a browser would: which client library they have and whether that is the one
//! they were written for, which files of ours they ask for and whether they are there, which address they connect to, and
//! what they have from elsewhere.

mod document;
mod library;
mod visit;

use std::{collections::BTreeSet, net::SocketAddr, path::Path, sync::LazyLock};

use regex_lite::Regex;
use url::Url;

use self::{
    document::Kind,
    library::Library,
    visit::{Loaded, Page},
};
use super::finding::Finding;
use crate::{
    settings::Settings,
    transport::{legacy::Transport, web::ClientGeneration},
};

const SUBJECT: &str = "pages";

/// How many of a kind are named on a line.
const NAMED: usize = 5;

/// Addresses that a script names whole; what follows `http://` may be put together by the script.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"['"`]((?:https?|wss?)://[^'"`\s]*)['"`]\s*(\+)?"#).expect("a right pattern")
});

pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    if settings.public.is_none() && settings.views.is_none() {
        return vec![Finding::ok(SUBJECT, "our own page is served at /".into())];
    }
    let (pages, mut findings) = visit::pages(settings).await;
    findings.extend(transports(settings));
    for page in &pages {
        let name = &page.name;
        findings.extend(missing(name, &page.loaded));
        findings.extend(library(name, page, settings));
        findings.extend(addresses(name, page, &settings.listen));
        findings.extend(elsewhere(name, &page.loaded));
    }
    findings
}

/// How an old page with a login may connect.
fn transports(settings: &Settings) -> Option<Finding> {
    settings.index_template()?;
    let offered = settings.legacy.transports(true);
    let names: Vec<_> = offered.iter().map(|transport| transport.name()).collect();
    let what = format!("Socket.IO 0.9 is offered {}", names.join(", "));
    Some(if *offered == [Transport::XhrPolling] {
        Finding::ok(
            SUBJECT,
            format!("{what}, as the old servers of such pages had it"),
        )
    } else {
        let to_do = "AMQPChat's page does not survive the loss of any but xhr-polling: take --legacy-transports out";
        Finding::warn(SUBJECT, what, to_do)
    })
}

/// What a page asks this server for in vain.
fn missing(page: &str, loaded: &[Loaded]) -> Vec<Finding> {
    let missing = |needed: bool| -> Vec<String> {
        let loaded = loaded.iter().filter(|loaded| loaded.is_missing());
        let of_kind = loaded.filter(|loaded| (loaded.kind != Kind::Picture) == needed);
        of_kind.map(|loaded| loaded.path.clone()).collect()
    };
    let mut findings = Vec::new();
    let (needed, pretty) = (missing(true), missing(false));
    let there = loaded.iter().filter(|loaded| loaded.body.is_some()).count();
    if needed.is_empty() && there > 0 {
        let what = format!("everything that {page} needs of this server is there ({there} files)");
        findings.push(Finding::ok(SUBJECT, what));
    }
    if !needed.is_empty() {
        let what = format!("{page} needs what is not there: {}", named(&needed));
        findings.push(Finding::bad(
            SUBJECT,
            what,
            "Put it into the folder of --public, or correct that",
        ));
    }
    if !pretty.is_empty() {
        let what = format!("{page} shows what is not there: {}", named(&pretty));
        findings.push(Finding::warn(
            SUBJECT,
            what,
            "Put it into the folder of --public; the chat works without it",
        ));
    }
    findings
}

/// Which library a page has, and whether it is right.
fn library(page: &str, read: &Page, settings: &Settings) -> Option<Finding> {
    let set = settings.client;
    let Some(library) = read.library() else {
        let uses_websocket = read
            .scripts
            .iter()
            .any(|script| script.contains("new WebSocket("));
        return Some(if uses_websocket {
            Finding::ok(
                SUBJECT,
                format!("{page} uses the browser's WebSocket and needs no client library"),
            )
        } else {
            let what = format!("{page} has no Socket.IO client library that could be found");
            let to_do = "If it loads one by script, all is well; else: <script src=\"/socket.io/socket.io.js\">";
            Finding::warn(SUBJECT, what, to_do)
        });
    };
    Some(match library {
        Library::AsSet => as_set(page, set, written_for(read, settings)),
        Library::Served(generation) => Finding::ok(
            SUBJECT,
            format!("{page} has the client library of generation {generation} from this server"),
        ),
        Library::Brought { version: None } => Finding::ok(
            SUBJECT,
            format!(
                "{page} brings a client library of its own; --client makes no difference to it"
            ),
        ),
        Library::Brought {
            version: Some(version),
        } if library::generation(&version).is_some() => Finding::ok(
            SUBJECT,
            format!(
                "{page} brings Socket.IO {version}, which is spoken here; --client makes no difference to it"
            ),
        ),
        Library::Brought {
            version: Some(version),
        } => Finding::bad(
            SUBJECT,
            format!("{page} brings Socket.IO {version}, which is not spoken here"),
            "Give it one of 0.7 to 4.x",
        ),
    })
}

/// What is known of the generation that a page was written for, and from where.
fn written_for(read: &Page, settings: &Settings) -> Option<(ClientGeneration, String)> {
    let folders = [&settings.public, &settings.views];
    let version = (folders.into_iter().flatten()).find_map(|folder| library::of_old_server(folder));
    let by_server = version.and_then(|version| {
        let generation = library::generation(&version)?;
        Some((
            generation,
            format!("its old server has socket.io {version} in package.json"),
        ))
    });
    by_server.or_else(|| {
        let generation = library::spoken(&read.scripts)?;
        Some((generation, format!("its scripts use words of {generation}")))
    })
}

/// A page that has the library of `--client`.
fn as_set(
    page: &str,
    set: ClientGeneration,
    written_for: Option<(ClientGeneration, String)>,
) -> Finding {
    let has = format!("{page} has the client library that --client names, generation {set}");
    match written_for {
        None => Finding::ok(
            SUBJECT,
            format!("{has}; nothing tells which one it was written for"),
        ),
        Some((generation, why)) if generation == set => {
            Finding::ok(SUBJECT, format!("{has}: {why}"))
        }
        Some((generation, why)) => {
            let what = format!("{has}, but was written for {generation}: {why}");
            let to_do = format!("Give --client {generation}");
            // Between these two, nearly every word is another.
            if generation == ClientGeneration::V0_9 || set == ClientGeneration::V0_9 {
                Finding::bad(SUBJECT, what, to_do)
            } else {
                Finding::warn(SUBJECT, what, to_do)
            }
        }
    }
}

/// Where the scripts of a page say that the chat is.
fn addresses(page: &str, read: &Page, listen: &[SocketAddr]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    let scripts = read.scripts.iter().filter(|script| connects(script));
    for found in scripts.flat_map(|script| ADDRESS.captures_iter(script)) {
        let (text, is_built) = (found[1].to_owned(), found.get(2).is_some());
        if !seen.insert(text.clone()) {
            continue;
        }
        // A script puts its own values into such.
        if text.contains(['$', '{', '<']) {
            continue;
        }
        let Ok(url) = Url::parse(&text) else {
            // `http://` and a host that is known in the browser.
            if is_built && text == "http://" && !listens(listen, 80) {
                let what = format!(
                    "{page} puts the address of the chat together itself; where it leaves out the port, that is 80"
                );
                let to_do =
                    "If so, listen there (--listen 0.0.0.0:80), or have a proxy there lead here";
                findings.push(Finding::warn(SUBJECT, what, to_do));
            }
            continue;
        };
        let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let is_socket = url.scheme().starts_with("ws");
        if !(loopback || is_socket || url.port().is_some()) {
            continue;
        }
        let (shown, port) = (
            &url[..url::Position::AfterPort],
            url.port_or_known_default().unwrap_or_default(),
        );
        if loopback && !is_built && !listens(listen, port) {
            let what =
                format!("{page} connects to {shown}, where nothing listens with these settings");
            findings.push(Finding::bad(
                SUBJECT,
                what,
                format!("Give --listen 127.0.0.1:{port} as well"),
            ));
        } else if loopback {
            let what = format!(
                "{page} connects to {shown}: that is right only in a browser on this machine"
            );
            findings.push(Finding::warn(
                SUBJECT,
                what,
                "For others, put the chat's own address into its script",
            ));
        } else {
            let what = format!("{page} connects to {shown}");
            findings.push(Finding::ok(SUBJECT, what));
        }
    }
    findings
}

/// Whether a script is one that opens connections.
fn connects(script: &str) -> bool {
    let opens = ["io.connect(", "io(", "new WebSocket(", "io.Manager("];
    opens.iter().any(|call| script.contains(call))
}

fn listens(listen: &[SocketAddr], port: u16) -> bool {
    listen.iter().any(|address| address.port() == port)
}

/// What a page has from other servers.
fn elsewhere(page: &str, loaded: &[Loaded]) -> Option<Finding> {
    let hosts = |scripts: bool| -> BTreeSet<String> {
        let loaded = loaded
            .iter()
            .filter(|loaded| (loaded.kind == Kind::Script) == scripts);
        loaded.filter_map(|loaded| loaded.host.clone()).collect()
    };
    let (scripts, others) = (hosts(true), hosts(false));
    let listed = |hosts: &BTreeSet<String>| named(&hosts.iter().cloned().collect::<Vec<_>>());
    if !scripts.is_empty() {
        let what = format!("{page} has scripts from elsewhere: {}", listed(&scripts));
        return Some(Finding::warn(
            SUBJECT,
            what,
            "Where browsers have no internet, keep copies in --public",
        ));
    }
    (!others.is_empty()).then(|| {
        let what = format!(
            "{page} has fonts, styles or pictures from elsewhere, and works without: {}",
            listed(&others)
        );
        Finding::ok(SUBJECT, what)
    })
}

/// Some of them, and how many more there are.
fn named(all: &[String]) -> String {
    let first = all
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Whether a folder has this file.
fn has(folder: Option<&Path>, file: &str) -> bool {
    folder.is_some_and(|folder| folder.join(file).exists())
}
