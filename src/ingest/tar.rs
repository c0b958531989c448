//! The entries of a tar archive as dpkg reads it (tar(5): v7, ustar, GNU long names), and as GNU tar writes
//! them besides, with pax headers and sparse files; nothing is
//! ever unpacked to disk. Names, headers, entries and all bytes together are limited, which the usual readers do not do.

use std::io::{self, BufRead, BufReader, Read};

use super::error::ArchiveError;
use super::limits::Limits;

const BLOCK_BYTES: u64 = 512;
/// How much is unpacked at a time: most archives are small, and there are many.
const BUFFER_BYTES: usize = 16 << 10;
type Block = [u8; 512];

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// A file with content.
    File,
    /// A directory.
    Directory,
    /// A link, device or pipe.
    Other,
}

/// One entry of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name as it stands there.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// The length of its content in bytes.
    pub size_bytes: u64,
}

/// Reads entries one after the other, within limits.
pub(super) struct Tar<'a> {
    inner: BufReader<Box<dyn Read + 'a>>,
    /// Which archive this is, for messages.
    what: &'static str,
    limits: &'a Limits,
    limit_bytes: u64,
    read_bytes: u64,
    entries: u64,
    /// Content and padding of the current entry that are still to be read.
    left: u64,
}

/// What extended headers say of the next entry.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    size_bytes: Option<u64>,
}

impl<'a> Tar<'a> {
    /// Reads `inner`, an unpacked tar archive of at most `limit_bytes`.
    pub fn new(inner: Box<dyn Read + 'a>, what: &'static str, limits: &'a Limits, limit_bytes: u64) -> Self {
        Self {
            inner: BufReader::with_capacity(BUFFER_BYTES, inner),
            what,
            limits,
            limit_bytes,
            read_bytes: 0,
            entries: 0,
            left: 0,
        }
    }

    /// The next entry; `None` at the end mark or where the archive ends before a header.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extended = Extended::default();
        loop {
            self.skip_content()?;
            let Some(header) = self.next_header()? else {
                return Ok(None);
            };
            let size_bytes = number(&header, 124, 12).ok_or_else(|| self.fault("a size is no number"))?;
            let kind = byte(&header, 156);
            match kind {
                b'L' => {
                    let mut name = self.extension(size_bytes)?;
                    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                    name.truncate(end);
                    extended.name = Some(name);
                }
                b'x' => self.read_pax(size_bytes, &mut extended)?,
                b'K' | b'g' => drop(self.extension(size_bytes)?),
                _ => return self.entry(&header, kind, size_bytes, extended).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &Block, kind: u8, size: u64, extended: Extended) -> Result<Entry, ArchiveError> {
        let name = extended.name.unwrap_or_else(|| header_name(header));
        if name.len() as u64 > self.limits.name_bytes {
            return Err(self.limit("the length of a path in bytes", self.limits.name_bytes));
        }
        let kind = match kind {
            // old archives have no type for directories
            b'0' | 0 | b'7' if name.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' => EntryKind::File,
            b'S' => {
                self.skip_sparse_map(header)?;
                EntryKind::File
            }
            b'5' => EntryKind::Directory,
            b'1'..=b'4' | b'6' => EntryKind::Other,
            _ => return Err(self.fault("an entry is of an unknown type")),
        };
        // dpkg takes the size of a link, directory or device for nothing
        let size_bytes = match kind {
            EntryKind::File => extended.size_bytes.unwrap_or(size),
            _ => 0,
        };
        self.set_content(size_bytes)?;
        Ok(Entry { name, kind, size_bytes })
    }

    /// The content of the current entry, which must not be longer than `limit_bytes`.
    pub fn content(&mut self, entry: &Entry, limit_bytes: u64) -> Result<Vec<u8>, ArchiveError> {
        if entry.size_bytes > limit_bytes {
            return Err(self.limit("the length of a file in bytes", limit_bytes));
        }
        let mut content = Vec::new();
        self.take(entry.size_bytes, Some(&mut content))?;
        Ok(content)
    }

    /// Reads on to the end, so that a checksum at the end of the compressed stream is looked at.
    pub fn finish(mut self) -> Result<(), ArchiveError> {
        while self.skip_some(u64::MAX)? > 0 {}
        Ok(())
    }

    fn next_header(&mut self) -> Result<Option<Block>, ArchiveError> {
        let mut block: Block = [0; 512];
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.inner.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.read_error(source)),
            }
        }
        self.count(filled as u64)?;
        match filled {
            0 => return Ok(None),
            512 => {}
            _ => return Err(self.fault("the archive ends inside a header")),
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if !has_right_checksum(&block) {
            return Err(self.fault("a header has a wrong checksum"));
        }
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(self.limit("the number of entries", self.limits.entries));
        }
        Ok(Some(block))
    }

    /// The content of an extended header.
    fn extension(&mut self, size_bytes: u64) -> Result<Vec<u8>, ArchiveError> {
        if size_bytes > self.limits.name_bytes {
            return Err(self.limit("the length of an extended header in bytes", self.limits.name_bytes));
        }
        self.set_content(size_bytes)?;
        let mut content = Vec::new();
        self.take(size_bytes, Some(&mut content))?;
        Ok(content)
    }

    fn read_pax(&mut self, size_bytes: u64, extended: &mut Extended) -> Result<(), ArchiveError> {
        let records = self.extension(size_bytes)?;
        let mut rest = records.as_slice();
        while !rest.is_empty() {
            let Some((key, value, after)) = pax_record(rest) else {
                return Err(self.fault("a pax header is malformed"));
            };
            match key {
                b"path" => extended.name = Some(value.to_vec()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    extended.size_bytes =
                        Some(size.ok_or_else(|| self.fault("a pax header has a size that is no number"))?);
                }
                _ => {}
            }
            rest = after;
        }
        Ok(())
    }

    /// Passes over the blocks between the header and the content of a file with holes.
    fn skip_sparse_map(&mut self, header: &Block) -> Result<(), ArchiveError> {
        let mut has_more = byte(header, 482) != 0;
        while has_more {
            let mut block = Vec::new();
            self.take(BLOCK_BYTES, Some(&mut block))?;
            has_more = block.get(504).is_some_and(|byte| *byte != 0);
        }
        Ok(())
    }

    fn set_content(&mut self, size_bytes: u64) -> Result<(), ArchiveError> {
        self.left = size_bytes
            .checked_next_multiple_of(BLOCK_BYTES)
            .ok_or_else(|| self.fault("a size is too large"))?;
        Ok(())
    }

    fn skip_content(&mut self) -> Result<(), ArchiveError> {
        self.take(self.left, None)
    }

    /// Reads `length` bytes of the current content, into `sink` if there is one.
    fn take(&mut self, length: u64, sink: Option<&mut Vec<u8>>) -> Result<(), ArchiveError> {
        // said before it is read: a size of terabytes need not be waited for
        if self.read_bytes.saturating_add(length) > self.limit_bytes {
            return Err(self.limit("the unpacked size in bytes", self.limit_bytes));
        }
        let mut copied = 0;
        if let Some(sink) = sink {
            let part = self.inner.by_ref().take(length).read_to_end(sink);
            copied = part.map_err(|source| self.read_error(source))? as u64;
            self.count(copied)?;
        } else {
            while copied < length {
                match self.skip_some(length - copied)? {
                    0 => break,
                    count => copied += count,
                }
            }
        }
        self.left = self.left.saturating_sub(copied);
        if copied < length {
            return Err(self.fault("the archive ends inside a file"));
        }
        Ok(())
    }

    /// Passes over what is unpacked next, at most so many bytes; 0 at the end.
    fn skip_some(&mut self, most: u64) -> Result<u64, ArchiveError> {
        let length = loop {
            match self.inner.fill_buf() {
                Ok(bytes) => break bytes.len(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.read_error(source)),
            }
        };
        let count = usize::try_from(most).map_or(length, |most| most.min(length));
        self.inner.consume(count);
        self.count(count as u64)?;
        Ok(count as u64)
    }

    fn count(&mut self, bytes: u64) -> Result<(), ArchiveError> {
        self.read_bytes = self.read_bytes.saturating_add(bytes);
        if self.read_bytes > self.limit_bytes {
            return Err(self.limit("the unpacked size in bytes", self.limit_bytes));
        }
        Ok(())
    }

    fn fault(&self, problem: &'static str) -> ArchiveError {
        ArchiveError::Tar {
            what: self.what,
            problem,
            entry: self.entries,
        }
    }

    fn limit(&self, of: &'static str, limit: u64) -> ArchiveError {
        ArchiveError::Limit {
            what: self.what,
            of,
            limit,
        }
    }

    fn read_error(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Read {
            what: self.what.into(),
            source,
        }
    }
}

fn byte(block: &Block, at: usize) -> u8 {
    block.get(at).copied().unwrap_or_default()
}

/// A field up to its first NUL.
fn field(block: &Block, at: usize, length: usize) -> &[u8] {
    let field = block.get(at..at + length).unwrap_or_default();
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    field.split_at(end).0
}

/// A number: octal digits, or base 256 where the first bit is set.
fn number(block: &Block, at: usize, length: usize) -> Option<u64> {
    let raw = block.get(at..at + length)?;
    let (first, rest) = raw.split_first()?;
    if first & 0x80 != 0 {
        // the second bit is the sign
        let start = (first & 0x40 == 0).then_some(u64::from(first & 0x3f))?;
        return rest
            .iter()
            .try_fold(start, |value, byte| Some(value.checked_mul(256)? | u64::from(*byte)));
    }
    let text = std::str::from_utf8(field(block, at, length)).ok()?.trim_matches(' ');
    if text.is_empty() {
        return Some(0);
    }
    text.bytes().try_fold(0_u64, |value, digit| {
        (b'0'..=b'7')
            .contains(&digit)
            .then(|| value.checked_mul(8)?.checked_add(u64::from(digit - b'0')))?
    })
}

fn has_right_checksum(block: &Block) -> bool {
    const FIELD: std::ops::Range<usize> = 148..156;
    let Some(expected) = number(block, FIELD.start, FIELD.len()) else {
        return false;
    };
    // the field itself counts as blanks
    let sum_of = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let field = block.get(FIELD).unwrap_or_default();
    sum_of(block) - sum_of(field) + 32 * FIELD.len() as u64 == expected
}

/// The name of a header, with the prefix that only POSIX archives have.
fn header_name(block: &Block) -> Vec<u8> {
    let name = field(block, 0, 100);
    let prefix = field(block, 345, 155);
    let is_posix = block.get(257..263) == Some(b"ustar\0".as_slice());
    if is_posix && !prefix.is_empty() {
        [prefix, name].join(&b'/')
    } else {
        name.to_vec()
    }
}

/// `LENGTH KEY=VALUE\n`, the length being that of the whole record.
fn pax_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = records.iter().position(|byte| *byte == b' ')?;
    let (digits, _) = records.split_at(blank);
    let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let (record, after) = records.split_at_checked(length)?;
    let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((record.get(..equals)?, record.get(equals + 1..)?, after))
}
