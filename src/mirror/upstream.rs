//! One distribution of an upstream archive, and its Release: fetched only if it is another than the copy that is here,
//! which is kept below `lists/` under reprepro's names and verified anew each time.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::accept::{Accepted, Signed, Trust};
use super::settings::TransferSettings;
use super::transfer::{self, Arrival, Known, Transfer, Wanted};
use super::{Error, Result};
use crate::conf::update::Toleration;
use crate::conf::verify::VerifyRelease;
use crate::fsio::{self, AtPath};
use crate::model::release::format_date;
use crate::model::{DigestKind, Promise};
use crate::pgp::MAX_SIGNED_BYTES;

/// A server may be behind another one of the same upstream by this much.
const LAG_SECONDS: i64 = 86_400;
/// How old a copy must be to be asked for by its time.
const SETTLED_SECONDS: i64 = 3600;
/// The longest Release.gpg.
const MAX_SIGNATURE_BYTES: u64 = 1 << 20;

/// One distribution of an upstream archive.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// The rule that has the address; the names of the copies start with it.
    pub name: String,
    /// The distribution there, a path below `dists/`.
    pub suite: String,
    /// The addresses of the archive, in the order in which they are tried.
    pub bases: Vec<String>,
    /// Whether the indexes lie beside Release, without components.
    pub is_flat: bool,
    /// Whether InRelease is tried first.
    pub get_in_release: bool,
    /// Whether Release is not looked at at all.
    pub ignore_release: bool,
    /// Digests in Release that are not to be believed.
    pub ignore_hashes: Vec<DigestKind>,
    /// Whose signatures it must have: all of these.
    pub conditions: Vec<VerifyRelease>,
    /// What it is allowed though it makes it less safe.
    pub tolerated: Vec<Toleration>,
    /// How to ask.
    pub settings: TransferSettings,
}

impl Upstream {
    /// The name below `lists/` of a file of this upstream.
    #[must_use]
    pub fn list_name(&self, file: &str) -> String {
        let name = format!("{}_{}_{file}", self.name, self.suite).replace('/', "%2F");
        // a rule may start with a dot, as may what is unfinished
        name.strip_prefix('.').map_or(name.clone(), |rest| format!("%2E{rest}"))
    }

    /// The addresses of a file in the directory of the distribution.
    pub(super) fn urls(&self, file: &str) -> Vec<String> {
        let suite = self.suite.trim_matches('/');
        let directory = match (self.is_flat, suite) {
            (true, "" | ".") => String::new(),
            (true, suite) => format!("{}/", suite.strip_prefix("./").unwrap_or(suite)),
            (false, suite) => format!("dists/{suite}/"),
        };
        self.archive_urls(&format!("{directory}{file}"))
    }

    /// The addresses of a file of the archive.
    #[must_use]
    pub fn archive_urls(&self, path: &str) -> Vec<String> {
        self.bases.iter().map(|base| transfer::join(base, path)).collect()
    }

    /// Whether what is promised so cannot be forged, or need not be: where nobody has to sign, or where the rule
    /// tolerates the digest.
    #[must_use]
    pub fn relies_on(&self, promise: &Promise) -> bool {
        let tolerates = |toleration| self.tolerated.contains(&toleration);
        !self.wants_signature()
            || promise.sha256.is_some()
            || promise.sha512.is_some()
            || promise.sha1.is_some() && tolerates(Toleration::Sha1)
            || promise.md5.is_some() && tolerates(Toleration::Md5)
    }

    fn wants_signature(&self) -> bool {
        self.conditions
            .iter()
            .any(|condition| *condition != VerifyRelease::BlindTrust)
    }
}

/// A Release that was accepted in an earlier run.
#[derive(Debug)]
struct Copy {
    accepted: Accepted,
    is_inline: bool,
    known: Option<Known>,
}

/// What is being done for one upstream.
struct Work<'a> {
    upstream: &'a Upstream,
    lists: &'a Path,
    copy: Option<Copy>,
    is_inline: bool,
    /// The outcome of getting InRelease or Release.
    main: Option<Result<Arrival>>,
    /// The outcome of the other one of these, if it was asked for first.
    other: Option<Result<Arrival>>,
    /// The outcome of getting Release.gpg, where it is needed.
    signature: Option<Result<Arrival>>,
}

/// Gets the Release files of upstreams and judges them; none for those whose Release is ignored. Without `download`
/// the copies of an earlier run are used.
///
/// # Errors
/// The inner results say why one cannot be used; the copy of the last good one is then still there.
pub fn fetch_releases(
    transfer: &mut Transfer<'_>,
    upstreams: &[Upstream],
    lists: &Path,
    trust: &Trust<'_>,
    download: bool,
) -> Vec<Result<Option<Accepted>>> {
    let mut works: Vec<Work<'_>> = upstreams
        .iter()
        .map(|upstream| Work::begin(upstream, lists, trust))
        .collect();
    if download {
        get(
            transfer,
            &mut works,
            |work| work.wants_main(),
            |work, came| work.came(came),
        );
        works.iter_mut().for_each(Work::turn_to_other);
        get(
            transfer,
            &mut works,
            |work| work.wants_main(),
            |work, came| work.came(came),
        );
        works.iter_mut().for_each(Work::turn_back);
        let set_signature = |work: &mut Work<'_>, arrival| work.signature = Some(arrival);
        get(transfer, &mut works, |work| work.wants_signature(), set_signature);
    }
    let judged = works.into_iter().map(|work| {
        let parts = ["InRelease", "Release", "Release.gpg"].map(|file| work.part(file));
        let judged = work.judge(trust, download);
        // their size is not known, so what is left of them is of no use
        for part in &parts {
            fsio::remove_if_there(part)?;
        }
        judged
    });
    judged.collect()
}

fn get(
    transfer: &mut Transfer<'_>,
    works: &mut [Work<'_>],
    wants: impl Fn(&Work<'_>) -> Option<Wanted>,
    take: impl Fn(&mut Work<'_>, Result<Arrival>),
) {
    let (numbers, wanted): (Vec<usize>, Vec<Wanted>) = works
        .iter()
        .enumerate()
        .filter_map(|(number, work)| Some((number, wants(work)?)))
        .unzip();
    transfer.fetch_all(wanted, |at, arrival| {
        let work = numbers.get(at).and_then(|number| works.get_mut(*number));
        if let Some(work) = work {
            take(work, arrival);
        }
    });
}

impl<'a> Work<'a> {
    fn begin(upstream: &'a Upstream, lists: &'a Path, trust: &Trust<'_>) -> Self {
        let mut work = Self {
            upstream,
            lists,
            copy: None,
            is_inline: upstream.get_in_release,
            main: None,
            other: None,
            signature: None,
        };
        // a copy that is damaged, or whose key is no longer trusted, is no copy
        work.copy = work.read_copy(trust, true).or_else(|| work.read_copy(trust, false));
        // an upstream that had no InRelease is asked by one request whether anything is new
        work.is_inline &= work.copy.as_ref().is_none_or(|copy| copy.is_inline);
        work
    }

    fn path(&self, file: &str) -> PathBuf {
        self.lists.join(self.upstream.list_name(file))
    }

    fn part(&self, file: &str) -> PathBuf {
        self.lists.join(format!(".{}.part", self.upstream.list_name(file)))
    }

    fn main_file(&self) -> &'static str {
        if self.is_inline { "InRelease" } else { "Release" }
    }

    fn read_copy(&self, trust: &Trust<'_>, is_inline: bool) -> Option<Copy> {
        let path = self.path(if is_inline { "InRelease" } else { "Release" });
        let text = fsio::read_if_there(&path, MAX_SIGNED_BYTES as u64).ok()??;
        let signed = if is_inline {
            Signed::Inline(text)
        } else {
            Signed::Detached(text, self.read_signature(&self.path("Release.gpg")))
        };
        let accepted = trust.verify(self.upstream, &path.display().to_string(), signed).ok()?;
        Some(Copy {
            accepted,
            is_inline,
            known: self.known(trust.now),
        })
    }

    /// What the copy can be asked by. A time alone does not tell states apart that follow each other closely, as while
    /// somebody works on the upstream: then it is fetched, and compared.
    fn known(&self, now: i64) -> Option<Known> {
        let path = self.path("etag");
        let json = fsio::read_if_there(&path, 1 << 16).ok()??;
        let known: Known = serde_json::from_slice(&json).ok()?;
        let noted = std::fs::metadata(&path).ok()?.mtime();
        (known.etag.is_some() || now.saturating_sub(noted) >= SETTLED_SECONDS).then_some(known)
    }

    /// Takes note of what came of asking for InRelease or Release. One that is, byte for byte, the copy is no news.
    fn came(&mut self, arrival: Result<Arrival>) {
        let copy = self.copy.as_ref().filter(|copy| copy.is_inline == self.is_inline);
        let is_copy = matches!(arrival, Ok(Arrival::New { .. })) && copy.is_some() && {
            let read = |path: &Path| fsio::read_limited(path, MAX_SIGNED_BYTES as u64).ok();
            read(&self.part(self.main_file())) == read(&self.path(self.main_file()))
        };
        self.main = Some(if is_copy { Ok(Arrival::NotModified) } else { arrival });
    }

    fn read_signature(&self, path: &Path) -> Option<Vec<u8>> {
        if self.upstream.wants_signature() {
            fsio::read_if_there(path, MAX_SIGNATURE_BYTES).ok()?
        } else {
            None
        }
    }

    fn wanted(&self, file: &str, limit_bytes: u64) -> Wanted {
        Wanted {
            urls: self.upstream.urls(file),
            to: self.part(file),
            limit_bytes,
            settings: self.upstream.settings.clone(),
            ..Wanted::default()
        }
    }

    fn wants_main(&self) -> Option<Wanted> {
        if self.upstream.ignore_release || self.main.is_some() {
            return None;
        }
        let copy = self.copy.as_ref().filter(|copy| copy.is_inline == self.is_inline);
        Some(Wanted {
            known: copy.and_then(|copy| copy.known.clone()),
            ..self.wanted(self.main_file(), MAX_SIGNED_BYTES as u64)
        })
    }

    /// Asks for Release where there is no InRelease; and for InRelease where Release was asked for first, and is new or
    /// gone.
    fn turn_to_other(&mut self) {
        let is_missing = matches!(&self.main, Some(Err(error)) if error.is_missing());
        let is_new = matches!(&self.main, Some(Ok(Arrival::New { .. })));
        if self.upstream.get_in_release && (is_missing || is_new && !self.is_inline) {
            self.is_inline = !self.is_inline;
            self.other = self.main.take();
        }
    }

    /// Takes the Release that came first where there is no InRelease beside it.
    fn turn_back(&mut self) {
        if self.is_inline && matches!(&self.main, Some(Err(error)) if error.is_missing()) && self.other.is_some() {
            self.is_inline = false;
            self.main = self.other.take();
        }
    }

    fn wants_signature(&self) -> Option<Wanted> {
        let is_new = matches!(&self.main, Some(Ok(Arrival::New { .. })));
        (is_new && !self.is_inline && self.upstream.wants_signature())
            .then(|| self.wanted("Release.gpg", MAX_SIGNATURE_BYTES))
    }

    fn judge(mut self, trust: &Trust<'_>, download: bool) -> Result<Option<Accepted>> {
        if self.upstream.ignore_release {
            return Ok(None);
        }
        let (main, copy) = (self.main.take(), self.copy.take());
        match (main, copy) {
            (None, copy) if !download => {
                let copy = copy.ok_or_else(|| Error::NoCopy {
                    file: self.path("Release").display().to_string(),
                })?;
                Ok(Some(copy.accepted))
            }
            (Some(Ok(Arrival::NotModified)), Some(copy)) => {
                trust.check_fields(self.upstream, &copy.accepted, Some(&copy.accepted))?;
                Ok(Some(copy.accepted))
            }
            (Some(Ok(Arrival::New { known, .. })), copy) => {
                let (accepted, copy) = (self.verify_new(trust, &known.url)?, copy.map(|copy| copy.accepted));
                if let Some(newer) = copy.as_ref().and_then(|copy| lagging(&accepted, copy)) {
                    trust.check_fields(self.upstream, &newer, Some(&newer))?;
                    return Ok(Some(newer));
                }
                let warning = trust.check_fields(self.upstream, &accepted, copy.as_ref())?;
                self.keep(known.for_release(accepted.release.date))?;
                Ok(Some(Accepted { warning, ..accepted }))
            }
            (Some(Err(error)), _) => Err(error),
            (None | Some(Ok(Arrival::NotModified)), _) => Err(Error::Client {
                problem: format!("no answer about `{}`", self.upstream.name),
            }),
        }
    }

    fn verify_new(&mut self, trust: &Trust<'_>, url: &str) -> Result<Accepted> {
        let text = fsio::read_limited(&self.part(self.main_file()), MAX_SIGNED_BYTES as u64)?;
        let signed = if self.is_inline {
            Signed::Inline(text)
        } else {
            let signature = match self.signature.take() {
                None => None,
                Some(Ok(_)) => Some(fsio::read_limited(&self.part("Release.gpg"), MAX_SIGNATURE_BYTES)?),
                Some(Err(error)) if error.is_missing() => {
                    return Err(Error::Untrusted {
                        url: url.to_owned(),
                        problem: format!("it has no signature: {error}"),
                    });
                }
                Some(Err(error)) => return Err(error),
            };
            Signed::Detached(text, signature)
        };
        trust.verify(self.upstream, url, signed)
    }

    /// Makes what was accepted the copy for the next run. A crash between two of these steps leaves no copy that
    /// verifies, or the old one: both do no harm.
    fn keep(&self, known: Option<Known>) -> Result<()> {
        fsio::remove_if_there(&self.path("etag"))?;
        let rename = |file: &str| {
            let to = self.path(file);
            std::fs::rename(self.part(file), &to).at("put a new list at", &to)
        };
        if self.is_inline {
            rename("InRelease")?;
            fsio::remove_if_there(&self.path("Release"))?;
            fsio::remove_if_there(&self.path("Release.gpg"))?;
        } else {
            if self.upstream.wants_signature() {
                rename("Release.gpg")?;
            }
            rename("Release")?;
            fsio::remove_if_there(&self.path("InRelease"))?;
        }
        if let Some(json) = known.and_then(|known| serde_json::to_vec(&known).ok()) {
            fsio::write_atomic(&self.path("etag"), &json)?;
        }
        Ok(())
    }
}

/// The copy, with a warning, if what came is just a little older: one of several servers may be behind. The older one is
/// never used.
fn lagging(came: &Accepted, copy: &Accepted) -> Option<Accepted> {
    let (date, before) = (came.release.date?, copy.release.date?);
    let is_behind = date < before && before.saturating_sub(date) <= LAG_SECONDS;
    is_behind.then(|| Accepted {
        warning: Some(format!(
            "`{}` is of {}, older than the one accepted before, of {}: that one is used on",
            came.url,
            format_date(date),
            format_date(before)
        )),
        ..copy.clone()
    })
}
