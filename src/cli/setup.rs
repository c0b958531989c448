//! The commands that work without conf/distributions: those that come before there is one, and `serve`.

use crate::conf::{Conf, Directories, UpdateRule};
use crate::model::Version;
use crate::ops::archive::Settings;
use crate::ops::{self, Reporter};
use crate::serve;

use super::command::{self, Command};
use super::options::GlobalOptions;
use super::run::now;
use super::term::{Terminal, exit_code, print_error};
use super::{Error, answer, keys};

/// Runs one of these commands, and gives its exit code; none if the command is another.
pub fn without_configuration(
    command: &Command,
    directories: &Directories,
    settings: &Settings,
    global: &GlobalOptions,
) -> Result<Option<u8>, Error> {
    match command {
        Command::Init(arguments) => init(directories, settings, arguments)?,
        Command::Key(arguments) => return keys::run(arguments, directories, settings, global.json).map(Some),
        Command::CheckConf => {
            return check_conf(directories, settings, global.json).map(Some);
        }
        Command::Serve(arguments) => serve(directories, arguments, Terminal::new(settings.options.verbosity))?,
        Command::VersionCompare(arguments) => version_compare(&arguments.first, &arguments.second)?,
        _ => return Ok(None),
    }
    Ok(Some(0))
}

/// Reads the configuration and the files that it names, and tells all that is wrong with them.
fn check_conf(directories: &Directories, settings: &Settings, json: bool) -> Result<u8, Error> {
    let conf = Conf::read(directories, &settings.options.ignore);
    let (count, checked) = match conf {
        Ok(conf) => {
            let more = conf.check_files(directories);
            let mut warnings = conf.warnings;
            warnings.extend(conf.update_rules.iter().flat_map(UpdateRule::key_warnings));
            (conf.distributions.len(), more.map(|more| [warnings, more].concat()))
        }
        Err(faults) => (0, Err(faults)),
    };
    let texts = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>();
    match checked {
        Ok(warnings) if json => {
            let warnings = texts(&mut warnings.iter().map(ToString::to_string));
            answer::json(&serde_json::json!({"faults": [], "warnings": warnings}))?;
            Ok(0)
        }
        Ok(warnings) => {
            let terminal = Terminal::new(settings.options.verbosity);
            warnings
                .iter()
                .for_each(|warning| terminal.warning(&warning.to_string()));
            let plural = if count == 1 { "" } else { "s" };
            answer::text(&format!("no faults; {count} distribution{plural}\n"))?;
            Ok(0)
        }
        Err(faults) => {
            if json {
                let texts = texts(&mut faults.iter().map(ToString::to_string));
                answer::json(&serde_json::json!({"faults": texts, "warnings": []}))?;
            } else {
                faults
                    .iter()
                    .for_each(|fault| print_error(fault, fault.hint().as_deref()));
            }
            Ok(exit_code(faults.kind()))
        }
    }
}

fn init(directories: &Directories, settings: &Settings, arguments: &command::Init) -> Result<(), Error> {
    let restriction = &settings.restriction;
    let or = |given: Vec<String>, otherwise: &[&str]| {
        if given.is_empty() {
            otherwise.iter().map(ToString::to_string).collect()
        } else {
            given
        }
    };
    let stable = "stable".parse().map_err(ops::Error::from)?;
    let new = ops::init::NewArchive {
        codenames: if arguments.codenames.is_empty() {
            vec![stable]
        } else {
            arguments.codenames.clone()
        },
        origin: arguments.origin.clone(),
        architectures: or(restriction.architectures.clone(), &["amd64", "source"]),
        components: or(
            restriction.components.iter().map(ToString::to_string).collect(),
            &["main"],
        ),
    };
    ops::init::init(directories, &new)?;
    let conf = directories.conf.display();
    let base = directories.base.display();
    answer::text(&format!(
        "wrote {conf}/options and {conf}/distributions\n\
         next: aptrepo -b {base} key generate --name 'Your Company' --email archive@example.com\n\
         then: aptrepo -b {base} export\n"
    ))
}

fn serve(directories: &Directories, arguments: &command::Serve, terminal: Terminal) -> Result<(), Error> {
    let served = serve::Served {
        out_dir: directories.out.clone(),
        dist_dir: directories.dist.clone(),
        clock: now,
    };
    let server = serve::Server::bind(arguments.listen, served, serve::Limits::default())?;
    // whoever started it may have closed stdout; it serves all the same
    let _ = answer::text(&format!(
        "serving {} on http://{}/\n",
        directories.out.display(),
        server.address()
    ));
    server.run(move |line| terminal.status(&access_line(line)));
    Ok(())
}

fn access_line(line: &serve::AccessLine) -> String {
    let problem = line
        .problem
        .as_ref()
        .map(|problem| format!(" ({problem})"))
        .unwrap_or_default();
    let serve::AccessLine {
        peer,
        method,
        target,
        status,
        sent_bytes,
        ..
    } = line;
    format!("{peer} {method} {target} {status} {sent_bytes}{problem}")
}

fn version_compare(first: &Version, second: &Version) -> Result<(), Error> {
    let relation = match first.compare(second) {
        std::cmp::Ordering::Less => "is smaller than",
        std::cmp::Ordering::Equal => "is the same as",
        std::cmp::Ordering::Greater => "is larger than",
    };
    answer::text(&format!("'{first}' {relation} '{second}'.\n"))
}
