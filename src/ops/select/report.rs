//! What `update` or `pull` would do, in the words of reprepro's `checkupdate` and `dumpupdate`, or as rows for JSON.

use serde::Serialize;

use crate::model::IndexId;

use super::marks::Fate;

/// What becomes of one package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpdateRow {
    /// The index.
    pub index: String,
    /// `add`, `update`, `delete`, `keep`; or `omit` for what one rule takes and a later one drops.
    pub action: &'static str,
    /// The package.
    pub package: String,
    /// The version that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The version that comes; for `delete`, `keep` and `omit` the best one that was offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The rule that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Its files in the pool, if it comes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Those of them that have to be fetched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files_needed: Vec<String>,
}

/// A package that comes, as a report tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coming {
    /// Its version.
    pub version: String,
    /// The rule that it comes from.
    pub rule: String,
    /// Its files in the pool.
    pub files: Vec<String>,
    /// Those of them that have to be fetched.
    pub files_needed: Vec<String>,
}

/// What `update` or `pull` would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The indexes that were looked at.
    pub indexes: Vec<String>,
    /// What becomes of their packages.
    pub rows: Vec<UpdateRow>,
    /// How many files have to be fetched.
    pub files_to_fetch: usize,
    /// How many bytes these have.
    pub bytes_to_fetch: u64,
}

impl Report {
    /// Adds what becomes of the packages of one index; `coming` tells of those that come.
    pub(in super::super) fn add<C>(&mut self, index: &IndexId, fates: &[Fate<C>], coming: impl Fn(&C) -> Coming) {
        self.indexes.push(index.to_string());
        self.rows
            .extend(fates.iter().flat_map(|fate| rows(index, fate, &coming)));
    }

    fn of_index<'a>(&'a self, index: &'a str) -> impl Iterator<Item = &'a UpdateRow> {
        self.rows.iter().filter(move |row| row.index == index)
    }

    /// The text of `checkupdate`. What stays is told from one `-v` on, with a better offer from two on.
    #[must_use]
    pub fn check_text(&self, verbosity: i32) -> String {
        let mut text = String::new();
        for index in &self.indexes {
            text += &format!("Updates needed for '{index}':\n");
            for row in self.of_index(index) {
                text += &check_line(row, verbosity);
            }
        }
        text
    }

    /// The text of `dumpupdate`.
    #[must_use]
    pub fn dump_text(&self) -> String {
        let mut text = String::new();
        for index in &self.indexes {
            text += &format!("Updates needed for '{index}':\n");
            for row in self.of_index(index) {
                text += &dump_line(row);
            }
        }
        text
    }
}

fn rows<C>(index: &IndexId, fate: &Fate<C>, coming: impl Fn(&C) -> Coming) -> Vec<UpdateRow> {
    let row = |action: &'static str, from: Option<String>, to: Option<String>| UpdateRow {
        index: index.to_string(),
        action,
        package: fate.name.to_string(),
        from,
        to,
        rule: None,
        files: Vec::new(),
        files_needed: Vec::new(),
    };
    let best_new = || fate.best_new.as_ref().map(ToString::to_string);
    let mut gone = fate.gone.iter().map(|entry| entry.version.to_string());
    let mut rows = Vec::new();
    for new in fate.new.iter().map(coming) {
        let from = gone.next();
        let action = if from.is_some() { "update" } else { "add" };
        rows.push(UpdateRow {
            rule: Some(new.rule),
            files: new.files,
            files_needed: new.files_needed,
            ..row(action, from, Some(new.version))
        });
    }
    rows.extend(gone.map(|version| row("delete", Some(version), best_new())));
    rows.extend(
        fate.kept
            .iter()
            .map(|version| row("keep", Some(version.to_string()), best_new())),
    );
    if rows.is_empty() {
        rows.push(row("omit", None, best_new()));
    }
    rows
}

fn check_line(row: &UpdateRow, verbosity: i32) -> String {
    let UpdateRow { package, from, to, .. } = row;
    let (from, to) = (from.as_deref().unwrap_or_default(), to.as_deref());
    let rule = row.rule.as_deref().unwrap_or_default();
    // reprepro names all files here, those that are there already, too
    let files = format!("\n files needed: {}", row.files.join(" "));
    match (row.action, to) {
        ("add", Some(to)) => format!("'{package}': newly installed as '{to}' (from '{rule}'):{files}\n"),
        ("update", Some(to)) => format!("'{package}': '{from}' will be upgraded to '{to}' (from '{rule}'):{files}\n"),
        ("delete", Some(to)) => format!("'{package}': '{from}' will be deleted (best new: '{to}')\n"),
        ("delete", None) => format!("'{package}': '{from}' will be deleted (no longer available or superseded)\n"),
        ("omit", Some(to)) => format!("'{package}': will NOT be added as '{to}'\n"),
        ("keep", Some(to)) if verbosity > 1 => format!("'{package}': '{from}' will be kept (best new: '{to}')\n"),
        ("keep", None) if verbosity > 0 => format!("'{package}': '{from}' will be kept (unavailable for reload)\n"),
        _ => String::new(),
    }
}

fn dump_line(row: &UpdateRow) -> String {
    let UpdateRow { package, from, to, .. } = row;
    let (from, to) = (from.as_deref().unwrap_or_default(), to.as_deref());
    let rule = row.rule.as_deref().unwrap_or_default();
    match (row.action, to) {
        ("add", Some(to)) => format!("add '{package}' - '{to}' '{rule}'\n"),
        ("update", Some(to)) => format!("update '{package}' '{from}' '{to}' '{rule}'\n"),
        ("delete", _) => format!("delete '{package}' '{from}'\n"),
        ("keep", Some(to)) => format!("keep '{package}' '{from}' '{to}'\n"),
        ("keep", None) => format!("keep '{package}' '{from}' unavailable\n"),
        _ => String::new(),
    }
}
