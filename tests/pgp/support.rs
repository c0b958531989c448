//! A throw-away GnuPG home, and the verifiers of apt.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aptrepo::pgp::{Algorithm, KeyHome, Keyring, NewKey, Signed};
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::ReasonForRevocation;

/// With a line that has to be escaped, and two empty lines at the end.
pub const RELEASE: &[u8] = b"Origin: Example\nSuite: stable\nCodename: stable\n-----TEST\n- x\n\n\n";

pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// An Ed25519 key for a good while.
pub fn new_key(user_id: &str) -> NewKey<'_> {
    NewKey {
        user_id,
        algorithm: Algorithm::Ed25519,
        valid_days: Some(1000),
        passphrase: None,
    }
}

/// A key directory with one new key.
pub fn native(user_id: &str) -> (tempfile::TempDir, KeyHome) {
    let directory = tempfile::tempdir().unwrap();
    let home = KeyHome::open(&directory.path().join("gpg")).unwrap();
    home.generate(&new_key(user_id), now()).unwrap();
    (directory, home)
}

/// A GnuPG home; its agent ends with it.
pub struct GnupgHome(tempfile::TempDir);

impl GnupgHome {
    /// None, and the test says nothing, where there is no gpg; in CI there must be.
    pub fn new() -> Option<Self> {
        if !is_there("gpg") {
            return None;
        }
        // A short path: the agent's socket lies in it.
        let directory = tempfile::Builder::new().prefix("g").tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Some(Self(directory))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn make_key(&self, user_id: &str, passphrase: &str, expires: &str) {
        self.gpg(&[
            "--passphrase",
            passphrase,
            "--quick-gen-key",
            user_id,
            "ed25519",
            "default",
            expires,
        ]);
    }

    pub fn make_key_at(&self, time: &str, user_id: &str, expires: &str) {
        let time = ["--faked-system-time", time];
        self.gpg(
            &[
                &time[..],
                &[
                    "--passphrase",
                    "",
                    "--quick-gen-key",
                    user_id,
                    "ed25519",
                    "default",
                    expires,
                ],
            ]
            .concat(),
        );
    }

    pub fn add_signing_subkey(&self, user_id: &str) {
        let listing = self.gpg(&["--with-colons", "--list-keys", user_id]);
        let listing = String::from_utf8(listing).unwrap();
        let line = listing.lines().find(|line| line.starts_with("fpr:")).unwrap();
        let fingerprint = line.split(':').nth(9).unwrap();
        self.gpg(&[
            "--passphrase",
            "",
            "--quick-add-key",
            fingerprint,
            "ed25519",
            "sign",
            "never",
        ]);
    }

    pub fn export_secret(&self, user_id: &str, passphrase: &str) -> Vec<u8> {
        self.gpg(&["--passphrase", passphrase, "--armor", "--export-secret-keys", user_id])
    }

    pub fn export_secret_subkeys(&self, user_id: &str) -> Vec<u8> {
        self.gpg(&["--passphrase", "", "--export-secret-subkeys", user_id])
    }

    pub fn forget_passphrases(&self) {
        self.gpgconf("--reload");
    }

    fn gpg(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command
            .args(["--batch", "--no-tty", "--pinentry-mode", "loopback", "--homedir"])
            .arg(self.path());
        let output = command.args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "gpg {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    fn gpgconf(&self, action: &str) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.path())
            .args([action, "gpg-agent"])
            .output();
    }
}

impl Drop for GnupgHome {
    fn drop(&mut self) {
        self.gpgconf("--kill");
    }
}

/// Whether a program can be tested with; in CI all must be there.
pub fn is_there(program: &str) -> bool {
    let there = Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "{program} is missing");
    there
}

pub fn write(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
    path
}

pub fn passphrase_file(directory: &Path, text: &str) -> PathBuf {
    write(directory, "passphrase", text.as_bytes())
}

fn assert_success(program: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Both forms, as apt up to 2.x calls it.
pub fn gpgv_accepts(keyring: &Keyring, signed: &Signed) {
    if !is_there("gpgv") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let keyring = write(directory.path(), "keyring.gpg", &keyring.to_binary().unwrap());
    let inrelease = write(directory.path(), "InRelease", &signed.inrelease);
    let release = write(directory.path(), "Release", RELEASE);
    let detached = write(directory.path(), "Release.gpg", &signed.detached);
    for files in [vec![&inrelease], vec![&detached, &release]] {
        let mut command = Command::new("gpgv");
        command
            .env("GNUPGHOME", directory.path())
            .arg("--keyring")
            .arg(&keyring);
        assert_success("gpgv", &command.args(files).output().unwrap());
    }
}

/// The detached form, as apt 3 calls it; all signatures must be good.
pub fn sqv_accepts(keyring: &Keyring, signed: &Signed, signatures: usize) {
    if !is_there("sqv") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let keyring = write(directory.path(), "keyring.gpg", &keyring.to_binary().unwrap());
    let release = write(directory.path(), "Release", RELEASE);
    let detached = write(directory.path(), "Release.gpg", &signed.detached);
    let mut command = Command::new("sqv");
    command
        .arg("--keyring")
        .arg(&keyring)
        .arg("-n")
        .arg(signatures.to_string());
    assert_success("sqv", &command.arg(&detached).arg(&release).output().unwrap());
}

/// The key, revoked by its owner.
pub fn revoked(secret: &[u8]) -> Vec<u8> {
    let cert = Cert::from_bytes(secret).unwrap();
    let mut signer = cert
        .primary_key()
        .key()
        .clone()
        .parts_into_secret()
        .unwrap()
        .into_keypair()
        .unwrap();
    let revocation = cert
        .revoke(&mut signer, ReasonForRevocation::KeyCompromised, b"stolen")
        .unwrap();
    let (cert, _) = cert.insert_packets(revocation).unwrap();
    cert.armored().to_vec().unwrap()
}
