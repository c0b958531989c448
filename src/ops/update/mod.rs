//! `update`: brings distributions up to date with the upstreams that their `Update:` names; `checkupdate` and
//! `dumpupdate` say what that would do, `predelete` makes room for it, `cleanlists` clears up behind it.
//!
//! In this order: Release files, indexes, a decision on every package, the files of new packages, and for each
//! distribution its own commit and publishing. An upstream that cannot be reached fails the distributions that use it.
//! One that answers with what cannot be trusted, or lacks what it lists, stops the run before anything has changed, or with
//! `--keep-going` fails its distributions, too.
//!
//! A lock of its own keeps two updates apart. The archive's lock is taken for short moments: to look into the pool, and
//! for each distribution to commit and publish, if what was decided from is still so; else that one is decided anew.

mod candidate;
mod carry;
mod decide;
mod download;
mod error;
mod extras;
mod files;
mod glance;
mod hook;
mod jobs;
mod lists;
mod needs;
mod predelete;
mod progress;
mod room;
mod run;
mod seen;
mod texts;

use crate::conf::distribution::Distribution;

use super::Result;
use super::archive::Archive;
use super::select::{self, Report};
use super::session::Outcome;

pub(super) use candidate::{OwnPackage, read_own};
pub use error::Error;
pub use lists::clean_lists;
pub use progress::human_bytes;

/// Brings the named distributions, or all that have an `Update:`, up to date with their upstreams.
///
/// # Errors
/// Distributions could not be updated, or a signal came; the others were.
pub fn update(archive: &Archive<'_>, names: &[String]) -> Result<Outcome> {
    let mut run = begin(archive, names)?;
    let outcome = run.carry_out()?;
    run.result(outcome)
}

/// Removes what [`update`] would replace or remove, and fetches nothing.
///
/// # Errors
/// As those of [`update`].
pub fn predelete(archive: &Archive<'_>, names: &[String]) -> Result<Outcome> {
    let mut run = begin(archive, names)?;
    let outcome = run.predelete()?;
    run.result(outcome)
}

/// What [`update`] would do.
///
/// # Errors
/// An upstream cannot be used, its indexes are malformed, or a signal came.
pub fn check(archive: &Archive<'_>, names: &[String]) -> Result<Report> {
    let mut run = begin(archive, names)?;
    let report = run.report()?;
    run.result(report)
}

fn begin<'a>(archive: &'a Archive<'a>, names: &[String]) -> Result<run::Run<'a>> {
    run::Run::prepare(archive, &distributions(archive, names)?)
}

/// The distributions with an `Update:` among these.
fn distributions<'a>(archive: &'a Archive<'_>, names: &[String]) -> Result<Vec<&'a Distribution>> {
    let mut distributions = select::distributions(archive, names)?;
    distributions.retain(|distribution| !distribution.update.is_empty());
    if distributions.is_empty() {
        let message = "Nothing to do, because none of the selected distributions has an Update: field.";
        archive.reporter.note(message);
    }
    Ok(distributions)
}
