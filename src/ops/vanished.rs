//! What the database holds and the configuration no longer has: told, and removed by `clearvanished`.

use std::collections::BTreeSet;

use crate::model::{Codename, IndexId};
use crate::store::Snapshot;

use super::archive::Archive;
use super::plan::{Plan, Planned, TrackEdit};
use super::session::{Outcome, Session, Told};
use super::{Error, Result};

/// The indexes with packages that no distribution of the configuration has.
#[must_use]
pub fn indexes(archive: &Archive<'_>, snapshot: &Snapshot) -> Vec<IndexId> {
    let known: BTreeSet<IndexId> = archive.conf.distributions.iter().flat_map(|d| d.indexes()).collect();
    let held = snapshot.heads().keys();
    held.filter(|index| !known.contains(index)).cloned().collect()
}

fn tracked(archive: &Archive<'_>, snapshot: &Snapshot) -> Vec<Codename> {
    let is_known = |codename: &&Codename| archive.conf.by_codename(codename).is_some();
    snapshot
        .tracked()
        .filter(|codename| !is_known(codename))
        .cloned()
        .collect()
}

/// Warns of packages that no distribution has any more: they and their files are kept until somebody decides.
pub fn warn(archive: &Archive<'_>, snapshot: &Snapshot) {
    for index in indexes(archive, snapshot) {
        archive.reporter.warning(&format!(
            "`{index}` holds packages, but conf/distributions no longer has it; put it back, or `aptrepo --delete clearvanished`"
        ));
    }
}

/// Removes the packages and tracking records of what the configuration no longer has.
///
/// # Errors
/// There are packages, and `--delete` was not given.
pub fn clear(archive: &Archive<'_>) -> Result<Outcome> {
    let session = Session::begin(archive)?;
    let store = session.open()?;
    let snapshot = store.snapshot()?;
    let vanished = indexes(archive, &snapshot);
    if !vanished.is_empty() && archive.settings.options.delete_count() == 0 && !archive.settings.dry_run {
        let indexes = vanished.iter().map(ToString::to_string).collect();
        return Err(Error::Vanished { indexes });
    }
    let mut planned = Planned::default();
    for index in &vanished {
        for entry in snapshot.entries(index)? {
            planned.remove(index, &entry);
        }
    }
    let mut track_edits = Vec::new();
    for codename in tracked(archive, &snapshot) {
        track_edits.extend(snapshot.tracks(&codename)?.into_iter().map(|track| TrackEdit::Remove {
            codename: codename.clone(),
            source: track.source,
            version: track.version,
        }));
    }
    let plan = Plan {
        changes: planned.into_changes(),
        track_edits,
        ..Plan::default()
    };
    session.carry_out(plan, &Told::default())
}
