//! One archive as a command sees it: configuration, directories, settings, and the way to its state.

use std::path::PathBuf;

use crate::conf::distribution::Distribution;
use crate::conf::{Conf, Directories, Ignore, Options};
use crate::model::{Component, Restriction};
use crate::store::{Database, Snapshot};

use super::{Error, Result};

/// What a command is told beside its own arguments.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the command line, the environment and conf/options say.
    pub options: Options,
    /// `-C`, `-A`, `-T` of the same.
    pub restriction: Restriction,
    /// `--dry-run`: plan, and change nothing.
    pub dry_run: bool,
    /// `--allow-downgrade`: a copy may replace a higher version by a lower one.
    pub allow_downgrade: bool,
    /// Where the passphrase of the signing key is read from.
    pub passphrase_file: Option<PathBuf>,
    /// When the command began, in Unix seconds: for what needs no lock.
    pub now: i64,
    /// The clock, in Unix seconds. A command that waited for the lock looks at it again, so that what it does is not
    /// older than what others did meanwhile.
    pub clock: fn() -> i64,
    /// Ends the program at once: for those who cannot wait until a command that was told to stop has done so.
    pub end_at_once: fn(),
    /// Who runs the command, for the journal.
    pub user: String,
    /// The command's name, for scripts.
    pub command: String,
    /// The whole command line, for the journal and the lock.
    pub command_line: String,
}

impl Settings {
    /// How long a pool file is kept after the last reference to it went, in seconds.
    #[must_use]
    pub fn retain_seconds(&self) -> i64 {
        i64::try_from(self.options.retain_secs()).unwrap_or(i64::MAX)
    }
}

/// Where a command tells what it does while it does it.
pub trait Reporter: Sync {
    /// A line of the answer, such as what became of one of several files.
    fn result(&self, line: &str);
    /// Something that the user has to know though nothing is wrong, such as that there was nothing to do.
    fn note(&self, line: &str);
    /// News for somebody who watches.
    fn status(&self, line: &str);
    /// How far something is that takes long, in a line that stands in the place of the one before; none when it is over.
    fn progress(&self, line: Option<&str>);
    /// Something that should be looked at, though the command goes on.
    fn warning(&self, line: &str);
}

/// One archive with what the user set for this command.
pub struct Archive<'a> {
    /// The configuration.
    pub conf: Conf,
    /// Where everything is.
    pub directories: Directories,
    /// What the user set.
    pub settings: Settings,
    /// Who is told.
    pub reporter: &'a dyn Reporter,
}

impl std::fmt::Debug for Archive<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive")
            .field("directories", &self.directories)
            .field("settings", &self.settings)
            .finish()
    }
}

impl Archive<'_> {
    /// The distribution of this codename, or of this suite if just one has it.
    ///
    /// # Errors
    /// There is none; the error names the nearest.
    pub fn distribution(&self, name: &str) -> Result<&Distribution> {
        Ok(self.conf.find(name)?)
    }

    /// The named distributions, or all if none is named.
    ///
    /// # Errors
    /// One of the names is of no distribution.
    pub fn distributions(&self, names: &[String]) -> Result<Vec<&Distribution>> {
        if names.is_empty() {
            return Ok(self.conf.distributions.iter().collect());
        }
        names.iter().map(|name| self.distribution(name)).collect()
    }

    /// The distribution of this name, if it may be changed.
    ///
    /// # Errors
    /// There is none, or it is `ReadOnly`.
    pub fn writable_distribution(&self, name: &str) -> Result<&Distribution> {
        let distribution = self.distribution(name)?;
        if distribution.read_only {
            return Err(Error::ReadOnly {
                codename: distribution.codename.clone(),
            });
        }
        Ok(distribution)
    }

    /// Refuses `-C` and `-A` words that no distribution at all has: a loop over distributions may name what only some of
    /// them have.
    ///
    /// # Errors
    /// As [`Self::check_restriction`].
    pub fn check_restriction_anywhere(&self) -> Result<()> {
        let all: Vec<&Distribution> = self.conf.distributions.iter().collect();
        self.check_restriction(&all)
    }

    /// Refuses `-C` and `-A` words that no distribution in question has.
    ///
    /// # Errors
    /// [`Error::UnknownComponent`] or [`Error::UnknownArchitecture`] with the nearest one that there is.
    pub fn check_restriction(&self, distributions: &[&Distribution]) -> Result<()> {
        let Restriction {
            components,
            architectures,
            ..
        } = &self.settings.restriction;
        let codenames = || {
            let names: Vec<_> = distributions
                .iter()
                .map(|distribution| distribution.codename.as_str())
                .collect();
            names.join("`, `")
        };
        for component in components {
            if !distributions
                .iter()
                .any(|distribution| distribution.components.contains(component))
            {
                let all = distributions.iter().flat_map(|distribution| &distribution.components);
                return Err(Error::UnknownComponent {
                    component: component.to_string(),
                    codename: codenames(),
                    nearest: crate::conf::nearest(component.as_str(), all.map(Component::as_str)).map(Into::into),
                });
            }
        }
        for architecture in architectures {
            let words = |distribution: &&Distribution| {
                let source = distribution.has_sources.then(|| "source".to_owned());
                distribution
                    .architectures
                    .iter()
                    .map(ToString::to_string)
                    .chain(source)
                    .collect::<Vec<_>>()
            };
            let all: Vec<String> = distributions.iter().flat_map(words).collect();
            if !all.contains(architecture) {
                return Err(Error::UnknownArchitecture {
                    architecture: architecture.clone(),
                    codename: codenames(),
                    nearest: crate::conf::nearest(architecture, all.iter().map(String::as_str)).map(Into::into),
                });
            }
        }
        Ok(())
    }

    /// Whether `--ignore` has this word.
    #[must_use]
    pub fn ignores(&self, condition: Ignore) -> bool {
        self.settings.options.ignore.contains(condition)
    }

    /// The database, opened or made.
    ///
    /// # Errors
    /// It cannot be, or is of another format.
    pub fn database(&self) -> Result<Database> {
        Ok(Database::at(&self.directories.db)?)
    }

    /// The state at this moment; never waits for a writer.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Ok(self.database()?.snapshot()?)
    }
}
