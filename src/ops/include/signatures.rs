//! Who signed an upload, and whether they may.

use std::path::Path;

use crate::conf::Ignore;
use crate::conf::uploaders::{self, Uploaders};
use crate::pgp::{self, Keyring, SignatureInfo, Status};

use super::super::archive::Archive;
use super::{Batch, Error, Result};

/// The keys that signatures of uploads are checked with.
pub(super) fn upload_keyring(archive: &Archive<'_>) -> Result<Keyring> {
    Ok(pgp::KeyHome::open(&archive.directories.gnupg)?.keyring()?)
}

/// The text of a .changes or .dsc without its signature. A signature that is bad is refused, one by a key that nobody
/// knows, or none, is not.
pub(super) fn payload(archive: &Archive<'_>, file: &Path, text: &[u8], keyring: &Keyring) -> Result<pgp::MaybeSigned> {
    let read = pgp::read_maybe_signed(text, keyring, archive.settings.now)?;
    if let Some(broken) = read.broken()
        && !archive.ignores(Ignore::BrokenSignatures)
    {
        return Err(Error::Refused {
            file: file.display().to_string(),
            problems: vec![broken.to_string()],
            words: vec!["brokensignatures"],
            kind: crate::model::ErrorKind::General,
        });
    }
    Ok(read)
}

impl Batch<'_> {
    /// Refuses an upload that the distribution's `Uploaders:` file does not allow.
    pub(super) fn check_uploader(
        &self,
        file: &Path,
        mut upload: uploaders::Upload,
        signatures: &[SignatureInfo],
    ) -> Result<()> {
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
            kind: crate::model::ErrorKind::General,
        })
    }
}
