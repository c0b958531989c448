//! What `--help` prints: for the program, the commands grouped by what one wants to do; for a command, its own
//! arguments and the options that matter to it.

use clap::Command;

use super::options::{self, Shown};

/// The commands by what one wants to do.
const COMMANDS: &[(&str, &[&str])] = &[
    ("Set up", &["init", "check-conf", "key"]),
    (
        "Bring packages in",
        &["include", "includedeb", "includeudeb", "includedsc"],
    ),
    (
        "Follow upstream archives",
        &["update", "checkupdate", "dumpupdate", "predelete", "cleanlists"],
    ),
    (
        "Move and remove packages",
        &[
            "pull",
            "checkpull",
            "dumppull",
            "copy",
            "copysrc",
            "copymatched",
            "copyfilter",
            "remove",
            "removesrc",
            "removesrcs",
            "removematched",
            "removefilter",
        ],
    ),
    (
        "Look",
        &["list", "listmatched", "listfilter", "ls", "lsbycomponent", "show"],
    ),
    ("Publish", &["export", "createsymlinks", "serve"]),
    (
        "Look after it",
        &[
            "check",
            "checkpool",
            "dumpunreferenced",
            "deleteunreferenced",
            "dumpreferences",
            "rerunnotifiers",
            "clearvanished",
            "dump",
            "load",
            "recover",
        ],
    ),
    (
        "Tracking",
        &["dumptracks", "retrack", "tidytracks", "removetrack", "removealltracks"],
    ),
];

const EXAMPLES: &str = "\
Examples:
  aptrepo -b /srv/apt init noble-staging noble-prod
  aptrepo -b /srv/apt key generate --name 'Example Ltd' --email apt@example.com
  aptrepo -b /srv/apt -C main include noble-staging hello_1.0-1_amd64.changes
  aptrepo -b /srv/apt --dry-run copysrc noble-prod noble-staging hello
  aptrepo -b /srv/apt copysrc noble-prod noble-staging hello
  aptrepo -b /srv/apt --json ls hello
";

const EXIT_CODES: &str = "\
Exit codes:
  0 done, or nothing to do     1 wrong command line       239 the archive is locked
  243 not permitted            248 unknown field in conf  249 no such distribution or file
  250 bad signature            251 cannot sign            254 wrong checksum, file missing
  255 anything else
";

/// The options that matter to commands, beside `--basedir`.
const RELEVANT: &[(&[&str], &[&str])] = &[
    (
        &["include"],
        &[
            "component",
            "architecture",
            "type",
            "section",
            "priority",
            "ignore",
            "delete",
            "dry-run",
            "json",
        ],
    ),
    (
        &["includedeb", "includeudeb", "includedsc"],
        &[
            "component",
            "architecture",
            "section",
            "priority",
            "ignore",
            "delete",
            "dry-run",
            "json",
        ],
    ),
    (
        &["copy", "copysrc", "copymatched", "copyfilter"],
        &[
            "component",
            "architecture",
            "type",
            "allow-downgrade",
            "dry-run",
            "json",
        ],
    ),
    (
        &["update"],
        &[
            "component",
            "architecture",
            "type",
            "listdir",
            "noskipold",
            "noonlysmalldeletes",
            "keep-going",
            "nolistsdownload",
            "restrict",
            "restrict-binary",
            "restrict-file",
            "restrict-file-binary",
            "spacecheck",
            "safetymargin",
            "dry-run",
            "json",
        ],
    ),
    (
        &["checkupdate", "dumpupdate"],
        &[
            "component",
            "architecture",
            "type",
            "listdir",
            "noskipold",
            "keep-going",
            "json",
        ],
    ),
    (
        &["predelete"],
        &[
            "component",
            "architecture",
            "type",
            "restrict",
            "restrict-binary",
            "noonlysmalldeletes",
            "nolistsdownload",
            "dry-run",
            "json",
        ],
    ),
    (&["cleanlists"], &["listdir", "dry-run", "json"]),
    (
        &["pull"],
        &[
            "component",
            "architecture",
            "type",
            "restrict",
            "restrict-binary",
            "restrict-file",
            "restrict-file-binary",
            "dry-run",
            "json",
        ],
    ),
    (
        &["checkpull", "dumppull"],
        &[
            "component",
            "architecture",
            "type",
            "restrict",
            "restrict-binary",
            "json",
        ],
    ),
    (
        &["remove", "removematched", "removefilter"],
        &["component", "architecture", "type", "dry-run", "json"],
    ),
    (&["removesrc", "removesrcs"], &["dry-run", "json"]),
    (
        &["list", "listmatched", "listfilter"],
        &[
            "component",
            "architecture",
            "type",
            "list-format",
            "list-max",
            "list-skip",
            "json",
        ],
    ),
    (
        &["ls", "lsbycomponent", "show"],
        &["component", "architecture", "type", "json"],
    ),
    (&["export"], &["recompress", "dry-run", "passphrase-file"]),
    (&["createsymlinks"], &["dry-run", "passphrase-file"]),
    (&["init"], &["component", "architecture"]),
    (&["key"], &["gnupghome", "passphrase-file", "json"]),
    (&["removealltracks"], &["delete", "dry-run", "json"]),
    (&["retrack", "tidytracks", "removetrack"], &["dry-run", "json"]),
    (&["dumptracks", "dumpunreferenced", "dumpreferences"], &["json"]),
    (&["deleteunreferenced"], &["morguedir", "dry-run", "json"]),
    (&["check"], &["component", "architecture", "type"]),
    (&["recover"], &["dry-run", "waitforlock", "json"]),
];

/// Examples of commands, each without `aptrepo`.
const COMMAND_EXAMPLES: &[(&str, &[&str])] = &[
    (
        "init",
        &[
            "-b /srv/apt init noble-staging noble-prod",
            "-b /srv/apt -C 'main|contrib' -A 'amd64|source' init --origin 'Example Ltd'",
        ],
    ),
    (
        "include",
        &["-C main --delete include noble-staging hello_1.0-1_amd64.changes"],
    ),
    ("includedeb", &["-C role/web -S web includedeb noble-staging *.deb"]),
    (
        "update",
        &[
            "update",
            "update noble",
            "--noskipold update noble",
            "--keep-going --waitforlock 30 update",
        ],
    ),
    ("pull", &["checkpull noble-prod", "--restrict hello pull noble-prod"]),
    ("copy", &["copy noble-prod noble-staging hello hello-doc"]),
    (
        "copysrc",
        &[
            "copysrc noble-prod noble-staging hello",
            "copysrc noble-prod noble-staging hello 1.0-1",
        ],
    ),
    ("copymatched", &["copymatched noble-prod noble-staging 'libhello*'"]),
    (
        "remove",
        &["remove noble-staging hello", "-A i386 remove noble-staging hello=1.0-1"],
    ),
    ("removesrc", &["--dry-run removesrc noble-staging hello"]),
    (
        "list",
        &[
            "list noble-prod",
            "-A amd64 --list-format '${package} ${version} ${filename}\\n' list noble-prod",
        ],
    ),
    ("listmatched", &["listmatched noble-prod 'lib*'"]),
    (
        "listfilter",
        &["listfilter noble-prod 'Section (== web), Priority (!= required)'"],
    ),
    ("serve", &["-b /srv/apt serve --listen 0.0.0.0:80"]),
    (
        "key",
        &[
            "key generate --name 'Example Ltd' --email apt@example.com",
            "key package example --uri https://apt.example.com --suite noble-prod",
        ],
    ),
];

const ALL_OPTIONS: &str = "`aptrepo --help` lists the options that every command takes.";

/// Gives the command line its help pages.
pub fn complete(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let page = overview(&command);
    let command = command
        .override_help(page)
        .override_usage("aptrepo [OPTIONS] COMMAND [ARGUMENTS]");
    names.into_iter().fold(command, |command, name| {
        let after = after_command(&name) + ALL_OPTIONS;
        command.mut_subcommand(name, |sub| with_actions(sub).after_help(after))
    })
}

/// The actions of a command such as `key`.
fn with_actions(command: Command) -> Command {
    let actions: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    if actions.is_empty() {
        return command;
    }
    let command = command
        .subcommand_help_heading("Actions")
        .subcommand_value_name("ACTION");
    actions.into_iter().fold(command, |command, action| {
        command.mut_subcommand(action, |sub| sub.after_help(ALL_OPTIONS))
    })
}

fn overview(command: &Command) -> String {
    let mut page = "\
A self-hosted APT repository manager

Usage: aptrepo [OPTIONS] COMMAND [ARGUMENTS]

"
    .to_owned();
    for (heading, names) in COMMANDS {
        page += &format!("{heading}:\n");
        for name in *names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            page += &format!("  {name:18} {about}\n");
        }
        page.push('\n');
    }
    page += "`aptrepo COMMAND --help` tells the arguments of a command. Options may stand before the command or after it,\n\
             and their names may be shortened; conf/options can hold most of them, each on a line, without the dashes.\n\n";
    for (heading, shown) in options::GROUPS {
        page += &format!("{heading}:\n");
        page.extend(shown.iter().map(Shown::line));
        page.push('\n');
    }
    page + EXAMPLES + "\n" + EXIT_CODES
}

fn after_command(name: &str) -> String {
    let mut text = String::new();
    let relevant = RELEVANT.iter().find(|(commands, _)| commands.contains(&name));
    if let Some((_, wanted)) = relevant {
        text += "Options that matter here:\n";
        let wanted = wanted
            .iter()
            .filter_map(|name| options::shown().find(|shown| shown.name == *name));
        text.extend(wanted.map(Shown::line));
        text.push('\n');
    }
    if let Some((_, examples)) = COMMAND_EXAMPLES.iter().find(|(command, _)| *command == name) {
        text += "Examples:\n";
        text.extend(examples.iter().map(|example| format!("  aptrepo {example}\n")));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_a_group_and_every_name_in_a_table_is_of_something() {
        let command = super::super::command::CommandLine::command();
        let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
        let names: Vec<&str> = visible.map(Command::get_name).collect();
        let mut grouped: Vec<&str> = COMMANDS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut expected = names.clone();
        grouped.sort_unstable();
        expected.sort_unstable();
        assert_eq!(grouped, expected);
        let told = COMMAND_EXAMPLES.iter().map(|(name, _)| *name);
        for name in told.chain(RELEVANT.iter().flat_map(|(commands, _)| commands.iter().copied())) {
            assert!(names.contains(&name), "{name}");
        }
        for option in RELEVANT.iter().flat_map(|(_, options)| options.iter()) {
            assert!(options::shown().any(|shown| shown.name == *option), "{option}");
        }
    }
}
