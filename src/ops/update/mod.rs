//! `update`: brings distributions up to date with the upstreams that their `Update:` names; `checkupdate` and
//! `dumpupdate` say what that would do, `predelete` makes room for it, `cleanlists` clears up behind it.
//!
//! In this order: Release files, indexes, a decision on every package, the files of new packages, and for each
//! distribution its own commit and publishing. An upstream that cannot be reached fails the distributions that use it.
//! One that answers with what cannot be trusted, or lacks what it lists, stops the run before anything has changed.

mod candidate;
mod carry;
mod decide;
mod download;
mod error;
mod hook;
mod jobs;
mod lists;
mod predelete;
mod room;
mod run;
mod seen;

use crate::conf::distribution::Distribution;

use super::Result;
use super::archive::Archive;
use super::select::{self, Report};
use super::session::{Outcome, Session};

pub use error::Error;
pub use lists::clean_lists;

/// Brings the named distributions, or all that have an `Update:`, up to date with their upstreams.
///
/// # Errors
/// Distributions could not be updated; the others were.
pub fn update(archive: &Archive<'_>, names: &[String]) -> Result<Outcome> {
    let session = Session::begin(archive)?;
    let distributions = distributions(archive, names)?;
    let mut run = run::Run::prepare(&session, &distributions)?;
    let outcome = run.carry_out()?;
    if !archive.settings.dry_run {
        // what an earlier run could not publish is published even if nothing is new
        session.finish()?;
    }
    run.result(outcome)
}

/// Removes what [`update`] would replace or remove, and fetches nothing.
///
/// # Errors
/// As those of [`update`].
pub fn predelete(archive: &Archive<'_>, names: &[String]) -> Result<Outcome> {
    let session = Session::begin(archive)?;
    let distributions = distributions(archive, names)?;
    let mut run = run::Run::prepare(&session, &distributions)?;
    let outcome = run.predelete()?;
    if !archive.settings.dry_run {
        session.finish()?;
    }
    run.result(outcome)
}

/// What [`update`] would do.
///
/// # Errors
/// An upstream cannot be used, or its indexes are malformed.
pub fn check(archive: &Archive<'_>, names: &[String]) -> Result<Report> {
    let session = Session::begin(archive)?;
    let distributions = distributions(archive, names)?;
    let mut run = run::Run::prepare(&session, &distributions)?;
    let report = run.report()?;
    run.result(report)
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
