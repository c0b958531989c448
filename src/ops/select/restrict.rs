//! `--restrict` and its relatives: a run that is about some packages only. What they do not name stays as it is, as if
//! a filter list said `hold`.

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::conf::filter::FilterTable;
use crate::conf::options::Restrict;

use super::super::Result;
use super::super::archive::Archive;
use super::filter::{Offer, Selected, follow};
use super::marks::Verdict;

/// The packages that a run is about.
#[derive(Debug, Default)]
pub struct Restricted {
    /// By their source; none if nothing was said of sources.
    sources: Option<FilterTable>,
    /// Binary packages by their own name.
    binaries: Option<FilterTable>,
}

impl Restricted {
    /// Reads what the command line says, and the files that it names.
    ///
    /// # Errors
    /// A word is none, a package is named twice, or a file cannot be read or has faults.
    pub fn read(archive: &Archive<'_>) -> Result<Self> {
        let (mut sources, mut binaries) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        let file = |name: &str| archive.directories.file(name);
        for restrict in &archive.settings.options.restrict {
            match restrict {
                Restrict::Source(word) => sources.0.push(word.as_str()),
                Restrict::SourceFile(name) => sources.1.push(file(name)),
                Restrict::Binary(word) => binaries.0.push(word.as_str()),
                Restrict::BinaryFile(name) => binaries.1.push(file(name)),
            }
        }
        let table = |(words, files): (Vec<&str>, Vec<PathBuf>)| {
            let is_given = !words.is_empty() || !files.is_empty();
            is_given
                .then(|| FilterTable::of_command_line(&words, &files))
                .transpose()
        };
        Ok(Self {
            sources: table(sources)?,
            binaries: table(binaries)?,
        })
    }

    /// Whether the run is about some packages only.
    pub fn is_partial(&self) -> bool {
        self.sources.is_some() || self.binaries.is_some()
    }

    /// What comes of the verdict of the filter lists.
    pub(super) fn decide(
        &self,
        verdict: Verdict,
        offer: &Offer<'_>,
        is_source: bool,
        is_known: bool,
    ) -> ControlFlow<Selected, Verdict> {
        let mut verdict = verdict;
        let mut is_named = false;
        if let Some(table) = &self.sources {
            let source = offer.source_as_package();
            match source.and_then(|source| table.mentioned(&source, offer.source_version)) {
                Some(action) => {
                    is_named = true;
                    verdict = follow(verdict, action, is_known)?;
                }
                None => verdict = Verdict::Hold,
            }
        }
        let Some(table) = &self.binaries else {
            return ControlFlow::Continue(verdict);
        };
        let action = table.mentioned(offer.name, offer.version).filter(|_| !is_source);
        match action {
            Some(action) => follow(verdict, action, is_known),
            None if is_named => ControlFlow::Continue(verdict),
            None => ControlFlow::Continue(Verdict::Hold),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PackageName, SourceName, Stanza, Version};

    /// What becomes of `name` 1.0, built from `source`, which the filter lists would take.
    fn decided(restricted: &Restricted, name: &str, source: &str, is_source: bool) -> Option<Verdict> {
        let version = Version::new("1.0").unwrap();
        let offer = Offer {
            name: &PackageName::new(name).unwrap(),
            version: &version,
            source: &SourceName::new(source).unwrap(),
            source_version: &version,
            stanza: &Stanza::default(),
        };
        restricted
            .decide(Verdict::Take, &offer, is_source, false)
            .continue_value()
    }

    fn table(words: &[&str]) -> Option<FilterTable> {
        Some(FilterTable::of_command_line(words, &[]).unwrap())
    }

    #[test]
    fn what_is_not_named_is_held() {
        let restricted = Restricted {
            sources: table(&["hello", "old=0.9", "gone:supersede", "known:upgradeonly", "no:purge"]),
            binaries: None,
        };
        assert_eq!(decided(&restricted, "hello-doc", "hello", false), Some(Verdict::Take));
        assert_eq!(decided(&restricted, "hello", "hello", true), Some(Verdict::Take));
        assert_eq!(decided(&restricted, "other", "other", false), Some(Verdict::Hold));
        assert_eq!(decided(&restricted, "old", "old", false), Some(Verdict::Hold));
        assert_eq!(decided(&restricted, "gone", "gone", false), Some(Verdict::Supersede));
        assert_eq!(decided(&restricted, "known", "known", false), None);
        assert_eq!(decided(&restricted, "no", "no", false), None);
    }

    #[test]
    fn a_binary_package_may_be_named_beside_sources() {
        let restricted = Restricted {
            sources: table(&["hello"]),
            binaries: table(&["tool", "hello-doc:hold"]),
        };
        assert_eq!(decided(&restricted, "tool", "other", false), Some(Verdict::Take));
        assert_eq!(decided(&restricted, "hello", "hello", false), Some(Verdict::Take));
        assert_eq!(decided(&restricted, "hello-doc", "hello", false), Some(Verdict::Hold));
        assert_eq!(decided(&restricted, "other", "other", false), Some(Verdict::Hold));
        let only_binaries = Restricted {
            sources: None,
            binaries: table(&["tool"]),
        };
        assert_eq!(decided(&only_binaries, "tool", "tool", false), Some(Verdict::Take));
        assert_eq!(decided(&only_binaries, "tool", "tool", true), Some(Verdict::Hold));
    }
}
