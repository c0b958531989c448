//! The commands that follow upstream archives: `update` and what says what it would do.

use crate::ops::{Archive, update};

use super::command::Command;
use super::run::{Done, changed};
use super::{Error, answer};

/// Runs one of them.
pub fn follow(archive: &Archive<'_>, command: Command, json: bool) -> Result<Done, Error> {
    let (report, is_dump) = match command {
        Command::Update(arguments) => {
            let outcome = update::update(archive, &arguments.distributions)?;
            return changed(archive, &outcome, json);
        }
        Command::CheckUpdate(arguments) => (update::check(archive, &arguments.distributions)?, false),
        Command::DumpUpdate(arguments) => (update::check(archive, &arguments.distributions)?, true),
        _ => return Ok(Done::Nothing),
    };
    if json {
        answer::json(&report)?;
    } else if is_dump {
        answer::text(&report.dump_text())?;
    } else {
        answer::text(&report.check_text(archive.settings.options.verbosity))?;
        let (count, bytes) = (report.files_to_fetch, report.bytes_to_fetch);
        if count > 0 {
            archive
                .reporter
                .note(&format!("To be fetched: {count} files, {}", update::human_bytes(bytes)));
        }
    }
    Ok(Done::something_if(!report.rows.is_empty()))
}
