//! The commands about tracking data: `dumptracks`, `retrack`, `tidytracks`, `removetrack`, `removealltracks`.

use serde::Serialize;

use crate::conf::distribution::Distribution;
use crate::model::{Codename, Entry, IndexId, SourceName, Track, Version};
use crate::store::Snapshot;

use super::archive::Archive;
use super::plan::{Plan, TrackEdit};
use super::query::{self, Found, Selection};
use super::session::{Outcome, Session, Told};
use super::{Error, Result, tracking};

/// The records of the named distributions, or of all that track, as `dumptracks` prints them.
///
/// # Errors
/// A distribution is unknown, or the database cannot be read.
pub fn dump(archive: &Archive<'_>, names: &[String]) -> Result<String> {
    let snapshot = archive.snapshot()?;
    let mut text = String::new();
    for distribution in archive.distributions(names)? {
        let tracks = snapshot.tracks(&distribution.codename)?;
        text += &tracking::dump(distribution, &packages(&snapshot, distribution)?, &tracks);
    }
    Ok(text)
}

/// A tracking record and the distribution that it is of.
#[derive(Debug, Serialize)]
pub struct TrackRow {
    /// The distribution.
    pub codename: Codename,
    /// The record.
    #[serde(flatten)]
    pub track: Track,
}

/// The records of the named distributions, or of all that track.
///
/// # Errors
/// A distribution is unknown, or the database cannot be read.
pub fn tracks(archive: &Archive<'_>, names: &[String]) -> Result<Vec<TrackRow>> {
    let snapshot = archive.snapshot()?;
    let mut all = Vec::new();
    for distribution in archive.distributions(names)? {
        let tracks = snapshot.tracks(&distribution.codename)?;
        all.extend(tracks.into_iter().map(|track| TrackRow {
            codename: distribution.codename.clone(),
            track,
        }));
    }
    Ok(all)
}

/// Every package of a distribution.
///
/// # Errors
/// The database cannot be read.
pub fn packages(snapshot: &Snapshot, distribution: &Distribution) -> Result<Vec<(IndexId, Entry)>> {
    let found = query::find(
        snapshot,
        distribution,
        &crate::model::Restriction::default(),
        &Selection::All,
    )?;
    Ok(found.into_iter().map(|Found { index, entry }| (index, entry)).collect())
}

/// Drops what tracking no longer keeps; with `rebuild` (`retrack`) adds first what no record has.
///
/// # Errors
/// A distribution is unknown, read-only, or does not track though it was named.
pub fn tidy(archive: &Archive<'_>, names: &[String], rebuild: bool) -> Result<Outcome> {
    let distributions = archive.distributions(names)?;
    let session = Session::begin(archive)?;
    let store = session.open()?;
    let snapshot = store.snapshot()?;
    let mut plan = Plan::default();
    for distribution in distributions {
        if distribution.tracking.is_none() {
            if names.is_empty() {
                continue;
            }
            return Err(Error::NoTracking {
                codename: distribution.codename.clone(),
            });
        }
        if distribution.read_only {
            if names.is_empty() {
                continue;
            }
            return Err(Error::ReadOnly {
                codename: distribution.codename.clone(),
            });
        }
        let packages = packages(&snapshot, distribution)?;
        let tracks = snapshot.tracks(&distribution.codename)?;
        plan.track_edits
            .extend(tracking::tidy(distribution, &packages, tracks, rebuild));
    }
    session.carry_out(plan, &Told::default())
}

/// Forgets one record; files that only it kept become garbage.
///
/// # Errors
/// The distribution is unknown or read-only, or has no such record.
pub fn remove(archive: &Archive<'_>, name: &str, source: &SourceName, version: &Version) -> Result<Outcome> {
    let distribution = archive.writable_distribution(name)?;
    let codename = distribution.codename.clone();
    let session = Session::begin(archive)?;
    let store = session.open()?;
    if !store
        .snapshot()?
        .tracks_of(&codename, source)?
        .iter()
        .any(|track| track.version == *version)
    {
        return Err(Error::NoTrack {
            codename,
            source_name: source.to_string(),
            version: version.clone(),
        });
    }
    let edit = TrackEdit::Remove {
        codename,
        source: source.clone(),
        version: version.clone(),
    };
    let plan = Plan {
        track_edits: vec![edit],
        ..Plan::default()
    };
    session.carry_out(plan, &Told::default())
}

/// Forgets all records of distributions. While the configuration still says `Tracking:`, only with `--delete`.
///
/// # Errors
/// A distribution is unknown or read-only, or still tracks.
pub fn remove_all(archive: &Archive<'_>, names: &[String]) -> Result<Outcome> {
    let session = Session::begin(archive)?;
    let store = session.open()?;
    let snapshot = store.snapshot()?;
    let mut plan = Plan::default();
    for name in names {
        let distribution = archive.writable_distribution(name)?;
        if distribution.tracking.is_some() && archive.settings.options.delete_count() == 0 {
            return Err(Error::StillTracking {
                codename: distribution.codename.clone(),
            });
        }
        let tracks = snapshot.tracks(&distribution.codename)?;
        plan.track_edits
            .extend(tracks.into_iter().map(|track| TrackEdit::Remove {
                codename: distribution.codename.clone(),
                source: track.source,
                version: track.version,
            }));
    }
    session.carry_out(plan, &Told::default())
}
