//! The packages of one command on their way into one distribution: section, priority and component of each, the indexes
//! that list it, and what comes of it there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::conf::distribution::Distribution;
use crate::conf::overrides::Replacement;
use crate::ingest::SpooledFile;
use crate::model::package::{Priority, Section, guess_component};
use crate::model::{
    Architecture, ArchivePath, Component, IndexId, IndexKind, ListedPackage, PackageArchitecture, PackageType,
    PoolFile, Sha256,
};
use crate::store::{Snapshot, Store};

use super::super::archive::Archive;
use super::super::archiving;
use super::super::lookup::refuse_other_content;
use super::super::notify::{AcceptedChanges, Cause};
use super::super::override_files::OverrideFiles;
use super::super::place::NewFile;
use super::super::plan::{Addition, Decision, ExtraTrackedFile, Plan, Planned};
use super::super::session::Told;
use super::originals::Originals;
use super::{Error, Result};

/// What a package without a Section gets. Policy 2.4 recommends one; many packages of vendors have none.
const DEFAULT_SECTION: &str = "misc";
/// What a package without a Priority gets (Policy 2.5).
const DEFAULT_PRIORITY: &str = "optional";

/// The packages of one command on their way into one distribution.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) archive: &'a Archive<'a>,
    pub(super) distribution: &'a Distribution,
    pub(super) store: &'a Store,
    pub(super) snapshot: Snapshot,
    pub(super) overrides: OverrideFiles,
    pub(super) planned: Planned,
    pub(super) new_files: BTreeMap<ArchivePath, NewFile>,
    pub(super) extra_tracked: Vec<ExtraTrackedFile>,
    pub(super) accepted: Vec<AcceptedChanges>,
    /// The file of the command that is being taken.
    pub(super) file: PathBuf,
    /// The pool directory of the first of its packages.
    pub(super) directory: Option<ArchivePath>,
    /// Whether an index takes any of its packages.
    pub(super) is_taken: bool,
    /// The file that brought each change so far.
    pub(super) files: Vec<PathBuf>,

    pub(super) originals: Originals,
    pub(super) results: Vec<String>,
}

/// A batch at its end.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) plan: Plan,
    pub(super) told: Told,
    pub(super) results: Vec<String>,
    pub(super) originals: Originals,
}

/// A spooled file with what its pool path will be, and the paths in it if it is a .deb.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) path: ArchivePath,
    pub(super) file: SpooledFile,
    pub(super) file_list: Option<Vec<Vec<u8>>>,
}

impl Arrived {
    pub(super) fn pool_file(&self) -> PoolFile {
        PoolFile {
            path: self.path.clone(),
            content: self.file.content,
        }
    }
}

impl<'a> Batch<'a> {
    /// Says from which file of the command the next packages come.
    pub(super) fn begin_file(&mut self, file: &Path) {
        file.clone_into(&mut self.file);
        self.directory = None;
        self.is_taken = false;
    }

    pub(super) fn new(archive: &'a Archive<'a>, distribution: &'a Distribution, store: &'a Store) -> Result<Self> {
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
    pub(super) fn section(
        &self,
        by: Option<&Replacement>,
        listed: Option<&Section>,
        own: Option<&Section>,
    ) -> Result<Section> {
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
    pub(super) fn priority(
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
    pub(super) fn component(
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
    pub(super) fn left_out(&self, option: &str, what: &str) -> Error {
        Error::NoIndex {
            file: self.file.display().to_string(),
            codename: self.distribution.codename.clone(),
            reason: format!("{option} leaves out `{what}`"),
        }
    }

    /// Refuses a type of package that `-T` leaves out.
    pub(super) fn check_type(&self, package_type: PackageType) -> Result<()> {
        if self.archive.settings.restriction.admits_type(package_type) {
            return Ok(());
        }
        Err(self.left_out("-T", package_type.as_str()))
    }

    /// The indexes that list a binary package of this architecture.
    pub(super) fn binary_indexes(
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
    pub(super) fn place(&mut self, indexes: &[IndexId], package: &ListedPackage, files: Vec<Arrived>) -> Result<()> {
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
    pub(super) fn check_content(&self, wanted: &PoolFile) -> Result<()> {
        if let Some(other) = self.new_files.get(&wanted.path) {
            let differences = crate::model::Promise::from(&wanted.content).broken_by(&other.spooled.content);
            if !differences.is_empty() {
                return Err(Error::OtherContent {
                    path: wanted.path.clone(),
                    differences,
                    references: vec!["another file of this command".into()],
                });
            }
        }
        refuse_other_content(self.archive, self.store, wanted)
    }

    fn is_referenced(&self, path: &ArchivePath) -> Result<bool> {
        let record = self.store.pool_file(path)?;
        Ok(record.is_some_and(|record| record.unreferenced_since.is_none()))
    }

    pub(super) fn bring(&mut self, arrived: Arrived) {
        let digest: Sha256 = arrived.file.content.digests.sha256;
        let file_list = arrived.file_list.map(|paths| (digest, paths));
        let new_file = NewFile {
            path: arrived.path.clone(),
            spooled: arrived.file,
            file_list,
        };
        self.new_files.entry(arrived.path).or_insert(new_file);
    }

    pub(super) fn finish(self, command: &str) -> Finished {
        let plan = Plan {
            changes: self.planned.into_changes(),
            new_files: self.new_files.into_values().collect(),
            extra_tracked: self.extra_tracked,
            ..Plan::default()
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
            ..Told::default()
        };
        Finished {
            plan,
            told,
            results: self.results,
            originals: self.originals,
        }
    }
}
