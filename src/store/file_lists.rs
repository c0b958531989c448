//! The paths in each .deb, under the SHA-256 of the .deb. Many lists share one file, a pack: its zstd frames one after
//! another, then a table of them sorted by .deb, then the table's SHA-256 and the number of its rows.
//!
//! A pack never changes. Nothing here is synced and no list is irreplaceable: one that a crash takes, or that is
//! damaged, is read from the .deb again. Making a pack needs no lock; merging and sweeping need the right to write.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::NamedTempFile;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use crate::fsio::{self, AtPath};
use crate::model::Sha256;

use super::error::Result;
use super::frame::unpack;

const SUFFIX: &str = "pack";
const MAGIC: &[u8; 8] = b"aptlist1";
/// SHA-256 of a .deb, offset, length packed and length unpacked.
const ROW_BYTES: usize = 32 + 3 * 8;
/// Magic, number of rows, SHA-256 of the table.
const FOOTER_BYTES: usize = 8 + 8 + 32;
const ZSTD_LEVEL: i32 = 3;
/// No list is longer, packed or not.
const MAX_LIST_BYTES: u64 = 1 << 30;
/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 1 << 20;
/// More packs than this are merged, the small ones first.
const MAX_PACKS: usize = 8;

/// The file lists of one database. Cheap to clone; clones share what is not kept yet.
#[derive(Debug, Clone)]
pub(super) struct FileLists {
    directory: Arc<Path>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    pending: Option<Pending>,
    /// Those that were there when one was last looked for.
    packs: Option<Arc<[Pack]>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("packs", &self.packs)
            .finish_non_exhaustive()
    }
}

/// Where a list is in its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    deb: [u8; 32],
    offset: u64,
    packed_bytes: u64,
    bytes: u64,
}

impl Row {
    fn encode(&self) -> Vec<u8> {
        let mut row = self.deb.to_vec();
        for number in [self.offset, self.packed_bytes, self.bytes] {
            row.extend_from_slice(&number.to_le_bytes());
        }
        row
    }

    fn decode(row: &[u8; ROW_BYTES]) -> Option<Self> {
        let (deb, rest) = row.split_first_chunk::<32>()?;
        let (numbers, []) = rest.as_chunks::<8>() else {
            return None;
        };
        let &[offset, packed_bytes, bytes] = numbers else {
            return None;
        };
        Some(Self {
            deb: *deb,
            offset: u64::from_le_bytes(offset),
            packed_bytes: u64::from_le_bytes(packed_bytes),
            bytes: u64::from_le_bytes(bytes),
        })
    }
}

/// A pack that is being made.
struct Pending {
    file: NamedTempFile,
    written: u64,
    buffer: Vec<u8>,
    rows: Vec<Row>,
    compressor: Compressor<'static>,
}

impl Pending {
    fn begin(directory: &Path) -> Result<Self> {
        if !directory.is_dir() {
            fsio::create_dir_all(directory)?;
        }
        let compressor = Compressor::new(ZSTD_LEVEL).and_then(|mut compressor| {
            compressor.set_parameter(CParameter::ChecksumFlag(true))?;
            Ok(compressor)
        });
        Ok(Self {
            file: fsio::temp_file(directory)?,
            written: 0,
            buffer: Vec::new(),
            rows: Vec::new(),
            compressor: compressor.at("compress a list in", directory)?,
        })
    }

    fn put(&mut self, deb: &Sha256, list: &[u8]) -> Result<()> {
        let frame = self
            .compressor
            .compress(list)
            .at("compress a list in", self.file.path())?;
        self.put_frame(*deb.as_bytes(), &frame, list.len() as u64)
    }

    fn put_frame(&mut self, deb: [u8; 32], frame: &[u8], bytes: u64) -> Result<()> {
        let packed_bytes = frame.len() as u64;
        self.rows.push(Row {
            deb,
            offset: self.written.saturating_add(self.buffer.len() as u64),
            packed_bytes,
            bytes,
        });
        self.buffer.extend_from_slice(frame);
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        self.file.write_all(&self.buffer).at("write", self.file.path())?;
        self.written = self.written.saturating_add(self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }

    /// Gives the pack its name.
    fn keep(mut self, directory: &Path) -> Result<()> {
        // of two lists of one .deb the newer counts
        self.rows.sort_by(|a, b| (a.deb, b.offset).cmp(&(b.deb, a.offset)));
        self.rows.dedup_by_key(|row| row.deb);
        let table: Vec<u8> = self.rows.iter().flat_map(Row::encode).collect();
        let digest = Sha256::of(&table);
        self.buffer.extend_from_slice(&table);
        self.buffer.extend_from_slice(MAGIC);
        self.buffer.extend_from_slice(&(self.rows.len() as u64).to_le_bytes());
        self.buffer.extend_from_slice(digest.as_bytes());
        self.write_out()?;
        let path = directory.join(format!("{digest}.{SUFFIX}"));
        match self.file.persist(&path) {
            // a writer that cleared up after a dead one took it for one of that; the lists will be read again
            Err(error) if error.error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.error).at("rename a temporary file to", &path)?,
            Ok(_) => Ok(()),
        }
    }
}

/// A pack that can be read.
#[derive(Debug)]
struct Pack {
    path: PathBuf,
    file: File,
    bytes: u64,
    modified: i64,
    table: Vec<u8>,
}

impl Pack {
    /// None if it is gone, or torn.
    fn open(path: PathBuf) -> Result<Option<Self>> {
        let file = match File::open(&path).at("open", &path) {
            Err(error) if error.is_not_found() => return Ok(None),
            opened => opened?,
        };
        let metadata = file.metadata().at("read", &path)?;
        let bytes = metadata.len();
        let mut footer = [0; FOOTER_BYTES];
        let Some(end) = bytes.checked_sub(FOOTER_BYTES as u64) else {
            return Ok(None);
        };
        file.read_exact_at(&mut footer, end).at("read", &path)?;
        let Some((magic, rest)) = footer.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let Some((rows, digest)) = rest.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let table_bytes = u64::from_le_bytes(*rows).checked_mul(ROW_BYTES as u64);
        let Some((start, table_bytes)) = table_bytes.and_then(|bytes| Some((end.checked_sub(bytes)?, bytes))) else {
            return Ok(None);
        };
        let mut table = vec![0; usize::try_from(table_bytes).unwrap_or(0)];
        file.read_exact_at(&mut table, start).at("read", &path)?;
        let is_whole = magic == MAGIC && Sha256::of(&table).as_bytes() == digest;
        Ok(is_whole.then_some(Self {
            path,
            file,
            bytes,
            modified: metadata.mtime(),
            table,
        }))
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        let (rows, _) = self.table.as_chunks::<ROW_BYTES>();
        rows.iter().filter_map(Row::decode)
    }

    fn find(&self, deb: &Sha256) -> Option<Row> {
        let (rows, _) = self.table.as_chunks::<ROW_BYTES>();
        let at = rows.binary_search_by(|row| row.get(..32).cmp(&Some(deb.as_bytes().as_slice())));
        Row::decode(rows.get(at.ok()?)?)
    }

    fn frame(&self, row: &Row) -> Option<Vec<u8>> {
        if row.packed_bytes > self.bytes || row.bytes > MAX_LIST_BYTES {
            return None;
        }
        let mut frame = vec![0; usize::try_from(row.packed_bytes).ok()?];
        self.file.read_exact_at(&mut frame, row.offset).ok()?;
        Some(frame)
    }
}

impl FileLists {
    /// The lists below a database directory; nothing is made there before the first one is kept.
    pub(super) fn at(database: &Path) -> Self {
        Self {
            directory: database.join("filelists").into(),
            state: Arc::default(),
        }
    }

    /// The directory of the packs.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Adds the paths in a .deb. They outlive this process after the next [`FileLists::keep`].
    pub(super) fn put(&self, deb: &Sha256, paths: &[Vec<u8>]) -> Result<()> {
        let mut sorted: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut list = Vec::new();
        for path in sorted {
            list.extend_from_slice(path);
            list.push(0);
        }
        self.with(|state| {
            let pending = match &mut state.pending {
                Some(pending) => pending,
                none => none.insert(Pending::begin(&self.directory)?),
            };
            pending.put(deb, &list)
        })
    }

    /// Keeps what was put.
    pub(super) fn keep(&self) -> Result<()> {
        self.with(|state| self.keep_pending(state))
    }

    fn keep_pending(&self, state: &mut State) -> Result<()> {
        let Some(pending) = state.pending.take() else {
            return Ok(());
        };
        state.packs = None;
        pending.keep(&self.directory)
    }

    /// The paths in a .deb, sorted; none if they are not known, or what is known is damaged.
    pub(super) fn get(&self, deb: &Sha256) -> Result<Option<Vec<Vec<u8>>>> {
        let packs: Arc<[Pack]> = self.with(|state| -> Result<_> {
            self.keep_pending(state)?;
            Ok(Arc::clone(match &mut state.packs {
                Some(packs) => packs,
                none => none.insert(self.packs()?.into()),
            }))
        })?;
        for pack in packs.iter() {
            if let Some(row) = pack.find(deb)
                && let Some(frame) = pack.frame(&row)
                && let Ok(list) = unpack(&frame, usize::try_from(row.bytes).unwrap_or(0))
                && list.len() as u64 == row.bytes
            {
                // each path ends with a NUL, so the last piece is empty
                let mut paths: Vec<Vec<u8>> = list.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
                paths.pop();
                return Ok(Some(paths));
            }
        }
        Ok(None)
    }

    /// The whole packs, the newest first.
    fn packs(&self) -> Result<Vec<Pack>> {
        let entries = match fs::read_dir(&self.directory).at("read the directory", &self.directory) {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut packs = Vec::new();
        for entry in entries {
            let path = entry.at("read the directory", &self.directory)?.path();
            if path.extension().is_some_and(|extension| extension == SUFFIX) {
                packs.extend(Pack::open(path)?);
            }
        }
        packs.sort_by(|a, b| (b.modified, &b.path).cmp(&(a.modified, &a.path)));
        Ok(packs)
    }

    /// Merges small packs if there are many. Needs the right to write.
    pub(super) fn merge(&self) -> Result<()> {
        self.with(|state| {
            self.keep_pending(state)?;
            let mut packs = self.packs()?;
            if packs.len() <= MAX_PACKS {
                return Ok(());
            }
            packs.sort_by_key(|pack| pack.bytes);
            let mut sum = 0_u64;
            // a pack that is much larger than all before it is not worth copying
            let is_small = |pack: &&Pack| {
                let is_small = sum == 0 || pack.bytes / 2 <= sum;
                sum = sum.saturating_add(pack.bytes);
                is_small
            };
            let small = packs.iter().take_while(is_small).count().max(2);
            packs.truncate(small);
            state.packs = None;
            self.replace(packs, |_| true)
        })
    }

    /// Drops the lists of .debs that are not `kept`, and packs that cannot be read, if they were made before `old`, in
    /// Unix seconds. A pack of which most is kept stays as it is. Returns how many lists went.
    pub(super) fn sweep(&self, old: i64, kept: &BTreeSet<Sha256>) -> Result<u64> {
        self.with(|state| {
            self.keep_pending(state)?;
            state.packs = None;
            let packs = self.packs()?;
            self.remove_strangers(old, &packs)?;
            let mut gone = 0_u64;
            for pack in packs {
                let is_kept = |row: &Row| kept.contains(&Sha256::from_bytes(row.deb));
                let all = pack.rows().count();
                let dead = all.saturating_sub(pack.rows().filter(is_kept).count());
                if dead > 0 && dead.saturating_mul(4) >= all && pack.modified < old {
                    gone = gone.saturating_add(dead as u64);
                    self.replace(vec![pack], is_kept)?;
                }
            }
            Ok(gone)
        })
    }

    /// Makes one pack of several, of the rows that are to stay.
    fn replace(&self, packs: Vec<Pack>, stays: impl Fn(&Row) -> bool) -> Result<()> {
        let mut pending = None;
        for pack in &packs {
            let mut rows: Vec<Row> = pack.rows().filter(&stays).collect();
            rows.sort_by_key(|row| row.offset);
            for row in rows {
                if let Some(frame) = pack.frame(&row) {
                    let pending = match &mut pending {
                        Some(pending) => pending,
                        none => none.insert(Pending::begin(&self.directory)?),
                    };
                    pending.put_frame(row.deb, &frame, row.bytes)?;
                }
            }
        }
        if let Some(pending) = pending {
            pending.keep(&self.directory)?;
        }
        for pack in packs {
            fsio::remove_if_there(&pack.path)?;
        }
        Ok(())
    }

    /// Removes old files that are no whole packs: what a crash left.
    fn remove_strangers(&self, old: i64, packs: &[Pack]) -> Result<()> {
        let whole: BTreeSet<&Path> = packs.iter().map(|pack| pack.path.as_path()).collect();
        for entry in super::garbage::files_in(&self.directory)? {
            let path = entry.path();
            let metadata = entry.metadata().at("read", &path)?;
            if metadata.is_file() && metadata.mtime() < old && !whole.contains(path.as_path()) {
                fsio::remove_if_there(&path)?;
            }
        }
        Ok(())
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        // a panic elsewhere costs at most lists that are read again
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deb(number: u32) -> Sha256 {
        Sha256::of(&number.to_le_bytes())
    }

    fn put(lists: &FileLists, numbers: std::ops::Range<u32>) {
        for number in numbers {
            lists
                .put(
                    &deb(number),
                    &[format!("usr/{number}").into_bytes(), b"etc/\xff a".to_vec()],
                )
                .unwrap();
        }
        lists.keep().unwrap();
    }

    fn packs(directory: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(directory.join("filelists")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn knows(directory: &Path, number: u32) -> bool {
        let list = FileLists::at(directory).get(&deb(number)).unwrap();
        let expected = [b"etc/\xff a".to_vec(), format!("usr/{number}").into_bytes()];
        list.is_some_and(|list| list == expected)
    }

    #[test]
    fn lists_come_back_and_the_newer_counts() {
        let directory = tempfile::tempdir().unwrap();
        let lists = FileLists::at(directory.path());
        assert_eq!(lists.get(&deb(1)).unwrap(), None);
        put(&lists, 0..100);
        assert!((0..100).all(|number| knows(directory.path(), number)));
        assert_eq!(packs(directory.path()).len(), 1);
        lists.put(&deb(7), &[b"a".to_vec(), b"a".to_vec()]).unwrap();
        lists.put(&deb(7), &[]).unwrap();
        assert_eq!(lists.get(&deb(7)).unwrap(), Some(vec![]));
    }

    #[test]
    fn a_torn_pack_knows_nothing_wrong() {
        let directory = tempfile::tempdir().unwrap();
        put(&FileLists::at(directory.path()), 0..1);
        let [pack] = packs(directory.path()).try_into().unwrap();
        let whole = fs::read(&pack).unwrap();
        for length in 0..whole.len() {
            fs::remove_file(&pack).unwrap();
            fsio::write_new(&pack, &whole[..length]).unwrap();
            assert_eq!(
                FileLists::at(directory.path()).get(&deb(0)).unwrap(),
                None,
                "{length} bytes"
            );
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::remove_file(&pack).unwrap();
            fsio::write_new(&pack, &flipped).unwrap();
            let list = FileLists::at(directory.path()).get(&deb(0)).unwrap();
            assert!(list.is_none() || knows(directory.path(), 0), "byte {at}");
        }
    }

    #[test]
    fn many_packs_become_few_and_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let lists = FileLists::at(directory.path());
        for number in 0..60 {
            put(&lists, number..number + 1);
            lists.merge().unwrap();
        }
        assert!(packs(directory.path()).len() <= MAX_PACKS + 1);
        assert!((0..60).all(|number| knows(directory.path(), number)));
    }

    #[test]
    fn lists_of_debs_that_are_gone_go_once_they_are_many() {
        const LATER: i64 = i64::MAX;
        let directory = tempfile::tempdir().unwrap();
        let lists = FileLists::at(directory.path());
        put(&lists, 0..8);
        let kept = |numbers: std::ops::Range<u32>| numbers.map(deb).collect::<BTreeSet<_>>();
        assert_eq!(
            lists.sweep(LATER, &kept(1..8)).unwrap(),
            0,
            "one of eight is not worth the copy"
        );
        assert_eq!(lists.sweep(0, &kept(4..8)).unwrap(), 0, "it is young");
        assert_eq!(lists.sweep(LATER, &kept(4..8)).unwrap(), 4);
        assert!((4..8).all(|number| knows(directory.path(), number)));
        assert!(!(0..4).any(|number| knows(directory.path(), number)));
        assert_eq!(lists.sweep(LATER, &kept(0..0)).unwrap(), 4);
        assert!(packs(directory.path()).is_empty());
    }
}
