//! The Redis that replicas share: whether it answers, is new enough, keeps what it is told, and lets us do what we must.

use super::finding::Finding;
use crate::{
    redis::{Redis, Survey, Unusable},
    settings::Settings,
};

const SUBJECT: &str = "redis";

/// The oldest version that has all that is asked of it.
const OLDEST: (u32, u32) = (6, 2);

/// What is found, and by how much its clock is ahead of ours, in ms.
pub(super) async fn look(settings: &Settings) -> (Vec<Finding>, Option<i64>) {
    let Some(address) = settings.redis.address.clone() else {
        let alone = "none named: this server is the only one, or knows nothing of the others";
        return (vec![Finding::ok(SUBJECT, alone.into())], None);
    };
    let shown = address.to_string();
    let of_logins = settings
        .has_sessions()
        .then_some(&*settings.sessions.prefix);
    let prefixes: Vec<&str> = of_logins.into_iter().collect();
    let redis = Redis::new(address, &settings.redis.prefix);
    let survey = redis.survey(&prefixes).await;
    match survey {
        Ok(survey) => {
            let findings = judge(&shown, &survey, &settings.redis.prefix, &prefixes);
            (findings, survey.ahead)
        }
        Err(error) => {
            let what = format!("{shown} cannot be used: {error}");
            let to_do = to_do(&error, "--redis", "HANDSHAKEN_REDIS");
            (vec![Finding::bad(SUBJECT, what, to_do)], None)
        }
    }
}

/// What to do about a Redis that cannot be used, which this flag or variable names.
pub(super) fn to_do(why: &Unusable, flag: &str, variable: &str) -> String {
    match why {
        Unusable::NotLetIn => format!(
            "Put its user and password into {variable}: redis://user:password@host:port; Sentinels that want one, too: …?sentinel_password=…"
        ),
        Unusable::NoTls => format!("Write redis:// into {variable}, or name its TLS port"),
        Unusable::OnlyTls => format!("Write rediss:// into {variable}, or name another port"),
        Unusable::Says(_) => "Do what it says, and ask again".to_owned(),
        Unusable::Away(_) => format!("Start it, let this machine reach it, or correct {flag}"),
    }
}

fn judge(address: &str, survey: &Survey, prefix: &str, others: &[&str]) -> Vec<Finding> {
    let version = survey.version.as_deref();
    let mut findings = vec![Finding::ok(
        SUBJECT,
        format!(
            "{address} answers: version {}, names begin with {prefix}:",
            version.unwrap_or("unknown")
        ),
    )];
    let oldest = format!("{}.{}", OLDEST.0, OLDEST.1);
    if version
        .and_then(numbers)
        .is_some_and(|version| version < OLDEST)
    {
        findings.push(Finding::bad(
            SUBJECT,
            format!("version {} is too old", version.unwrap_or_default()),
            format!("Use {oldest} or later"),
        ));
    }
    if survey.is_primary == Some(false) {
        findings.push(Finding::bad(
            SUBJECT,
            "it is a copy of another, and takes no writes".into(),
            "Name the primary, or its Sentinels: redis+sentinel://host1,host2/name",
        ));
    }
    for (command, refusal) in &survey.refused {
        let what = format!("it refuses {command}: {refusal}");
        findings.push(if *command == "INFO" || *command == "TIME" {
            Finding::warn(
                SUBJECT,
                what,
                format!("Allow this user +{}", command.to_lowercase()),
            )
        } else {
            let keys: String = others.iter().map(|other| format!("~{other}* ")).collect();
            let rights = format!("~{prefix}:* {keys}&{prefix}:* +@all -@dangerous +info");
            Finding::bad(
                SUBJECT,
                what,
                format!("Where rights are missing: ACL SETUSER <user> {rights}"),
            )
        });
    }
    findings.extend(keeps(survey));
    findings.extend(
        survey
            .when_full
            .as_deref()
            .and_then(|policy| evicts(policy, survey.max_memory)),
    );
    findings
}

/// Whether it still has what it was told after it went down.
fn keeps(survey: &Survey) -> Option<Finding> {
    match (survey.appends?, survey.sync.as_deref()) {
        (false, _) => Some(Finding::warn(
            SUBJECT,
            "it loses all messages since its last snapshot when it crashes (appendonly no)".into(),
            "Set appendonly yes in redis.conf, or: redis-cli CONFIG SET appendonly yes, then CONFIG REWRITE",
        )),
        (true, Some("no")) => Some(Finding::warn(
            SUBJECT,
            "it leaves to the system when messages reach the disk (appendfsync no)".into(),
            "Set appendfsync everysec, or always where not a second may be lost",
        )),
        (true, sync) => Some(Finding::ok(
            SUBJECT,
            match sync {
                Some("always") => {
                    "it keeps every message before it is acknowledged (appendfsync always)".into()
                }
                Some(sync) => format!(
                    "it keeps messages; of a power cut, up to two seconds are lost (appendfsync {sync})"
                ),
                None => "it keeps messages (appendonly yes); appendfsync is not told to us".into(),
            },
        )),
    }
}

fn evicts(policy: &str, max_memory: Option<u64>) -> Option<Finding> {
    let to_do = "Set maxmemory-policy noeviction in redis.conf";
    let what = match (policy, max_memory) {
        ("noeviction", _) => return None,
        (_, Some(0)) => {
            let what = format!("maxmemory-policy is {policy}; without maxmemory it does nothing");
            return Some(Finding::warn(SUBJECT, what, to_do));
        }
        _ => format!("it throws messages away when it is full (maxmemory-policy {policy})"),
    };
    Some(Finding::bad(SUBJECT, what, to_do))
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
