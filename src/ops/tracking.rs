//! Tracking: which files came in for a source version, and how long they are kept for it (reprepro's `Tracking:`).
//! The first half is pure: records follow from the changes of a plan. The second half is the commands.

use std::collections::{BTreeMap, BTreeSet};

use crate::conf::distribution::{Distribution, Tracking, TrackingMode};
use crate::model::{ArchivePath, Entry, IndexId, PackageType, SourceName, Track, TrackedFile, TrackedKind, Version};

use super::plan::{Change, ExtraTrackedFile, TrackEdit};

type SourceVersion = (SourceName, Version);

/// The files of an entry as a tracking record has them.
fn tracked_files(index: &IndexId, entry: &Entry) -> impl Iterator<Item = TrackedFile> {
    let package_type = index.kind.package_type();
    entry.files.iter().map(move |file| {
        let is_all = file
            .path
            .as_str()
            .rsplit_once('_')
            .is_some_and(|(_, end)| end.starts_with("all."));
        let kind = match package_type {
            PackageType::Dsc => TrackedKind::Source,
            _ if is_all => TrackedKind::AllBinary,
            _ => TrackedKind::ArchBinary,
        };
        TrackedFile {
            file: file.clone(),
            kind,
        }
    })
}

fn add_file(track: &mut Track, file: TrackedFile) {
    if let Err(at) = track
        .files
        .binary_search_by(|known| known.file.path.cmp(&file.file.path))
    {
        track.files.insert(at, file);
    }
}

/// What is left of a record when only `in_index` is still listed; `None` if all of it goes.
fn settle(tracking: Tracking, mut track: Track, in_index: &BTreeSet<&ArchivePath>) -> Option<Track> {
    let is_package = |file: &TrackedFile| {
        matches!(
            file.kind,
            TrackedKind::AllBinary | TrackedKind::ArchBinary | TrackedKind::Source
        )
    };
    let is_listed = |file: &TrackedFile| in_index.contains(&file.file.path);
    let any_listed = track.files.iter().any(|file| is_package(file) && is_listed(file));
    match tracking.mode {
        TrackingMode::Keep => Some(track),
        TrackingMode::All => any_listed.then_some(track),
        TrackingMode::Minimal => {
            if !any_listed {
                return None;
            }
            let binary_listed = track
                .files
                .iter()
                .any(|file| file.kind != TrackedKind::Source && is_package(file) && is_listed(file));
            track.files.retain(|file| {
                let kept_source = tracking.keep_sources && file.kind == TrackedKind::Source && binary_listed;
                !is_package(file) || is_listed(file) || kept_source
            });
            Some(track)
        }
    }
}

/// The state of one source in one distribution: its packages and its records.
#[derive(Debug, Default)]
pub struct SourceState {
    /// Its packages, with the index that lists each.
    pub packages: Vec<(IndexId, Entry)>,
    /// Its records.
    pub tracks: Vec<Track>,
}

/// The changes of tracking data that follow from `changes` in `distribution`. `state` gives, for each source that they
/// touch, what is there before.
#[must_use]
pub fn follow_changes(
    distribution: &Distribution,
    changes: &[Change],
    extra: &[ExtraTrackedFile],
    state: &BTreeMap<SourceName, SourceState>,
) -> Vec<TrackEdit> {
    let Some(tracking) = distribution.tracking else {
        return Vec::new();
    };
    let ours = |change: &&Change| change.index().codename == distribution.codename;
    let mut touched: BTreeMap<SourceVersion, Vec<TrackedFile>> = BTreeMap::new();
    for change in changes.iter().filter(ours) {
        for old in change.old_entries() {
            touched
                .entry((old.source.clone(), old.source_version.clone()))
                .or_default();
        }
        if let Some(new) = change.new_package() {
            let files = touched
                .entry((new.entry.source.clone(), new.entry.source_version.clone()))
                .or_default();
            files.extend(tracked_files(change.index(), &new.entry));
        }
    }
    for extra in extra.iter().filter(|extra| extra.codename == distribution.codename) {
        touched
            .entry((extra.source.clone(), extra.version.clone()))
            .or_default()
            .push(extra.file.clone());
    }
    let no_state = SourceState::default();
    let edits = touched.into_iter().filter_map(|((source, version), files)| {
        let state = state.get(&source).unwrap_or(&no_state);
        let after = packages_after(&state.packages, changes, &source);
        // versions of a source may share a file: it counts for the one whose package lists it
        let listed: BTreeSet<&ArchivePath> = after
            .iter()
            .filter(|entry| entry.source_version == version)
            .flat_map(|entry| &entry.files)
            .map(|file| &file.path)
            .collect();
        let before = state.tracks.iter().find(|track| track.version == version);
        let mut track = before.cloned().unwrap_or(Track {
            source,
            version,
            files: Vec::new(),
        });
        files.into_iter().for_each(|file| add_file(&mut track, file));
        edit(distribution, before, track, |track| settle(tracking, track, &listed))
    });
    edits.collect()
}

/// The packages of `source` in the distribution as they are after `changes`.
fn packages_after<'a>(before: &'a [(IndexId, Entry)], changes: &'a [Change], source: &SourceName) -> Vec<&'a Entry> {
    let mut after: BTreeMap<(&IndexId, &str, &str), &Entry> = BTreeMap::new();
    for (index, entry) in before {
        after.insert((index, entry.name.as_str(), entry.version.as_str()), entry);
    }
    for change in changes {
        let index = change.index();
        for old in change.old_entries() {
            after.remove(&(index, old.name.as_str(), old.version.as_str()));
        }
        if let Some(new) = change.new_package().filter(|new| new.entry.source == *source) {
            after.insert((index, new.entry.name.as_str(), new.entry.version.as_str()), &new.entry);
        }
    }
    after.into_values().collect()
}

fn edit(
    distribution: &Distribution,
    before: Option<&Track>,
    track: Track,
    settle: impl FnOnce(Track) -> Option<Track>,
) -> Option<TrackEdit> {
    let codename = distribution.codename.clone();
    let (source, version) = (track.source.clone(), track.version.clone());
    match (before, settle(track).filter(|track| !track.files.is_empty())) {
        (Some(before), Some(after)) if *before == after => None,
        (None, None) => None,
        (_, Some(track)) => Some(TrackEdit::Put { codename, track }),
        (Some(_), None) => Some(TrackEdit::Remove {
            codename,
            source,
            version,
        }),
    }
}

/// Brings all records of a distribution up to its packages: files of packages that no record has are added if
/// `rebuild`, and what the tracking mode no longer keeps goes.
#[must_use]
pub fn tidy(
    distribution: &Distribution,
    packages: &[(IndexId, Entry)],
    tracks: Vec<Track>,
    rebuild: bool,
) -> Vec<TrackEdit> {
    let Some(tracking) = distribution.tracking else {
        return Vec::new();
    };
    let before: BTreeMap<SourceVersion, Track> = tracks
        .into_iter()
        .map(|track| ((track.source.clone(), track.version.clone()), track))
        .collect();
    let mut wanted = before.clone();
    let mut listed: BTreeMap<(&SourceName, &Version), BTreeSet<&ArchivePath>> = BTreeMap::new();
    for (index, entry) in packages {
        listed
            .entry((&entry.source, &entry.source_version))
            .or_default()
            .extend(entry.files.iter().map(|file| &file.path));
        if rebuild {
            let key = (entry.source.clone(), entry.source_version.clone());
            let (source, version) = key.clone();
            let track = wanted.entry(key).or_insert(Track {
                source,
                version,
                files: Vec::new(),
            });
            tracked_files(index, entry).for_each(|file| add_file(track, file));
        }
    }
    let nothing = BTreeSet::new();
    let edits = wanted.into_iter().filter_map(|(key, track)| {
        let in_index = listed.get(&(&key.0, &key.1)).unwrap_or(&nothing);
        edit(distribution, before.get(&key), track, |track| {
            settle(tracking, track, in_index)
        })
    });
    edits.collect()
}

/// The records of a distribution as `dumptracks` prints them: each file with its type letter and the number of indexes
/// that list it for that source version.
#[must_use]
pub fn dump(distribution: &Distribution, packages: &[(IndexId, Entry)], tracks: &[Track]) -> String {
    let mut uses: BTreeMap<(&SourceName, &Version, &ArchivePath), usize> = BTreeMap::new();
    for (_, entry) in packages {
        for file in &entry.files {
            *uses
                .entry((&entry.source, &entry.source_version, &file.path))
                .or_default() += 1;
        }
    }
    let mut text = String::new();
    for track in tracks {
        let Track { source, version, files } = track;
        text += &format!(
            "Distribution: {}\nSource: {source}\nVersion: {version}\nFiles:\n",
            distribution.codename
        );
        for TrackedFile { file, kind } in files {
            let count = uses.get(&(source, version, &file.path)).copied().unwrap_or(0);
            text += &format!(" {} {} {count}\n", file.path, kind.letter());
        }
        text.push('\n');
    }
    text
}
