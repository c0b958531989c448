//! The whole state as text, and back: the way out, the backup, and the way across a change of format.
//!
//! A dump is deb822: one stanza a package, one a tracked source. A package's stanza has fields of our own first, the
//! last of them `Dump-Files`, and behind them its stanza as the index has it, byte for byte. The first stanza names the
//! format; the last counts the others, so that a dump that was cut off is noticed.
//!
//! ```text
//! Dump-Format: 1
//!
//! Dump-Codename: precise
//! Dump-Component: main
//! Dump-Type: deb
//! Dump-Architecture: amd64
//! Dump-Package: hello 2.10-3
//! Dump-Source: hello 2.10-3
//! Dump-Files:
//!  pool/main/h/hello/hello_2.10-3_amd64.deb 53132 sha256:9a3b… md5:…
//! Package: hello
//! …
//!
//! Dump-Codename: precise
//! Dump-Track: hello 2.10-3
//! Dump-Files:
//!  b pool/main/h/hello/hello_2.10-3_amd64.deb 53132 sha256:9a3b… md5:…
//!
//! Dump-Stanzas: 2
//! ```

use std::fmt::Display;
use std::io::{BufRead, Read, Write};
use std::str::FromStr;

use crate::model::index::PackageType;
use crate::model::{
    ArchivePath, Codename, DigestKind, Digests, Entry, FileDigests, IndexId, IndexKind, ListedPackage, PoolFile,
    Promise, Track, TrackedFile, TrackedKind, stanza,
};

use super::error::{Error, Result};
use super::journal::Provenance;
use super::open::Store;
use super::snapshot::Snapshot;
use super::txn::Commit;

const FORMAT: &str = "1";
const FILES_FIELD: &str = "Dump-Files:";
const KINDS: [TrackedKind; 7] = [
    TrackedKind::AllBinary,
    TrackedKind::ArchBinary,
    TrackedKind::Source,
    TrackedKind::Changes,
    TrackedKind::Log,
    TrackedKind::Buildinfo,
    TrackedKind::Other,
];
/// Room for our own fields beside the longest stanza: a tracked source may have thousands of files.
const MAX_STANZA_BYTES: usize = 2 * stanza::MAX_STANZA_BYTES;
/// How much of a dump waits in memory. A part that is not sorted costs a pass over the index, so it is no small one.
const MAX_WAITING_BYTES: usize = 160 << 20;
/// What a stanza takes in memory beside its text.
const WAITING_STANZA_BYTES: usize = 1 << 10;

impl Snapshot {
    /// Writes the state as text: all packages and tracked sources, but neither history nor what is published.
    ///
    /// # Errors
    /// An index is damaged, or `out` cannot be written.
    pub fn dump(&self, out: &mut impl Write) -> Result<()> {
        let mut count: u64 = 0;
        let mut write = |text: &[u8]| {
            out.write_all(text)
                .map_err(|source| Error::DumpStream { doing: "write", source })
        };
        write(format!("Dump-Format: {FORMAT}\n\n").as_bytes())?;
        for index in self.heads().keys() {
            self.for_each_package(index, |entry, text| {
                count += 1;
                write(package_fields(index, &entry).as_bytes())?;
                write(text)
            })?;
        }
        for codename in self.tracked() {
            for track in self.tracks(codename)? {
                count += 1;
                write(track_stanza(codename, &track).as_bytes())?;
            }
        }
        write(format!("Dump-Stanzas: {count}\n").as_bytes())?;
        out.flush()
            .map_err(|source| Error::DumpStream { doing: "write", source })
    }
}

fn package_fields(index: &IndexId, entry: &Entry) -> String {
    let mut text = format!(
        "Dump-Codename: {}\nDump-Component: {}\nDump-Type: {}\nDump-Architecture: {}\nDump-Package: {} {}\nDump-Source: {} {}\n{FILES_FIELD}\n",
        index.codename,
        index.component,
        index.kind.package_type(),
        index.kind.architecture_word(),
        entry.name,
        entry.version,
        entry.source,
        entry.source_version,
    );
    for file in &entry.files {
        text.push_str(&format!(" {}\n", file_line(file)));
    }
    text
}

fn track_stanza(codename: &Codename, track: &Track) -> String {
    let mut text = format!(
        "Dump-Codename: {codename}\nDump-Track: {} {}\n{FILES_FIELD}\n",
        track.source, track.version
    );
    for tracked in &track.files {
        text.push_str(&format!(" {} {}\n", tracked.kind.letter(), file_line(&tracked.file)));
    }
    text.push('\n');
    text
}

fn file_line(file: &PoolFile) -> String {
    let mut line = format!("{} {}", file.path, file.content.size_bytes);
    for kind in DigestKind::ALL {
        if let Some(hex) = file.content.digests.hex(kind) {
            line.push_str(&format!(" {}:{hex}", kind.to_string().to_ascii_lowercase()));
        }
    }
    line
}

impl Store {
    /// Reads a dump into this archive, which must be empty, as one change.
    ///
    /// # Errors
    /// [`Error::NotEmpty`]; or the dump is malformed or cut off: then nothing has happened.
    pub fn load(&self, reader: &mut impl BufRead, provenance: &Provenance) -> Result<Commit> {
        if !self.is_empty() {
            return Err(Error::NotEmpty);
        }
        let mut txn = self.begin();
        let mut waiting_bytes = 0;
        read_dump(reader, |dumped| {
            waiting_bytes += WAITING_STANZA_BYTES;
            match dumped {
                Dumped::Package(index, package) => {
                    waiting_bytes += package.text.len();
                    txn.put(&index, package);
                }
                Dumped::Track(codename, track) => txn.put_track(&codename, track),
            }
            if waiting_bytes < MAX_WAITING_BYTES {
                return Ok(());
            }
            waiting_bytes = 0;
            txn.settle()
        })?;
        txn.commit(provenance)
    }
}

/// What a stanza of a dump holds.
#[derive(Debug, Clone)]
pub enum Dumped {
    /// A package of an index.
    Package(IndexId, ListedPackage),
    /// A tracked source of a distribution.
    Track(Codename, Track),
}

/// Calls `each` for all that a dump holds.
///
/// # Errors
/// The dump is malformed or cut off, or `each` fails: then what was read of it must not be used.
pub fn read_dump(reader: &mut impl BufRead, mut each: impl FnMut(Dumped) -> Result<()>) -> Result<()> {
    let mut reader = DumpReader { reader, line: 0 };
    let first = reader.stanza()?.unwrap_or_default();
    if first.text != format!("Dump-Format: {FORMAT}\n\n").as_bytes() {
        return Err(first.error(0, format!("must start with `Dump-Format: {FORMAT}` and an empty line")));
    }
    let mut count: u64 = 0;
    while let Some(stanza) = reader.stanza()? {
        if let Some(end) = stanza.text.strip_prefix(b"Dump-Stanzas: ") {
            let is_all = String::from_utf8_lossy(end).trim_end() == count.to_string();
            if !is_all || reader.stanza()?.is_some() {
                return Err(stanza.error(0, format!("{count} stanzas are before this line, or some after it")));
            }
            return Ok(());
        }
        each(stanza.read()?)?;
        count += 1;
    }
    Err(Error::Dump {
        line: reader.line,
        problem: "it is cut off: no `Dump-Stanzas` at its end".into(),
    })
}

struct DumpReader<'a, R> {
    reader: &'a mut R,
    line: u64,
}

/// A stanza of a dump, its empty line included.
#[derive(Default)]
struct DumpStanza {
    text: Vec<u8>,
    first_line: u64,
}

impl<R: BufRead> DumpReader<'_, R> {
    fn stanza(&mut self) -> Result<Option<DumpStanza>> {
        let mut stanza = DumpStanza {
            text: Vec::new(),
            first_line: self.line + 1,
        };
        loop {
            let before = stanza.text.len();
            let room = (MAX_STANZA_BYTES - before) as u64;
            let read = self.reader.take(room).read_until(b'\n', &mut stanza.text);
            read.map_err(|source| Error::DumpStream { doing: "read", source })?;
            let line = stanza.text.get(before..).unwrap_or_default();
            if line.is_empty() && room > 0 {
                return Ok((before > 0).then_some(stanza));
            }
            self.line += 1;
            if !line.ends_with(b"\n") {
                let problem = "is longer than a line may be, or cut off".to_owned();
                return Err(stanza.error(self.line - stanza.first_line, problem));
            }
            if line == b"\n" {
                return Ok(Some(stanza));
            }
        }
    }
}

impl DumpStanza {
    fn error(&self, line: u64, problem: impl Into<String>) -> Error {
        Error::Dump {
            line: self.first_line + line,
            problem: problem.into(),
        }
    }

    fn read(&self) -> Result<Dumped> {
        let mut fields = Fields {
            rest: &self.text,
            line: 0,
        };
        Self::parse(&mut fields).map_err(|problem| self.error(fields.line.saturating_sub(1), problem))
    }

    fn parse(fields: &mut Fields<'_>) -> Result<Dumped, String> {
        let codename: Codename = fields.value("Dump-Codename")?;
        if let Some(track) = fields.field("Dump-Track") {
            let (source, version) = pair(track?)?;
            let mut files = Vec::new();
            for line in fields.files()? {
                let (letter, file) = line.split_once(' ').ok_or("a file without its letter")?;
                let kind = KINDS.into_iter().find(|kind| letter.chars().eq([kind.letter()]));
                let kind = kind.ok_or_else(|| format!("`{letter}` is no kind of tracked file"))?;
                let file = parse_file(file)?;
                files.push(TrackedFile { file, kind });
            }
            if fields.rest != b"\n" {
                return Err("an empty line must follow the files".into());
            }
            let track = Track { source, version, files };
            return Ok(Dumped::Track(codename, track));
        }
        let component = fields.value("Dump-Component")?;
        let package_type = fields.value("Dump-Type")?;
        let architecture = fields.text("Dump-Architecture")?;
        let kind = match package_type {
            PackageType::Deb => IndexKind::Deb(parse(architecture)?),
            PackageType::Udeb => IndexKind::Udeb(parse(architecture)?),
            PackageType::Dsc => IndexKind::Source,
        };
        let (name, version) = pair(fields.text("Dump-Package")?)?;
        let (source, source_version) = pair(fields.text("Dump-Source")?)?;
        let files = fields.files()?.into_iter().map(parse_file).collect::<Result<_, _>>()?;
        let entry = Entry {
            name,
            version,
            source,
            source_version,
            files,
        };
        let text = fields.rest.to_vec();
        let index = IndexId {
            codename,
            component,
            kind,
        };
        Ok(Dumped::Package(index, ListedPackage { entry, text }))
    }
}

/// Our own fields at the start of a stanza; each stands on one line and in its place.
struct Fields<'a> {
    rest: &'a [u8],
    line: u64,
}

impl<'a> Fields<'a> {
    fn line(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b'\n', self.rest).map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.line += 1;
        line.trim_ascii_end()
    }

    /// The value of the next field if it has that name.
    fn field(&mut self, name: &str) -> Option<Result<&'a str, String>> {
        let after = self.rest.strip_prefix(name.as_bytes())?;
        after.strip_prefix(b":")?;
        let line = self.line();
        let value = line.get(name.len() + 1..).unwrap_or_default().trim_ascii();
        Some(std::str::from_utf8(value).map_err(|error| error.to_string()))
    }

    fn text(&mut self, name: &str) -> Result<&'a str, String> {
        self.field(name).unwrap_or_else(|| {
            self.line += 1;
            Err(format!("must be the field `{name}`"))
        })
    }

    fn value<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<T, String> {
        parse(self.text(name)?)
    }

    fn files(&mut self) -> Result<Vec<&'a str>, String> {
        self.text(FILES_FIELD.trim_end_matches(':'))?;
        let mut lines = Vec::new();
        while self.rest.first() == Some(&b' ') {
            let line = std::str::from_utf8(self.line()).map_err(|error| error.to_string())?;
            lines.push(line.trim_start());
        }
        Ok(lines)
    }
}

fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn pair<A: FromStr<Err: Display>, B: FromStr<Err: Display>>(text: &str) -> Result<(A, B), String> {
    let (first, second) = text.split_once(' ').ok_or("must be a name and a version")?;
    Ok((parse(first)?, parse(second)?))
}

fn parse_file(line: &str) -> Result<PoolFile, String> {
    let mut words = line.split(' ');
    let path: ArchivePath = parse(words.next().unwrap_or_default())?;
    let size_bytes = parse(words.next().ok_or("a file without its size")?)?;
    let mut promise = Promise::default();
    for word in words {
        let (kind, hex) = word.split_once(':').ok_or("a digest without its kind")?;
        let kind = DigestKind::ALL
            .into_iter()
            .find(|known| known.to_string().eq_ignore_ascii_case(kind))
            .ok_or_else(|| format!("`{kind}` is no kind of digest"))?;
        promise.set(kind, hex).map_err(|error| error.to_string())?;
    }
    Ok(PoolFile {
        path,
        content: FileDigests {
            size_bytes,
            digests: Digests {
                md5: promise.md5,
                sha1: promise.sha1,
                sha256: promise.sha256.ok_or("a file without its SHA-256")?,
                sha512: promise.sha512,
            },
        },
    })
}
