//! `include`: an upload, all that its .changes lists. One file that is wrong refuses all of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::conf::distribution::Distribution;
use crate::conf::{Ignore, uploaders};
use crate::fsio;
use crate::ingest::changes::{Received, Violation, check_deb, check_dsc, check_listing, receive};
use crate::ingest::{self, IncomingControl, IncomingDeb, Intake, SpooledFile};
use crate::model::package::{ChangesFile, FileKind, FileName};
use crate::model::{
    ArchivePath, Changes, ErrorKind, PackageArchitecture, PackageType, SourceControl, TrackedFile, TrackedKind,
};
use crate::pgp::{Keyring, SignatureInfo};

use super::super::archive::Archive;
use super::super::notify::AcceptedChanges;
use super::super::plan::ExtraTrackedFile;
use super::super::session::Outcome;
use super::binary::Columns;
use super::signatures::{payload, upload_keyring};
use super::source::{IncomingSource, parts_of};
use super::{Arrived, Batch, Error, Result, bring_in};

/// Adds all that .changes files list to a distribution.
///
/// # Errors
/// An upload breaks a rule that `--ignore` does not lift, or a file of it cannot be taken: nothing comes in then.
/// Publishing can fail after the change.
pub fn include_changes(archive: &Archive<'_>, distribution: &str, files: &[PathBuf]) -> Result<Outcome> {
    let distribution = archive.writable_distribution(distribution)?;
    let keyring = upload_keyring(archive)?;
    let receive = |intake: &Intake, file: &Path| Upload::receive(archive, distribution, intake, file, &keyring);
    bring_in(archive, distribution, files, receive, |batch, upload| {
        batch.add_upload(upload)
    })
}

/// An upload in the spool, checked against its .changes.
#[derive(Debug)]
struct Upload {
    file: IncomingControl,
    changes: Changes,
    signatures: Vec<SignatureInfo>,
    binaries: Vec<(ChangesFile, IncomingDeb)>,
    source: Option<(ChangesFile, IncomingSource)>,
    others: Vec<(ChangesFile, SpooledFile)>,
}

impl Upload {
    fn receive(
        archive: &Archive<'_>,
        distribution: &Distribution,
        intake: &Intake,
        path: &Path,
        keyring: &Keyring,
    ) -> Result<Self> {
        if path.extension().is_none_or(|extension| extension != "changes") && !archive.ignores(Ignore::Extension) {
            return Err(refused(
                path,
                "its name does not end in `.changes`".into(),
                vec!["extension"],
            ));
        }
        let file = intake.control(path, None)?;
        let read = payload(archive, path, &file.text, keyring)?;
        let changes = Changes::parse(&read.text).map_err(|source| Error::package(path, source))?;
        check_distribution(archive, distribution, path, &changes)?;
        let mut upload = Self {
            file,
            changes,
            signatures: read.signatures,
            binaries: Vec::new(),
            source: None,
            others: Vec::new(),
        };
        let mut violations = check_listing(&upload.changes);
        violations.extend(upload.receive_files(archive, intake, keyring)?);
        refuse_violations(archive, path, &violations)?;
        Ok(upload)
    }

    fn receive_files(&mut self, archive: &Archive<'_>, intake: &Intake, keyring: &Keyring) -> Result<Vec<Violation>> {
        let origin = self.file.file.origin.clone();
        let directory = fsio::parent(&origin);
        let restriction = &archive.settings.restriction;
        let mut violations = Vec::new();
        let mut descriptions = Vec::new();
        let mut parts: BTreeMap<FileName, (ChangesFile, SpooledFile)> = BTreeMap::new();
        for listed in &self.changes.files {
            let received = receive(intake, listed, directory).map_err(|error| missing_or(error, &origin, listed))?;
            match received {
                Received::Deb(deb) => {
                    violations.extend(check_deb(&self.changes, listed, &deb.control));
                    let package_type = type_of(listed.kind);
                    let architecture = &deb.control.architecture;
                    // -A restricts an upload to what it names; architecture all is restricted where it is placed
                    let is_meant = *architecture == PackageArchitecture::All
                        || restriction.admits_architecture(&architecture.to_string());
                    if is_meant && restriction.admits_type(package_type) {
                        self.binaries.push((listed.clone(), deb));
                    }
                }
                Received::Dsc(dsc) => descriptions.push((listed.clone(), dsc)),
                Received::Plain(file) => {
                    parts.insert(listed.name.clone(), (listed.clone(), file));
                }
            }
        }
        for (listed, dsc) in descriptions {
            let read = payload(archive, &dsc.file.origin, &dsc.text, keyring)?;
            let control =
                SourceControl::parse(&read.text).map_err(|source| Error::package(&dsc.file.origin, source))?;
            violations.extend(check_dsc(&self.changes, &listed, &control));
            if self.source.is_some() {
                return Err(refused(&origin, "it lists more than one .dsc".into(), Vec::new()));
            }
            let mut brought = BTreeMap::new();
            for part in &control.files {
                if let Some((_, file)) = parts.remove(&part.name) {
                    brought.insert(part.name.clone(), file);
                }
            }
            let parts = parts_of(archive, intake, &control, &mut brought, directory)?;
            if restriction.admits_architecture("source") && restriction.admits_type(PackageType::Dsc) {
                self.source = Some((listed, IncomingSource { dsc, control, parts }));
            }
        }
        self.others = parts.into_values().collect();
        self.refuse_unknown_files(archive, &origin)?;
        Ok(violations)
    }

    fn refuse_unknown_files(&self, archive: &Archive<'_>, origin: &Path) -> Result<()> {
        let is_stray = |kind| matches!(kind, FileKind::Unknown | FileKind::SourcePart);
        let stray = self.others.iter().find(|(listed, _)| is_stray(listed.kind));
        match stray {
            Some((listed, _)) if !archive.ignores(Ignore::Extension) => {
                let problem = format!("`{}` belongs to no package of the upload", listed.name);
                Err(refused(origin, problem, vec!["extension"]))
            }
            _ => Ok(()),
        }
    }

    /// What the uploaders file decides on.
    fn facts(&self) -> uploaders::Upload {
        let sections = |by_hand: bool| {
            let files = self
                .changes
                .files
                .iter()
                .filter(move |file| (file.kind == FileKind::ByHand) == by_hand);
            files
                .filter_map(|file| Some(file.section.as_ref()?.to_string()))
                .collect()
        };
        uploaders::Upload {
            source: self.changes.source.to_string(),
            sections: sections(false),
            binaries: self
                .binaries
                .iter()
                .map(|(_, deb)| deb.control.package.to_string())
                .collect(),
            architectures: self.changes.architectures.iter().map(ToString::to_string).collect(),
            byhand_sections: sections(true),
            ..uploaders::Upload::default()
        }
    }
}

/// That a listed file is not there, or whatever else is wrong with it.
fn missing_or(error: ingest::Error, changes: &Path, listed: &ChangesFile) -> Error {
    if error.is_not_found() {
        Error::MissingListed {
            changes: changes.to_owned(),
            file: listed.name.to_string(),
        }
    } else {
        error.into()
    }
}

fn type_of(kind: FileKind) -> PackageType {
    if kind == FileKind::Udeb {
        PackageType::Udeb
    } else {
        PackageType::Deb
    }
}

fn refused(file: &Path, problem: String, words: Vec<&'static str>) -> Error {
    Error::Refused {
        file: file.display().to_string(),
        problems: vec![problem],
        words,
        kind: ErrorKind::General,
    }
}

/// The Distribution field must name the codename, the suite, or a name of `AlsoAcceptFor`.
fn check_distribution(
    archive: &Archive<'_>,
    distribution: &Distribution,
    path: &Path,
    changes: &Changes,
) -> Result<()> {
    let accepted = |word: &String| {
        *word == distribution.codename.as_str()
            || distribution.suite.as_ref().is_some_and(|suite| word == suite.as_str())
            || distribution.also_accept_for.contains(word)
    };
    if changes.distributions.iter().any(accepted) || archive.ignores(Ignore::WrongDistribution) {
        return Ok(());
    }
    let problem = format!(
        "it is for the distribution `{}`, not for `{}`",
        changes.distributions.join(" "),
        distribution.codename
    );
    Err(refused(path, problem, vec!["wrongdistribution"]))
}

fn refuse_violations(archive: &Archive<'_>, path: &Path, violations: &[Violation]) -> Result<()> {
    let is_left = |violation: &&Violation| {
        // a file that a .dsc names and the upload does not bring may be in the pool: that is looked up later
        let may_be_there = matches!(violation, Violation::MissingFile { .. });
        let word = violation.ignore_word().and_then(Ignore::from_word);
        !may_be_there && !word.is_some_and(|word| archive.ignores(word))
    };
    let broken: Vec<&Violation> = violations.iter().filter(is_left).collect();
    if broken.is_empty() {
        return Ok(());
    }
    let mut words: Vec<&'static str> = broken.iter().filter_map(|violation| violation.ignore_word()).collect();
    words.sort_unstable();
    words.dedup();
    if broken.iter().any(|violation| violation.ignore_word().is_none()) {
        words.clear();
    }
    Err(Error::Refused {
        file: path.display().to_string(),
        problems: broken.iter().map(ToString::to_string).collect(),
        words,
        kind: ErrorKind::General,
    })
}

impl Batch<'_> {
    fn add_upload(&mut self, upload: Upload) -> Result<()> {
        self.check_uploader(&upload.file.file.origin, upload.facts(), &upload.signatures)?;
        let Upload {
            file,
            changes,
            binaries,
            source,
            others,
            ..
        } = upload;
        let is_package = |file: &ChangesFile| matches!(file.kind, FileKind::Deb | FileKind::Udeb | FileKind::Dsc);
        if binaries.is_empty() && source.is_none() && changes.files.iter().any(is_package) {
            return Err(self.left_out("-A or -T", "all of its packages"));
        }
        for (listed, deb) in binaries {
            let columns = Columns {
                section: listed.section.as_ref(),
                priority: listed.priority.as_ref(),
            };
            self.add_binary(deb, type_of(listed.kind), columns)?;
        }
        if let Some((listed, source)) = source {
            let columns = Columns {
                section: listed.section.as_ref(),
                priority: listed.priority.as_ref(),
            };
            self.add_source(source, columns)?;
        }
        self.track_extra_files(file.file, &changes, others)
    }

    /// Keeps what `Tracking:` asks for beside the packages, in the directory of the source's files.
    fn track_extra_files(
        &mut self,
        changes_file: SpooledFile,
        changes: &Changes,
        others: Vec<(ChangesFile, SpooledFile)>,
    ) -> Result<()> {
        let Some(directory) = self.directory.clone() else {
            return Ok(());
        };
        let mut accepted = AcceptedChanges {
            codename: self.distribution.codename.clone(),
            source: changes.source.to_string(),
            version: changes.source_version.to_string(),
            file: changes_file.origin.clone(),
            pool_path: None,
        };
        let beside = fsio::parent(&accepted.file).to_owned();
        let names = changes.files.iter().map(|listed| beside.join(listed.name.as_str()));
        self.originals.all.extend(names.chain([accepted.file.clone()]));
        if let Some(tracking) = self.distribution.tracking {
            if tracking.include_changes {
                let path = directory.join(&pool_name(changes))?;
                accepted.pool_path = Some(path.to_string());
                self.track(changes, path, changes_file, TrackedKind::Changes)?;
            }
            for (listed, file) in others {
                let (wanted, kind) = match listed.kind {
                    FileKind::ByHand => (tracking.include_byhand, TrackedKind::Other),
                    FileKind::Log => (tracking.include_logs, TrackedKind::Log),
                    FileKind::Buildinfo => (tracking.include_buildinfos, TrackedKind::Buildinfo),
                    _ => (false, TrackedKind::Other),
                };
                let name = match kind {
                    TrackedKind::Other => {
                        let version = changes.source_version.without_epoch();
                        format!("{}_{version}_byhand/{}", changes.source, listed.name)
                    }
                    _ => listed.name.to_string(),
                };
                if wanted {
                    self.track(changes, directory.join(&name)?, file, kind)?;
                }
            }
        }
        if self.is_taken {
            self.accepted.push(accepted);
        }
        Ok(())
    }

    fn track(&mut self, changes: &Changes, path: ArchivePath, file: SpooledFile, kind: TrackedKind) -> Result<()> {
        let arrived = Arrived {
            path,
            file,
            file_list: None,
        };
        self.check_content(&arrived.pool_file())?;
        self.originals.taken.insert(arrived.file.origin.clone());
        self.extra_tracked.push(ExtraTrackedFile {
            codename: self.distribution.codename.clone(),
            source: changes.source.clone(),
            version: changes.source_version.clone(),
            file: TrackedFile {
                file: arrived.pool_file(),
                kind,
            },
        });
        self.bring(arrived);
        Ok(())
    }
}

/// The name that a .changes gets in the pool: `SOURCE_VERSION_ARCHITECTURES.changes`, with the epoch as reprepro has it.
fn pool_name(changes: &Changes) -> String {
    let architectures: Vec<String> = changes.architectures.iter().map(ToString::to_string).collect();
    format!(
        "{}_{}_{}.changes",
        changes.source,
        changes.version,
        architectures.join("+")
    )
}
