//! Immutable files under `db/objects`: blocks, roots and plain blobs, each named by what it holds, so that it can be
//! checked whenever it is read and is never written twice.
//!
//! A block is a header and two zstd frames, its table and its text, so that a query reads no text. Roots and blobs are
//! one frame. Each frame ends with a checksum (XXH64), by which damage is noticed in less time than by the SHA-256 in
//! the header. Writing does not sync: [`Objects::sync`] makes all of it durable at once, before anything names it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use rustix::fs::{CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use crate::fsio::{self, AtPath};
use crate::model::Sha256;

use super::blocks::{self, Block, BlockId, BlockRef, Item, Root, RootId, Row};
use super::edit::{self, BlockSource, BlockStore, Change};
use super::error::{Error, Result};
use super::frame::{Unpacked, compress, damaged, decompress};

const BLOCK_MAGIC: &[u8; 8] = b"aptblk1\n";
const HEADER_BYTES: usize = 8 + 32 + 32 + 3 * 8;

/// The object files of one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    directory: Arc<Path>,
}

/// The first bytes of a block's file.
struct Header {
    table_digest: Sha256,
    text_digest: Sha256,
    table_bytes: u64,
    table_frame_bytes: u64,
    text_bytes: u64,
}

impl Header {
    fn block_id(&self) -> BlockId {
        Self::id_of(&[self.table_digest, self.text_digest])
    }

    fn id_of(digests: &[Sha256; 2]) -> BlockId {
        BlockId(Sha256::of(&digests.map(|digest| *digest.as_bytes()).concat()))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = BLOCK_MAGIC.to_vec();
        bytes.extend_from_slice(self.table_digest.as_bytes());
        bytes.extend_from_slice(self.text_digest.as_bytes());
        for length in [self.table_bytes, self.table_frame_bytes, self.text_bytes] {
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(BLOCK_MAGIC)?;
        let (table_digest, rest) = rest.split_first_chunk::<32>()?;
        let (text_digest, rest) = rest.split_first_chunk::<32>()?;
        let (lengths, []) = rest.as_chunks::<8>() else {
            return None;
        };
        let &[table_bytes, table_frame_bytes, text_bytes] = lengths else {
            return None;
        };
        Some(Self {
            table_digest: Sha256::from_bytes(*table_digest),
            text_digest: Sha256::from_bytes(*text_digest),
            table_bytes: u64::from_le_bytes(table_bytes),
            table_frame_bytes: u64::from_le_bytes(table_frame_bytes),
            text_bytes: u64::from_le_bytes(text_bytes),
        })
    }
}

/// A block's file, opened and read up to the end of its table.
struct OpenBlock {
    path: PathBuf,
    file: File,
    header: Header,
    rows: Vec<Row>,
}

impl Objects {
    /// The objects below a database directory; nothing is made there before the first one is put.
    #[must_use]
    pub fn at(database: &Path) -> Self {
        Self {
            directory: database.join("objects").into(),
        }
    }

    /// The directory of the object files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the object of that name is, whether it exists or not.
    pub(super) fn path(&self, name: &Sha256) -> PathBuf {
        let name = name.to_string();
        let (shard, rest) = name.split_at(2);
        self.directory.join(shard).join(rest)
    }

    /// Keeps a block. Durable after the next [`Objects::sync`].
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_block(&self, block: &Block) -> Result<BlockId> {
        let table = blocks::encode_rows(block.rows())?;
        let header = |table_frame_bytes| Header {
            table_digest: Sha256::of(&table),
            text_digest: Sha256::of(block.text()),
            table_bytes: table.len() as u64,
            table_frame_bytes,
            text_bytes: block.text().len() as u64,
        };
        let id = header(0).block_id();
        if self.block(&id).is_ok() {
            self.touch(&id.0)?;
            return Ok(id);
        }
        let table_frame = compress(&table, &self.directory)?;
        let text_frame = compress(block.text(), &self.directory)?;
        let header = header(table_frame.len() as u64).encode();
        self.write(&id.0, &[&header, &table_frame, &text_frame])?;
        Ok(id)
    }

    /// Reads a block and checks all of it.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub fn block(&self, id: &BlockId) -> Result<Block> {
        let mut open = self.open_block(id)?;
        let text_start = (HEADER_BYTES as u64).saturating_add(open.header.table_frame_bytes);
        open.file.seek(SeekFrom::Start(text_start)).at("read", &open.path)?;
        let text = decompress(&mut open.file, open.header.text_bytes, &open.path)?;
        let text = text.checked(&open.header.text_digest, "text", &open.path)?;
        Block::new(open.rows, text).map_err(|error| damaged(&open.path, error.problem))
    }

    /// Reads a block's table and checks it; the text is not read.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub fn block_table(&self, id: &BlockId) -> Result<Vec<Row>> {
        self.open_block(id).map(|open| open.rows)
    }

    /// Reads a block's text and checks it; the table, which takes longer to take apart, is passed over.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub fn block_text(&self, id: &BlockId) -> Result<Vec<u8>> {
        let path = self.path(&id.0);
        let (mut file, header) = open_header(&path, id)?;
        let start = HEADER_BYTES as u64 + header.table_frame_bytes;
        file.seek(SeekFrom::Start(start)).at("read", &path)?;
        decompress(&mut file, header.text_bytes, &path)?.checked(&header.text_digest, "text", &path)
    }

    /// Reads a block and compares the SHA-256 of all of it, as [`Objects::block`] does only where there is no checksum.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub fn verify_block(&self, id: &BlockId) -> Result<()> {
        let block = self.block(id)?;
        let digests = [
            Sha256::of(&blocks::encode_rows(block.rows())?),
            Sha256::of(block.text()),
        ];
        if Header::id_of(&digests) == *id {
            Ok(())
        } else {
            Err(damaged(&self.path(&id.0), "it has another digest"))
        }
    }

    fn open_block(&self, id: &BlockId) -> Result<OpenBlock> {
        let path = self.path(&id.0);
        let (mut file, header) = open_header(&path, id)?;
        let frame = (&mut file).take(header.table_frame_bytes);
        let table = decompress(frame, header.table_bytes, &path)?.checked(&header.table_digest, "table", &path)?;
        let rows = blocks::decode_rows(&table).map_err(|error| damaged(&path, error.problem))?;
        Ok(OpenBlock {
            path,
            file,
            header,
            rows,
        })
    }

    /// Keeps bytes under their SHA-256. Durable after the next [`Objects::sync`].
    ///
    /// # Errors
    /// They cannot be written.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Sha256> {
        let name = Sha256::of(bytes);
        // what a crash left half written is no object: so it counts only if it reads well
        if self.blob(&name).is_ok() {
            self.touch(&name)?;
        } else {
            let frame = compress(bytes, &self.directory)?;
            let length = (bytes.len() as u64).to_le_bytes();
            self.write(&name, &[&length, &frame])?;
        }
        Ok(name)
    }

    /// The bytes of that SHA-256.
    ///
    /// # Errors
    /// They are not there, or damaged.
    pub fn blob(&self, name: &Sha256) -> Result<Vec<u8>> {
        let path = self.path(name);
        let mut file = open_object(&path)?;
        let mut length = [0; 8];
        read_exact(&mut file, &mut length, &path)?;
        let Unpacked { bytes, .. } = decompress(file, u64::from_le_bytes(length), &path)?;
        if Sha256::of(&bytes) == *name {
            Ok(bytes)
        } else {
            Err(damaged(&path, "its content has another digest"))
        }
    }

    /// Makes all objects durable that were put so far.
    ///
    /// # Errors
    /// The file system reports an error.
    pub fn sync(&self) -> Result<()> {
        Ok(fsio::sync_filesystem(&self.directory)?)
    }

    /// Reads a root.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub fn root(&self, id: RootId) -> Result<Root> {
        let bytes = self.blob(&id.0)?;
        Root::decode(&bytes).map_err(|error| damaged(&self.path(&id.0), error.problem))
    }

    /// Reads the root of an index that may have none, being empty.
    ///
    /// # Errors
    /// As [`Objects::root`].
    pub fn root_or_empty(&self, id: Option<RootId>) -> Result<Root> {
        id.map_or_else(|| Ok(Root::default()), |id| self.root(id))
    }

    /// Keeps a root. An empty one has no name. Durable after the next [`Objects::sync`].
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put_root(&self, root: &Root) -> Result<Option<RootId>> {
        if root.is_empty() {
            return Ok(None);
        }
        self.put_blob(&root.encode()?).map(|name| Some(RootId(name)))
    }

    /// Builds an index of items that come in key order, and keeps it. Durable after the next [`Objects::sync`].
    ///
    /// # Errors
    /// The items' source fails, or the objects cannot be written.
    pub fn build_index(&self, items: impl Iterator<Item = Result<Item>>) -> Result<Option<RootId>> {
        self.put_root(&edit::build(self, items)?)
    }

    /// Changes an index, each key getting the item that `item_of` gives or going, and keeps the result. Reads and writes only the blocks
    /// that the keys fall in. Durable after the next [`Objects::sync`].
    ///
    /// # Errors
    /// A block is damaged, or one cannot be written.
    pub fn edit_index<E>(
        &self,
        root: Option<RootId>,
        edits: &BTreeMap<Vec<u8>, Option<E>>,
        item_of: impl for<'e> Fn(&[u8], &'e E) -> Result<Cow<'e, Item>>,
    ) -> Result<Option<RootId>> {
        let old = self.root_or_empty(root)?;
        let new = edit::edit(self, &old, edits, |key, new, _| {
            new.as_ref().map(|new| item_of(key, new)).transpose()
        })?;
        if new == old { Ok(root) } else { self.put_root(&new) }
    }

    /// Calls `each` for every key that differs between two states of an index. Blocks that both have are not read.
    ///
    /// # Errors
    /// A block is damaged, or `each` fails.
    pub fn diff_indexes(
        &self,
        old: Option<RootId>,
        new: Option<RootId>,
        each: impl FnMut(Change<'_>) -> Result<()>,
    ) -> Result<()> {
        if old == new {
            return Ok(());
        }
        edit::diff(self, &self.root_or_empty(old)?, &self.root_or_empty(new)?, each)
    }

    /// The same for keys whose values differ: no text is read, and the items come without.
    ///
    /// # Errors
    /// As [`Objects::diff_indexes`].
    pub fn diff_tables(
        &self,
        old: Option<RootId>,
        new: Option<RootId>,
        each: impl FnMut(Change<'_>) -> Result<()>,
    ) -> Result<()> {
        if old == new {
            return Ok(());
        }
        edit::diff(
            &Tables(self),
            &self.root_or_empty(old)?,
            &self.root_or_empty(new)?,
            each,
        )
    }

    /// The blocks of an index with their text, in order.
    pub fn blocks_of<'a>(&'a self, root: &'a Root) -> impl Iterator<Item = Result<(&'a BlockRef, Block)>> {
        root.blocks()
            .iter()
            .map(|at| self.block(&at.block).map(|block| (at, block)))
    }

    fn write(&self, name: &Sha256, parts: &[&[u8]]) -> Result<()> {
        let path = self.path(name);
        write_unsynced(&self.directory, &path, parts)
    }

    /// Makes an object young again, so that a sweep does not take it for old garbage.
    fn touch(&self, name: &Sha256) -> Result<()> {
        let path = self.path(name);
        let omit = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        };
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: omit,
            last_modification: now,
        };
        rustix::fs::utimensat(CWD, &path, &times, rustix::fs::AtFlags::empty()).at("touch", &path)?;
        Ok(())
    }
}

impl BlockSource for Objects {
    type Error = Error;

    fn load(&self, id: &BlockId) -> Result<Block> {
        self.block(id)
    }

    fn load_all(&self, ids: &[BlockId]) -> Result<Vec<Block>> {
        ids.par_iter().map(|id| self.block(id)).collect()
    }
}

impl BlockStore for Objects {
    fn save(&self, block: &Block) -> Result<BlockId> {
        self.put_block(block)
    }

    fn save_all(&self, blocks: &[Block]) -> Result<Vec<BlockId>> {
        blocks.par_iter().map(|block| self.put_block(block)).collect()
    }
}

/// The same blocks without their texts.
struct Tables<'a>(&'a Objects);

impl BlockSource for Tables<'_> {
    type Error = Error;

    fn load(&self, id: &BlockId) -> Result<Block> {
        Ok(Block::of_table(self.0.block_table(id)?))
    }

    fn load_all(&self, ids: &[BlockId]) -> Result<Vec<Block>> {
        ids.par_iter().map(|id| self.load(id)).collect()
    }
}

/// Opens the file of an object that something names: so it must be there.
fn open_object(path: &Path) -> Result<File> {
    match File::open(path).at("open", path) {
        Err(error) if error.is_not_found() => Err(damaged(path, "it is missing")),
        other => Ok(other?),
    }
}

fn open_header(path: &Path, id: &BlockId) -> Result<(File, Header)> {
    let mut file = open_object(path)?;
    let mut bytes = [0; HEADER_BYTES];
    read_exact(&mut file, &mut bytes, path)?;
    let header = Header::decode(&bytes).ok_or_else(|| damaged(path, "it is no block"))?;
    if header.block_id() == *id {
        Ok((file, header))
    } else {
        Err(damaged(path, "it holds another block"))
    }
}

/// Writes a file in one step, by way of a temporary file in `top`, whose shards are made as needed. Not durable yet.
pub(super) fn write_unsynced(top: &Path, path: &Path, parts: &[&[u8]]) -> Result<()> {
    let shard = fsio::parent(path);
    if !shard.is_dir() {
        fsio::create_dir_all(shard)?;
    }
    let mut file = fsio::temp_file(top)?;
    for part in parts {
        file.write_all(part).at("write", path)?;
    }
    file.persist(path)
        .map_err(|error| error.error)
        .at("rename a temporary file to", path)?;
    Ok(())
}

fn read_exact(file: &mut File, bytes: &mut [u8], path: &Path) -> Result<()> {
    match file.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(damaged(path, "it is cut off")),
        other => Ok(other.at("read", path)?),
    }
}
