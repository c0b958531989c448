//! `Archive:`: a version that another pushes out of a distribution moves to the distribution named there, with a limit
//! of its own, instead of being forgotten.

use crate::conf::Conf;
use crate::model::{IndexId, ListedPackage};
use crate::store::Snapshot;

use super::Result;
use super::lookup::versions_there;
use super::plan::{Addition, Change, Decision, Planned};

/// Plans an addition, and what it pushes out into the archive of the distribution, and so on: conf lets an archive only
/// be a distribution that is defined before.
///
/// # Errors
/// The store cannot be read.
pub fn add(
    conf: &Conf,
    snapshot: &Snapshot,
    planned: &mut Planned,
    (index, package): (&IndexId, ListedPackage),
    addition: Addition,
) -> Result<Decision> {
    let distribution = conf.by_codename(&index.codename);
    let limit = distribution.map_or(Some(1), |distribution| distribution.limit);
    let version = package.entry.version.clone();
    let name = package.entry.name.clone();
    let there = || versions_there(snapshot, index, &name);
    let decision = planned.add(index, package, (addition, limit), there)?;
    let archive = distribution.and_then(|distribution| distribution.archive.as_ref());
    if let (Decision::Planned { replaced }, Some(archive)) = (&decision, archive) {
        let target = IndexId {
            codename: archive.clone(),
            ..index.clone()
        };
        // an equal version that is written anew is not pushed out
        for old in replaced
            .iter()
            .filter(|old| !old.entry.version.compare(&version).is_eq())
        {
            add(conf, snapshot, planned, (&target, old.clone()), Addition::Include)?;
        }
    }
    Ok(decision)
}

/// What changes push out of distributions into the archives of these: the versions that higher ones replace.
///
/// # Errors
/// The store cannot be read.
pub fn pushed_out(conf: &Conf, snapshot: &Snapshot, changes: &[Change]) -> Result<Vec<Change>> {
    let mut planned = Planned::default();
    for change in changes {
        let Change::Replace { index, new, old } = change else {
            continue;
        };
        let distribution = conf.by_codename(&index.codename);
        let Some(archive) = distribution.and_then(|distribution| distribution.archive.clone()) else {
            continue;
        };
        let target = IndexId {
            codename: archive,
            ..index.clone()
        };
        for old in old.iter().filter(|old| old.version.compare(&new.entry.version).is_lt()) {
            if let Some(package) = snapshot.package(index, &old.name, &old.version)? {
                add(conf, snapshot, &mut planned, (&target, package), Addition::Include)?;
            }
        }
    }
    Ok(planned.into_changes())
}
