//! Bringing in the files that new packages need: from the pool if they are there, else from the upstream. What arrives
//! is hashed and read once, and waits beside the pool; what a run could not use is still there for the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempPath;

use crate::fsio::{self, AtPath};
use crate::ingest::{self, Intake, SpooledFile};
use crate::mirror::{self, Arrival, Transfer, Wanted};
use crate::model::{ArchivePath, Codename, FileDigests, PoolFile, Sha256};
use crate::store::Store;

use super::super::archive::Archive;
use super::super::session::{Session, describe, refuse_other_content};
use super::super::{Error as OpsError, Result};
use super::Error;
use super::candidate::{Candidate, Part};
use super::jobs::Jobs;

/// The longest file of a package.
const MAX_FILE_BYTES: u64 = 64 << 30;

/// A file that is not in the pool.
#[derive(Debug)]
struct Need {
    part: Part,
    urls: Vec<String>,
    rule: String,
    settings: mirror::TransferSettings,
    /// For a .deb: package, version and architecture that it must have.
    package: Option<[String; 3]>,
    codenames: BTreeSet<Codename>,
}

impl Need {
    /// Where it waits in the waiting room.
    fn place(&self, room: &Path) -> PathBuf {
        // two places can have the same content: each is a file of its own
        let key = Sha256::of(format!("{} {:?}", self.part.path, self.part.promise).as_bytes());
        room.join(key.to_string())
    }
}

/// What came of the files.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The content of each file that is there now, in the pool or beside it.
    contents: BTreeMap<ArchivePath, FileDigests>,
    spooled: BTreeMap<ArchivePath, SpooledFile>,
    /// For each distribution that lacks a file, why; the first reason.
    pub failed: BTreeMap<Codename, Arc<OpsError>>,
    /// How many files came, and their bytes, by rule.
    pub fetched: BTreeMap<String, (u64, u64)>,
}

impl Files {
    /// The files of a package as the pool has or gets them; none if one failed.
    pub fn of(&self, candidate: &Candidate) -> Option<Vec<PoolFile>> {
        let file = |part: &Part| {
            Some(PoolFile {
                path: part.path.clone(),
                content: *self.contents.get(&part.path)?,
            })
        };
        candidate.parts.iter().map(file).collect()
    }

    /// Takes a file that came out, to be put into the pool; none if it is there, or somebody took it.
    pub fn take(&mut self, path: &ArchivePath) -> Option<SpooledFile> {
        self.spooled.remove(path)
    }

    /// Leaves what nobody took for the next run.
    ///
    /// # Errors
    /// A file cannot be left where it is.
    pub fn keep_rest(self) -> Result<bool> {
        let is_empty = self.spooled.is_empty();
        for file in self.spooled.into_values() {
            file.keep()?;
        }
        Ok(is_empty)
    }
}

/// The files that the new packages of all distributions need.
#[derive(Debug, Default)]
pub(super) struct Needs {
    missing: BTreeMap<ArchivePath, Need>,
    files: Files,
}

/// Where files wait that are not in the pool yet, in its file system.
pub(super) fn waiting_room(archive: &Archive<'_>) -> PathBuf {
    archive.directories.out.join(".partial")
}

impl Needs {
    /// Notes what one package needs.
    ///
    /// # Errors
    /// The pool, or another package of this run, has another file at that place.
    pub fn add(
        &mut self,
        archive: &Archive<'_>,
        store: &Store,
        jobs: &Jobs<'_>,
        wanted: (&Codename, &Candidate),
    ) -> Result<()> {
        let (codename, candidate) = wanted;
        for part in &candidate.parts {
            if let Some(need) = self.missing.get_mut(&part.path) {
                if need.part.promise.contradicts(&part.promise) {
                    return Err(contradiction(need, jobs, candidate).into());
                }
                need.codenames.insert(codename.clone());
                continue;
            }
            let known = match self.files.contents.get(&part.path) {
                Some(content) => Some(*content),
                None => in_pool(archive, store, part)?,
            };
            match known {
                Some(content) => {
                    refuse_difference(store, part, &content)?;
                    self.files.contents.insert(part.path.clone(), content);
                }
                None => self.miss(jobs, codename, candidate, part),
            }
        }
        Ok(())
    }

    fn miss(&mut self, jobs: &Jobs<'_>, codename: &Codename, candidate: &Candidate, part: &Part) {
        let Some(source) = jobs.sources.get(candidate.offer) else {
            return;
        };
        let Some(upstream) = jobs.upstreams.get(source.upstream) else {
            return;
        };
        let package = candidate.architecture.as_ref().map(|architecture| {
            [
                candidate.name.to_string(),
                candidate.version.to_string(),
                architecture.to_string(),
            ]
        });
        let need = Need {
            urls: upstream.archive_urls(&part.from),
            rule: source.rule.name.clone(),
            settings: upstream.settings.clone(),
            part: part.clone(),
            package,
            codenames: BTreeSet::from([codename.clone()]),
        };
        self.missing.insert(part.path.clone(), need);
    }

    /// The places of the missing files among these, for a report.
    pub fn missing_of<'c>(&self, candidate: &'c Candidate) -> Vec<&'c ArchivePath> {
        let places = candidate.parts.iter().map(|part| &part.path);
        places.filter(|path| self.missing.contains_key(*path)).collect()
    }

    /// How many files are missing, and how many bytes they have.
    pub fn total(&self) -> (usize, u64) {
        let sizes = self.missing.values().filter_map(|need| need.part.promise.size_bytes);
        (self.missing.len(), sizes.fold(0, u64::saturating_add))
    }

    /// How many bytes the missing files take where blocks have `block_bytes`, less what is there of them already.
    pub fn bytes_to_store(&self, archive: &Archive<'_>, block_bytes: u64) -> u64 {
        let room = waiting_room(archive);
        let left = self.missing.values().map(|need| {
            let size = need.part.promise.size_bytes.unwrap_or(0);
            let arrived = fs::metadata(need.place(&room)).map_or(0, |found| found.len());
            let blocks = size.saturating_sub(arrived).div_ceil(block_bytes.max(1));
            blocks.saturating_mul(block_bytes)
        });
        left.fold(0, u64::saturating_add)
    }

    /// Gets the missing files.
    ///
    /// # Errors
    /// Files cannot be written here. That one cannot be had is told in [`Files::failed`].
    pub fn fetch(self, session: &Session<'_>, transfer: &mut Transfer, with_sha512: bool) -> Result<Files> {
        let Self { missing, files } = self;
        if missing.is_empty() {
            return Ok(files);
        }
        let room = waiting_room(session.archive);
        fsio::create_dir_all(&room)?;
        let intake = Intake::new(&room);
        let mut fetching = Fetching {
            session,
            intake: if with_sha512 { intake.with_sha512() } else { intake },
            room,
            files,
            failure: None,
        };
        let mut needs: Vec<Need> = missing.into_values().collect();
        while !needs.is_empty() {
            needs = fetching.round(transfer, needs)?;
        }
        Ok(fetching.files)
    }
}

fn contradiction(need: &Need, jobs: &Jobs<'_>, candidate: &Candidate) -> Error {
    let second = jobs.sources.get(candidate.offer).map(|source| source.rule.name.clone());
    Error::Contradiction {
        path: need.part.path.to_string(),
        first: need.rule.clone(),
        second: second.unwrap_or_default(),
    }
}

/// The content of a pool file that can be relied on; none if it must be fetched.
fn in_pool(archive: &Archive<'_>, store: &Store, part: &Part) -> Result<Option<FileDigests>> {
    let Some(record) = store.pool_file(&part.path)? else {
        return Ok(None);
    };
    if record.unreferenced_since.is_none() {
        return Ok(Some(record.content));
    }
    // a crash may have torn a file that nothing refers to
    match fsio::digest_file(&part.path.to_fs_path(&archive.directories.out)) {
        Ok(content) if content.digests.sha256 == record.content.digests.sha256 => Ok(Some(record.content)),
        Ok(_) => Ok(None),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn refuse_difference(store: &Store, part: &Part, content: &FileDigests) -> Result<()> {
    let differences = part.promise.broken_by(content);
    if differences.is_empty() {
        return Ok(());
    }
    Err(OpsError::OtherContent {
        path: part.path.clone(),
        differences,
        references: store.references(&part.path)?.iter().map(describe).collect(),
    })
}

/// The state while files arrive.
struct Fetching<'a> {
    session: &'a Session<'a>,
    intake: Intake,
    room: PathBuf,
    files: Files,
    /// A fault of ours, after which nothing more is taken in.
    failure: Option<OpsError>,
}

impl Fetching<'_> {
    /// Asks once for each file, and gives those back that came wrong and can be asked for elsewhere.
    fn round(&mut self, transfer: &mut Transfer, needs: Vec<Need>) -> Result<Vec<Need>> {
        let wanted: Vec<Wanted> = needs.iter().map(|need| self.wanted(need)).collect();
        let mut needs: Vec<Option<Need>> = needs.into_iter().map(Some).collect();
        let mut retried = Vec::new();
        transfer.fetch_all(wanted, |at, arrival| {
            let Some(need) = needs.get_mut(at).and_then(Option::take) else {
                return;
            };
            match self.take_in(&need, arrival) {
                Ok(()) => {}
                Err(refusal) => match refusal.url.and_then(|url| after(&need.urls, &url)) {
                    Some(urls) => retried.push(Need { urls, ..need }),
                    None => self.fail(&need, refusal.error),
                },
            }
        });
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(retried),
        }
    }

    fn wanted(&self, need: &Need) -> Wanted {
        Wanted {
            urls: need.urls.clone(),
            to: need.place(&self.room),
            size_bytes: need.part.promise.size_bytes,
            limit_bytes: MAX_FILE_BYTES,
            may_link: true,
            settings: need.settings.clone(),
            ..Wanted::default()
        }
    }

    fn fail(&mut self, need: &Need, error: OpsError) {
        let error = Arc::new(error);
        for codename in &need.codenames {
            self.files
                .failed
                .entry(codename.clone())
                .or_insert_with(|| Arc::clone(&error));
        }
    }

    fn take_in(&mut self, need: &Need, arrival: mirror::Result<Arrival>) -> std::result::Result<(), Box<Refusal>> {
        let upstream = |source| {
            OpsError::from(Error::Upstream {
                rule: need.rule.clone(),
                source,
            })
        };
        let url = match arrival {
            Ok(Arrival::New { url, .. }) => url,
            Ok(Arrival::NotModified) => return Ok(()),
            Err(error) => {
                return Err(Box::new(Refusal {
                    error: upstream(error),
                    url: None,
                }));
            }
        };
        let refusal = |error| {
            let url = Some(url.clone());
            Box::new(Refusal { error, url })
        };
        let file = self.wanted(need).to;
        let file = TempPath::try_from_path(&file).at("take over", &file);
        let file = file.map_err(|error| refusal(error.into()))?;
        let read = self.read(need, file).map_err(|error| match error {
            ingest::Error::Mismatch { differences, .. } => refusal(upstream(mirror::Error::Mismatch {
                url: url.clone(),
                differences,
            })),
            other => refusal(OpsError::from(other)),
        })?;
        if let Some(problem) = read.problem {
            let rule = need.rule.clone();
            return Err(refusal(
                Error::OtherPackage {
                    url: url.clone(),
                    rule,
                    problem,
                }
                .into(),
            ));
        }
        self.arrived(need, read.file, read.paths);
        Ok(())
    }

    /// Reads a file that came; of a .deb also how it differs from what the index says, and its paths.
    fn read(&self, need: &Need, file: TempPath) -> std::result::Result<Read, ingest::Error> {
        let Some(expected) = &need.package else {
            return Ok(Read {
                file: self.intake.adopt_file(file, Some(&need.part.promise))?,
                paths: None,
                problem: None,
            });
        };
        let deb = self.intake.adopt_deb(file, Some(&need.part.promise))?;
        let control = &deb.control;
        let found = [
            control.package.to_string(),
            control.version.to_string(),
            control.architecture.to_string(),
        ];
        let problem =
            (found != *expected).then(|| format!("it is `{}`, not `{}`", found.join(" "), expected.join(" ")));
        Ok(Read {
            file: deb.file,
            paths: Some(deb.paths),
            problem,
        })
    }

    fn arrived(&mut self, need: &Need, file: SpooledFile, paths: Option<Vec<Vec<u8>>>) {
        let path = need.part.path.clone();
        let (count, bytes) = self.files.fetched.entry(need.rule.clone()).or_default();
        *count = count.saturating_add(1);
        *bytes = bytes.saturating_add(file.content.size_bytes);
        // at once: the paths of a whole distribution would fill the memory
        if let Some(paths) = paths
            && let Err(error) = self
                .session
                .guard
                .database()
                .put_file_list(&file.content.digests.sha256, &paths)
        {
            self.failure.get_or_insert(error.into());
        }
        self.files.contents.insert(path.clone(), file.content);
        self.files.spooled.insert(path, file);
    }
}

/// What was read from a file that came.
struct Read {
    file: SpooledFile,
    /// The paths in a .deb.
    paths: Option<Vec<Vec<u8>>>,
    /// How a .deb differs from what the index says.
    problem: Option<String>,
}

/// A file that was not taken in.
struct Refusal {
    error: OpsError,
    /// Where it came from, if it came.
    url: Option<String>,
}

/// The addresses behind `url`, if there are any.
fn after(urls: &[String], url: &str) -> Option<Vec<String>> {
    let rest: Vec<String> = urls.iter().skip_while(|known| *known != url).skip(1).cloned().collect();
    (!rest.is_empty()).then_some(rest)
}

/// Refuses files for whose places the pool has other content that its database does not know.
///
/// # Errors
/// There is such a file.
pub(super) fn refuse_strangers(archive: &Archive<'_>, store: &Store, files: &[PoolFile]) -> Result<()> {
    files
        .iter()
        .try_for_each(|file| refuse_other_content(archive, store, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_file_is_asked_for_at_the_next_address_only() {
        let urls = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(after(&urls, "a"), Some(vec!["b".to_owned(), "c".to_owned()]));
        assert_eq!(after(&urls, "c"), None);
    }
}
