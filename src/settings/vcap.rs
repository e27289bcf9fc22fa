//! `VCAP_SERVICES`, in which Cloud Foundry tells a program of the services that it was given: where the SQL database,
//! the RabbitMQ and the Redis are, unless a flag or another variable says it. What is wrong is told without quoting anything of it.

use serde_json::{Map, Value};
use url::Url;

use super::unshown::Unshown;

const VARIABLE: &str = "VCAP_SERVICES";

/// What is looked for among the services.
pub(super) struct Wanted {
    /// In words, for mistakes.
    what: &'static str,
    /// The setting that names one where several would do.
    flag: &'static str,
    /// What its label (`mysql-5.1`), a tag or its address begins with, and the scheme of such a one's URL.
    words: &'static [(&'static str, &'static str)],
    /// Where in the credentials the path of the URL is: a database, a virtual host.
    paths: &'static [&'static str],
}

pub(super) const DATABASE: Wanted = Wanted {
    what: "database",
    flag: "--database",
    words: &[
        ("mysql", "mysql"),
        ("mariadb", "mysql"),
        ("postgres", "postgres"),
    ],
    paths: &["name", "database", "dbname"],
};

pub(super) const REDIS: Wanted = Wanted {
    what: "Redis",
    flag: "--redis",
    words: &[("redis", "redis")],
    // Its `name` is the service's own.
    paths: &[],
};

pub(super) const RABBITMQ: Wanted = Wanted {
    what: "RabbitMQ",
    flag: "--amqp",
    words: &[("rabbitmq", "amqp"), ("amqp", "amqp")],
    paths: &["vhost"],
};

/// The services, by label.
#[derive(Default)]
pub(super) struct Services(Map<String, Value>);

/// A service's label, and its URL.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub label: String,
    pub url: Unshown<String>,
}

impl Services {
    /// Those of the environment; none where it names none.
    pub(super) fn of_environment() -> Result<Self, String> {
        match std::env::var(VARIABLE) {
            Ok(text) if !text.trim().is_empty() => Self::read(&text),
            _ => Ok(Self::default()),
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        // Errors of syntax name a place and quote nothing.
        let services: Value =
            serde_json::from_str(text).map_err(|error| format!("{VARIABLE}: not JSON: {error}"))?;
        let Value::Object(services) = services else {
            return Err(format!("{VARIABLE}: not a JSON object of services"));
        };
        if let Some((label, _)) = services.iter().find(|(_, entries)| !entries.is_array()) {
            return Err(format!("{VARIABLE}: {label:?}: not a list of services"));
        }
        Ok(Self(services))
    }

    /// Where the wanted service is, if there is one: of each label the first entry counts.
    pub(super) fn find<'a>(&'a self, wanted: &Wanted) -> Result<Option<Found>, String> {
        let of_label = |(label, entries): (&'a String, &'a Value)| {
            let mut entries = entries.as_array()?.iter();
            entries.find_map(|entry| Some((label, wanted.scheme(label, entry)?, entry)))
        };
        let mut found: Vec<_> = self.0.iter().filter_map(of_label).collect();
        if found.len() > 1 {
            let labels: Vec<_> = found.iter().map(|(label, ..)| label.as_str()).collect();
            return Err(format!(
                "{VARIABLE}: several services may be the {} ({}): name one with {}",
                wanted.what,
                labels.join(", "),
                wanted.flag
            ));
        }
        let Some((label, scheme, entry)) = found.pop() else {
            return Ok(None);
        };
        let url = wanted.address(scheme, &entry["credentials"]);
        let url = url.ok_or_else(|| {
            format!(
                "{VARIABLE}: {label}: no address of a {} in its credentials (`uri`, or `host` and `port`)",
                wanted.what
            )
        })?;
        Ok(Some(Found {
            label: label.clone(),
            url: Unshown(url),
        }))
    }
}

impl Found {
    /// What mistakes in its address begin with.
    pub(super) fn source(&self) -> String {
        format!("{VARIABLE}: {}:", self.label)
    }
}

impl Wanted {
    /// The scheme of this service's URL; none where it is another kind of service.
    fn scheme(&self, label: &str, entry: &Value) -> Option<&'static str> {
        // Brokers of VMware's put this before theirs.
        let name = ["p-", "p."]
            .iter()
            .find_map(|prefix| label.strip_prefix(prefix));
        let tags = entry["tags"].as_array().into_iter().flatten();
        // A service that somebody provided himself has no label or tag that tells.
        let address = uri(&entry["credentials"]).filter(|uri| uri.contains("://"));
        let mut told = [name.unwrap_or(label)]
            .into_iter()
            .chain(tags.filter_map(Value::as_str))
            .chain(address);
        told.find_map(|told| {
            let mut words = self.words.iter();
            words.find_map(|(word, scheme)| starts_with(told, word).then_some(*scheme))
        })
    }

    /// The address as a URL of our settings.
    fn address(&self, scheme: &str, credentials: &Value) -> Option<String> {
        if let Some(uri) = uri(credentials) {
            // Rails' word for the same.
            return Some(match uri.strip_prefix("mysql2://") {
                Some(rest) => format!("mysql://{rest}"),
                None => uri.to_owned(),
            });
        }
        let text = |names: &[&str]| {
            let values = names.iter().filter_map(|name| credentials[*name].as_str());
            values.into_iter().find(|value| !value.is_empty())
        };
        let host = text(&["host", "hostname"])?;
        let host = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let mut url = Url::parse(&format!("{scheme}://{host}")).ok()?;
        let port = &credentials["port"];
        let port = match port.as_str() {
            Some(port) => Some(port.parse().ok()?),
            None => port.as_u64().map(u16::try_from).transpose().ok()?,
        };
        url.set_port(port).ok()?;
        if let Some(user) = text(&["username", "user"]) {
            url.set_username(user).ok()?;
        }
        if let Some(password) = text(&["password", "pass"]) {
            url.set_password(Some(password)).ok()?;
        }
        if let Some(path) = text(self.paths) {
            url.path_segments_mut().ok()?.push(path);
        }
        Some(url.into())
    }
}

fn uri(credentials: &Value) -> Option<&str> {
    let named = ["uri", "url"].map(|name| credentials[name].as_str());
    named
        .into_iter()
        .flatten()
        .find(|address| !address.is_empty())
}

fn starts_with(text: &str, word: &str) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(wanted: &Wanted, services: &str) -> Result<Option<String>, String> {
        let found = Services::read(services)?.find(wanted)?;
        Ok(found.map(|found| found.url.0))
    }

    /// What the old chat was given, with the label names of its day.
    const OLD: &str = r#"{
        "mysql-5.1": [
            {"name": "users", "label": "mysql-5.1", "credentials": {"name": "d41d8", "hostname": "10.0.0.1",
                "host": "10.0.0.1", "port": 3306, "user": "u@1", "username": "u@1", "password": "s3c:r/t"}},
            {"name": "other", "label": "mysql-5.1", "credentials": {"host": "10.9.9.9"}}
        ],
        "rabbitmq-2.4": [{"name": "bus", "credentials": {"url": "amqp://u:s3cret@10.0.0.2:5672/vhost"}}],
        "redis-2.6": [{"name": "sessions", "credentials": {"hostname": "10.0.0.3", "port": 5000,
            "password": "s3cret", "name": "redis-1"}}]
    }"#;

    #[test]
    fn the_services_of_the_old_chat_are_found_by_their_labels() {
        assert_eq!(
            find(&DATABASE, OLD).unwrap().as_deref(),
            Some("mysql://u%401:s3c%3Ar%2Ft@10.0.0.1:3306/d41d8")
        );
        assert_eq!(
            find(&RABBITMQ, OLD).unwrap().as_deref(),
            Some("amqp://u:s3cret@10.0.0.2:5672/vhost")
        );
        assert_eq!(
            find(&REDIS, OLD).unwrap().as_deref(),
            Some("redis://:s3cret@10.0.0.3:5000")
        );
        assert_eq!(
            find(&RABBITMQ, OLD).unwrap().as_deref(),
            Some("amqp://u:s3cret@10.0.0.2:5672/vhost")
        );
    }

    #[test]
    fn services_of_today_are_found_by_label_by_tag_or_by_their_address() {
        for (wanted, services, url) in [
            (
                &DATABASE,
                r#"{"p.mysql": [{"credentials": {"uri": "mysql://u:p@h/d?reconnect=true"}}]}"#,
                "mysql://u:p@h/d?reconnect=true",
            ),
            (
                &DATABASE,
                r#"{"cleardb": [{"tags": ["Data Stores", "MySQL"], "credentials": {"uri": "mysql2://u:p@h/d"}}]}"#,
                "mysql://u:p@h/d",
            ),
            (
                &DATABASE,
                r#"{"a9s": [{"tags": ["postgresql"], "credentials": {"host": "::1", "port": "5432", "name": "a b"}}]}"#,
                "postgres://[::1]:5432/a%20b",
            ),
            (
                &DATABASE,
                r#"{"postgresql-15": [{"credentials": {"hostname": "h", "dbname": "d"}}]}"#,
                "postgres://h/d",
            ),
            (
                &RABBITMQ,
                r#"{"cloudamqp": [{"tags": ["message_queue", "rabbitmq"], "credentials": {"uri": "amqps://u:p@h/v"}}]}"#,
                "amqps://u:p@h/v",
            ),
            (
                &RABBITMQ,
                r#"{"p-rabbitmq": [{"credentials": {"hostname": "h", "port": 5672, "username": "u", "vhost": "a/b"}}]}"#,
                "amqp://u@h:5672/a%2Fb",
            ),
            (
                &REDIS,
                r#"{"rediscloud": [{"credentials": {"hostname": "h", "port": "6380", "password": "p"}}]}"#,
                "redis://:p@h:6380",
            ),
            (
                &REDIS,
                r#"{"user-provided": [{"tags": [], "credentials": {"uri": "mysql://h/d"}},
                    {"tags": [], "credentials": {"uri": "rediss://h"}}]}"#,
                "rediss://h",
            ),
            (
                &RABBITMQ,
                r#"{"p-rabbitmq": [{"credentials": {"hostname": "h", "vhost": "a/b", "username": "u", "password": "p"}}]}"#,
                "amqp://u:p@h/a%2Fb",
            ),
        ] {
            assert_eq!(find(wanted, services).unwrap().as_deref(), Some(url));
        }
    }

    #[test]
    fn what_is_not_among_the_services_is_not_found() {
        for services in ["{}", r#"{"mongodb": [{"credentials": {"host": "h"}}]}"#] {
            assert_eq!(find(&DATABASE, services), Ok(None));
            assert_eq!(find(&REDIS, services), Ok(None));
        }
        assert_eq!(
            find(&REDIS, r#"{"mysql": [{"credentials": {"host": "redis"}}]}"#),
            Ok(None)
        );
    }

    #[test]
    fn mistakes_are_told_without_a_word_of_what_is_secret() {
        for (services, told) in [
            ("s3cret", "VCAP_SERVICES: not JSON: expected value"),
            (
                r#"["s3cret"]"#,
                "VCAP_SERVICES: not a JSON object of services",
            ),
            (
                r#"{"redis": "s3cret"}"#,
                r#"VCAP_SERVICES: "redis": not a list of services"#,
            ),
            (
                r#"{"redis": [{"credentials": {"password": "s3cret"}}]}"#,
                "VCAP_SERVICES: redis: no address of a Redis in its credentials",
            ),
            (
                r#"{"redis": [{"credentials": {"host": "h", "port": "s3cret"}}]}"#,
                "VCAP_SERVICES: redis: no address of a Redis in its credentials",
            ),
            (
                r#"{"redis": [{"credentials": "s3cret"}], "p.redis": [{}]}"#,
                "VCAP_SERVICES: several services may be the Redis (p.redis, redis): name one with --redis",
            ),
        ] {
            let mistake = find(&REDIS, services).unwrap_err();
            assert!(mistake.starts_with(told), "{mistake}");
            assert!(!mistake.contains("s3cret"), "{mistake}");
        }
    }
}
