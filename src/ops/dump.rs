//! `dump` and `load`: the whole state as text, the backup and the way across a change of the database's format.

use std::io::{BufRead, Write};

use super::Result;
use super::archive::Archive;
use super::session::Session;

/// Writes the state as it is now.
///
/// # Errors
/// The database cannot be read, or `out` not written.
pub fn dump(archive: &Archive<'_>, out: &mut impl Write) -> Result<()> {
    Ok(archive.snapshot()?.dump(out)?)
}

/// Reads a dump into the empty database, and publishes it.
///
/// # Errors
/// The database is not empty, or the text is no dump: the error names its line, and nothing has changed.
pub fn load(archive: &Archive<'_>, dump: &mut impl BufRead) -> Result<()> {
    let session = Session::begin(archive)?;
    let store = session.open()?;
    store.load(dump, &session.provenance())?;
    drop(store);
    session.finish()
}
