//! The program under test gets no settings but those that a test gives it.

use std::process::Command;

/// What other programs read, too, and might be set where the tests run.
const OF_OTHERS: [&str; 7] = [
    "NODE_PORT",
    "PORT",
    "RUST_LOG",
    "REDIS_URL",
    "REDIS_HOST",
    "REDIS_PORT",
    "VCAP_SERVICES",
];

/// Leaves no variable to the program that is a setting. Comes before those that a test sets.
pub fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HANDSHAKEN_") {
            command.env_remove(name);
        }
    }
    for name in OF_OTHERS {
        command.env_remove(name);
    }
    command
}
