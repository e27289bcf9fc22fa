//! Secrets in files, as Docker, Kubernetes and systemd hand them out: the variable of such a setting with `_FILE` behind
//! its name says where the value is. It counts as the variable does, so a flag wins over it. No mistake quotes a file.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    path::Path,
};

use clap::Command;

/// Which settings are secret, or addresses that may hold a password: their flags without the dashes.
pub const FLAGS: [&str; 8] = [
    "amqp",
    "cluster-secret",
    "database",
    "jwt-secret",
    "neighbour-redis",
    "redis",
    "session-secret",
    "smtp",
];

/// What follows the name of a variable.
pub const SUFFIX: &str = "_FILE";

/// No secret is longer, bytes.
const LONGEST: u64 = 65_536;

/// What was found in the files, by the flag.
pub(super) struct SecretFiles(Vec<(&'static str, String)>);

impl SecretFiles {
    /// Reads the files that the environment names.
    pub fn of_environment(command: &Command, mistakes: &mut Vec<String>) -> Self {
        let mut found = Vec::new();
        for flag in FLAGS {
            let Some(variable) = variable(command, flag) else {
                continue;
            };
            let mut named = variable.to_owned();
            named.push(SUFFIX);
            let Some(path) = env::var_os(&named) else {
                continue;
            };
            match read(variable, Path::new(&path)) {
                Ok(secret) => found.push((flag, secret)),
                Err(mistake) => mistakes.push(format!("{}: {mistake}", named.to_string_lossy())),
            }
        }
        Self(found)
    }

    /// Has the command take them where neither a flag nor a variable says otherwise.
    pub fn put_into(&self, command: Command) -> Command {
        command.mut_args(|argument| {
            let mut found = self.0.iter();
            match found.find(|(flag, _)| argument.get_long() == Some(flag)) {
                Some((_, secret)) => argument.default_value(secret).hide_default_value(true),
                None => argument,
            }
        })
    }
}

/// The variable of a setting.
fn variable<'a>(command: &'a Command, flag: &str) -> Option<&'a OsStr> {
    let mut arguments = command.get_arguments();
    arguments
        .find(|argument| argument.get_long() == Some(flag))?
        .get_env()
}

fn read(variable: &OsStr, path: &Path) -> Result<String, String> {
    if env::var_os(variable).is_some() {
        let variable = variable.to_string_lossy();
        return Err(format!("{variable} is set as well, give one of them"));
    }
    let text = text(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // Who writes a file ends its last line.
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    if secret.is_empty() {
        return Err(format!("{}: empty", path.display()));
    }
    Ok(secret.to_owned())
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(LONGEST + 1)
        .read_to_string(&mut text)?;
    if read as u64 > LONGEST {
        return Err(io::Error::other(format!("longer than {LONGEST} bytes")));
    }
    Ok(text)
}
