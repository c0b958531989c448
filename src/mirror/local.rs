//! The methods `file` and `copy`: upstreams in a directory of this machine. `file` gives a file a second name where the
//! file system can, `copy` always copies.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::transfer::{Arrival, Known, Wanted};
use super::{Error, Result};
use crate::fsio::{self, AtPath};

/// The permission bits of a file that everybody may read.
const READABLE: u32 = 0o444;

/// The path of an address by one of these methods, and whether it may be linked; `None` for other methods.
pub(super) fn path_of(url: &str) -> Option<(PathBuf, bool)> {
    let (method, rest) = url.split_once(':')?;
    let may_link = if method.eq_ignore_ascii_case("file") {
        true
    } else if method.eq_ignore_ascii_case("copy") {
        false
    } else {
        return None;
    };
    // `file:///srv` and `file:/srv` are the same; a host name is not for us
    let path = rest.strip_prefix("//").unwrap_or(rest);
    Some((PathBuf::from(path), may_link))
}

/// Brings a file to its place from the first address that has it.
pub(super) fn fetch(wanted: &Wanted) -> Result<Arrival> {
    let mut first_error = None;
    for url in &wanted.urls {
        match bring(wanted, url) {
            Ok(()) => {
                return Ok(Arrival::New {
                    known: Known::nothing(url),
                    is_resumed: false,
                });
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| Error::Client {
        problem: "there is no address to ask".into(),
    }))
}

fn bring(wanted: &Wanted, url: &str) -> Result<()> {
    let Some((from, may_link)) = path_of(url) else {
        return Err(Error::Method { url: url.to_owned() });
    };
    let metadata = fs::metadata(&from).at("open", &from)?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file")).at("read", &from)?;
    }
    check_size(wanted, url, metadata.len())?;
    fsio::remove_if_there(&wanted.to)?;
    place(&from, &wanted.to, may_link && wanted.may_link)?;
    Ok(())
}

fn place(from: &Path, to: &Path, may_link: bool) -> std::result::Result<(), fsio::Error> {
    let metadata = fs::symlink_metadata(from).at("open", from)?;
    // one that not everybody may read would be no use in the pool, and its mode is not ours to change
    let is_public = metadata.is_file() && metadata.mode() & READABLE == READABLE;
    if may_link && is_public && fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let mut source = File::open(from).at("open", from)?;
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(to)
        .at("write", to)?;
    fsio::copied(io::copy(&mut source, &mut target), from, to)
}

fn check_size(wanted: &Wanted, url: &str, found: u64) -> Result<()> {
    let url = url.to_owned();
    match wanted.size_bytes {
        Some(expected) if expected != found => Err(Error::Size { url, expected, found }),
        _ if found > wanted.limit_bytes => Err(Error::TooLong {
            url,
            limit_bytes: wanted.limit_bytes,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_methods_have_a_path() {
        assert_eq!(path_of("file:///srv/u"), Some(("/srv/u".into(), true)));
        assert_eq!(path_of("file:/srv/u"), Some(("/srv/u".into(), true)));
        assert_eq!(path_of("copy:/srv/u"), Some(("/srv/u".into(), false)));
        assert_eq!(path_of("http://srv/u"), None);
    }
}
