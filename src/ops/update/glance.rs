//! Reading an upstream's index with a first look at each package. Most packages of most nights are as they were, and
//! need no second one.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::fsio::{self, AtPath};
use crate::model::{PackageName, PackageType, Version, stanza};

use super::super::Result;

/// The longest index that is read.
const MAX_INDEX_BYTES: u64 = 2 << 30;
/// How much of one is looked at at a time.
const CHUNK_BYTES: u64 = 4 << 20;

/// The few fields that decide whether a package needs a closer look, read without copying the stanza.
#[derive(Debug)]
pub(super) struct Glance {
    pub name: PackageName,
    pub version: Version,
    pub architecture: Option<String>,
}

impl Glance {
    /// Looks at one stanza.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn at(text: &[u8], package_type: PackageType) -> std::result::Result<Self, String> {
        let (mut name, mut version, mut architecture) = (None, None, None);
        for field in stanza::fields(text) {
            let field = field.map_err(|error| error.to_string())?;
            let value = || std::str::from_utf8(field.value).map_err(|_| format!("`{}` is not UTF-8", field.name));
            if field.name.eq_ignore_ascii_case("Package") {
                name = Some(PackageName::new(value()?).map_err(|error| error.to_string())?);
            } else if field.name.eq_ignore_ascii_case("Version") {
                version = Some(Version::new(value()?).map_err(|error| error.to_string())?);
            } else if field.name.eq_ignore_ascii_case("Architecture") {
                architecture = Some(value()?.to_owned());
            }
            if name.is_some() && version.is_some() && (architecture.is_some() || package_type == PackageType::Dsc) {
                break;
            }
        }
        Ok(Self {
            name: name.ok_or("field `Package` is missing")?,
            version: version.ok_or("field `Version` is missing")?,
            architecture,
        })
    }
}

/// A stanza that was looked at.
pub(super) struct Glanced<'a> {
    /// Where it starts in the file, in bytes.
    pub offset: u64,
    pub text: &'a [u8],
    pub glance: std::result::Result<Glance, String>,
}

/// Calls `each` for every stanza of an index, in order, while the next ones are read.
///
/// # Errors
/// The file cannot be read or is too long, or what `each` fails with.
pub(super) fn each_stanza(
    path: &Path,
    package_type: PackageType,
    mut each: impl FnMut(Glanced<'_>) -> Result<()>,
) -> Result<()> {
    let mut reader = ChunkReader::open(path)?;
    let (chunks, read) = mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Some(chunk) = reader.next_chunk().transpose() {
                let chunk = chunk.map(|(offset, bytes)| GlancedChunk::new(offset, bytes, package_type));
                let is_last = chunk.is_err();
                // who does not listen any more has failed already
                if chunks.send(chunk).is_err() || is_last {
                    break;
                }
            }
        });
        for chunk in read {
            let GlancedChunk { offset, bytes, glances } = chunk?;
            for (place, glance) in glances {
                each(Glanced {
                    offset: offset + place.start as u64,
                    text: bytes.get(place).unwrap_or_default(),
                    glance,
                })?;
            }
        }
        Ok(())
    })
}

/// Whole stanzas, and what a look at each has shown.
struct GlancedChunk {
    offset: u64,
    bytes: Vec<u8>,
    glances: Vec<(Range<usize>, std::result::Result<Glance, String>)>,
}

impl GlancedChunk {
    fn new(offset: u64, bytes: Vec<u8>, package_type: PackageType) -> Self {
        let texts: Vec<&[u8]> = stanza::split_stanzas(&bytes).collect();
        let look = |text: &&[u8]| {
            let start = text.as_ptr().addr() - bytes.as_ptr().addr();
            (start..start + text.len(), Glance::at(text, package_type))
        };
        let glances = texts.par_iter().map(look).collect();
        Self { offset, bytes, glances }
    }
}

/// Reads an index in chunks that end where a stanza does.
struct ChunkReader<'a> {
    file: File,
    path: &'a Path,
    /// The start of a stanza that the last chunk did not have whole.
    rest: Vec<u8>,
    read_bytes: u64,
}

impl<'a> ChunkReader<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        Ok(Self {
            file: fsio::open_regular(path)?,
            path,
            rest: Vec::new(),
            read_bytes: 0,
        })
    }

    /// The next whole stanzas and where they start; none at the end.
    fn next_chunk(&mut self) -> Result<Option<(u64, Vec<u8>)>> {
        let mut chunk = std::mem::take(&mut self.rest);
        loop {
            let mut more = (&mut self.file).take(CHUNK_BYTES);
            let count = more.read_to_end(&mut chunk).at("read", self.path)?;
            if count == 0 {
                let offset = self.read_bytes - chunk.len() as u64;
                return Ok((!chunk.is_empty()).then_some((offset, chunk)));
            }
            self.read_bytes = self.read_bytes.saturating_add(count as u64);
            if self.read_bytes > MAX_INDEX_BYTES {
                let problem = format!("longer than {MAX_INDEX_BYTES} bytes");
                Err(io::Error::other(problem)).at("read", self.path)?;
            }
            // one with other line ends becomes a single chunk
            if let Some(end) = memchr::memmem::rfind(&chunk, b"\n\n") {
                self.rest = chunk.split_off(end + 2);
                let offset = self.read_bytes - (chunk.len() + self.rest.len()) as u64;
                return Ok(Some((offset, chunk)));
            }
        }
    }
}
