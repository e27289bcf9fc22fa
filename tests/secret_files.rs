//! Secrets in files: the variable of a secret setting with `_FILE` behind it names one, and nothing of it is repeated.

#[path = "harness/program.rs"]
mod program;

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use clap::CommandFactory;
use handshaken::settings::{
    Settings,
    secret_files::{FLAGS, SUFFIX},
};
use program::without_settings;
use tempfile::TempDir;

const SECRET: &str = "geheim";

#[test]
fn every_secret_may_be_in_a_file_and_is_repeated_by_no_mistake_and_no_help() {
    let folder = TempDir::new().unwrap();
    for flag in FLAGS {
        // A wrong one each: that it is found wrong shows that it was read, and as what.
        let (wrong, mistake) = match flag {
            "amqp" => ("amqp://ann:geheim@h:x", "--amqp: not a URL"),
            "cluster-secret" => (SECRET, "--cluster-secret: not 16 to 200"),
            "database" => ("postgres://ann:geheim@h:x", "--database "),
            "jwt-secret" => ("\n\n", "--jwt-secret: the secret is empty"),
            "neighbour-redis" => ("redis://ann:geheim@h/x", "--neighbour-redis: not a Redis"),
            "redis" => ("redis://ann:geheim@h/x", "--redis: not a Redis URL"),
            "session-secret" => ("geheim,", "--session-secret: empty"),
            "smtp" => ("https://ann:geheim@h", "--smtp "),
            _ => panic!("no example of a wrong --{flag}"),
        };
        let file = folder.path().join(flag);
        fs::write(&file, wrong).unwrap();
        let mut check = server(&["--check", "--smtp-from=a@b.example"]);
        if flag == "amqp" {
            check.arg("--amqp-exchange=messages");
        }
        let output = check.env(in_file(flag), &file).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{flag}: {output:?}");
        let told = stderr(&output);
        assert!(told.contains(mistake), "no `{mistake}` in {told}");
        assert!(!told.contains(SECRET), "{told}");

        let help = server(&["--help"]).env(in_file(flag), &file).output();
        let help = help.unwrap();
        assert_eq!(help.status.code(), Some(0), "{flag}: {help:?}");
        assert!(!String::from_utf8_lossy(&help.stdout).contains(SECRET));
    }
}

#[test]
fn the_end_of_the_last_line_is_no_part_of_a_secret() {
    let folder = TempDir::new().unwrap();
    let longest = "s".repeat(200);
    for (end, is_right) in [
        ("", true),
        ("\n", true),
        ("\r\n", true),
        ("s", false),
        (" \n", false),
        ("\n\n", false),
    ] {
        let file = folder.path().join("secret");
        fs::write(&file, format!("{longest}{end}")).unwrap();
        let mut check = server(&["--check"]);
        let output = check.env(in_file("cluster-secret"), &file).output();
        let code = output.unwrap().status.code();
        assert_eq!(code, Some(if is_right { 0 } else { 64 }), "{end:?}");
    }
}

#[test]
fn a_flag_wins_over_a_file() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, "short").unwrap();
    let mut check = server(&["--check", "--cluster-secret=long-enough-for-one"]);
    let output = check.env(in_file("cluster-secret"), &file).output();
    assert_eq!(output.unwrap().status.code(), Some(0));
}

#[test]
fn all_that_is_wrong_with_files_is_told_at_once_with_all_other_mistakes() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, content: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let output = server(&["--check", "--history=5000"])
        .env(in_file("amqp"), folder.path())
        .env(in_file("cluster-secret"), file("both", SECRET.as_bytes()))
        .env("HANDSHAKEN_CLUSTER_SECRET", "a secret of all replicas")
        .env(in_file("database"), folder.path().join("nowhere"))
        .env(in_file("jwt-secret"), file("empty", b"\n"))
        .env(in_file("session-secret"), file("binary", b"geheim\xff"))
        .env(in_file("smtp"), "/dev/zero")
        .env(in_file("redis"), "")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let told = stderr(&output);
    for (variable, mistake) in [
        ("AMQP_FILE: ", "Is a directory"),
        (
            "CLUSTER_SECRET_FILE: ",
            "HANDSHAKEN_CLUSTER_SECRET is set as well",
        ),
        ("DATABASE_FILE: ", "nowhere: No such file"),
        ("JWT_SECRET_FILE: ", "empty: empty"),
        (
            "SESSION_SECRET_FILE: ",
            "binary: stream did not contain valid UTF-8",
        ),
        ("SMTP_FILE: ", "/dev/zero: longer than 65536 bytes"),
        ("REDIS_FILE: ", "No such file"),
    ] {
        let begin = format!("handshaken: HANDSHAKEN_{variable}");
        let mut lines = told.lines().filter(|line| line.starts_with(&begin));
        let is_told = lines.any(|line| line.contains(mistake));
        assert!(is_told, "no {variable}{mistake} in {told}");
    }
    assert!(told.contains("5000 is not in 0..=1000"), "{told}");
    assert!(!told.contains(SECRET), "{told}");
}

#[test]
fn a_file_named_env_may_name_them() {
    let folder = TempDir::new().unwrap();
    let env = format!("{}=secret\n", in_file("cluster-secret"));
    fs::write(folder.path().join(".env"), env).unwrap();
    let code = || {
        let mut check = server(&["--check"]);
        check
            .current_dir(folder.path())
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(code(), Some(64), "there is no such file");
    fs::write(folder.path().join("secret"), "a-secret-of-all-replicas\n").unwrap();
    assert_eq!(code(), Some(0));
}

#[test]
fn the_readme_names_them_all_and_no_help_shows_the_values_of_their_variables() {
    let readme = fs::read_to_string("README.md").unwrap();
    let named: BTreeSet<String> = (readme.split('`'))
        .filter(|word| word.starts_with("HANDSHAKEN_") && word.ends_with(SUFFIX))
        .map(str::to_owned)
        .collect();
    assert_eq!(named, FLAGS.map(in_file).into());
    for argument in Settings::command().get_arguments() {
        if FLAGS.iter().any(|flag| argument.get_long() == Some(flag)) {
            assert!(argument.is_hide_env_values_set(), "{argument}");
        }
    }
}

/// The variable that names a file for this flag.
fn in_file(flag: &str) -> String {
    let variable = flag.replace('-', "_").to_uppercase();
    format!("HANDSHAKEN_{variable}{SUFFIX}")
}

/// The program with these arguments, nothing of ours in its environment, and a working folder without a `.env`.
fn server(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handshaken"));
    without_settings(&mut command)
        .args(args)
        .current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}
