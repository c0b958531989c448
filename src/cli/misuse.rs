//! Options that a command cannot use: refused, since whoever gives them expects them to do something.

use crate::conf::{Ignore, Options};

use super::Error;

/// Commands that always mean all of an archive, a distribution, or a source: `-A`, `-C` and `-T` cannot restrict them.
const WHOLE: [&str; 21] = [
    "removesrc",
    "removesrcs",
    "export",
    "createsymlinks",
    "checkpool",
    "dumpunreferenced",
    "deleteunreferenced",
    "dumpreferences",
    "dumptracks",
    "retrack",
    "tidytracks",
    "removetrack",
    "removealltracks",
    "cleanlists",
    "dump",
    "load",
    "recover",
    "serve",
    "key",
    "check-conf",
    "_listcodenames",
];
/// Commands that give what comes in a section and a priority.
const CLASSIFYING: [&str; 4] = ["include", "includedeb", "includeudeb", "includedsc"];
/// Commands that follow rules, and can do so for some packages only.
const FOLLOWING: [&str; 7] = [
    "update",
    "checkupdate",
    "dumpupdate",
    "predelete",
    "pull",
    "checkpull",
    "dumppull",
];
/// Commands that have no plan to print.
const WITHOUT_PLAN: [&str; 4] = ["init", "key", "load", "serve"];

/// Refuses options of the command line that `command` cannot use.
///
/// # Errors
/// There is one. `--ignore=unusedoption` lets those pass that reprepro refuses too.
pub fn refuse(command: &str, given: &Options, dry_run: bool) -> Result<(), Error> {
    if dry_run && WITHOUT_PLAN.contains(&command) {
        return Err(Error::Usage {
            problem: format!("`{command}` has no --dry-run"),
            hint: None,
        });
    }
    if given.ignore.contains(Ignore::UnusedOption) {
        return Ok(());
    }
    let restriction = given.restriction();
    let restricting = [
        ("-A", !restriction.architectures.is_empty()),
        ("-C", !restriction.components.is_empty()),
        ("-T", !restriction.types.is_empty()),
    ];
    let classifying = [("-S", given.section.is_some()), ("-P", given.priority.is_some())];
    let misused = match (WHOLE.contains(&command), CLASSIFYING.contains(&command)) {
        (true, _) => restricting.iter().chain(&classifying).find(|(_, is_given)| *is_given),
        (false, false) => classifying.iter().find(|(_, is_given)| *is_given),
        (false, true) => None,
    };
    let picking = ("--restrict…", !given.restrict.is_empty());
    let misused = misused.or((picking.1 && !FOLLOWING.contains(&command)).then_some(&picking));
    match misused {
        None => Ok(()),
        Some((option, _)) => Err(Error::UnusedOption {
            option: (*option).to_owned(),
            command: command.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(settings: &[(&str, &str)]) -> Options {
        let mut options = Options::default();
        for (name, argument) in settings {
            options.set(name, Some(argument)).unwrap();
        }
        options
    }

    #[test]
    fn a_command_for_a_whole_source_cannot_be_restricted() {
        let error = refuse("removesrc", &options(&[("architecture", "i386")]), false).unwrap_err();
        assert_eq!(error.to_string(), "`removesrc` cannot be restricted or changed by -A");
        assert!(refuse("remove", &options(&[("architecture", "i386")]), false).is_ok());
        let ignoring = options(&[("architecture", "i386"), ("ignore", "unusedoption")]);
        assert!(refuse("removesrc", &ignoring, false).is_ok());
    }

    #[test]
    fn a_section_is_for_what_comes_in() {
        assert!(refuse("list", &options(&[("section", "web")]), false).is_err());
        assert!(refuse("includedeb", &options(&[("section", "web")]), false).is_ok());
    }

    #[test]
    fn only_commands_that_follow_rules_can_be_about_some_packages() {
        assert!(refuse("list", &options(&[("restrict", "hello")]), false).is_err());
        assert!(refuse("pull", &options(&[("restrict", "hello")]), false).is_ok());
    }

    #[test]
    fn every_name_is_of_a_command() {
        let command = super::super::command::CommandLine::command();
        for name in WHOLE.iter().chain(&CLASSIFYING).chain(&FOLLOWING).chain(&WITHOUT_PLAN) {
            assert!(command.find_subcommand(name).is_some(), "{name}");
        }
    }
}
