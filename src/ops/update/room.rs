//! `--spacecheck`: whether what a run is about to fetch has room, asked before anything is fetched.

use std::path::Path;

use crate::conf::options::SpaceCheck;
use crate::fsio;

use super::super::Result;
use super::super::archive::Archive;
use super::Error;
use super::needs::Needs;

/// Refuses a run whose files do not fit: those for the pool, and so many bytes for the database.
///
/// # Errors
/// A file system has not enough room, or does not tell.
pub(super) fn check(archive: &Archive<'_>, needs: &Needs, others: u64) -> Result<()> {
    let options = &archive.settings.options;
    let (count, _) = needs.total();
    if (count, others) == (0, 0) || options.space_check == Some(SpaceCheck::None) {
        return Ok(());
    }
    let pool = existing(&archive.directories.out);
    let database = existing(&archive.directories.db);
    let margin = options.safety_margin_bytes();
    let with_database = margin.saturating_add(options.db_safety_margin_bytes());
    let files = needs.bytes_to_store(archive, fsio::free_space(pool)?.block_bytes);
    if fsio::same_filesystem(pool, database)? {
        return check_one(pool, files.saturating_add(others), with_database);
    }
    check_one(pool, files, margin)?;
    check_one(database, others, with_database)
}

fn check_one(path: &Path, files: u64, margin: u64) -> Result<()> {
    let free = fsio::free_space(path)?.free_bytes;
    if files.saturating_add(margin) < free {
        return Ok(());
    }
    Err(Error::NoRoom {
        path: path.to_owned(),
        files,
        margin,
        free,
    }
    .into())
}

/// The nearest directory that is there: others are made when they are needed.
fn existing(directory: &Path) -> &Path {
    let mut ancestors = directory.ancestors().filter(|path| !path.as_os_str().is_empty());
    ancestors.find(|path| path.is_dir()).unwrap_or(Path::new("."))
}
