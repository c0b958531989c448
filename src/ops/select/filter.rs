//! What the filters of a rule say to a package that is offered, in reprepro's order: filter lists, `--restrict…`, the
//! formula, `OmitExtraSourceOnly`. A formula that rejects beats any list that would let the package touch the index.

use std::borrow::Cow;
use std::ops::ControlFlow;

use crate::conf::filter::{FilterAction, FilterTable, Filters};
use crate::conf::formula::Subject;
use crate::model::{IndexId, PackageName, PackageType, SourceName, Stanza, Version};

use super::super::Result;
use super::marks::Verdict;
use super::restrict::Restricted;

/// A package that is offered, as filters see it.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    pub name: &'a PackageName,
    pub version: &'a Version,
    pub source: &'a SourceName,
    pub source_version: &'a Version,
    pub stanza: &'a Stanza,
}

impl Offer<'_> {
    /// The source's name as that of a package, for lists that name sources.
    pub(super) fn source_as_package(&self) -> Option<PackageName> {
        PackageName::new(self.source.as_str()).ok()
    }
}

/// The filters of one rule with the content of their files.
#[derive(Debug)]
pub struct Selector<'a> {
    rule: &'a str,
    filters: &'a Filters,
    list: Option<FilterTable>,
    source_list: Option<FilterTable>,
    restricted: &'a Restricted,
    omit_extra_source_only: bool,
}

/// What a filter says, with the two words that are told to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selected {
    Verdict(Verdict),
    /// It is not taken, and there is a warning.
    Warn,
    /// The command fails.
    Fail,
}

/// What comes of a verdict when one more list says `action`; a break is the last word.
pub(super) fn follow(verdict: Verdict, action: &FilterAction, is_known: bool) -> ControlFlow<Selected, Verdict> {
    match action {
        FilterAction::Ignore => ControlFlow::Break(Selected::Verdict(Verdict::Ignore)),
        FilterAction::UpgradeOnly if !is_known => ControlFlow::Break(Selected::Verdict(Verdict::Ignore)),
        FilterAction::Warning => ControlFlow::Break(Selected::Warn),
        FilterAction::Error => ControlFlow::Break(Selected::Fail),
        FilterAction::UpgradeOnly => ControlFlow::Continue(verdict),
        FilterAction::Hold => ControlFlow::Continue(Verdict::Hold),
        FilterAction::Supersede => ControlFlow::Continue(Verdict::Supersede),
        FilterAction::Install | FilterAction::Exactly(_) => ControlFlow::Continue(Verdict::Take),
    }
}

impl<'a> Selector<'a> {
    /// Reads the files of the filters of the rule of that name.
    ///
    /// # Errors
    /// One cannot be read, or has faults.
    pub fn read(rule: &'a str, filters: &'a Filters, restricted: &'a Restricted) -> Result<Self> {
        Ok(Self {
            rule,
            filters,
            list: filters.list.as_ref().map(|list| list.read()).transpose()?,
            source_list: filters.source_list.as_ref().map(|list| list.read()).transpose()?,
            restricted,
            omit_extra_source_only: false,
        })
    }

    /// The same, which leaves sources out that are only there for the licence, if `omits`.
    pub fn omitting_extra_sources(self, omits: bool) -> Self {
        Self {
            omit_extra_source_only: omits,
            ..self
        }
    }

    /// The rule.
    pub fn rule(&self) -> &'a str {
        self.rule
    }

    /// What becomes of a package that is offered for an index; `is_known` if a package of that name is there, or was
    /// taken by an earlier rule.
    pub fn select(&self, offer: &Offer<'_>, index: &IndexId, is_known: bool) -> Selected {
        let is_source = index.kind.package_type() == PackageType::Dsc;
        let listed = follow(Verdict::Take, self.action(offer, is_source), is_known);
        let verdict = match listed {
            ControlFlow::Continue(verdict) => self.restricted.decide(verdict, offer, is_source, is_known),
            last => last,
        };
        match verdict {
            ControlFlow::Break(last) => last,
            ControlFlow::Continue(_) if !self.passes(offer, index) => Selected::Verdict(Verdict::Ignore),
            ControlFlow::Continue(verdict) => Selected::Verdict(verdict),
        }
    }

    fn action(&self, offer: &Offer<'_>, is_source: bool) -> &FilterAction {
        let (table, by_source) = match (is_source, &self.list, &self.source_list) {
            (true, _, Some(table)) | (_, Some(table), None) | (false, Some(table), Some(_)) => (table, false),
            (false, None, Some(table)) => (table, true),
            (_, None, None) => return &FilterAction::Install,
        };
        if by_source {
            match offer.source_as_package() {
                Some(source) => table.action(&source, offer.source_version),
                None => &FilterAction::Ignore,
            }
        } else {
            table.action(offer.name, offer.version)
        }
    }

    fn passes(&self, offer: &Offer<'_>, index: &IndexId) -> bool {
        let lookup = |subject: &Subject| -> Option<Cow<'_, str>> {
            Some(match subject {
                Subject::Field(name) => offer.stanza.get_bytes(name).map(String::from_utf8_lossy)?,
                Subject::Version => offer.version.as_str().into(),
                Subject::SourceVersion => offer.source_version.as_str().into(),
                Subject::Source => offer.source.as_str().into(),
                Subject::Architecture => index.kind.architecture_word().into(),
                Subject::Component => index.component.as_str().into(),
                Subject::Type => index.kind.package_type().as_str().into(),
            })
        };
        let is_left_out = self.omit_extra_source_only
            && index.kind.package_type() == PackageType::Dsc
            && offer
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
