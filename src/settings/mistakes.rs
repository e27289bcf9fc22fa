//! Reads flags and variables to the end even where some are wrong, so that whoever starts the program
//! is told of every mistake at once.

use std::ffi::OsString;

use clap::{
    ArgMatches, Command, Id,
    builder::{OsStr, Resettable},
    error::{ContextKind, ContextValue},
};

/// Why the program does not start, or `--help` and `--version`: what to print, and the exit code.
#[derive(Debug)]
pub struct Refusal {
    pub text: String,
    pub exit_code: u8,
}

/// `EX_USAGE` of sysexits.h.
pub const EXIT_USAGE: u8 = 64;

/// What clap could read of the flags and the environment, and the mistakes in them. Nothing where
/// it could not go on; an error where help or the version was asked for.
pub(super) fn read(
    command: impl Fn() -> Command,
    args: impl IntoIterator<Item = OsString>,
) -> Result<(Option<ArgMatches>, Vec<String>), Refusal> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let mut ignored = Vec::new();
    let mut mistakes = Vec::new();
    // clap stops at the first mistake; what it stumbled over is left out and the rest is read again.
    loop {
        // A new one each time: a command that has parsed is not made to be changed.
        let command = without_variables(command(), &ignored);
        let error = match command.clone().try_get_matches_from(&args) {
            Ok(matches) => return Ok((Some(matches), mistakes)),
            Err(error) => error,
        };
        if !error.use_stderr() {
            return Err(Refusal {
                text: error.to_string(),
                exit_code: 0,
            });
        }
        let mistake = first_paragraph(&error.to_string());
        if leave_out_argument(&mut args, &error) {
            mistakes.push(mistake);
        } else if let Some(variable) = variable(&command, &error) {
            mistakes.push(format!("{mistake} (from {})", variable.name));
            ignored.push(variable.argument);
        } else {
            mistakes.push(mistake);
            return Ok((None, mistakes));
        }
    }
}

fn without_variables(command: Command, ignored: &[Id]) -> Command {
    command.mut_args(|argument| {
        if ignored.contains(argument.get_id()) {
            argument.env(Resettable::<OsStr>::Reset)
        } else {
            argument
        }
    })
}

/// Tells all mistakes.
pub(super) fn refusal(mistakes: Vec<String>) -> Refusal {
    let mut text = String::new();
    for mistake in mistakes {
        text.push_str(&format!("handshaken: {mistake}\n"));
    }
    text.push_str("handshaken: see --help for all settings\n");
    Refusal {
        text,
        exit_code: EXIT_USAGE,
    }
}

/// The part of clap's message that names the mistake, without the usage lines that follow.
fn first_paragraph(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    message
        .split("\n\n")
        .next()
        .unwrap_or(message)
        .trim()
        .replace("\n", " ")
}

/// The argument that clap stumbled over: `--flag`, or a word that is none.
fn stumbled_over(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(name) => Some(name.split_whitespace().next().unwrap_or(name)),
        _ => None,
    }
}

/// Takes what clap stumbled over out of `args`; false when it is not there.
fn leave_out_argument(args: &mut Vec<OsString>, error: &clap::Error) -> bool {
    let Some(name) = stumbled_over(error) else {
        return false;
    };
    let is_it = |arg: &OsString| {
        let arg = arg.to_string_lossy();
        let rest = arg.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    // The first is the program's name.
    let Some(at) = args.iter().skip(1).position(is_it).map(|at| at + 1) else {
        return false;
    };
    let arg = args.remove(at).to_string_lossy().into_owned();
    let has_value = arg.starts_with("--") && !arg.contains('=');
    if has_value
        && args
            .get(at)
            .is_some_and(|next| !next.to_string_lossy().starts_with("--"))
    {
        args.remove(at);
    }
    true
}

/// An argument's variable in the environment.
struct Variable {
    argument: Id,
    name: String,
}

/// The variable that clap stumbled over, unless it is left out already.
fn variable(command: &Command, error: &clap::Error) -> Option<Variable> {
    let flag = stumbled_over(error)?.strip_prefix("--")?;
    let argument = command
        .get_arguments()
        .find(|argument| argument.get_long() == Some(flag))?;
    Some(Variable {
        argument: argument.get_id().clone(),
        name: argument.get_env()?.to_string_lossy().into_owned(),
    })
}
