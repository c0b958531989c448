//! An upstream archive whose Release can be of many kinds, and a server that can be slow, and can tell little of its
//! files.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aptrepo::model::{DigestKind, FileDigests, Hasher};

use super::TestResult;
use super::support::upstream::rfc_date;
use super::support::{Deb, GnupgHome};

/// One distribution with the component main for amd64.
pub struct Site {
    root: PathBuf,
    /// Its path below `dists/`.
    pub suite: String,
    /// The fields of Release but for its date and its files.
    pub fields: String,
    pub date: i64,
    /// The digests in Release.
    pub release_kinds: Vec<DigestKind>,
    /// The digests in Packages.
    pub package_kinds: Vec<DigestKind>,
    /// Whether there is an InRelease; Release and Release.gpg always are.
    pub is_inline: bool,
}

impl Site {
    pub fn new(root: &Path, date: i64) -> Self {
        std::fs::create_dir_all(root).unwrap();
        Self {
            root: root.to_owned(),
            suite: "s".into(),
            fields: "Suite: s\nCodename: s\n".into(),
            date,
            release_kinds: vec![DigestKind::Sha256],
            package_kinds: vec![DigestKind::Sha256],
            is_inline: true,
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn directory(&self) -> PathBuf {
        self.root.join("dists").join(&self.suite)
    }

    /// Makes these its packages, and signs.
    pub fn publish(&self, debs: &[Deb], key: &GnupgHome) -> TestResult {
        let mut packages = String::new();
        for deb in debs {
            let path = format!("pool/{}", deb.file_name());
            let bytes = deb.bytes()?;
            std::fs::create_dir_all(self.root.join("pool"))?;
            std::fs::write(self.root.join(&path), &bytes)?;
            let digests = digests(&bytes);
            write!(packages, "{}Filename: {path}\nSize: {}\n", deb.control(), bytes.len())?;
            for kind in &self.package_kinds {
                let field = if *kind == DigestKind::Md5 {
                    "MD5sum"
                } else {
                    kind.release_field()
                };
                writeln!(packages, "{field}: {}", hex(&digests, *kind))?;
            }
            packages.push('\n');
        }
        let place = self.directory().join("main/binary-amd64");
        std::fs::create_dir_all(&place)?;
        std::fs::write(place.join("Packages"), &packages)?;
        let mut release = format!("{}Date: {}\n", self.fields, rfc_date(self.date));
        let digests = digests(packages.as_bytes());
        for kind in &self.release_kinds {
            writeln!(
                release,
                "{}:\n {} {} main/binary-amd64/Packages",
                kind.release_field(),
                hex(&digests, *kind),
                packages.len()
            )?;
        }
        self.sign(&release, key)
    }

    fn sign(&self, release: &str, key: &GnupgHome) -> TestResult {
        let file = self.directory().join("Release");
        std::fs::write(&file, release)?;
        let file = file.to_string_lossy();
        key.gpg(&["--detach-sign", "--armor", "--output", &format!("{file}.gpg"), &file])?;
        let inline = self.directory().join("InRelease");
        let _ = std::fs::remove_file(&inline);
        if self.is_inline {
            std::fs::write(&inline, key.gpg(&["--clearsign", "--output", "-", &file])?)?;
        }
        Ok(())
    }
}

fn digests(bytes: &[u8]) -> FileDigests {
    let mut hasher = Hasher::of_kinds(&DigestKind::ALL);
    hasher.update(bytes);
    hasher.finish()
}

fn hex(found: &FileDigests, kind: DigestKind) -> String {
    found.digests.hex(kind).unwrap()
}

/// How a server answers.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// Whether it tells nothing but `Last-Modified`.
    pub has_no_etag: bool,
    /// How many bytes of a package it sends in a second.
    pub package_bytes_per_second: Option<usize>,
}

/// A server of one directory.
pub struct Server {
    address: String,
    log: Arc<Mutex<Vec<String>>>,
    manner: Arc<Mutex<Manner>>,
}

impl Server {
    /// Serves `root` until the test ends.
    pub fn start(root: &Path) -> TestResult<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = Self {
            address: format!("http://{}", listener.local_addr()?),
            log: Arc::default(),
            manner: Arc::default(),
        };
        let (root, log, manner) = (root.to_owned(), Arc::clone(&server.log), Arc::clone(&server.manner));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, log, manner) = (root.clone(), Arc::clone(&log), Arc::clone(&manner));
                std::thread::spawn(move || {
                    let _ = converse(&stream, &root, &log, &manner);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Ok(server)
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Sends packages so slowly from now on.
    pub fn slow_down(&self, bytes_per_second: usize) {
        self.behave(Manner {
            package_bytes_per_second: Some(bytes_per_second),
            ..Manner::default()
        });
    }

    /// The requests since the last call, `PATH STATUS`, for a range with its start.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    /// Waits until a path that ends so was asked for, and forgets all requests.
    pub fn wait_for(&self, end: &str) {
        for _ in 0..1000 {
            if self.requests().iter().any(|line| line.contains(end)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        unreachable!("nobody asked for {end}");
    }
}

/// Answers one request after another on a connection.
fn converse(stream: &TcpStream, root: &Path, log: &Mutex<Vec<String>>, manner: &Mutex<Manner>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let path = first.split_whitespace().nth(1).unwrap_or("/").to_owned();
        let mut asked = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) => asked.push((name.to_ascii_lowercase(), value.to_owned())),
                None => break,
            }
        }
        let manner = manner.lock().map(|manner| manner.clone()).unwrap_or_default();
        answer(
            stream,
            &root.join(path.trim_start_matches('/')),
            &asked,
            &manner,
            |note| {
                if let Ok(mut log) = log.lock() {
                    log.push(format!("{path} {note}"));
                }
            },
        )?;
    }
}

fn answer(
    mut stream: &TcpStream,
    file: &Path,
    asked: &[(String, String)],
    manner: &Manner,
    note: impl FnOnce(&str),
) -> std::io::Result<()> {
    let value = |name: &str| {
        asked
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let mut bytes = Vec::new();
    let found = std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes));
    if found.is_err() {
        note("404");
        return write!(stream, "HTTP/1.1 404 -\r\nContent-Length: 0\r\n\r\n");
    }
    let modified = seconds(std::fs::metadata(file)?.modified()?);
    let etag = format!("\"{}\"", hex(&digests(&bytes), DigestKind::Sha256));
    let date = |time: i64| rfc_date(time).replace("UTC", "GMT");
    let mut head = format!(
        "Date: {}\r\nLast-Modified: {}\r\n",
        date(seconds(SystemTime::now())),
        date(modified)
    );
    let is_known = if manner.has_no_etag {
        value("if-modified-since") == Some(&date(modified))
    } else {
        head += &format!("ETag: {etag}\r\n");
        value("if-none-match") == Some(&etag)
    };
    if is_known {
        note("304");
        return write!(stream, "HTTP/1.1 304 -\r\n{head}\r\n");
    }
    let start: Option<usize> =
        value("range").and_then(|range| range.trim_start_matches("bytes=").trim_end_matches('-').parse().ok());
    let whole = bytes.len();
    let status = match start {
        Some(start) if start < whole => {
            head += &format!("Content-Range: bytes {start}-{}/{whole}\r\n", whole - 1);
            bytes.drain(..start);
            note(&format!("206 from {start}"));
            206
        }
        _ => {
            note("200");
            200
        }
    };
    write!(
        stream,
        "HTTP/1.1 {status} -\r\n{head}Content-Length: {}\r\n\r\n",
        bytes.len()
    )?;
    let is_package = file.extension().is_some_and(|extension| extension == "deb");
    match manner.package_bytes_per_second.filter(|_| is_package) {
        None => stream.write_all(&bytes),
        Some(rate) => bytes.chunks((rate / 20).max(1)).try_for_each(|chunk| {
            stream.write_all(chunk)?;
            std::thread::sleep(Duration::from_millis(50));
            Ok(())
        }),
    }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}
