//! The reading commands: `list`, `ls`, `lsbycomponent`, `show`, `dumptracks`, `dumpreferences`. They take one snapshot
//! and never wait for a writer.

use globset::GlobMatcher;
use serde::Serialize;

use crate::conf::distribution::Distribution;
use crate::model::{Entry, IndexId, PackageName, Restriction};
use crate::store::Snapshot;

use super::Result;

/// Which packages of an index a command means.
#[derive(Debug, Clone)]
pub enum Selection {
    /// All.
    All,
    /// Those of one name.
    Name(PackageName),
    /// Those whose name a glob matches.
    Matching(GlobMatcher),
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
    for index in distribution
        .indexes()
        .into_iter()
        .filter(|index| restriction.admits(index))
    {
        let mut entries = match selection {
            Selection::Name(name) => snapshot.find(&index, name)?,
            Selection::All => snapshot.entries(&index)?,
            Selection::Matching(glob) => {
                let mut entries = snapshot.entries(&index)?;
                entries.retain(|entry| glob.is_match(entry.name.as_str()));
                entries
            }
        };
        entries.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| b.version.compare(&a.version)));
        found.extend(entries.into_iter().map(|entry| Found {
            index: index.clone(),
            entry,
        }));
    }
    Ok(found)
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
