//! Drives `aptrepo::serve` over real sockets as apt, proxies and attackers do.
#![cfg(test)]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aptrepo::fsio::{create_dir_all, swap_directory, write_new};
use aptrepo::serve::{AccessLine, Limits, Served, Server, Stopper};

const RELEASE: &str = "Codename: precise\n";
const DEB: &str = "0123456789";

/// A small archive, served until dropped.
struct Running {
    directory: tempfile::TempDir,
    address: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
    lines: Arc<Mutex<Vec<AccessLine>>>,
}

impl Running {
    fn start(limits: Limits) -> Self {
        // long after every file was written
        Self::start_at(limits, || 4_000_000_000)
    }

    fn start_at(limits: Limits, clock: fn() -> i64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        for path in [
            "out/pool/main/h",
            "published/precise/main",
            "published/.new-precise",
            "out/conf",
        ] {
            create_dir_all(&base.join(path)).unwrap();
        }
        for (path, text) in [
            ("out/pool/main/h/h_1+b1~x.deb", DEB),
            ("out/conf/options", "secret"),
            ("published/precise/Release", RELEASE),
            ("published/precise/main/empty", ""),
            ("published/.new-precise/Release", "secret"),
            ("secret", "secret"),
        ] {
            write_new(&base.join(path), text.as_bytes()).unwrap();
        }
        let served = Served {
            out_dir: base.join("out"),
            dist_dir: base.join("published"),
            clock,
        };
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), served, limits).unwrap();
        let (address, stopper) = (server.address(), server.stopper());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&lines);
        let thread = std::thread::spawn(move || server.run(move |line| log.lock().unwrap().push(line.clone())));
        Self {
            directory,
            address,
            stopper,
            thread: Some(thread),
            lines,
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends a request as it stands, and reads until the server closes.
    fn raw(&self, request: &str) -> Answer {
        self.try_raw(request).unwrap()
    }

    fn try_raw(&self, request: &str) -> std::io::Result<Answer> {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(Answer::parse(&bytes))
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: test/1\r\nConnection: close\r\n{headers}\r\n"
        ))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// The log's line for `path`, once it is there.
    fn line(&self, path: &str) -> AccessLine {
        let start = Instant::now();
        loop {
            if let Some(line) = self.lines.lock().unwrap().iter().find(|line| line.target == path) {
                return line.clone();
            }
            assert!(start.elapsed() < Duration::from_secs(10), "{path} was not logged");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn stop(&mut self) {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        self.stopper.stop();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {text}"));
        Self {
            status: head[9..12].parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
    }
}

fn quick() -> Limits {
    Limits {
        header_time: Duration::from_millis(300),
        stall_time: Duration::from_millis(300),
        grace_time: Duration::from_millis(500),
        ..Limits::default()
    }
}

/// A file that no pair of socket buffers holds.
fn write_large(path: &Path) -> u64 {
    let length = 64 << 20;
    write_new(path, b"").unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
    length
}

#[test]
fn files_come_with_length_type_validators_and_caching() {
    let server = Running::start(Limits::default());
    let answer = server.get("/dists/precise/Release");
    assert_eq!((answer.status, answer.body.as_str()), (200, RELEASE), "{answer:?}");
    for (name, value) in [
        ("Content-Length", "18"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Cache-Control", "no-cache"),
        ("Accept-Ranges", "bytes"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{answer:?}");
    }
    assert!(answer.header("ETag").unwrap().starts_with('"'));
    assert!(answer.header("Last-Modified").unwrap().ends_with(" GMT"));
    assert_eq!(answer.header("Content-Encoding"), None);

    let head = server.ask("HEAD", "/pool/main/h/h_1%2bb1%7ex.deb", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("Content-Length"), Some("10"));
    assert_eq!(server.get("/pool/main/h/h_1+b1~x.deb").body, DEB);
    assert_eq!(server.get("//dists/precise/Release").body, RELEASE);
    let empty = server.get("/dists/precise/main/empty");
    assert_eq!((empty.status, empty.header("Content-Length")), (200, Some("0")));
    assert!(server.get("/").body.contains("<p>"));
}

#[test]
fn the_access_log_has_one_line_a_request() {
    let server = Running::start(Limits::default());
    server.get("/dists/precise/Release?x=%20");
    let line = server.line("/dists/precise/Release?x=%20");
    assert_eq!((line.status, line.sent_bytes, line.method.as_str()), (200, 18, "GET"));
    assert_eq!((line.time, line.user_agent.as_deref()), (4_000_000_000, Some("test/1")));
    server.ask("HEAD", "/nothing", "");
    let line = server.line("/nothing");
    assert_eq!((line.status, line.sent_bytes, line.method.as_str()), (404, 0, "HEAD"));
    assert_eq!(server.lines.lock().unwrap().len(), 2);
}

#[test]
fn parts_of_a_file() {
    let server = Running::start(Limits::default());
    let path = "/pool/main/h/h_1+b1~x.deb";
    let part = server.ask("GET", path, "Range: bytes=4-\r\n");
    assert_eq!((part.status, part.body.as_str()), (206, "456789"));
    assert_eq!(part.header("Content-Range"), Some("bytes 4-9/10"));
    assert_eq!(part.header("Content-Length"), Some("6"));
    let part = server.ask("GET", path, "Range: bytes=-3\r\n");
    assert_eq!((part.status, part.body.as_str()), (206, "789"));
    let beyond = server.ask("GET", path, "Range: bytes=10-\r\n");
    assert_eq!(
        (beyond.status, beyond.header("Content-Range")),
        (416, Some("bytes */10"))
    );
    let several = server.ask("GET", path, "Range: bytes=0-1,4-5\r\n");
    assert_eq!((several.status, several.body.as_str()), (200, DEB));
    let head = server.ask("HEAD", path, "Range: bytes=4-\r\n");
    assert_eq!((head.status, head.header("Content-Length")), (200, Some("10")));
}

#[test]
fn resuming_never_joins_two_states() {
    let server = Running::start(Limits::default());
    let path = "/dists/precise/Release";
    let first = server.get(path);
    let (tag, date) = (
        first.header("ETag").unwrap().to_owned(),
        first.header("Last-Modified").unwrap().to_owned(),
    );
    for validator in [&tag, &date] {
        let part = server.ask("GET", path, &format!("Range: bytes=10-\r\nIf-Range: {validator}\r\n"));
        assert_eq!((part.status, part.body.as_str()), (206, "precise\n"), "{validator}");
    }
    // published anew: same length, another time
    let new = server.path("published/.new");
    create_dir_all(&new).unwrap();
    write_new(&new.join("Release"), b"Codename: trusty_\n").unwrap();
    let file = fs::File::options().write(true).open(new.join("Release")).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified - Duration::from_secs(7200)).unwrap();
    swap_directory(&new, &server.path("published/precise")).unwrap();
    for validator in [&tag, &date] {
        let whole = server.ask("GET", path, &format!("Range: bytes=10-\r\nIf-Range: {validator}\r\n"));
        assert_eq!((whole.status, whole.body.as_str()), (200, "Codename: trusty_\n"));
    }
    // and who has the newer date of the state before is not told that nothing changed
    let again = server.ask("GET", path, &format!("If-Modified-Since: {date}\r\n"));
    assert_eq!(again.status, 200);
}

#[test]
fn what_a_client_has_is_not_sent_again() {
    let server = Running::start(Limits::default());
    let path = "/dists/precise/Release";
    let first = server.get(path);
    for header in [
        format!("If-None-Match: {}", first.header("ETag").unwrap()),
        format!("If-Modified-Since: {}", first.header("Last-Modified").unwrap()),
    ] {
        let answer = server.ask("GET", path, &format!("{header}\r\n"));
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{header}");
        assert_eq!(answer.header("ETag"), first.header("ETag"));
        assert_eq!(answer.header("Cache-Control"), Some("no-cache"));
    }
}

#[test]
fn a_file_of_this_very_second_is_asked_for_again() {
    let server = Running::start_at(Limits::default(), || 0);
    let old = Running::start(Limits::default());
    let path = "/dists/precise/Release";
    let shown = server.get(path).header("Last-Modified").unwrap().to_owned();
    let modified = fs::metadata(server.path("published/precise/Release"))
        .unwrap()
        .modified()
        .unwrap();
    let file = fs::File::options()
        .write(true)
        .open(old.path("published/precise/Release"))
        .unwrap();
    file.set_modified(modified).unwrap();
    let answer = old.ask("GET", path, &format!("If-Modified-Since: {shown}\r\n"));
    assert_eq!(answer.status, 200, "{shown}: {answer:?}");
}

#[test]
fn nothing_else_is_reachable() {
    let server = Running::start(Limits::default());
    let base = server.directory.path();
    symlink("../../secret", base.join("out/pool/escape")).unwrap();
    symlink(base.join("secret"), base.join("published/absolute")).unwrap();
    symlink("../../../conf/options", base.join("out/pool/main/h/conf")).unwrap();
    symlink("../..", base.join("published/up")).unwrap();
    symlink("loop", base.join("published/loop")).unwrap();
    symlink(".new-precise", base.join("published/early")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        base.join("out/pool/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    for path in [
        "/conf/options",
        "/dists/../out/conf/options",
        "/dists/..%2fout/conf/options",
        "/pool/../conf/options",
        "/pool/%2e%2e/conf/options",
        "/pool/main/h/%2E%2E/%2e./%2e./conf/options",
        "/pool/..%5cconf/options",
        "/pool/%252e%252e/conf/options",
        "/dists/.new-precise/Release",
        "/dists/%2enew-precise/Release",
        "/dists/early/Release",
        "/pool/escape",
        "/dists/absolute",
        "/pool/main/h/conf",
        "/dists/up/secret",
        "/dists/up/out/conf/options",
        "/dists/loop",
        "/pool/pipe",
        "/dists",
        "/dists/",
        "/dists/precise",
        "/dists/precise/",
        "/dists/precise/Release/",
        "/dists/precise/Release/x",
        "/pool/nothing",
    ] {
        let answer = server.get(path);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (404, "404 Not Found\n"),
            "{path}"
        );
    }
    let long = server.get(&format!("/pool/{}", "a".repeat(300)));
    assert_eq!(long.status, 404);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let answer = server.ask(method, "/dists/precise/Release", "Content-Length: 0\r\n");
        assert_eq!(
            (answer.status, answer.header("Allow")),
            (405, Some("GET, HEAD")),
            "{method}"
        );
    }
}

#[test]
fn a_suite_is_a_link_to_its_codename() {
    let server = Running::start(Limits::default());
    symlink("precise", server.path("published/stable")).unwrap();
    assert_eq!(server.get("/dists/stable/Release").body, RELEASE);
}

#[test]
fn a_connection_serves_many_requests() {
    let server = Running::start(Limits::default());
    let mut stream = server.connect();
    let request = "GET /dists/precise/Release HTTP/1.1\r\nHost: x\r\n\r\n";
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(RELEASE.as_bytes()) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
    }
    // pipelined, as apt does
    let last = "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(format!("{request}{last}").as_bytes()).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest.matches("HTTP/1.1 ").count(), 2, "{rest}");
    assert_eq!(server.raw("GET /dists/precise/Release HTTP/1.0\r\n\r\n").body, RELEASE);
}

#[test]
fn slow_headers_and_idleness_are_cut_off() {
    let server = Running::start(quick());
    let start = Instant::now();
    let (mut slow, mut idle, mut silent) = (server.connect(), server.connect(), server.connect());
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut drip = slow.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        // a byte now and then, for longer than the test may take
        while start.elapsed() < Duration::from_secs(5) && drip.write_all(b"G").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut bytes = Vec::new();
    for stream in [&mut slow, &mut idle, &mut silent] {
        // closed with or without a word; what counts is that it is closed
        drop(stream.read_to_end(&mut bytes));
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
    dripping.join().unwrap();
}

#[test]
fn a_header_has_a_limit() {
    let server = Running::start(Limits::default());
    let large = format!("X-Filler: {}\r\n", "x".repeat(17_000));
    assert_eq!(server.ask("GET", "/", &large).status, 431);
}

#[test]
fn a_client_that_reads_nothing_loses_its_place() {
    let server = Running::start(Limits {
        connections: 1,
        ..quick()
    });
    let length = write_large(&server.path("out/pool/large"));
    let mut stalled = server.connect();
    stalled
        .write_all(b"GET /pool/large HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    // waits for the one place that there is
    assert_eq!(server.get("/dists/precise/Release").status, 200);
    let line = server.line("/pool/large");
    assert!(line.sent_bytes < length, "{line:?}");
    drop(stalled);
}

#[test]
fn one_address_cannot_take_all_connections() {
    let server = Running::start(Limits {
        connections_per_address: 2,
        ..Limits::default()
    });
    let held = [server.connect(), server.connect()];
    let answer = server.raw("");
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "too many connections from one address\n")
    );
    drop(held);
    let start = Instant::now();
    // a connection that is refused while it sends may be reset
    while !server
        .try_raw("GET / HTTP/1.0\r\n\r\n")
        .is_ok_and(|answer| answer.status == 200)
    {
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_download_under_way_outlives_the_swap_of_its_directory() {
    let server = Running::start(Limits::default());
    let live = server.path("published/precise");
    let length = usize::try_from(write_large(&live.join("Packages"))).unwrap();
    let mut stream = server.connect();
    stream
        .write_all(b"GET /dists/precise/Packages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut start = [0; 1000];
    stream.read_exact(&mut start).unwrap();

    let new = server.path("published/.new");
    create_dir_all(&new).unwrap();
    write_new(&new.join("Packages"), b"new").unwrap();
    swap_directory(&new, &live).unwrap();
    fs::remove_dir_all(&new).unwrap();
    assert_eq!(server.get("/dists/precise/Packages").body, "new");

    let mut all = start.to_vec();
    stream.read_to_end(&mut all).unwrap();
    let head = all.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    assert_eq!(all.len() - head - 4, length);
    assert!(all[head + 4..].iter().all(|byte| *byte == 0));
}

#[test]
fn told_to_stop_the_server_finishes_what_it_began() {
    let mut server = Running::start(Limits {
        grace_time: Duration::from_secs(20),
        ..Limits::default()
    });
    let length = usize::try_from(write_large(&server.path("out/pool/large"))).unwrap();
    let mut stream = server.connect();
    stream
        .write_all(b"GET /pool/large HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    stream.read_exact(&mut [0; 100]).unwrap();
    server.stopper.stop();
    let start = Instant::now();
    while TcpStream::connect(server.address).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(5), "still accepts");
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() + 100 > length, "{} of {length}", rest.len());
    server.thread.take().unwrap().join().unwrap();
}

#[test]
fn told_to_stop_the_server_does_not_wait_for_a_sleeper() {
    let mut server = Running::start(Limits {
        stall_time: Duration::from_secs(60),
        ..quick()
    });
    write_large(&server.path("out/pool/large"));
    let mut stream = server.connect();
    stream
        .write_all(b"GET /pool/large HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    stream.read_exact(&mut [0; 100]).unwrap();
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn told_to_stop_the_server_does_not_wait_for_idle_connections() {
    let mut server = Running::start(Limits::default());
    let (fresh, mut used) = (server.connect(), server.connect());
    used.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    used.read_exact(&mut [0; 100]).unwrap();
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(fresh);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let server = Running::start(Limits::default());
    let served = Served {
        out_dir: server.path("out"),
        dist_dir: server.path("published"),
        clock: || 0,
    };
    let error = Server::bind(server.address, served, Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on `{}`", server.address));
    assert!(error.hint().unwrap().contains("another program listens"));
}
