//! Writes the tree that apt clients read: one distribution's heads, its configuration, a signer and a time become the
//! complete `dists/CODENAME`, swapped in with one step. The same input always gives the same bytes.
//!
//! What did not change since the state that is published now is linked or copied from it, so that the cost follows the
//! change. Called by `ops` after a commit, under the lock; it can be called again at any time.

mod compress;
mod contents;
mod error;
mod extras;
mod indexes;
mod layout;
mod links;
mod parts;
mod path_key;
mod path_sort;
mod pdiff;
mod record;
mod sign;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

pub use contents::{FileLists, MissingFileList};
pub use error::Error;
pub use extras::{ExtraFile, ExtraToPublish, Extras, MadeExtra, identity_of};
pub use layout::place_of;
pub use links::{link_suite, missing_link};
pub use parts::Part;
pub use pdiff::PatchHistory;
pub use record::{DerivedContents, LastUse, Published, PublishedFile, needs_publishing};
pub use tree::{Check, remove_leftovers};

use contents::Deriver;
use indexes::IndexWriter;
use layout::lay_out;
use record::heads_of;
use sign::{Script, Signed};
use tree::{RELEASE_NAMES, Tree};

use crate::conf::distribution::{Distribution, SignWith};
use crate::fsio;
use crate::model::release::{Release, ReleaseFile};
use crate::model::{ArchivePath, DigestKind, FileDigests, Hasher};
use crate::pgp::Signer;
use crate::store::Snapshot;

/// How long a script may take to sign: a person may have to touch a token.
const SCRIPT_PATIENCE: Duration = Duration::from_secs(300);
const SECONDS_PER_DAY: i64 = 86_400;

/// What is to be published.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The archive's state.
    pub snapshot: &'a Snapshot,
    /// The distribution.
    pub distribution: &'a Distribution,
    /// All distributions, for the links from suite to codename.
    pub all: &'a [Distribution],
    /// The directory that holds the distributions' directories.
    pub dists: &'a Path,
    /// What was published of it last, if that is known.
    pub previous: Option<&'a Published>,
    /// The keys; needed where `SignWith` names some.
    pub signer: Option<&'a Signer>,
    /// What a signing script finds in its environment, on top of this process's own.
    pub script_environment: &'a [(OsString, OsString)],
    /// The files of upstreams that are published as they are.
    pub extras: &'a [ExtraToPublish],
    /// The paths in each .deb; only asked for where Contents are published.
    pub file_lists: &'a FileLists<'a>,
    /// The `Date` of the new Release, in Unix seconds; later than that of the state before.
    pub date: i64,
    /// The time, in Unix seconds: that of Release and of its signatures.
    pub now: i64,
    /// For how long clients may still ask for the files of a state after it was replaced, in seconds.
    pub retain_seconds: i64,
    /// Whether files that did not change are checked.
    pub check: Check,
    /// Whether compressed files are made in one piece: a little smaller, and readable for what stops after the first.
    pub in_one_piece: bool,
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("codename", &self.distribution.codename)
            .field("dists", &self.dists)
            .field("now", &self.now)
            .field("check", &self.check)
            .finish_non_exhaustive()
    }
}

/// What became of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileChange {
    /// It was not there before.
    Added,
    /// It has another content.
    Replaced,
    /// It is no more.
    Removed,
}

/// A distribution that is published.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The record for the store to keep, with [`Published::keeps`].
    pub published: Published,
    /// The files that clients see differ, by their path below the distribution; by-hash names are not among them.
    pub changed: Vec<(ArchivePath, FileChange)>,
}

/// Publishes a distribution. At return the new tree is live and durable, and clients that began with the old one still
/// find what it names below by-hash. On an error the old tree is live, untouched.
///
/// # Errors
/// [`Error::FileListsMissing`] if .debs have to be read first; else what [`Error`] lists.
pub fn publish(request: &Request<'_>) -> Result<Outcome, Error> {
    let distribution = request.distribution;
    if !distribution.export {
        return Err(Error::NotExported {
            codename: distribution.codename.clone(),
        });
    }
    let layout = lay_out(distribution)?;
    let mut tree = Tree::begin(request.dists, &distribution.codename)?;
    if let Some(previous) = request.previous {
        tree.believe(&previous.release, request.check)?;
    }
    let writer = IndexWriter {
        snapshot: request.snapshot,
        deriver: Deriver {
            objects: request.snapshot.objects(),
            file_lists: request.file_lists,
            scratch: tree.directory(),
        },
        tree: &tree,
        previous: request.previous,
        digests: &distribution.digests,
        in_one_piece: request.in_one_piece,
    };
    let (mut made, contents) = writer.write_all(&layout)?;
    let patched = pdiff::patch_all(request, &tree, &layout, &made)?;
    made.extend(patched.tables);
    let [listed, unlisted] = extras::place_all(&tree, request.previous, request.extras)?;
    made.extend(listed);
    let release = release(request, &made).render();
    let mut published = Published::new(request.previous, request.date, &release);
    published.valid_until = valid_until(request);
    published.heads = heads_of(distribution, request.snapshot);
    published.extras = identity_of(request.extras);
    published.contents = contents;
    published.files = made.into_iter().collect();
    keep_by_hash(request, &tree, &mut published)?;
    published.files.extend(unlisted);
    published.files.extend(patched.patches);
    published.patches = patched.histories;
    write_release(request, &tree, &mut published, release.as_bytes())?;
    for (name, target) in &layout.links {
        tree.link(name, target)?;
        published.links.insert(name.clone());
    }
    let gone = carry_over(request, &tree, &published)?;
    tree.install(&gone)?;
    link_suite(request.dists, distribution, request.all)?;
    let changed = changes(request.previous, &published);
    Ok(Outcome { published, changed })
}

fn valid_until(request: &Request<'_>) -> Option<i64> {
    let days = request.distribution.valid_for_days?;
    Some(request.date.saturating_add(i64::from(days) * SECONDS_PER_DAY))
}

fn release(request: &Request<'_>, made: &[(ArchivePath, PublishedFile)]) -> Release {
    let distribution = request.distribution;
    let text = |value: &Option<String>| value.clone();
    Release {
        origin: text(&distribution.origin),
        label: text(&distribution.label),
        suite: distribution.suite.as_ref().map(ToString::to_string),
        codename: distribution.codename.to_string(),
        version: text(&distribution.version),
        date: request.date,
        valid_until: valid_until(request),
        architectures: distribution.architectures.iter().map(ToString::to_string).collect(),
        components: distribution.components.iter().map(ToString::to_string).collect(),
        description: text(&distribution.description),
        signed_by: text(&distribution.signed_by),
        not_automatic: text(&distribution.not_automatic),
        but_automatic_upgrades: text(&distribution.but_automatic_upgrades),
        digests: distribution.digests.clone(),
        files: made
            .iter()
            .map(|(path, file)| ReleaseFile {
                path: path.clone(),
                content: file.content,
            })
            .collect(),
    }
}

/// How far the time of a file may be ahead of the clock.
const LONGEST_LEAD_SECONDS: i64 = 3600;

/// Release with its signatures: the one of the state, and none left of an earlier.
fn write_release(request: &Request<'_>, tree: &Tree, published: &mut Published, release: &[u8]) -> Result<(), Error> {
    let signed = match &request.distribution.sign_with {
        None => None,
        Some(SignWith::Script(program)) => {
            let script = Script {
                program,
                environment: request.script_environment,
                patience: SCRIPT_PATIENCE,
            };
            Some(sign::run_script(script, tree.directory(), release)?)
        }
        Some(SignWith::Default | SignWith::Keys(_)) => {
            let codename = &request.distribution.codename;
            let signer = request.signer.ok_or_else(|| Error::NoSigner {
                codename: codename.clone(),
            })?;
            let signed = signer.sign(release, request.now).map_err(|source| Error::Sign {
                codename: codename.clone(),
                source,
            })?;
            Some(Signed {
                in_release: signed.inrelease,
                release_gpg: Some(signed.detached),
            })
        }
    };
    let (in_release, release_gpg) = signed.map_or((None, None), |signed| (Some(signed.in_release), signed.release_gpg));
    let modified = modification_time(request);
    let texts = [release_gpg.as_deref(), Some(release), in_release.as_deref()];
    for (name, text) in RELEASE_NAMES.into_iter().zip(texts) {
        let Some(text) = text else { continue };
        let path = layout::path(name)?;
        let place = tree.place(&path)?;
        fsio::write_new(&place, text)?;
        fsio::set_modified(&place, modified)?;
        published
            .files
            .insert(path, PublishedFile::plain(digests_of(text, &[])));
    }
    Ok(())
}

/// The time of the Release files in Unix seconds: that of the `Date` in them, but in any case later than that of the
/// state before. apt asks for what is newer than the time of the file that it has, in whole seconds, so two states of
/// one second would look alike to it.
fn modification_time(request: &Request<'_>) -> i64 {
    let live = request
        .dists
        .join(request.distribution.codename.as_str())
        .join("Release");
    let earlier = fs::metadata(live).map_or(0, |metadata| metadata.mtime());
    // a time from a wrong clock would hold up all that follow
    let is_plausible = earlier.saturating_sub(request.now) <= LONGEST_LEAD_SECONDS;
    request
        .now
        .max(if is_plausible { earlier.saturating_add(1) } else { 0 })
}

fn digests_of(text: &[u8], kinds: &[DigestKind]) -> FileDigests {
    let mut hasher = Hasher::of_kinds(kinds);
    hasher.update(text);
    hasher.finish()
}

/// The by-hash files of this state and of those before it that clients may still have begun with.
fn keep_by_hash(request: &Request<'_>, tree: &Tree, published: &mut Published) -> Result<(), Error> {
    let mut by_hash = BTreeMap::new();
    let state = published.state;
    for (path, file) in published.files.iter().filter(|(_, file)| file.on_disk) {
        for name in tree.link_by_hash(path, &file.content, &request.distribution.digests)? {
            by_hash.insert(name, LastUse { state, until: None });
        }
    }
    let mut earlier = request
        .previous
        .map_or_else(BTreeMap::new, |previous| previous.by_hash.clone());
    // those of a state whose record was lost
    let directories: BTreeSet<&str> = published.files.keys().map(ArchivePath::directory).collect();
    for path in tree.live_entries()?.iter().filter_map(|path| archive_path(path)) {
        if is_by_hash_of(&path, &directories) {
            earlier.entry(path).or_insert(LastUse {
                state: state.saturating_sub(1),
                until: None,
            });
        }
    }
    for (path, last_use) in earlier {
        if by_hash.contains_key(&path) {
            continue;
        }
        let kept = last_use.kept(state, request.now, request.retain_seconds);
        if let Some(kept) = kept
            && tree.keep_by_hash(&path)?
        {
            by_hash.insert(path, kept);
        }
    }
    published.by_hash = by_hash;
    Ok(())
}

/// A path of the live tree as one of the archive; None for a name that nothing made here can have.
fn archive_path(path: &Path) -> Option<ArchivePath> {
    ArchivePath::new(path.to_str()?).ok()
}

/// Whether the path is a by-hash name of something in one of the directories.
fn is_by_hash_of(path: &ArchivePath, directories: &BTreeSet<&str>) -> bool {
    ["by-hash/SHA256", "by-hash/SHA512"].into_iter().any(|tail| {
        let directory = path.directory().strip_suffix(tail);
        directory.is_some_and(|directory| directories.contains(directory.strip_suffix('/').unwrap_or(directory)))
    })
}

/// Takes over what was not made here. Returns what was made here and is no more.
fn carry_over(request: &Request<'_>, tree: &Tree, published: &Published) -> Result<Vec<ArchivePath>, Error> {
    let mut ours = tree.listed_live()?;
    if let Some(previous) = request.previous {
        ours.extend(previous.files.keys().cloned());
        ours.extend(previous.links.iter().cloned());
        ours.extend(previous.by_hash.keys().cloned());
    }
    let directories: BTreeSet<&str> = published.files.keys().map(ArchivePath::directory).collect();
    let mut gone = Vec::new();
    for entry in tree.live_entries()? {
        if tree.has(&entry) {
            continue;
        }
        let Some(path) = archive_path(&entry) else {
            tree.carry_over(&entry)?;
            continue;
        };
        // reprepro's links to Contents files are in no list, and neither is what it left half written
        let links_to_ours = || tree.live_link(&path).and_then(|target| ArchivePath::new(&target).ok());
        let is_ours = ours.contains(&path)
            // a plain form that is just listed is not what somebody put there
            || published.files.contains_key(&path)
            || is_by_hash_of(&path, &directories)
            || pdiff::is_patch_of(&path, &published.files)
            || links_to_ours().is_some_and(|target| ours.contains(&target))
            || path
                .as_str()
                .strip_suffix(".new")
                .is_some_and(|of| ArchivePath::new(of).is_ok_and(|of| ours.contains(&of)));
        if is_ours {
            gone.push(path);
        } else {
            tree.carry_over(&entry)?;
        }
    }
    Ok(gone)
}

fn changes(previous: Option<&Published>, published: &Published) -> Vec<(ArchivePath, FileChange)> {
    let none = BTreeMap::new();
    let before = previous.map_or(&none, |previous| &previous.files);
    let was_there = |path| before.get(path).filter(|file: &&PublishedFile| file.on_disk);
    let mut changed = Vec::new();
    for (path, file) in published.files.iter().filter(|(_, file)| file.on_disk) {
        match was_there(path) {
            None => changed.push((path.clone(), FileChange::Added)),
            Some(old) if old.content.digests.sha256 != file.content.digests.sha256 => {
                changed.push((path.clone(), FileChange::Replaced));
            }
            Some(_) => {}
        }
    }
    for path in before.keys().filter(|path| was_there(path).is_some()) {
        if !published.files.get(path).is_some_and(|file| file.on_disk) {
            changed.push((path.clone(), FileChange::Removed));
        }
    }
    changed
}

#[cfg(test)]
mod tests;
