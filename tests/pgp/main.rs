//! Keys and signatures against the programs that our users and their clients have: gpg, gpgv, sqv, dpkg.

#![expect(clippy::unwrap_used, reason = "a helper that fails should stop its test")]

mod keys;
mod package;
mod signatures;
mod support;
