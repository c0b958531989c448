//! `remove`, `removesrc`, `removematched`: packages out of a distribution.

use std::collections::BTreeSet;

use crate::model::{PackageName, SourceName, Version};

use super::Result;
use super::archive::Archive;
use super::notify::Cause;
use super::plan::{Plan, Planned};
use super::query::{self, Found, Selection};
use super::session::{Outcome, Session, Told};

/// Which packages to remove.
#[derive(Debug, Clone)]
pub enum Unwanted {
    /// Binary and source packages of these names; where a version is named, only that.
    Names(Vec<(PackageName, Option<Version>)>),
    /// Sources with all their binaries; where a version is named, only that. Tracking that keeps them still does.
    Sources(Vec<(SourceName, Option<Version>)>),
    /// Those whose name a glob matches.
    Matching(globset::GlobMatcher),
}

/// Removes packages from a distribution. That something is not there is told, and no error.
///
/// # Errors
/// The distribution is unknown or read-only; nothing has changed then. Publishing can fail after the change.
pub fn remove(archive: &Archive<'_>, distribution: &str, unwanted: &Unwanted) -> Result<Outcome> {
    let distribution = archive.writable_distribution(distribution)?;
    archive.check_restriction(&[distribution])?;
    let session = Session::begin(archive)?;
    let store = session.open()?;
    let snapshot = store.snapshot()?;
    let find = |selection: &Selection| query::find(&snapshot, distribution, &archive.settings.restriction, selection);
    let found = match unwanted {
        Unwanted::Names(names) => {
            let mut all = Vec::new();
            for (name, version) in names {
                let mut found = find(&Selection::Name(name.clone()))?;
                found.retain(|found| version.as_ref().is_none_or(|version| *version == found.entry.version));
                if found.is_empty() {
                    archive.reporter.note(&format!("Not removed as not found: {name}"));
                }
                all.extend(found);
            }
            all
        }
        Unwanted::Sources(sources) => {
            let mut all = find(&Selection::All)?;
            let means = |source: &SourceName, version: &Version| {
                let named = |(name, only): &(SourceName, Option<Version>)| {
                    name == source && only.as_ref().is_none_or(|only| only.compare(version).is_eq())
                };
                sources.iter().any(named)
            };
            all.retain(|found| means(&found.entry.source, &found.entry.source_version));
            if all.is_empty() {
                let names: Vec<_> = sources.iter().map(|(source, _)| source.as_str()).collect();
                archive.reporter.note(&format!(
                    "Nothing to do as no package with source '{}' found!",
                    names.join("', '")
                ));
            }
            all
        }
        Unwanted::Matching(glob) => find(&Selection::Matching(glob.clone()))?,
    };
    // as with reprepro, only `remove` counts where nothing was there
    let is_looked_at = matches!(unwanted, Unwanted::Names(_)) || !found.is_empty();
    let looked_at = is_looked_at
        .then(|| distribution.codename.clone())
        .into_iter()
        .collect();
    let plan = Plan {
        changes: plan_removal(&found).into_changes(),
        ..Plan::default()
    };
    let cause = Cause {
        command: archive.settings.command.clone(),
        ..Cause::default()
    };
    session.carry_out(
        store,
        plan,
        &Told {
            looked_at,
            cause,
            ..Told::default()
        },
    )
}

fn plan_removal(found: &[Found]) -> Planned {
    let mut planned = Planned::default();
    let mut seen = BTreeSet::new();
    for Found { index, entry } in found {
        // a name may have been given twice
        if seen.insert((index, &entry.name, &entry.version)) {
            planned.remove(index, entry);
        }
    }
    planned
}
