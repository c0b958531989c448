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

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

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
fn bring_in<T: Send>(
    archive: &Archive<'_>,
    distribution: &Distribution,
    files: &[PathBuf],
    receive: impl Fn(&Intake, &Path) -> Result<T> + Sync,
    mut add: impl FnMut(&mut Batch<'_>, T) -> Result<()>,
) -> Result<Outcome> {
    archive.check_restriction(&[distribution])?;
    let session = Session::begin(archive)?;
    let intake = session.intake(distribution)?;
    let mut received = Vec::new();
    // opening the tables is mostly waiting
    let opened = rayon::in_place_scope(|scope| {
        scope.spawn(|_| received = files.par_iter().map(|file| receive(&intake, file)).collect());
        session.open()
    });
    let received = all_of(archive, files, received)?;
    let mut batch = Batch::new(archive, distribution, opened?)?;
    let planned = files.iter().zip(received).map(|(file, one)| {
        batch.begin_file(file);
        add(&mut batch, one)
    });
    let planned = planned.collect();
    all_of(archive, files, planned)?;
    let finished = batch.finish(&archive.settings.command);
    carry_out(&session, finished)
}

/// What became of each file, if nothing failed; else tells every failure.
fn all_of<T>(archive: &Archive<'_>, files: &[PathBuf], results: Vec<Result<T>>) -> Result<Vec<T>> {
    let mut taken = Vec::new();
    let mut failures = Vec::new();
    for (file, result) in files.iter().zip(results) {
        match result {
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
