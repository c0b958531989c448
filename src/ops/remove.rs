//! `remove`, `removesrc`, `removematched`, `removefilter`: packages out of a distribution.

use std::collections::BTreeSet;

use crate::conf::distribution::Distribution;
use crate::model::{PackageName, SourceName, Version};
use crate::store::Snapshot;

use super::Result;
use super::archive::Archive;
use super::notify::Cause;
use super::plan::{Plan, Planned};
use super::query::{self, Found, Selection, of_version};
use super::session::{Outcome, Session, Told};

/// Which packages to remove.
#[derive(Debug, Clone)]
pub enum Unwanted {
    /// Binary and source packages of these names; where a version is named, only that, else the highest.
    Names(Vec<(PackageName, Option<Version>)>),
    /// Sources with all their binaries; where a version is named, only that. Tracking that keeps them still does.
    Sources(Vec<(SourceName, Option<Version>)>),
    /// Those of a selection.
    Selected(Selection),
}

/// Removes packages from a distribution. That something is not there is told, and no error.
///
/// # Errors
/// The distribution is unknown or read-only; nothing has changed then. Publishing can fail after the change.
pub fn remove(archive: &Archive<'_>, distribution: &str, unwanted: &Unwanted) -> Result<Outcome> {
    let distribution = archive.writable_distribution(distribution)?;
    archive.check_restriction_anywhere()?;
    let session = Session::begin(archive)?;
    let store = session.open()?;
    let selector = Selector {
        archive,
        snapshot: store.snapshot()?,
        distribution,
    };
    let found = match unwanted {
        Unwanted::Names(names) => selector.by_name(names)?,
        Unwanted::Sources(sources) => selector.by_source(sources)?,
        Unwanted::Selected(selection) => selector.find(selection)?,
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
    let told = Told {
        looked_at,
        cause,
        ..Told::default()
    };
    session.carry_out(plan, &told)
}

/// Finds what is to go.
struct Selector<'a> {
    archive: &'a Archive<'a>,
    snapshot: Snapshot,
    distribution: &'a Distribution,
}

impl Selector<'_> {
    fn find(&self, selection: &Selection) -> Result<Vec<Found>> {
        query::find(
            &self.snapshot,
            self.distribution,
            &self.archive.settings.restriction,
            selection,
        )
    }

    fn by_name(&self, names: &[(PackageName, Option<Version>)]) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        for (name, version) in names {
            let found = of_version(self.find(&Selection::Name(name.clone()))?, version.as_ref());
            if found.is_empty() {
                self.archive.reporter.note(&format!("Not removed as not found: {name}"));
            }
            all.extend(found);
        }
        Ok(all)
    }

    /// The packages of sources. What tracking keeps of them follows from its mode.
    fn by_source(&self, sources: &[(SourceName, Option<Version>)]) -> Result<Vec<Found>> {
        let means = |source: &SourceName, version: &Version| {
            let named = |(name, only): &(SourceName, Option<Version>)| {
                name == source && only.as_ref().is_none_or(|only| only.compare(version).is_eq())
            };
            sources.iter().any(named)
        };
        let mut found = self.find(&Selection::All)?;
        found.retain(|found| means(&found.entry.source, &found.entry.source_version));
        if found.is_empty() {
            let names: Vec<_> = sources.iter().map(|(source, _)| source.as_str()).collect();
            let message = format!(
                "Nothing to do as no package with source '{}' found!",
                names.join("', '")
            );
            self.archive.reporter.note(&message);
        }
        Ok(found)
    }
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
