//! The options that every command takes: reprepro's, before the command or after it, read into [`Options`].

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use crate::conf::Options;

/// What stands on the command line beside the command.
#[derive(Debug, Clone, Default)]
pub struct GlobalOptions {
    /// What conf/options could say, too.
    pub options: Options,
    /// `--json`.
    pub json: bool,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--allow-downgrade`.
    pub allow_downgrade: bool,
    /// `--passphrase-file`.
    pub passphrase_file: Option<PathBuf>,
}

/// An option: long name, short name, placeholder of its argument (empty: none), help (empty: not shown).
struct Known(&'static str, Option<char>, &'static str, &'static str);

const SHOWN: &[Known] = &[
    Known(
        "basedir",
        Some('b'),
        "DIR",
        "Root of the archive: conf/, db/, pool/ and dists/ lie below it [default: .]",
    ),
    Known(
        "component",
        Some('C'),
        "COMPONENT",
        "Only these components, `|` between them",
    ),
    Known(
        "architecture",
        Some('A'),
        "ARCH",
        "Only these architectures, `source` among them",
    ),
    Known(
        "type",
        Some('T'),
        "TYPE",
        "Only packages of this type: deb, udeb or dsc",
    ),
    Known(
        "section",
        Some('S'),
        "SECTION",
        "Section of what is included, in the place of its own",
    ),
    Known(
        "priority",
        Some('P'),
        "PRIORITY",
        "Priority of what is included, in the place of its own",
    ),
    Known(
        "ignore",
        Some('i'),
        "WHAT",
        "Let a check pass; the error message names the word",
    ),
    Known("unignore", None, "WHAT", "Undo an --ignore of conf/options"),
    Known("confdir", None, "DIR", "Configuration [default: +b/conf]"),
    Known(
        "outdir",
        None,
        "DIR",
        "Where pool/ and dists/ are published [default: +b/]",
    ),
    Known("distdir", None, "DIR", "Index tree [default: +o/dists]"),
    Known("dbdir", None, "DIR", "Database [default: +b/db]"),
    Known("logdir", None, "DIR", "Log files [default: +b/logs]"),
    Known(
        "listdir",
        None,
        "DIR",
        "Downloaded indexes of upstreams [default: +b/lists]",
    ),
    Known("morguedir", None, "DIR", "Where deleted pool files are moved to"),
    Known("gnupghome", None, "DIR", "OpenPGP keys [default: +b/gpg]"),
    Known(
        "export",
        None,
        "WHEN",
        "Publish: never, changed, lookedat or force [default: changed]",
    ),
    Known("delete", None, "", "Delete what was included; force what else says so"),
    Known(
        "waitforlock",
        None,
        "N",
        "Try N times more, every 10 s, while another command holds the lock",
    ),
    Known(
        "retain",
        None,
        "TIME",
        "Keep unreferenced pool files so long, as in 12h, 3d or 0 [default: 3d]",
    ),
    Known(
        "keepunreferencedfiles",
        None,
        "",
        "Never delete pool files that nothing refers to",
    ),
    Known("nothingiserror", None, "", "Exit with 1 if there was nothing to do"),
    Known("list-format", None, "FORMAT", "Format of list and its relatives"),
    Known("list-max", None, "N", "List at most so many packages"),
    Known("list-skip", None, "N", "Leave out so many packages first"),
    Known("verbose", Some('v'), "", "Tell more; may be given several times"),
    Known("silent", Some('s'), "", "Tell less"),
];

/// Known, but for scripts and old configurations only, so that `--help` stays readable.
const HIDDEN: &[(&str, bool)] = &[
    ("packagetype", true),
    ("noignore", true),
    ("nodelete", false),
    ("nokeepunreferencedfiles", false),
    ("keepunusednewfiles", false),
    ("nokeepunusednewfiles", false),
    ("keepdirectories", false),
    ("nokeepdirectories", false),
    ("keeptemporaries", false),
    ("nokeeptemporaries", false),
    ("onlysmalldeletes", false),
    ("noonlysmalldeletes", false),
    ("listsdownload", false),
    ("nolistsdownload", false),
    ("nonolistsdownload", false),
    ("skipold", false),
    ("noskipold", false),
    ("nonoskipold", false),
    ("nonothingiserror", false),
    ("ask-passphrase", false),
    ("noask-passphrase", false),
    ("show-percent", false),
    ("spacecheck", true),
    ("checkspace", true),
    ("safetymargin", true),
    ("restrict", true),
    ("restrict-source", true),
    ("restrict-src", true),
    ("restrict-binary", true),
    ("restrict-file", true),
    ("restrict-file-source", true),
    ("restrict-file-src", true),
    ("restrict-file-binary", true),
    ("fast", false),
    ("nofast", false),
    ("verbosedb", false),
    ("noverbosedb", false),
    ("verbosedatabase", false),
    ("noverbosedatabase", false),
    ("outhook", true),
    ("endhook", true),
    ("force", false),
    ("keepunneededlists", false),
    ("nokeepunneededlists", false),
    ("methoddir", true),
    ("guessgpgtty", false),
    ("noguessgpgtty", false),
    ("nonoguessgpgtty", false),
    ("dbsafetymargin", true),
    ("gunzip", true),
    ("bunzip2", true),
    ("unlzma", true),
    ("unxz", true),
    ("lunzip", true),
    ("unzstd", true),
];

fn argument(name: &'static str, takes_argument: bool) -> Arg {
    let action = if takes_argument {
        ArgAction::Append
    } else {
        ArgAction::Count
    };
    Arg::new(name).long(name).action(action).global(true)
}

/// The options with an argument may be given several times; the others are counted.
fn all_arguments() -> impl Iterator<Item = Arg> {
    let shown = SHOWN.iter().map(|Known(name, short, value, help)| {
        let arg = argument(name, !value.is_empty()).help(*help);
        let arg = if value.is_empty() { arg } else { arg.value_name(*value) };
        match short {
            Some(short) => arg.short(*short),
            None => arg,
        }
    });
    let hidden = HIDDEN
        .iter()
        .map(|(name, takes_argument)| argument(name, *takes_argument).hide(true));
    let force = hidden.map(|arg| if arg.get_id() == "force" { arg.short('f') } else { arg });
    shown.chain(force)
}

impl clap::Args for GlobalOptions {
    fn augment_args(command: Command) -> Command {
        let command = command.args(all_arguments());
        let switch = |name: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .action(ArgAction::SetTrue)
                .global(true)
                .help(help)
        };
        command
            // -V is reprepro's for five times -v
            .arg(argument("very-verbose", false).short('V').hide(true))
            .arg(
                Arg::new("version")
                    .long("version")
                    .action(ArgAction::Version)
                    .help("Print version"),
            )
            .arg(switch("json", "Answer in JSON"))
            .arg(switch("dry-run", "Print what would change, and change nothing"))
            .arg(switch(
                "allow-downgrade",
                "Let a copy replace a higher version by a lower one",
            ))
            .arg(
                Arg::new("passphrase-file")
                    .long("passphrase-file")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .global(true)
                    .help("Read the passphrase of the signing key from FILE"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for GlobalOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut global = Self {
            json: matches.get_flag("json"),
            dry_run: matches.get_flag("dry-run"),
            allow_downgrade: matches.get_flag("allow-downgrade"),
            passphrase_file: matches.get_one::<PathBuf>("passphrase-file").cloned(),
            ..Self::default()
        };
        for (name, argument) in in_order(matches) {
            global
                .options
                .set(name, argument.as_deref())
                .map_err(|error| clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{error}\n")))?;
        }
        global.options.verbosity += 5 * i32::from(matches.get_count("very-verbose"));
        Ok(global)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The options given, in the order of the command line, since a later one can undo an earlier one.
fn in_order(matches: &ArgMatches) -> Vec<(&'static str, Option<String>)> {
    let names = SHOWN
        .iter()
        .map(|Known(name, _, value, _)| (*name, !value.is_empty()))
        .chain(HIDDEN.iter().copied());
    let mut given = Vec::new();
    for (name, takes_argument) in names {
        if matches.value_source(name) != Some(ValueSource::CommandLine) {
            continue;
        }
        let positions = matches.indices_of(name).into_iter().flatten();
        if takes_argument {
            let values = matches.get_many::<String>(name).into_iter().flatten().cloned();
            given.extend(
                positions
                    .zip(values)
                    .map(|(position, value)| (position, name, Some(value))),
            );
        } else {
            let count = usize::from(matches.get_count(name));
            let last = positions.last().unwrap_or_default();
            given.extend(std::iter::repeat_n((last, name, None), count));
        }
    }
    given.sort_by_key(|(position, ..)| *position);
    given.into_iter().map(|(_, name, value)| (name, value)).collect()
}
