//! Symbolic links from suite to codename, so that clients may name `stable`.

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
use super::tree::NEW_PREFIX;
use crate::conf::distribution::Distribution;
use crate::fsio::{self, AtPath};

/// The link `dists/SUITE -> CODENAME` with its target, if it is not there as it should be: if the suite is the distribution's alone and no codename. Whatever else
/// than a link has that name is left as it is.
#[must_use]
pub fn missing_link(dists: &Path, distribution: &Distribution, all: &[Distribution]) -> Option<(PathBuf, String)> {
    let codename = distribution.codename.as_str();
    let suite = distribution.suite.as_ref().map(AsRef::<str>::as_ref)?;
    let is_taken = |other: &Distribution| {
        let is_other = other.codename != distribution.codename;
        other.codename.as_str() == suite
            || is_other && other.suite.as_ref().is_some_and(|other| other.as_str() == suite)
    };
    if suite == codename || all.iter().any(is_taken) {
        return None;
    }
    let place = dists.join(suite);
    let target = format!("{}{codename}", "../".repeat(suite.matches('/').count()));
    match fs::read_link(&place) {
        Ok(found) if found == Path::new(&target) => return None,
        Ok(_) => {}
        Err(_) if fs::symlink_metadata(&place).is_ok() => return None,
        Err(_) => {}
    }
    let parent = fsio::parent(&place);
    // below the link of another suite, such as `stable/updates` in `stable -> bookworm`, the name is that one's
    if parent
        .ancestors()
        .take_while(|above| *above != dists)
        .any(Path::is_symlink)
    {
        return None;
    }
    Some((place, target))
}

/// Makes or renews the [`missing_link`] of a distribution in one step. True if there was anything to do.
///
/// # Errors
/// The link cannot be written.
pub fn link_suite(dists: &Path, distribution: &Distribution, all: &[Distribution]) -> Result<bool, Error> {
    let Some((place, target)) = missing_link(dists, distribution, all) else {
        return Ok(false);
    };
    let parent = fsio::parent(&place);
    fsio::create_dir_all(parent)?;
    let name = target.replace('/', "%2F");
    let temporary = dists.join(format!("{NEW_PREFIX}link-{name}"));
    fsio::remove_if_there(&temporary)?;
    std::os::unix::fs::symlink(&target, &temporary).at("make the link", &temporary)?;
    fs::rename(&temporary, &place).at("rename a link to", &place)?;
    fsio::sync_dir(parent)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::tests::distribution;
    use super::*;
    use crate::model::Suite;

    fn named(codename: &str, suite: &str) -> Distribution {
        let mut distribution = distribution(codename);
        distribution.suite = Some(Suite::new(suite).unwrap());
        distribution
    }

    #[test]
    fn the_link_follows_the_suite() {
        let dists = tempfile::tempdir().unwrap();
        let link = |name: &str| fs::read_link(dists.path().join(name)).ok();
        let mut all = vec![named("bookworm", "stable"), named("trixie/updates", "next/updates")];
        for distribution in &all {
            assert!(link_suite(dists.path(), distribution, &all).unwrap());
            assert!(!link_suite(dists.path(), distribution, &all).unwrap());
        }
        assert_eq!(link("stable").unwrap(), Path::new("bookworm"));
        assert_eq!(link("next/updates").unwrap(), Path::new("../trixie/updates"));
        all[0] = named("forky", "stable");
        assert!(link_suite(dists.path(), &all[0], &all).unwrap());
        assert_eq!(link("stable").unwrap(), Path::new("forky"));
    }

    #[test]
    fn names_that_are_taken_are_left_alone() {
        let dists = tempfile::tempdir().unwrap();
        let all = [
            named("a", "shared"),
            named("b", "shared"),
            named("c", "a"),
            named("d", "d"),
            named("e", "there"),
        ];
        fs::create_dir(dists.path().join("there")).unwrap();
        for distribution in &all {
            assert!(!link_suite(dists.path(), distribution, &all).unwrap());
        }
        assert_eq!(fs::read_dir(dists.path()).unwrap().count(), 1);
    }
}
