//! One distribution of the archive, as conf/distributions describes it: checked values, every file name resolved.

use std::fmt;
use std::path::PathBuf;

use super::fault::Place;
use crate::model::{Architecture, Codename, Component, DigestKind, IndexId, IndexKind, PackageType, Suite};

/// A form in which an index file is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// As it is: `.`.
    Plain,
    /// `.gz`.
    Gzip,
    /// `.bz2`.
    Bzip2,
    /// `.xz`.
    Xz,
    /// `.zst`.
    Zstd,
}

impl Compression {
    /// All forms, in the order in which Release lists them.
    pub const ALL: [Self; 5] = [Self::Plain, Self::Gzip, Self::Bzip2, Self::Xz, Self::Zstd];

    /// The word for it in the configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => ".",
            Self::Gzip => ".gz",
            Self::Bzip2 => ".bz2",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }

    /// What it adds to a file's name; nothing for the plain form.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Plain => "",
            other => other.word(),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Which files an index is published as: `DebIndices`, `UDebIndices`, `DscIndices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFiles {
    /// The name of the uncompressed file, `Packages` or `Sources`.
    pub file_name: String,
    /// The name of the small Release file beside it, if there is to be one.
    pub release_name: Option<String>,
    /// Its forms, each once, at least one.
    pub compressions: Vec<Compression>,
    /// From how many earlier states clients get by patches; 0: there are none.
    pub patches: usize,
}

/// Which Contents files are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Their forms, each once, at least one.
    pub compressions: Vec<Compression>,
    /// Whether they list the files of debs.
    pub debs: bool,
    /// Whether there are such files for udebs.
    pub udebs: bool,
    /// Whether each component has its own, `COMPONENT/Contents-ARCHITECTURE`.
    pub per_component: bool,
    /// Whether there is one for all components, `Contents-ARCHITECTURE`.
    pub all_components: bool,
    /// Whether `Contents-ARCHITECTURE` is a symbolic link to the file of the first component.
    pub compat_symlink: bool,
    /// The architectures that have them.
    pub architectures: Vec<Architecture>,
    /// The components whose debs are listed.
    pub components: Vec<Component>,
    /// The components whose udebs are listed.
    pub udeb_components: Vec<Component>,
    /// From how many earlier states clients get by patches; 0: there are none.
    pub patches: usize,
}

/// Who signs Release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignWith {
    /// The archive's default key.
    Default,
    /// Each of these keys: fingerprints, key IDs or user IDs, at least one.
    Keys(Vec<String>),
    /// A program that is given Release, and the names of InRelease and Release.gpg to write.
    Script(PathBuf),
}

/// Which files of a source version stay when newer ones have replaced them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackingMode {
    /// All, until they are removed by command.
    Keep,
    /// All, until nothing of that source version is in the distribution.
    All,
    /// Those that are still in an index.
    Minimal,
}

/// `Tracking`: what is remembered of each source version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracking {
    /// Which files stay.
    pub mode: TrackingMode,
    /// Whether the .changes file goes into the pool.
    pub include_changes: bool,
    /// Whether files of section `byhand` or `raw-…` go into the pool.
    pub include_byhand: bool,
    /// Whether build logs go into the pool.
    pub include_logs: bool,
    /// Whether .buildinfo files go into the pool.
    pub include_buildinfos: bool,
    /// With [`TrackingMode::Minimal`]: whether sources stay as long as any of their binaries.
    pub keep_sources: bool,
}

/// A program that is told of packages that come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifier {
    /// Only of this type.
    pub package_type: Option<PackageType>,
    /// Only in this component.
    pub component: Option<Component>,
    /// Only for this architecture, `source` for sources.
    pub architecture: Option<String>,
    /// Only if this command did it.
    pub via: Option<String>,
    /// Whether it is told of .changes files that were accepted, not of packages.
    pub for_changes: bool,
    /// The program.
    pub script: PathBuf,
    /// Arguments before those of the event.
    pub arguments: Vec<String>,
}

/// `Log`: where changes of the distribution are written down, and who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The log file.
    pub file: Option<PathBuf>,
    /// Who is told, in this order.
    pub notifiers: Vec<Notifier>,
}

/// One word of `Update` or `Pull`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateStep {
    /// `-`: whatever no later rule takes is removed.
    Delete,
    /// The rule of this name.
    Rule(String),
}

/// One stanza of conf/distributions.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// The first line of the stanza.
    pub place: Place,
    /// `Codename`.
    pub codename: Codename,
    /// `Suite`.
    pub suite: Option<Suite>,
    /// `Origin`, for Release.
    pub origin: Option<String>,
    /// `Label`, for Release.
    pub label: Option<String>,
    /// `Version`, for Release.
    pub version: Option<String>,
    /// `Description`, for Release.
    pub description: Option<String>,
    /// `NotAutomatic`, for Release.
    pub not_automatic: Option<String>,
    /// `ButAutomaticUpgrades`, for Release.
    pub but_automatic_upgrades: Option<String>,
    /// `Signed-By`, for Release.
    pub signed_by: Option<String>,
    /// `ValidFor`, in days: how long after its date Release is valid.
    pub valid_for_days: Option<u32>,
    /// `Architectures` but `source`, in this order, each once.
    pub architectures: Vec<Architecture>,
    /// Whether `source` is among `Architectures`.
    pub has_sources: bool,
    /// `Components`, in this order, each once.
    pub components: Vec<Component>,
    /// `UDebComponents`: those of `components` that have udebs.
    pub udeb_components: Vec<Component>,
    /// `AlsoAcceptFor`: other names that uploads for it may bear.
    pub also_accept_for: Vec<String>,
    /// `Update`; each rule is one of [`super::Conf::update_rules`].
    pub update: Vec<UpdateStep>,
    /// `Pull`; each rule is one of [`super::Conf::pull_rules`].
    pub pull: Vec<UpdateStep>,
    /// `SignWith`; without it Release is not signed.
    pub sign_with: Option<SignWith>,
    /// `DebIndices`.
    pub deb_indices: IndexFiles,
    /// `UDebIndices`.
    pub udeb_indices: IndexFiles,
    /// `DscIndices`.
    pub dsc_indices: IndexFiles,
    /// Whether it is published; `ExportOptions: noexport` says no.
    pub export: bool,
    /// `ExportOptions: keepunknown`.
    pub keep_unknown: bool,
    /// `Contents` and its limits; without it there are none.
    pub contents: Option<Contents>,
    /// `Uploaders`: the file that says who may upload what.
    pub uploaders: Option<PathBuf>,
    /// `Tracking`.
    pub tracking: Option<Tracking>,
    /// `Log`.
    pub log: Option<Log>,
    /// `DebOverride`.
    pub deb_override: Option<PathBuf>,
    /// `UDebOverride`.
    pub udeb_override: Option<PathBuf>,
    /// `DscOverride`.
    pub dsc_override: Option<PathBuf>,
    /// `ReadOnly`: no command changes it or publishes it.
    pub read_only: bool,
    /// `Limit`: versions kept of one package in one index, 1 where nothing is said; `None`: all.
    pub limit: Option<usize>,
    /// `Archive`: where versions go that `limit` pushes out.
    pub archive: Option<Codename>,
    /// `Checksums`: the digests in Release and in the stanzas that are written here, in the order of Release; SHA-256
    /// is always among them.
    pub digests: Vec<DigestKind>,
}

impl Distribution {
    /// All its indexes in the order of `list`: per component, per architecture deb then udeb; sources last.
    #[must_use]
    pub fn indexes(&self) -> Vec<IndexId> {
        let mut indexes = Vec::new();
        for component in &self.components {
            let id = |kind| IndexId {
                codename: self.codename.clone(),
                component: component.clone(),
                kind,
            };
            for architecture in &self.architectures {
                indexes.push(id(IndexKind::Deb(architecture.clone())));
                if self.udeb_components.contains(component) {
                    indexes.push(id(IndexKind::Udeb(architecture.clone())));
                }
            }
            if self.has_sources {
                indexes.push(id(IndexKind::Source));
            }
        }
        indexes
    }
}
