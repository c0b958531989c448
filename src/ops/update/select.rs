//! What the filters of a rule say to a package that its upstream offers: filter lists, then the formula, then
//! `OmitExtraSourceOnly`. A formula that rejects beats any list that would let the package touch the index.

use std::borrow::Cow;

use crate::conf::filter::{FilterAction, FilterTable, Filters};
use crate::conf::formula::Subject;
use crate::model::{IndexId, PackageType};

use super::super::Result;
use super::candidate::Offered;
use super::marks::Verdict;

/// The filters of one rule with the content of their files.
#[derive(Debug)]
pub(super) struct Selector<'a> {
    filters: &'a Filters,
    list: Option<FilterTable>,
    source_list: Option<FilterTable>,
    omit_extra_source_only: bool,
}

/// What a filter says, with the two words that are told to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selected {
    Verdict(Verdict),
    /// It is not taken, and there is a warning.
    Warn,
    /// The update fails.
    Fail,
}

impl<'a> Selector<'a> {
    /// Reads the files of the filters.
    ///
    /// # Errors
    /// One cannot be read, or has faults.
    pub fn read(filters: &'a Filters, omit_extra_source_only: bool) -> Result<Self> {
        Ok(Self {
            filters,
            list: filters.list.as_ref().map(|list| list.read()).transpose()?,
            source_list: filters.source_list.as_ref().map(|list| list.read()).transpose()?,
            omit_extra_source_only,
        })
    }

    /// What becomes of a package that is offered for an index; `is_known` if a package of that name is there, or was
    /// taken by an earlier rule.
    pub fn select(&self, offered: &Offered, index: &IndexId, is_known: bool) -> Selected {
        let verdict = match self.action(offered, index) {
            FilterAction::Ignore => Verdict::Ignore,
            FilterAction::UpgradeOnly if !is_known => Verdict::Ignore,
            FilterAction::Warning => return Selected::Warn,
            FilterAction::Error => return Selected::Fail,
            FilterAction::Hold => Verdict::Hold,
            FilterAction::Supersede => Verdict::Supersede,
            FilterAction::Install | FilterAction::UpgradeOnly | FilterAction::Exactly(_) => Verdict::Take,
        };
        let is_rejected = verdict != Verdict::Ignore && !self.passes(offered, index);
        Selected::Verdict(if is_rejected { Verdict::Ignore } else { verdict })
    }

    fn action(&self, offered: &Offered, index: &IndexId) -> &FilterAction {
        let is_source = index.kind.package_type() == PackageType::Dsc;
        let (table, by_source) = match (is_source, &self.list, &self.source_list) {
            (true, _, Some(table)) | (_, Some(table), None) | (false, Some(table), Some(_)) => (table, false),
            (false, None, Some(table)) => (table, true),
            (_, None, None) => return &FilterAction::Install,
        };
        if by_source {
            match offered.source_as_package() {
                Some(source) => table.action(&source, &offered.source_version),
                None => &FilterAction::Ignore,
            }
        } else {
            table.action(&offered.name, &offered.version)
        }
    }

    fn passes(&self, offered: &Offered, index: &IndexId) -> bool {
        let lookup = |subject: &Subject| -> Option<Cow<'_, str>> {
            Some(match subject {
                Subject::Field(name) => offered.stanza.get_bytes(name).map(String::from_utf8_lossy)?,
                Subject::Version => offered.version.as_str().into(),
                Subject::SourceVersion => offered.source_version.as_str().into(),
                Subject::Source => offered.source.as_str().into(),
                Subject::Architecture => index.kind.architecture_word().into(),
                Subject::Component => index.component.as_str().into(),
                Subject::Type => index.kind.package_type().as_str().into(),
            })
        };
        let is_left_out = self.omit_extra_source_only
            && index.kind.package_type() == PackageType::Dsc
            && offered
                .stanza
                .get("Extra-Source-Only")
                .is_some_and(|value| value.eq_ignore_ascii_case("yes"));
        !is_left_out
            && self
                .filters
                .formula
                .as_ref()
                .is_none_or(|formula| formula.holds(lookup))
    }
}
