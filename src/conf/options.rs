//! The options that hold for a whole run: what the command line, the environment and conf/options can say, each in
//! the same words, the earlier winning over the later.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::directories::Directories;
use super::fault::{Error, Faults, Place, Warning, printable};
use super::ignore::IgnoreSet;
use super::option_table::{self, Action};
use super::{nearest, reader};
use crate::fsio;
use crate::model::{Component, PackageType, Restriction};

/// When a command publishes a distribution (`--export`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExportMode {
    /// Not at all, and no word about it.
    SilentNever,
    /// Not at all.
    Never,
    /// If it has changed.
    #[default]
    Changed,
    /// If the command looked at it.
    LookedAt,
    /// In any case.
    Force,
}

/// Where the free space is checked before a download (`--spacecheck`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SpaceCheck {
    /// Nowhere.
    None,
    /// On every file system that files go to.
    #[default]
    Full,
}

/// Which packages `update` and `pull` are restricted to (`--restrict` and its relatives).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restrict {
    /// `--restrict`: a source, as `name`, `name=version` or `name:type`.
    Source(String),
    /// `--restrict-binary`: a binary package, likewise.
    Binary(String),
    /// `--restrict-file`: sources listed in a file.
    SourceFile(String),
    /// `--restrict-file-binary`: binary packages listed in a file.
    BinaryFile(String),
}

/// All settings; `None` where nothing was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `--basedir`, as it was given.
    pub basedir: Option<String>,
    /// `--confdir`.
    pub confdir: Option<String>,
    /// `--outdir`.
    pub outdir: Option<String>,
    /// `--distdir`.
    pub distdir: Option<String>,
    /// `--dbdir`.
    pub dbdir: Option<String>,
    /// `--listdir`.
    pub listdir: Option<String>,
    /// `--logdir`.
    pub logdir: Option<String>,
    /// `--morguedir`.
    pub morguedir: Option<String>,
    /// `--gnupghome`.
    pub gnupghome: Option<String>,
    /// `--component`.
    pub components: Option<Vec<Component>>,
    /// `--architecture`; `source` may be among them.
    pub architectures: Option<Vec<String>>,
    /// `--type`.
    pub types: Option<Vec<PackageType>>,
    /// `--section`: in the place of every package's own.
    pub section: Option<String>,
    /// `--priority`: in the place of every package's own.
    pub priority: Option<String>,
    /// `--verbose` counted up, `--silent` counted down.
    pub verbosity: i32,
    /// `--export`.
    pub export: Option<ExportMode>,
    /// `--ignore` and `--unignore`.
    pub ignore: IgnoreSet,
    /// `--delete`, counted; `--nodelete` makes it none.
    pub delete: Option<u32>,
    /// `--keepunreferencedfiles`.
    pub keep_unreferenced_files: Option<bool>,
    /// `--keepdirectories`.
    pub keep_directories: Option<bool>,
    /// `--onlysmalldeletes`.
    pub only_small_deletes: Option<bool>,
    /// `--listsdownload`; `--nolistsdownload` says no.
    pub lists_download: Option<bool>,
    /// `--skipold`.
    pub skip_old: Option<bool>,
    /// `--keep-going`: an upstream that is refused fails only the distributions that use it.
    pub keep_going: Option<bool>,
    /// `--recompress`: `export` compresses each file as a whole.
    pub recompress: Option<bool>,
    /// `--nothingiserror`.
    pub nothing_is_error: Option<bool>,
    /// `--waitforlock`: how often to try again, ten seconds apart.
    pub wait_for_lock: Option<u32>,
    /// `--spacecheck`.
    pub space_check: Option<SpaceCheck>,
    /// `--safetymargin`: what is to stay free in each file system that files are fetched to, in bytes.
    pub safety_margin: Option<u64>,
    /// `--dbsafetymargin`: what is to stay free besides in that of the database, in bytes.
    pub db_safety_margin: Option<u64>,
    /// `--list-format`.
    pub list_format: Option<String>,
    /// `--list-max`.
    pub list_max: Option<u64>,
    /// `--list-skip`.
    pub list_skip: Option<u64>,
    /// `--restrict` and its relatives, in their order.
    pub restrict: Vec<Restrict>,
    /// `--endhook`.
    pub endhook: Option<String>,
    /// The options that have no effect, though somebody may count on it: each with what he has to know.
    pub without_effect: Vec<(String, &'static str)>,
    /// `--retain`: how long pool files and old indexes are kept after the last reference to them is gone, in seconds.
    pub retain_secs: Option<u64>,
    /// `--dump-interval`: how old the last saved dump may become before the next is written, in seconds; 0 writes none.
    pub dump_interval_secs: Option<u64>,
}

/// How old the last saved dump may become where nothing else is said: a day.
pub const DEFAULT_DUMP_INTERVAL_SECS: u64 = 24 * 60 * 60;
/// How long files are kept after their last reference is gone, where nothing else is said: three days.
pub const DEFAULT_RETAIN_SECS: u64 = 3 * 24 * 60 * 60;

const LOCK_RETRY: Duration = Duration::from_secs(10);

impl Options {
    /// Sets one option by its long name.
    ///
    /// # Errors
    /// The name is unknown, an argument is missing, or there is one too many, or it is invalid.
    pub fn set(&mut self, name: &str, argument: Option<&str>) -> Result<(), Error> {
        let wrong = |problem| Err(Error::Option { place: None, problem });
        let Some(action) = option_table::find(name) else {
            return wrong(unknown_option(name));
        };
        match (action, argument) {
            (Action::Switch(set), None) => set(self),
            (Action::Argument(set), Some(argument)) => {
                if let Err(rule) = set(self, argument) {
                    return wrong(format!("invalid {name} `{}`: {rule}", printable(argument)));
                }
            }
            (Action::WithoutEffect { takes_argument, why }, _) if *takes_argument == argument.is_some() => {
                if !why.is_empty() {
                    self.without_effect.push((name.to_owned(), why));
                }
            }
            (Action::Unsupported(instead), Some(_)) => {
                return wrong(format!("option `{name}` is not supported yet: {instead}"));
            }
            (_, None) => return wrong(format!("option `{name}` needs an argument")),
            (_, Some(argument)) => {
                return wrong(format!(
                    "option `{name}` takes no argument, but has `{}`",
                    printable(argument)
                ));
            }
        }
        Ok(())
    }

    /// Reads conf/options, which may be missing: lines of a long name and its argument.
    ///
    /// # Errors
    /// The file cannot be read, or lines of it are wrong.
    pub fn read(path: &Path) -> Result<(Self, Vec<Warning>), Faults> {
        let bytes = fsio::read_if_there(path, reader::MAX_FILE_BYTES).map_err(|source| Error::File { source })?;
        let file: Arc<Path> = path.into();
        let mut options = Self::default();
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for (index, line) in bytes.unwrap_or_default().split(|byte| *byte == b'\n').enumerate() {
            let place = Place::new(&file, index + 1);
            let Ok(line) = std::str::from_utf8(line).map(str::trim) else {
                errors.push(Error::syntax(&place, "this line is not UTF-8"));
                continue;
            };
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let (name, argument) = match line.split_once([' ', '\t']) {
                Some((name, argument)) => (name, Some(argument.trim())),
                None => (line, None),
            };
            if argument.is_some_and(|argument| argument.contains(" #")) {
                warnings.push(Warning {
                    place: Some(place.clone()),
                    text: "a comment needs a line of its own: here `#` belongs to the argument".into(),
                });
            }
            if let Err(Error::Option { problem, .. }) = options.set(name, argument) {
                let place = Some(place);
                errors.push(Error::Option { place, problem });
            }
        }
        match Faults::collect(errors) {
            Some(faults) => Err(faults),
            None => Ok((options, warnings)),
        }
    }

    /// These options, and where they say nothing, those of `lower`.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        Self {
            basedir: self.basedir.or(lower.basedir),
            confdir: self.confdir.or(lower.confdir),
            outdir: self.outdir.or(lower.outdir),
            distdir: self.distdir.or(lower.distdir),
            dbdir: self.dbdir.or(lower.dbdir),
            listdir: self.listdir.or(lower.listdir),
            logdir: self.logdir.or(lower.logdir),
            morguedir: self.morguedir.or(lower.morguedir),
            gnupghome: self.gnupghome.or(lower.gnupghome),
            components: self.components.or(lower.components),
            architectures: self.architectures.or(lower.architectures),
            types: self.types.or(lower.types),
            section: self.section.or(lower.section),
            priority: self.priority.or(lower.priority),
            verbosity: self.verbosity.saturating_add(lower.verbosity),
            export: self.export.or(lower.export),
            ignore: self.ignore.over(lower.ignore),
            delete: self.delete.or(lower.delete),
            keep_unreferenced_files: self.keep_unreferenced_files.or(lower.keep_unreferenced_files),
            keep_directories: self.keep_directories.or(lower.keep_directories),
            only_small_deletes: self.only_small_deletes.or(lower.only_small_deletes),
            lists_download: self.lists_download.or(lower.lists_download),
            skip_old: self.skip_old.or(lower.skip_old),
            keep_going: self.keep_going.or(lower.keep_going),
            recompress: self.recompress.or(lower.recompress),
            nothing_is_error: self.nothing_is_error.or(lower.nothing_is_error),
            wait_for_lock: self.wait_for_lock.or(lower.wait_for_lock),
            space_check: self.space_check.or(lower.space_check),
            safety_margin: self.safety_margin.or(lower.safety_margin),
            db_safety_margin: self.db_safety_margin.or(lower.db_safety_margin),
            list_format: self.list_format.or(lower.list_format),
            list_max: self.list_max.or(lower.list_max),
            list_skip: self.list_skip.or(lower.list_skip),
            restrict: [self.restrict, lower.restrict].concat(),
            endhook: self.endhook.or(lower.endhook),
            without_effect: [self.without_effect, lower.without_effect].concat(),
            retain_secs: self.retain_secs.or(lower.retain_secs),
            dump_interval_secs: self.dump_interval_secs.or(lower.dump_interval_secs),
        }
    }

    /// Which indexes `-C`, `-A` and `-T` leave.
    #[must_use]
    pub fn restriction(&self) -> Restriction {
        Restriction {
            components: self.components.clone().unwrap_or_default(),
            architectures: self.architectures.clone().unwrap_or_default(),
            types: self.types.clone().unwrap_or_default(),
        }
    }

    /// How often `--delete` was given.
    #[must_use]
    pub fn delete_count(&self) -> u32 {
        self.delete.unwrap_or(0)
    }

    /// How long to wait for the lock.
    #[must_use]
    pub fn lock_patience(&self) -> Duration {
        LOCK_RETRY.saturating_mul(self.wait_for_lock.unwrap_or(0))
    }

    /// What is to stay free in a file system that files are fetched to: a mebibyte where nothing is said, as with
    /// reprepro.
    #[must_use]
    pub fn safety_margin_bytes(&self) -> u64 {
        self.safety_margin.unwrap_or(1 << 20)
    }

    /// What is to stay free besides in the file system of the database: 100 mebibytes where nothing is said.
    #[must_use]
    pub fn db_safety_margin_bytes(&self) -> u64 {
        self.db_safety_margin.unwrap_or(100 << 20)
    }

    /// How long files are kept after their last reference is gone, in seconds.
    #[must_use]
    pub fn retain_secs(&self) -> u64 {
        self.retain_secs.unwrap_or(DEFAULT_RETAIN_SECS)
    }

    /// How old the last saved dump may become, in seconds; none if none is to be saved.
    #[must_use]
    pub fn dump_interval_secs(&self) -> Option<u64> {
        Some(self.dump_interval_secs.unwrap_or(DEFAULT_DUMP_INTERVAL_SECS)).filter(|seconds| *seconds > 0)
    }
}

fn unknown_option(name: &str) -> String {
    let shown = printable(name);
    if let Some((name, argument)) = shown.split_once('=')
        && option_table::find(name).is_some()
    {
        return format!("unknown option `{shown}`: write `{name} {argument}`, without the `=`");
    }
    match nearest(name, option_table::names()) {
        Some(known) => format!("unknown option `{shown}`; did you mean `{known}`?"),
        None => format!("unknown option `{shown}`"),
    }
}

/// The options of a run and the directories that they name.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The options of all sources together.
    pub options: Options,
    /// The directories.
    pub directories: Directories,
    /// What is odd about them.
    pub warnings: Vec<Warning>,
}

impl Settings {
    /// Puts conf/options below what the command line and the environment say (`given`), and finds the directories.
    ///
    /// conf/options is read once, from the directory that `given` names. `home` is the user's home directory.
    ///
    /// # Errors
    /// conf/options cannot be read or has faults, or a directory's name is wrong.
    pub fn load(given: Options, home: Option<PathBuf>) -> Result<Self, Faults> {
        let (first, _) = Directories::resolve(&given, None)?;
        let (file, mut warnings) = Options::read(&first.conf.join("options"))?;
        let options = given.over(file);
        warnings.extend(options.without_effect.iter().map(|(name, why)| Warning {
            place: None,
            text: format!("option `{name}` has no effect: {why}"),
        }));
        let (directories, more) = Directories::resolve(&options, home)?;
        warnings.extend(more);
        Ok(Self {
            options,
            directories,
            warnings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Options, Vec<Warning>), String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("options");
        fsio::write_new(&path, text.as_bytes()).unwrap();
        Options::read(&path).map_err(|faults| {
            faults
                .iter()
                .last()
                .unwrap()
                .to_string()
                .split_off(path.as_os_str().len())
        })
    }

    #[test]
    fn a_file_of_every_kind_of_line() {
        let text = "# comment\n;x\n\n outdir\t+b/www \r\nverbose\nverbose\nsilent\nnodelete\nwaitforlock 3\nignore a8bit,8bit\n";
        assert_eq!(
            read(text).unwrap_err(),
            ":10: invalid ignore `a8bit,8bit`: `a8bit` is no word of it; did you mean `8bit`?"
        );
        let (options, _) = read(&text.replace("a8bit,", "")).unwrap();
        assert_eq!(options.outdir.as_deref(), Some("+b/www"));
        assert_eq!(options.verbosity, 1);
        assert_eq!(options.delete, Some(0));
        assert_eq!(options.lock_patience(), Duration::from_secs(30));
    }

    #[test]
    fn what_reprepro_refuses_is_refused() {
        for (line, message) in [
            (
                "outdir=+b/www",
                "unknown option `outdir=+b/www`: write `outdir +b/www`, without the `=`",
            ),
            (
                "keepunreferenced",
                "unknown option `keepunreferenced`; did you mean `keepunreferencedfiles`?",
            ),
            ("b x", "unknown option `b`"),
            ("outdir", "option `outdir` needs an argument"),
            ("delete yes", "option `delete` takes no argument, but has `yes`"),
            ("methoddir", "option `methoddir` needs an argument"),
            ("force 1", "option `force` takes no argument, but has `1`"),
            (
                "export foo",
                "invalid export `foo`: must be silent-never, never, changed, lookedat or force",
            ),
        ] {
            assert_eq!(read(line).unwrap_err(), format!(":1: {message}"));
        }
    }

    #[test]
    fn the_command_line_wins() {
        let given = Options {
            delete: Some(1),
            verbosity: 2,
            ..Options::default()
        };
        let file = Options {
            delete: Some(0),
            verbosity: 1,
            ..Options::default()
        };
        let both = given.over(file);
        assert_eq!((both.delete, both.verbosity), (Some(1), 3));
    }

    #[test]
    fn a_comment_after_an_argument_warns() {
        let (options, warnings) = read("outdir +b/www # the tree").unwrap();
        assert_eq!(options.outdir.as_deref(), Some("+b/www # the tree"));
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn retention_takes_units() {
        for (argument, seconds) in [
            ("0", 0),
            ("12h", 43_200),
            ("3d", 259_200),
            ("2w", 1_209_600),
            ("5m", 300),
            ("7s", 7),
        ] {
            let mut options = Options::default();
            options.set("retain", Some(argument)).unwrap();
            assert_eq!(options.retain_secs(), seconds, "{argument}");
        }
        for argument in [
            "",
            "d",
            "-1d",
            "3 d",
            "3y",
            "99999999999999999999w",
            "9999999999999999999w",
        ] {
            assert!(Options::default().set("retain", Some(argument)).is_err(), "{argument}");
        }
    }
}
