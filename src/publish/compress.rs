//! Writes one index in one form, with its digests taken in the same pass. Nothing holds a whole text: blocks are read
//! as they are needed, and compressed parts that were published before are copied instead of made anew.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

use super::Error;
use super::parts::{Joined, Part};
use crate::conf::distribution::Compression;
use crate::fsio::{AtPath, EarlyWriter};
use crate::model::{DigestKind, FileDigests, Hasher, Sha256};
use crate::store::BlockId;

/// How many blocks are unpacked at a time, by all threads.
const READ_AHEAD_BLOCKS: usize = 32;
/// How many parts each thread makes before they are written.
const PARTS_AT_A_TIME: usize = 16;

/// Reads the text of a block.
pub(super) type ReadBlock<'a> = dyn Fn(&BlockId) -> Result<Vec<u8>, Error> + Sync + 'a;

/// The text of one index: its blocks in order, each with the level of the cut before it.
pub(super) struct IndexText<'a> {
    pub(super) blocks: Vec<(BlockId, u32)>,
    /// The level of a cut at which a new gzip or zstd part starts; an xz part starts at two levels more, as it pays
    /// more for being cut.
    pub(super) part_level: u32,
    pub(super) read: &'a ReadBlock<'a>,
}

/// A file of the same index in the same form that was published before.
pub(super) struct Previous<'a> {
    pub(super) path: &'a Path,
    pub(super) parts: &'a [Part],
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) content: FileDigests,
    pub(super) parts: Vec<Part>,
}

/// Writes the index in one form to the new file `path`.
pub(super) fn write_index(
    index: &IndexText<'_>,
    form: Compression,
    previous: Option<&Previous<'_>>,
    path: &Path,
    kinds: &[DigestKind],
) -> Result<Written, Error> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .at("create", path)?;
    let mut out = HashingWriter::new(BufWriter::new(EarlyWriter::new(file)), kinds);
    let mut parts = Vec::new();
    match form {
        Compression::Plain => index.copy_text(&mut out, path)?,
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(&mut out, bzip2::Compression::best());
            index.copy_text(&mut encoder, path)?;
            encoder.finish().at("write", path)?;
        }
        Compression::Gzip => parts = index.write_parts(Joined::Gzip, previous, &mut out, path)?,
        Compression::Xz => parts = index.write_parts(Joined::Xz, previous, &mut out, path)?,
        Compression::Zstd => parts = index.write_parts(Joined::Zstd, previous, &mut out, path)?,
    }
    out.flush().at("write", path)?;
    let content = out.hasher.finish();
    Ok(Written { content, parts })
}

/// The digests of the plain text, where it is not published itself: Release lists it all the same, because apt compares
/// what it has unpacked with it.
pub(super) fn digest_text(index: &IndexText<'_>, path: &Path, kinds: &[DigestKind]) -> Result<FileDigests, Error> {
    let mut out = HashingWriter::new(io::sink(), kinds);
    index.copy_text(&mut out, path)?;
    Ok(out.hasher.finish())
}

/// A run of blocks that is compressed as one part.
#[derive(Debug)]
struct Group {
    id: Sha256,
    blocks: Vec<BlockId>,
}

impl IndexText<'_> {
    fn copy_text(&self, out: &mut (impl Write + Send), path: &Path) -> Result<(), Error> {
        let read = |batch: &[(BlockId, u32)]| -> Result<Vec<Vec<u8>>, Error> {
            let texts = batch.par_iter().map(|(block, _)| (self.read)(block));
            texts.collect()
        };
        let mut write = |texts: Vec<Vec<u8>>| -> Result<(), Error> {
            texts
                .iter()
                .try_for_each(|text| out.write_all(text).at("write", path))?;
            Ok(())
        };
        let mut waiting = Vec::new();
        for batch in self.blocks.chunks(READ_AHEAD_BLOCKS) {
            let (texts, written) = rayon::join(|| read(batch), || write(std::mem::take(&mut waiting)));
            written?;
            waiting = texts?;
        }
        write(waiting)
    }

    fn groups(&self, form: Joined) -> Vec<Group> {
        let level = match form {
            Joined::Gzip | Joined::Zstd => self.part_level,
            Joined::Xz => self.part_level.saturating_add(2),
        };
        let mut groups: Vec<Vec<BlockId>> = Vec::new();
        for (block, cut_level) in &self.blocks {
            match groups.last_mut() {
                Some(group) if *cut_level < level => group.push(*block),
                _ => groups.push(vec![*block]),
            }
        }
        // no text at all is still one gzip member or zstd frame; an xz stream may be without blocks
        if groups.is_empty() && form != Joined::Xz {
            groups.push(Vec::new());
        }
        groups.into_iter().map(Group::new).collect()
    }

    fn write_parts(
        &self,
        form: Joined,
        previous: Option<&Previous<'_>>,
        out: &mut (impl Write + Send),
        path: &Path,
    ) -> Result<Vec<Part>, Error> {
        let published = PublishedParts::open(form, previous);
        out.write_all(form.header()).at("write", path)?;
        let mut parts = Vec::new();
        let mut write = |made: Vec<(Part, Vec<u8>)>| -> Result<(), Error> {
            for (part, bytes) in made {
                out.write_all(&bytes).at("write", path)?;
                parts.push(part);
            }
            Ok(())
        };
        let groups = self.groups(form);
        let make = |batch: &[Group]| -> Result<Vec<_>, Error> {
            // each by itself: parts that are copied take no time beside those that are compressed
            let each = batch.par_iter().with_max_len(1);
            each.map(|group| self.part(form, group, &published, path)).collect()
        };
        let mut waiting = Vec::new();
        // so many at a time as keep all threads busy, also with what is written meanwhile; memory does not grow with the
        // index
        for batch in groups.chunks(PARTS_AT_A_TIME * rayon::current_num_threads()) {
            let (made, written) = rayon::join(|| make(batch), || write(std::mem::take(&mut waiting)));
            written?;
            waiting = made?;
        }
        write(waiting)?;
        out.write_all(&form.trailer(&parts)).at("write", path)?;
        Ok(parts)
    }

    fn part(
        &self,
        form: Joined,
        group: &Group,
        published: &PublishedParts<'_>,
        path: &Path,
    ) -> Result<(Part, Vec<u8>), Error> {
        if let Some(found) = published.read(&group.id) {
            return Ok(found);
        }
        let mut text = Vec::new();
        for block in &group.blocks {
            text.extend_from_slice(&(self.read)(block)?);
        }
        let (bytes, padding_bytes) = form.compress(&text).at("compress", path)?;
        let part = Part {
            group: group.id,
            digest: Sha256::of(&bytes),
            size_bytes: bytes.len() as u64,
            text_bytes: text.len() as u64,
            padding_bytes,
        };
        Ok((part, bytes))
    }
}

impl Group {
    fn new(blocks: Vec<BlockId>) -> Self {
        let mut ids = Vec::with_capacity(32 * blocks.len());
        for block in &blocks {
            ids.extend_from_slice(block.0.as_bytes());
        }
        Self {
            id: Sha256::of(&ids),
            blocks,
        }
    }
}

/// The parts of the file that is published now, and where they start in it.
struct PublishedParts<'a> {
    file: Option<File>,
    by_group: HashMap<Sha256, (u64, &'a Part)>,
}

impl<'a> PublishedParts<'a> {
    /// A file that is gone or has another size has nothing to copy; it is then all made anew.
    fn open(form: Joined, previous: Option<&Previous<'a>>) -> Self {
        let mut by_group = HashMap::new();
        let mut offset = form.header().len() as u64;
        for part in previous.map_or(&[][..], |previous| previous.parts) {
            by_group.insert(part.group, (offset, part));
            offset = offset.saturating_add(part.size_bytes);
        }
        let file = previous.and_then(|previous| File::open(previous.path).ok());
        let is_whole = |file: &File| {
            file.metadata()
                .is_ok_and(|found| found.is_file() && found.len() >= offset)
        };
        Self {
            file: file.filter(is_whole),
            by_group,
        }
    }

    /// The part of this group, if it is there undamaged.
    fn read(&self, group: &Sha256) -> Option<(Part, Vec<u8>)> {
        let (offset, part) = self.by_group.get(group)?;
        let mut bytes = vec![0; usize::try_from(part.size_bytes).ok()?];
        self.file.as_ref()?.read_exact_at(&mut bytes, *offset).ok()?;
        (Sha256::of(&bytes) == part.digest).then(|| ((*part).clone(), bytes))
    }
}

/// Takes the digests of what is written through it.
struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> HashingWriter<W> {
    fn new(inner: W, kinds: &[DigestKind]) -> Self {
        Self {
            inner,
            hasher: Hasher::of_kinds(kinds),
        }
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn block(number: usize) -> BlockId {
        BlockId(Sha256::of(number.to_string().as_bytes()))
    }

    /// 100 blocks, a group of 10 each; `salt` makes the text of block 42 another.
    fn blocks(salt: usize) -> Vec<(BlockId, u32)> {
        (0..100)
            .map(|number| {
                let level = match number {
                    _ if number % 30 == 0 => 10,
                    _ if number % 10 == 0 => 8,
                    _ => 5,
                };
                (block(if number == 42 { 1000 + salt } else { number }), level)
            })
            .collect()
    }

    fn write(salt: usize, form: Compression, previous: Option<&Previous<'_>>, path: &Path) -> (Written, usize) {
        let reads = AtomicUsize::new(0);
        let read = |id: &BlockId| {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(id.0.to_string().repeat(50).into_bytes())
        };
        let index = IndexText {
            blocks: blocks(salt),
            part_level: 8,
            read: &read,
        };
        let written = write_index(&index, form, previous, path, &[DigestKind::Sha256]).unwrap();
        (written, reads.load(Ordering::Relaxed))
    }

    #[test]
    fn copied_parts_give_the_same_file_as_new_ones() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        for (form, blocks_of_the_changed_group) in
            [(Compression::Gzip, 10), (Compression::Zstd, 10), (Compression::Xz, 30)]
        {
            let (first, reads) = write(1, form, None, &place("first"));
            assert_eq!(reads, 100);
            let previous = Previous {
                path: &place("first"),
                parts: &first.parts,
            };
            let (second, reads) = write(2, form, Some(&previous), &place("second"));
            assert_eq!(reads, blocks_of_the_changed_group);
            assert_eq!(second, write(2, form, None, &place("anew")).0);
            let bytes = std::fs::read(place("second")).unwrap();
            assert!(bytes == std::fs::read(place("anew")).unwrap());
            assert_eq!(second.content.digests.sha256, Sha256::of(&bytes));
            for name in ["first", "second", "anew"] {
                std::fs::remove_file(place(name)).unwrap();
            }
        }
    }

    #[test]
    fn a_damaged_part_is_not_copied() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        let (first, _) = write(1, Compression::Gzip, None, &old);
        OpenOptions::new()
            .write(true)
            .open(&old)
            .unwrap()
            .write_all_at(b"damage", 20)
            .unwrap();
        let previous = Previous {
            path: &old,
            parts: &first.parts,
        };
        let (second, reads) = write(1, Compression::Gzip, Some(&previous), &new);
        assert_eq!(second, first);
        assert_eq!(reads, 10);
    }
}
