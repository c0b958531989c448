//! `includedeb` and `includeudeb`, and the binary packages of an upload.

use std::path::{Path, PathBuf};

use crate::conf::overrides::Replacement;
use crate::ingest::{IncomingDeb, Intake};
use crate::model::package::{Listing, Priority, Section, packages_stanza};
use crate::model::{ArchivePath, Entry, ListedPackage, PackageType};

use super::super::archive::Archive;
use super::super::session::Outcome;
use super::{Arrived, Batch, Error, Result, bring_in};

/// Adds .deb or .udeb files to a distribution.
///
/// # Errors
/// One of the files cannot be taken: none is then. Publishing can fail after the change.
pub fn include_binaries(
    archive: &Archive<'_>,
    distribution: &str,
    files: &[PathBuf],
    package_type: PackageType,
) -> Result<Outcome> {
    let distribution = archive.writable_distribution(distribution)?;
    let receive = |intake: &Intake, file: &Path| {
        check_extension(archive, file, package_type)?;
        Ok(intake.deb(file, None)?)
    };
    bring_in(archive, distribution, files, receive, |batch, deb| {
        batch.check_type(package_type)?;
        batch.add_binary(deb, package_type, Columns::default())
    })
}

fn check_extension(archive: &Archive<'_>, file: &Path, package_type: PackageType) -> Result<()> {
    let has = file
        .extension()
        .is_some_and(|extension| extension == package_type.as_str());
    if has || archive.ignores(crate::conf::Ignore::Extension) {
        return Ok(());
    }
    Err(Error::Refused {
        file: file.display().to_string(),
        problems: vec![format!("its name does not end in `.{package_type}`")],
        words: vec!["extension"],
        kind: crate::model::ErrorKind::General,
    })
}

/// What the line of a .changes says about a file beyond its digests.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Columns<'a> {
    pub section: Option<&'a Section>,
    pub priority: Option<&'a Priority>,
}

impl Batch<'_> {
    /// Plans one binary package.
    pub(super) fn add_binary(
        &mut self,
        deb: IncomingDeb,
        package_type: PackageType,
        columns: Columns<'_>,
    ) -> Result<()> {
        let IncomingDeb {
            file,
            control,
            paths,
            unlistable_paths,
        } = deb;
        let replaced = self.overrides.find(package_type, control.package.as_str());
        let section = self.section(replaced, columns.section, control.section.as_ref())?;
        let priority = self.priority(replaced, columns.priority, control.priority.as_ref())?;
        let component = self.component(&file.origin, package_type, replaced, &section)?;
        let indexes = self.binary_indexes(&component, &control.architecture, package_type)?;
        let directory = ArchivePath::pool_directory(&component, &control.source);
        let path = directory.join(&control.file_name(package_type))?;
        let arrived = Arrived {
            path,
            file,
            file_list: Some(paths),
        };
        let pool_file = arrived.pool_file();
        let overrides = replaced.map(Replacement::changes).unwrap_or_default();
        let listing = Listing {
            section: &section,
            priority: &priority,
            overrides: &overrides,
            kinds: &self.distribution.digests,
        };
        let package = ListedPackage {
            text: packages_stanza(&control, &listing, &pool_file),
            entry: Entry {
                name: control.package,
                version: control.version,
                source: control.source,
                source_version: control.source_version,
                files: vec![pool_file],
            },
        };
        if unlistable_paths > 0 {
            self.archive.reporter.warning(&format!(
                "`{}`: {unlistable_paths} paths with line ends in them are not listed in Contents",
                arrived.file.origin.display()
            ));
        }
        self.place(&indexes, &package, vec![arrived])
    }
}
