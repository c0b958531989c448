//! One update rule, as conf/updates describes it: how a distribution takes packages from an upstream archive.

use std::path::{Path, PathBuf};

use super::extras::Extras;
use super::fault::{Place, Warning};
use super::filter::Filters;
use super::key::KeyId;
use super::rename::{Architectures, Rename};
use super::verify::{Signer, VerifyRelease};
use crate::model::{Codename, Component, DigestKind};

/// `Suite`: the distribution at the upstream, as a path below its `dists/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamSuite {
    /// That of the same name as the codename here: no `Suite`, or `*`.
    Codename,
    /// `*/…`: the codename here and this after it, without the slash.
    BelowCodename(String),
    /// This one.
    Named(String),
}

impl UpstreamSuite {
    /// The upstream suite for the distribution `codename`.
    #[must_use]
    pub fn of(&self, codename: &Codename) -> String {
        match self {
            Self::Codename => codename.to_string(),
            Self::BelowCodename(rest) => format!("{codename}/{rest}"),
            Self::Named(suite) => suite.clone(),
        }
    }
}

/// A form in which an upstream's index can be downloaded (`DownloadListsAs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListForm {
    /// `.`
    Plain,
    /// `.gz`
    Gzip,
    /// `.bz2`
    Bzip2,
    /// `.lzma`
    Lzma,
    /// `.xz`
    Xz,
    /// `.lz`
    Lzip,
    /// `.zst`
    Zstd,
    /// `.diff`: changes since the last download.
    Diff,
}

/// One word of `DownloadListsAs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadAs {
    /// The form.
    pub form: ListForm,
    /// `force.gz`: it is tried even if Release does not list it.
    pub is_forced: bool,
}

/// A word of `Tolerate`: what an old or careless upstream is allowed though it makes it less safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toleration {
    /// `md5`: files that are promised by MD5 alone.
    Md5,
    /// `sha1`: files that are promised by SHA-1 alone.
    Sha1,
    /// `expired`: a Release whose `Valid-Until` has passed.
    Expired,
    /// `othername`: a Release that calls itself otherwise than it was asked for.
    OtherName,
}

/// A program that changes each index after its download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListHook {
    /// `ListHook`: a program that is given the names of the index and of the file to write.
    Program(PathBuf),
    /// `ListShellHook`: a shell command that reads the index and writes the new one.
    Shell(String),
}

/// One rule, with all that it takes over from the rule that its `From` names.
#[derive(Debug, Clone)]
pub struct UpdateRule {
    /// The first line of its stanza.
    pub place: Place,
    /// `Name`.
    pub name: String,
    /// `From`: the rule that says what is not said here.
    pub from: Option<String>,
    /// `Method`: the address of the upstream archive, without a slash at the end.
    pub method: String,
    /// `Fallback`: another address by the same method, for files that the first has not.
    pub fallback: Option<String>,
    /// `Config`: settings for the method, such as `Acquire::http::Proxy=…`.
    pub config: Vec<String>,
    /// `Suite`.
    pub suite: UpstreamSuite,
    /// `Components`; `None`: those of the distribution.
    pub components: Option<Vec<Rename<Component>>>,
    /// `UDebComponents`; `None`: those of the distribution.
    pub udeb_components: Option<Vec<Rename<Component>>>,
    /// `Architectures`; `None`: those of the distribution.
    pub architectures: Option<Architectures>,
    /// `VerifyRelease`; `None`: Release is not verified.
    pub verify_release: Option<VerifyRelease>,
    /// `GetInRelease`: whether InRelease is tried before Release.
    pub get_in_release: bool,
    /// `IgnoreRelease`: whether neither is read, and nothing verified.
    pub ignore_release: bool,
    /// `IgnoreHashes`: digests in Release that are not to be believed.
    pub ignore_hashes: Vec<DigestKind>,
    /// `Tolerate`: what it is allowed though it makes it less safe.
    pub tolerated: Vec<Toleration>,
    /// `Flat`: the upstream has no components; all goes into this one.
    pub flat: Option<Component>,
    /// `DownloadListsAs`, the best form first; `None`: as the upstream offers them.
    pub download_lists_as: Option<Vec<DownloadAs>>,
    /// Which packages are taken.
    pub filters: Filters,
    /// `OmitExtraSourceOnly`: whether sources that are only there for the licence are left out.
    pub omit_extra_source_only: bool,
    /// `ListHook` or `ListShellHook`.
    pub list_hook: Option<ListHook>,
    /// What is taken beside packages; nothing with `Flat`.
    pub extras: Extras,
}

impl UpdateRule {
    /// What is odd about the keys that it trusts.
    #[must_use]
    pub fn key_warnings(&self) -> Vec<Warning> {
        let ids = self.signers().filter_map(|signer| match signer {
            Signer::Key(id) => Some(id),
            Signer::File(_) => None,
        });
        let warning = |id: &KeyId| Warning {
            place: Some(self.place.clone()),
            text: id.forgeable_warning(),
        };
        ids.filter(|id| id.is_forgeable()).map(warning).collect()
    }

    /// The keyring files that it trusts.
    pub(super) fn keyring_files(&self) -> impl Iterator<Item = &Path> {
        self.signers().filter_map(|signer| match signer {
            Signer::Key(_) => None,
            Signer::File(path) => Some(path.as_path()),
        })
    }

    fn signers(&self) -> impl Iterator<Item = &Signer> {
        let keys = match &self.verify_release {
            Some(VerifyRelease::AnyOf(keys)) => keys.as_slice(),
            _ => &[],
        };
        keys.iter().map(|condition| &condition.signer)
    }
}
