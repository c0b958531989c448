//! `dump` and `load`: the whole state as text, the backup and the way across a change of the database's format; and the
//! dumps that are saved by themselves, for `recover`.

use std::io::{BufRead, Write};

use super::archive::Archive;
use super::session::Session;
use super::{Result, with_causes};

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
    session.finish()
}

/// Saves a dump below `db/dumps` if the last one is older than `dump-interval`: the end of a command that changed
/// something and has let go of the lock. What fails is told, since the command itself is done.
pub fn save_if_due(archive: &Archive<'_>) {
    let Some(interval) = archive.settings.options.dump_interval_secs() else {
        return;
    };
    let interval = i64::try_from(interval).unwrap_or(i64::MAX);
    let saved = archive.database().and_then(|database| {
        let snapshot = database.snapshot()?;
        Ok(database.save_dump(&snapshot, (archive.settings.clock)(), interval)?)
    });
    if let Err(error) = saved {
        archive
            .reporter
            .warning(&format!("no dump was saved: {}", with_causes(&error)));
    }
}
