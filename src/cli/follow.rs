//! The commands that follow rules: `update` and `pull`, and what says what they would do.

use crate::ops::select::Report;
use crate::ops::{Archive, pull, update};

use super::command::Command;
use super::run::{Done, changed};
use super::{Error, answer};

/// Runs one of them.
pub fn follow(archive: &Archive<'_>, command: Command, json: bool) -> Result<Done, Error> {
    let (report, is_dump) = match command {
        Command::Update(arguments) => {
            return changed(archive, &update::update(archive, &arguments.distributions)?, json);
        }
        Command::PreDelete(arguments) => {
            return changed(archive, &update::predelete(archive, &arguments.distributions)?, json);
        }
        Command::Pull(arguments) => return changed(archive, &pull::pull(archive, &arguments.distributions)?, json),
        Command::CleanLists => {
            let removed = update::clean_lists(archive)?;
            if archive.settings.dry_run || json {
                answer::rows(&removed, json)?;
            }
            return Ok(Done::something_if(!removed.is_empty()));
        }
        Command::CheckUpdate(arguments) => (update::check(archive, &arguments.distributions)?, false),
        Command::DumpUpdate(arguments) => (update::check(archive, &arguments.distributions)?, true),
        Command::CheckPull(arguments) => (pull::check(archive, &arguments.distributions)?, false),
        Command::DumpPull(arguments) => (pull::check(archive, &arguments.distributions)?, true),
        _ => return Ok(Done::Nothing),
    };
    told(archive, &report, is_dump, json)
}

fn told(archive: &Archive<'_>, report: &Report, is_dump: bool, json: bool) -> Result<Done, Error> {
    if json {
        answer::json(report)?;
    } else if is_dump {
        answer::text(&report.dump_text())?;
    } else {
        answer::text(&report.check_text(archive.settings.options.verbosity))?;
        let (count, bytes) = (report.files_to_fetch, report.bytes_to_fetch);
        if count > 0 {
            let plural = if count == 1 { "" } else { "s" };
            archive.reporter.note(&format!(
                "To be fetched: {count} file{plural}, {}",
                update::human_bytes(bytes)
            ));
        }
    }
    Ok(Done::something_if(!report.rows.is_empty()))
}
