//! Checks that the files of a configuration fit each other, and that the files that they name are there and sound.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::distribution::{Distribution, SignWith, UpdateStep};
use super::fault::{Error, Faults, Place, Sink, Warning};
use super::filter::Filters;
use super::pull::PullRule;
use super::rename::Rename;
use super::update::UpdateRule;
use super::{Conf, Directories, Overrides, Uploaders, nearest};
use crate::model::{Component, PackageType};

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
    for rule in &conf.update_rules {
        check_formula(conf, ("update", &rule.name), &rule.filters, (&rule.place, sink));
    }
    for rule in &conf.pull_rules {
        check_formula(conf, ("pull", &rule.name), &rule.filters, (&rule.place, sink));
        check_pull(conf, rule, sink);
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

fn check_formula(conf: &Conf, (kind, rule): (&str, &str), filters: &Filters, (place, sink): (&Place, &mut Sink<'_>)) {
    let unknown = filters.formula.as_ref().and_then(|formula| conf.unknown_in(formula));
    if let Some(problem) = unknown {
        sink.warn(place, format!("{kind} rule `{rule}`: {problem}"));
    }
}

/// Notes what a pull rule names that the distribution which it reads has not, or none of those that use it.
fn check_pull(conf: &Conf, rule: &PullRule, sink: &mut Sink<'_>) {
    let step = UpdateStep::Rule(rule.name.clone());
    let users: Vec<_> = (conf.distributions.iter())
        .filter(|distribution| distribution.pull.contains(&step))
        .collect();
    let Some(from) = conf.by_codename(&rule.from).filter(|_| !users.is_empty()) else {
        return;
    };
    let mut note = |what: &str, name: &str, is_there: bool, is_used: bool| {
        let problem = match (is_there, is_used) {
            (false, _) => format!("`{}`, which it reads, has not", from.codename),
            (true, false) => "no distribution that uses it has".to_owned(),
            (true, true) => return,
        };
        sink.warn(
            &rule.place,
            format!("pull rule `{}` names {what} `{name}`, which {problem}", rule.name),
        );
    };
    for component in rule.components.iter().flatten() {
        let has = |other: &Distribution| other.components.contains(component);
        note(
            "component",
            component.as_str(),
            has(from),
            users.iter().any(|user| has(user)),
        );
    }
    for component in rule.udeb_components.iter().flatten() {
        let has = |other: &Distribution| other.udeb_components.contains(component);
        note(
            "udeb component",
            component.as_str(),
            has(from),
            users.iter().any(|user| has(user)),
        );
    }
    for Rename { from: there, to } in rule.architectures.iter().flat_map(|words| &words.binary) {
        note("architecture", there.as_str(), from.architectures.contains(there), true);
        note(
            "architecture",
            to.as_str(),
            true,
            users.iter().any(|user| user.architectures.contains(to)),
        );
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

/// Reads every file that the configuration names, and notes what is wrong with it.
pub(super) fn check_files(conf: &Conf, directories: &Directories) -> (Vec<Error>, Vec<Warning>) {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let mut note = |read: Result<Vec<Warning>, Faults>| match read {
        Ok(more) => warnings.extend(more),
        Err(faults) => errors.extend(faults),
    };
    for distribution in &conf.distributions {
        if let Some(path) = &distribution.uploaders {
            note(Uploaders::read(path, directories).map(|(_, warnings)| warnings));
        }
        let overrides = [
            (&distribution.deb_override, PackageType::Deb),
            (&distribution.udeb_override, PackageType::Udeb),
            (&distribution.dsc_override, PackageType::Dsc),
        ];
        for (path, package_type) in overrides {
            if let Some(path) = path {
                note(Overrides::read(path, package_type).map(|_| Vec::new()));
            }
        }
        let notifiers = distribution.log.iter().flat_map(|log| &log.notifiers);
        let mut programs: Vec<&Path> = notifiers.map(|notifier| notifier.script.as_path()).collect();
        if let Some(SignWith::Script(script)) = &distribution.sign_with {
            programs.push(script);
        }
        note(Ok(programs
            .into_iter()
            .filter_map(|program| check_program(distribution, program))
            .collect()));
    }
    for rule in &conf.update_rules {
        note(Ok(missing_keyrings(rule)));
    }
    let updates = conf.update_rules.iter().map(|rule| &rule.filters);
    let pulls = conf.pull_rules.iter().map(|rule| &rule.filters);
    for filters in updates.chain(pulls) {
        for list in [&filters.list, &filters.source_list].into_iter().flatten() {
            note(list.read().map(|_| Vec::new()));
        }
    }
    (errors, warnings)
}

fn missing_keyrings(rule: &UpdateRule) -> Vec<Warning> {
    let missing = rule.keyring_files().filter(|path| !path.is_file());
    let warning = |path: &Path| Warning {
        place: Some(rule.place.clone()),
        text: format!("keyring file `{}` of rule `{}` is not there", path.display(), rule.name),
    };
    missing.map(warning).collect()
}

fn check_program(distribution: &Distribution, program: &Path) -> Option<Warning> {
    let problem = match fs::metadata(program) {
        Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => return None,
        Ok(_) => "is no executable file",
        Err(_) => "is not there",
    };
    Some(Warning {
        place: Some(distribution.place.clone()),
        text: format!(
            "program `{}` of `{}` {problem}",
            program.display(),
            distribution.codename
        ),
    })
}
