//! The override files of a distribution.

use std::path::PathBuf;

use crate::conf::distribution::Distribution;
use crate::conf::overrides::{Overrides, Replacement};
use crate::model::PackageType;

use super::Result;

/// The override files that a distribution names, read.
#[derive(Debug)]
pub struct OverrideFiles {
    deb: Overrides,
    udeb: Overrides,
    dsc: Overrides,
}

impl OverrideFiles {
    /// Reads them.
    ///
    /// # Errors
    /// One of them cannot be read, or has faults.
    pub fn read(distribution: &Distribution) -> Result<Self> {
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

    /// What the file of that type says of a package.
    #[must_use]
    pub fn find(&self, package_type: PackageType, name: &str) -> Option<&Replacement> {
        match package_type {
            PackageType::Deb => self.deb.of(name),
            PackageType::Udeb => self.udeb.of(name),
            PackageType::Dsc => self.dsc.of(name),
        }
    }
}
