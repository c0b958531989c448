//! What an upstream has beside indexes of packages (DebianRepository/Format): translations of descriptions, the
//! catalogue of applications (DEP-11), lists of commands, the installer's checksums. Which of these a Release lists,
//! in which form each is fetched, and that what came is what Release promises. They stay packed as they come.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::transfer::{Arrival, Transfer, Wanted};
use super::unpack::{digest, unpack_into};
use super::upstream::Upstream;
use super::{Accepted, Error, Result, TransferSettings, UpstreamRelease};
use crate::conf::extras::is_language;
use crate::conf::update::ListForm;
use crate::fsio;
use crate::model::{Architecture, ArchivePath, Component, DigestKind, FileDigests, Promise, Sha256};

/// The longest of these files, packed or unpacked.
const MAX_BYTES: u64 = 2 << 30;
/// The forms that clients of all ages read, with what each adds to the name.
const FORMS: [(ListForm, &str); 4] = [
    (ListForm::Xz, ".xz"),
    (ListForm::Gzip, ".gz"),
    (ListForm::Bzip2, ".bz2"),
    (ListForm::Plain, ""),
];

/// What a form adds to the name of such a file.
#[must_use]
pub fn extra_extension(form: ListForm) -> &'static str {
    let known = FORMS.iter().find(|(known, _)| *known == form);
    known.map_or("", |(_, extension)| extension)
}

/// What such a file is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExtraKind {
    /// `i18n/Translation-LANGUAGE`: descriptions of packages.
    Translation(String),
    /// `dep11/Components-ARCHITECTURE.yml`: applications.
    AppStream(Architecture),
    /// `dep11/icons-….tar`: their icons; the name.
    Icons(String),
    /// `cnf/Commands-ARCHITECTURE`: commands and the packages that have them.
    Commands(Architecture),
    /// `installer-ARCHITECTURE/…/SHA256SUMS`: files of the installer; the path behind the architecture.
    Installer(Architecture, String),
}

impl ExtraKind {
    /// What a path below a component's directory is, without the ending of a packed form.
    fn of(path: &str) -> Option<Self> {
        let (directory, name) = path.split_once('/')?;
        let architecture = |text: &str| Architecture::new(text).ok();
        match directory {
            "i18n" => {
                let language = name.strip_prefix("Translation-").filter(|text| is_language(text))?;
                Some(Self::Translation(language.to_owned()))
            }
            "dep11" => match name
                .strip_prefix("Components-")
                .and_then(|rest| rest.strip_suffix(".yml"))
            {
                Some(text) => Some(Self::AppStream(architecture(text)?)),
                None => is_icons(name).then(|| Self::Icons(name.to_owned())),
            },
            "cnf" => Some(Self::Commands(architecture(name.strip_prefix("Commands-")?)?)),
            _ => {
                let text = directory.strip_prefix("installer-")?;
                let is_list = name.ends_with("images/SHA256SUMS") && ArchivePath::new(name).is_ok();
                is_list.then_some(Self::Installer(architecture(text)?, name.to_owned()))
            }
        }
    }

    /// The architecture that it is for, if it is for one.
    #[must_use]
    pub fn architecture(&self) -> Option<&Architecture> {
        match self {
            Self::AppStream(architecture) | Self::Commands(architecture) | Self::Installer(architecture, _) => {
                Some(architecture)
            }
            Self::Translation(_) | Self::Icons(_) => None,
        }
    }

    /// The same for another architecture, where it is for one.
    #[must_use]
    pub fn for_architecture(self, architecture: Architecture) -> Self {
        match self {
            Self::AppStream(_) => Self::AppStream(architecture),
            Self::Commands(_) => Self::Commands(architecture),
            Self::Installer(_, rest) => Self::Installer(architecture, rest),
            other => other,
        }
    }

    /// Its path below the distribution's directory, unpacked.
    #[must_use]
    pub fn path(&self, component: &Component) -> String {
        match self {
            Self::Translation(language) => format!("{component}/i18n/Translation-{language}"),
            Self::AppStream(architecture) => format!("{component}/dep11/Components-{architecture}.yml"),
            Self::Icons(name) => format!("{component}/dep11/{name}"),
            Self::Commands(architecture) => format!("{component}/cnf/Commands-{architecture}"),
            Self::Installer(architecture, rest) => format!("{component}/installer-{architecture}/{rest}"),
        }
    }
}

/// `icons-64x64.tar`, `icons-64x64@2.tar`.
fn is_icons(name: &str) -> bool {
    let size = name.strip_prefix("icons-").and_then(|rest| rest.strip_suffix(".tar"));
    size.is_some_and(|size| {
        (1..=20).contains(&size.len()) && size.bytes().all(|byte| byte.is_ascii_digit() || b"x@".contains(&byte))
    })
}

/// What a Release lists for a component beside indexes of packages, sorted.
#[must_use]
pub fn offered_extras(release: &UpstreamRelease, component: &Component) -> BTreeSet<ExtraKind> {
    let below = |path: &'_ str| {
        let path = path.strip_prefix(component.as_str())?.strip_prefix('/')?;
        let packed = FORMS
            .iter()
            .filter(|(form, _)| *form != ListForm::Plain)
            .find_map(|(_, extension)| path.strip_suffix(extension));
        ExtraKind::of(packed.unwrap_or(path))
    };
    release.paths().filter_map(below).collect()
}

/// One form of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Packed {
    form: ListForm,
    urls: Vec<String>,
    promise: Promise,
}

/// How a file is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenExtra {
    /// The forms in the order in which they are tried: the smallest first, the plain one last.
    forms: Vec<Packed>,
    /// What Release promises of the unpacked file.
    plain: Option<Promise>,
    settings: TransferSettings,
}

/// A file that came, checked, in the directory where it was to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraPlace {
    /// The file.
    pub file: PathBuf,
    /// Its form.
    pub form: ListForm,
    /// Its size and digests as it is.
    pub packed: FileDigests,
    /// Its size and digests unpacked.
    pub plain: FileDigests,
}

impl ChosenExtra {
    /// How to get this file of a component; none if Release lists no form of it that can be read.
    ///
    /// # Errors
    /// Release promises it by digests that can be forged.
    pub fn listed(
        upstream: &Upstream,
        accepted: &Accepted,
        kind: &ExtraKind,
        component: &Component,
    ) -> Result<Option<Self>> {
        let release = &accepted.release;
        let path = kind.path(component);
        let mut forms = Vec::new();
        for (form, extension) in FORMS {
            // programs other than apt read this one
            if matches!(kind, ExtraKind::Installer(..)) && form != ListForm::Plain {
                continue;
            }
            let path = format!("{path}{extension}");
            let Some(promise) = release.promise(&path) else {
                continue;
            };
            let mut urls = Vec::new();
            if let Some(digest) = promise.sha256.filter(|_| release.by_hash) {
                let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                urls = upstream.urls(&format!("{directory}/by-hash/SHA256/{digest}"));
            }
            urls.extend(upstream.urls(&path));
            let promise = *promise;
            forms.push(Packed { form, urls, promise });
        }
        // many upstreams list plain forms that they do not have
        forms.sort_by_key(|packed| (packed.form == ListForm::Plain, packed.promise.size_bytes));
        let plain = release.promise(&path).copied();
        let relies = |promise: Option<&Promise>| promise.is_some_and(|promise| upstream.relies_on(promise));
        if let Some(weak) = forms.iter().find(|packed| !relies(Some(&packed.promise)))
            && !relies(plain.as_ref())
        {
            return Err(Error::weak(&format!("`{}`", accepted.url), &path, &weak.promise));
        }
        Ok((!forms.is_empty()).then(|| Self {
            forms,
            plain,
            settings: upstream.settings.clone(),
        }))
    }

    /// How to get a file of which nothing is known but its SHA-256.
    #[must_use]
    pub fn of_digest(upstream: &Upstream, path: &str, sha256: Sha256) -> Self {
        let promise = Promise {
            sha256: Some(sha256),
            ..Promise::default()
        };
        Self {
            forms: vec![Packed {
                form: ListForm::Plain,
                urls: upstream.urls(path),
                promise,
            }],
            plain: None,
            settings: upstream.settings.clone(),
        }
    }

    /// What tells this state of the file from others.
    #[must_use]
    pub fn identity(&self) -> String {
        let packed = self.forms.first().map(|packed| packed.promise);
        format!("{:?}", self.plain.or(packed))
    }

    /// The content that will do, with the form of each.
    pub fn contents(&self) -> impl Iterator<Item = (Sha256, ListForm)> {
        let known = |packed: &Packed| Some((packed.promise.sha256?, packed.form));
        self.forms.iter().filter_map(known)
    }

    /// How many bytes come if it is fetched, as far as that is known.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let size = |packed: &Packed| packed.promise.size_bytes;
        self.forms.first().and_then(size).unwrap_or_default()
    }

    /// Checks a file that is here, in one of the forms.
    ///
    /// # Errors
    /// It cannot be unpacked, or is not what is promised.
    pub fn check(&self, file: &Path, form: ListForm, url: &str) -> Result<ExtraPlace> {
        let promise = self.forms.iter().find(|packed| packed.form == form);
        let promise = promise.map(|packed| packed.promise).unwrap_or_default();
        let packed = digest(file, &DigestKind::ALL)?;
        refuse_mismatch(&promise, &packed, url)?;
        let plain = if form == ListForm::Plain {
            packed
        } else {
            let promised = self.plain.and_then(|promise| promise.size_bytes);
            let limit = promised.unwrap_or(MAX_BYTES).min(MAX_BYTES);
            unpack_into(form, (file, url), (limit, &DigestKind::ALL), |_| Ok(()))?
        };
        refuse_mismatch(&self.plain.unwrap_or_default(), &plain, url)?;
        Ok(ExtraPlace {
            file: file.to_owned(),
            form,
            packed,
            plain,
        })
    }

    fn wanted(&self, room: &Path, at: usize) -> Option<Wanted> {
        let packed = self.forms.get(at)?;
        Some(Wanted {
            urls: packed.urls.clone(),
            to: self.part(room, at),
            size_bytes: packed.promise.size_bytes,
            limit_bytes: MAX_BYTES,
            settings: self.settings.clone(),
            ..Wanted::default()
        })
    }

    /// Where one form waits: under a name of its own, so that what an interrupted run left is gone on with.
    fn part(&self, room: &Path, at: usize) -> PathBuf {
        let packed = self.forms.get(at);
        room.join(Sha256::of(format!("{packed:?}").as_bytes()).to_string())
    }
}

fn refuse_mismatch(promise: &Promise, content: &FileDigests, url: &str) -> Result<()> {
    let differences = promise.broken_by(content);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::Mismatch {
        url: url.to_owned(),
        differences,
    })
}

/// Gets files to the directory `room`; none of one that the upstream lists and lacks, in every form.
///
/// # Errors
/// The inner results say why one cannot be used.
pub fn fetch_extras(
    transfer: &mut Transfer<'_>,
    chosen: &[ChosenExtra],
    room: &Path,
) -> Vec<Result<Option<ExtraPlace>>> {
    let mut results: Vec<Result<Option<ExtraPlace>>> = chosen.iter().map(|_| Ok(None)).collect();
    let mut open: Vec<(usize, usize)> = (0..chosen.len()).map(|number| (number, 0)).collect();
    while !open.is_empty() {
        let mut round = Vec::new();
        let mut wanted = Vec::new();
        for (number, at) in std::mem::take(&mut open) {
            if let Some(file) = chosen.get(number).and_then(|extra| extra.wanted(room, at)) {
                round.push((number, at));
                wanted.push(file);
            }
        }
        transfer.fetch_all(wanted, |place, arrival| {
            let Some((number, at)) = round.get(place).copied() else {
                return;
            };
            let (Some(extra), Some(result)) = (chosen.get(number), results.get_mut(number)) else {
                return;
            };
            match arrival {
                // another form may be there
                Err(error) if error.is_missing() => open.push((number, at.saturating_add(1))),
                Err(error) => *result = Err(error),
                Ok(arrival) => {
                    let is_resumed = matches!(arrival, Arrival::New { is_resumed: true, .. });
                    match take(extra, at, room, arrival) {
                        // what an earlier run left was the start of something else
                        Err(_) if is_resumed => open.push((number, at)),
                        taken => *result = taken.map(Some),
                    }
                }
            }
        });
    }
    results
}

fn take(extra: &ChosenExtra, at: usize, room: &Path, arrival: Arrival) -> Result<ExtraPlace> {
    let file = extra.part(room, at);
    let (Some(packed), Arrival::New { known, .. }) = (extra.forms.get(at), arrival) else {
        return Err(Error::Client {
            problem: format!("no answer about `{}`", file.display()),
        });
    };
    let checked = extra.check(&file, packed.form, &known.url);
    if checked.is_err() {
        // it is whole, and wrong: nothing to go on with
        fsio::remove_if_there(&file)?;
    }
    checked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_told_from_what_only_looks_like_it() {
        let digest = Sha256::of(b"");
        let names = [
            "main/i18n/Translation-de.bz2",
            "main/i18n/Translation-de",
            "main/i18n/Translation-pt_BR.xz",
            "main/i18n/Translation-../../x",
            "main/i18n/Translation-en.diff/Index",
            "main/i18n/Index",
            "main/dep11/Components-amd64.yml.gz",
            "main/dep11/Components-all.yml.gz",
            "main/dep11/icons-64x64@2.tar.gz",
            "main/dep11/icons-.tar",
            "main/dep11/CID-Index-amd64.json.gz",
            "main/cnf/Commands-i386.xz",
            "main/installer-amd64/current/images/SHA256SUMS",
            "main/installer-amd64/current/images/MD5SUMS",
            "main/installer-amd64/../images/SHA256SUMS",
            "main/binary-amd64/Packages.gz",
            "maintenance/i18n/Translation-fr",
        ];
        let lines: String = names.iter().map(|name| format!(" {digest} 0 {name}\n")).collect();
        let release = UpstreamRelease::parse(format!("SHA256:\n{lines}").as_bytes(), &[]).unwrap();
        let main = Component::new("main").unwrap();
        let offered: Vec<String> = offered_extras(&release, &main)
            .into_iter()
            .map(|kind| kind.path(&main))
            .collect();
        assert_eq!(
            offered,
            [
                "main/i18n/Translation-de",
                "main/i18n/Translation-pt_BR",
                "main/dep11/Components-amd64.yml",
                "main/dep11/icons-64x64@2.tar",
                "main/cnf/Commands-i386",
                "main/installer-amd64/current/images/SHA256SUMS",
            ]
        );
    }
}
