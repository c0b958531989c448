//! Bringing packages in: `include` (a .changes with all that it lists), `includedeb`, `includeudeb`, `includedsc`.
//!
//! However many files a command names, they come in together or not at all.

mod binary;
mod source;
mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::conf::Ignore;
use crate::conf::distribution::Distribution;
use crate::conf::overrides::{Overrides, Replacement};
use crate::conf::uploaders::{self, Uploaders};
use crate::fsio;
use crate::ingest::SpooledFile;
use crate::model::package::{Priority, Section, guess_component};
use crate::model::{
    Architecture, ArchivePath, Component, IndexId, IndexKind, ListedPackage, PackageArchitecture, PackageType,
    PoolFile, Sha256,
};
use crate::pgp::{self, Keyring, SignatureInfo, Status};
use crate::store::{Snapshot, Store};

use super::archive::Archive;
use super::notify::{AcceptedChanges, Cause};
use super::plan::{Addition, Decision, ExtraTrackedFile, NewFile, Plan, Planned};
use super::session::{Outcome, Session, Told, refuse_other_content};
use super::{Error, Result, archiving, with_causes};

pub use binary::include_binaries;
pub use source::include_sources;
pub use upload::include_changes;

/// What a package without a Section gets. Policy 2.4 recommends one; many packages of vendors have none.
const DEFAULT_SECTION: &str = "misc";
/// What a package without a Priority gets (Policy 2.5).
const DEFAULT_PRIORITY: &str = "optional";

/// The packages of one command on their way into one distribution.
#[derive(Debug)]
struct Batch<'a> {
    archive: &'a Archive<'a>,
    distribution: &'a Distribution,
    store: &'a Store,
    snapshot: Snapshot,
    overrides: OverrideFiles,
    planned: Planned,
    new_files: BTreeMap<ArchivePath, NewFile>,
    extra_tracked: Vec<ExtraTrackedFile>,
    accepted: Vec<AcceptedChanges>,
    /// The file of the command that is being taken.
    file: PathBuf,
    /// The pool directory of the first of its packages.
    directory: Option<ArchivePath>,
    /// Whether an index takes any of its packages.
    is_taken: bool,
    /// The file that brought each change so far.
    files: Vec<PathBuf>,

    originals: Originals,
    results: Vec<String>,
}

/// The files that came in, where they came from: `--delete` removes them.
#[derive(Debug, Default)]
struct Originals {
    /// Those that are in the pool now, or were before.
    taken: BTreeSet<PathBuf>,
    /// All.
    all: BTreeSet<PathBuf>,
}

impl Originals {
    fn delete(self, archive: &Archive<'_>) {
        let unwanted = match archive.settings.options.delete_count() {
            0 => return,
            1 => self.taken,
            _ => self.all,
        };
        for path in unwanted {
            if let Err(error) = fsio::remove_if_there(&path) {
                archive.reporter.warning(&with_causes(&error));
            }
        }
    }
}

/// A batch at its end.
#[derive(Debug)]
struct Finished {
    plan: Plan,
    told: Told,
    results: Vec<String>,
    originals: Originals,
}

/// The override files of a distribution.
#[derive(Debug)]
struct OverrideFiles {
    deb: Overrides,
    udeb: Overrides,
    dsc: Overrides,
}

impl OverrideFiles {
    fn read(distribution: &Distribution) -> Result<Self> {
        let read = |path: &Option<PathBuf>, package_type| match path {
            Some(path) => Overrides::read(path, package_type),
            None => Ok(Overrides::default()),
        };
        Ok(Self {
            deb: read(&distribution.deb_override, PackageType::Deb)?,
            udeb: read(&distribution.udeb_override, PackageType::Udeb)?,
            dsc: read(&distribution.dsc_override, PackageType::Dsc)?,
        })
    }

    fn find(&self, package_type: PackageType, name: &str) -> Option<&Replacement> {
        match package_type {
            PackageType::Deb => self.deb.of(name),
            PackageType::Udeb => self.udeb.of(name),
            PackageType::Dsc => self.dsc.of(name),
        }
    }
}

/// A spooled file with what its pool path will be, and the paths in it if it is a .deb.
#[derive(Debug)]
struct Arrived {
    path: ArchivePath,
    file: SpooledFile,
    file_list: Option<Vec<Vec<u8>>>,
}

impl Arrived {
    fn pool_file(&self) -> PoolFile {
        PoolFile {
            path: self.path.clone(),
            content: self.file.content,
        }
    }
}

impl<'a> Batch<'a> {
    /// Says from which file of the command the next packages come.
    fn begin_file(&mut self, file: &Path) {
        file.clone_into(&mut self.file);
        self.directory = None;
        self.is_taken = false;
    }

    fn new(archive: &'a Archive<'a>, distribution: &'a Distribution, store: &'a Store) -> Result<Self> {
        Ok(Self {
            archive,
            distribution,
            store,
            snapshot: store.snapshot()?,
            overrides: OverrideFiles::read(distribution)?,
            planned: Planned::default(),
            new_files: BTreeMap::new(),
            extra_tracked: Vec::new(),
            accepted: Vec::new(),
            file: PathBuf::new(),
            directory: None,
            is_taken: false,
            files: Vec::new(),

            originals: Originals::default(),
            results: Vec::new(),
        })
    }

    /// The first of what -S, the override, the .changes and the package itself say.
    fn section(&self, by: Option<&Replacement>, listed: Option<&Section>, own: Option<&Section>) -> Result<Section> {
        let forced = self.archive.settings.options.section.as_deref();
        match forced.or_else(|| by.and_then(Replacement::section)) {
            Some(text) => Ok(Section::new(text)?),
            None => listed
                .or(own)
                .cloned()
                .map_or_else(|| Ok(Section::new(DEFAULT_SECTION)?), Ok),
        }
    }

    /// The first of what -P, the override, the .changes and the package itself say.
    fn priority(
        &self,
        by: Option<&Replacement>,
        listed: Option<&Priority>,
        own: Option<&Priority>,
    ) -> Result<Priority> {
        let forced = self.archive.settings.options.priority.as_deref();
        match forced.or_else(|| by.and_then(Replacement::priority)) {
            Some(text) => Ok(Priority::new(text)?),
            None => listed
                .or(own)
                .cloned()
                .map_or_else(|| Ok(Priority::new(DEFAULT_PRIORITY)?), Ok),
        }
    }

    /// The component: the one that -C names, else that of the override, else guessed from the section.
    fn component(
        &self,
        file: &Path,
        package_type: PackageType,
        by: Option<&Replacement>,
        section: &Section,
    ) -> Result<Component> {
        let restriction = &self.archive.settings.restriction;
        let all = match package_type {
            PackageType::Udeb => &self.distribution.udeb_components,
            PackageType::Deb | PackageType::Dsc => &self.distribution.components,
        };
        let named: Vec<Component> = all
            .iter()
            .filter(|component| restriction.admits_component(component))
            .cloned()
            .collect();
        let no_index = |reason: String| Error::NoIndex {
            file: file.display().to_string(),
            codename: self.distribution.codename.clone(),
            reason,
        };
        if restriction.components.is_empty()
            && let Some(wanted) = by.and_then(Replacement::component)
        {
            let known = all.contains(wanted).then(|| wanted.clone());
            return known.ok_or_else(|| no_index(format!("the override wants the component `{wanted}`")));
        }
        let guessed = guess_component(&named, section.as_str());
        guessed
            .cloned()
            .ok_or_else(|| no_index(format!("it has no component for a {package_type}")))
    }

    /// What is to come in is not what an option restricts the command to.
    fn left_out(&self, option: &str, what: &str) -> Error {
        Error::NoIndex {
            file: self.file.display().to_string(),
            codename: self.distribution.codename.clone(),
            reason: format!("{option} leaves out `{what}`"),
        }
    }

    /// Refuses a type of package that `-T` leaves out.
    fn check_type(&self, package_type: PackageType) -> Result<()> {
        if self.archive.settings.restriction.admits_type(package_type) {
            return Ok(());
        }
        Err(self.left_out("-T", package_type.as_str()))
    }

    /// The indexes that list a binary package of this architecture.
    fn binary_indexes(
        &self,
        component: &Component,
        architecture: &PackageArchitecture,
        package_type: PackageType,
    ) -> Result<Vec<IndexId>> {
        let restriction = &self.archive.settings.restriction;
        let kind = |architecture: &Architecture| match package_type {
            PackageType::Udeb => IndexKind::Udeb(architecture.clone()),
            PackageType::Deb | PackageType::Dsc => IndexKind::Deb(architecture.clone()),
        };
        let ours = self.distribution.architectures.iter();
        let wanted: Vec<&Architecture> = match architecture {
            PackageArchitecture::All => ours
                .filter(|ours| restriction.admits_architecture(ours.as_str()))
                .collect(),
            PackageArchitecture::Only(only) => ours.filter(|ours| *ours == only).collect(),
        };
        let is_admitted = |architecture: &&Architecture| restriction.admits_architecture(architecture.as_str());
        if !wanted.is_empty() && !wanted.iter().any(is_admitted) {
            return Err(self.left_out("-A", &architecture.to_string()));
        }
        if wanted.is_empty() {
            return Err(Error::UnknownArchitecture {
                architecture: architecture.to_string(),
                codename: self.distribution.codename.to_string(),
                nearest: None,
            });
        }
        let id = |architecture: &Architecture| IndexId {
            codename: self.distribution.codename.clone(),
            component: component.clone(),
            kind: kind(architecture),
        };
        Ok(wanted.into_iter().map(id).collect())
    }

    /// Decides on one package for each index that is to list it. Its files come into the pool if any takes it.
    fn place(&mut self, indexes: &[IndexId], package: &ListedPackage, files: Vec<Arrived>) -> Result<()> {
        for arrived in &files {
            self.check_content(&arrived.pool_file())?;
        }
        if let (None, Some(first)) = (&self.directory, files.first()) {
            self.directory = Some(ArchivePath::new(first.path.directory())?);
        }
        let entry = &package.entry;
        let (mut taken, mut there) = (Vec::new(), Vec::new());
        for index in indexes {
            let wanted = (index, package.clone());
            let decision = archiving::add(
                &self.archive.conf,
                &self.snapshot,
                &mut self.planned,
                wanted,
                Addition::Include,
            )?;
            let has = match decision {
                Decision::Planned { .. } => {
                    taken.push(index.to_string());
                    self.files.push(self.file.clone());
                    continue;
                }
                Decision::AlreadyThere => entry.version.clone(),
                Decision::Skipped { has } | Decision::WouldDowngrade { has } => has,
            };
            self.archive.reporter.note(&format!(
                "Skipping inclusion of '{}' '{}' in '{index}', as it has already '{has}'.",
                entry.name, entry.version
            ));
            if has == entry.version {
                there.push(index.to_string());
            }
        }
        for (indexes, what) in [(&taken, "added to"), (&there, "already in")] {
            if !indexes.is_empty() {
                self.results.push(format!(
                    "{} {}: {what} {}",
                    entry.name,
                    entry.version,
                    indexes.join(", ")
                ));
            }
        }
        let origins = || files.iter().map(|arrived| arrived.file.origin.clone());
        self.originals.all.extend(origins());
        if !(taken.is_empty() && there.is_empty()) {
            self.originals.taken.extend(origins());
        }
        if !taken.is_empty() {
            self.is_taken = true;
        }
        for arrived in files {
            // what an index has already is brought for the case that its file is lost
            if !taken.is_empty() || !there.is_empty() && self.is_referenced(&arrived.path)? {
                self.bring(arrived);
            }
        }
        Ok(())
    }

    /// Refuses a file whose pool path has other content, in the pool or among what comes in.
    fn check_content(&self, wanted: &PoolFile) -> Result<()> {
        if let Some(other) = self.new_files.get(&wanted.path) {
            let differences = crate::model::Promise::from(&wanted.content).broken_by(&other.file.content);
            if !differences.is_empty() {
                return Err(Error::OtherContent {
                    path: wanted.path.clone(),
                    differences,
                    references: Vec::new(),
                });
            }
        }
        refuse_other_content(self.archive, self.store, wanted)
    }

    fn is_referenced(&self, path: &ArchivePath) -> Result<bool> {
        let record = self.store.pool_file(path)?;
        Ok(record.is_some_and(|record| record.unreferenced_since.is_none()))
    }

    fn bring(&mut self, arrived: Arrived) {
        let file = arrived.pool_file();
        let digest: Sha256 = file.content.digests.sha256;
        let file_list = arrived.file_list.map(|paths| (digest, paths));
        let new_file = NewFile {
            file,
            spooled: arrived.file,
            file_list,
        };
        self.new_files.entry(arrived.path).or_insert(new_file);
    }

    /// Refuses an upload that the distribution's `Uploaders:` file does not allow.
    fn check_uploader(&self, file: &Path, mut upload: uploaders::Upload, signatures: &[SignatureInfo]) -> Result<()> {
        let Some(path) = &self.distribution.uploaders else {
            return Ok(());
        };
        let (rules, warnings) = Uploaders::read(path, &self.archive.directories)?;
        warnings
            .iter()
            .for_each(|warning| self.archive.reporter.warning(&warning.to_string()));
        upload.distribution = self.distribution.codename.to_string();
        upload.is_signed = !signatures.is_empty();
        let good = signatures.iter().filter(|signature| signature.status == Status::Good);
        upload.signers = good
            .map(|signature| uploaders::Signer {
                fingerprint: signature.issuer.clone(),
                primary: signature.primary.clone().unwrap_or_else(|| signature.issuer.clone()),
            })
            .collect();
        if rules.allow(&upload) || self.archive.ignores(Ignore::Uploaders) {
            return Ok(());
        }
        let signed_by: Vec<String> = signatures.iter().map(ToString::to_string).collect();
        let signed_by = if signed_by.is_empty() {
            "it is not signed".to_owned()
        } else {
            signed_by.join(", ")
        };
        Err(Error::Refused {
            file: file.display().to_string(),
            problems: vec![format!(
                "`{}` allows it to nobody who signed it ({signed_by})",
                path.display()
            )],
            words: vec!["uploaders"],
            kind: crate::model::ErrorKind::BadSignature,
        })
    }

    fn finish(self, command: &str) -> Finished {
        let plan = Plan {
            changes: self.planned.into_changes(),
            new_files: self.new_files.into_values().collect(),
            extra_tracked: self.extra_tracked,
            track_edits: Vec::new(),
        };
        let cause = Cause {
            command: command.to_owned(),
            from: None,
        };
        let told = Told {
            looked_at: vec![self.distribution.codename.clone()],
            cause,
            files: self.files,
            accepted: self.accepted,
        };
        Finished {
            plan,
            told,
            results: self.results,
            originals: self.originals,
        }
    }
}

/// Runs `take` for each file, tells every failure, and fails if there was any.
fn take_all<T>(archive: &Archive<'_>, files: &[PathBuf], mut take: impl FnMut(&Path) -> Result<T>) -> Result<Vec<T>> {
    let mut taken = Vec::new();
    let mut failures = Vec::new();
    for file in files {
        match take(file) {
            Ok(value) => taken.push(value),
            Err(error) => failures.push((file, error)),
        }
    }
    if failures.len() > 1 || (failures.len() == 1 && files.len() > 1) {
        for (file, error) in &failures {
            let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            archive
                .reporter
                .note(&format!("{}: {}{hint}", file.display(), with_causes(error)));
        }
    }
    match failures.into_iter().next() {
        None => Ok(taken),
        Some((_, error)) if files.len() == 1 => Err(error),
        Some((_, error)) => {
            let failed = files.len() - taken.len();
            Err(Error::SomeRefused {
                failed,
                all: files.len(),
                kind: error.kind(),
            })
        }
    }
}

/// Carries a batch out and tells the result of each package.
fn carry_out(session: &Session<'_>, store: Store, finished: Finished) -> Result<Outcome> {
    let Finished {
        plan,
        told,
        results,
        originals,
    } = finished;
    let archive = session.archive;
    let outcome = session.carry_out(store, plan, &told)?;
    if !archive.settings.dry_run {
        results.iter().for_each(|line| archive.reporter.result(line));
        originals.delete(archive);
    }
    Ok(outcome)
}

/// The keys that signatures of uploads are checked with.
fn upload_keyring(archive: &Archive<'_>) -> Result<Keyring> {
    Ok(pgp::KeyHome::open(&archive.directories.gnupg)?.keyring()?)
}

/// The text of a .changes or .dsc without its signature. A signature that is bad is refused, one by a key that nobody
/// knows, or none, is not.
fn payload(archive: &Archive<'_>, file: &Path, text: &[u8], keyring: &Keyring) -> Result<pgp::MaybeSigned> {
    let read = pgp::read_maybe_signed(text, keyring, archive.settings.now)?;
    if let Some(broken) = read.broken()
        && !archive.ignores(Ignore::BrokenSignatures)
    {
        return Err(Error::Refused {
            file: file.display().to_string(),
            problems: vec![broken.to_string()],
            words: vec!["brokensignatures"],
            kind: crate::model::ErrorKind::BadSignature,
        });
    }
    Ok(read)
}
