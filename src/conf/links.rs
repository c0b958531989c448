//! Checks that the files of a configuration fit each other, and that the files that they name are there and sound.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::distribution::{Distribution, SignWith, UpdateStep};
use super::fault::{Error, Faults, Sink, Warning};
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
