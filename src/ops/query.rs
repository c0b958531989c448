//! The reading commands: `list`, `ls`, `lsbycomponent`, `show`, `dumptracks`, `dumpreferences`. They take one snapshot
//! and never wait for a writer.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde::Serialize;

use crate::conf::distribution::Distribution;
use crate::conf::formula::Subject;
use crate::conf::{Formula, glob};
use crate::model::{ArchivePath, Entry, IndexId, PackageName, Restriction, Stanza, Track, Version};
use crate::store::Snapshot;

use super::archive::Archive;
use super::list_format::ListFormat;
use super::{Error, Result};

/// Which packages of an index a command means.
#[derive(Debug, Clone)]
pub enum Selection {
    /// All.
    All,
    /// None.
    Nothing,
    /// Those of one name.
    Name(PackageName),
    /// Those whose name a glob matches.
    Matching(String),
    /// Those that fulfil a formula.
    Fulfilling(Formula),
}

/// A package with the index that lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The index.
    pub index: IndexId,
    /// The package.
    pub entry: Entry,
}

/// The selected packages of a distribution in the order of `list`: by index, then by name, highest version first.
///
/// # Errors
/// The store cannot be read.
pub fn find(
    snapshot: &Snapshot,
    distribution: &Distribution,
    restriction: &Restriction,
    selection: &Selection,
) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    each_found(snapshot, distribution, restriction, selection, &mut |one| {
        found.push(one);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Calls `each` for what [`find`] finds, until it breaks off. Without a formula few packages are in memory at a time.
fn each_found(
    snapshot: &Snapshot,
    distribution: &Distribution,
    restriction: &Restriction,
    selection: &Selection,
    each: &mut dyn FnMut(Found) -> ControlFlow<()>,
) -> Result<()> {
    let indexes = distribution.indexes();
    for index in indexes.iter().filter(|index| restriction.admits(index)) {
        let mut give = |mut entries: Vec<Entry>| {
            entries.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| b.version.compare(&a.version)));
            entries.into_iter().try_for_each(|entry| {
                let index = index.clone();
                each(Found { index, entry })
            })
        };
        let given = match selection {
            Selection::Name(name) => give(snapshot.find(index, name)?),
            Selection::All => snapshot.entries_by_parts(index, give)?,
            Selection::Nothing => ControlFlow::Continue(()),
            Selection::Matching(glob) => snapshot.entries_by_parts(index, |mut entries| {
                entries.retain(|entry| glob::matches(glob, entry.name.as_str()));
                give(entries)
            })?,
            Selection::Fulfilling(formula) => give(fulfilling(snapshot, index, formula)?),
        };
        if given.is_break() {
            break;
        }
    }
    Ok(())
}

/// Of several versions of a package in an index only the highest: what a command means that names no version.
#[must_use]
pub fn highest(mut found: Vec<Found>) -> Vec<Found> {
    // `find` gives the versions of a package one after the other, the highest first
    found.dedup_by(|next, kept| next.index == kept.index && next.entry.name == kept.entry.name);
    found
}

/// The packages of this version, or of the highest if none is named.
#[must_use]
pub fn of_version(mut found: Vec<Found>, version: Option<&Version>) -> Vec<Found> {
    let Some(version) = version else {
        return highest(found);
    };
    found.retain(|found| found.entry.version.compare(version).is_eq());
    found
}

/// The packages of an index that fulfil a formula.
fn fulfilling(snapshot: &Snapshot, index: &IndexId, formula: &Formula) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut unreadable = None;
    snapshot.for_each_package(index, |entry, text| {
        let stanza = match Stanza::parse(text) {
            Ok(stanza) => stanza,
            Err(source) => {
                // without its fields every `!Field` would hold, and `removefilter` would take it out
                unreadable = Some((entry.name, source));
                return Ok(());
            }
        };
        let holds = formula.holds(|subject| match subject {
            Subject::Field(name) => stanza.get_bytes(name).map(String::from_utf8_lossy),
            Subject::Version => Some(entry.version.as_str().into()),
            Subject::SourceVersion => Some(entry.source_version.as_str().into()),
            Subject::Source => Some(entry.source.as_str().into()),
            Subject::Architecture => Some(index.kind.architecture_word().into()),
            Subject::Component => Some(index.component.as_str().into()),
            Subject::Type => Some(index.kind.package_type().as_str().into()),
        });
        if holds {
            entries.push(entry);
        }
        Ok(())
    })?;
    match unreadable {
        None => Ok(entries),
        Some((package, source)) => Err(Error::Stanza {
            index: index.to_string(),
            package: package.to_string(),
            source,
        }),
    }
}

/// Calls `each` for the selected packages of the distribution of that name, of those `--list-skip` and `--list-max`
/// leave, until it breaks off; gives it the snapshot that they are from.
///
/// # Errors
/// The distribution, a component or an architecture is unknown, or the store cannot be read.
pub fn list(
    archive: &Archive<'_>,
    name: &str,
    selection: &Selection,
    mut each: impl FnMut(&Snapshot, Found) -> ControlFlow<()>,
) -> Result<()> {
    let distribution = archive.distribution(name)?;
    archive.check_restriction_anywhere()?;
    let options = &archive.settings.options;
    let mut skipped = options.list_skip.unwrap_or(0);
    let mut left = options.list_max.unwrap_or(u64::MAX);
    let snapshot = archive.snapshot()?;
    let restriction = &archive.settings.restriction;
    each_found(&snapshot, distribution, restriction, selection, &mut |found| {
        if skipped > 0 {
            skipped -= 1;
            return ControlFlow::Continue(());
        }
        if left == 0 {
            return ControlFlow::Break(());
        }
        left -= 1;
        each(&snapshot, found)
    })
}

/// How `list` prints a package.
#[derive(Debug)]
pub struct ListLine<'a> {
    archive: &'a Archive<'a>,
    format: Option<ListFormat>,
}

impl<'a> ListLine<'a> {
    /// As `--list-format` says, or as reprepro does.
    ///
    /// # Errors
    /// `--list-format` is wrong.
    pub fn new(archive: &'a Archive<'a>) -> Result<Self> {
        let template = archive.settings.options.list_format.as_deref();
        let format = template.map(ListFormat::new).transpose()?;
        Ok(Self { archive, format })
    }

    /// The line, its end included, of a package in this snapshot.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of(&self, snapshot: &Snapshot, Found { index, entry }: &Found) -> Result<String> {
        let Some(format) = &self.format else {
            return Ok(format!("{index}: {} {}\n", entry.name, entry.version));
        };
        match snapshot.package(index, &entry.name, &entry.version)? {
            Some(package) => format.format(self.archive, index, &package),
            None => Ok(String::new()),
        }
    }
}

/// One line of `list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListRow {
    /// The distribution.
    pub codename: String,
    /// The component.
    pub component: String,
    /// The architecture, `source` for sources.
    pub architecture: String,
    /// `deb`, `udeb` or `dsc`.
    pub r#type: String,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The source package it was built from.
    pub source: String,
    /// The version of that source.
    pub source_version: String,
}

impl From<&Found> for ListRow {
    fn from(found: &Found) -> Self {
        let Found { index, entry } = found;
        Self {
            codename: index.codename.to_string(),
            component: index.component.to_string(),
            architecture: index.kind.architecture_word().into(),
            r#type: index.kind.package_type().to_string(),
            package: entry.name.to_string(),
            version: entry.version.to_string(),
            source: entry.source.to_string(),
            source_version: entry.source_version.to_string(),
        }
    }
}

/// One line of `ls` or `lsbycomponent`: a version of a package in a distribution, and where it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LsRow {
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The distribution.
    pub codename: String,
    /// The component, for `lsbycomponent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The architectures that have it, `source` among them.
    pub architectures: Vec<String>,
}

/// Every version of a package in every distribution.
///
/// # Errors
/// The store cannot be read.
pub fn ls<'a>(
    snapshot: &Snapshot,
    distributions: impl IntoIterator<Item = &'a Distribution>,
    restriction: &Restriction,
    name: &PackageName,
    by_component: bool,
) -> Result<Vec<LsRow>> {
    let mut rows: Vec<LsRow> = Vec::new();
    for distribution in distributions {
        let first = rows.len();
        for found in find(snapshot, distribution, restriction, &Selection::Name(name.clone()))? {
            let component = by_component.then(|| found.index.component.to_string());
            let version = found.entry.version.to_string();
            let architecture = found.index.kind.architecture_word().to_owned();
            let known = rows
                .iter_mut()
                .skip(first)
                .find(|row| row.version == version && row.component == component);
            match known {
                Some(row) if row.architectures.contains(&architecture) => {}
                Some(row) => row.architectures.push(architecture),
                None => rows.push(LsRow {
                    package: name.to_string(),
                    version,
                    codename: distribution.codename.to_string(),
                    component,
                    architectures: vec![architecture],
                }),
            }
        }
    }
    Ok(rows)
}

/// The rows as reprepro prints them: columns right-aligned over all rows, ` | ` between them.
#[must_use]
pub fn format_ls(rows: &[LsRow]) -> String {
    let width = |column: fn(&LsRow) -> &str| rows.iter().map(|row| column(row).len()).max().unwrap_or(0);
    let version_width = width(|row| &row.version);
    let codename_width = width(|row| &row.codename);
    let component_width = width(|row| row.component.as_deref().unwrap_or_default());
    let lines = rows.iter().map(|row| {
        let LsRow {
            package,
            version,
            codename,
            component,
            architectures,
        } = row;
        let component = component
            .as_ref()
            .map(|component| format!("{component:>component_width$} | "));
        format!(
            "{package} | {version:>version_width$} | {codename:>codename_width$} | {}{}\n",
            component.unwrap_or_default(),
            architectures.join(", ")
        )
    });
    lines.collect()
}

/// A package as `show` prints it: the index that lists it, then its stanza.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The index.
    pub index: String,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Its files in the pool.
    pub files: Vec<String>,
    /// The stanza.
    pub stanza: String,
}

/// What refers to a pool file, as `dumpreferences` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReferenceRow {
    /// The index; or distribution, source and version of a tracking record.
    pub by: String,
    /// The file.
    pub path: ArchivePath,
}

impl std::fmt::Display for ReferenceRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.by, self.path)
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "# {}\n{}", self.index, self.stanza.trim_end_matches('\n'))?;
        writeln!(f)
    }
}

/// The stanzas of a package in the named distributions, or in all.
///
/// # Errors
/// A distribution is unknown, or the store cannot be read.
pub fn show(archive: &Archive<'_>, name: &PackageName, distributions: &[String]) -> Result<Vec<Shown>> {
    let snapshot = archive.snapshot()?;
    let mut shown = Vec::new();
    for distribution in archive.distributions(distributions)? {
        let selection = Selection::Name(name.clone());
        for Found { index, entry } in find(&snapshot, distribution, &archive.settings.restriction, &selection)? {
            let Some(package) = snapshot.package(&index, name, &entry.version)? else {
                continue;
            };
            shown.push(Shown {
                index: index.to_string(),
                package: name.to_string(),
                version: entry.version.to_string(),
                files: entry.files.iter().map(|file| file.path.to_string()).collect(),
                stanza: String::from_utf8_lossy(&package.text).into_owned(),
            });
        }
    }
    Ok(shown)
}

/// What refers to each pool file, as `dumpreferences` prints it: the file and the index, or the tracking record.
///
/// # Errors
/// The store cannot be read.
pub fn references(archive: &Archive<'_>) -> Result<Vec<ReferenceRow>> {
    let snapshot = archive.snapshot()?;
    let mut references = BTreeSet::new();
    for index in snapshot.heads().keys() {
        let files = snapshot.entries(index)?.into_iter().flat_map(|entry| entry.files);
        references.extend(files.map(|file| (file.path, index.to_string())));
    }
    for codename in snapshot.tracked() {
        for Track { source, version, files } in snapshot.tracks(codename)? {
            let record = format!("{codename} {source} {version}");
            references.extend(files.into_iter().map(|file| (file.file.path, record.clone())));
        }
    }
    Ok(references
        .into_iter()
        .map(|(path, by)| ReferenceRow { by, path })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_to_the_right_over_all_rows() {
        let row = |version: &str, codename: &str, component: &str, architectures: &[&str]| LsRow {
            package: "foo".into(),
            version: version.into(),
            codename: codename.into(),
            component: Some(component.into()),
            architectures: architectures.iter().map(ToString::to_string).collect(),
        };
        let rows = [
            row("1.0", "a", "main", &["amd64", "source"]),
            row("2.0.1-1", "longname", "contrib", &["i386"]),
        ];
        assert_eq!(
            format_ls(&rows),
            "foo |     1.0 |        a |    main | amd64, source\n\
             foo | 2.0.1-1 | longname | contrib | i386\n"
        );
    }
}
