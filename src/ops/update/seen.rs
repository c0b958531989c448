//! What a distribution was last brought up to date with: per index the rules, the content of their filter files, the
//! upstreams' promises, and our own state. If all of it is the same, there is nothing to do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::conf::distribution::Distribution;
use crate::conf::update::{ListHook, UpdateRule};
use crate::fsio;
use crate::model::{IndexId, Sha256};
use crate::store::Snapshot;

use super::super::Result;

/// Changes whenever the same input can lead to another outcome.
const RULES_VERSION: u32 = 1;
const MAX_RECORD_BYTES: u64 = 16 << 20;

/// What the indexes of one distribution were made of, by their identifiers.
#[derive(Debug, Default)]
pub(super) struct Seen {
    file: PathBuf,
    targets: BTreeMap<String, String>,
}

impl Seen {
    /// Reads the record of a distribution; without one, or with a damaged one, nothing was seen.
    pub fn read(lists: &Path, distribution: &Distribution) -> Self {
        let file = lists.join(Self::file_name(distribution));
        let json = fsio::read_if_there(&file, MAX_RECORD_BYTES).ok().flatten();
        let targets = json.and_then(|json| serde_json::from_slice(&json).ok());
        Self {
            targets: targets.unwrap_or_default(),
            file,
        }
    }

    /// The name of the record of a distribution, below `lists/`.
    pub fn file_name(distribution: &Distribution) -> String {
        let name = distribution.codename.as_str().replace('/', "%2F");
        format!("_{name}_lastseen.json")
    }

    /// Whether this index was made of just this, and is as it was left.
    pub fn has(&self, index: &IndexId, input: &str, snapshot: &Snapshot) -> bool {
        self.targets.get(&index.to_string()) == Some(&state(index, input, snapshot))
    }

    /// Notes what an index was made of.
    pub fn note(&mut self, index: &IndexId, input: &str, snapshot: &Snapshot) {
        self.targets.insert(index.to_string(), state(index, input, snapshot));
    }

    /// Writes the record.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> Result<()> {
        let json = serde_json::to_vec_pretty(&self.targets).unwrap_or_default();
        Ok(fsio::write_atomic(&self.file, &json)?)
    }
}

fn state(index: &IndexId, input: &str, snapshot: &Snapshot) -> String {
    let head = snapshot
        .head(index)
        .map_or_else(|| "empty".to_owned(), |root| root.0.to_string());
    format!("{input} {head}")
}

/// All that a rule says and reads, as one text.
pub(super) fn definition(rule: &UpdateRule) -> String {
    let mut text = format!("{RULES_VERSION} {:?}", rule.filters);
    let _ = write!(
        text,
        " {:?} {:?} {:?} {:?}",
        rule.omit_extra_source_only, rule.list_hook, rule.method, rule.name
    );
    let lists = [&rule.filters.list, &rule.filters.source_list];
    let files = lists.into_iter().flatten().flat_map(|list| list.files.iter());
    let hook = match &rule.list_hook {
        Some(ListHook::Program(program)) => Some(program),
        _ => None,
    };
    for file in files.chain(hook) {
        match fsio::digest_file(file) {
            Ok(content) => text += &content.digests.sha256.to_string(),
            // whoever reads it says what is wrong
            Err(_) => text += "unreadable",
        }
    }
    text
}

/// The digest of what an index is made of.
pub(super) fn input(parts: &[String]) -> String {
    Sha256::of(parts.join("\n").as_bytes()).to_string()
}
