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

/// An option that help pages show.
pub struct Shown {
    /// Its long name.
    pub name: &'static str,
    short: Option<char>,
    /// Placeholder of its argument; empty: it has none.
    value: &'static str,
    help: &'static str,
}

impl Shown {
    const fn new(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self {
            name,
            short: None,
            value,
            help,
        }
    }

    const fn short(self, short: char) -> Self {
        Self {
            short: Some(short),
            ..self
        }
    }

    /// Its line of a help page.
    pub fn line(&self) -> String {
        let short = self.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
        let words = format!("{short}--{} {}", self.name, self.value);
        format!("  {words:30} {}\n", self.help)
    }
}

/// The options that help pages show, by what they are about.
pub const GROUPS: &[(&str, &[Shown])] = &[
    (
        "Which archive",
        &[
            Shown::new("basedir", "DIR", "Base directory, `+b/` below [default: .]").short('b'),
            Shown::new("confdir", "DIR", "Configuration [default: +b/conf]"),
            Shown::new(
                "outdir",
                "DIR",
                "Where pool/ and dists/ are published, `+o/` [default: +b/]",
            ),
            Shown::new("distdir", "DIR", "Index tree [default: +o/dists]"),
            Shown::new("dbdir", "DIR", "Database [default: +b/db]"),
            Shown::new("logdir", "DIR", "Log files [default: +b/logs]"),
            Shown::new("listdir", "DIR", "Downloaded indexes of upstreams [default: +b/lists]"),
            Shown::new(
                "morguedir",
                "DIR",
                "Where deleted pool files are moved to [default: nowhere]",
            ),
            Shown::new("gnupghome", "DIR", "OpenPGP keys [default: +b/gpg]"),
        ],
    ),
    (
        "Which packages",
        &[
            Shown::new("component", "COMPONENT", "Only these components, `|` between several").short('C'),
            Shown::new("architecture", "ARCH", "Only these architectures; `source` is one").short('A'),
            Shown::new("type", "TYPE", "Only packages of this type: deb, udeb or dsc").short('T'),
            Shown::new(
                "section",
                "SECTION",
                "Section of what comes in, in the place of its own",
            )
            .short('S'),
            Shown::new(
                "priority",
                "PRIORITY",
                "Priority of what comes in, in the place of its own",
            )
            .short('P'),
        ],
    ),
    (
        "What a command may do",
        &[
            Shown::new("dry-run", "", "Print what would change, and change nothing"),
            Shown::new("ignore", "WHAT", "Let a check pass; the error message names the word").short('i'),
            Shown::new("unignore", "WHAT", "Undo an --ignore of conf/options"),
            Shown::new(
                "allow-downgrade",
                "",
                "Let a copy replace a higher version by a lower one",
            ),
            Shown::new(
                "delete",
                "",
                "Delete the files that came in; twice: all that the .changes lists",
            ),
            Shown::new(
                "export",
                "WHEN",
                "Publish: never, changed, lookedat or force [default: changed]",
            ),
            Shown::new("recompress", "", "With export: compress each file anew, in one piece"),
            Shown::new(
                "keepunreferencedfiles",
                "",
                "Never delete pool files that nothing refers to",
            ),
            Shown::new(
                "retain",
                "TIME",
                "Keep unreferenced pool files so long: 12h, 3d, 0 [default: 3d]",
            ),
            Shown::new(
                "dump-interval",
                "TIME",
                "Save a dump of the state below db/ so often: 12h, 1d, 0 [default: 1d]",
            ),
            Shown::new(
                "waitforlock",
                "N",
                "Wait N times 10 s for another command that changes the archive",
            ),
            Shown::new(
                "passphrase-file",
                "FILE",
                "Read the passphrase of the signing key from FILE",
            ),
            Shown::new(
                "endhook",
                "PROGRAM",
                "Run it at the end; its exit code takes the place of ours",
            ),
        ],
    ),
    (
        "What update and pull do",
        &[
            Shown::new("noskipold", "", "Also where the upstream has not changed"),
            Shown::new("noonlysmalldeletes", "", "Also where many packages would go"),
            Shown::new(
                "keep-going",
                "",
                "Where an upstream is refused, still update what does not use it",
            ),
            Shown::new("nolistsdownload", "", "Take the indexes that were downloaded before"),
            Shown::new(
                "restrict",
                "SOURCE",
                "Only packages of this source; also `SOURCE=VERSION`",
            ),
            Shown::new(
                "restrict-binary",
                "NAME",
                "Only this binary package; also `NAME=VERSION`",
            ),
            Shown::new("restrict-file", "FILE", "Only packages of sources in this filter list"),
            Shown::new(
                "restrict-file-binary",
                "FILE",
                "Only binary packages in this filter list",
            ),
            Shown::new(
                "spacecheck",
                "full|none",
                "Ask for free space before anything is fetched [default: full]",
            ),
            Shown::new(
                "safetymargin",
                "BYTES",
                "What is to stay free where files go [default: 1 MiB]",
            ),
            Shown::new(
                "dbsafetymargin",
                "BYTES",
                "What is to stay free besides for the database [default: 100 MiB]",
            ),
        ],
    ),
    (
        "What is told",
        &[
            Shown::new("verbose", "", "Tell more; may be given several times").short('v'),
            Shown::new("silent", "", "Tell less").short('s'),
            Shown::new("json", "", "Answer in JSON"),
            Shown::new(
                "list-format",
                "FORMAT",
                "Format of list, as in '${package} ${version}\\n'",
            ),
            Shown::new("list-max", "N", "List at most so many packages"),
            Shown::new("list-skip", "N", "Leave out so many packages first"),
            Shown::new("nothingiserror", "", "Exit with 1 if there was nothing to do"),
            Shown::new("help", "", "Print help; after a command: its help").short('h'),
            Shown::new("version", "", "Print version"),
        ],
    ),
];

/// The option of that name that help pages show.
pub fn shown() -> impl Iterator<Item = &'static Shown> {
    GROUPS.iter().flat_map(|(_, options)| *options)
}

/// Known, but for scripts and old configurations only, so that `--help` stays readable.
const HIDDEN: &[(&str, bool)] = &[
    ("very-verbose", false),
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
    ("listsdownload", false),
    ("nonolistsdownload", false),
    ("skipold", false),
    ("nonoskipold", false),
    ("nokeep-going", false),
    ("norecompress", false),
    ("nonothingiserror", false),
    ("ask-passphrase", false),
    ("noask-passphrase", false),
    ("show-percent", false),
    ("checkspace", true),
    ("restrict-source", true),
    ("restrict-src", true),
    ("restrict-file-source", true),
    ("restrict-file-src", true),
    ("fast", false),
    ("nofast", false),
    ("verbosedb", false),
    ("noverbosedb", false),
    ("verbosedatabase", false),
    ("noverbosedatabase", false),
    ("outhook", true),
    ("force", false),
    ("keepunneededlists", false),
    ("nokeepunneededlists", false),
    ("methoddir", true),
    ("guessgpgtty", false),
    ("noguessgpgtty", false),
    ("nonoguessgpgtty", false),
    ("gunzip", true),
    ("bunzip2", true),
    ("unlzma", true),
    ("unxz", true),
    ("lunzip", true),
    ("unzstd", true),
];

/// The names of all options, with whether each takes an argument.
pub fn names() -> impl Iterator<Item = (&'static str, bool)> {
    shown()
        .filter(|option| !matches!(option.name, "help" | "version"))
        .map(|option| (option.name, !option.value.is_empty()))
        .chain(HIDDEN.iter().copied())
}

/// Whether the argument after this option is its argument.
pub fn is_argument_next(option: &str) -> bool {
    if let Some(long) = option.strip_prefix("--") {
        let is_meant = |name: &str| name == long || (!long.is_empty() && name.starts_with(long));
        return names().any(|(name, takes_argument)| takes_argument && is_meant(name));
    }
    // what follows such a letter in the same word is its argument
    let mut letters = option.chars().skip(1);
    let has_argument = |letter: char| shown().any(|option| option.short == Some(letter) && !option.value.is_empty());
    letters.any(has_argument) && letters.next().is_none()
}

/// The options with an argument may be given several times; the others are counted. The parser's own help pages name
/// none of them: ours do.
fn argument((name, takes_argument): (&'static str, bool)) -> Arg {
    let action = if takes_argument {
        ArgAction::Append
    } else {
        ArgAction::Count
    };
    let short = match name {
        "force" => Some('f'),
        // reprepro's for five times -v
        "very-verbose" => Some('V'),
        _ => shown()
            .find(|option| option.name == name)
            .and_then(|option| option.short),
    };
    let arg = Arg::new(name).long(name).action(action).global(true).hide(true);
    match short {
        Some(short) => arg.short(short),
        None => arg,
    }
}

impl clap::Args for GlobalOptions {
    fn augment_args(command: Command) -> Command {
        let arg = |name: &'static str, action| Arg::new(name).long(name).action(action).hide(true);
        command
            .args(names().map(argument))
            .arg(arg("version", ArgAction::Version))
            .arg(arg("help", ArgAction::Help).short('h').global(true))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for GlobalOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut global = Self::default();
        for (name, argument) in in_order(matches) {
            match name {
                "json" => global.json = true,
                "dry-run" => global.dry_run = true,
                "allow-downgrade" => global.allow_downgrade = true,
                "passphrase-file" => global.passphrase_file = argument.map(PathBuf::from),
                "very-verbose" => global.options.verbosity += 5,
                name => global
                    .options
                    .set(name, argument.as_deref())
                    .map_err(|error| clap::Error::raw(clap::error::ErrorKind::ValueValidation, error))?,
            }
        }
        Ok(global)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The options given, in the order of the command line, since a later one can undo an earlier one.
fn in_order(matches: &ArgMatches) -> Vec<(&'static str, Option<String>)> {
    let mut given = Vec::new();
    for (name, takes_argument) in names() {
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
