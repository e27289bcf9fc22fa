//! Asks the doctor, in a folder of its own, without settings from elsewhere.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::harness::program::without_settings;

/// A set-up, and where it is.
pub struct SetUp {
    pub folder: TempDir,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
    /// Open files that the shell allows.
    files: u32,
}

/// What the doctor said.
pub struct Said {
    pub code: i32,
    pub lines: Vec<String>,
}

impl SetUp {
    /// One with which nothing is wrong: a free port, a folder that will be made, enough open files.
    pub fn right() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        Self {
            folder: tempfile::tempdir().unwrap(),
            flags: Vec::new(),
            variables: Vec::new(),
            files: 1024,
        }
        .with(&["--listen", &address, "--max-connections", "500"])
    }

    pub fn with(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| flag.to_string()));
        self
    }

    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub fn with_open_files(mut self, files: u32) -> Self {
        self.files = files;
        self
    }

    /// Writes a file of the set-up; what is in it.
    pub fn with_file(self, path: &str, content: &str) -> Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn ask(&self) -> Said {
        let output = self.run("doctor");
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        println!("{text}");
        Said {
            code: output.status.code().expect("it ends by itself"),
            lines: text.lines().map(str::to_owned).collect(),
        }
    }

    pub fn run(&self, task: &str) -> Output {
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                &format!("ulimit -n {} && exec \"$0\" \"$@\"", self.files),
            ])
            .args([env!("CARGO_BIN_EXE_handshaken"), task])
            .args(&self.flags)
            .current_dir(self.folder.path());
        without_settings(&mut command);
        let variables = self.variables.iter();
        command.envs(variables.map(|(name, value)| (name, value)));
        command.output().unwrap()
    }
}

impl Said {
    /// The lines about this, with their level: `bad   redis`.
    pub fn of(&self, level: &str, subject: &str) -> Vec<&str> {
        let start = format!("{level:<4}  {subject:<10}  ");
        let lines = self.lines.iter();
        lines.filter_map(|line| line.strip_prefix(&start)).collect()
    }

    /// Fails unless it is wrong, and says so in these words.
    pub fn is_wrong(&self, subject: &str, words: &[&str]) {
        assert_eq!(self.code, 1, "{:#?}", self.lines);
        self.says("bad", subject, words);
    }

    pub fn says(&self, level: &str, subject: &str, words: &[&str]) {
        let said = self.of(level, subject);
        let found = said
            .iter()
            .any(|line| words.iter().all(|word| line.contains(word)));
        assert!(
            found,
            "no {level} {subject} with {words:?}: {:#?}",
            self.lines
        );
    }

    /// Fails unless nothing is said at this level.
    pub fn has_none(&self, level: &str) {
        let start = format!("{level:<4}  ");
        let lines: Vec<_> = self
            .lines
            .iter()
            .filter(|line| line.starts_with(&start))
            .collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}
