//! Checks that the files of a configuration fit each other.

use super::distribution::{Distribution, UpdateStep};
use super::fault::{Error, Sink};
use super::rename::Rename;
use super::update::UpdateRule;
use super::{Conf, nearest};
use crate::model::Component;

/// Notes what names something that is not there, or can have no effect.
pub(super) fn check(conf: &Conf, sink: &mut Sink<'_>) {
    for distribution in &conf.distributions {
        let Some(suite) = &distribution.suite else { continue };
        let is_codename = |other: &&Distribution| other.codename.as_str() == suite.as_str();
        if let Some(other) = conf.distributions.iter().find(is_codename)
            && other.codename != distribution.codename
        {
            let text = format!(
                "suite `{suite}` of `{}` is the codename of another distribution, which that name will mean",
                distribution.codename
            );
            sink.warn(&distribution.place, text);
        }
    }
    for rule in &conf.update_rules {
        check_components(rule, &users(conf, rule), sink);
    }
    for rule in &conf.pull_rules {
        if conf.by_codename(&rule.from).is_none() {
            let codenames = conf
                .distributions
                .iter()
                .map(|distribution| distribution.codename.as_str());
            sink.errors.push(Error::Unknown {
                place: Some(rule.place.clone()),
                what: "distribution in `From`",
                name: rule.from.to_string(),
                nearest: nearest(rule.from.as_str(), codenames).map(str::to_owned),
            });
        }
    }
}

/// The distributions that name the rule.
fn users<'a>(conf: &'a Conf, rule: &UpdateRule) -> Vec<&'a Distribution> {
    let step = UpdateStep::Rule(rule.name.clone());
    (conf.distributions.iter())
        .filter(|distribution| distribution.update.contains(&step))
        .collect()
}

fn check_components(rule: &UpdateRule, users: &[&Distribution], sink: &mut Sink<'_>) {
    let Some(first) = users.first() else { return };
    let has = |component: &Component| users.iter().any(|user| user.components.contains(component));
    let has_udebs = |component: &Component| users.iter().any(|user| user.udeb_components.contains(component));
    for Rename { to, .. } in rule.components.iter().flatten().filter(|pair| !has(&pair.to)) {
        let text = format!(
            "component `{to}` of update rule `{}` is in no distribution that uses it",
            rule.name
        );
        sink.warn(&rule.place, text);
    }
    for Rename { to, .. } in rule
        .udeb_components
        .iter()
        .flatten()
        .filter(|pair| !has_udebs(&pair.to))
    {
        let text = format!(
            "component `{to}` of update rule `{}` has udebs in no distribution that uses it",
            rule.name
        );
        sink.warn(&rule.place, text);
    }
    if let Some(component) = rule.flat.as_ref().filter(|component| !has(component)) {
        sink.errors.push(Error::Unknown {
            place: Some(rule.place.clone()),
            what: "component in `Flat`",
            name: component.to_string(),
            nearest: nearest(component.as_str(), first.components.iter().map(Component::as_str)).map(str::to_owned),
        });
    }
}
