//! What a distribution has of upstreams' files that are no packages: the record of it, and what of it is published.
//! `update` makes them.

use std::fs;

use crate::conf::distribution::Distribution;
use crate::model::{ArchivePath, Codename, Sha256};
use crate::publish::{self, ExtraToPublish, Extras, MadeExtra};
use crate::store::{self, Database};

use super::Result;
use super::archive::Archive;
use super::session::Session;

/// What can be published of them now.
#[derive(Debug, Default)]
pub struct Publishable {
    /// The files.
    pub files: Vec<ExtraToPublish>,
    /// Those whose content is lost: the next update gets it again.
    pub lost: Vec<ArchivePath>,
}

impl Publishable {
    /// What tells these files from others; none if there are none.
    #[must_use]
    pub fn identity(&self) -> Option<Sha256> {
        publish::identity_of(&self.files)
    }
}

/// The record of a distribution; an empty one if there is none, or a damaged one: then `update` makes it anew.
///
/// # Errors
/// It cannot be read.
pub fn record(database: &Database, codename: &Codename) -> Result<Extras> {
    match database.extras(codename) {
        Err(store::Error::Damaged { .. } | store::Error::Codec { .. }) => Ok(Extras::default()),
        record => Ok(record?.as_deref().and_then(Extras::decode).unwrap_or_default()),
    }
}

/// Forgets what distributions have that nothing updates any more, or that are no more.
///
/// # Errors
/// A record cannot be removed.
pub fn forget_unwanted(session: &Session<'_>) -> Result<()> {
    for codename in session.guard.database().with_extras()? {
        let distribution = session.archive.conf.by_codename(&codename);
        if distribution.is_none_or(|distribution| distribution.update.is_empty()) {
            session.guard.forget_extras(&codename)?;
        }
    }
    Ok(())
}

/// Whether all content of one of them is there, with the right size.
#[must_use]
pub fn is_whole(database: &Database, made: &MadeExtra) -> bool {
    let has = |content: &Sha256, size_bytes: u64| {
        let found = fs::metadata(database.extra_file(content));
        found.is_ok_and(|found| found.len() == size_bytes)
    };
    made.files
        .iter()
        .filter(|file| file.on_disk)
        .all(|file| has(&file.content.digests.sha256, file.content.size_bytes))
}

/// The files that a distribution is published with: none if nothing updates it, and none of a component that it no
/// longer has.
///
/// # Errors
/// The record cannot be read.
pub fn publishable(archive: &Archive<'_>, distribution: &Distribution) -> Result<Publishable> {
    let mut publishable = Publishable::default();
    if distribution.update.is_empty() {
        return Ok(publishable);
    }
    let database = archive.database()?;
    for (path, made) in record(&database, &distribution.codename)?.made {
        if !distribution.components.contains(&made.component) {
            continue;
        }
        if !is_whole(&database, &made) {
            publishable.lost.push(path);
            continue;
        }
        publishable.files.extend(made.files.into_iter().map(|file| {
            let place = file.on_disk.then(|| database.extra_file(&file.content.digests.sha256));
            ExtraToPublish { file, place }
        }));
    }
    Ok(publishable)
}
