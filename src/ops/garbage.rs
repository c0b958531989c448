//! Pool files that nothing refers to any more: told by `dumpunreferenced`, removed after their grace time, or at once by
//! `deleteunreferenced`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fsio::{self, AtPath};
use crate::model::ArchivePath;

use crate::store::{PoolRecord, Store};

use super::archive::Archive;
use super::session::{Session, Told};
use super::{Error, Result, export, with_causes};

/// How often objects of the database are collected.
const COLLECTION_SECONDS: i64 = 86_400;

/// The pool files that nothing refers to, sorted.
///
/// # Errors
/// The database cannot be read.
pub fn unreferenced(archive: &Archive<'_>) -> Result<Vec<ArchivePath>> {
    let files = archive.database()?.pool_files()?;
    let is_free = |record: &PoolRecord| record.unreferenced_since.is_some();
    Ok(files
        .into_iter()
        .filter(|(_, record)| is_free(record))
        .map(|(path, _)| path)
        .collect())
}

/// The pool files whose grace time is over. They are to be removed when what named them is published no more.
///
/// # Errors
/// The database cannot be read.
pub fn due(session: &Session<'_>, store: &Store) -> Result<Vec<ArchivePath>> {
    if session.archive.settings.options.keep_unreferenced_files == Some(true) {
        return Ok(Vec::new());
    }
    free_since(store, before(session))
}

/// Removes pool files that are due, and objects of the database that nothing needs. No file goes while clients see an
/// older state than the present, which may name it. The command is done by now: what fails is told, and the next
/// command tries again.
pub fn collect(session: &Session<'_>, files: &[ArchivePath]) {
    let is_wanted = session.archive.settings.options.keep_unreferenced_files != Some(true);
    let removed = if files.is_empty() { Ok(()) } else { remove_due(session) };
    let collected = if is_wanted { collect_objects(session) } else { Ok(()) };
    let store = session.open();
    let noted = store.and_then(|store| Ok(session.guard.note_unreferenced(store)?));
    for error in [removed, collected, noted].into_iter().filter_map(Result::err) {
        session.archive.reporter.warning(&with_causes(&error));
    }
}

/// Removes all pool files that are due, and objects of the database that nothing needs, as [`collect`] does.
pub fn collect_all(session: &Session<'_>) {
    if is_nothing_due(session) {
        return;
    }
    match session.open().and_then(|store| due(session, store)) {
        Ok(files) => collect(session, &files),
        Err(error) => session.archive.reporter.warning(&with_causes(&error)),
    }
}

/// Whether that is known without the tables, whose opening takes longer than all else that a command does which changes
/// nothing. A dead command may have left anything.
fn is_nothing_due(session: &Session<'_>) -> bool {
    let noted = session.guard.database().noted_unreferenced();
    let is_later = noted.is_some_and(|since| since > before(session));
    is_later && !session.guard.was_left() && is_collected(session).is_ok_and(|is_collected| is_collected)
}

fn remove_due(session: &Session<'_>) -> Result<()> {
    if !export::is_all_published(session.archive)? {
        return Ok(());
    }
    let store = session.open()?;
    // asked again: publishing may have begun their grace time anew
    let Removal { problems, .. } = remove_files(session, store, due(session, store)?)?;
    let warn = |error| session.archive.reporter.warning(&with_causes(&error));
    problems.into_iter().for_each(warn);
    Ok(())
}

fn before(session: &Session<'_>) -> i64 {
    session.now.saturating_sub(session.archive.settings.retain_seconds())
}

fn free_since(store: &Store, before: i64) -> Result<Vec<ArchivePath>> {
    Ok(store.unreferenced(before)?.into_iter().map(|(path, _)| path).collect())
}

/// Removes objects of the database that neither the present nor a state younger than the grace time names, once a day:
/// that reads every kept root.
fn collect_objects(session: &Session<'_>) -> Result<()> {
    if is_collected(session)? {
        return Ok(());
    }
    let now = session.now;
    session.open()?.collect_objects(now, before(session))?;
    Ok(fsio::write_atomic(
        &collected_marker(session),
        format!("{now}\n").as_bytes(),
    )?)
}

fn collected_marker(session: &Session<'_>) -> PathBuf {
    session.archive.directories.db.join("collected")
}

/// Whether objects were collected today.
fn is_collected(session: &Session<'_>) -> Result<bool> {
    let last = fsio::read_if_there(&collected_marker(session), 100)?.and_then(|text| String::from_utf8(text).ok());
    let last: Option<i64> = last.and_then(|text| text.trim().parse().ok());
    Ok(last.is_some_and(|last| (0..COLLECTION_SECONDS).contains(&session.now.saturating_sub(last))))
}

/// Removes every pool file that nothing refers to, without waiting for its grace time. Gives back what was removed.
///
/// # Errors
/// A file cannot be removed or moved to the morgue: the others are.
pub fn delete_unreferenced(archive: &Archive<'_>) -> Result<Vec<ArchivePath>> {
    if archive.settings.dry_run {
        return unreferenced(archive);
    }
    let session = Session::begin(archive)?;
    let store = session.open()?;
    let unwanted = free_since(store, i64::MAX)?;
    // what clients see may still name them, if a command was killed
    session.publish_and_tell(&[], &Told::default())?;
    if !unwanted.is_empty() && !export::is_all_published(archive)? {
        archive
            .reporter
            .warning("nothing is deleted: what clients see is not the present state, and may name these files");
        return Ok(Vec::new());
    }
    let Removal { removed, problems } = remove_files(&session, store, unwanted)?;
    collect(&session, &[]);
    let mut problems = problems.into_iter();
    let first = problems.next();
    problems.for_each(|error| archive.reporter.warning(&with_causes(&error)));
    first.map_or(Ok(removed), Err)
}

/// What became of files that were to be removed.
#[derive(Default)]
struct Removal {
    removed: Vec<ArchivePath>,
    /// Why the others are still there.
    problems: Vec<Error>,
}

fn remove_files(session: &Session<'_>, store: &Store, files: Vec<ArchivePath>) -> Result<Removal> {
    let mut removal = Removal::default();
    if files.is_empty() {
        return Ok(removal);
    }
    session
        .archive
        .reporter
        .status("Deleting files no longer referenced...");
    let directories = &session.archive.directories;
    for path in files {
        let place = path.to_fs_path(&directories.out);
        let removed = match &directories.morgue {
            Some(morgue) => move_to_morgue(&place, morgue, path.file_name()),
            None => fsio::remove_if_there(&place).map_err(Error::from),
        };
        if let Err(error) = removed {
            removal.problems.push(error);
            continue;
        }
        removal.removed.push(path);
        if session.archive.settings.options.keep_directories != Some(true) {
            fsio::remove_empty_parents(fsio::parent(&place), &directories.out);
        }
    }
    // a crash before this line leaves records of files that are gone; removing them again does no harm
    store.forget_files(&removal.removed)?;
    Ok(removal)
}

/// Moves a file into the morgue under its own name, or with `-1`, `-2` … behind it where that is taken.
fn move_to_morgue(place: &Path, morgue: &Path, name: &str) -> Result<()> {
    if !place.exists() {
        return Ok(());
    }
    fsio::create_dir_all(morgue)?;
    let names = std::iter::once(name.to_owned()).chain((1_u32..).map(|number| format!("{name}-{number}")));
    match names.map(|name| morgue.join(name)).find(|target| !target.exists()) {
        Some(target) => move_file(place, &target),
        None => Ok(()),
    }
}

fn move_file(place: &Path, target: &Path) -> Result<()> {
    if fs::rename(place, target).is_err() {
        // the morgue may be on another file system
        if let Err(error) = fsio::copied(fs::copy(place, target), place, target) {
            // half of it is no use
            let _ = fsio::remove_if_there(target);
            return Err(error.into());
        }
        fs::remove_file(place).at("remove", place)?;
    }
    Ok(())
}
