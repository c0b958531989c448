//! Reading a .deb or .udeb (deb(5)): its control file and the list of its paths, in one pass over a stream, without
//! holding or unpacking its files.

use std::io::{BufRead, Read};

use super::ar::{Ar, Member};
use super::error::ArchiveError;
use super::limits::Limits;
use super::tar::{EntryKind, Tar};
use super::unpack::Packing;
use crate::model::BinaryControl;
use crate::model::stanza::MAX_STANZA_BYTES;

const CONTROL: &str = "control.tar";
const DATA: &str = "data.tar";

/// What a package says of itself and what it brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deb {
    /// Its control file.
    pub control: BinaryControl,
    /// The paths in it but directories, without `./` or `/` before them, sorted bytewise.
    pub paths: Vec<Vec<u8>>,
    /// How many paths were left out because they have a line end in them, which no line of Contents can carry.
    pub unlistable_paths: u64,
}

/// Reads a package.
///
/// # Errors
/// [`ArchiveError`]: it cannot be read, is malformed, or beyond `limits`.
pub fn read_deb<R: BufRead>(reader: R, limits: &Limits) -> Result<Deb, ArchiveError> {
    let mut ar = Ar::new(reader)?;
    read_format(&mut ar)?;
    let (member, packing) = next_part(&mut ar, CONTROL)?;
    let limit_bytes = limits.unpacked_bytes(member.size_bytes).min(limits.control_bytes);
    let control = read_control(Tar::new(
        unpack(packing, &mut ar, CONTROL)?,
        CONTROL,
        limits,
        limit_bytes,
    ))?;
    let (member, packing) = next_part(&mut ar, DATA)?;
    let limit_bytes = limits.unpacked_bytes(member.size_bytes);
    let data = Tar::new(unpack(packing, &mut ar, DATA)?, DATA, limits, limit_bytes);
    let (paths, unlistable_paths) = read_paths(data, limits)?;
    refuse_second_parts(&mut ar)?;
    Ok(Deb {
        control,
        paths,
        unlistable_paths,
    })
}

/// The first member: the version of the format.
fn read_format<R: BufRead>(ar: &mut Ar<R>) -> Result<(), ArchiveError> {
    let first = ar.next_member()?;
    let Some(Member { name, size_bytes }) = first.filter(|member| member.name == "debian-binary") else {
        return Err(ArchiveError::ar("the first member must be `debian-binary`"));
    };
    let mut text = String::new();
    if size_bytes <= 100 {
        ar.read_to_string(&mut text)
            .map_err(|source| ArchiveError::Read { what: name, source })?;
    }
    let version = text.lines().next().and_then(|line| line.strip_prefix("2."));
    if version.is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())) {
        Ok(())
    } else {
        Err(ArchiveError::ar("the format version must be 2.x"))
    }
}

/// Passes over members that deb(5) tells readers to ignore, and takes the one that must come next.
fn next_part<R: BufRead>(ar: &mut Ar<R>, part: &str) -> Result<(Member, Packing), ArchiveError> {
    loop {
        let Some(member) = ar.next_member()? else {
            return Err(ArchiveError::ar(format!("it ends before the member `{part}`")));
        };
        if member.name.starts_with('_') {
            continue;
        }
        let Some(suffix) = member.name.strip_prefix(part) else {
            let name = member.name.escape_default();
            return Err(ArchiveError::ar(format!(
                "the member `{name}` stands where `{part}` must"
            )));
        };
        let Some(packing) = Packing::of_suffix(suffix) else {
            let name = member.name.escape_default();
            return Err(ArchiveError::ar(format!(
                "the member `{name}` is compressed in an unknown way"
            )));
        };
        return Ok((member, packing));
    }
}

fn unpack<'a, R: BufRead>(packing: Packing, ar: &'a mut Ar<R>, part: &str) -> Result<Box<dyn Read + 'a>, ArchiveError> {
    packing.reader(ar).map_err(|source| ArchiveError::Read {
        what: part.into(),
        source,
    })
}

fn read_control(mut tar: Tar<'_>) -> Result<BinaryControl, ArchiveError> {
    let mut control = None;
    while let Some(entry) = tar.next_entry()? {
        if clean_path(&entry.name, CONTROL)? != b"control" {
            continue;
        }
        if entry.kind != EntryKind::File || control.is_some() {
            return Err(ArchiveError::ar("`control` must be one plain file"));
        }
        control = Some(tar.content(&entry, MAX_STANZA_BYTES as u64)?);
    }
    tar.finish()?;
    let control = control.ok_or_else(|| ArchiveError::ar("it has no control file"))?;
    BinaryControl::parse(&control).map_err(|source| ArchiveError::Control { source })
}

fn read_paths(mut tar: Tar<'_>, limits: &Limits) -> Result<(Vec<Vec<u8>>, u64), ArchiveError> {
    let mut paths = Vec::new();
    let mut unlistable = 0;
    let mut path_bytes = 0_u64;
    while let Some(entry) = tar.next_entry()? {
        let path = clean_path(&entry.name, DATA)?;
        if entry.kind == EntryKind::Directory || path.is_empty() {
            continue;
        }
        if path.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
            unlistable += 1;
            continue;
        }
        path_bytes += path.len() as u64;
        if path_bytes > limits.path_bytes {
            return Err(ArchiveError::Limit {
                what: DATA,
                of: "the length of all paths in bytes",
                limit: limits.path_bytes,
            });
        }
        paths.push(path);
    }
    tar.finish()?;
    paths.sort_unstable();
    paths.dedup();
    Ok((paths, unlistable))
}

/// The path without empty parts and `.`.
pub(super) fn clean_path(name: &[u8], what: &'static str) -> Result<Vec<u8>, ArchiveError> {
    let mut path = Vec::with_capacity(name.len());
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                return Err(ArchiveError::Path {
                    what,
                    path: name.escape_ascii().to_string().chars().take(200).collect(),
                });
            }
            _ => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
    }
    Ok(path)
}

/// A second control or data member would be another package to a reader that takes the last one.
fn refuse_second_parts<R: BufRead>(ar: &mut Ar<R>) -> Result<(), ArchiveError> {
    loop {
        match ar.next_member() {
            Ok(Some(member)) if member.name.starts_with(CONTROL) || member.name.starts_with(DATA) => {
                let name = member.name.escape_default();
                return Err(ArchiveError::ar(format!("a second member `{name}` follows")));
            }
            Ok(Some(_)) => {}
            // dpkg looks at nothing after the data: neither does this refuse what follows there
            Ok(None) | Err(ArchiveError::Ar { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
