//! `update`: brings distributions up to date with the upstreams that their `Update:` names; `checkupdate` and
//! `dumpupdate` say what that would do.
//!
//! In this order: Release files, indexes, a decision on every package, the files of new packages, and for each
//! distribution its own commit and publishing. An upstream that cannot be reached fails the distributions that use it.
//! One that answers with what cannot be trusted, or lacks what it lists, stops the run before anything has changed.

mod candidate;
mod carry;
mod decide;
mod download;
mod error;
mod extras;
mod hook;
mod jobs;
mod marks;
mod report;
mod rewrite;
mod run;
mod seen;
mod select;

use crate::conf::distribution::Distribution;

use super::archive::Archive;
use super::session::{Outcome, Session};
use super::{Error as OpsError, Result};

pub use error::Error;
pub use report::{Report, UpdateRow};

/// Brings the named distributions, or all that have an `Update:`, up to date with their upstreams.
///
/// # Errors
/// Distributions could not be updated; the others were.
pub fn update(archive: &Archive<'_>, names: &[String]) -> Result<Outcome> {
    let session = begin(archive)?;
    let distributions = distributions(archive, names)?;
    let mut run = run::Run::prepare(&session, &distributions)?;
    let outcome = run.carry_out()?;
    if !archive.settings.dry_run {
        super::extras::forget_unwanted(&session)?;
    }
    // what an earlier run could not publish is published even if nothing is new
    session.finish()?;
    run.result(outcome)
}

/// What [`update`] would do.
///
/// # Errors
/// An upstream cannot be used, or its indexes are malformed.
pub fn check(archive: &Archive<'_>, names: &[String]) -> Result<Report> {
    let session = begin(archive)?;
    let distributions = distributions(archive, names)?;
    let mut run = run::Run::prepare(&session, &distributions)?;
    let report = run.report()?;
    run.result(report)
}

fn begin<'a>(archive: &'a Archive<'a>) -> Result<Session<'a>> {
    if !archive.settings.options.restrict.is_empty() {
        return Err(Error::NotBuilt { option: "restrict" }.into());
    }
    Session::begin(archive)
}

fn distributions<'a>(archive: &'a Archive<'_>, names: &[String]) -> Result<Vec<&'a Distribution>> {
    let mut distributions = archive.distributions(names)?;
    if names.is_empty() {
        distributions.retain(|distribution| !distribution.read_only);
    }
    if let Some(refused) = distributions.iter().find(|distribution| distribution.read_only) {
        return Err(OpsError::ReadOnly {
            codename: refused.codename.clone(),
        });
    }
    archive.check_restriction(&distributions)?;
    distributions.retain(|distribution| !distribution.update.is_empty());
    Ok(distributions)
}
