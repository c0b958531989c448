//! Files that come in: brought from anywhere into a spool directory on the pool's file system, hashed and read in one
//! pass over one opening, and checked against what was promised about them. Knows no store and no network.

mod ar;
pub mod changes;
pub mod deb;
mod error;
mod limits;
pub mod source;
mod tar;
mod unpack;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use tempfile::{NamedTempFile, TempPath};

use crate::fsio::{self, AtPath};
use crate::model::package::FileName;
use crate::model::stanza::MAX_STANZA_BYTES;
use crate::model::{BinaryControl, FileDigests, Hasher, Promise};

pub use error::{ArchiveError, Error};
pub use limits::Limits;

/// How much is read, hashed and written at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// The longest .dsc or .changes: the longest stanza and its signature.
const MAX_CONTROL_FILE_BYTES: u64 = MAX_STANZA_BYTES as u64 + (1 << 20);

/// Where a file comes from.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// A path that the user named; symbolic links are followed.
    Path(&'a Path),
    /// A file that a .dsc or .changes in this directory names; it must be there, a link out of it is refused.
    In(&'a Path, &'a FileName),
}

impl Place<'_> {
    fn path(self) -> PathBuf {
        match self {
            Self::Path(path) => path.to_owned(),
            Self::In(directory, name) => directory.join(name.as_str()),
        }
    }

    fn open(self) -> Result<File, Error> {
        // a pipe that nobody writes to must not hold the archive up
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let path = self.path();
        let opened = match self {
            Self::Path(path) => rustix::fs::open(path, flags, Mode::empty()),
            Self::In(directory, name) => open_beneath(directory, name, flags),
        };
        let file = match opened {
            Ok(handle) => File::from(handle),
            Err(rustix::io::Errno::XDEV | rustix::io::Errno::LOOP) => return Err(Error::LeavesDirectory { path }),
            Err(errno) => Err(errno).at("open", &path)?,
        };
        if file.metadata().at("read", &path)?.is_file() {
            Ok(file)
        } else {
            Err(Error::NotRegular { path })
        }
    }
}

impl<'a> From<&'a Path> for Place<'a> {
    fn from(path: &'a Path) -> Self {
        Self::Path(path)
    }
}

fn open_beneath(directory: &Path, name: &FileName, flags: OFlags) -> rustix::io::Result<rustix::fd::OwnedFd> {
    let directory = rustix::fs::open(directory, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&directory, name.as_str(), flags, Mode::empty(), resolve) {
        // an old kernel, or a container that does not know the call: then no link at all
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            rustix::fs::openat(&directory, name.as_str(), flags | OFlags::NOFOLLOW, Mode::empty())
        }
        opened => opened,
    }
}

/// A file in the spool with its digests; dropping it removes the file.
#[derive(Debug)]
pub struct SpooledFile {
    /// Where it came from; empty for one that has waited.
    pub origin: PathBuf,
    /// Its size and digests.
    pub content: FileDigests,
    spooled: TempPath,
}

impl SpooledFile {
    /// One that was left with [`Self::keep`], of which this is known.
    ///
    /// # Errors
    /// The path is empty.
    pub fn waiting(path: PathBuf, content: FileDigests) -> Result<Self, fsio::Error> {
        Ok(Self {
            origin: PathBuf::new(),
            content,
            spooled: TempPath::try_from_path(&path).at("take over", &path)?,
        })
    }

    /// Where it is now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.spooled
    }

    /// Leaves the file where it is, for a later run.
    ///
    /// # Errors
    /// The system does not let it be.
    pub fn keep(self) -> Result<(), fsio::Error> {
        let path = self.spooled.to_path_buf();
        self.spooled
            .keep()
            .map(drop)
            .map_err(|error| error.error)
            .at("keep", &path)
    }

    /// Moves it to `target` on the same file system, in one step into the place of a file that is there.
    ///
    /// # Errors
    /// The directory is missing, or cannot be written; the file is then removed from the spool.
    pub fn install(self, target: &Path) -> Result<(), fsio::Error> {
        self.spooled
            .persist(target)
            .map_err(|error| error.error)
            .at("move a new file to", target)
    }
}

/// A .deb or .udeb in the spool, read.
#[derive(Debug)]
pub struct IncomingDeb {
    /// The file.
    pub file: SpooledFile,
    /// Its control file.
    pub control: BinaryControl,
    /// Its paths for Contents, see [`deb::Deb::paths`].
    pub paths: Vec<Vec<u8>>,
    /// How many paths no Contents can list, see [`deb::Deb::unlistable_paths`].
    pub unlistable_paths: u64,
}

/// A .dsc or .changes in the spool, with its text, from which nobody has taken the signature yet.
#[derive(Debug)]
pub struct IncomingControl {
    /// The file.
    pub file: SpooledFile,
    /// Its text.
    pub text: Vec<u8>,
}

/// Brings files into the spool.
#[derive(Debug, Clone)]
pub struct Intake {
    spool: PathBuf,
    with_sha512: bool,
    limits: Limits,
}

impl Intake {
    /// An intake to this directory, which must be there, on the file system of the pool.
    #[must_use]
    pub fn new(spool: &Path) -> Self {
        Self {
            spool: spool.to_owned(),
            with_sha512: false,
            limits: Limits::default(),
        }
    }

    /// The same, computing SHA-512 of every file; otherwise it is computed where it was promised.
    #[must_use]
    pub fn with_sha512(self) -> Self {
        Self {
            with_sha512: true,
            ..self
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Brings in a .deb or .udeb.
    ///
    /// # Errors
    /// [`Error`]: it cannot be read, is not what was promised, or no package.
    pub fn deb<'a>(&self, from: impl Into<Place<'a>>, promise: Option<&Promise>) -> Result<IncomingDeb, Error> {
        let (file, deb) = self.bring(from.into(), promise, |reader| deb::read_deb(reader, &self.limits))?;
        incoming_deb(file, deb)
    }

    /// Takes over a .deb or .udeb that this program wrote into a directory of the pool's file system, without copying
    /// it: nobody else may write to it.
    ///
    /// # Errors
    /// [`Error`]: it cannot be read, is not what was promised, or no package. The file is removed then.
    pub fn adopt_deb(&self, file: TempPath, promise: Option<&Promise>) -> Result<IncomingDeb, Error> {
        let (file, deb) = self.adopt(file, promise, |reader| deb::read_deb(reader, &self.limits))?;
        incoming_deb(file, deb)
    }

    /// Takes over any other file in the same way.
    ///
    /// # Errors
    /// [`Error`]: it cannot be read, or is not what was promised. The file is removed then.
    pub fn adopt_file(&self, file: TempPath, promise: Option<&Promise>) -> Result<SpooledFile, Error> {
        self.adopt(file, promise, |_| ()).map(|(file, ())| file)
    }

    fn adopt<T>(
        &self,
        file: TempPath,
        promise: Option<&Promise>,
        read: impl FnOnce(&mut dyn BufRead) -> T,
    ) -> Result<(SpooledFile, T), Error> {
        let origin = file.to_path_buf();
        let source = Place::Path(&file).open()?;
        let (content, value) = self.read_through((source, &origin), None, promise, read)?;
        let spooled = file;
        Ok((
            SpooledFile {
                origin,
                content,
                spooled,
            },
            value,
        ))
    }

    /// Brings in a .dsc or .changes.
    ///
    /// # Errors
    /// [`Error`]: it cannot be read, is not what was promised, or too long.
    pub fn control<'a>(&self, from: impl Into<Place<'a>>, promise: Option<&Promise>) -> Result<IncomingControl, Error> {
        let mut text = Vec::new();
        let (file, _) = self.bring(from.into(), promise, |reader| {
            // a failure to read is reported by `bring`
            reader.take(MAX_CONTROL_FILE_BYTES + 1).read_to_end(&mut text)
        })?;
        if text.len() as u64 > MAX_CONTROL_FILE_BYTES {
            return Err(Error::TooLong {
                path: file.origin,
                limit_bytes: MAX_CONTROL_FILE_BYTES,
            });
        }
        Ok(IncomingControl { file, text })
    }

    /// Brings in any other file.
    ///
    /// # Errors
    /// [`Error`]: it cannot be read, or is not what was promised.
    pub fn file<'a>(&self, from: impl Into<Place<'a>>, promise: Option<&Promise>) -> Result<SpooledFile, Error> {
        self.bring(from.into(), promise, |_| ()).map(|(file, ())| file)
    }

    /// Copies a file to the spool and hashes it, while `read` looks at the same bytes; it need not read them all.
    fn bring<T>(
        &self,
        from: Place<'_>,
        promise: Option<&Promise>,
        read: impl FnOnce(&mut dyn BufRead) -> T,
    ) -> Result<(SpooledFile, T), Error> {
        let source = from.open()?;
        let origin = from.path();
        let spooled = self.spool_file()?;
        let spool = Some((spooled.as_file(), spooled.path()));
        let (content, value) = self.read_through((source, &origin), spool, promise, read)?;
        let spooled = spooled.into_temp_path();
        Ok((
            SpooledFile {
                origin,
                content,
                spooled,
            },
            value,
        ))
    }

    /// A new file in the spool. Each thread has a directory of its own there, as the kernel lets one at a time make files
    /// in a directory.
    fn spool_file(&self) -> Result<NamedTempFile, fsio::Error> {
        let thread = rayon::current_thread_index().filter(|thread| *thread > 0);
        let Some(thread) = thread else {
            return fsio::temp_file(&self.spool);
        };
        let directory = self.spool.join(thread.to_string());
        match fsio::temp_file(&directory) {
            Err(error) if error.is_not_found() && self.spool.is_dir() => {
                fsio::create_dir_all(&directory)?;
                fsio::temp_file(&directory)
            }
            made => made,
        }
    }

    /// Hashes a file, and copies it if there is a spool file, while `read` looks at the same bytes.
    fn read_through<T>(
        &self,
        (source, origin): (File, &Path),
        spool: Option<(&File, &Path)>,
        promise: Option<&Promise>,
        read: impl FnOnce(&mut dyn BufRead) -> T,
    ) -> Result<(FileDigests, T), Error> {
        let size_bytes = source.metadata().at("read", origin)?.len();
        let with_sha512 = self.with_sha512 || promise.is_some_and(|promise| promise.sha512.is_some());
        let mut tee = Tee {
            source: source.take(size_bytes.saturating_add(1)),
            origin,
            spool,
            hasher: if with_sha512 {
                Hasher::with_sha512()
            } else {
                Hasher::default()
            },
            failure: None,
        };
        // most files are small, and there are many
        let chunk_bytes = usize::try_from(size_bytes.saturating_add(1)).map_or(CHUNK_BYTES, |all| all.min(CHUNK_BYTES));
        let value = read(&mut BufReader::with_capacity(chunk_bytes, &mut tee));
        let content = tee.finish(chunk_bytes)?;
        if content.size_bytes != size_bytes {
            return Err(Error::Changed {
                path: origin.to_owned(),
            });
        }
        let differences = promise.map(|promise| promise.broken_by(&content)).unwrap_or_default();
        if !differences.is_empty() {
            return Err(Error::Mismatch {
                path: origin.to_owned(),
                differences,
            });
        }
        Ok((content, value))
    }
}

fn incoming_deb(file: SpooledFile, deb: Result<deb::Deb, ArchiveError>) -> Result<IncomingDeb, Error> {
    let deb = deb.map_err(|source| Error::Archive {
        path: file.origin.clone(),
        source,
    })?;
    Ok(IncomingDeb {
        file,
        control: deb.control,
        paths: deb.paths,
        unlistable_paths: deb.unlistable_paths,
    })
}

/// The paths for Contents in a .deb that is in the pool already.
///
/// # Errors
/// [`Error`]: it cannot be read, or is no package.
pub fn paths_in_deb(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let file = Place::Path(path).open()?;
    let deb = deb::read_deb(BufReader::with_capacity(CHUNK_BYTES, file), &Limits::default());
    let path = path.to_owned();
    Ok(deb.map_err(|source| Error::Archive { path, source })?.paths)
}

/// A reader that hashes all that is read through it, and writes it to the spool if there is a file for it.
struct Tee<'a> {
    source: io::Take<File>,
    origin: &'a Path,
    spool: Option<(&'a File, &'a Path)>,
    hasher: Hasher,
    failure: Option<fsio::Error>,
}

impl Tee<'_> {
    /// Takes in what nobody has read yet.
    fn finish(mut self, chunk_bytes: usize) -> Result<FileDigests, Error> {
        let mut buffer = vec![0; chunk_bytes];
        while self.failure.is_none() && self.step(&mut buffer)? > 0 {}
        match self.failure {
            Some(failure) => Err(failure.into()),
            None => Ok(self.hasher.finish()),
        }
    }

    fn step(&mut self, buffer: &mut [u8]) -> Result<usize, fsio::Error> {
        let count = loop {
            match self.source.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.at("read", self.origin)?,
            }
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        if let Some((mut spool, path)) = self.spool {
            spool.write_all(bytes).at("write", path)?;
        }
        self.hasher.update(bytes);
        Ok(count)
    }
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.step(buffer).map_err(|failure| {
            // kept for `finish`: the reader of this stream would wrap it beyond recognition
            self.failure = Some(failure);
            io::Error::other("the file cannot be copied to the spool")
        })
    }
}
