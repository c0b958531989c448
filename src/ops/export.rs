//! Publishing: what is owed after a change, and `export`, which writes a distribution whether it changed or not.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use crate::conf::ExportMode;
use crate::conf::distribution::{Distribution, SignWith};
use crate::fsio;
use crate::ingest;
use crate::model::{Codename, Sha256};
use crate::pgp::{self, KeyHome, Passphrase, Signer};
use crate::publish::{self, Check, MissingFileList, Published, needs_publishing};
use crate::store::{self, Snapshot};

use super::archive::Archive;
use super::extras::{self, Publishable};
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
    let dists = &archive.directories.dist;
    let mut publisher = Publisher {
        session,
        snapshot: archive.snapshot()?,
        signers: BTreeMap::new(),
        unreadable: BTreeSet::new(),
        is_grace_begun_anew: false,
    };
    super::lost::refuse(archive, &publisher.snapshot)?;
    let is_for_all_looked_at = matches!(
        archive.settings.options.export,
        Some(ExportMode::LookedAt | ExportMode::Force)
    );
    let mut first_error = None;
    for distribution in exported(archive) {
        let Recorded { published, is_damaged } = recorded(archive, distribution)?;
        let previous = published.as_ref();
        if is_damaged {
            let codename = &distribution.codename;
            archive.reporter.warning(&format!(
                "the record of what is published of `{codename}` is damaged; publishing it makes it anew"
            ));
        }
        let extras = extras::publishable(archive, distribution)?;
        let is_owed =
            |snapshot, extras| is_damaged || needs_publishing(snapshot, distribution, extras, previous, dists);
        let is_wanted = match wish {
            Wish::Owed { looked_at } => {
                is_owed(&publisher.snapshot, extras.identity())
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
        for path in &extras.lost {
            archive.reporter.warning(&format!(
                "`{}` is published without `{path}`, whose content is lost below db/extras; `update` gets it again",
                distribution.codename
            ));
        }
        // only what names pool files counts here
        if is_owed(&session.before, previous.and_then(|previous| previous.extras)) {
            publisher.begin_grace_anew()?;
        }
        if let Err(error) = publisher.publish(distribution, previous, (wish, &extras)) {
            match &first_error {
                None => first_error = Some(error),
                Some(_) => archive.reporter.warning(&super::with_causes(&error)),
            }
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// The distributions that commands publish by themselves.
fn exported<'a>(archive: &'a Archive<'_>) -> impl Iterator<Item = &'a Distribution> {
    let distributions = archive.conf.distributions.iter();
    distributions.filter(|distribution| distribution.export && !distribution.read_only)
}

/// What the database knows of the published state of a distribution.
struct Recorded {
    published: Option<Published>,
    is_damaged: bool,
}

fn recorded(archive: &Archive<'_>, distribution: &Distribution) -> Result<Recorded> {
    match archive.database()?.published(&distribution.codename) {
        Err(store::Error::Damaged { .. } | store::Error::Codec { .. }) => Ok(Recorded {
            published: None,
            is_damaged: true,
        }),
        record => Ok(Recorded {
            published: record?.as_deref().and_then(Published::decode),
            is_damaged: false,
        }),
    }
}

/// Whether clients see the present state of every distribution that they see at all: only then may what that state no
/// longer names be removed.
///
/// # Errors
/// The database cannot be read.
pub fn is_all_published(archive: &Archive<'_>) -> Result<bool> {
    let dists = &archive.directories.dist;
    let snapshot = archive.snapshot()?;
    for distribution in exported(archive) {
        let Recorded { published, is_damaged } = recorded(archive, distribution)?;
        let is_seen = published.is_some() || dists.join(distribution.codename.as_str()).join("Release").exists();
        let extras = extras::publishable(archive, distribution)?.identity();
        if is_seen && (is_damaged || needs_publishing(&snapshot, distribution, extras, published.as_ref(), dists)) {
            return Ok(false);
        }
    }
    Ok(true)
}

struct Publisher<'a> {
    session: &'a Session<'a>,
    snapshot: Snapshot,
    /// The signers of the distributions so far, by their `SignWith`: a key is unlocked once.
    signers: BTreeMap<Vec<String>, Signer>,
    /// The .debs whose paths cannot be read: Contents are published without them.
    unreadable: BTreeSet<Sha256>,
    is_grace_begun_anew: bool,
}

impl Publisher<'_> {
    /// For a distribution that was owed before this command: what clients see until now may name pool files that nothing
    /// has referred to for long. Their grace time counts from here.
    fn begin_grace_anew(&mut self) -> Result<()> {
        if !self.is_grace_begun_anew {
            self.session.open()?.begin_grace_anew(self.session.now)?;
            self.is_grace_begun_anew = true;
        }
        Ok(())
    }

    fn publish(
        &mut self,
        distribution: &Distribution,
        previous: Option<&Published>,
        wish: (&Wish<'_>, &Publishable),
    ) -> Result<()> {
        let error = |source| Error::Publish {
            codename: distribution.codename.clone(),
            source,
        };
        let lead_seconds = previous.map_or(0, |previous| previous.published_at.saturating_sub(self.session.now));
        if lead_seconds > LONGEST_LEAD_SECONDS {
            self.session.archive.reporter.warning(&format!(
                "what is published of `{}` is dated {} minutes ahead of the clock: clients that have it take nothing new \
                 until then",
                distribution.codename,
                lead_seconds / 60
            ));
        }
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
        (wish, extras): (&Wish<'_>, &Publishable),
    ) -> Result<publish::Outcome> {
        let archive = self.session.archive;
        let settings = &archive.settings;
        let now = self.session.now;
        let is_export = matches!(wish, Wish::Named(_));
        let is_forced = settings.options.export == Some(ExportMode::Force);
        // the same, as it knows the lists that were read just now
        let database = self.session.guard.database();
        let file_lists = |digest: &Sha256| match self.unreadable.contains(digest) {
            true => Ok(Some(Vec::new())),
            false => database.file_list(digest),
        };
        let environment: Vec<(OsString, OsString)> = script_directories(&archive.directories)
            .into_iter()
            .map(|(name, path)| (name.into(), path.into_os_string()))
            .collect();
        let keys = signing_keys(distribution);
        if let Some(keys) = &keys
            && !self.signers.contains_key(keys)
        {
            let signer = signer(archive, keys, now).map_err(|source| Error::Publish {
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
            extras: &extras.files,
            file_lists: &file_lists,
            date: date_of_publication(now, previous.map(|previous| previous.published_at)),
            now,
            retain_seconds: settings.retain_seconds(),
            check: if is_export || is_forced {
                Check::Digest
            } else {
                Check::Size
            },
            in_one_piece: is_export && settings.options.recompress == Some(true),
        };
        publish::publish(&request).map_err(|source| Error::Publish {
            codename: distribution.codename.clone(),
            source,
        })
    }

    /// Reads the paths of .debs whose list is not known: those that came in before Contents was wanted, or whose list
    /// a damaged database lost.
    /// One that is missing or not what it was must not hold up all others: Contents are published without it.
    fn read_file_lists(&mut self, packages: &[MissingFileList]) -> Result<()> {
        let archive = self.session.archive;
        for MissingFileList { path, sha256 } in packages {
            match paths_in(&path.to_fs_path(&archive.directories.out), sha256) {
                Ok(paths) => self.session.guard.database().put_file_list(sha256, &paths)?,
                Err(problem) => {
                    archive.reporter.warning(&format!(
                        "Contents are published without the files of `{path}`: {problem}"
                    ));
                    self.unreadable.insert(*sha256);
                }
            }
        }
        Ok(())
    }
}

/// The paths in the .deb of this digest; else why they cannot be had.
fn paths_in(place: &Path, sha256: &Sha256) -> std::result::Result<Vec<Vec<u8>>, String> {
    let found = fsio::digest_file(place).map_err(|error| super::with_causes(&error))?;
    if found.digests.sha256 != *sha256 {
        return Err("it is damaged, its SHA-256 is another".into());
    }
    ingest::paths_in_deb(place).map_err(|error| super::with_causes(&error))
}

/// How far the `Date` of a state may be ahead of the clock: more can only come from a clock that is wrong.
const LONGEST_LEAD_SECONDS: i64 = 3600;

/// The `Date` of a Release. Each state has its own, so that apt sees that it is new; the clock may have been put back,
/// and apt takes no Release that is older than the one it has. But no time is further ahead of the clock than
/// apt likes, and a state that was published while the clock was wrong must not hold the time up for ever.
fn date_of_publication(now: i64, previous: Option<i64>) -> i64 {
    const LEAD_SECONDS: i64 = 3;
    match previous {
        Some(earlier) if (now..now.saturating_add(LEAD_SECONDS)).contains(&earlier) => earlier.saturating_add(1),
        Some(earlier) if earlier > now && earlier.saturating_sub(now) <= LONGEST_LEAD_SECONDS => earlier,
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

fn signer(archive: &Archive<'_>, keys: &[String], now: i64) -> std::result::Result<Signer, pgp::Error> {
    let home = KeyHome::open(&archive.directories.gnupg)?;
    let passphrase = archive
        .settings
        .passphrase_file
        .as_deref()
        .map(Passphrase::from_file)
        .transpose()?;
    let signer = home.signer(keys, passphrase.as_ref(), now)?;
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
    garbage::collect_all(&session);
    Ok(())
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
