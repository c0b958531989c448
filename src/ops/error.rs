//! Why a command failed, what kind of failure it is, and what the user can do about it.

use std::path::{Path, PathBuf};

use crate::model::digest::Mismatch;
use crate::model::{ArchivePath, Codename, ErrorKind, Version};
use crate::{conf, fsio, ingest, pgp, publish, store};

/// A command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that the configuration names has faults.
    #[error(transparent)]
    Faults(#[from] conf::Faults),
    /// A key command failed.
    #[error(transparent)]
    Keys(#[from] super::keys::Error),
    /// A keyring package cannot be built.
    #[error(transparent)]
    KeyPackage(#[from] super::key_package::Error),
    /// Distributions cannot be brought up to date with their upstreams.
    #[error(transparent)]
    Update(#[from] super::update::Error),
    /// What the rules of a distribution select is refused.
    #[error(transparent)]
    Select(#[from] super::select::Error),
    /// The configuration is wrong, or a distribution is not in it.
    #[error(transparent)]
    Conf(#[from] conf::Error),
    /// The archive's state cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] fsio::Error),
    /// An incoming file is not what it should be.
    #[error(transparent)]
    Ingest(#[from] ingest::Error),
    /// A key or signature cannot be used.
    #[error(transparent)]
    Pgp(#[from] pgp::Error),
    /// A distribution cannot be published.
    #[error("cannot publish `{codename}`")]
    Publish {
        /// The distribution.
        codename: Codename,
        /// Why.
        #[source]
        source: publish::Error,
    },
    /// A name on the command line is no such name.
    #[error("{0}")]
    Name(#[from] crate::model::name::NameError),
    /// A version on the command line is none.
    #[error("{0}")]
    Version(#[from] crate::model::version::VersionError),
    /// A path cannot be in the archive.
    #[error("{0}")]
    Path(#[from] crate::model::path::PathError),
    /// The distribution may not be changed.
    #[error("cannot change `{codename}`: it is `ReadOnly: yes` in conf/distributions")]
    ReadOnly {
        /// The distribution.
        codename: Codename,
    },
    /// `-C` names a component that the distribution has not.
    #[error("unknown component `{component}`: `{codename}` has no such component")]
    UnknownComponent {
        /// The word given.
        component: String,
        /// The distribution or distributions.
        codename: String,
        /// The nearest that there is.
        nearest: Option<String>,
    },
    /// An architecture that the distribution has not.
    #[error("unknown architecture `{architecture}`: `{codename}` has no such architecture")]
    UnknownArchitecture {
        /// The word given.
        architecture: String,
        /// The distribution or distributions.
        codename: String,
        /// The nearest that there is.
        nearest: Option<String>,
    },
    /// A package cannot be put anywhere in the distribution.
    #[error("`{file}` fits no index of `{codename}`: {reason}")]
    NoIndex {
        /// The file.
        file: String,
        /// The distribution.
        codename: Codename,
        /// Why.
        reason: String,
    },
    /// The pool has a file of this name with other content.
    #[error("`{path}` is already registered with different checksums: {}", list(differences))]
    OtherContent {
        /// The pool path.
        path: ArchivePath,
        /// What differs: expected is what came, found what is there.
        differences: Vec<Mismatch>,
        /// Who needs the file that is there.
        references: Vec<String>,
    },
    /// A .changes or .dsc breaks rules that `--ignore` can lift.
    #[error("`{file}` is refused: {}", problems.join("; "))]
    Refused {
        /// The file.
        file: String,
        /// What is wrong.
        problems: Vec<String>,
        /// The words for `--ignore` that would let it pass.
        words: Vec<&'static str>,
        /// The kind of failure.
        kind: ErrorKind,
    },
    /// One or more of several files cannot be taken, so none was.
    #[error("{failed} of {all} files cannot be included, so none was")]
    SomeRefused {
        /// How many failed; each was reported.
        failed: usize,
        /// How many there were.
        all: usize,
        /// The kind of the first failure.
        kind: ErrorKind,
    },
    /// A copy would replace a higher version.
    #[error("copying would downgrade {}", list(packages))]
    Downgrade {
        /// What would go down.
        packages: Vec<DowngradedPackage>,
    },
    /// Tracking is not on.
    #[error("`{codename}` has no `Tracking:` in conf/distributions")]
    NoTracking {
        /// The distribution.
        codename: Codename,
    },
    /// Tracking is still on.
    #[error("cannot forget all tracking data of `{codename}`: conf/distributions still says `Tracking:`")]
    StillTracking {
        /// The distribution.
        codename: Codename,
    },
    /// What is to be forgotten still holds packages.
    #[error("{} still hold packages", list(indexes))]
    Vanished {
        /// The indexes.
        indexes: Vec<String>,
    },
    /// There is no such tracking record.
    #[error("`{codename}` tracks no `{source_name}` `{version}`")]
    NoTrack {
        /// The distribution.
        codename: Codename,
        /// The source package.
        source_name: String,
        /// Its version.
        version: Version,
    },
    /// A check found faults; each was reported.
    #[error("{count} fault{} found", if *count == 1 { "" } else { "s" })]
    FaultsFound {
        /// How many.
        count: usize,
        /// The kind of failure.
        kind: ErrorKind,
    },
    /// A database is to be rebuilt that needs it not.
    #[error("nothing is damaged in `{path}`", path = path.display())]
    NotDamaged {
        /// The database directory.
        path: PathBuf,
    },
    /// There is nothing in the database, but what was published from one.
    #[error("the database `{path}` is empty, though `{dists}` was published from one", path = path.display(), dists = dists.display())]
    DatabaseLost {
        /// The database directory.
        path: PathBuf,
        /// The published distribution.
        dists: PathBuf,
    },
    /// A database was rebuilt without all that was in it; each loss was told.
    #[error("{count} thing{} could not be had", if *count == 1 { "" } else { "s" })]
    Lost {
        /// How many.
        count: usize,
    },
    /// A stanza of an index cannot be read, so nothing can be said of its fields.
    #[error("cannot read the stanza of `{package}` in `{index}`")]
    Stanza {
        /// The index.
        index: String,
        /// The package.
        package: String,
        /// What is wrong with it.
        #[source]
        source: crate::model::stanza::StanzaError,
    },
    /// `--list-format` is wrong.
    #[error("invalid list format `{template}`: {problem}")]
    ListFormat {
        /// What was given.
        template: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A .deb, .dsc or .changes does not describe a package.
    #[error("cannot use `{path}`", path = path.display())]
    Package {
        /// The file.
        path: PathBuf,
        /// The field and the rule.
        #[source]
        source: crate::model::PackageError,
    },
    /// A value given for a package is none.
    #[error(transparent)]
    Value(#[from] crate::model::PackageError),
    /// The files of a .dsc do not fit its format.
    #[error("cannot use `{path}`", path = path.display())]
    Format {
        /// The .dsc.
        path: PathBuf,
        /// What does not fit.
        #[source]
        source: ingest::source::FormatError,
    },
    /// A file that a .changes lists is not beside it.
    #[error("`{file}` is missing, which `{changes}` lists", changes = changes.display())]
    MissingListed {
        /// The file.
        file: String,
        /// The .changes file.
        changes: PathBuf,
    },
    /// A file that a .dsc names is nowhere.
    #[error("`{file}` is missing: it did not come in, and there is no `{path}`")]
    MissingPart {
        /// The file.
        file: String,
        /// Where it would be in the pool.
        path: ArchivePath,
    },
    /// A value for `Origin` that cannot stand in a configuration.
    #[error("invalid origin `{}`: must be one line of text without `#`", origin.escape_debug())]
    InvalidOrigin {
        /// The value given.
        origin: String,
    },
    /// Something is there already that the command would overwrite.
    #[error("`{path}` is there already", path = path.display())]
    AlreadyThere {
        /// The file or directory.
        path: PathBuf,
    },
}

/// A package that a copy would take to a lower version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DowngradedPackage {
    /// The index.
    pub index: String,
    /// The package.
    pub name: String,
    /// What is there.
    pub from: Version,
    /// What would be copied.
    pub to: Version,
}

impl std::fmt::Display for DowngradedPackage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { index, name, from, to } = self;
        write!(f, "`{name}` from `{from}` to `{to}` in `{index}`")
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// A file that does not describe a package.
    #[must_use]
    pub fn package(path: &Path, source: crate::model::PackageError) -> Self {
        Self::Package {
            path: path.to_owned(),
            source,
        }
    }

    /// The kind of failure; the exit code follows from it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Conf(error) => error.kind(),
            Self::Faults(faults) => faults.kind(),
            Self::Keys(error) => error.kind(),
            Self::KeyPackage(error) => error.kind(),
            Self::Update(error) => error.kind(),
            Self::Select(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::File(error) => error.kind(),
            Self::Ingest(error) => error.kind(),
            Self::Pgp(error) => error.kind(),
            Self::Publish { source, .. } => source.kind(),
            Self::Refused { kind, .. } | Self::SomeRefused { kind, .. } | Self::FaultsFound { kind, .. } => *kind,
            Self::OtherContent { .. } => ErrorKind::Mismatch,
            Self::Package { source, .. } | Self::Value(source) => source.kind(),
            Self::Format { source, .. } => source.kind(),
            Self::MissingPart { .. } | Self::Lost { .. } => ErrorKind::FileMissing,
            Self::ListFormat { .. } | Self::InvalidOrigin { .. } => ErrorKind::Usage,
            Self::NoTrack { .. } | Self::MissingListed { .. } => ErrorKind::Unknown,
            Self::Name(_)
            | Self::Version(_)
            | Self::Path(_)
            | Self::ReadOnly { .. }
            | Self::UnknownComponent { .. }
            | Self::UnknownArchitecture { .. }
            | Self::NoIndex { .. }
            | Self::Downgrade { .. }
            | Self::NoTracking { .. }
            | Self::StillTracking { .. }
            | Self::Stanza { .. }
            | Self::Vanished { .. }
            | Self::NotDamaged { .. }
            | Self::DatabaseLost { .. }
            | Self::AlreadyThere { .. } => ErrorKind::General,
        }
    }

    /// Whether the change was made all the same, and only something after it failed.
    #[must_use]
    pub fn is_after_commit(&self) -> bool {
        matches!(
            self,
            Self::Publish { .. } | Self::Store(store::Error::AfterCommit { .. })
        )
    }

    /// What the user can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let did_you_mean = |nearest: &Option<String>| nearest.as_ref().map(|name| format!("did you mean `{name}`?"));
        match self {
            Self::Conf(error) => error.hint(),
            Self::Faults(faults) => faults.hint(),
            Self::Keys(error) => error.hint(),
            Self::KeyPackage(error) => error.hint(),
            Self::Update(error) => error.hint().or_else(|| fsio::room_hint(error)),
            Self::Select(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::File(error) => error.hint(),
            Self::Pgp(error) => error.hint(),
            Self::Publish { source, .. } => Some(match source.hint().or_else(|| fsio::room_hint(source)) {
                Some(hint) => format!("{hint}; the change is kept, and the next command publishes it"),
                None => "the change is kept, and the next command publishes it".into(),
            }),
            Self::UnknownComponent { nearest, .. } | Self::UnknownArchitecture { nearest, .. } => did_you_mean(nearest),
            Self::OtherContent { references, .. } => Some(other_content_hint(references)),
            Self::Refused { words, .. } if !words.is_empty() => {
                Some(format!("to ignore this use --ignore={}", words.join(",")))
            }
            Self::Downgrade { .. } => Some("to copy it all the same use --allow-downgrade".into()),
            Self::MissingPart { .. } => Some(
                "put it beside the .dsc; for an upload whose .changes does not list it, use --ignore=missingfile"
                    .into(),
            ),
            Self::AlreadyThere { .. } => Some("an archive is there already; `-b` names another base directory".into()),
            Self::DatabaseLost { .. } => Some(
                "`aptrepo recover` rebuilds a database that was lost; to begin anew, move the published directory away"
                    .into(),
            ),
            Self::NotDamaged { .. } => Some("`--anyway` rebuilds it all the same".into()),
            Self::Lost { .. } => Some("all else is as it was; the lines above name what is missing".into()),
            Self::MissingListed { .. } => Some("upload it too; nothing came in".into()),
            Self::Vanished { .. } => {
                Some("put them back into conf/distributions, or remove their packages with --delete".into())
            }
            Self::StillTracking { .. } => Some("take `Tracking:` out first, or use --delete".into()),
            Self::NoIndex { .. } => Some("name the component with -C, or change conf/distributions".into()),
            _ => fsio::room_hint(self),
        }
    }
}

fn other_content_hint(references: &[String]) -> String {
    let usual = "build it with a new version, as clients may have the other file";
    match references {
        [] => format!("{usual}; nothing refers to the old file, so `aptrepo deleteunreferenced` lets this one in"),
        some => format!("{usual}; the file that is there belongs to {}", some.join(", ")),
    }
}

/// An error with all that caused it, as one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// The result of a command.
pub type Result<T> = std::result::Result<T, Error>;
