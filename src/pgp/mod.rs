//! OpenPGP: the keys of the archive, signing Release, verifying what others signed. The only place that names sequoia,
//! and the only one that runs the `gpg` program.
//!
//! Follows RFC 9580 (and RFC 4880, whose v4 keys and signatures are what today's clients read); the cleartext
//! signature framework is its section 7. Called by `ingest` (uploads), `mirror` (upstream Release), `publish` (our
//! Release) and `ops` (the `key` commands).

pub mod clearsigned;
mod error;
mod facts;
mod generate;
mod gpg;
mod home;
mod keyring;
mod policy;
mod secret;
mod select;
mod sign;
mod standing;
mod verify;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use error::Error;
pub use facts::{Acceptance, Client, KeyCheck, KeyRow, Verdict, When};
pub use generate::{Algorithm, NewKey};
pub use home::{Backend, Imported, KeyHome, Storage};
pub use keyring::{Keyring, Tolerance};
pub use secret::Passphrase;
pub use sign::{Signed, Signer};
pub use verify::{
    MaybeSigned, SignatureInfo, Status, Verified, read_maybe_signed, verify_clearsigned, verify_detached,
};

/// The longest signed file that is read: 16 MiB, several times the Release of the largest archive.
pub const MAX_SIGNED_BYTES: usize = 16 << 20;

/// The longest key file or keyring that is read: 64 MiB, twice the keyring of all Debian developers.
pub const MAX_KEYRING_BYTES: u64 = 64 << 20;

fn system_time(unix_seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_seconds).unwrap_or(0))
}

fn unix_seconds(time: SystemTime) -> i64 {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// The day of a time, such as `2026-11-23` (UTC), as the messages about keys give it.
#[must_use]
pub fn day(unix_seconds: i64) -> String {
    jiff::Timestamp::from_second(unix_seconds).map_or_else(
        |_| unix_seconds.to_string(),
        |time| time.strftime("%Y-%m-%d").to_string(),
    )
}
