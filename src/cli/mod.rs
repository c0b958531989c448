//! The command line: parses it, runs one use case, prints the answer. No decision about packages is made here.

mod answer;
mod command;
mod follow;
mod help;
mod hook;
mod keys;
mod look;
mod misuse;
mod options;
mod run;
mod setup;
mod syntax;
mod term;

use std::ffi::OsString;

use clap::error::ErrorKind;

use crate::conf;
use crate::ops;
use command::CommandLine;
use term::{exit_code, print_error};

/// Why a run of the program failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A use case failed.
    #[error(transparent)]
    Ops(#[from] ops::Error),
    /// The configuration has faults.
    #[error(transparent)]
    Conf(#[from] conf::Faults),
    /// The command line is wrong in a way that the parser cannot see.
    #[error("{problem}")]
    Usage {
        /// What is wrong.
        problem: String,
        /// What the user can do.
        hint: Option<String>,
    },
    /// A formula is wrong.
    #[error("{problem}")]
    Formula {
        /// What is wrong.
        problem: String,
    },
    /// An option that the command cannot use.
    #[error("`{command}` cannot be restricted or changed by {option}")]
    UnusedOption {
        /// The option.
        option: String,
        /// The command.
        command: String,
    },
    /// The server failed.
    #[error(transparent)]
    Serve(#[from] crate::serve::Error),
    /// The program of `--endhook` cannot be run.
    #[error("cannot run the endhook `{hook}`", hook = hook.display())]
    Hook {
        /// The program.
        hook: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The answer cannot be written.
    #[error("cannot write the answer to stdout")]
    Stdout {
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Ops(error) => exit_code(error.kind()),
            Self::Conf(faults) => exit_code(faults.kind()),
            Self::Usage { .. } => exit_code(crate::model::ErrorKind::Usage),
            Self::Serve(error) => exit_code(error.kind()),
            // the reader of a pipe has had enough
            Self::Stdout { source } if source.kind() == std::io::ErrorKind::BrokenPipe => 0,
            Self::Stdout { .. } | Self::Hook { .. } | Self::UnusedOption { .. } | Self::Formula { .. } => {
                exit_code(crate::model::ErrorKind::General)
            }
        }
    }

    /// Prints it. The commands that the hint names get the base directory that this one was given.
    fn print(&self, basedir: Option<&str>) {
        let hint = match self {
            Self::Ops(error) => error.hint(),
            Self::Conf(faults) => faults.hint(),
            Self::Usage { hint, .. } => hint.clone(),
            Self::Serve(_) => None,
            Self::Stdout { source } if source.kind() == std::io::ErrorKind::BrokenPipe => return,
            Self::UnusedOption { .. } => Some("leave it out, or use --ignore=unusedoption".into()),
            Self::Stdout { .. } | Self::Hook { .. } | Self::Formula { .. } => None,
        };
        let with_basedir = |hint: String| match basedir {
            Some(basedir) if basedir != "." => hint.replace("`aptrepo ", &format!("`aptrepo -b {basedir} ")),
            _ => hint,
        };
        print_error(self, hint.map(with_basedir).as_deref());
    }
}

/// Runs the program with these arguments, the program's name first, and gives its exit code.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> u8 {
    let (name, command_line) = match parse(arguments.clone()) {
        Ok(parsed) => parsed,
        // --help and --version come this way, too
        Err(page) if !page.use_stderr() => {
            let _ = page.print();
            return 0;
        }
        Err(page) if page.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = page.print();
            return exit_code(crate::model::ErrorKind::Usage);
        }
        Err(error) if error.kind() == ErrorKind::MissingSubcommand => {
            term::tell(&command_line().render_help().to_string());
            return exit_code(crate::model::ErrorKind::Usage);
        }
        Err(error) => {
            let error = syntax::explain(&error, &arguments);
            error.print(None);
            return error.exit_code();
        }
    };
    let basedir = command_line.global.options.basedir.clone();
    match run::run(&name, command_line, &arguments) {
        Ok(code) => code,
        Err(error) => {
            error.print(basedir.as_deref());
            error.exit_code()
        }
    }
}

/// The whole command line with its help pages.
fn command_line() -> clap::Command {
    help::complete(CommandLine::command())
}

/// The command's name and the whole command line.
fn parse(arguments: Vec<OsString>) -> Result<(String, CommandLine), clap::Error> {
    let (arguments, name) = with_lower_case_command(arguments);
    let one = name.and_then(|name| CommandLine::with_command(&name));
    let parsed = one.and_then(|one| one.try_get_matches_from(&arguments).ok());
    let matches = match parsed {
        Some(matches) => matches,
        // pages and errors tell of all commands
        None => command_line().try_get_matches_from(arguments)?,
    };
    let name = matches.subcommand_name().unwrap_or_default().to_owned();
    Ok((name, CommandLine::of(&matches)?))
}

/// Command names are taken in any case, as reprepro does. Gives the name, too.
fn with_lower_case_command(mut arguments: Vec<OsString>) -> (Vec<OsString>, Option<String>) {
    let Some((place, name)) = syntax::find_command(&arguments) else {
        return (arguments, None);
    };
    if let Some(argument) = arguments.get_mut(place) {
        // an option's argument that is a command's name in lower case stays what it is
        *argument = name.clone().into();
    }
    (arguments, Some(name))
}

/// The error for a word that is no command, with the nearest that is one.
fn unknown_command(word: &str) -> Error {
    const NOT_YET: [&str; 21] = [
        "predelete",
        "pull",
        "checkpull",
        "dumppull",
        "cleanlists",
        "processincoming",
        "move",
        "movesrc",
        "movematched",
        "movefilter",
        "restore",
        "restoresrc",
        "restorematched",
        "restorefilter",
        "gensnapshot",
        "unreferencesnapshot",
        "flood",
        "reoverride",
        "includeddeb",
        "build-needing",
        "sizes",
    ];
    let word = word.to_ascii_lowercase();
    if NOT_YET.contains(&word.as_str()) {
        let problem = format!("the command `{word}` is not built yet");
        return Error::Usage {
            problem,
            hint: Some("`aptrepo --help` lists what there is".into()),
        };
    }
    let command = command::commands();
    let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let hint = match conf::nearest(&word, names) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`aptrepo --help` lists the commands".into(),
    };
    Error::Usage {
        problem: format!("Unknown action '{word}'"),
        hint: Some(hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command_line().debug_assert();
    }

    #[test]
    fn options_stand_before_the_command_or_after_it_and_a_later_one_wins() {
        let parsed = |line: &str| {
            parse(line.split(' ').map(OsString::from).collect())
                .unwrap()
                .1
                .global
                .options
        };
        assert_eq!(parsed("aptrepo -C main list x").restriction().components.len(), 1);
        assert_eq!(parsed("aptrepo LIST x -C main").restriction().components.len(), 1);
        assert_eq!(parsed("aptrepo --delete --nodelete list x").delete, Some(0));
        assert_eq!(parsed("aptrepo --nodelete --delete --delete list x").delete, Some(2));
        assert_eq!(parsed("aptrepo --based /x list x").basedir.as_deref(), Some("/x"));
        assert_eq!(parsed("aptrepo -vv -V list x").verbosity, 7);
    }
}
