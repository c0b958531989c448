//! Uploads: the files that a .changes lists (Debian Policy 5.5), brought in together, and the rules that its fields
//! must keep about them.

use std::path::Path;

use super::{Error, IncomingControl, IncomingDeb, Intake, Place, SpooledFile};
use crate::model::package::{ChangesFile, FileKind, FileName, UploadArchitecture};
use crate::model::{BinaryControl, Changes, SourceControl};

/// The content of one file of an upload.
#[derive(Debug)]
pub enum Received {
    /// A .deb or .udeb, read.
    Deb(IncomingDeb),
    /// A .dsc with its text.
    Dsc(IncomingControl),
    /// Any other file.
    Plain(SpooledFile),
}

/// Brings in one file that a .changes in `directory` lists, and checks it against what is listed.
///
/// # Errors
/// [`Error`]: it is missing, not what the .changes promises, or malformed.
pub fn receive(intake: &Intake, file: &ChangesFile, directory: &Path) -> Result<Received, Error> {
    let (place, promise) = (Place::In(directory, &file.name), Some(&file.promise));
    Ok(match file.kind {
        FileKind::Deb | FileKind::Udeb => Received::Deb(intake.deb(place, promise)?),
        FileKind::Dsc => Received::Dsc(intake.control(place, promise)?),
        _ => Received::Plain(intake.file(place, promise)?),
    })
}

/// A rule that an upload breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A file is for an architecture that the Architecture field does not name.
    #[error("`{file}` is for `{architecture}`, which the field `Architecture` of the .changes does not name")]
    SurprisingArchitecture {
        /// The file.
        file: FileName,
        /// What it is for.
        architecture: UploadArchitecture,
    },
    /// The Architecture field names one that no file is for.
    #[error("the field `Architecture` of the .changes names `{architecture}`, but no file is for it")]
    UnusedArchitecture {
        /// The architecture.
        architecture: UploadArchitecture,
    },
    /// A package is not in the Binary field.
    #[error("`{file}` is the package `{package}`, which the field `Binary` of the .changes does not name")]
    SurprisingBinary {
        /// The file.
        file: FileName,
        /// The package in it.
        package: String,
    },
    /// A source package has another version than the .changes says.
    #[error("`{file}` has version `{found}`, but the .changes is for the source version `{expected}`")]
    WrongVersion {
        /// The .dsc.
        file: FileName,
        /// Its version.
        found: String,
        /// The source version of the .changes.
        expected: String,
    },
    /// A binary package comes from another source version than the .changes says.
    #[error("`{file}` was built from the source version `{found}`, but the .changes is for `{expected}`")]
    WrongSourceVersion {
        /// The .deb.
        file: FileName,
        /// Its source version.
        found: String,
        /// The source version of the .changes.
        expected: String,
    },
    /// A rebuild of binaries brings a source.
    #[error("`{file}` is in a .changes whose source version is not its version: a rebuild of binaries has no source")]
    DscInBinaryRebuild {
        /// The .dsc.
        file: FileName,
    },
    /// A .dsc names a file that the .changes does not list.
    #[error("`{dsc}` names `{file}`, which the .changes does not list")]
    MissingFile {
        /// The .dsc.
        dsc: FileName,
        /// The file.
        file: FileName,
    },
    /// A package comes from another source than the .changes says.
    #[error("`{file}` belongs to the source `{found}`, but the .changes is for `{expected}`")]
    WrongSource {
        /// The .deb or .dsc.
        file: FileName,
        /// Its source.
        found: String,
        /// The source of the .changes.
        expected: String,
    },
    /// A package is another one than its file name says.
    #[error("`{file}` holds the package `{found}`")]
    WrongName {
        /// The file.
        file: FileName,
        /// Package and architecture in it.
        found: String,
    },
    /// A .dsc and the .changes say different things about a file.
    #[error("`{dsc}` and the .changes list different sizes or digests of `{file}`")]
    Contradiction {
        /// The .dsc.
        dsc: FileName,
        /// The file.
        file: FileName,
    },
}

impl Violation {
    /// The word for `--ignore` that lets such an upload pass; `None` if nothing does.
    #[must_use]
    pub fn ignore_word(&self) -> Option<&'static str> {
        match self {
            Self::SurprisingArchitecture { .. } => Some("surprisingarch"),
            Self::UnusedArchitecture { .. } => Some("unusedarch"),
            Self::SurprisingBinary { .. } => Some("surprisingbinary"),
            Self::WrongVersion { .. } => Some("wrongversion"),
            Self::WrongSourceVersion { .. } => Some("wrongsourceversion"),
            Self::DscInBinaryRebuild { .. } => Some("dscinbinnmu"),
            Self::MissingFile { .. } => Some("missingfile"),
            Self::WrongSource { .. } | Self::WrongName { .. } | Self::Contradiction { .. } => None,
        }
    }
}

/// Every rule that an upload breaks by its .changes alone: architectures and the kinds of its files.
#[must_use]
pub fn check_listing(changes: &Changes) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut used = Vec::new();
    for file in &changes.files {
        let Some(architecture) = architecture_of(file) else {
            continue;
        };
        if !changes.names_architecture(&architecture) {
            found.push(Violation::SurprisingArchitecture {
                file: file.name.clone(),
                architecture: architecture.clone(),
            });
        }
        used.push(architecture);
        if file.kind == FileKind::Dsc && changes.source_version != changes.version {
            found.push(Violation::DscInBinaryRebuild {
                file: file.name.clone(),
            });
        }
    }
    let unused = changes.architectures.iter().filter(|named| !used.contains(named));
    found.extend(unused.map(|architecture| Violation::UnusedArchitecture {
        architecture: architecture.clone(),
    }));
    found
}

/// What a package's file is for, by its name.
fn architecture_of(file: &ChangesFile) -> Option<UploadArchitecture> {
    match file.kind {
        FileKind::Dsc => Some(UploadArchitecture::Source),
        FileKind::Deb | FileKind::Udeb => {
            let (_, _, architecture) = file.name.binary_parts()?;
            architecture.parse().ok().map(UploadArchitecture::Binary)
        }
        _ => None,
    }
}

/// Every rule that a .deb or .udeb of an upload breaks.
#[must_use]
pub fn check_deb(changes: &Changes, file: &ChangesFile, control: &BinaryControl) -> Vec<Violation> {
    let mut found = Vec::new();
    let name = || file.name.clone();
    let architecture = control.architecture.to_string();
    let matches_name = file
        .name
        .binary_parts()
        .is_some_and(|(package, _, named)| package == control.package.as_str() && named == architecture);
    if !matches_name {
        found.push(Violation::WrongName {
            file: name(),
            found: format!("{} for {architecture}", control.package),
        });
    }
    if control.source != changes.source {
        found.push(Violation::WrongSource {
            file: name(),
            found: control.source.to_string(),
            expected: changes.source.to_string(),
        });
    }
    if control.source_version != changes.source_version {
        found.push(Violation::WrongSourceVersion {
            file: name(),
            found: control.source_version.to_string(),
            expected: changes.source_version.to_string(),
        });
    }
    let package = control.package.as_str();
    // debug symbols are made without being asked for, so Binary names only the package they are of
    let listed_as = package.strip_suffix("-dbgsym").unwrap_or(package);
    let is_listed = |binary: &str| binary == package || binary == listed_as;
    if !changes.binaries.iter().any(|binary| is_listed(binary.as_str())) {
        found.push(Violation::SurprisingBinary {
            file: name(),
            package: package.to_owned(),
        });
    }
    found
}

/// Every rule that a .dsc of an upload breaks.
#[must_use]
pub fn check_dsc(changes: &Changes, file: &ChangesFile, control: &SourceControl) -> Vec<Violation> {
    let mut found = Vec::new();
    let dsc = || file.name.clone();
    if control.source != changes.source {
        found.push(Violation::WrongSource {
            file: dsc(),
            found: control.source.to_string(),
            expected: changes.source.to_string(),
        });
    }
    if control.version != changes.source_version {
        found.push(Violation::WrongVersion {
            file: dsc(),
            found: control.version.to_string(),
            expected: changes.source_version.to_string(),
        });
    }
    for part in &control.files {
        match changes.files.iter().find(|listed| listed.name == part.name) {
            None => found.push(Violation::MissingFile {
                dsc: dsc(),
                file: part.name.clone(),
            }),
            Some(listed) if listed.promise.contradicts(&part.promise) => found.push(Violation::Contradiction {
                dsc: dsc(),
                file: part.name.clone(),
            }),
            Some(_) => {}
        }
    }
    found
}
