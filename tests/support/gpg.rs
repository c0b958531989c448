//! A GnuPG home with one Ed25519 key, for reprepro and for signing uploads. Its agent ends with it.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A GnuPG home directory.
#[derive(Debug)]
pub struct GnupgHome {
    dir: PathBuf,
}

impl GnupgHome {
    /// Makes the directory and a key without passphrase in it.
    pub fn create(dir: &Path) -> io::Result<Self> {
        Self::create_with(dir, &[], "ed25519", "never")
    }

    /// Makes the directory and a key of this algorithm and life time (`1d`, `never`), with these options for gpg.
    pub fn create_with(dir: &Path, options: &[&str], algorithm: &str, expiry: &str) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let home = Self { dir: dir.into() };
        let user = "Test <test@example.org>";
        home.gpg(&[options, &["--quick-generate-key", user, algorithm, "sign", expiry]].concat())?;
        Ok(home)
    }

    /// Revokes the key.
    pub fn revoke(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.dir.join("openpgp-revocs.d"))? {
            // a colon keeps it from being used by mistake
            let path = entry?.path();
            let text = std::fs::read_to_string(&path)?.replace(":-----BEGIN", "-----BEGIN");
            std::fs::write(&path, text)?;
            self.gpg(&["--import", &path.to_string_lossy()])?;
        }
        Ok(())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs gpg here and returns its standard output.
    pub fn gpg(&self, args: &[&str]) -> io::Result<Vec<u8>> {
        let output = Command::new("gpg")
            .env("GNUPGHOME", &self.dir)
            .args([
                "--batch",
                "--quiet",
                "--yes",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
            ])
            .args(args)
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(io::Error::other(format!("gpg {args:?}: {output:?}")))
        }
    }

    /// The public key, binary.
    pub fn export(&self) -> io::Result<Vec<u8>> {
        self.gpg(&["--export"])
    }

    /// The secret key, armoured.
    pub fn export_secret(&self) -> io::Result<Vec<u8>> {
        self.gpg(&["--armor", "--export-secret-keys"])
    }

    /// Clear-signs a file in place, as debsign does.
    pub fn clearsign(&self, file: &Path) -> io::Result<()> {
        let signed = self.gpg(&["--clearsign", "--output", "-", &file.to_string_lossy()])?;
        std::fs::write(file, signed)
    }
}

impl Drop for GnupgHome {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .env("GNUPGHOME", &self.dir)
            .args(["--kill", "all"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
