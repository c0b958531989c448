//! A database that was lost looks like one of a new archive. What is published shows the difference: publishing from
//! an empty database would take everything away from clients.

use crate::fsio;
use crate::pgp;
use crate::store::Snapshot;

use super::archive::Archive;
use super::{Error, Result};

/// Refuses to go on if there was never a change, though a distribution with packages is published that this database
/// has not published.
///
/// # Errors
/// [`Error::DatabaseLost`].
pub(super) fn refuse(archive: &Archive<'_>, snapshot: &Snapshot) -> Result<()> {
    if snapshot.sequence() > 0 {
        return Ok(());
    }
    let database = archive.database()?;
    for distribution in &archive.conf.distributions {
        let directory = archive.directories.dist.join(distribution.codename.as_str());
        // one that cannot be read shows that there was a database, too, and is told elsewhere
        if !matches!(database.published(&distribution.codename), Ok(None)) {
            continue;
        }
        let release = fsio::read_if_there(&directory.join("Release"), pgp::MAX_SIGNED_BYTES as u64)?;
        if release.is_some_and(|text| lists_packages(&String::from_utf8_lossy(&text))) {
            return Err(Error::DatabaseLost {
                path: archive.directories.db.clone(),
                dists: directory,
            });
        }
    }
    Ok(())
}

/// Whether a Release is such as aptrepo writes (reprepro's have no by-hash), and has an index with something in it.
fn lists_packages(release: &str) -> bool {
    let is_filled = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (size, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        size != "0" && (path.ends_with("/Packages") || path.ends_with("/Sources"))
    };
    release.lines().any(|line| line == "Acquire-By-Hash: yes")
        && release.lines().filter(|line| line.starts_with(' ')).any(is_filled)
}
