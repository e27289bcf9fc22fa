//! Values of settings that no library has a type for: counts and durations within a range, origins,
//! what a store keeps. Errors say what was expected; clap puts the setting and the value before them.

use std::{net::IpAddr, num::NonZeroUsize, time::Duration};

use ipnet::IpNet;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use url::Url;

use crate::store::sqlite::Retain;

const DAY: Duration = Duration::from_secs(86_400);

/// Whose pages may connect with credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Any,
    /// `scheme://host[:port]`, as browsers send it.
    Exactly(String),
}

/// A number within a range.
pub(super) fn count(
    least: usize,
    most: usize,
) -> impl Fn(&str) -> Result<NonZeroUsize, String> + Clone + Send + Sync + 'static {
    move |text| {
        let count: NonZeroUsize = text
            .parse()
            .map_err(|_| format!("not a number from {least} to {most}"))?;
        if (least..=most).contains(&count.get()) {
            Ok(count)
        } else {
            Err(format!("{count} is not in {least}..={most}"))
        }
    }
}

/// A duration within a range.
pub(super) fn duration(
    least: &'static str,
    most: &'static str,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        let duration = parse_duration(text)?;
        let range = parse_duration(least)?..=parse_duration(most)?;
        if range.contains(&duration) {
            Ok(duration)
        } else {
            Err(format!("{text} is not in {least}..={most}"))
        }
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    if let Some(days) = days(text) {
        return Ok(days);
    }
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "not a duration such as 500ms, 10s or 5m".to_owned())?;
    Duration::try_from(span).map_err(|_| "a duration cannot be negative".to_owned())
}

/// A name for people, on one line.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if !(1..=253).contains(&length) || text.chars().any(char::is_control) {
        return Err("not a name of 1 to 253 characters, none of them a control character".into());
    }
    Ok(text.to_owned())
}

/// A time zone by its name. What the machine knows of it comes first, it may be newer than what we brought along.
pub(super) fn time_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name)
        .or_else(|_| TimeZoneDatabase::bundled().get(name))
        .map_err(|_| "not a time zone such as Europe/Berlin, America/New_York or UTC".to_owned())
}

/// An origin of `--cors-origin`, as browsers write it: host in lower case and ASCII, no port where it is the scheme's own.
pub(super) fn origin(text: &str) -> Result<Origin, String> {
    if text == "*" {
        return Ok(Origin::Any);
    }
    if text.contains('*') {
        return Err("an origin is compared as a whole: name each one, or * for all".to_owned());
    }
    let url = Url::parse(text).ok().filter(|url| {
        let is_origin = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        is_origin && url.path() == "/" && !text.ends_with('/')
    });
    url.map(|url| Origin::Exactly(url.origin().ascii_serialization()))
        .ok_or_else(|| {
            "not an origin such as https://chat.example:8443 (scheme and host, no path)".to_owned()
        })
}

/// A network of `--trusted-proxy`, or a single address.
pub(super) fn proxy(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(IpAddr::into));
    network
        .map_err(|_| "not an address such as 10.0.0.7 or a network such as 10.0.0.0/8".to_owned())
}

/// The limits of `--retain`.
pub(super) fn retain(text: &str) -> Result<Retain, String> {
    let mut retain = Retain::default();
    if text == "all" {
        return Ok(retain);
    }
    for limit in text.split(',') {
        let earlier = if let Some(bytes) = parse_size(limit) {
            if bytes < LEAST_STORE {
                return Err("less than 64MB is too little for a store".into());
            }
            retain.bytes.replace(bytes).is_some()
        } else if let Ok(messages) = limit.parse::<u64>() {
            if messages < 1000 {
                return Err(
                    "fewer than 1000 messages per room are too few for readers who come back"
                        .into(),
                );
            }
            retain.messages_per_room.replace(messages).is_some()
        } else {
            retain.age.replace(parse_age(limit)?).is_some()
        };
        if earlier {
            return Err(
                "two limits of one kind: give a number, an age, a size, or one of each".to_owned(),
            );
        }
    }
    Ok(retain)
}

/// The least that a store may be bounded to, in bytes.
const LEAST_STORE: u64 = 64_000_000;

/// `500MB`, `4GB`, in bytes.
fn parse_size(text: &str) -> Option<u64> {
    let units = [
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    let (number, unit) =
        (units.into_iter()).find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    number.parse::<u64>().ok()?.checked_mul(unit)
}

fn parse_age(text: &str) -> Result<Duration, String> {
    let age = parse_duration(text).map_err(|_| {
        "not a number of messages, an age such as 90d, or a size such as 4GB".to_owned()
    })?;
    if age < Duration::from_secs(60) {
        return Err("less than a minute is too short for readers who come back".into());
    }
    Ok(age)
}

/// `90d`, which no parser of durations takes: days differ in length where clocks are changed.
fn days(text: &str) -> Option<Duration> {
    let days: u32 = text.strip_suffix('d')?.parse().ok()?;
    DAY.checked_mul(days)
}

/// What names in Redis begin with.
pub(super) fn key_prefix(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("not 1 to 64 characters of a-z, A-Z, 0-9 and -_.:".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_send_it() {
        for (text, sent) in [
            ("https://chat.example", "https://chat.example"),
            ("HTTPS://Chat.Example:443", "https://chat.example"),
            ("http://chat.example:80", "http://chat.example"),
            ("https://chat.example:8443", "https://chat.example:8443"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            (
                "https://b\u{fc}cher.example",
                "https://xn--bcher-kva.example",
            ),
        ] {
            assert_eq!(origin(text), Ok(Origin::Exactly(sent.into())), "{text}");
        }
        assert_eq!(origin("*"), Ok(Origin::Any));
    }

    #[test]
    fn what_no_browser_sends_is_no_origin() {
        for text in [
            "",
            "null",
            "chat.example",
            "https://*.example",
            "https://chat.*",
            "*.example",
            "https://chat.example/",
            "https://chat.example/page",
            "https://chat.example?",
            "https://chat.example#x",
            "https://ann@chat.example",
            "https://:pass@chat.example",
            "ftp://chat.example",
            "https://",
            "https://chat.example:99999",
            "https://a b",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn time_zones_are_known_where_the_machine_has_no_list_of_them() {
        for name in ["Europe/Berlin", "asia/kathmandu", "UTC"] {
            let brought_along = TimeZoneDatabase::bundled().get(name);
            assert!(brought_along.is_ok(), "{name}");
            assert!(time_zone(name).is_ok(), "{name}");
        }
        assert!(time_zone("Mars/Olympus").is_err());
    }
}
