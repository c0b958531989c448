//! An upstream archive in a directory, written and signed anew for each state, and a small server for it that can
//! misbehave in one way at a time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aptrepo::model::{DigestKind, Hasher};

use super::TestResult;
use super::deb::{Compression, Deb};
use super::gpg::GnupgHome;

/// Changes a file of an index before Release is made: its suffix, and its bytes.
type Spoil = fn(&str, Vec<u8>) -> Vec<u8>;

/// A distribution, `s`, with the component main, for amd64 and i386, kept in `root`.
#[derive(Debug)]
pub struct Upstream {
    root: PathBuf,
    /// Its name.
    pub name: String,
    /// Other files of it, by path.
    pub others: BTreeMap<String, Other>,
    /// `Date` of its Release, in Unix seconds.
    pub date: i64,
    /// More fields of its Release.
    pub fields: String,
    /// What is changed in the text of Packages before Release is made: from, to.
    pub edits: Vec<(String, String)>,
    /// What is changed in the text of Release before it is signed: from, to.
    pub release_edits: Vec<(String, String)>,
    /// The kind of the digests in Release, and in Packages.
    pub digests: (DigestKind, DigestKind),
    /// The forms of each index, beside the plain one.
    pub forms: Vec<Compression>,
    /// What becomes of the files of an index.
    pub spoil: Spoil,
    /// Whether there is InRelease; else Release and Release.gpg.
    pub is_inline: bool,
    /// How `gpg` is to sign.
    pub signing: Vec<String>,
}

impl Upstream {
    pub fn new(root: &Path, date: i64) -> Self {
        Self {
            root: root.to_owned(),
            name: "s".into(),
            others: BTreeMap::new(),
            date,
            fields: String::new(),
            edits: Vec::new(),
            release_edits: Vec::new(),
            digests: (DigestKind::Sha256, DigestKind::Sha256),
            forms: vec![Compression::Gz],
            spoil: |_, bytes| bytes,
            is_inline: true,
            signing: Vec::new(),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of its distribution.
    pub fn suite(&self) -> PathBuf {
        self.root.join("dists").join(&self.name)
    }

    /// Gives it a text that Release lists plain and as `.gz`, and that is there as `.gz` alone.
    pub fn put(&mut self, path: &str, text: &str) -> TestResult {
        let packed = Compression::Gz.pack(text.as_bytes())?;
        self.others.insert(path.into(), Other::new(text).absent());
        self.others.insert(format!("{path}.gz"), Other::new(packed));
        Ok(())
    }

    fn write_others(&self, release: &mut String) -> TestResult {
        for (path, other) in &self.others {
            let file = self.suite().join(path);
            std::fs::create_dir_all(file.parent().unwrap_or(&self.root))?;
            if other.is_there {
                std::fs::write(&file, &other.content)?;
            } else {
                let _ = std::fs::remove_file(&file);
            }
            if other.is_listed {
                let bytes = &other.content;
                writeln!(release, " {} {} {path}", hex(bytes), bytes.len())?;
            }
        }
        Ok(())
    }

    /// Makes these its packages, and signs with a key if there is one. A package's files lie in `pool/NAME/`.
    pub fn publish(&self, debs: &[Deb], key: Option<&GnupgHome>) -> TestResult {
        let (name, date) = (&self.name, rfc_date(self.date));
        let mut release = format!("Suite: {name}\nCodename: {name}\nDate: {date}\n{}", self.fields);
        let (in_release, _) = self.digests;
        writeln!(release, "{}:", in_release.release_field())?;
        for arch in ["amd64", "i386"] {
            let path = format!("main/binary-{arch}/Packages");
            let mut text = String::new();
            for deb in debs.iter().filter(|deb| deb.arch == arch || deb.arch == "all") {
                text.push_str(&self.stanza(deb)?);
            }
            for (from, to) in &self.edits {
                text = text.replace(from, to);
            }
            for form in std::iter::once(Compression::None).chain(self.forms.iter().copied()) {
                let suffix = form.suffix();
                let bytes = (self.spoil)(suffix, form.pack(text.as_bytes())?);
                let file = self.suite().join(format!("{path}{suffix}"));
                std::fs::create_dir_all(file.parent().unwrap_or(&self.root))?;
                std::fs::write(&file, &bytes)?;
                let digest = digest(in_release, &bytes);
                writeln!(release, " {digest} {} {path}{suffix}", bytes.len())?;
            }
        }
        self.write_others(&mut release)?;
        for (from, to) in &self.release_edits {
            release = release.replace(from, to);
        }
        self.sign(&release, key)
    }

    /// Writes this Release, and signs it if there is a key.
    fn sign(&self, release: &str, key: Option<&GnupgHome>) -> TestResult {
        let (plain, inline) = (self.suite().join("Release"), self.suite().join("InRelease"));
        let detached = self.suite().join("Release.gpg");
        let _ = std::fs::remove_file(&inline);
        let _ = std::fs::remove_file(&detached);
        std::fs::write(&plain, release)?;
        let Some(key) = key else { return Ok(()) };
        let (how, to) = if self.is_inline {
            ("--clearsign", &inline)
        } else {
            ("--detach-sign", &detached)
        };
        let mut words: Vec<&str> = self.signing.iter().map(String::as_str).collect();
        let plain = plain.to_string_lossy();
        words.extend(["--output", "-", how, &*plain]);
        Ok(std::fs::write(to, key.gpg(&words)?)?)
    }

    fn stanza(&self, deb: &Deb) -> TestResult<String> {
        let path = format!("pool/{}/{}", deb.name, deb.file_name());
        let bytes = deb.bytes()?;
        let file = self.root.join(&path);
        std::fs::create_dir_all(file.parent().unwrap_or(&self.root))?;
        std::fs::write(&file, &bytes)?;
        let control = deb.control();
        let (before, after) = control.split_once("Description:").unwrap_or((&control, ""));
        Ok(format!(
            "{before}Filename: {path}\nSize: {}\n{}: {}\nDescription:{after}\n",
            bytes.len(),
            self.digests.1.packages_field(),
            digest(self.digests.1, &bytes)
        ))
    }
}

/// A file of an upstream that is no package and no index of packages.
#[derive(Debug, Clone)]
pub struct Other {
    content: Vec<u8>,
    is_listed: bool,
    is_there: bool,
}

impl Other {
    /// One that Release lists, and that is there.
    pub fn new(content: impl Into<Vec<u8>>) -> Self {
        Self {
            content: content.into(),
            is_listed: true,
            is_there: true,
        }
    }

    /// Not there.
    pub fn absent(mut self) -> Self {
        self.is_there = false;
        self
    }

    /// Not listed.
    pub fn unlisted(mut self) -> Self {
        self.is_listed = false;
        self
    }
}

fn digest(kind: DigestKind, bytes: &[u8]) -> String {
    let mut hasher = Hasher::of_kinds(&[kind]);
    hasher.update(bytes);
    let digests = hasher.finish().digests;
    let other = match kind {
        DigestKind::Md5 => digests.md5.map(|digest| digest.to_string()),
        DigestKind::Sha1 => digests.sha1.map(|digest| digest.to_string()),
        DigestKind::Sha512 => digests.sha512.map(|digest| digest.to_string()),
        DigestKind::Sha256 => None,
    };
    other.unwrap_or_else(|| digests.sha256.to_string())
}

/// The SHA-256 of these bytes, as text.
pub fn hex(bytes: &[u8]) -> String {
    digest(DigestKind::Sha256, bytes)
}

/// A date as Release has it.
pub fn rfc_date(unix_seconds: i64) -> String {
    aptrepo::model::release::format_date(unix_seconds)
}

/// How a server misbehaves for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misbehave {
    /// Does so for the first requests only.
    Times(u32, Box<Misbehave>),
    /// Answers with this status.
    Status(u16),
    /// Answers 503, and to be asked again after so many seconds.
    Busy(u64),
    /// Sends only the first bytes, as if that were all.
    Short(usize),
    /// Sends a few more bytes, and announces them.
    Long,
    /// Announces all, sends only the first bytes, and ends the connection; but answers ranges.
    Cut(usize),
    /// Changes a byte.
    Flip,
    /// Sends something else.
    Other(Vec<u8>),
    /// Sends nothing for so long.
    Stall(Duration),
    /// Sends one byte in each such time.
    Drip(Duration),
    /// Redirects to this address.
    Redirect(String),
    /// Sends on and on.
    Endless,
    /// Ends the connection without an answer.
    Reset,
    /// Answers with these bytes and nothing else.
    Raw(&'static str),
    /// Sends this header, too.
    Header(&'static str),
}

type Faults = Arc<Mutex<BTreeMap<String, Misbehave>>>;

/// A server of one directory.
#[derive(Debug)]
pub struct BadServer {
    address: String,
    faults: Faults,
    log: Arc<Mutex<Vec<String>>>,
}

impl BadServer {
    /// Serves `root` until the test ends.
    pub fn start(root: &Path) -> TestResult<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let faults = Faults::default();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (root, known, noted) = (root.to_owned(), Arc::clone(&faults), Arc::clone(&log));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, faults, log) = (root.clone(), Arc::clone(&known), Arc::clone(&noted));
                std::thread::spawn(move || {
                    let _ = converse(&stream, &root, &faults, &log);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Ok(Self { address, faults, log })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Misbehaves from now on for paths that end so.
    pub fn misbehave(&self, end: &str, fault: Misbehave) {
        if let Ok(mut faults) = self.faults.lock() {
            faults.insert(end.to_owned(), fault);
        }
    }

    /// Behaves again.
    pub fn behave(&self) {
        if let Ok(mut faults) = self.faults.lock() {
            faults.clear();
        }
    }

    /// The requests since the last call, `PATH STATUS`.
    pub fn requests(&self) -> Vec<String> {
        self.log
            .lock()
            .map(|mut log| std::mem::take(&mut *log))
            .unwrap_or_default()
    }
}

/// Answers one request after another on a connection.
fn converse(stream: &TcpStream, root: &Path, faults: &Faults, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let path = decoded(first.split_whitespace().nth(1).unwrap_or("/"));
        let (mut etag, mut start) = (None, 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_end();
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "if-none-match" => etag = Some(value.to_owned()),
                "range" => {
                    start = value
                        .trim_start_matches("bytes=")
                        .trim_end_matches('-')
                        .parse()
                        .unwrap_or(0)
                }
                _ => {}
            }
        }
        let fault = faults.lock().ok().and_then(|mut faults| current(&mut faults, &path));
        let file = root.join(path.trim_start_matches('/'));
        let (status, goes_on) = answer(stream, &file, fault, (etag, start))?;
        if let Ok(mut log) = log.lock() {
            log.push(format!("{path} {status}"));
        }
        if !goes_on {
            return Ok(());
        }
    }
}

/// A path without its `%7e` and the like.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        text.push(u8::from_str_radix(code, 16).map_or('%', char::from));
        text.push_str(rest);
    }
    text
}

/// The fault for a path, if it is still to be shown.
fn current(faults: &mut BTreeMap<String, Misbehave>, path: &str) -> Option<Misbehave> {
    let (_, fault) = faults.iter_mut().find(|(end, _)| path.ends_with(end.as_str()))?;
    let Misbehave::Times(left, inner) = fault else {
        return Some(fault.clone());
    };
    *left = left.checked_sub(1)?;
    Some((**inner).clone())
}

/// Answers one request: its status, and whether the connection goes on.
fn answer(
    mut stream: &TcpStream,
    file: &Path,
    fault: Option<Misbehave>,
    (etag, start): (Option<String>, usize),
) -> std::io::Result<(u16, bool)> {
    let mut bytes = Vec::new();
    let found = std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes));
    let tag = format!("\"{}\"", hex(&bytes));
    let mut status = match (&fault, found) {
        (Some(Misbehave::Status(status)), _) => *status,
        (Some(Misbehave::Busy(_)), _) => 503,
        (Some(Misbehave::Redirect(_)), _) => 302,
        (_, Err(_)) => 404,
        (_, Ok(_)) if etag.as_ref() == Some(&tag) => 304,
        (_, Ok(_)) => 200,
    };
    let mut head = format!("ETag: {tag}\r\n");
    match &fault {
        Some(Misbehave::Reset) => return Ok((0, false)),
        Some(Misbehave::Raw(text)) => {
            stream.write_all(text.as_bytes())?;
            return Ok((0, false));
        }
        Some(Misbehave::Endless) => return send_on_and_on(stream),
        Some(fault) => distort(fault, &mut bytes, &mut head),
        None => {}
    }
    if status == 200 && start > 0 && start < bytes.len() {
        status = 206;
        let length = bytes.len();
        head += &format!("Content-Range: bytes {start}-{}/{length}\r\n", length - 1);
        bytes.drain(..start);
    }
    if !matches!(status, 200 | 206) {
        bytes.clear();
    }
    write!(
        stream,
        "HTTP/1.1 {status} -\r\n{head}Content-Length: {}\r\n\r\n",
        bytes.len()
    )?;
    match (&fault, status) {
        (Some(Misbehave::Cut(count)), 200) => {
            bytes.truncate(*count);
            stream.write_all(&bytes)?;
            Ok((status, false))
        }
        (Some(Misbehave::Drip(pause)), 200 | 206) => {
            for byte in bytes {
                stream.write_all(&[byte])?;
                std::thread::sleep(*pause);
            }
            Ok((status, true))
        }
        _ => {
            stream.write_all(&bytes)?;
            Ok((status, true))
        }
    }
}

fn distort(fault: &Misbehave, bytes: &mut Vec<u8>, head: &mut String) {
    match fault {
        Misbehave::Short(count) => bytes.truncate(*count),
        Misbehave::Long => bytes.extend_from_slice(b"and more"),
        Misbehave::Flip => {
            let middle = bytes.len() / 2;
            bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 0xff);
        }
        Misbehave::Other(other) => bytes.clone_from(other),
        Misbehave::Stall(time) => std::thread::sleep(*time),
        Misbehave::Redirect(to) => *head = format!("Location: {to}\r\n"),
        Misbehave::Busy(seconds) => *head = format!("Retry-After: {seconds}\r\n"),
        Misbehave::Header(line) => *head += &format!("{line}\r\n"),
        _ => {}
    }
}

fn send_on_and_on(mut stream: &TcpStream) -> std::io::Result<(u16, bool)> {
    write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let chunk = [b'x'; 65536];
    loop {
        write!(stream, "{:x}\r\n", chunk.len())?;
        stream.write_all(&chunk)?;
        stream.write_all(b"\r\n")?;
    }
}
