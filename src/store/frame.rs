//! zstd frames, in which objects, records and file lists are kept.

use std::cell::RefCell;
use std::io::{self, Read};
use std::path::Path;
use std::thread::LocalKey;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::fsio::AtPath;
use crate::model::Sha256;

use super::error::{Error, Result};

/// No table, text, root or blob is longer than this.
const MAX_BYTES: u64 = 2 << 30;
/// Blocks are so small that the levels up to 3 make them no smaller.
const ZSTD_LEVEL: i32 = 1;

thread_local! {
    // making them takes longer than most blocks
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Does something with a value of this thread, which is made at its first use.
fn with_own<T, R>(
    own: &'static LocalKey<RefCell<Option<T>>>,
    make: impl FnOnce() -> io::Result<T>,
    work: impl FnOnce(&mut T) -> io::Result<R>,
) -> io::Result<R> {
    own.with_borrow_mut(|own| match own {
        Some(made) => work(made),
        none => work(none.insert(make()?)),
    })
}

/// Packs bytes as one zstd frame. The path is for the error.
pub(super) fn compress(bytes: &[u8], path: &Path) -> Result<Vec<u8>> {
    let make = || {
        let mut made = Compressor::new(ZSTD_LEVEL)?;
        made.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(made)
    };
    Ok(with_own(&COMPRESSOR, make, |own| own.compress(bytes)).at("compress an object for", path)?)
}

/// Unpacks one zstd frame of at most this length.
pub(super) fn unpack(frame: &[u8], length: usize) -> io::Result<Vec<u8>> {
    with_own(&DECOMPRESSOR, Decompressor::new, |own| own.decompress(frame, length))
}

/// Unpacks one zstd frame of a known length. A length that the frame does not have is an error, not a reason to go on.
pub(super) fn decompress(frame: impl Read, length: u64, path: &Path) -> Result<Unpacked> {
    if length > MAX_BYTES {
        return Err(damaged(
            path,
            format!("{length} bytes are more than an object may have"),
        ));
    }
    // what it will be at most, as a rule
    let mut packed = Vec::with_capacity(usize::try_from(length / 3).unwrap_or(0).min(1 << 20));
    frame.take(MAX_BYTES).read_to_end(&mut packed).at("read", path)?;
    // the room for what comes out is taken beforehand, so that the frame must agree on how much it is
    if !matches!(zstd::zstd_safe::get_frame_content_size(&packed), Ok(Some(said)) if said == length) {
        return Err(damaged(path, "its content has another length"));
    }
    let capacity = usize::try_from(length).unwrap_or(usize::MAX);
    let unpacked = with_own(&DECOMPRESSOR, Decompressor::new, |own| {
        own.decompress(&packed, capacity)
    });
    let bytes = unpacked.map_err(|error| damaged(path, format!("it cannot be unpacked: {error}")))?;
    if bytes.len() as u64 != length {
        return Err(damaged(path, "its content has another length"));
    }
    // RFC 8878, 3.1.1.1.1: the flag in the byte after the magic number
    let has_checksum = packed.get(4).is_some_and(|descriptor| descriptor & 4 != 0);
    Ok(Unpacked { bytes, has_checksum })
}

/// What was in a zstd frame.
pub(super) struct Unpacked {
    pub(super) bytes: Vec<u8>,
    /// Whether the frame had a checksum, which was compared.
    has_checksum: bool,
}

impl Unpacked {
    /// The bytes, if they are what was packed. Frames of earlier versions have no checksum.
    pub(super) fn checked(self, digest: &Sha256, what: &str, path: &Path) -> Result<Vec<u8>> {
        if self.has_checksum || Sha256::of(&self.bytes) == *digest {
            Ok(self.bytes)
        } else {
            Err(damaged(path, format!("its {what} has another digest")))
        }
    }
}

pub(super) fn damaged(path: &Path, problem: impl Into<String>) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        problem: problem.into(),
    }
}
