//! Getting an upstream's indexes: which of the forms that Release lists is taken, and that what came is what Release
//! promises, packed and unpacked. They are kept unpacked below `lists/`, so that one that did not change is not fetched.

use std::path::{Path, PathBuf};

use super::accept::Accepted;
use super::transfer::{Arrival, Transfer, Wanted};
use super::unpack::{digest, extension, unpack};
use super::upstream::Upstream;
use super::{Error, Result};
use crate::conf::update::{DownloadAs, ListForm};
use crate::fsio::{self, AtPath};
use crate::model::{DigestKind, FileDigests, Promise};

/// The longest index, packed or unpacked: ten times the longest of Debian.
const MAX_INDEX_BYTES: u64 = 2 << 30;
/// The forms that are taken where the rule says nothing, the best first.
const BEST_FIRST: [ListForm; 6] = [
    ListForm::Zstd,
    ListForm::Xz,
    ListForm::Lzma,
    ListForm::Bzip2,
    ListForm::Gzip,
    ListForm::Plain,
];
/// The order in which forms are tried where there is no Release to look at.
const BLINDLY: [ListForm; 5] = [
    ListForm::Gzip,
    ListForm::Bzip2,
    ListForm::Plain,
    ListForm::Lzma,
    ListForm::Xz,
];

/// An index that a rule asks for.
#[derive(Debug, Clone, Copy)]
pub struct WantedIndex<'a> {
    /// Where it is.
    pub upstream: &'a Upstream,
    /// That upstream's Release; none if the rule ignores it.
    pub accepted: Option<&'a Accepted>,
    /// Its path without a suffix, below the directory of the distribution: `main/binary-amd64/Packages`.
    pub path: &'a str,
    /// Its name below `lists/`, [`Upstream::list_name`] of its own; no other index may have it.
    pub list_name: &'a str,
    /// `DownloadListsAs` of the rule.
    pub forms: Option<&'a [DownloadAs]>,
}

/// Which file is fetched for an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenIndex {
    list_name: String,
    /// The addresses, with the form that each has.
    urls: Vec<(String, ListForm)>,
    /// What Release promises of the file that is fetched.
    packed: Option<Promise>,
    /// What Release promises of the unpacked index.
    plain: Option<Promise>,
    settings: super::TransferSettings,
}

/// An index that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPlace {
    /// The file, unpacked.
    pub file: PathBuf,
    /// Its size and digests.
    pub content: FileDigests,
}

impl WantedIndex<'_> {
    /// Chooses the form to fetch.
    ///
    /// # Errors
    /// Release does not list the index in any form that the rule wants and that can be read.
    pub fn choose(&self) -> Result<ChosenIndex> {
        let forms: Vec<(ListForm, bool)> = match (self.forms, self.accepted) {
            (Some(words), _) => words.iter().map(|word| (word.form, word.is_forced)).collect(),
            (None, Some(_)) => BEST_FIRST.iter().map(|form| (*form, false)).collect(),
            (None, None) => BLINDLY.iter().map(|form| (*form, false)).collect(),
        };
        let mut chosen = ChosenIndex {
            list_name: self.list_name.to_owned(),
            urls: Vec::new(),
            packed: None,
            plain: None,
            settings: self.upstream.settings.clone(),
        };
        let Some(accepted) = self.accepted else {
            for (form, _) in forms {
                chosen.add(self.upstream, self.path, form);
            }
            return Ok(chosen);
        };
        let release = &accepted.release;
        chosen.plain = release.promise(self.path).copied();
        for (form, is_forced) in forms {
            let Some(extension) = extension(form) else { continue };
            let path = format!("{}{extension}", self.path);
            let promise = release.promise(&path);
            // one that is not listed can be checked only when it is unpacked
            if promise.is_none() && !(is_forced && chosen.plain.is_some()) {
                continue;
            }
            if let Some(digest) = promise.and_then(|promise| promise.sha256).filter(|_| release.by_hash) {
                let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                let by_hash = format!("{directory}/by-hash/SHA256/{digest}");
                let urls = self.upstream.urls(by_hash.trim_start_matches('/'));
                chosen.urls.extend(urls.into_iter().map(|url| (url, form)));
            }
            chosen.packed = promise.copied();
            chosen.add(self.upstream, self.path, form);
            let promises = [chosen.packed, chosen.plain];
            if promises
                .iter()
                .flatten()
                .any(|promise| self.upstream.relies_on(promise))
            {
                return Ok(chosen);
            }
            let promise = chosen.packed.or(chosen.plain).unwrap_or_default();
            return Err(Error::weak(&format!("`{}`", accepted.url), &path, &promise));
        }
        Err(Error::NotListed {
            release: accepted.url.clone(),
            path: self.path.to_owned(),
        })
    }
}

impl ChosenIndex {
    fn add(&mut self, upstream: &Upstream, path: &str, form: ListForm) {
        if let Some(extension) = extension(form) {
            let urls = upstream.urls(&format!("{path}{extension}"));
            self.urls.extend(urls.into_iter().map(|url| (url, form)));
        }
    }

    /// What tells this state of the index from others; none if Release does not say.
    #[must_use]
    pub fn identity(&self) -> Option<String> {
        let promise = self.plain.or(self.packed)?;
        Some(format!("{promise:?}"))
    }

    fn file(&self, lists: &Path) -> PathBuf {
        lists.join(&self.list_name)
    }

    fn part(&self, lists: &Path, what: &str) -> PathBuf {
        lists.join(format!(".{}.{what}", self.list_name))
    }

    /// The copy of an earlier run, if it is what Release promises now.
    fn copy(&self, lists: &Path, download: bool) -> Option<IndexPlace> {
        let file = self.file(lists);
        if let Some(size) = self.plain.and_then(|promise| promise.size_bytes)
            && std::fs::metadata(&file).ok()?.len() != size
        {
            return None;
        }
        let content = digest(&file, telling_kinds(self.plain)).ok()?;
        let is_current = match &self.plain {
            Some(promise) => promise.broken_by(&content).is_empty(),
            None => !download,
        };
        if is_current {
            // what could not be removed when it came
            for what in ["part", "plain"] {
                let _ = fsio::remove_if_there(&self.part(lists, what));
            }
        }
        is_current.then_some(IndexPlace { file, content })
    }

    fn wanted(&self, lists: &Path) -> Wanted {
        Wanted {
            urls: self.urls.iter().map(|(url, _)| url.clone()).collect(),
            to: self.part(lists, "part"),
            size_bytes: self.packed.and_then(|promise| promise.size_bytes),
            limit_bytes: MAX_INDEX_BYTES,
            settings: self.settings.clone(),
            ..Wanted::default()
        }
    }

    fn arrived(&self, lists: &Path, arrival: Result<Arrival>) -> Arrived {
        Arrived::For(match arrival {
            Ok(Arrival::New { known, is_resumed }) => match self.take(lists, &known.url) {
                Err(_) if is_resumed => return Arrived::AsStartOfAnother,
                taken => taken,
            },
            Ok(Arrival::NotModified) => Err(Error::Client {
                problem: format!("no answer about `{}`", self.list_name),
            }),
            Err(error) => Err(error),
        })
    }

    /// Checks what came, unpacks it, checks that, and puts it in its place.
    fn take(&self, lists: &Path, url: &str) -> Result<IndexPlace> {
        let part = self.part(lists, "part");
        let taken = self.try_take(lists, url, &part);
        // whatever came is not resumed: it is complete
        fsio::remove_if_there(&part)?;
        taken
    }

    fn try_take(&self, lists: &Path, url: &str, part: &Path) -> Result<IndexPlace> {
        let mismatch = |promise: Option<Promise>, content: &FileDigests| {
            let differences = promise.map(|promise| promise.broken_by(content)).unwrap_or_default();
            if differences.is_empty() {
                return Ok(());
            }
            Err(Error::Mismatch {
                url: url.to_owned(),
                differences,
            })
        };
        if self.packed.is_some() {
            mismatch(self.packed, &digest(part, telling_kinds(self.packed))?)?;
        }
        let form = self.urls.iter().find(|(known, _)| known == url).map(|(_, form)| *form);
        let limit = self
            .plain
            .and_then(|promise| promise.size_bytes)
            .unwrap_or(MAX_INDEX_BYTES);
        let plain = self.part(lists, "plain");
        let content = unpack(
            form.unwrap_or(ListForm::Plain),
            (part, url),
            &plain,
            limit,
            telling_kinds(self.plain),
        )?;
        mismatch(self.plain, &content)?;
        let file = self.file(lists);
        std::fs::rename(&plain, &file).at("put a new list at", &file)?;
        Ok(IndexPlace { file, content })
    }
}

/// What has to be computed of an index to know whether it is what was promised.
fn telling_kinds(promise: Option<Promise>) -> &'static [DigestKind] {
    promise.map_or(&[], |promise| promise.telling_kinds())
}

/// What came of one index.
enum Arrived {
    For(Result<IndexPlace>),
    /// Nothing that can be used: it was put together from what an earlier run left and what is there now.
    AsStartOfAnother,
}

/// Gets indexes, those that changed since the last run, and gives the place of each. Without `download` the copies of an
/// earlier run must do.
///
/// # Errors
/// The inner results say why one cannot be used.
pub fn fetch_indexes(
    transfer: &mut Transfer<'_>,
    chosen: &[ChosenIndex],
    lists: &Path,
    download: bool,
) -> Vec<Result<IndexPlace>> {
    let mut places: Vec<Option<Result<IndexPlace>>> = Vec::new();
    let mut missing = Vec::new();
    for (number, index) in chosen.iter().enumerate() {
        let copy = index.copy(lists, download);
        if copy.is_none() && download {
            missing.push(number);
        }
        places.push(copy.map(Ok));
    }
    // what an earlier run left may be the start of another state: then it is fetched once more as a whole
    while !missing.is_empty() {
        let mut again = Vec::new();
        let indexes = missing.iter().filter_map(|number| chosen.get(*number));
        let wanted = indexes.map(|index| index.wanted(lists)).collect();
        transfer.fetch_all(wanted, |at, arrival| {
            let Some(number) = missing.get(at).copied() else { return };
            let (Some(index), Some(place)) = (chosen.get(number), places.get_mut(number)) else {
                return;
            };
            match index.arrived(lists, arrival) {
                Arrived::AsStartOfAnother => again.push(number),
                Arrived::For(outcome) => *place = Some(outcome),
            }
        });
        missing = again;
    }
    let absent = |index: &ChosenIndex| Error::NoCopy {
        file: index.file(lists).display().to_string(),
    };
    let with_index = places.into_iter().zip(chosen);
    with_index
        .map(|(place, index)| place.unwrap_or_else(|| Err(absent(index))))
        .collect()
}
