//! Bringing packages in: `include` (a .changes with all that it lists), `includedeb`, `includeudeb`, `includedsc`.
//!
//! However many files a command names, they come in together or not at all.

mod batch;
mod binary;
mod originals;
mod signatures;
mod source;
mod upload;

use std::path::{Path, PathBuf};

use crate::conf::distribution::Distribution;
use crate::ingest::Intake;

use super::archive::Archive;
use super::session::{Outcome, Session};
use super::{Error, Result, with_causes};

use batch::{Arrived, Batch, Finished};

pub use binary::include_binaries;
pub use source::include_sources;
pub use upload::include_changes;

/// Brings files into a distribution: `receive` reads each into the spool and checks it by itself, `add` plans it.
///
/// # Errors
/// One of the files cannot be taken: none is then. Publishing can fail after the change.
fn bring_in<T>(
    archive: &Archive<'_>,
    distribution: &Distribution,
    files: &[PathBuf],
    mut receive: impl FnMut(&Intake, &Path) -> Result<T>,
    mut add: impl FnMut(&mut Batch<'_>, T) -> Result<()>,
) -> Result<Outcome> {
    archive.check_restriction(&[distribution])?;
    let session = Session::begin(archive)?;
    let intake = session.intake(distribution)?;
    let received = take_all(archive, files, |file| receive(&intake, file))?;
    let store = session.open()?;
    let mut batch = Batch::new(archive, distribution, store)?;
    let mut received = received.into_iter();
    take_all(archive, files, |file| {
        batch.begin_file(file);
        received.next().map_or(Ok(()), |one| add(&mut batch, one))
    })?;
    let finished = batch.finish(&archive.settings.command);
    carry_out(&session, finished)
}

/// Runs `take` for each file, tells every failure, and fails if there was any.
fn take_all<T>(archive: &Archive<'_>, files: &[PathBuf], mut take: impl FnMut(&Path) -> Result<T>) -> Result<Vec<T>> {
    let mut taken = Vec::new();
    let mut failures = Vec::new();
    for file in files {
        match take(file) {
            Ok(value) => taken.push(value),
            Err(error) => failures.push((file, error)),
        }
    }
    if failures.len() > 1 || (failures.len() == 1 && files.len() > 1) {
        for (file, error) in &failures {
            let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            archive
                .reporter
                .note(&format!("{}: {}{hint}", file.display(), with_causes(error)));
        }
    }
    match failures.into_iter().next() {
        None => Ok(taken),
        Some((_, error)) if files.len() == 1 => Err(error),
        Some((_, error)) => {
            let failed = files.len() - taken.len();
            Err(Error::SomeRefused {
                failed,
                all: files.len(),
                kind: error.kind(),
            })
        }
    }
}

/// Carries a batch out and tells the result of each package.
fn carry_out(session: &Session<'_>, finished: Finished) -> Result<Outcome> {
    let Finished {
        plan,
        told,
        results,
        originals,
    } = finished;
    let archive = session.archive;
    let outcome = session.carry_out(plan, &told);
    let is_done = outcome.as_ref().err().is_none_or(Error::is_after_commit);
    if is_done && !archive.settings.dry_run {
        results.iter().for_each(|line| archive.reporter.result(line));
    }
    let outcome = outcome?;
    if !archive.settings.dry_run {
        originals.delete(archive);
    }
    Ok(outcome)
}
