//! `rerunnotifiers`: tells the notifiers of every package that is there, as if a new one had to learn of them.

use super::archive::Archive;
use super::notify::{Cause, Event, LogWriter, Patience};
use super::query::{self, Selection};
use super::session::script_directories;
use super::{Error, Result};
use crate::model::ErrorKind;

/// Calls the notifiers of the named distributions, or of all, with `info` for every package.
///
/// # Errors
/// A distribution is unknown; or a notifier failed, after it was told which.
pub fn rerun_notifiers(archive: &Archive<'_>, names: &[String]) -> Result<()> {
    let snapshot = archive.snapshot()?;
    let directories = script_directories(&archive.directories);
    let cause = Cause {
        command: archive.settings.command.clone(),
        ..Cause::default()
    };
    let patience = Patience::default();
    let mut count = 0;
    for distribution in archive.distributions(names)? {
        let found = query::find(&snapshot, distribution, &archive.settings.restriction, &Selection::All)?;
        let events: Vec<Event<'_>> = found
            .iter()
            .map(|found| Event::info(&found.index, &found.entry))
            .collect();
        if archive.settings.dry_run {
            let codename = &distribution.codename;
            archive
                .reporter
                .result(&format!("{codename}: tell the notifiers of {} packages", events.len()));
            continue;
        }
        let writer = LogWriter {
            distribution,
            directories: &directories,
            cause: &cause,
            now: archive.settings.now,
            patience: &patience,
        };
        let faults = writer.call_notifiers(&events);
        faults.iter().for_each(|fault| archive.reporter.warning(fault));
        count += faults.len();
    }
    if count == 0 {
        Ok(())
    } else {
        Err(Error::FaultsFound {
            count,
            kind: ErrorKind::General,
        })
    }
}
