//! The commands of docs/moving.md, run as they stand there, as far as their settings go.

#[path = "harness/program.rs"]
mod program;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use program::without_settings;
use tempfile::TempDir;

/// What is in the folders of the applications, as far as the settings are concerned.
const FILES: [(&str, &str); 8] = [
    ("talk/public/index.html", ""),
    ("kschat/views/client.ejs", "<%= uid %>"),
    ("kschat/public/main.js", ""),
    ("amqpchat/views/index.ejs", "<%= name %>"),
    ("amqpchat/public/main.css", ""),
    ("rabbitpubsub/views/index.ejs", "<%= user %>"),
    ("rabbitpubsub/public/main.css", ""),
    ("infinite-chat/index.html", ""),
];

#[test]
fn every_command_of_the_guide_has_right_settings() {
    let guide = fs::read_to_string("docs/moving.md").unwrap();
    let folder = TempDir::new().unwrap();
    for (path, content) in FILES {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let mut commands = 0;
    for block in blocks(&guide) {
        let output = run(&block, folder.path());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\n{told}");
        let here = block.lines().filter(|line| line.starts_with("handshaken "));
        let here = here.count();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "settings are right\n".repeat(here),
            "{block}"
        );
        commands += here;
    }
    assert!(commands > 6, "only {commands} commands found");
}

/// The indented lines that stand together.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(code) => {
                let last = blocks.last_mut().expect("one to begin with");
                last.push_str(code);
                last.push('\n');
            }
            None if !blocks.last().is_some_and(String::is_empty) => blocks.push(String::new()),
            None => {}
        }
    }
    blocks.retain(|block| block.contains("handshaken"));
    blocks
}

/// Runs a block as a reader would, but only checks the settings.
fn run(block: &str, folder: &Path) -> Output {
    let program = env!("CARGO_BIN_EXE_handshaken");
    let script = format!("set -e\nhandshaken() {{ '{program}' \"$@\" --check; }}\n{block}");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(folder);
    without_settings(&mut command).output().unwrap()
}
