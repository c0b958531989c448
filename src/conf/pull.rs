//! conf/pulls: the rules by which distributions take packages from another distribution of the same archive.

use std::path::Path;

use super::fault::{Error, Place, Sink};
use super::fields::Fields;
use super::filter::Filters;
use super::reader::read_stanzas;
use super::rename::{self, Architectures};
use super::updates::rule_name;
use crate::fsio;
use crate::model::{Codename, Component};

const FIELDS: &[&str] = &[
    "Architectures",
    "Components",
    "FilterFormula",
    "FilterList",
    "FilterSrcList",
    "From",
    "Name",
    "UDebComponents",
];

/// One rule.
#[derive(Debug, Clone)]
pub struct PullRule {
    /// The first line of its stanza.
    pub place: Place,
    /// `Name`.
    pub name: String,
    /// `From`: the distribution that packages are taken from.
    pub from: Codename,
    /// `Components`; `None`: those that both have.
    pub components: Option<Vec<Component>>,
    /// `UDebComponents`; `None`: those that both have.
    pub udeb_components: Option<Vec<Component>>,
    /// `Architectures`; `None`: those that both have.
    pub architectures: Option<Architectures>,
    /// Which packages are taken.
    pub filters: Filters,
}

/// Reads the rules of `path`.
///
/// # Errors
/// The file cannot be read; what is wrong inside goes to `sink`.
pub(super) fn read(path: &Path, sink: &mut Sink<'_>) -> Result<Vec<PullRule>, fsio::Error> {
    let mut rules: Vec<PullRule> = Vec::new();
    for stanza in &read_stanzas(path, sink)? {
        let mut fields = Fields::new(stanza, "pull rule", FIELDS, sink);
        let Some(rule) = read_stanza(&mut fields) else { continue };
        if let Some(other) = rules.iter().find(|other| other.name == rule.name) {
            let problem = format!("pull rule `{}` is already defined at {}", rule.name, other.place);
            fields.sink.errors.push(Error::syntax(&rule.place, problem));
        } else {
            rules.push(rule);
        }
    }
    Ok(rules)
}

fn read_stanza(fields: &mut Fields<'_, '_>) -> Option<PullRule> {
    fields.require("Name");
    fields.require("From");
    let from = fields.name("From");
    let name = fields.word("Name", rule_name);
    let rule = PullRule {
        components: fields.names("Components"),
        udeb_components: fields.names("UDebComponents"),
        architectures: rename::architectures(fields),
        filters: Filters::read(fields),
        place: fields.place()?.clone(),
        name: name?,
        from: from?,
    };
    fields.is_sound().then_some(rule)
}
