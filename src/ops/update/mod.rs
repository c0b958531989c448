//! `update`: brings distributions up to date with the upstreams that their `Update:` names; `checkupdate` and
//! `dumpupdate` say what that would do.
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
mod hook;
mod jobs;
mod marks;
mod needs;
mod progress;
mod report;
mod rewrite;
mod run;
mod seen;
mod select;

use crate::conf::distribution::Distribution;

use super::archive::Archive;
use super::session::Outcome;
use super::{Error as OpsError, Result};

pub use error::Error;
pub use progress::human_bytes;
pub use report::{Report, UpdateRow};

/// Brings the named distributions, or all that have an `Update:`, up to date with their upstreams.
///
/// # Errors
/// Distributions could not be updated, or a signal came; the others were.
pub fn update(archive: &Archive<'_>, names: &[String]) -> Result<Outcome> {
    let mut run = begin(archive, names)?;
    let outcome = run.carry_out()?;
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
    if !archive.settings.options.restrict.is_empty() {
        return Err(Error::NotBuilt { option: "restrict" }.into());
    }
    run::Run::prepare(archive, &distributions(archive, names)?)
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
