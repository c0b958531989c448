//! Carrying a plan out, in the order that a crash at any point leaves the archive whole: files into the pool, the
//! commit, then publishing, then log, notifiers and garbage.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::conf::distribution::Distribution;
use crate::conf::{Directories, ExportMode};
use crate::fsio;
use crate::ingest::Intake;
use crate::model::{ArchivePath, Codename, DigestKind, SourceName};
use crate::publish;
use crate::store::{self, Provenance, Snapshot, Store, WriteGuard};

use super::archive::Archive;
use super::notify::{AcceptedChanges, Brought, Cause, Event, LogWriter, Origin, Patience};
use super::place::{self, NewFile};
use super::plan::{Change, Plan, PlanRow, TrackEdit};
use super::tracking::{self, SourceState};
use super::{Error, Result, export, garbage, lost};

/// The right to change the archive, for one command.
#[derive(Debug)]
pub struct Session<'a> {
    /// The archive.
    pub archive: &'a Archive<'a>,
    /// The right to write the database.
    pub guard: WriteGuard,
    /// When the lock was taken, in Unix seconds: the time of all that the command does.
    pub now: i64,
    /// The archive's state before the command.
    pub before: Snapshot,
    store: OnceCell<Store>,
}

/// What a command did, or with `--dry-run` would do.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The changes.
    pub rows: Vec<PlanRow>,
}

/// The pool files that are due to be removed.
type Garbage = Result<Vec<ArchivePath>>;

/// Beside the plan: what is told to scripts.
#[derive(Debug, Default)]
pub struct Told {
    /// The distributions that the command looked into: they are published even if nothing was ever in them.
    pub looked_at: Vec<Codename>,
    /// What caused the changes.
    pub cause: Cause,
    /// For each change the file that brought it, where a command was given files.
    pub files: Vec<PathBuf>,
    /// For each change the rule that brought it, where a command follows rules.
    pub origins: Vec<Option<Arc<Origin>>>,
    /// Accepted .changes files.
    pub accepted: Vec<AcceptedChanges>,
}

impl<'a> Session<'a> {
    /// Takes the archive's lock, and clears up after a holder that died with it.
    ///
    /// # Errors
    /// Another command holds it for longer than the user wants to wait; the error names that command.
    pub fn begin(archive: &'a Archive<'a>) -> Result<Self> {
        Self::begin_within(archive, archive.settings.options.lock_patience())
    }

    /// The same for a command that has its own idea of how long to wait.
    ///
    /// # Errors
    /// As [`Session::begin`].
    pub fn begin_within(archive: &'a Archive<'a>, patience: Duration) -> Result<Self> {
        let settings = &archive.settings;
        let guard = archive.database()?.lock(&settings.command_line, patience)?;
        let before = guard.database().snapshot().inspect_err(|_| {
            if guard.was_left() {
                guard.leave();
            }
        })?;
        let session = Self {
            archive,
            now: (settings.clock)(),
            before,
            guard,
            store: OnceCell::new(),
        };
        if session.guard.was_left()
            && let Err(error) = session.clear_up()
        {
            session.guard.leave();
            archive.reporter.warning(&super::with_causes(&error));
        }
        Ok(session)
    }

    /// Removes the temporary files that a dead command left.
    fn clear_up(&self) -> Result<()> {
        self.guard.clear_up()?;
        let directories = &self.archive.directories;
        fsio::remove_temporary_files(&directories.conf)?;
        publish::remove_leftovers(&directories.dist)?;
        Ok(fsio::remove_tree(&spool_directory(directories))?)
    }

    /// The state, opened when it is first asked for. What had to be repaired is told.
    ///
    /// # Errors
    /// The database cannot be opened, even after a repair.
    pub fn open(&self) -> Result<&Store> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = self.guard.open()?;
        self.guard
            .take_repairs()
            .iter()
            .for_each(|repair| self.archive.reporter.warning(repair));
        Ok(self.store.get_or_init(|| store))
    }

    /// The place where incoming files wait, in the file system of the pool, for as long as the session lasts.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn intake(&self, distribution: &Distribution) -> Result<Intake> {
        let spool = spool_directory(&self.archive.directories);
        // nobody has checked yet what lies in it, and it is below what a web server shows
        fsio::create_private_dir(&spool)?;
        let intake = Intake::new(&spool);
        let wants_sha512 = distribution.digests.contains(&DigestKind::Sha512);
        Ok(if wants_sha512 { intake.with_sha512() } else { intake })
    }

    /// Carries a plan out, publishes, logs, and clears up; with `--dry-run` does none of it.
    ///
    /// # Errors
    /// Before the commit: nothing has happened. After it, publishing may have failed: the change is kept, and the next
    /// command publishes it.
    pub fn carry_out(&self, plan: Plan, told: &Told) -> Result<Outcome> {
        let (outcome, garbage) = self.change(plan, told)?;
        if let Some(garbage) = garbage {
            garbage::collect(self, &garbage?);
        }
        Ok(outcome)
    }

    /// The same for one of several plans, without clearing up: a later one may need again what nothing refers to after
    /// this one. [`Self::finish`] does it for all.
    ///
    /// # Errors
    /// As [`Self::carry_out`].
    pub fn carry_out_part(&self, plan: Plan, told: &Told) -> Result<Outcome> {
        Ok(self.change(plan, told)?.0)
    }

    /// Carries a plan out, publishes and logs; gives the garbage, too, if anything was done.
    fn change(&self, mut plan: Plan, told: &Told) -> Result<(Outcome, Option<Garbage>)> {
        let store = self.open()?;
        let snapshot = store.snapshot()?;
        let followed = self.tracking_edits(store, &snapshot, &plan)?;
        plan.track_edits.extend(followed);
        if self.archive.settings.dry_run {
            return Ok((Outcome { rows: plan.rows() }, None));
        }
        lost::refuse(self.archive, &snapshot)?;
        self.bring_files_in(store, std::mem::take(&mut plan.new_files))?;
        let unfinished = match self.commit(store, &plan) {
            Err(error @ Error::Store(store::Error::AfterCommit { .. })) => Some(error),
            committed => committed.map(|()| None)?,
        };
        // the change has happened: nothing from here on may keep it from being published and told
        let garbage = garbage::due(self, store);
        let published = self.publish_and_tell(&plan.changes, told);
        if let Some(error) = unfinished {
            if let Err(error) = published {
                self.archive.reporter.warning(&super::with_causes(&error));
            }
            return Err(error);
        }
        published?;
        Ok((Outcome { rows: plan.rows() }, Some(garbage)))
    }

    /// Publishes what is owed and removes garbage: the end of a command that changed no index.
    ///
    /// # Errors
    /// Publishing failed.
    pub fn finish(&self) -> Result<()> {
        self.publish_and_tell(&[], &Told::default())?;
        garbage::collect_all(self);
        Ok(())
    }

    /// Publishes what is owed, and tells scripts of the changes.
    ///
    /// # Errors
    /// Publishing failed; log lines and notifiers were written and called all the same.
    pub fn publish_and_tell(&self, changes: &[Change], told: &Told) -> Result<()> {
        let published = match self.archive.settings.options.export.unwrap_or_default() {
            ExportMode::Never | ExportMode::SilentNever => Ok(()),
            _ => export::publish_owed(self, &told.looked_at),
        };
        // the change has happened, whatever became of publishing it
        self.tell(changes, told);
        published
    }

    fn tracking_edits(&self, store: &Store, snapshot: &Snapshot, plan: &Plan) -> Result<Vec<TrackEdit>> {
        let mut edits = Vec::new();
        for distribution in self.changed_distributions(plan).iter().filter(|d| d.tracking.is_some()) {
            let ours = plan
                .changes
                .iter()
                .filter(|change| change.index().codename == distribution.codename);
            let mut sources: BTreeSet<SourceName> = BTreeSet::new();
            for change in ours {
                sources.extend(change.old_entries().iter().map(|entry| entry.source.clone()));
                sources.extend(change.new_package().map(|new| new.entry.source.clone()));
            }
            sources.extend(plan.extra_tracked.iter().map(|extra| extra.source.clone()));
            let mut state = BTreeMap::new();
            for source in sources {
                let mut packages = store.by_source(&source)?;
                packages.retain(|(index, _)| index.codename == distribution.codename);
                let tracks = snapshot.tracks_of(&distribution.codename, &source)?;
                state.insert(source, SourceState { packages, tracks });
            }
            edits.extend(tracking::follow_changes(
                distribution,
                &plan.changes,
                &plan.extra_tracked,
                &state,
            ));
        }
        // what the command decided itself stands
        edits.retain(|edit| !plan.track_edits.iter().any(|own| own.key() == edit.key()));
        Ok(edits)
    }

    fn changed_distributions(&self, plan: &Plan) -> Vec<&'a Distribution> {
        let mut codenames: BTreeSet<_> = plan.changes.iter().map(|change| &change.index().codename).collect();
        codenames.extend(plan.extra_tracked.iter().map(|extra| &extra.codename));
        self.archive
            .conf
            .distributions
            .iter()
            .filter(|d| codenames.contains(&d.codename))
            .collect()
    }

    /// Renames spooled files into the pool. They are registered first, so that a crash leaves no file that nobody knows.
    fn bring_files_in(&self, store: &Store, new_files: Vec<NewFile>) -> Result<()> {
        let directories = &self.archive.directories;
        let is_wanted = |new_file: &NewFile| -> Result<bool> {
            let known = store.pool_file(&new_file.path)?;
            // a file that nothing refers to may be torn by a crash, one that is referred to may be lost: it is replaced
            // by the same content
            let is_free = known.is_none_or(|record| record.unreferenced_since.is_some());
            Ok(is_free || !is_in_pool(directories, new_file))
        };
        let mut failure = None;
        let mut wanted = new_files;
        wanted.retain(|new_file| {
            failure.is_none() && is_wanted(new_file).unwrap_or_else(|error| failure.replace(error).is_some())
        });
        failure.map_or(Ok(()), Err)?;
        if wanted.is_empty() {
            return Ok(());
        }
        store.announce_files(wanted.iter().map(NewFile::pool_file), self.now)?;
        place::bring_in(&self.guard, &directories.out, wanted)?;
        // the commit syncs the file system of the database
        let pool = pool_directory(directories);
        if !fsio::same_filesystem(&pool, &directories.db)? {
            fsio::sync_filesystem(&pool)?;
        }
        Ok(())
    }

    fn commit(&self, store: &Store, plan: &Plan) -> Result<()> {
        let mut transaction = store.begin();
        for (at, change) in plan.changes.iter().enumerate() {
            for old in change.old_entries() {
                transaction.remove(change.index(), &old.name, &old.version);
            }
            match (change.new_package(), &plan.texts) {
                (Some(new), Some(texts)) if new.text.is_empty() => {
                    let text = Box::new(move || texts.text(at, change));
                    transaction.put_late(change.index(), &new.entry, text);
                }
                (Some(new), _) => transaction.put_borrowed(change.index(), new),
                (None, _) => {}
            }
        }
        for edit in &plan.track_edits {
            match edit {
                TrackEdit::Put { codename, track } => transaction.put_track(codename, track.clone()),
                TrackEdit::Remove {
                    codename,
                    source,
                    version,
                } => {
                    transaction.remove_track(codename, source, version);
                }
            }
        }
        transaction.commit(&self.provenance())?;
        Ok(())
    }

    /// Who changes the archive, when, with which command.
    #[must_use]
    pub fn provenance(&self) -> Provenance {
        let settings = &self.archive.settings;
        Provenance {
            unix_seconds: self.now,
            user: settings.user.clone(),
            command: settings.command_line.clone(),
        }
    }

    fn tell(&self, changes: &[Change], told: &Told) {
        let directories = script_directories(&self.archive.directories);
        let patience = Patience::default();
        for distribution in &self.archive.conf.distributions {
            let writer = LogWriter {
                distribution,
                directories: &directories,
                cause: &told.cause,
                now: self.now,
                patience: &patience,
            };
            let brought = |at: usize| Brought {
                file: told.files.get(at).map(PathBuf::as_path),
                origin: told.origins.get(at).and_then(Option::as_deref),
            };
            let ours = changes
                .iter()
                .enumerate()
                .filter(|(_, change)| change.index().codename == distribution.codename);
            let events: Vec<Event<'_>> = ours
                .flat_map(|(at, change)| Event::of_change(change, brought(at)))
                .collect();
            if let Err(error) = writer.write_lines(&events) {
                self.archive.reporter.warning(&super::with_causes(&error));
            }
            let mut faults = writer.call_notifiers(&events);
            let accepted = told
                .accepted
                .iter()
                .filter(|accepted| accepted.codename == distribution.codename);
            faults.extend(accepted.flat_map(|accepted| writer.announce_changes(accepted)));
            faults.iter().for_each(|fault| self.archive.reporter.warning(fault));
        }
    }
}

impl Drop for Session<'_> {
    /// Removes the spool: what is still in it came in for nothing. If that cannot be removed now, or a tree that was to
    /// be published, the next command does it.
    fn drop(&mut self) {
        let directories = &self.archive.directories;
        let spool = fsio::remove_tree(&spool_directory(directories));
        if spool
            .and_then(|()| publish::remove_leftovers(&directories.dist))
            .is_err()
        {
            self.guard.leave();
        }
    }
}

/// Where incoming files wait: below the pool, which may be another file system than what is around it.
#[must_use]
pub fn spool_directory(directories: &Directories) -> PathBuf {
    pool_directory(directories).join(".spool")
}

fn pool_directory(directories: &Directories) -> PathBuf {
    directories.out.join("pool")
}

/// Whether a file of this size is in its place in the pool.
fn is_in_pool(directories: &Directories, new_file: &NewFile) -> bool {
    let place = new_file.path.to_fs_path(&directories.out);
    let size_bytes = new_file.spooled.content.size_bytes;
    fs::metadata(place).is_ok_and(|found| found.is_file() && found.len() == size_bytes)
}

/// The directories that scripts are told of.
#[must_use]
pub fn script_directories(directories: &Directories) -> Vec<(&'static str, PathBuf)> {
    let absolute = |path: &PathBuf| fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    vec![
        ("REPREPRO_BASE_DIR", absolute(&directories.base)),
        ("REPREPRO_OUT_DIR", absolute(&directories.out)),
        ("REPREPRO_CONF_DIR", absolute(&directories.conf)),
        ("REPREPRO_CONFIG_DIR", absolute(&directories.conf)),
        ("REPREPRO_DIST_DIR", absolute(&directories.dist)),
        ("REPREPRO_LOG_DIR", absolute(&directories.log)),
    ]
}
