//! Which client library a page has, and which one it was written for.

use std::{fs, path::Path, sync::LazyLock};

use regex_lite::Regex;
use serde_json::Value;

use crate::transport::web::ClientGeneration;

/// `Socket.IO.js build:0.9.11`, `Socket.IO v2.5.0`: how libraries of npm and of CDNs begin.
static BANNER: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"Socket\.IO(?:\.js)? (?:v|build:)(\d+(?:\.\d+)*)"));

/// What 0.9 says of itself where its first comment is lost.
static VERSION_OF_0_9: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"\.version\s*=\s*['"](0\.\d+(?:\.\d+)*)['"]"#));

/// `…/socket.io/1.4.5/…`, `…/socket.io-1.4.5.js`, `…/socket.io-client@2/…`.
static IN_ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"socket\.io(?:-client)?[@/-]v?(\d+(?:\.\d+)*)"));

/// Words that only scripts for 0.9 have.
const OF_0_9: [&str; 4] = [
    "try multiple transports",
    "force new connection",
    "socket.socket.",
    "max reconnection attempts",
];

/// Where the library of a page comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Library {
    /// `/socket.io/socket.io.js`: of the generation that the settings name.
    AsSet,
    /// `/socket.io/<generation>/…` of this server.
    Served(String),
    /// The page's own, or one from elsewhere, of this version as far as that is known.
    Brought { version: Option<String> },
}

/// The library that is at this address of this server's.
pub(super) fn served(path: &str) -> Option<Library> {
    let rest = path.strip_prefix("/socket.io/")?;
    match rest.split_once('/') {
        Some((generation, _)) => Some(Library::Served(generation.to_owned())),
        None if rest.starts_with("socket.io") && rest.contains(".js") => Some(Library::AsSet),
        None => None,
    }
}

/// Whether a file of this server's is a library and nothing else, by its name.
pub(super) fn is_alone(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    served(path).is_some() || name.contains("socket.io")
}

/// The library that is at an address elsewhere.
pub(super) fn by_address(address: &str) -> Option<Library> {
    if !address.contains("socket.io") {
        return None;
    }
    let version = IN_ADDRESS
        .captures(address)
        .map(|found| found[1].to_owned());
    Some(Library::Brought { version })
}

/// The library that a file of the page's is, or has in it.
pub(super) fn by_content(script: &str) -> Option<Library> {
    if let Some(found) = BANNER.captures(script) {
        let version = Some(found[1].to_owned());
        return Some(Library::Brought { version });
    }
    if script.contains("xhr-polling")
        && script.contains("jsonp-polling")
        && let Some(found) = VERSION_OF_0_9.captures(script)
    {
        let version = Some(found[1].to_owned());
        return Some(Library::Brought { version });
    }
    // What every client since 1.0 tells its server.
    let is_later = script.contains("EIO") && script.contains("reconnect_attempt");
    is_later.then_some(Library::Brought { version: None })
}

/// The generation that a version belongs to; none of those that are not spoken here.
pub(super) fn generation(version: &str) -> Option<ClientGeneration> {
    let mut parts = version.split('.');
    match (parts.next()?, parts.next()) {
        ("0", Some("7" | "8" | "9")) => Some(ClientGeneration::V0_9),
        ("1", _) => Some(ClientGeneration::V1),
        ("2", _) => Some(ClientGeneration::V2),
        ("3", _) => Some(ClientGeneration::V3),
        ("4", _) => Some(ClientGeneration::V4),
        _ => None,
    }
}

/// What the old server beside a folder of pages was built with: the version in its `package.json`.
pub(super) fn of_old_server(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let candidates = [Some(folder.as_path()), folder.parent()];
    candidates.into_iter().flatten().find_map(|folder| {
        let package = fs::read_to_string(folder.join("package.json")).ok()?;
        let package: Value = serde_json::from_str(&package).ok()?;
        let range = package["dependencies"]["socket.io"].as_str()?;
        let start = range.find(|c: char| c.is_ascii_digit())?;
        let version = range[start..].split(|c: char| !c.is_ascii_digit() && c != '.');
        version.map(str::to_owned).next()
    })
}

/// The generation that a page's scripts must be for, if their words tell.
pub(super) fn spoken(scripts: &[String]) -> Option<ClientGeneration> {
    let tells = |script: &String| OF_0_9.iter().any(|word| script.contains(word));
    scripts.iter().any(tells).then_some(ClientGeneration::V0_9)
}

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a right pattern")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_known_by_its_address() {
        for (address, version) in [
            ("https://cdn.socket.io/socket.io-1.4.5.js", Some("1.4.5")),
            (
                "https://cdn.socket.io/4.7.2/socket.io.min.js",
                Some("4.7.2"),
            ),
            (
                "//cdnjs.example/ajax/libs/socket.io/2.3.0/socket.io.slim.js",
                Some("2.3.0"),
            ),
            (
                "https://cdn.example/npm/socket.io-client@3/dist/socket.io.js",
                Some("3"),
            ),
            ("https://chat.example/socket.io/socket.io.js", None),
        ] {
            let version = version.map(str::to_owned);
            assert_eq!(
                by_address(address),
                Some(Library::Brought { version }),
                "{address}"
            );
        }
        assert_eq!(by_address("https://cdn.example/jquery-1.9.1.js"), None);
        assert_eq!(served("/socket.io/socket.io.js"), Some(Library::AsSet));
        assert_eq!(
            served("/socket.io/2/socket.io.js"),
            Some(Library::Served("2".into()))
        );
        assert_eq!(served("/js/socket.io.js"), None);
    }

    #[test]
    fn the_libraries_of_npm_are_known_by_their_content() {
        for (package, version) in [
            ("0.9", Some("0.9.17")),
            ("1", None),
            ("2", Some("2.5.0")),
            ("3", Some("3.1.3")),
            ("4", Some("4.")),
        ] {
            for name in ["socket.io.js", "socket.io.min.js"] {
                let file = format!("node_modules/socket.io-client-{package}/dist/{name}");
                let Ok(script) = fs::read_to_string(&file) else {
                    // The second generation has no such name.
                    assert_eq!(
                        (package, name),
                        ("2", "socket.io.min.js"),
                        "{file}: run `npm ci`"
                    );
                    continue;
                };
                let Some(Library::Brought { version: found }) = by_content(&script) else {
                    panic!("{file} is not known")
                };
                match version {
                    Some(version) => assert!(found.unwrap().starts_with(version), "{file}"),
                    None => assert_eq!(found, None, "{file}"),
                }
            }
        }
        for other in [
            "public/js/main.js",
            "node_modules/jquery/dist/jquery.js",
            "node_modules/moment/moment.js",
        ] {
            if let Ok(script) = fs::read_to_string(other) {
                assert_eq!(by_content(&script), None, "{other}");
            }
        }
    }

    #[test]
    fn every_version_that_is_spoken_has_a_generation() {
        for (version, expected) in [
            ("0.9.11", Some(ClientGeneration::V0_9)),
            ("0.7", Some(ClientGeneration::V0_9)),
            ("1.4.5", Some(ClientGeneration::V1)),
            ("4", Some(ClientGeneration::V4)),
            ("0.6.0", None),
            ("5.0.0", None),
            ("", None),
        ] {
            assert_eq!(generation(version), expected, "{version}");
        }
    }
}
