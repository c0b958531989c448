//! conf/distributions: one distribution. API skeleton; parsing follows.
#![allow(missing_docs)]
use std::path::PathBuf;

use crate::model::{Architecture, Codename, Component, DigestKind, IndexId, IndexKind, PackageType, Suite};

/// A compressed form of an index file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    Plain,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// `DebIndices`, `UDebIndices`, `DscIndices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFiles {
    pub file_name: String,
    pub release_name: Option<String>,
    pub compressions: Vec<Compression>,
}

/// `Contents` and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    pub compressions: Vec<Compression>,
    pub debs: bool,
    pub udebs: bool,
    pub per_component: bool,
    pub all_components: bool,
    pub compat_symlink: bool,
    pub architectures: Vec<Architecture>,
    pub components: Vec<Component>,
    pub udeb_components: Vec<Component>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignWith {
    Default,
    Keys(Vec<String>),
    Script(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackingMode {
    Keep,
    All,
    Minimal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracking {
    pub mode: TrackingMode,
    pub include_changes: bool,
    pub include_byhand: bool,
    pub include_logs: bool,
    pub include_buildinfos: bool,
    pub keep_sources: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifier {
    pub package_type: Option<PackageType>,
    pub component: Option<Component>,
    pub architecture: Option<String>,
    pub via: Option<String>,
    pub for_changes: bool,
    pub script: PathBuf,
    pub arguments: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub file: Option<PathBuf>,
    pub notifiers: Vec<Notifier>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateStep {
    Delete,
    Rule(String),
}

/// One stanza of conf/distributions.
#[derive(Debug, Clone)]
pub struct Distribution {
    pub codename: Codename,
    pub suite: Option<Suite>,
    pub origin: Option<String>,
    pub label: Option<String>,
    pub version: Option<String>,
    pub description: Option<String>,
    pub not_automatic: Option<String>,
    pub but_automatic_upgrades: Option<String>,
    pub signed_by: Option<String>,
    pub valid_for_days: Option<u32>,
    pub architectures: Vec<Architecture>,
    /// Whether `source` is among Architectures.
    pub has_sources: bool,
    pub components: Vec<Component>,
    pub udeb_components: Vec<Component>,
    pub also_accept_for: Vec<String>,
    pub update: Vec<UpdateStep>,
    pub pull: Vec<UpdateStep>,
    pub sign_with: Option<SignWith>,
    pub deb_indices: IndexFiles,
    pub udeb_indices: IndexFiles,
    pub dsc_indices: IndexFiles,
    pub export: bool,
    pub keep_unknown: bool,
    pub contents: Option<Contents>,
    pub uploaders: Option<PathBuf>,
    pub tracking: Option<Tracking>,
    pub log: Option<Log>,
    pub deb_override: Option<PathBuf>,
    pub udeb_override: Option<PathBuf>,
    pub dsc_override: Option<PathBuf>,
    pub fake_component_prefix: Option<String>,
    pub read_only: bool,
    /// Versions kept of one package in one index; None: no limit.
    pub limit: Option<usize>,
    pub archive: Option<Codename>,
    /// Digest kinds in Release and in the stanzas that aptrepo writes (field `Checksums`).
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
