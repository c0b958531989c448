//! Opens a file of the archive once and for all: what is answered, length and validators included, comes from the
//! open file, whatever is put in its place meanwhile.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Served;
use super::condition::Validators;
use super::route::{Target, Tree};

/// An open file of the archive.
#[derive(Debug)]
pub(super) struct Opened {
    /// The file.
    pub file: File,
    /// Its length when it was opened; published files are never written in place.
    pub length: u64,
    /// What names this state of it.
    pub validators: Validators,
}

/// Opens a file, or nothing if there is none that may be served. Links are followed (a suite is a link to its
/// codename) but must end below the same tree. Blocks.
///
/// # Errors
/// The file is there but cannot be opened.
pub(super) fn open(served: &Served, target: &Target) -> io::Result<Option<Opened>> {
    let root = match target.tree {
        Tree::Dists => served.dist_dir.clone(),
        Tree::Pool => served.out_dir.join("pool"),
    };
    match open_below(&root, &target.path.to_fs_path(&root)) {
        Ok(Some(file)) => describe(file, (served.clock)()),
        Err(error) if !means_missing(&error) => Err(error),
        Ok(None) | Err(_) => Ok(None),
    }
}

fn open_below(root: &Path, path: &Path) -> io::Result<Option<File>> {
    let root = fs::canonicalize(root)?;
    let path = fs::canonicalize(path)?;
    let hidden = |part: Component| matches!(part, Component::Normal(name) if name.as_encoded_bytes().starts_with(b"."));
    match path.strip_prefix(&root) {
        Ok(inside) if !inside.components().any(hidden) => {}
        _ => return Ok(None),
    }
    // NONBLOCK: nobody ever writes into a pipe that lies about
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::empty())?;
    Ok(Some(file.into()))
}

fn describe(file: File, now: i64) -> io::Result<Option<Opened>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let changed = (metadata.mtime(), metadata.mtime_nsec());
    Ok(Some(Opened {
        file,
        length: metadata.len(),
        validators: Validators::new(metadata.ino(), metadata.len(), changed, now),
    }))
}

/// What is not there, or is no file: a path through a file, a name too long, a loop of links, a socket.
fn means_missing(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::NXIO)
    )
}
