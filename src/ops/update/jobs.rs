//! Which upstream indexes make up which index of ours: the rules of `Update:` applied to the configuration
//! (`a>b` of components and architectures, `Flat`). Pure.

use std::collections::BTreeMap;

use crate::conf::distribution::{Distribution, UpdateStep};
use crate::conf::update::UpdateRule;
use crate::conf::{Conf, rename::Rename};
use crate::mirror::{TransferSettings, Upstream};
use crate::model::{Architecture, Component, IndexId, IndexKind, Restriction};

use super::super::notify::Origin;

/// An upstream's index as one rule reads it.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub rule: &'a UpdateRule,
    /// Its place in [`Jobs::upstreams`].
    pub upstream: usize,
    /// Its path without a suffix, below the directory of the distribution there.
    pub path: String,
    /// The name of its copy.
    pub list_name: String,
    /// Whether packages of other architectures are to be expected in it.
    pub is_mixed: bool,
}

/// One word of `Update:`, for one index of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Delete,
    /// The place of the upstream's index in [`Jobs::sources`].
    Offer(usize),
}

/// One index of ours and what it is made of.
#[derive(Debug)]
pub(super) struct Target {
    pub index: IndexId,
    pub steps: Vec<Step>,
}

/// One distribution that is to be brought up to date.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub distribution: &'a Distribution,
    pub targets: Vec<Target>,
    /// The rules in the order of `Update`, each with its place in [`Jobs::upstreams`].
    pub rules: Vec<(&'a UpdateRule, usize)>,
}

/// All that is to be done.
#[derive(Debug, Default)]
pub(super) struct Jobs<'a> {
    pub upstreams: Vec<Upstream>,
    pub sources: Vec<Source<'a>>,
    pub jobs: Vec<Job<'a>>,
    pub warnings: Vec<String>,
}

/// Works out what the rules of these distributions ask for.
pub(super) fn jobs<'a>(conf: &'a Conf, distributions: &[&'a Distribution], restriction: &Restriction) -> Jobs<'a> {
    let mut jobs = Jobs::default();
    let mut known = BTreeMap::new();
    for distribution in distributions {
        let rules = distribution.update.iter().filter(|step| **step != UpdateStep::Delete);
        if rules.count() == 0 {
            continue;
        }
        let mut targets = Vec::new();
        let mut used = Vec::new();
        for index in distribution
            .indexes()
            .into_iter()
            .filter(|index| restriction.admits(index))
        {
            let mut steps = Vec::new();
            for step in &distribution.update {
                match step {
                    UpdateStep::Delete => steps.push(Step::Delete),
                    UpdateStep::Rule(name) => {
                        if let Some(rule) = conf.update_rule(name) {
                            let upstream = jobs.upstream(conf, rule, distribution, &mut known);
                            if !used.iter().any(|(known, _): &(&UpdateRule, _)| known.name == rule.name) {
                                used.push((rule, upstream));
                            }
                            steps.extend(jobs.offers(rule, upstream, distribution, &index));
                        }
                    }
                }
            }
            if !steps.is_empty() {
                targets.push(Target { index, steps });
            }
        }
        jobs.jobs.push(Job {
            distribution,
            targets,
            rules: used,
        });
    }
    jobs.warn_of_unverified(&known);
    jobs
}

/// What tells upstreams apart: the rule that has the address, the suite, and whether it is flat.
type UpstreamKey = (String, String, bool);

impl<'a> Jobs<'a> {
    fn upstream(
        &mut self,
        conf: &Conf,
        rule: &UpdateRule,
        distribution: &Distribution,
        known: &mut BTreeMap<UpstreamKey, usize>,
    ) -> usize {
        let name = name_with_address(conf, rule);
        let suite = rule.suite.of(&distribution.codename);
        let key = (name.clone(), suite.clone(), rule.flat.is_some());
        let number = *known.entry(key).or_insert(self.upstreams.len());
        if let Some(upstream) = self.upstreams.get_mut(number) {
            // each rule that names the same upstream may ask for more
            upstream.ignore_release &= rule.ignore_release;
            upstream.tolerated.retain(|word| rule.tolerated.contains(word));
            let wanted = rule.verify_release.clone();
            let more = wanted.filter(|condition| !upstream.conditions.contains(condition));
            upstream.conditions.extend(more);
            return number;
        }
        let (settings, warnings) = TransferSettings::of_config(&rule.config);
        let warnings = warnings
            .into_iter()
            .map(|warning| format!("rule `{}`: {warning}", rule.name));
        self.warnings.extend(warnings);
        self.upstreams.push(Upstream {
            name,
            suite,
            bases: std::iter::once(rule.method.clone())
                .chain(rule.fallback.clone())
                .collect(),
            is_flat: rule.flat.is_some(),
            get_in_release: rule.get_in_release,
            ignore_release: rule.ignore_release,
            ignore_hashes: rule.ignore_hashes.clone(),
            conditions: rule.verify_release.iter().cloned().collect(),
            tolerated: rule.tolerated.clone(),
            settings,
        });
        number
    }

    /// The upstream indexes that a rule reads into one index of ours.
    fn offers(
        &mut self,
        rule: &'a UpdateRule,
        upstream: usize,
        distribution: &Distribution,
        index: &IndexId,
    ) -> Vec<Step> {
        let components = match (&rule.flat, &index.kind) {
            (Some(flat), IndexKind::Deb(_) | IndexKind::Source) if *flat == index.component => vec![None],
            (Some(_), _) => Vec::new(),
            (None, IndexKind::Udeb(_)) => sources_of(
                rule.udeb_components.as_deref(),
                &distribution.udeb_components,
                &index.component,
            ),
            (None, _) => sources_of(rule.components.as_deref(), &distribution.components, &index.component),
        };
        let architectures = architectures_for(rule, distribution, index);
        let mut steps = Vec::new();
        for component in components {
            for architecture in &architectures {
                let source = self.source(rule, upstream, component.as_ref(), (architecture.clone(), &index.kind));
                steps.push(Step::Offer(source));
            }
        }
        steps
    }

    /// The place of an upstream's index, as this rule reads it.
    fn source(
        &mut self,
        rule: &'a UpdateRule,
        upstream: usize,
        component: Option<&Component>,
        (architecture, kind): (Option<Architecture>, &IndexKind),
    ) -> usize {
        let is_renamed = match (&architecture, kind) {
            (Some(from), IndexKind::Deb(to) | IndexKind::Udeb(to)) => from != to,
            _ => false,
        };
        let (path, file) = paths(component, architecture.as_ref(), kind);
        let list_name = self.upstreams.get(upstream).map(|upstream| upstream.list_name(&file));
        let source = Source {
            rule,
            upstream,
            path,
            list_name: list_name.unwrap_or_default(),
            is_mixed: is_renamed || rule.flat.is_some(),
        };
        let is_same = |known: &Source<'_>| {
            known.rule.name == rule.name
                && known.upstream == upstream
                && known.list_name == source.list_name
                && known.is_mixed == source.is_mixed
        };
        if let Some(number) = self.sources.iter().position(is_same) {
            return number;
        }
        self.sources.push(source);
        self.sources.len() - 1
    }

    /// Where the packages of a source come from, by its place.
    pub fn origin(&self, source: usize) -> Option<Origin> {
        let source = self.sources.get(source)?;
        Some(Origin {
            rule: source.rule.name.clone(),
            from: self.upstreams.get(source.upstream)?.suite.clone(),
        })
    }

    fn warn_of_unverified(&mut self, known: &BTreeMap<UpstreamKey, usize>) {
        for number in known.values() {
            let Some(upstream) = self.upstreams.get(*number) else {
                continue;
            };
            if upstream.conditions.is_empty() && !upstream.ignore_release {
                self.warnings.push(format!(
                    "No VerifyRelease line in '{}' or any rule it includes via 'From:': whoever sits between here and \
                     the upstream can put packages in",
                    upstream.name
                ));
            }
        }
        self.warnings.dedup();
    }

    /// The rule by which a distribution uses one of the sources that `is_meant` tells, by place and source.
    pub fn rule_for(&self, job: &Job<'_>, is_meant: impl Fn(usize, &Source<'_>) -> bool) -> Option<&'a UpdateRule> {
        let steps = job.targets.iter().flat_map(|target| &target.steps);
        steps
            .filter_map(|step| match step {
                Step::Offer(number) => Some((*number, self.sources.get(*number)?)),
                Step::Delete => None,
            })
            .find(|(number, source)| is_meant(*number, source))
            .map(|(_, source)| source.rule)
    }
}

/// The rule that `From` leads to in the end, which has the address.
fn name_with_address(conf: &Conf, rule: &UpdateRule) -> String {
    let mut rule = rule;
    // circles were refused when the configuration was read
    for _ in 0..conf.update_rules.len() {
        match rule.from.as_deref().and_then(|name| conf.update_rule(name)) {
            Some(parent) => rule = parent,
            None => break,
        }
    }
    rule.name.clone()
}

/// The upstream components that go into the component `into`.
pub(super) fn sources_of(
    rule: Option<&[Rename<Component>]>,
    ours: &[Component],
    into: &Component,
) -> Vec<Option<Component>> {
    match rule {
        Some(pairs) => {
            let matching = pairs.iter().filter(|pair| pair.to == *into);
            matching.map(|pair| Some(pair.from.clone())).collect()
        }
        None => ours
            .iter()
            .filter(|component| *component == into)
            .cloned()
            .map(Some)
            .collect(),
    }
}

/// The upstream architectures that go into an index; `None` for sources.
fn architectures_for(rule: &UpdateRule, distribution: &Distribution, index: &IndexId) -> Vec<Option<Architecture>> {
    match (&index.kind, &rule.architectures) {
        (IndexKind::Source, Some(architectures)) if !architectures.has_sources => Vec::new(),
        (IndexKind::Source, _) if !distribution.has_sources => Vec::new(),
        (IndexKind::Source, _) => vec![None],
        (IndexKind::Deb(ours) | IndexKind::Udeb(ours), Some(architectures)) => {
            let matching = architectures.binary.iter().filter(|pair| pair.to == *ours);
            matching.map(|pair| Some(pair.from.clone())).collect()
        }
        (IndexKind::Deb(ours) | IndexKind::Udeb(ours), None) => vec![Some(ours.clone())],
    }
}

/// The path of an upstream's index and the end of its name below `lists/`.
fn paths(component: Option<&Component>, architecture: Option<&Architecture>, kind: &IndexKind) -> (String, String) {
    match (component, architecture, kind) {
        (None, _, IndexKind::Source) => ("Sources".into(), "Sources".into()),
        (None, ..) => ("Packages".into(), "Packages".into()),
        (Some(component), Some(architecture), IndexKind::Udeb(_)) => (
            format!("{component}/debian-installer/binary-{architecture}/Packages"),
            format!("{component}_{architecture}_uPackages"),
        ),
        (Some(component), Some(architecture), _) => (
            format!("{component}/binary-{architecture}/Packages"),
            format!("{component}_{architecture}_Packages"),
        ),
        (Some(component), None, _) => (format!("{component}/source/Sources"), format!("{component}_Sources")),
    }
}
