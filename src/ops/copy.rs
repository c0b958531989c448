//! `copy`, `copysrc`, `copymatched`, `copyfilter`: packages of one distribution into another, as they are, between indexes of the same
//! name. The way from staging to production.

use crate::conf::distribution::Distribution;
use crate::model::{IndexId, PackageName, SourceName, Version};
use crate::store::Snapshot;

use super::archive::Archive;
use super::error::DowngradedPackage;
use super::notify::Cause;
use super::plan::{Addition, Decision, Plan, Planned};
use super::query::{self, Found, Selection, highest, of_version};
use super::session::{Outcome, Session, Told};
use super::{Error, Result, archiving};

/// Which packages to copy.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Binary and source packages of these names; where a version is named, only that, else the highest.
    Names(Vec<(PackageName, Option<Version>)>),
    /// A source with all its binaries; only these versions of the source, if any is named, else the highest.
    Source {
        /// The source package.
        source: SourceName,
        /// The versions; empty for the highest.
        versions: Vec<Version>,
    },
    /// Those of a selection.
    Selected(Selection),
}

/// Copies packages from the distribution `from` to the distribution `to`.
///
/// # Errors
/// One of the distributions is unknown, `to` is read-only, or a package would go down to a lower version; nothing has
/// changed then. Publishing can fail after the change.
pub fn copy(archive: &Archive<'_>, to: &str, from: &str, wanted: &Wanted) -> Result<Outcome> {
    let to = archive.writable_distribution(to)?;
    let from = archive.distribution(from)?;
    archive.check_restriction_anywhere()?;
    let session = Session::begin(archive)?;
    let store = session.open()?;
    let snapshot = store.snapshot()?;
    let found = select(archive, &snapshot, from, wanted)?;
    let looked_at = if found.is_empty() {
        Vec::new()
    } else {
        vec![to.codename.clone()]
    };
    let plan = plan_copy(archive, &snapshot, to, &found)?;
    let cause = Cause {
        command: archive.settings.command.clone(),
        from: Some(from.codename.to_string()),
    };
    let told = Told {
        looked_at,
        cause,
        ..Told::default()
    };
    session.carry_out(plan, &told)
}

fn select(archive: &Archive<'_>, snapshot: &Snapshot, from: &Distribution, wanted: &Wanted) -> Result<Vec<Found>> {
    let restriction = &archive.settings.restriction;
    match wanted {
        Wanted::Names(names) => {
            let mut found = Vec::new();
            for (name, version) in names {
                let all = query::find(snapshot, from, restriction, &Selection::Name(name.clone()))?;
                let of_name = of_version(all, version.as_ref());
                if of_name.is_empty() {
                    archive.reporter.note(&format!("Will not copy as not found: {name}."));
                }
                found.extend(of_name);
            }
            Ok(found)
        }
        Wanted::Source { source, versions } => {
            let mut found = query::find(snapshot, from, restriction, &Selection::All)?;
            found.retain(|found| {
                let version = &found.entry.source_version;
                found.entry.source == *source
                    && (versions.is_empty() || versions.iter().any(|wanted| wanted.compare(version).is_eq()))
            });
            if found.is_empty() {
                let message = format!("Nothing to do as no package with source '{source}' found!");
                archive.reporter.note(&message);
            }
            Ok(if versions.is_empty() { highest(found) } else { found })
        }
        Wanted::Selected(selection) => Ok(highest(query::find(snapshot, from, restriction, selection)?)),
    }
}

fn plan_copy(archive: &Archive<'_>, snapshot: &Snapshot, to: &Distribution, found: &[Found]) -> Result<Plan> {
    let addition = if archive.settings.allow_downgrade {
        Addition::CopyWithDowngrade
    } else {
        Addition::Copy
    };
    let targets = to.indexes();
    let mut planned = Planned::default();
    let mut downgraded = Vec::new();
    // lowest version first, so that of several the highest stays where there is room for one
    let versions = found.chunk_by(|one, next| one.index == next.index && one.entry.name == next.entry.name);
    for Found { index, entry } in versions.flat_map(|versions| versions.iter().rev()) {
        let target = IndexId {
            codename: to.codename.clone(),
            ..index.clone()
        };
        if !targets.contains(&target) {
            continue;
        }
        let Some(package) = snapshot.package(index, &entry.name, &entry.version)? else {
            continue;
        };
        match archiving::add(&archive.conf, snapshot, &mut planned, (&target, package), addition)? {
            Decision::WouldDowngrade { has } => downgraded.push(DowngradedPackage {
                index: target.to_string(),
                name: entry.name.to_string(),
                from: has,
                to: entry.version.clone(),
            }),
            Decision::Planned { .. } | Decision::AlreadyThere | Decision::Skipped { .. } => {}
        }
    }
    if !downgraded.is_empty() {
        return Err(Error::Downgrade { packages: downgraded });
    }
    Ok(Plan {
        changes: planned.into_changes(),
        ..Plan::default()
    })
}
