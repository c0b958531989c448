//! What the rules of `Update:` and `Pull:` select. It is the same for both, whether packages come from an upstream or
//! from another distribution: filters and `--restrict…` judge each package that is offered, marks hold what becomes of
//! the packages of an index, a report says it in reprepro's words.

mod error;
mod filter;
mod marks;
mod report;
mod restrict;

pub use error::Error;
pub use report::{Report, UpdateRow};

pub(super) use filter::{Offer, Selector};
pub(super) use marks::{Fate, Marks, Verdict};
pub(super) use report::Coming;
pub(super) use restrict::Restricted;

use filter::Selected;

use crate::conf::distribution::Distribution;
use crate::model::IndexId;

use super::archive::Archive;
use super::{Error as OpsError, Result};

/// Deletions are suspicious from this many on …
const MANY_DELETES: usize = 10;
/// … if they are more than one in so many packages.
const DELETES_OF: usize = 5;

impl Selector<'_> {
    /// What becomes of a package that the rule offers for an index; a loud `no` is told.
    ///
    /// # Errors
    /// A filter list says that the package must not come.
    pub fn judge(&self, archive: &Archive<'_>, offer: &Offer<'_>, index: &IndexId, is_known: bool) -> Result<Verdict> {
        match self.select(offer, index, is_known) {
            Selected::Verdict(verdict) => Ok(verdict),
            Selected::Warn => {
                let Offer { name, version, .. } = offer;
                archive
                    .reporter
                    .note(&format!("Loudly rejecting '{name}' '{version}' to enter '{index}'!"));
                Ok(Verdict::Ignore)
            }
            Selected::Fail => Err(Error::Unexpected {
                rule: self.rule().to_owned(),
                package: offer.name.clone(),
                version: offer.version.clone(),
                index: index.clone(),
            }
            .into()),
        }
    }
}

/// Refuses to let suspiciously many of the `all` packages of an index go.
///
/// # Errors
/// They would.
pub(super) fn refuse_many_deletes<C>(index: &IndexId, fates: &[Fate<C>], all: usize) -> Result<()> {
    let is_deletion = |fate: &&Fate<C>| fate.new.is_empty() && fate.kept.is_empty() && !fate.gone.is_empty();
    let gone = fates.iter().filter(is_deletion).count();
    if gone < MANY_DELETES || gone.saturating_mul(DELETES_OF) <= all {
        return Ok(());
    }
    Err(Error::ManyDeletes {
        index: index.clone(),
        gone,
        all,
    }
    .into())
}

/// The distributions that a command for these names, or for all that may be changed, is about.
///
/// # Errors
/// A name is of no distribution, or of one that is `ReadOnly`; or none of them has what `-C` and `-A` name.
pub(super) fn distributions<'a>(archive: &'a Archive<'_>, names: &[String]) -> Result<Vec<&'a Distribution>> {
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
    Ok(distributions)
}
