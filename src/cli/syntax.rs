//! What is wrong with a command line that the parser refuses, in the words of all other errors.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::conf::nearest;

use super::Error;
use super::command::{self, CommandLine};
use super::options;

/// The error of the parser as one of ours.
pub fn explain(error: &clap::Error, arguments: &[OsString]) -> Error {
    let found = find_command(arguments).map(|(_, name)| name);
    let command = found.as_deref();
    let word = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(word)) => word.clone(),
        Some(ContextValue::Strings(words)) => words.join(" "),
        _ => String::new(),
    };
    let argument = word(ContextKind::InvalidArg);
    let (problem, hint) = match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with('-') => unknown_option(&argument, command),
        ErrorKind::UnknownArgument => (format!("`{argument}` is one argument too many"), usage_hint(command)),
        ErrorKind::MissingRequiredArgument => {
            let command = command.unwrap_or("aptrepo");
            (format!("`{command}` needs {argument}"), usage_hint(Some(command)))
        }
        ErrorKind::InvalidValue if word(ContextKind::InvalidValue).is_empty() => {
            let option = argument.split(' ').next().unwrap_or_default();
            (format!("option `{option}` needs an argument"), help_hint(command))
        }
        ErrorKind::InvalidSubcommand => {
            let action = word(ContextKind::InvalidSubcommand);
            let suggested = word(ContextKind::SuggestedSubcommand);
            let hint = match suggested.as_str() {
                "" => help_hint(command),
                suggested => format!("did you mean `{suggested}`?"),
            };
            (format!("unknown action `{action}`"), hint)
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue if !argument.is_empty() => {
            let value = word(ContextKind::InvalidValue);
            let argument = argument.split(' ').next().unwrap_or_default();
            let rule = std::error::Error::source(error)
                .map(|rule| format!(": {rule}"))
                .unwrap_or_default();
            let possible = match word(ContextKind::ValidValue).as_str() {
                "" => String::new(),
                values => format!(": must be {values}"),
            };
            (
                format!("invalid {argument} `{value}`{rule}{possible}"),
                help_hint(command),
            )
        }
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            (
                first.strip_prefix("error: ").unwrap_or(first).to_owned(),
                help_hint(command),
            )
        }
    };
    Error::Usage {
        problem,
        hint: Some(hint),
    }
}

/// The place of the command among the arguments, and its name, which may be given in any case.
pub fn find_command(arguments: &[OsString]) -> Option<(usize, String)> {
    let mut words = arguments.iter().enumerate().skip(1);
    let (place, word) = loop {
        let (place, word) = words.next()?;
        let word = word.to_str()?;
        if !word.starts_with('-') {
            break (place, word.to_ascii_lowercase());
        }
        if options::is_argument_next(word) {
            words.next();
        }
    };
    let commands = command::commands();
    let is_command = commands.get_subcommands().any(|command| command.get_name() == word);
    is_command.then_some((place, word))
}

fn unknown_option(word: &str, command: Option<&str>) -> (String, String) {
    let given = word.trim_start_matches('-');
    let known: Vec<&str> = options::names()
        .map(|(name, _)| name)
        .chain(["help", "version"])
        .collect();
    let begun: Vec<String> = known
        .iter()
        .filter(|name| word.starts_with("--") && name.starts_with(given))
        .map(|name| format!("`--{name}`"))
        .collect();
    if begun.len() > 1 {
        return (
            format!("option `{word}` could be {}", begun.join(" or ")),
            help_hint(command),
        );
    }
    let hint = match nearest(given, known) {
        Some(near) if word.starts_with("--") => format!("did you mean `--{near}`?"),
        _ => "`aptrepo --help` lists the options".into(),
    };
    (format!("unknown option `{word}`"), hint)
}

fn help_hint(command: Option<&str>) -> String {
    match command {
        Some(name) => format!("`aptrepo {name} --help` tells more"),
        None => "`aptrepo --help` lists commands and options".into(),
    }
}

/// How the command is used.
fn usage_hint(command: Option<&str>) -> String {
    let mut whole = CommandLine::command();
    whole.build();
    let usage = command
        .and_then(|name| whole.find_subcommand_mut(name))
        .map(|command| command.render_usage().to_string());
    match usage {
        Some(usage) => format!(
            "{}; {}",
            usage.replacen("Usage: ", "the usage is `", 1) + "`",
            help_hint(command)
        ),
        None => help_hint(command),
    }
}
