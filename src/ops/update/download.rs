//! Bringing in the files that new packages need: from the pool if they are there, else from the upstream. What arrives
//! is hashed and read once, and waits beside the pool; what a run could not use is still there for the next one.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempPath;

use crate::fsio::{self, AtPath};
use crate::ingest::{self, Intake, SpooledFile};
use crate::mirror::{self, Arrival, Interrupt, Transfer, Wanted};
use crate::model::{ArchivePath, Codename, FileDigests, PoolFile};
use crate::store::{Database, Store};

use super::super::archive::Archive;
use super::super::lookup::refuse_other_content;
use super::super::plan;
use super::super::{Error as OpsError, Result};
use super::Error;
use super::candidate::{Candidate, MAX_FILE_BYTES, Part};
use super::needs::{Need, Needs, in_pool, refuse_difference};

/// For how long a file that arrived is kept though no run asks for it.
const KEPT_SECONDS: i64 = 7 * 86_400;

/// What came of the files.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The content of each file that is there now, in the pool or beside it.
    contents: BTreeMap<ArchivePath, FileDigests>,
    spooled: BTreeMap<ArchivePath, SpooledFile>,
    /// For each distribution that lacks a file, why; the first reason.
    pub failed: BTreeMap<Codename, Arc<OpsError>>,
    /// What came, by rule.
    pub fetched: BTreeMap<String, Fetched>,
}

/// What a rule brought.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    pub files: u64,
    pub bytes: u64,
    /// How long it took until the last of them was here.
    pub time: Duration,
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

    /// Whether this file waits to be put into the pool.
    pub fn has(&self, path: &ArchivePath) -> bool {
        self.spooled.contains_key(path)
    }

    /// Takes a file that came out, to be put into the pool; none if it is there, or somebody took it.
    pub fn take(&mut self, path: &ArchivePath) -> Option<SpooledFile> {
        self.spooled.remove(path)
    }

    /// Whether a package's files are here, or still in the pool.
    ///
    /// # Errors
    /// The pool has another file in the place of one.
    pub fn are_there(&self, archive: &Archive<'_>, store: &Store, candidate: &Candidate) -> Result<bool> {
        for part in &candidate.parts {
            if self.has(&part.path) {
                continue;
            }
            match in_pool(archive, store, part)? {
                Some(content) => refuse_difference(store, part, &content)?,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Leaves what nobody took for the next run.
    ///
    /// # Errors
    /// A file cannot be left where it is.
    pub fn keep_rest(&mut self) -> Result<()> {
        for file in std::mem::take(&mut self.spooled).into_values() {
            file.keep()?;
        }
        Ok(())
    }
}

/// Where files wait that are not in the pool yet, in its file system.
pub(super) fn waiting_room(archive: &Archive<'_>) -> PathBuf {
    archive.directories.out.join(".partial")
}

/// How many files wait for the next run, whole or in part, and how many bytes they have.
pub(super) fn kept(archive: &Archive<'_>) -> (usize, u64) {
    let entries = std::fs::read_dir(waiting_room(archive)).into_iter().flatten().flatten();
    let sizes = entries.filter_map(|entry| entry.metadata().ok().map(|metadata| metadata.len()));
    sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes.saturating_add(size)))
}

/// Removes what waits for a run that does not come.
///
/// # Errors
/// A file cannot be removed.
pub(super) fn clear_up(archive: &Archive<'_>) -> Result<()> {
    let room = waiting_room(archive);
    let before = archive.settings.now.saturating_sub(KEPT_SECONDS);
    for entry in std::fs::read_dir(&room).into_iter().flatten().flatten() {
        if entry.metadata().is_ok_and(|metadata| metadata.mtime() < before) {
            fsio::remove_if_there(&entry.path())?;
        }
    }
    // it stays if something is in it
    let _ = std::fs::remove_dir(&room);
    Ok(())
}

impl Needs {
    /// Gets the missing files, as far as no signal comes, and adds them to `files`.
    ///
    /// # Errors
    /// Files cannot be written here. That one cannot be had is told in [`Files::failed`].
    pub fn fetch(
        self,
        archive: &Archive<'_>,
        (transfer, interrupt): (&mut Transfer<'_>, &Interrupt),
        files: &mut Files,
        with_sha512: bool,
    ) -> Result<()> {
        files.contents.extend(self.there);
        if self.missing.is_empty() {
            return Ok(());
        }
        let room = waiting_room(archive);
        fsio::create_dir_all(&room)?;
        let intake = Intake::new(&room);
        let mut fetching = Fetching {
            database: archive.database()?,
            intake: if with_sha512 { intake.with_sha512() } else { intake },
            room,
            begun: Instant::now(),
            files,
            failure: None,
        };
        let mut needs: Vec<Need> = self.missing.into_values().collect();
        while !needs.is_empty() && !interrupt.is_told() {
            needs = fetching.round(transfer, needs)?;
        }
        Ok(fetching.database.keep_file_lists()?)
    }
}

/// The state while files arrive.
struct Fetching<'a> {
    database: Database,
    intake: Intake,
    room: PathBuf,
    begun: Instant,
    files: &'a mut Files,
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
                Err(refusal) => match refusal.urls(&need) {
                    Some(urls) => retried.push(Need { urls, ..need }),
                    None => self.fail(&need, refusal.error),
                },
            }
        });
        if let Some(failure) = self.failure.take() {
            self.files.keep_rest()?;
            return Err(failure);
        }
        Ok(retried)
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
                source: Arc::new(source),
            })
        };
        let (url, is_resumed) = match arrival {
            Ok(Arrival::New { known, is_resumed }) => (known.url, is_resumed),
            Ok(Arrival::NotModified) | Err(mirror::Error::Interrupted) => return Ok(()),
            Err(error) => {
                return Err(Box::new(Refusal {
                    error: upstream(error),
                    came_from: None,
                }));
            }
        };
        let refusal = |error| {
            let came_from = Some((url.clone(), is_resumed));
            Box::new(Refusal { error, came_from })
        };
        let file = self.wanted(need).to;
        let file = TempPath::try_from_path(&file).at("take over", &file);
        let file = file.map_err(|error| refusal(error.into()))?;
        let read = self.read(need, file).map_err(|error| match error {
            ingest::Error::Mismatch { differences, .. } => refusal(upstream(mirror::Error::Mismatch {
                url: url.clone(),
                differences,
            })),
            ingest::Error::Archive { source, .. } => {
                let (rule, url) = (need.rule.clone(), url.clone());
                refusal(Error::NoPackage { url, rule, source }.into())
            }
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
        let fetched = self.files.fetched.entry(need.rule.clone()).or_default();
        fetched.files = fetched.files.saturating_add(1);
        fetched.bytes = fetched.bytes.saturating_add(file.content.size_bytes);
        fetched.time = self.begun.elapsed();
        // at once: the paths of a whole distribution would fill the memory
        if let Some(paths) = paths
            && let Err(error) = self.database.put_file_list(&file.content.digests.sha256, &paths)
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
    /// Where it came from, if it came, and whether it was put together from parts.
    came_from: Option<(String, bool)>,
}

impl Refusal {
    /// Where it can be asked for again, if anywhere: what an earlier run left may be the start of another file.
    fn urls(&self, need: &Need) -> Option<Vec<String>> {
        match self.came_from.as_ref()? {
            (_, true) => Some(need.urls.clone()),
            (url, false) => after(&need.urls, url),
        }
    }
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
pub(super) fn refuse_strangers(archive: &Archive<'_>, store: &Store, files: &[plan::NewFile]) -> Result<()> {
    let mut files = files.iter().map(|new| &new.file);
    files.try_for_each(|file| refuse_other_content(archive, store, file))
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
