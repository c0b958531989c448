//! Bringing spooled files to their places in the pool: the step before the commit. Of many small packages it is half of
//! the work, as the file system takes longer to make a directory and to rename a file than all else takes: so it is
//! shared by threads, while the content goes to the disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, ScopedJoinHandle};

use crate::fsio;
use crate::ingest::SpooledFile;
use crate::model::{ArchivePath, PoolFile, Sha256};
use crate::store::WriteGuard;

use super::Result;

/// So many files are not worth a second thread.
const FEW: usize = 16;

/// A file that waits in the spool to be renamed into the pool, with what was read from the same bytes.
#[derive(Debug)]
pub struct NewFile {
    /// Where it belongs.
    pub path: ArchivePath,
    /// Where it waits.
    pub spooled: SpooledFile,
    /// The paths in it, for a .deb.
    pub file_list: Option<(Sha256, Vec<Vec<u8>>)>,
}

impl NewFile {
    /// As the pool will have it.
    #[must_use]
    pub fn pool_file(&self) -> PoolFile {
        PoolFile {
            path: self.path.clone(),
            content: self.spooled.content,
        }
    }
}

/// Renames files, all in one file system, to where they belong below `out`; keeps the paths in them. Durable only after
/// a sync of that file system.
///
/// # Errors
/// A directory cannot be made, a file not be renamed, or a list not be written; other files may be in their places then.
pub(super) fn bring_in(guard: &WriteGuard, out: &Path, mut files: Vec<NewFile>) -> Result<()> {
    let lists: Vec<_> = files.iter_mut().filter_map(|new| new.file_list.take()).collect();
    // two packages of one command may be made of the same file
    let mut placed = BTreeSet::new();
    files.retain(|new| placed.insert(new.path.clone()));
    drop(placed);
    if files.len() <= FEW {
        keep_lists(guard, &lists)?;
        make_directories(out, files.iter().map(|new| &new.path), |_| ())?;
        return install(out, files, |_| true);
    }
    let paths: Vec<ArchivePath> = files.iter().map(|new| new.path.clone()).collect();
    let spool = files.first().map(|new| fsio::parent(new.spooled.path()).to_owned());
    thread::scope(|scope| {
        // the sync before the commit then waits for the names alone
        let synced = spool.map(|spool| scope.spawn(move || fsio::sync_filesystem(&spool)));
        // a list may be there before its file or after it
        let kept = scope.spawn(|| keep_lists(guard, &lists));
        // a directory takes as long as a rename, and two threads that do both wait for each other
        let (ready, is_ready) = mpsc::channel();
        let made = scope.spawn(|| {
            make_directories(out, paths.iter(), move |number| {
                // whoever hears it may have failed
                let _ = ready.send(number);
            })
        });
        let mut last = 0;
        let placed = install(out, files, |number| {
            while last <= number {
                match is_ready.recv() {
                    Ok(made) => last = made,
                    Err(mpsc::RecvError) => return false,
                }
            }
            true
        });
        // the kernel tells of a failed write once
        synced.map(join).transpose()?;
        join(made)?;
        join(kept)?;
        placed
    })
}

fn join<T, E>(thread: ScopedJoinHandle<'_, std::result::Result<T, E>>) -> std::result::Result<T, E> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Makes the directories of these places in their order, and tells now and then for how many places they are there, in
/// the end for all.
fn make_directories<'p>(
    out: &Path,
    places: impl ExactSizeIterator<Item = &'p ArchivePath>,
    tell: impl Fn(usize),
) -> fsio::Result<()> {
    let count = places.len();
    let mut made = PathBuf::new();
    for (number, place) in places.enumerate() {
        let place = place.to_fs_path(out);
        let directory = fsio::parent(&place);
        if directory != made {
            fsio::create_dir_all(directory)?;
            directory.clone_into(&mut made);
        }
        if number % FEW == 0 {
            tell(number + 1);
        }
    }
    tell(count);
    Ok(())
}

/// Renames each file to its place, until one has no directory and will not have one.
fn install(out: &Path, files: Vec<NewFile>, mut has_directory: impl FnMut(usize) -> bool) -> Result<()> {
    for (number, new) in files.into_iter().enumerate() {
        if !has_directory(number) {
            break;
        }
        new.spooled.install(&new.path.to_fs_path(out))?;
    }
    Ok(())
}

fn keep_lists(guard: &WriteGuard, lists: &[(Sha256, Vec<Vec<u8>>)]) -> Result<()> {
    for (deb, paths) in lists {
        guard.database().put_file_list(deb, paths)?;
    }
    Ok(guard.keep_file_lists()?)
}
