//! Every long option that conf/options may hold, with what it sets. The names are reprepro's; `retain`, `dump-interval`,
//! `keep-going` and `recompress` are our own.

use super::ignore::Ignore;
use super::nearest;
use super::options::{ExportMode, Options, Restrict, SpaceCheck};
use crate::model::index::PackageTypeError;
use crate::model::{Architecture, Component};

/// What an option does.
pub(super) enum Action {
    /// It has no argument.
    Switch(fn(&mut Options)),
    /// It has an argument; the error is the rule that a wrong one breaks.
    Argument(fn(&mut Options, &str) -> Result<(), String>),
    /// It is known, so that a configuration of reprepro is read, but what it was about does not exist here.
    WithoutEffect {
        takes_argument: bool,
        /// What a user who counts on its effect has to know; empty where nobody can.
        why: &'static str,
    },
    /// It would have an effect that is not built yet: it is refused, with what can be done.
    Unsupported(&'static str),
}

/// What the option of that name does.
pub(super) fn find(name: &str) -> Option<&'static Action> {
    KNOWN.iter().find(|(known, _)| *known == name).map(|(_, action)| action)
}

/// The names of all options.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(name, _)| *name)
}

macro_rules! text {
    ($field:ident) => {
        Action::Argument(|options, argument| {
            if argument.is_empty() {
                return Err("must not be empty".into());
            }
            options.$field = Some(argument.into());
            Ok(())
        })
    };
}

macro_rules! on {
    ($field:ident) => {
        Action::Switch(|options| options.$field = Some(true))
    };
}

macro_rules! off {
    ($field:ident) => {
        Action::Switch(|options| options.$field = Some(false))
    };
}

macro_rules! number {
    ($field:ident) => {
        Action::Argument(|options, argument| {
            let number = argument.parse().map_err(|_| "must be a whole number, not negative")?;
            options.$field = Some(number);
            Ok(())
        })
    };
}

macro_rules! restrict {
    ($kind:ident) => {
        Action::Argument(|options, argument| {
            options.restrict.push(Restrict::$kind(argument.into()));
            Ok(())
        })
    };
}

const UNUSED_SWITCH: Action = idle_switch("");
const UNUSED_ARGUMENT: Action = Action::WithoutEffect {
    takes_argument: true,
    why: "",
};

const fn idle_switch(why: &'static str) -> Action {
    Action::WithoutEffect {
        takes_argument: false,
        why,
    }
}

const KNOWN: &[(&str, Action)] = &[
    ("basedir", text!(basedir)),
    ("confdir", text!(confdir)),
    ("outdir", text!(outdir)),
    ("distdir", text!(distdir)),
    ("dbdir", text!(dbdir)),
    ("listdir", text!(listdir)),
    ("logdir", text!(logdir)),
    ("morguedir", text!(morguedir)),
    ("gnupghome", text!(gnupghome)),
    ("component", Action::Argument(set_components)),
    ("architecture", Action::Argument(set_architectures)),
    ("type", Action::Argument(set_types)),
    ("packagetype", Action::Argument(set_types)),
    ("section", text!(section)),
    ("priority", text!(priority)),
    ("verbose", Action::Switch(|options| options.verbosity += 1)),
    ("silent", Action::Switch(|options| options.verbosity -= 1)),
    ("export", Action::Argument(set_export)),
    (
        "ignore",
        Action::Argument(|options, list| set_ignored(options, list, true)),
    ),
    (
        "unignore",
        Action::Argument(|options, list| set_ignored(options, list, false)),
    ),
    (
        "noignore",
        Action::Argument(|options, list| set_ignored(options, list, false)),
    ),
    (
        "delete",
        Action::Switch(|options| options.delete = Some(options.delete_count().saturating_add(1))),
    ),
    ("nodelete", Action::Switch(|options| options.delete = Some(0))),
    ("keepunreferencedfiles", on!(keep_unreferenced_files)),
    ("nokeepunreferencedfiles", off!(keep_unreferenced_files)),
    ("keepdirectories", on!(keep_directories)),
    ("nokeepdirectories", off!(keep_directories)),
    ("onlysmalldeletes", on!(only_small_deletes)),
    ("noonlysmalldeletes", off!(only_small_deletes)),
    ("listsdownload", on!(lists_download)),
    ("nolistsdownload", off!(lists_download)),
    ("nonolistsdownload", on!(lists_download)),
    ("skipold", on!(skip_old)),
    ("noskipold", off!(skip_old)),
    ("nonoskipold", on!(skip_old)),
    ("keep-going", on!(keep_going)),
    ("nokeep-going", off!(keep_going)),
    ("recompress", on!(recompress)),
    ("norecompress", off!(recompress)),
    ("nothingiserror", on!(nothing_is_error)),
    ("nonothingiserror", off!(nothing_is_error)),
    ("waitforlock", number!(wait_for_lock)),
    (
        "show-percent",
        idle_switch("nothing tells the progress of a download yet"),
    ),
    ("spacecheck", Action::Argument(set_space_check)),
    ("checkspace", Action::Argument(set_space_check)),
    ("safetymargin", number!(safety_margin)),
    ("dbsafetymargin", number!(db_safety_margin)),
    ("list-format", text!(list_format)),
    ("list-max", number!(list_max)),
    ("list-skip", number!(list_skip)),
    ("restrict", restrict!(Source)),
    ("restrict-source", restrict!(Source)),
    ("restrict-src", restrict!(Source)),
    ("restrict-binary", restrict!(Binary)),
    ("restrict-file", restrict!(SourceFile)),
    ("restrict-file-source", restrict!(SourceFile)),
    ("restrict-file-src", restrict!(SourceFile)),
    ("restrict-file-binary", restrict!(BinaryFile)),
    (
        "outhook",
        Action::Unsupported("a notifier below `Log:` or an `endhook` can tell other programs of changes"),
    ),
    ("endhook", text!(endhook)),
    ("retain", Action::Argument(set_retain)),
    ("dump-interval", Action::Argument(set_dump_interval)),
    (
        "keepunusednewfiles",
        idle_switch("a command that fails brings no file into the pool"),
    ),
    ("nokeepunusednewfiles", UNUSED_SWITCH),
    (
        "keeptemporaries",
        idle_switch("what a failed publication left is removed by the next one"),
    ),
    ("nokeeptemporaries", UNUSED_SWITCH),
    (
        "ask-passphrase",
        idle_switch("gpg-agent asks by itself; for a key of aptrepo's own use `--passphrase-file`"),
    ),
    ("noask-passphrase", UNUSED_SWITCH),
    (
        "verbosedb",
        idle_switch("the journal in the database tells every change"),
    ),
    ("noverbosedb", UNUSED_SWITCH),
    (
        "verbosedatabase",
        idle_switch("the journal in the database tells every change"),
    ),
    ("noverbosedatabase", UNUSED_SWITCH),
    // warnings of the configuration that cost time there cost none here
    ("fast", UNUSED_SWITCH),
    ("nofast", UNUSED_SWITCH),
    // reprepro has them for its past; it ignores them too
    ("force", UNUSED_SWITCH),
    ("keepunneededlists", UNUSED_SWITCH),
    ("nokeepunneededlists", UNUSED_SWITCH),
    // there are no method programs, and no gpg-agent that asks on a terminal
    ("methoddir", UNUSED_ARGUMENT),
    ("guessgpgtty", UNUSED_SWITCH),
    ("noguessgpgtty", UNUSED_SWITCH),
    ("nonoguessgpgtty", UNUSED_SWITCH),
    // all decompressors are built in
    ("gunzip", UNUSED_ARGUMENT),
    ("bunzip2", UNUSED_ARGUMENT),
    ("unlzma", UNUSED_ARGUMENT),
    ("unxz", UNUSED_ARGUMENT),
    ("lunzip", UNUSED_ARGUMENT),
    ("unzstd", UNUSED_ARGUMENT),
];

fn set_components(options: &mut Options, argument: &str) -> Result<(), String> {
    let components: Result<_, _> = argument.split('|').map(Component::new).collect();
    options.components = Some(components.map_err(|error| error.to_string())?);
    Ok(())
}

fn set_architectures(options: &mut Options, argument: &str) -> Result<(), String> {
    let words: Vec<String> = argument.split('|').map(str::to_owned).collect();
    for word in &words {
        if !matches!(word.as_str(), "source" | "all") {
            Architecture::new(word).map_err(|error| error.to_string())?;
        }
    }
    options.architectures = Some(words);
    Ok(())
}

fn set_types(options: &mut Options, argument: &str) -> Result<(), String> {
    let types: Result<_, PackageTypeError> = argument.split('|').map(str::parse).collect();
    options.types = Some(types.map_err(|_| "must be deb, udeb or dsc, with `|` between several")?);
    Ok(())
}

fn set_export(options: &mut Options, argument: &str) -> Result<(), String> {
    options.export = Some(match argument {
        "silent-never" => ExportMode::SilentNever,
        "never" => ExportMode::Never,
        "changed" => ExportMode::Changed,
        "lookedat" | "normal" => ExportMode::LookedAt,
        "force" => ExportMode::Force,
        _ => return Err("must be silent-never, never, changed, lookedat or force".into()),
    });
    Ok(())
}

fn set_space_check(options: &mut Options, argument: &str) -> Result<(), String> {
    options.space_check = Some(match argument {
        "none" => SpaceCheck::None,
        "full" => SpaceCheck::Full,
        _ => return Err("must be full or none".into()),
    });
    Ok(())
}

fn set_ignored(options: &mut Options, list: &str, ignored: bool) -> Result<(), String> {
    options.ignore.set_list(list, ignored).map_err(|word| {
        let words = Ignore::WORDS.iter().map(|(_, known)| *known);
        match nearest(&word, words) {
            Some(known) => format!("`{word}` is no word of it; did you mean `{known}`?"),
            None => format!("`{word}` is no word of it (`ignore` before it lets unknown words pass)"),
        }
    })
}

fn set_retain(options: &mut Options, argument: &str) -> Result<(), String> {
    options.retain_secs = Some(duration(argument)?);
    Ok(())
}

fn set_dump_interval(options: &mut Options, argument: &str) -> Result<(), String> {
    options.dump_interval_secs = Some(duration(argument)?);
    Ok(())
}

fn duration(argument: &str) -> Result<u64, String> {
    let rule = "must be a number with a unit, as in `12h` or `3d` (s, m, h, d, w), or `0`";
    seconds(argument).ok_or_else(|| rule.into())
}

/// A duration as `90s`, `5m`, `12h`, `3d` or `2w`, or a plain number of seconds, in seconds.
fn seconds(text: &str) -> Option<u64> {
    let (digits, unit_secs) = match text.as_bytes().split_last()? {
        (b's', digits) => (digits, 1),
        (b'm', digits) => (digits, 60),
        (b'h', digits) => (digits, 60 * 60),
        (b'd', digits) => (digits, 24 * 60 * 60),
        (b'w', digits) => (digits, 7 * 24 * 60 * 60),
        _ => (text.as_bytes(), 1),
    };
    // parse() would take a sign
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits)
        .ok()?
        .parse::<u64>()
        .ok()?
        .checked_mul(unit_secs)
}
