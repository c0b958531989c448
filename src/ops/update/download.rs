//! Bringing in the files that new packages need: from the pool if they are there, else from the upstream. What arrives
//! is hashed and read once, and waits beside the pool; what a run could not use is still there for the next one.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tempfile::TempPath;

use crate::fsio::{self, AtPath};
use crate::ingest::{self, Intake, SpooledFile};
use crate::mirror::{self, Arrival, Interrupt, Transfer, Upstream, Wanted};
use crate::model::ArchivePath;
use crate::store::{Database, Store};

use super::super::archive::Archive;
use super::super::lookup::refuse_other_content;
use super::super::place::NewFile;
use super::super::{Error as OpsError, Result};
use super::Error;
use super::candidate::MAX_FILE_BYTES;
use super::files::Files;
use super::jobs::Jobs;
use super::needs::{Need, Needs, deb_identity};

/// For how long a file that arrived is kept though no run asks for it.
const KEPT_SECONDS: i64 = 7 * 86_400;

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
        (archive, jobs): (&Archive<'_>, &Jobs<'_>),
        (transfer, interrupt): (&mut Transfer<'_>, &Interrupt),
        files: &mut Files,
        with_sha512: bool,
    ) -> Result<()> {
        for (path, content) in self.there {
            files.note_in_pool(path, content);
        }
        if self.missing.is_empty() {
            return Ok(());
        }
        let room = waiting_room(archive);
        fsio::create_dir_all(&room)?;
        let intake = Intake::new(&room);
        let mut fetching = Fetching {
            database: archive.database()?,
            intake: if with_sha512 { intake.with_sha512() } else { intake },
            jobs,
            room,
            begun: Instant::now(),
            files,
            failure: None,
        };
        let mut needs: Vec<Wish> = self.missing.into_iter().collect();
        while !needs.is_empty() && !interrupt.is_told() {
            needs = fetching.round(transfer, needs)?;
        }
        Ok(fetching.database.keep_file_lists()?)
    }
}

/// The state while files arrive.
struct Fetching<'a> {
    jobs: &'a Jobs<'a>,
    database: Database,
    intake: Intake,
    room: PathBuf,
    begun: Instant,
    files: &'a mut Files,
    /// A fault of ours, after which nothing more is taken in.
    failure: Option<OpsError>,
}

/// A file that is asked for, with its place in the pool.
type Wish = (ArchivePath, Box<Need>);

impl Fetching<'_> {
    /// Asks once for each file, and gives those back that came wrong and can be asked for elsewhere.
    fn round(&mut self, transfer: &mut Transfer, needs: Vec<Wish>) -> Result<Vec<Wish>> {
        let sizes: Vec<Option<u64>> = needs.iter().map(|(_, need)| need.source.promise.size_bytes).collect();
        let (jobs, room) = (self.jobs, self.room.clone());
        // those that were asked for stay until they are answered
        let needs: Vec<RefCell<Option<Wish>>> = needs.into_iter().map(|wish| RefCell::new(Some(wish))).collect();
        let wanted = needs.iter().map(|wish| match &*wish.borrow() {
            Some(wish) => wanted(jobs, &room, wish),
            None => Wanted::default(),
        });
        let mut retried = Vec::new();
        transfer.fetch_in_turn(sizes.iter().copied(), wanted, |at, arrival| {
            let Some((path, need)) = needs.get(at).and_then(RefCell::take) else {
                return;
            };
            match self.take_in((&path, &need), arrival) {
                Ok(()) => {}
                Err(refusal) => match refusal.urls(&self.urls(&need)) {
                    Some(urls) => {
                        let urls = Some(urls);
                        retried.push((path, Box::new(Need { urls, ..*need })));
                    }
                    None => self.fail(&need, refusal.error),
                },
            }
        });
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(retried),
        }
    }

    fn urls(&self, need: &Need) -> Vec<String> {
        urls(self.jobs, need)
    }

    fn rule(&self, need: &Need) -> String {
        let source = self.jobs.sources.get(need.offer);
        source.map(|source| source.rule.name.clone()).unwrap_or_default()
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

    fn take_in(
        &mut self,
        (path, need): (&ArchivePath, &Need),
        arrival: mirror::Result<Arrival>,
    ) -> std::result::Result<(), Box<Refusal>> {
        let rule = self.rule(need);
        let upstream = |source| {
            OpsError::from(Error::Upstream {
                rule: rule.clone(),
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
        let key = need.key(path);
        let file = self.room.join(key.to_string());
        let file = TempPath::try_from_path(&file).at("take over", &file);
        let file = file.map_err(|error| refusal(error.into()))?;
        let read = self.read(need, file).map_err(|error| match error {
            ingest::Error::Mismatch { differences, .. } => refusal(upstream(mirror::Error::Mismatch {
                url: url.clone(),
                differences,
            })),
            ingest::Error::Archive { source, .. } => {
                let (rule, url) = (rule.clone(), url.clone());
                refusal(Error::NoPackage { url, rule, source }.into())
            }
            other => refusal(OpsError::from(other)),
        })?;
        if let Some(problem) = read.problem {
            return Err(refusal(
                Error::OtherPackage {
                    url: url.clone(),
                    rule,
                    problem,
                }
                .into(),
            ));
        }
        let content = read.file.content;
        if let Err(error) = self.keep(read) {
            self.failure.get_or_insert(error);
            return Ok(());
        }
        let fetched = self.files.fetched.entry(rule).or_default();
        fetched.files = fetched.files.saturating_add(1);
        fetched.bytes = fetched.bytes.saturating_add(content.size_bytes);
        fetched.time = self.begun.elapsed();
        self.files.note_waiting(path.clone(), content, key);
        Ok(())
    }

    /// Reads a file that came; of a .deb also how it differs from what the index says, and its paths.
    fn read(&self, need: &Need, file: TempPath) -> std::result::Result<Read, ingest::Error> {
        let Some(expected) = &need.package else {
            return Ok(Read {
                file: self.intake.adopt_file(file, Some(&need.source.promise))?,
                paths: None,
                problem: None,
            });
        };
        let deb = self.intake.adopt_deb(file, Some(&need.source.promise))?;
        let control = &deb.control;
        let found = deb_identity(&control.package, &control.version, &control.architecture);
        let problem = (found != *expected).then(|| format!("it is `{found}`, not `{expected}`"));
        Ok(Read {
            file: deb.file,
            paths: Some(deb.paths),
            problem,
        })
    }

    /// Leaves a file that came in the waiting room, and keeps its paths at once: those of a whole distribution would fill
    /// the memory.
    fn keep(&mut self, read: Read) -> Result<()> {
        if let Some(paths) = read.paths {
            self.database.put_file_list(&read.file.content.digests.sha256, &paths)?;
        }
        Ok(read.file.keep()?)
    }
}

fn upstream<'a>(jobs: &'a Jobs<'_>, need: &Need) -> Option<&'a Upstream> {
    jobs.upstreams.get(jobs.sources.get(need.offer)?.upstream)
}

/// Where a file is asked for.
fn urls(jobs: &Jobs<'_>, need: &Need) -> Vec<String> {
    let all = || upstream(jobs, need).map(|upstream| upstream.archive_urls(&need.source.from));
    need.urls.clone().or_else(all).unwrap_or_default()
}

fn wanted(jobs: &Jobs<'_>, room: &Path, (path, need): &Wish) -> Wanted {
    let settings = upstream(jobs, need).map(|upstream| upstream.settings.clone());
    Wanted {
        urls: urls(jobs, need),
        to: room.join(need.key(path).to_string()),
        size_bytes: need.source.promise.size_bytes,
        limit_bytes: MAX_FILE_BYTES,
        may_link: true,
        settings: settings.unwrap_or_default(),
        ..Wanted::default()
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
    fn urls(&self, urls: &[String]) -> Option<Vec<String>> {
        match self.came_from.as_ref()? {
            (_, true) => Some(urls.to_vec()),
            (url, false) => after(urls, url),
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
pub(super) fn refuse_strangers(archive: &Archive<'_>, store: &Store, files: &[NewFile]) -> Result<()> {
    let mut files = files.iter().map(NewFile::pool_file);
    files.try_for_each(|file| refuse_other_content(archive, store, &file))
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
