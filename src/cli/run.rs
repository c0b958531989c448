//! From a parsed command to its use case and back to an answer.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::conf::{Conf, Options, Settings as Configured};
use crate::model::{ErrorKind, PackageName, PackageType, SourceName, Version};
use crate::ops::archive::Settings;
use crate::ops::copy::Wanted;
use crate::ops::query;
use crate::ops::query::Selection;
use crate::ops::remove::Unwanted;
use crate::ops::session::Outcome;
use crate::ops::{
    self, Archive, Reporter, check, copy, dump, export, garbage, include, recover, remove, rerun, tracks, vanished,
};

use super::command::{self, Command, CommandLine};
use super::hook::run_end_hook;
use super::options::GlobalOptions;
use super::setup::without_configuration;
use super::syntax::find_command;
use super::term::{Terminal, exit_code};
use super::{Error, answer, follow, look, misuse, unknown_command};

/// Runs one command; gives the exit code of success.
pub fn run(name: &str, command_line: CommandLine, arguments: &[OsString]) -> Result<u8, Error> {
    let CommandLine { global, command } = command_line;
    if let Command::Other(words) = &command {
        let word = words
            .first()
            .map(|word| word.to_string_lossy().into_owned())
            .unwrap_or_default();
        return Err(unknown_command(&word));
    }
    misuse::refuse(name, &global.options, global.dry_run)?;
    let options = global.options.clone().over(environment());
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut configured = Configured::load(options, home.clone())?;
    if !matches!(command, Command::Key(_) | Command::Init(_)) {
        use_callers_keys(&mut configured, home);
    }
    let Some(hook) = configured.options.endhook.clone() else {
        return run_configured(name, (command, &global), configured, arguments);
    };
    let environment = ops::session::script_directories(&configured.directories);
    let hook = configured.directories.file(&hook);
    let basedir = global.options.basedir.clone();
    let code = match run_configured(name, (command, &global), configured, arguments) {
        Ok(code) => code,
        Err(error) => {
            error.print(basedir.as_deref());
            error.exit_code()
        }
    };
    let place = find_command(arguments).map_or(0, |(place, _)| place);
    run_end_hook(hook, arguments.get(place..).unwrap_or_default(), environment, code)
}

/// Where no option names a key directory and the archive has none of its own, the keys are the caller's, as with
/// reprepro.
fn use_callers_keys(configured: &mut Configured, home: Option<PathBuf>) {
    if configured.options.gnupghome.is_some() || configured.directories.gnupg.exists() {
        return;
    }
    let named = std::env::var_os("GNUPGHOME").map(PathBuf::from);
    let usual = home.map(|home| home.join(".gnupg"));
    if let Some(directory) = [named, usual]
        .into_iter()
        .flatten()
        .find(|directory| directory.exists())
    {
        configured.directories.gnupg = directory;
    }
}

fn run_configured(
    name: &str,
    (command, global): (Command, &GlobalOptions),
    configured: Configured,
    arguments: &[OsString],
) -> Result<u8, Error> {
    let terminal = Terminal::new(configured.options.verbosity).with_json(global.json);
    configured
        .warnings
        .iter()
        .for_each(|warning| terminal.warning(&warning.to_string()));
    let settings = settings(global, &configured.options, name, arguments);
    if let Some(done) = without_configuration(&command, &configured.directories, &settings, global)? {
        return Ok(done);
    }
    let conf = Conf::read(&configured.directories, &configured.options.ignore)?;
    let archive = Archive {
        conf,
        directories: configured.directories,
        settings,
        reporter: &terminal,
    };
    archive
        .conf
        .warnings
        .iter()
        .for_each(|warning| terminal.warning(&warning.to_string()));
    let saves_dump = command.is_writing() && !archive.settings.dry_run;
    let done = dispatch(&archive, command, global.json)?;
    if saves_dump {
        dump::save_if_due(&archive);
    }
    let is_error = archive.settings.options.nothing_is_error == Some(true) && done == Done::Nothing;
    Ok(u8::from(is_error))
}

/// The time in Unix seconds; the only place that looks at the clock.
#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
pub fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    i64::try_from(now).unwrap_or(i64::MAX)
}

#[expect(
    clippy::exit,
    reason = "a second signal means now; there is nothing that must still be put in order"
)]
fn end_at_once() {
    std::process::exit(i32::from(exit_code(ErrorKind::Interrupted)));
}

/// Whether a command found anything to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// There was something to do.
    Something,
    /// There was nothing to do.
    Nothing,
}

impl Done {
    /// `Something` if the condition holds.
    pub fn something_if(condition: bool) -> Self {
        if condition { Self::Something } else { Self::Nothing }
    }
}

/// The options that the environment sets.
fn environment() -> Options {
    let text = |name: &str| std::env::var_os(name).and_then(|value| value.into_string().ok());
    Options {
        basedir: text("REPREPRO_BASE_DIR"),
        confdir: text("REPREPRO_CONFIG_DIR"),
        ..Options::default()
    }
}

fn settings(global: &GlobalOptions, options: &Options, command: &str, arguments: &[OsString]) -> Settings {
    let words: Vec<_> = arguments
        .iter()
        .skip(1)
        .map(|argument| argument.to_string_lossy())
        .collect();
    let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    Settings {
        restriction: options.restriction(),
        options: options.clone(),
        dry_run: global.dry_run,
        allow_downgrade: global.allow_downgrade,
        passphrase_file: global.passphrase_file.clone(),
        now: now(),
        clock: now,
        end_at_once,
        user: variable("SUDO_USER")
            .or_else(|| variable("USER"))
            .or_else(|| variable("LOGNAME"))
            .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw())),
        command: command.to_owned(),
        command_line: format!("aptrepo {}", words.join(" ")),
    }
}

fn dispatch(archive: &Archive<'_>, command: Command, json: bool) -> Result<Done, Error> {
    match command {
        Command::Include(_) | Command::IncludeDeb(_) | Command::IncludeUdeb(_) | Command::IncludeDsc(_) => {
            bring_in(archive, command, json)
        }
        Command::Copy(_) | Command::CopySrc(_) | Command::CopyMatched(_) | Command::CopyFilter(_) => {
            copy_packages(archive, command, json)
        }
        Command::Remove(_)
        | Command::RemoveSrc(_)
        | Command::RemoveSrcs(_)
        | Command::RemoveMatched(_)
        | Command::RemoveFilter(_) => remove_packages(archive, command, json),
        Command::Update(_)
        | Command::CheckUpdate(_)
        | Command::DumpUpdate(_)
        | Command::PreDelete(_)
        | Command::CleanLists
        | Command::Pull(_)
        | Command::CheckPull(_)
        | Command::DumpPull(_) => follow::follow(archive, command, json),
        Command::List(_)
        | Command::ListMatched(_)
        | Command::ListFilter(_)
        | Command::Ls(_)
        | Command::LsByComponent(_)
        | Command::Show(_) => look::look(archive, command, json),
        Command::DumpTracks(_)
        | Command::Retrack(_)
        | Command::TidyTracks(_)
        | Command::RemoveTrack(_)
        | Command::RemoveAllTracks(_) => track(archive, command, json),
        other => look_after(archive, other, json),
    }
}

fn bring_in(archive: &Archive<'_>, command: Command, json: bool) -> Result<Done, Error> {
    let outcome = match command {
        Command::Include(arguments) => include::include_changes(archive, &arguments.distribution, &arguments.files)?,
        Command::IncludeDeb(arguments) => {
            include::include_binaries(archive, &arguments.distribution, &arguments.files, PackageType::Deb)?
        }
        Command::IncludeUdeb(arguments) => {
            include::include_binaries(archive, &arguments.distribution, &arguments.files, PackageType::Udeb)?
        }
        Command::IncludeDsc(arguments) => include::include_sources(archive, &arguments.distribution, &arguments.files)?,
        _ => return Ok(Done::Nothing),
    };
    if json || archive.settings.dry_run {
        return changed(archive, &outcome, json);
    }
    // what became of each package was told already
    Ok(Done::something_if(!outcome.rows.is_empty()))
}

fn copy_packages(archive: &Archive<'_>, command: Command, json: bool) -> Result<Done, Error> {
    let (to, from, wanted) = match command {
        Command::Copy(arguments) => {
            let names: Result<_, ops::Error> = arguments
                .names
                .iter()
                .map(|word| with_version(word, PackageName::new))
                .collect();
            (arguments.destination, arguments.source, Wanted::Names(names?))
        }
        Command::CopySrc(command::CopySource {
            destination,
            source,
            name,
            versions,
        }) => (destination, source, Wanted::Source { source: name, versions }),
        Command::CopyMatched(arguments) => (
            arguments.destination,
            arguments.source,
            Wanted::Selected(Selection::Matching(arguments.glob)),
        ),
        Command::CopyFilter(arguments) => {
            let selection = look::formula(archive, &arguments.formula)?;
            (arguments.destination, arguments.source, Wanted::Selected(selection))
        }
        _ => return Ok(Done::Nothing),
    };
    changed(archive, &copy::copy(archive, &to, &from, &wanted)?, json)
}

fn remove_packages(archive: &Archive<'_>, command: Command, json: bool) -> Result<Done, Error> {
    let (distribution, unwanted) = match command {
        Command::Remove(arguments) => {
            let names: Result<_, ops::Error> = arguments
                .names
                .iter()
                .map(|word| with_version(word, PackageName::new))
                .collect();
            (arguments.distribution, Unwanted::Names(names?))
        }
        Command::RemoveSrc(arguments) => (
            arguments.distribution,
            Unwanted::Sources(vec![(arguments.name, arguments.version)]),
        ),
        Command::RemoveSrcs(arguments) => {
            let names: Result<_, ops::Error> = arguments
                .names
                .iter()
                .map(|word| with_version(word, SourceName::new))
                .collect();
            (arguments.distribution, Unwanted::Sources(names?))
        }
        Command::RemoveMatched(arguments) => {
            let selection = Selection::Matching(arguments.glob);
            (arguments.distribution, Unwanted::Selected(selection))
        }
        Command::RemoveFilter(arguments) => {
            let selection = look::formula(archive, &arguments.formula)?;
            (arguments.distribution, Unwanted::Selected(selection))
        }
        _ => return Ok(Done::Nothing),
    };
    changed(archive, &remove::remove(archive, &distribution, &unwanted)?, json)
}

fn track(archive: &Archive<'_>, command: Command, json: bool) -> Result<Done, Error> {
    let outcome = match command {
        Command::DumpTracks(arguments) if json => {
            answer::json(&tracks::tracks(archive, &arguments.distributions)?)?;
            return Ok(Done::Something);
        }
        Command::DumpTracks(arguments) => {
            answer::text(&tracks::dump(archive, &arguments.distributions)?)?;
            return Ok(Done::Something);
        }
        Command::Retrack(arguments) => tracks::tidy(archive, &arguments.distributions, true)?,
        Command::TidyTracks(arguments) => tracks::tidy(archive, &arguments.distributions, false)?,
        Command::RemoveTrack(arguments) => {
            tracks::remove(archive, &arguments.distribution, &arguments.name, &arguments.version)?
        }
        Command::RemoveAllTracks(arguments) => tracks::remove_all(archive, &arguments.distributions)?,
        _ => return Ok(Done::Nothing),
    };
    changed(archive, &outcome, json)
}

fn look_after(archive: &Archive<'_>, command: Command, json: bool) -> Result<Done, Error> {
    match command {
        Command::Export(_)
        | Command::CreateSymlinks(_)
        | Command::Check(_)
        | Command::CheckPool(_)
        | Command::RerunNotifiers(_) => {
            without_answer(archive, command)?;
            if json {
                answer::json(&[""; 0])?;
            }
        }
        Command::ClearVanished => return changed(archive, &vanished::clear(archive)?, json),
        Command::DumpUnreferenced => answer::rows(&garbage::unreferenced(archive)?, json)?,
        Command::DeleteUnreferenced => {
            let removed = garbage::delete_unreferenced(archive)?;
            if archive.settings.dry_run || json {
                answer::rows(&removed, json)?;
            }
            return Ok(Done::something_if(!removed.is_empty()));
        }
        Command::DumpReferences => answer::rows(&query::references(archive)?, json)?,
        Command::Dump => dump::dump(archive, &mut answer::Pipe)?,
        Command::Load => dump::load(archive, &mut std::io::stdin().lock())?,
        Command::Recover(arguments) => {
            let report = recover::recover(archive, arguments.anyway)?;
            answer::rows(&report.lines, json)?;
            report.outcome()?;
        }
        Command::ListCodenames => {
            let distributions = archive.conf.distributions.iter();
            let codenames: Vec<_> = distributions.map(|distribution| &distribution.codename).collect();
            answer::rows(&codenames, json)?;
        }
        _ => return Ok(Done::Nothing),
    }
    Ok(Done::Something)
}

/// Commands whose success is all that they tell.
fn without_answer(archive: &Archive<'_>, command: Command) -> Result<(), Error> {
    match command {
        Command::Export(arguments) => export::export(archive, &arguments.distributions)?,
        Command::CreateSymlinks(arguments) => export::create_symlinks(archive, &arguments.distributions)?,
        Command::Check(arguments) => check::check(archive, &arguments.distributions)?,
        Command::CheckPool(arguments) => {
            let depth = if arguments.depth.is_some() {
                check::Depth::Sizes
            } else {
                check::Depth::Contents
            };
            check::check_pool(archive, depth)?;
        }
        Command::RerunNotifiers(arguments) => rerun::rerun_notifiers(archive, &arguments.distributions)?,
        _ => {}
    }
    Ok(())
}

/// Prints the plan if nothing was carried out, or if it was asked for.
pub fn changed(archive: &Archive<'_>, outcome: &Outcome, json: bool) -> Result<Done, Error> {
    if json {
        answer::json(&outcome.rows)?;
    } else if archive.settings.dry_run {
        answer::lines(&outcome.rows)?;
    } else {
        outcome
            .rows
            .iter()
            .for_each(|row| archive.reporter.status(&row.to_string()));
    }
    Ok(Done::something_if(!outcome.rows.is_empty()))
}

/// `name` or `name=version`.
fn with_version<T, E>(word: &str, name: impl Fn(&str) -> Result<T, E>) -> Result<(T, Option<Version>), ops::Error>
where
    ops::Error: From<E>,
{
    match word.split_once('=') {
        Some((package, version)) => Ok((name(package)?, Some(Version::new(version)?))),
        None => Ok((name(word)?, None)),
    }
}
