//! The commands that work without conf/distributions: those that come before there is one, and `serve`.

use crate::conf::{Conf, Directories, Faults};
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
            let conf = Conf::read(directories, &settings.options.ignore);
            return check_conf(conf).map(Some);
        }
        Command::Serve(arguments) => serve(directories, arguments, Terminal::new(settings.options.verbosity))?,
        Command::VersionCompare(arguments) => version_compare(&arguments.first, &arguments.second)?,
        _ => return Ok(None),
    }
    Ok(Some(0))
}

fn check_conf(conf: Result<Conf, Faults>) -> Result<u8, Error> {
    match conf {
        Ok(conf) => {
            answer::lines(&conf.warnings)?;
            let count = conf.distributions.len();
            answer::text(&format!(
                "no faults; {count} distribution{}\n",
                if count == 1 { "" } else { "s" }
            ))?;
            Ok(0)
        }
        Err(faults) => {
            for fault in faults.iter() {
                print_error(fault, fault.hint().as_deref());
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
