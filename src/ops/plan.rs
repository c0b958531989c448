//! What a command is going to change, decided before anything is changed. Pure: the same entries and the same wish
//! give the same plan. Every changing command makes one [`Plan`]; `--dry-run` prints it, else it is carried out.

use std::collections::{BTreeMap, btree_map};
use std::fmt;

use serde::Serialize;

use crate::fsio;
use crate::model::{Codename, Entry, IndexId, ListedPackage, PackageName, SourceName, Track, TrackedFile, Version};

use super::place::NewFile;

/// One change of one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A package that the index did not have.
    Add {
        /// The index.
        index: IndexId,
        /// The package.
        new: ListedPackage,
    },
    /// A package takes the place of one or more versions.
    Replace {
        /// The index.
        index: IndexId,
        /// The package.
        new: ListedPackage,
        /// What it replaces, highest version first.
        old: Vec<Entry>,
    },
    /// A package is taken out.
    Remove {
        /// The index.
        index: IndexId,
        /// What is taken out.
        old: Entry,
    },
}

impl Change {
    /// The index that changes.
    #[must_use]
    pub fn index(&self) -> &IndexId {
        match self {
            Self::Add { index, .. } | Self::Replace { index, .. } | Self::Remove { index, .. } => index,
        }
    }

    /// The package that is there afterwards.
    #[must_use]
    pub fn new_package(&self) -> Option<&ListedPackage> {
        match self {
            Self::Add { new, .. } | Self::Replace { new, .. } => Some(new),
            Self::Remove { .. } => None,
        }
    }

    /// The entries that are gone afterwards.
    #[must_use]
    pub fn old_entries(&self) -> &[Entry] {
        match self {
            Self::Add { .. } => &[],
            Self::Replace { old, .. } => old,
            Self::Remove { old, .. } => std::slice::from_ref(old),
        }
    }

    fn entry(&self) -> &Entry {
        match self {
            Self::Add { new, .. } | Self::Replace { new, .. } => &new.entry,
            Self::Remove { old, .. } => old,
        }
    }
}

/// One change of the tracking data of a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackEdit {
    /// The record is to be as given.
    Put {
        /// The distribution.
        codename: Codename,
        /// The record.
        track: Track,
    },
    /// The record is to go.
    Remove {
        /// The distribution.
        codename: Codename,
        /// The source package.
        source: SourceName,
        /// Its version.
        version: Version,
    },
}

impl TrackEdit {
    /// The record that it is about.
    #[must_use]
    pub fn key(&self) -> (&Codename, &SourceName, &Version) {
        match self {
            Self::Put { codename, track } => (codename, &track.source, &track.version),
            Self::Remove {
                codename,
                source,
                version,
            } => (codename, source, version),
        }
    }
}

/// A file that the command wants to be in a source's tracking record beside the files of its packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraTrackedFile {
    /// The distribution.
    pub codename: Codename,
    /// The source package.
    pub source: SourceName,
    /// Its version.
    pub version: Version,
    /// The file.
    pub file: TrackedFile,
}

/// All that a command is going to change.
#[derive(Debug, Default)]
pub struct Plan {
    /// The changes of indexes, in the order in which they were decided.
    pub changes: Vec<Change>,
    /// Files to bring into the pool.
    pub new_files: Vec<NewFile>,
    /// Files that belong to a source version without being a package of an index: .changes, logs, by-hand files.
    pub extra_tracked: Vec<ExtraTrackedFile>,
    /// Changes of tracking data that the command makes itself; those that follow from `changes` come on top.
    pub track_edits: Vec<TrackEdit>,
    /// What makes the texts of new packages that have none yet.
    pub texts: Option<Box<dyn Texts>>,
}

/// Makes the texts of new packages when they are written: all those of a first mirror would fill the memory.
pub trait Texts: fmt::Debug {
    /// The text of the package that a change brings, by the change's place in the plan.
    ///
    /// # Errors
    /// What it is made of cannot be read.
    fn text(&self, at: usize, change: &Change) -> Result<Vec<u8>, fsio::Error>;
}

impl Plan {
    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.track_edits.is_empty() && self.extra_tracked.is_empty()
    }

    /// The plan as rows, for printing and for `--json`.
    #[must_use]
    pub fn rows(&self) -> Vec<PlanRow> {
        let mut rows: Vec<PlanRow> = self.changes.iter().map(PlanRow::of_change).collect();
        rows.sort_by(|a, b| (&a.index, &a.package).cmp(&(&b.index, &b.package)));
        rows.extend(self.track_edits.iter().filter_map(PlanRow::of_track_edit));
        rows
    }
}

/// What happens to a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Add,
    /// It replaces another version.
    Replace,
    /// It goes.
    Remove,
    /// Its tracking record goes.
    Untrack,
}

/// One line of a printed plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanRow {
    /// The index, or the distribution for a tracking record.
    pub index: String,
    /// What happens.
    pub action: Action,
    /// The package, or the source of a tracking record.
    pub package: String,
    /// Its version; for a removal the version that goes.
    pub version: String,
    /// The versions that it replaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
}

impl PlanRow {
    fn of_change(change: &Change) -> Self {
        let entry = change.entry();
        let (action, replaces) = match change {
            Change::Add { .. } => (Action::Add, Vec::new()),
            Change::Replace { old, .. } => (
                Action::Replace,
                old.iter().map(|entry| entry.version.to_string()).collect(),
            ),
            Change::Remove { .. } => (Action::Remove, Vec::new()),
        };
        Self {
            index: change.index().to_string(),
            action,
            package: entry.name.to_string(),
            version: entry.version.to_string(),
            replaces,
        }
    }

    /// The rows of a package of which `new` versions come and `gone` ones go, as a plan of these would show them.
    pub(super) fn of_fate<'a>(
        index: &IndexId,
        name: &PackageName,
        new: impl Iterator<Item = &'a Version>,
        gone: &[Entry],
    ) -> Vec<Self> {
        let row = |action, version: &Version, replaces| Self {
            index: index.to_string(),
            action,
            package: name.to_string(),
            version: version.to_string(),
            replaces,
        };
        let mut left: Vec<&Entry> = gone.iter().collect();
        let mut rows = Vec::new();
        for version in new {
            let replaces: Vec<String> = left.drain(..).map(|entry| entry.version.to_string()).collect();
            let action = if replaces.is_empty() {
                Action::Add
            } else {
                Action::Replace
            };
            rows.push(row(action, version, replaces));
        }
        rows.extend(
            left.into_iter()
                .map(|entry| row(Action::Remove, &entry.version, Vec::new())),
        );
        rows
    }

    fn of_track_edit(edit: &TrackEdit) -> Option<Self> {
        let TrackEdit::Remove {
            codename,
            source,
            version,
        } = edit
        else {
            return None;
        };
        Some(Self {
            index: codename.to_string(),
            action: Action::Untrack,
            package: source.to_string(),
            version: version.to_string(),
            replaces: Vec::new(),
        })
    }
}

impl fmt::Display for PlanRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            index,
            package,
            version,
            ..
        } = self;
        match self.action {
            Action::Add => write!(f, "{index}: add {package} {version}"),
            Action::Replace => write!(
                f,
                "{index}: replace {package} {} by {version}",
                self.replaces.join(", ")
            ),
            Action::Remove => write!(f, "{index}: remove {package} {version}"),
            Action::Untrack => write!(f, "{index}: forget the files of {package} {version}"),
        }
    }
}

/// How strict an addition is about what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addition {
    /// Never replaces a higher version, and leaves an equal one alone.
    Include,
    /// As a copy: an equal version is written anew where it differs; a lower one is refused.
    Copy,
    /// As a copy, and a lower version may replace a higher one.
    CopyWithDowngrade,
}

/// What came of one addition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is in the plan, as new or in the place of these packages.
    Planned {
        /// What it replaces, highest version first.
        replaced: Vec<ListedPackage>,
    },
    /// The index has just this package.
    AlreadyThere,
    /// The index has this version, which is equal or higher, and keeps it.
    Skipped {
        /// The version that stays.
        has: Version,
    },
    /// It would replace this higher version, which only [`Addition::CopyWithDowngrade`] may.
    WouldDowngrade {
        /// The version that stays.
        has: Version,
    },
}

/// The changes planned so far, and the packages as they would be after them.
#[derive(Debug, Default)]
pub struct Planned {
    changes: Vec<Change>,
    current: BTreeMap<(IndexId, PackageName), Vec<ListedPackage>>,
}

impl Planned {
    /// Decides on one package for one index that keeps `limit` versions of a package (`None`: all). `there` finds the
    /// versions that the index has.
    ///
    /// # Errors
    /// Those of `there`.
    pub fn add<E>(
        &mut self,
        index: &IndexId,
        package: ListedPackage,
        rule: (Addition, Option<usize>),
        there: impl FnOnce() -> Result<Vec<ListedPackage>, E>,
    ) -> Result<Decision, E> {
        let (addition, limit) = rule;
        let versions = match self.current.entry((index.clone(), package.entry.name.clone())) {
            btree_map::Entry::Occupied(known) => known.into_mut(),
            btree_map::Entry::Vacant(unknown) => unknown.insert(there()?),
        };
        versions.sort_by(|a, b| b.entry.version.compare(&a.entry.version));
        let goes = match decide(versions, &package, addition, limit) {
            Ok(goes) => goes,
            Err(decision) => return Ok(decision),
        };
        let (replaced, kept): (Vec<_>, Vec<_>) = std::mem::take(versions)
            .into_iter()
            .partition(|listed| goes.contains(&listed.entry.version));
        *versions = kept;
        versions.push(package.clone());
        let index = index.clone();
        self.changes.push(if replaced.is_empty() {
            Change::Add { index, new: package }
        } else {
            let old = replaced.iter().map(|listed| listed.entry.clone()).collect();
            Change::Replace {
                index,
                new: package,
                old,
            }
        });
        Ok(Decision::Planned { replaced })
    }

    /// Plans to take one entry out.
    pub fn remove(&mut self, index: &IndexId, entry: &Entry) {
        let key = (index.clone(), entry.name.clone());
        if let Some(versions) = self.current.get_mut(&key) {
            versions.retain(|known| known.entry.version != entry.version);
        }
        self.changes.push(Change::Remove {
            index: index.clone(),
            old: entry.clone(),
        });
    }

    /// The changes, in the order in which they were decided.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        self.changes
    }
}

/// The versions that go when `package` comes to `versions`, highest first; or the decision not to take it.
fn decide(
    versions: &[ListedPackage],
    package: &ListedPackage,
    addition: Addition,
    limit: Option<usize>,
) -> Result<Vec<Version>, Decision> {
    let version = &package.entry.version;
    let equal = versions
        .iter()
        .find(|listed| listed.entry.version.compare(version).is_eq());
    if let Some(equal) = equal {
        return match addition {
            _ if equal == package => Err(Decision::AlreadyThere),
            Addition::Include => Err(Decision::Skipped {
                has: equal.entry.version.clone(),
            }),
            Addition::Copy | Addition::CopyWithDowngrade => Ok(vec![equal.entry.version.clone()]),
        };
    }
    let (Some(highest), Some(lowest)) = (versions.first(), versions.last()) else {
        return Ok(Vec::new());
    };
    if limit.is_none_or(|limit| versions.len() < limit) {
        return Ok(Vec::new());
    }
    // without room the lowest version goes, unless the new one would itself be the lowest
    if version.compare(&lowest.entry.version).is_gt() {
        let kept = limit.unwrap_or(1).saturating_sub(1);
        let goes = versions.iter().skip(kept);
        return Ok(goes.map(|listed| listed.entry.version.clone()).collect());
    }
    let has = highest.entry.version.clone();
    match addition {
        Addition::Include => Err(Decision::Skipped { has }),
        Addition::Copy => Err(Decision::WouldDowngrade { has }),
        Addition::CopyWithDowngrade => Ok(vec![has]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn package(version: &str) -> ListedPackage {
        let version = Version::new(version).unwrap();
        let name = PackageName::new("hello").unwrap();
        let source = SourceName::from(&name);
        let entry = Entry {
            name,
            version: version.clone(),
            source,
            source_version: version,
            files: Vec::new(),
        };
        ListedPackage {
            text: format!("Package: hello\nVersion: {}\n\n", entry.version).into_bytes(),
            entry,
        }
    }

    fn index() -> IndexId {
        "staging|main|amd64".parse().unwrap()
    }

    /// The decision on `new` where `there` is in the index.
    fn decision(there: &[&str], new: &str, addition: Addition, limit: Option<usize>) -> (Decision, Vec<String>) {
        let mut planned = Planned::default();
        let found = there.iter().map(|version| package(version)).collect();
        let decision = planned
            .add::<Infallible>(&index(), package(new), (addition, limit), || Ok(found))
            .unwrap();
        let plan = Plan {
            changes: planned.into_changes(),
            ..Plan::default()
        };
        (decision, plan.rows().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_include_never_goes_back() {
        let (decision, rows) = decision(&["1.1"], "1.0", Addition::Include, Some(1));
        assert_eq!(
            decision,
            Decision::Skipped {
                has: Version::new("1.1").unwrap()
            }
        );
        assert!(rows.is_empty());
    }

    #[test]
    fn a_higher_version_replaces_and_says_what() {
        let (_, rows) = decision(&["1.0"], "1.1", Addition::Include, Some(1));
        assert_eq!(rows, ["staging|main|amd64: replace hello 1.0 by 1.1"]);
    }

    #[test]
    fn an_equal_package_is_already_there_for_include_and_copy() {
        for addition in [Addition::Include, Addition::Copy] {
            assert_eq!(decision(&["1.0"], "1.0", addition, Some(1)).0, Decision::AlreadyThere);
        }
    }

    #[test]
    fn a_copy_downgrades_only_when_told() {
        let has = Version::new("1.1").unwrap();
        assert_eq!(
            decision(&["1.1"], "1.0", Addition::Copy, Some(1)).0,
            Decision::WouldDowngrade { has }
        );
        let (_, rows) = decision(&["1.1"], "1.0", Addition::CopyWithDowngrade, Some(1));
        assert_eq!(rows, ["staging|main|amd64: replace hello 1.1 by 1.0"]);
    }

    #[test]
    fn a_limit_keeps_so_many_versions_and_drops_the_lowest() {
        assert_eq!(
            decision(&["1.0"], "1.1", Addition::Include, Some(2)).1,
            ["staging|main|amd64: add hello 1.1"]
        );
        assert_eq!(
            decision(&["1.1", "1.0"], "1.2", Addition::Include, Some(2)).1,
            ["staging|main|amd64: replace hello 1.0 by 1.2"]
        );
        assert_eq!(
            decision(&["1.1"], "1.0", Addition::Include, None).1,
            ["staging|main|amd64: add hello 1.0"]
        );
    }

    #[test]
    fn a_lowered_limit_drops_all_that_is_too_much() {
        assert_eq!(
            decision(&["1.2", "1.1", "1.0"], "1.3", Addition::Include, Some(2)).1,
            ["staging|main|amd64: replace hello 1.1, 1.0 by 1.3"]
        );
    }

    #[test]
    fn a_second_addition_sees_the_first() {
        let mut planned = Planned::default();
        let rule = (Addition::Include, Some(1));
        planned
            .add::<Infallible>(&index(), package("1.1"), rule, || Ok(Vec::new()))
            .unwrap();
        let second = planned
            .add::<Infallible>(&index(), package("1.0"), rule, || unreachable!())
            .unwrap();
        assert_eq!(
            second,
            Decision::Skipped {
                has: Version::new("1.1").unwrap()
            }
        );
    }
}
