//! `check` and `checkpool`: is every file of every package known, in the pool, and what it should be?

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rayon::prelude::*;

use crate::fsio::{self, AtPath};
use crate::model::{ArchivePath, ErrorKind, PoolFile, Promise};

use crate::store::{PoolRecord, Store};

use super::archive::Archive;
use super::query::{self, Found, Selection};
use super::session::{self, Session};
use super::{Error, Result, with_causes};

/// How closely `checkpool` looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Is the file there, with its size?
    Sizes,
    /// Has it its digests, too?
    Contents,
}

/// Checks that every file of every package of the distributions is in the pool with its size, and that the database
/// knows it. Finishes first what an interrupted command left.
///
/// # Errors
/// [`Error::FaultsFound`] after each fault was reported.
pub fn check(archive: &Archive<'_>, names: &[String]) -> Result<()> {
    let distributions = archive.distributions(names)?;
    archive.check_restriction_anywhere()?;
    let session = Session::begin(archive)?;
    let store = session.open()?;
    let snapshot = store.snapshot()?;
    let mut faults = 0;
    let mut fault = |text: &str| {
        archive.reporter.warning(text);
        faults += 1;
    };
    let mut checked: BTreeMap<ArchivePath, bool> = BTreeMap::new();
    for distribution in distributions {
        archive
            .reporter
            .status(&format!("Checking {}...", distribution.codename));
        let found = query::find(&snapshot, distribution, &archive.settings.restriction, &Selection::All)?;
        for Found { index, entry } in found {
            for file in &entry.files {
                if checked.contains_key(&file.path) {
                    continue;
                }
                let problem = match store.pool_file(&file.path)? {
                    Some(record) => Promise::from(&file.content)
                        .broken_by(&record.content)
                        .first()
                        .map(ToString::to_string),
                    None => Some("is not registered".into()),
                };
                let problem = problem.or_else(|| on_disk(archive, file, Depth::Sizes));
                if let Some(problem) = &problem {
                    fault(&format!(
                        "{index}: {} {}: `{}` {problem}",
                        entry.name, entry.version, file.path
                    ));
                }
                checked.insert(file.path.clone(), problem.is_none());
            }
        }
    }
    if names.is_empty() && !archive.settings.dry_run {
        register_strays(&session, store)?;
    }
    super::vanished::warn(archive, &snapshot);
    drop((store, snapshot));
    if !archive.settings.dry_run {
        session.finish()?;
    }
    outcome(faults, ErrorKind::General)
}

/// Registers the files of the pool that the database does not know, such as those whose record a damaged database
/// lost: they become garbage with the usual grace time, unless a package needs them by then.
fn register_strays(session: &Session<'_>, store: &Store) -> Result<()> {
    let archive = session.archive;
    let out = &archive.directories.out;
    let mut directories = vec![out.join("pool")];
    let mut strays = Vec::new();
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory).at("read the directory", &directory) {
            Err(error) if error.is_not_found() => continue,
            entries => entries?,
        };
        for entry in entries {
            let place = entry.at("read the directory", &directory)?.path();
            let kind = fs::symlink_metadata(&place).at("read", &place)?.file_type();
            let path = place
                .strip_prefix(out)
                .ok()
                .and_then(Path::to_str)
                .map(ArchivePath::new);
            match path {
                // files on their way into the pool
                _ if place == session::spool_directory(&archive.directories) => {}
                _ if kind.is_dir() => directories.push(place),
                Some(Ok(path)) if kind.is_file() && store.pool_file(&path)?.is_none() => {
                    let content = fsio::digest_file(&place)?;
                    strays.push(PoolFile { path, content });
                }
                _ => {}
            }
        }
    }
    for stray in &strays {
        archive.reporter.note(&format!(
            "`{}` was not registered; it is now, as unreferenced",
            stray.path
        ));
    }
    Ok(store.announce_files(strays.into_iter(), session.now)?)
}

/// Checks every file that the database knows of against the pool.
///
/// # Errors
/// [`Error::FaultsFound`] after each fault was reported.
pub fn check_pool(archive: &Archive<'_>, depth: Depth) -> Result<()> {
    let files = archive.database()?.pool_files()?;
    let out = &archive.directories.out;
    // a command that failed may have announced files that it then did not bring: nobody needs them
    let is_meant = |(path, record): &(ArchivePath, PoolRecord)| {
        record.unreferenced_since.is_none() || path.to_fs_path(out).exists()
    };
    let problems: Vec<(ArchivePath, String)> = files
        .into_par_iter()
        .filter(is_meant)
        .filter_map(|(path, record)| {
            let file = PoolFile {
                path,
                content: record.content,
            };
            on_disk(archive, &file, depth).map(|problem| (file.path, problem))
        })
        .collect();
    for (path, problem) in &problems {
        archive.reporter.warning(&format!("`{path}` {problem}"));
    }
    outcome(problems.len(), ErrorKind::Mismatch)
}

fn on_disk(archive: &Archive<'_>, file: &PoolFile, depth: Depth) -> Option<String> {
    let place = file.path.to_fs_path(&archive.directories.out);
    if depth == Depth::Contents {
        return match fsio::digest_file(&place) {
            Err(error) if error.is_not_found() => Some("is missing".into()),
            Err(error) => Some(with_causes(&error)),
            Ok(found) => {
                let broken = Promise::from(&file.content).broken_by(&found);
                (!broken.is_empty()).then(|| broken.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
        };
    }
    match fs::metadata(&place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some("is missing".into()),
        Err(error) => Some(error.to_string()),
        Ok(metadata) if metadata.len() != file.content.size_bytes => Some(format!(
            "has {} bytes instead of {}",
            metadata.len(),
            file.content.size_bytes
        )),
        Ok(_) => None,
    }
}

fn outcome(count: usize, kind: ErrorKind) -> Result<()> {
    if count == 0 {
        Ok(())
    } else {
        Err(Error::FaultsFound { count, kind })
    }
}
