//! Dumps that are saved by themselves, below `db/dumps`: `state-SEQUENCE-TIME.zst`, a dump as `dump` writes it in one
//! zstd frame with its checksum. They hold all that is needed to build the database anew, so they rest on no object.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::fsio::unnamed::NewFile;
use crate::fsio::{self, AtPath};

use super::Database;
use super::dump::{Dumped, read_dump};
use super::error::{Error, Result};
use super::garbage::files_in;
use super::snapshot::Snapshot;

/// How many dumps are kept.
const KEPT_DUMPS: usize = 3;
/// The lowest level is three times as fast as the usual one, and a tenth larger.
const ZSTD_LEVEL: i32 = 1;

/// A dump that was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedDump {
    /// The file.
    pub path: PathBuf,
    /// The number of the last change in it.
    pub sequence: u64,
    /// When it was written, in Unix seconds.
    pub unix_seconds: i64,
}

fn directory(database: &Path) -> PathBuf {
    database.join("dumps")
}

/// The saved dumps of the database in a directory, the newest first. The database may be damaged or gone.
///
/// # Errors
/// The directory cannot be read.
pub fn saved_dumps(database: &Path) -> Result<Vec<SavedDump>> {
    let mut dumps: Vec<SavedDump> = files_in(&directory(database))?
        .iter()
        .filter_map(|file| parse_name(&file.path()))
        .collect();
    dumps.sort_by_key(|dump| std::cmp::Reverse((dump.unix_seconds, dump.sequence)));
    Ok(dumps)
}

fn parse_name(path: &Path) -> Option<SavedDump> {
    let name = path.file_name()?.to_str()?;
    let (sequence, time) = name.strip_prefix("state-")?.strip_suffix(".zst")?.split_once('-')?;
    Some(SavedDump {
        path: path.to_owned(),
        sequence: sequence.parse().ok()?,
        unix_seconds: time.parse().ok()?,
    })
}

impl SavedDump {
    /// Calls `each` for all that the dump holds.
    ///
    /// # Errors
    /// It is damaged: then what was read of it must not be used.
    pub fn read(&self, mut each: impl FnMut(Dumped)) -> Result<()> {
        let file = File::open(&self.path).at("open", &self.path)?;
        let unpacked = zstd::Decoder::new(file).map_err(|source| Error::DumpStream { doing: "read", source })?;
        read_dump(&mut BufReader::new(unpacked), |dumped| {
            each(dumped);
            Ok(())
        })
    }
}

impl Database {
    /// Saves a dump of a state at `now` in Unix seconds, if the last one is at least `interval_seconds` older and of
    /// another state; removes all but the last few. Needs no lock: two that are saved at once do each other no harm.
    ///
    /// # Errors
    /// It cannot be written, or an index is damaged: then the dumps are what they were.
    pub fn save_dump(&self, snapshot: &Snapshot, now: i64, interval_seconds: i64) -> Result<()> {
        let old = saved_dumps(self.directory())?;
        let is_due = old.first().is_none_or(|last| {
            last.sequence != snapshot.sequence()
                && !(0..interval_seconds).contains(&now.saturating_sub(last.unix_seconds))
        });
        if !is_due || snapshot.sequence() == 0 {
            return Ok(());
        }
        let directory = directory(self.directory());
        fsio::create_dir_all(&directory)?;
        let path = directory.join(format!("state-{}-{now}.zst", snapshot.sequence()));
        let mut file = NewFile::begin(&directory)?;
        let cannot = |source| Error::DumpStream { doing: "write", source };
        let mut packed = zstd::Encoder::new(file.file(), ZSTD_LEVEL).map_err(cannot)?;
        packed.include_checksum(true).map_err(cannot)?;
        let mut out = BufWriter::with_capacity(256 << 10, packed);
        snapshot.dump(&mut out)?;
        let packed = out.into_inner().map_err(|error| cannot(error.into_error()))?;
        packed.finish().and_then(|file| file.flush()).map_err(cannot)?;
        file.keep(&path)?;
        fsio::sync_dir(&directory)?;
        // one that was written after this clock was put back is not the newest, but it is the last
        for dump in old.iter().skip(KEPT_DUMPS - 1) {
            fsio::remove_if_there(&dump.path)?;
        }
        Self::remove_half_dumps(&directory, now)
    }

    /// Removes what a writer that died has left where files must have names: nobody writes a dump for an hour.
    fn remove_half_dumps(directory: &Path, now: i64) -> Result<()> {
        use std::os::unix::fs::MetadataExt;
        for file in files_in(directory)? {
            let path = file.path();
            let is_temporary = file.file_name().to_string_lossy().starts_with(fsio::TEMPORARY_PREFIX);
            if is_temporary && fs::metadata(&path).is_ok_and(|found| found.mtime() < now - 3600) {
                fsio::remove_if_there(&path)?;
            }
        }
        Ok(())
    }
}
