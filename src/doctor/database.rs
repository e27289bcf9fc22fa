//! The database of the accounts: whether it can be used, whose table is in it, and what that means.

use std::error::Error;

use super::finding::{Finding, chain};
use crate::{
    account::{self, Look, Table},
    settings::Settings,
};

const SUBJECT: &str = "database";

/// What is found, and by how much its clock is ahead of ours, in ms.
pub(super) async fn look(settings: &Settings) -> (Vec<Finding>, Option<i64>) {
    if !settings.has_accounts() {
        let what = "none that all replicas reach is named: nobody can register or log in here";
        return (vec![Finding::ok(SUBJECT, what.into())], None);
    }
    // Settings that parse have them.
    let Ok(options) = settings.accounts.options(&settings.data) else {
        return (Vec::new(), None);
    };
    let shown = options.database.to_string();
    let mut findings = Vec::new();
    let mut ahead = None;
    match account::look(&options.database).await {
        Ok(look) => {
            findings.extend(judge(&shown, &look));
            ahead = look.ahead;
        }
        Err(error) => {
            let why = error.source().map_or_else(|| chain(&error), chain);
            findings.push(Finding::bad(
                SUBJECT,
                format!("{shown} cannot be used: {why}"),
                "Start it, let this machine reach it, or correct --database",
            ));
        }
    }
    (findings, ahead)
}

fn judge(shown: &str, look: &Look) -> Vec<Finding> {
    let (users, old) = (look.users, look.old_passwords);
    let mut findings = vec![match look.table {
        Table::Missing => Finding::ok(SUBJECT, format!("{shown}: the table users will be made")),
        Table::Other(column) => Finding::bad(
            SUBJECT,
            format!("{shown} has a table users of another program's: no column {column}"),
            "Name the chat's own database with --database, or an empty one",
        ),
        Table::Ours if old > 0 => Finding::ok(
            SUBJECT,
            format!(
                "{shown}: {users} users, {old} of them with a password of the old chat until they log in"
            ),
        ),
        Table::Ours => Finding::ok(SUBJECT, format!("{shown}: {users} users")),
        Table::Old => Finding::ok(
            SUBJECT,
            format!(
                "{shown}: {users} users of an old chat; both can use the table from the first start on"
            ),
        ),
        Table::Shared => Finding::warn(
            SUBJECT,
            format!(
                "{shown}: {users} users, shared with an old chat; every password is kept as SHA-1 too"
            ),
            "When the last old server has been stopped: handshaken --finish-migration",
        ),
    }];
    let must_alter = match look.table {
        Table::Missing => Some("make the table users"),
        Table::Old => Some("add columns to the table users"),
        Table::Shared => Some("finish the migration"),
        Table::Ours | Table::Other(_) => None,
    };
    if let Some(what) = must_alter.filter(|_| !look.may_alter) {
        let what = format!("this user seems not to be allowed to {what}");
        let to_do = "Give it the right to (MySQL: GRANT ALL ON <database>.* TO <user>), at least for the first start";
        findings.push(Finding::bad(SUBJECT, what, to_do));
    }
    findings
}
