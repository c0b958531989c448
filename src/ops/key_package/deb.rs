//! Writing a binary package as deb(5) has it, the same bytes for the same files and time.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};

use crate::model::{DigestKind, Hasher};

/// A file of the package: its path without a leading slash, and its content.
pub(super) type File = (String, Vec<u8>);

/// The package of these files and control files; `md5sums` is made here. All files are root's, of mode 0644 and of the
/// time `now` (Unix seconds).
pub(super) fn write(mut control: Vec<File>, files: &[File], now: i64) -> io::Result<Vec<u8>> {
    let mut sums = String::new();
    for (path, content) in files {
        let mut hasher = Hasher::default();
        hasher.update(content);
        let sum = hasher.finish().digests.hex(DigestKind::Md5).unwrap_or_default();
        sums.push_str(&format!("{sum}  {path}\n"));
    }
    control.push(("md5sums".into(), sums.into_bytes()));
    let members = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", tarball(&control, now)?),
        ("data.tar.gz", tarball(files, now)?),
    ];
    let mut archive = ar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = ar::Header::new(name.into(), content.len() as u64);
        header.set_mode(0o100_644);
        header.set_mtime(seconds(now));
        archive.append(&header, content.as_slice())?;
    }
    archive.into_inner()
}

fn seconds(now: i64) -> u64 {
    u64::try_from(now).unwrap_or(0)
}

/// Files and the directories above them, all root's.
fn tarball(files: &[File], now: i64) -> io::Result<Vec<u8>> {
    let mut paths = BTreeMap::from([("./".to_owned(), None)]);
    for (path, content) in files {
        for (slash, _) in path.match_indices('/') {
            let directory = path.get(..=slash).unwrap_or_default();
            paths.insert(format!("./{directory}"), None);
        }
        paths.insert(format!("./{path}"), Some(content));
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in paths {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(seconds(now));
        header.set_uid(0);
        header.set_gid(0);
        header.set_username("root")?;
        header.set_groupname("root")?;
        header.set_entry_type(if content.is_some() {
            tar::EntryType::Regular
        } else {
            tar::EntryType::Directory
        });
        header.set_mode(if content.is_some() { 0o644 } else { 0o755 });
        let content = content.map_or(&[][..], Vec::as_slice);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content)?;
    }
    gzip(&archive.into_inner()?)
}

/// Compressed without a time or a name.
pub(super) fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}
