//! Makes what is measured: Handshaken by cargo, the Node server's packages by npm. Both are left alone when given or fresh.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::server::{Kind, Programs};

/// The folder of this crate, in the checkout that it was built from.
pub fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Sees to it that the programs of `kinds` are there.
pub fn programs(
    kinds: &[Kind],
    handshaken: Option<PathBuf>,
    data_root: Option<PathBuf>,
) -> Result<Programs> {
    let node_folder = home().join("node");
    if kinds.contains(&Kind::Node) {
        install(&node_folder)?;
    }
    let of_this_checkout = handshaken.is_none();
    let handshaken = match handshaken {
        Some(given) => {
            fs::canonicalize(&given).with_context(|| format!("no server at {}", given.display()))?
        }
        None if kinds.contains(&Kind::Handshaken) => build()?,
        None => PathBuf::new(),
    };
    Ok(Programs {
        handshaken,
        of_this_checkout,
        node_folder,
        data_root: data_root.unwrap_or_else(std::env::temp_dir),
    })
}

/// cargo leaves a fresh build alone, so that what is measured is always what is in the checkout.
fn build() -> Result<PathBuf> {
    // The release embeds the browser libraries.
    install(&home().join(".."))?;
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--release", "--package", "handshaken", "--bins"])
        .current_dir(home());
    run(cargo, "the checkout must build")?;
    let here = std::env::current_exe().context("cannot find the benchmark's own program")?;
    let built = here.with_file_name("handshaken");
    if !built.is_file() {
        bail!(
            "no handshaken beside {}; run the benchmark by cargo run --release, or say --handshaken PATH",
            here.display()
        );
    }
    Ok(built)
}

fn install(folder: &Path) -> Result<()> {
    if is_installed(folder) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.arg("ci").current_dir(folder);
    run(npm, "install Node 20 or later with npm")
}

/// npm writes its hidden lock file last; one older than ours is of another version.
fn is_installed(folder: &Path) -> bool {
    let age = |file: &str| {
        fs::metadata(folder.join(file))
            .and_then(|it| it.modified())
            .ok()
    };
    let installed = age("node_modules/.package-lock.json");
    installed.is_some() && installed >= age("package-lock.json")
}

fn run(mut command: Command, advice: &str) -> Result<()> {
    let name = command.get_program().to_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot start {name:?}; {advice}"))?;
    if !status.success() {
        bail!("{command:?} failed with {status}; {advice}");
    }
    Ok(())
}
