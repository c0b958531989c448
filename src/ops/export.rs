//! Publishing: what is owed after a change, and `export`, which writes a distribution whether it changed or not.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::conf::ExportMode;
use crate::conf::distribution::{Distribution, SignWith};
use crate::ingest;
use crate::model::{Codename, Sha256};
use crate::pgp::{self, KeyHome, Passphrase, Signer};
use crate::publish::{self, Check, MissingFileList, Published, needs_publishing};
use crate::store::Snapshot;

use super::archive::Archive;
use super::session::{Session, script_directories};
use super::{Error, Result, garbage};

/// Which distributions are published, and how closely.
enum Wish<'a> {
    /// Those whose state differs from what is published, and of those looked at the ones that never were.
    Owed { looked_at: &'a [Codename] },
    /// These in any case.
    Named(&'a [&'a Distribution]),
}

/// Writes and signs the indexes of the named distributions, or of all that may be exported.
///
/// # Errors
/// A distribution is unknown or read-only, or cannot be published; the others are.
pub fn export(archive: &Archive<'_>, names: &[String]) -> Result<()> {
    let mut distributions = archive.distributions(names)?;
    if names.is_empty() {
        distributions.retain(|distribution| distribution.export && !distribution.read_only);
    }
    if let Some(refused) = distributions.iter().find(|distribution| distribution.read_only) {
        return Err(Error::ReadOnly {
            codename: refused.codename.clone(),
        });
    }
    if archive.settings.dry_run {
        let names = distributions.iter().map(|distribution| distribution.codename.as_str());
        names.for_each(|name| archive.reporter.result(&format!("{name}: write and sign all indexes")));
        return Ok(());
    }
    let session = Session::begin(archive)?;
    publish_some(&session, &Wish::Named(&distributions))?;
    session.finish()
}

/// Publishes every distribution whose state is not what clients see; those looked at also if they were never
/// published, and with `--export=lookedat` or `force` in any case.
///
/// # Errors
/// One of them cannot be published; the others are.
pub fn publish_owed(session: &Session<'_>, looked_at: &[Codename]) -> Result<()> {
    publish_some(session, &Wish::Owed { looked_at })
}

fn publish_some(session: &Session<'_>, wish: &Wish<'_>) -> Result<()> {
    let archive = session.archive;
    let mut publisher = Publisher {
        session,
        snapshot: archive.snapshot()?,
        signers: BTreeMap::new(),
    };
    let is_for_all_looked_at = matches!(
        archive.settings.options.export,
        Some(ExportMode::LookedAt | ExportMode::Force)
    );
    let mut first_error = None;
    for distribution in archive.conf.distributions.iter().filter(|d| d.export && !d.read_only) {
        let previous = publisher.previous(distribution)?;
        let is_wanted = match wish {
            Wish::Owed { looked_at } => {
                needs_publishing(&publisher.snapshot, distribution, previous.as_ref())
                    || looked_at.contains(&distribution.codename) && (previous.is_none() || is_for_all_looked_at)
            }
            Wish::Named(named) => named.iter().any(|named| named.codename == distribution.codename),
        };
        if !is_wanted {
            continue;
        }
        archive
            .reporter
            .status(&format!("Publishing {}...", distribution.codename));
        if let Err(error) = publisher.publish(distribution, previous.as_ref(), wish) {
            match &first_error {
                None => first_error = Some(error),
                Some(_) => archive.reporter.warning(&super::with_causes(&error)),
            }
        }
    }
    first_error.map_or(Ok(()), Err)
}

struct Publisher<'a> {
    session: &'a Session<'a>,
    snapshot: Snapshot,
    /// The signers of the distributions so far, by their `SignWith`: a key is unlocked once.
    signers: BTreeMap<Vec<String>, Signer>,
}

impl Publisher<'_> {
    fn previous(&self, distribution: &Distribution) -> Result<Option<Published>> {
        let record = self.session.archive.database()?.published(&distribution.codename)?;
        Ok(record.as_deref().and_then(Published::decode))
    }

    fn publish(&mut self, distribution: &Distribution, previous: Option<&Published>, wish: &Wish<'_>) -> Result<()> {
        let error = |source| Error::Publish {
            codename: distribution.codename.clone(),
            source,
        };
        let outcome = match self.try_publish(distribution, previous, wish) {
            Err(Error::Publish {
                source: publish::Error::FileListsMissing { packages },
                ..
            }) => {
                self.read_file_lists(&packages)?;
                self.try_publish(distribution, previous, wish)?
            }
            outcome => outcome?,
        };
        let record = outcome.published.encode().map_err(error)?;
        self.session
            .guard
            .set_published(&distribution.codename, &record, &outcome.published.keeps())?;
        Ok(())
    }

    fn try_publish(
        &mut self,
        distribution: &Distribution,
        previous: Option<&Published>,
        wish: &Wish<'_>,
    ) -> Result<publish::Outcome> {
        let archive = self.session.archive;
        let settings = &archive.settings;
        let is_export = matches!(wish, Wish::Named(_));
        let is_forced = settings.options.export == Some(ExportMode::Force);
        let database = archive.database()?;
        let file_lists = |digest: &Sha256| database.file_list(digest);
        let environment: Vec<(OsString, OsString)> = script_directories(&archive.directories)
            .into_iter()
            .map(|(name, path)| (name.into(), path.into_os_string()))
            .collect();
        let keys = signing_keys(distribution);
        if let Some(keys) = &keys
            && !self.signers.contains_key(keys)
        {
            let signer = signer(archive, keys).map_err(|source| Error::Publish {
                codename: distribution.codename.clone(),
                source: publish::Error::Sign {
                    codename: distribution.codename.clone(),
                    source,
                },
            })?;
            self.signers.insert(keys.clone(), signer);
        }
        let request = publish::Request {
            snapshot: &self.snapshot,
            distribution,
            all: &archive.conf.distributions,
            dists: &archive.directories.dist,
            previous,
            signer: keys.and_then(|keys| self.signers.get(&keys)),
            script_environment: &environment,
            file_lists: &file_lists,
            date: date_of_publication(settings.now, previous.map(|previous| previous.published_at)),
            now: settings.now,
            retain_seconds: settings.retain_seconds(),
            check: if is_export || is_forced {
                Check::Digest
            } else {
                Check::Size
            },
        };
        publish::publish(&request).map_err(|source| Error::Publish {
            codename: distribution.codename.clone(),
            source,
        })
    }

    /// Reads the paths of .debs whose list is not known: those that came in before Contents was wanted, or whose list
    /// a damaged database lost.
    fn read_file_lists(&self, packages: &[MissingFileList]) -> Result<()> {
        let out = &self.session.archive.directories.out;
        for MissingFileList { path, sha256 } in packages {
            let paths = ingest::paths_in_deb(&path.to_fs_path(out))?;
            self.session.guard.put_file_list(sha256, &paths)?;
        }
        Ok(())
    }
}

/// The `Date` of a Release. Each state has its own, so that apt sees that it is new; the command may have waited for
/// the lock, and apt takes no Release that is older than the one it has. But no time is further ahead of the clock than
/// apt likes, and a state that was published while the clock was wrong must not hold the time up for ever.
fn date_of_publication(now: i64, previous: Option<i64>) -> i64 {
    const LEAD_SECONDS: i64 = 3;
    const LONGEST_WAIT_SECONDS: i64 = 3600;
    match previous {
        Some(earlier) if (now..now.saturating_add(LEAD_SECONDS)).contains(&earlier) => earlier.saturating_add(1),
        Some(earlier) if earlier > now && earlier.saturating_sub(now) <= LONGEST_WAIT_SECONDS => earlier,
        _ => now,
    }
}

/// The keys that `SignWith` names, none for the default key; `None` if no key of ours signs.
fn signing_keys(distribution: &Distribution) -> Option<Vec<String>> {
    match distribution.sign_with.as_ref()? {
        SignWith::Default => Some(Vec::new()),
        SignWith::Keys(keys) => Some(keys.clone()),
        SignWith::Script(_) => None,
    }
}

fn signer(archive: &Archive<'_>, keys: &[String]) -> std::result::Result<Signer, pgp::Error> {
    let home = KeyHome::open(&archive.directories.gnupg)?;
    let passphrase = archive
        .settings
        .passphrase_file
        .as_deref()
        .map(Passphrase::from_file)
        .transpose()?;
    let signer = home.signer(keys, passphrase.as_ref(), archive.settings.now)?;
    signer
        .warnings()
        .iter()
        .for_each(|warning| archive.reporter.warning(warning));
    if let Some(hint) = home.hint()? {
        archive.reporter.status(&hint);
    }
    Ok(signer)
}

/// Makes the links of suite names to codenames for the named distributions, or for all.
///
/// # Errors
/// A distribution is unknown, or a link cannot be made.
pub fn create_symlinks(archive: &Archive<'_>, names: &[String]) -> Result<()> {
    let distributions = archive.distributions(names)?;
    if archive.settings.dry_run {
        let dists = &archive.directories.dist;
        for distribution in distributions {
            if let Some((place, target)) = publish::missing_link(dists, distribution, &archive.conf.distributions) {
                archive
                    .reporter
                    .result(&format!("{}: link to {target}", place.display()));
            }
        }
        return Ok(());
    }
    let session = Session::begin(archive)?;
    for distribution in distributions {
        publish::link_suite(&archive.directories.dist, distribution, &archive.conf.distributions).map_err(
            |source| Error::Publish {
                codename: distribution.codename.clone(),
                source,
            },
        )?;
    }
    garbage::collect_all(&session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_publication_goes_back_only_from_a_wrong_clock() {
        assert_eq!(date_of_publication(1_000, None), 1_000);
        assert_eq!(date_of_publication(1_000, Some(900)), 1_000);
        assert_eq!(date_of_publication(1_000, Some(1_000)), 1_001);
        assert_eq!(date_of_publication(1_000, Some(1_002)), 1_003);
        assert_eq!(date_of_publication(1_000, Some(1_003)), 1_003);
        assert_eq!(date_of_publication(1_000, Some(1_060)), 1_060);
        assert_eq!(date_of_publication(1_000, Some(1_000_000)), 1_000);
    }
}
