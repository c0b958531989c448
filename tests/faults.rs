//! `update` from an upstream that is wrong in one way: nothing changes, the error says what, where and why, and the
//! next run, once the upstream is mended, brings what was missed. And what looks wrong, but must do no harm.
#![expect(clippy::disallowed_methods, reason = "test fixtures need no atomic writes")]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aptrepo::model::DigestKind;
use support::mirror::{DATE, DAY, FIRST, Mirror, SECOND, fingerprint, second_night};
use support::upstream::{BadServer, Misbehave, Upstream, hex};
use support::{Compression, Deb, GnupgHome, TestResult};

/// Makes an upstream wrong.
type Happens = fn(&mut Mirror) -> TestResult;

/// One way in which an upstream goes wrong on the second night.
struct Fault {
    name: &'static str,
    happens: Happens,
    exit_code: i32,
    /// Words of the error: where, why, and what to do, if there is something.
    words: &'static [&'static str],
}

const fn fault(name: &'static str, happens: Happens, exit_code: i32, words: &'static [&'static str]) -> Fault {
    Fault {
        name,
        happens,
        exit_code,
        words,
    }
}

const DEB: &str = "hello_1.1_amd64.deb";
const INDEX: &str = "binary-amd64/Packages.gz";
const INRELEASE: &str = "/dists/s/InRelease`";
const PACKAGES: &str = "/dists/s/main/binary-amd64/Packages.gz`";
const POOLED: &str = "/pool/hello/hello_1.1_amd64.deb`";
const TIMEOUT: &str = "Config: Acquire::http::Timeout=1\n";
const IN_2020: &str = "--faked-system-time=20200101T000000";

fn serve(mirror: &Mirror, end: &str, fault: Misbehave) -> TestResult {
    mirror.server.misbehave(end, fault);
    Ok(())
}

/// The second night, with this changed in its indexes.
fn edited(mirror: &mut Mirror, from: &str, to: &str) -> TestResult {
    mirror.upstream.edits = vec![(from.to_owned(), to.to_owned())];
    mirror.second_night()
}

/// The second night, with this changed in its Release.
fn release_edited(mirror: &mut Mirror, from: &str, to: &str) -> TestResult {
    mirror.upstream.release_edits = vec![(from.to_owned(), to.to_owned())];
    mirror.second_night()
}

/// The second night, with this done to the files of its indexes; Release fits them.
fn spoilt(mirror: &mut Mirror, form: Compression, spoil: fn(&str, Vec<u8>) -> Vec<u8>) -> TestResult {
    mirror.upstream.forms = vec![form];
    mirror.upstream.spoil = spoil;
    mirror.second_night()
}

fn packed(suffix: &str, bytes: &[u8]) -> Vec<u8> {
    let forms = [Compression::Gz, Compression::Xz, Compression::Bz2, Compression::Zstd];
    let form = forms.into_iter().find(|form| form.suffix() == suffix);
    form.unwrap_or(Compression::None).pack(bytes).unwrap_or_default()
}

fn cut_if_packed(suffix: &str, mut bytes: Vec<u8>) -> Vec<u8> {
    if !suffix.is_empty() {
        bytes.truncate(bytes.len() / 2);
    }
    bytes
}

/// In the place of a packed index, many megabytes of nothing.
fn bomb(suffix: &str, bytes: Vec<u8>) -> Vec<u8> {
    if suffix.is_empty() {
        bytes
    } else {
        packed(suffix, &vec![b'\n'; 16 << 20])
    }
}

/// The second night, with another size of its packages in the indexes.
fn sized(mirror: &mut Mirror, size: &str) -> TestResult {
    let real = Deb::new("hello", "1.1").bytes()?.len();
    edited(mirror, &format!("Size: {real}\n"), &format!("Size: {size}\n"))
}

/// The second night, with other bytes in the place of a package; the index fits them.
fn replaced(mirror: &mut Mirror, bytes: &[u8]) -> TestResult {
    let real = Deb::new("hello", "1.1").bytes()?;
    mirror.upstream.edits = vec![
        (format!("Size: {}\n", real.len()), format!("Size: {}\n", bytes.len())),
        (hex(&real), hex(bytes)),
    ];
    mirror.second_night()?;
    Ok(std::fs::write(
        mirror.upstream.root().join("pool/hello").join(DEB),
        bytes,
    )?)
}

/// A new key of another signer.
fn other_key(mirror: &Mirror, options: &[&str], algorithm: &str, expiry: &str) -> TestResult<GnupgHome> {
    let place = mirror.env.root().join("o");
    let _ = std::fs::remove_dir_all(&place);
    Ok(GnupgHome::create_with(&place, options, algorithm, expiry)?)
}

/// The second night, signed by this key, with these options; the key is known, and the rule names it with `sign`.
fn signed_by(mirror: &mut Mirror, key: &GnupgHome, options: &[&str], sign: &str) -> TestResult {
    mirror.import(key)?;
    mirror.rules_for(&format!("{}{sign}", fingerprint(key)?), TIMEOUT)?;
    mirror.upstream.date = DATE + DAY;
    mirror.upstream.signing = options.iter().map(|&word| word.to_owned()).collect();
    mirror.upstream.publish(&second_night(), Some(key))
}

fn sha1_signed(mirror: &mut Mirror, sign: &str) -> TestResult {
    let key = other_key(mirror, &[], "rsa2048", "never")?;
    signed_by(mirror, &key, &["--digest-algo", "SHA1"], sign)
}

fn sha1_bound(mirror: &mut Mirror, sign: &str) -> TestResult {
    let key = other_key(mirror, &["--cert-digest-algo", "SHA1"], "rsa2048", "never")?;
    signed_by(mirror, &key, &[], sign)
}

fn dsa_signed(mirror: &mut Mirror, sign: &str) -> TestResult {
    let strong = [
        "--enable-dsa2",
        "--cert-digest-algo",
        "SHA256",
        "--digest-algo",
        "SHA256",
    ];
    let key = other_key(mirror, &strong, "dsa1024", "never")?;
    signed_by(mirror, &key, &strong, sign)
}

fn expired(mirror: &mut Mirror, lines: &str) -> TestResult {
    mirror.rules(&format!("{TIMEOUT}{lines}"))?;
    mirror.upstream.fields = "Valid-Until: Mon, 21 Sep 2020 00:00:00 UTC\n".into();
    mirror.second_night()
}

/// The second night, with digests of these kinds in Release and in Packages.
fn digested(mirror: &mut Mirror, in_release: DigestKind, in_packages: DigestKind, lines: &str) -> TestResult {
    mirror.rules(&format!("{TIMEOUT}{lines}"))?;
    mirror.upstream.digests = (in_release, in_packages);
    mirror.second_night()
}

/// Changes the text of InRelease behind its signer's back.
fn tampered(mirror: &Mirror, change: impl Fn(String) -> String) -> TestResult {
    let path = mirror.upstream.suite().join("InRelease");
    let text = change(std::fs::read_to_string(&path)?);
    Ok(std::fs::write(path, text)?)
}

const RELEASE_FAULTS: &[Fault] = &[
    fault(
        "a Release that was changed after it was signed",
        |mirror| tampered(mirror, |text| text.replace("Suite: s\n", "Suite: s\nLabel: x\n")),
        250,
        &[INRELEASE, "not made over this text", "try again later"],
    ),
    fault(
        "text behind the signature",
        |mirror| tampered(mirror, |text| text + "\nSuite: s\nLabel: x\n"),
        250,
        &[INRELEASE, "there must be nothing after the signature"],
    ),
    fault(
        "text before the signed text",
        |mirror| tampered(mirror, |text| format!("Suite: s\nLabel: x\n\n{text}")),
        250,
        &[INRELEASE],
    ),
    fault(
        "a Release.gpg that is missing",
        |mirror| {
            mirror.upstream.date = DATE + DAY;
            mirror.upstream.publish(&second_night(), None)
        },
        250,
        &["/dists/s/Release`", "it has no signature"],
    ),
    fault(
        "an InRelease that is not signed",
        |mirror| {
            let suite = mirror.upstream.suite();
            std::fs::copy(suite.join("Release"), suite.join("InRelease"))?;
            Ok(())
        },
        250,
        &[INRELEASE, "it has no signature"],
    ),
    fault(
        "an empty Release.gpg",
        |mirror| {
            mirror.upstream.is_inline = false;
            mirror.second_night()?;
            Ok(std::fs::write(mirror.upstream.suite().join("Release.gpg"), "")?)
        },
        250,
        &["/dists/s/Release`", "signature"],
    ),
    fault(
        "a Release.gpg of another Release",
        |mirror| {
            mirror.upstream.is_inline = false;
            mirror.second_night()?;
            let signature = std::fs::read(mirror.upstream.suite().join("Release.gpg"))?;
            release_edited(mirror, "Suite: s\n", "Suite: s\nLabel: x\n")?;
            Ok(std::fs::write(mirror.upstream.suite().join("Release.gpg"), signature)?)
        },
        250,
        &["/dists/s/Release`", "not made over this text"],
    ),
    fault(
        "a key that nobody knows",
        |mirror| {
            let key = other_key(mirror, &[], "ed25519", "never")?;
            mirror.rules_for(&fingerprint(&key)?, TIMEOUT)?;
            mirror.upstream.date = DATE + DAY;
            mirror.upstream.publish(&second_night(), Some(&key))
        },
        250,
        &[INRELEASE, "by an unknown key", "key import FILE"],
    ),
    fault(
        "a key that is known, but not named by the rule",
        |mirror| {
            let key = other_key(mirror, &[], "ed25519", "never")?;
            signed_by(mirror, &key, &[], "")?;
            mirror.rules(TIMEOUT)
        },
        250,
        &[INRELEASE, "no good signature", "`VerifyRelease` names"],
    ),
    fault(
        "a key that has expired",
        |mirror| {
            let key = other_key(mirror, &[IN_2020], "ed25519", "1y")?;
            signed_by(mirror, &key, &[IN_2020], "")
        },
        250,
        &[INRELEASE, "by a key that expired on 2020-12-31", "--ignore=expiredkey"],
    ),
    fault(
        "a key that is revoked",
        |mirror| {
            let key = other_key(mirror, &[], "ed25519", "never")?;
            signed_by(mirror, &key, &[], "")?;
            key.revoke()?;
            mirror.import(&key)
        },
        250,
        &[INRELEASE, "by a revoked key", "--ignore=revokedkey"],
    ),
    fault(
        "a signature that has expired",
        |mirror| {
            let key = other_key(mirror, &[IN_2020], "ed25519", "never")?;
            signed_by(mirror, &key, &[IN_2020, "--default-sig-expire", "1d"], "")
        },
        250,
        &[INRELEASE, "expired on 2020-01-02", "--ignore=expiredsignature"],
    ),
    fault(
        "a signature over a SHA-1 digest",
        |mirror| sha1_signed(mirror, ""),
        250,
        &[INRELEASE, "too weak", "SHA1", "`VerifyRelease: KEY!`"],
    ),
    fault(
        "a key whose user id is signed over a SHA-1 digest",
        |mirror| sha1_bound(mirror, ""),
        250,
        &[INRELEASE, "too weak", "SHA1", "`VerifyRelease: KEY!`"],
    ),
    fault(
        "a DSA key of 1024 bits",
        |mirror| dsa_signed(mirror, ""),
        250,
        &[INRELEASE, "too weak", "DSA1024", "`VerifyRelease: KEY!`"],
    ),
    fault(
        "a Release that is older than the one accepted before",
        |mirror| {
            mirror.upstream.date = DATE - 2 * DAY;
            mirror.upstream.publish(&second_night(), Some(&mirror.key))
        },
        250,
        &[INRELEASE, "older than the one accepted before", "below lists/"],
    ),
    fault(
        "a Release whose time is over",
        |mirror| expired(mirror, ""),
        250,
        &[INRELEASE, "was valid until Mon, 21 Sep 2020", "`Tolerate: expired`"],
    ),
    fault(
        "a Release of tomorrow",
        |mirror| {
            mirror.upstream.date = DATE + 36_500 * DAY;
            mirror.upstream.publish(&second_night(), Some(&mirror.key))
        },
        250,
        &[INRELEASE, "is in the future", "a clock is wrong"],
    ),
    fault(
        "a Release of another distribution",
        |mirror| release_edited(mirror, "Suite: s\nCodename: s\n", "Suite: t\nCodename: t\n"),
        250,
        &[INRELEASE, "is of another distribution", "`Tolerate: othername`"],
    ),
    fault(
        "a Release that is missing",
        |mirror| serve(mirror, "Release", Misbehave::Status(404)),
        254,
        &["/dists/s/Release`", "answers 404"],
    ),
    fault(
        "a Release that is forbidden",
        |mirror| serve(mirror, "InRelease", Misbehave::Status(401)),
        254,
        &[INRELEASE, "answers 401"],
    ),
    fault(
        "a Release without end",
        |mirror| serve(mirror, "InRelease", Misbehave::Endless),
        254,
        &[INRELEASE, "is longer than 16777216 bytes"],
    ),
    fault(
        "a Release that is no Release",
        |mirror| release_edited(mirror, "SHA256:", "SHA1:\n nonsense\nSHA256:"),
        255,
        &["malformed Release", INRELEASE],
    ),
    fault(
        "a Release that contradicts itself",
        |mirror| {
            let line = format!("SHA256:\n {} 7 main/binary-amd64/Packages\n", "0".repeat(64));
            release_edited(mirror, "SHA256:\n", &line)
        },
        255,
        &["malformed Release", INRELEASE, "twice and differently"],
    ),
    fault(
        "a Release with digests that can be forged",
        |mirror| digested(mirror, DigestKind::Md5, DigestKind::Sha256, ""),
        250,
        &[INRELEASE, "by MD5 alone", "`Tolerate: md5`"],
    ),
    fault(
        "a keyring file that is not there",
        |mirror| mirror.rules_for("upstream.gpg", TIMEOUT),
        254,
        &["$BASE/conf/upstream.gpg", "put the upstream's public key there"],
    ),
    fault(
        "an index that Release does not list",
        |mirror| mirror.rules(&format!("{TIMEOUT}Components: nonsense>main\n")),
        254,
        &[INRELEASE, "lists no `nonsense/binary-amd64/Packages`", "`Components`"],
    ),
];

const INDEX_FAULTS: &[Fault] = &[
    fault(
        "an index with a changed byte",
        |mirror| serve(mirror, INDEX, Misbehave::Flip),
        254,
        &[PACKAGES, "is not what was promised: SHA256 expected", "try again later"],
    ),
    fault(
        "an index that is shorter than promised",
        |mirror| serve(mirror, INDEX, Misbehave::Short(20)),
        254,
        &[PACKAGES, "has 20 bytes; promised were"],
    ),
    fault(
        "an index that is longer than promised",
        |mirror| serve(mirror, INDEX, Misbehave::Long),
        254,
        &[PACKAGES, "bytes; promised were"],
    ),
    fault(
        "an index without end",
        |mirror| serve(mirror, INDEX, Misbehave::Endless),
        254,
        &[PACKAGES, "bytes; promised were"],
    ),
    fault(
        "an index that Release lists and the server has not",
        |mirror| serve(mirror, INDEX, Misbehave::Status(404)),
        254,
        &[PACKAGES, "answers 404"],
    ),
    fault(
        "an index that another one was put in the place of",
        |mirror| {
            serve(
                mirror,
                INDEX,
                Misbehave::Other(b"<html>Log in to this network</html>".into()),
            )
        },
        254,
        &[PACKAGES, "has 35 bytes; promised were"],
    ),
    fault(
        "an index that ends before its end, .gz",
        |mirror| spoilt(mirror, Compression::Gz, cut_if_packed),
        254,
        &["cannot unpack", PACKAGES],
    ),
    fault(
        "an index that ends before its end, .xz",
        |mirror| spoilt(mirror, Compression::Xz, cut_if_packed),
        254,
        &["cannot unpack", "binary-amd64/Packages.xz`"],
    ),
    fault(
        "an index that ends before its end, .bz2",
        |mirror| spoilt(mirror, Compression::Bz2, cut_if_packed),
        254,
        &["cannot unpack", "binary-amd64/Packages.bz2`"],
    ),
    fault(
        "an index that ends before its end, .zst",
        |mirror| spoilt(mirror, Compression::Zstd, cut_if_packed),
        254,
        &["cannot unpack", "binary-amd64/Packages.zst`"],
    ),
    fault(
        "an index of another form than its name says",
        |mirror| {
            spoilt(mirror, Compression::Gz, |suffix, bytes| match suffix {
                "" => bytes,
                _ => packed(".xz", &bytes),
            })
        },
        254,
        &["cannot unpack", PACKAGES],
    ),
    fault(
        "an index that unpacks to more than Release says, .gz",
        |mirror| spoilt(mirror, Compression::Gz, bomb),
        254,
        &[PACKAGES, "is longer than"],
    ),
    fault(
        "an index that unpacks to more than Release says, .xz",
        |mirror| spoilt(mirror, Compression::Xz, bomb),
        254,
        &["binary-amd64/Packages.xz`", "is longer than"],
    ),
    fault(
        "an index that unpacks to more than Release says, .bz2",
        |mirror| spoilt(mirror, Compression::Bz2, bomb),
        254,
        &["binary-amd64/Packages.bz2`", "is longer than"],
    ),
    fault(
        "an index that unpacks to something else",
        |mirror| {
            spoilt(mirror, Compression::Gz, |suffix, bytes| match suffix {
                "" => bytes.iter().map(|byte| byte.to_ascii_uppercase()).collect(),
                _ => bytes,
            })
        },
        254,
        &[PACKAGES, "is not what was promised: SHA256 expected"],
    ),
    fault(
        "an index that is no index",
        |mirror| spoilt(mirror, Compression::None, |_, _| b"\x7fELF\0\0\xff\xfe".into()),
        255,
        &["u_s_main_amd64_Packages"],
    ),
    fault(
        "a stanza that is none",
        |mirror| edited(mirror, "Architecture: amd64\n", "Architecture amd64\n"),
        255,
        &["stanza of `hello`", "no colon", "`ListHook`"],
    ),
    fault(
        "a package without a name",
        |mirror| edited(mirror, "Package: hello\n", "Packet: hello\n"),
        255,
        &["field `Package` is missing"],
    ),
    fault(
        "a package with a name that is none",
        |mirror| edited(mirror, "Package: hello\n", "Package: ../hello\n"),
        255,
        &["../hello"],
    ),
    fault(
        "a package with a version that is none",
        |mirror| edited(mirror, "Version: 1.1\n", "Version: 1/1\n"),
        255,
        &["stanza of `hello`", "1/1"],
    ),
    fault(
        "a package without a digest",
        |mirror| edited(mirror, "SHA256:", "X-Sum:"),
        255,
        &["stanza of `hello`", "no digest"],
    ),
    fault(
        "a package with a digest that can be forged",
        |mirror| digested(mirror, DigestKind::Sha256, DigestKind::Sha1, ""),
        250,
        &["`pool/hello/hello_1.1_amd64.deb`", "by SHA1 alone", "`Tolerate: sha1`"],
    ),
    fault(
        "a package without a file",
        |mirror| edited(mirror, "Filename:", "File:"),
        255,
        &["stanza of `hello`", "field `Filename` is missing"],
    ),
    fault(
        "a package whose file would leave the archive",
        |mirror| edited(mirror, "Filename: pool/hello/", "Filename: ../../etc/"),
        255,
        &["stanza of `hello`", "invalid path", "`..`"],
    ),
    fault(
        "a package whose file has an absolute path",
        |mirror| edited(mirror, "Filename: pool/hello/", "Filename: /etc/"),
        255,
        &["stanza of `hello`", "invalid path"],
    ),
    fault(
        "a package whose file would leave the archive if it were decoded",
        |mirror| edited(mirror, "Filename: pool/hello/", "Filename: pool/%2e%2e/%2e%2e/"),
        254,
        &["/pool/%252e%252e/%252e%252e/hello_1.1_amd64.deb`", "answers 404"],
    ),
    fault(
        "a package with a size that is no number",
        |mirror| sized(mirror, "99999999999999999999"),
        255,
        &["stanza of `hello`", "`Size`"],
    ),
    fault(
        "a package of eight million terabytes",
        |mirror| sized(mirror, "9223372036854775807"),
        255,
        &["stanza of `hello`", "`Size`"],
    ),
];

const PACKAGE_FAULTS: &[Fault] = &[
    fault(
        "a package with a changed byte",
        |mirror| serve(mirror, DEB, Misbehave::Flip),
        254,
        &[POOLED, "is not what was promised: SHA256 expected", "try again later"],
    ),
    fault(
        "a package that is shorter than promised",
        |mirror| serve(mirror, DEB, Misbehave::Short(10)),
        254,
        &[POOLED, "has 10 bytes; promised were"],
    ),
    fault(
        "a package that is longer than promised",
        |mirror| serve(mirror, DEB, Misbehave::Long),
        254,
        &[POOLED, "bytes; promised were"],
    ),
    fault(
        "a package without end",
        |mirror| serve(mirror, DEB, Misbehave::Endless),
        254,
        &[POOLED, "bytes; promised were"],
    ),
    fault(
        "a package that is missing",
        |mirror| serve(mirror, DEB, Misbehave::Status(404)),
        254,
        &[POOLED, "answers 404"],
    ),
    fault(
        "a package that the server has an error with",
        |mirror| serve(mirror, DEB, Misbehave::Status(503)),
        254,
        &[POOLED, "answers 503"],
    ),
    fault(
        "a package with a digest that fits another file",
        |mirror| edited(mirror, &hex(&Deb::new("hello", "1.1").bytes()?), &"0".repeat(64)),
        254,
        &[POOLED, "is not what was promised: SHA256 expected 0000"],
    ),
    fault(
        "a package that is another version than its index says",
        |mirror| edited(mirror, "Version: 1.1\n", "Version: 1.2\n"),
        254,
        &[POOLED, "it is `hello 1.1 amd64`, not `hello 1.2 amd64`", "a filter"],
    ),
    fault(
        "a package that is another one than its index says",
        |mirror| replaced(mirror, &Deb::new("evil", "1.1").bytes()?),
        254,
        &[POOLED, "it is `evil 1.1 amd64`, not `hello 1.1 amd64`"],
    ),
    fault(
        "a package that is no package, with the digest of that",
        |mirror| replaced(mirror, b"<html>Not here</html>"),
        254,
        &[POOLED, "not a Debian package"],
    ),
    fault(
        "a package that ends before its end, with the digest of that",
        |mirror| {
            let bytes = Deb::new("hello", "1.1").bytes()?;
            replaced(mirror, bytes.get(..bytes.len() / 2).unwrap_or_default())
        },
        254,
        &[POOLED, "is no package that can be used"],
    ),
    fault(
        "a package whose files leave the directory that they are unpacked to",
        |mirror| {
            replaced(
                mirror,
                &Deb::new("hello", "1.1").file("../../etc/passwd", b"x").bytes()?,
            )
        },
        254,
        &[POOLED, "no part of a path may be `..`"],
    ),
    fault(
        "two packages of one name and version with different files",
        |mirror| {
            let digest = hex(&Deb::new("hello", "1.1").bytes()?);
            let index = "Package: hello\nVersion: 1.1\nArchitecture: amd64\nMaintainer: x\n\
                         Filename: pool/hello/hello_1.1_amd64.deb\nSize: 7\nDescription: x\nSHA256: ";
            edited(
                mirror,
                "Package: hello\n",
                &format!("{index}{digest}\n\nPackage: hello\n"),
            )
        },
        254,
        &[POOLED, "promised were 7"],
    ),
];

const SERVER_FAULTS: &[Fault] = &[
    fault(
        "a server that sends nothing",
        |mirror| serve(mirror, INDEX, Misbehave::Stall(Duration::from_secs(3))),
        255,
        &[PACKAGES, "cannot get all of"],
    ),
    fault(
        "a server that sends a byte now and then",
        |mirror| serve(mirror, DEB, Misbehave::Drip(Duration::from_millis(300))),
        255,
        &[POOLED, "cannot get all of", "bytes came in 1 seconds"],
    ),
    fault(
        "a server that ends the connection",
        |mirror| serve(mirror, "InRelease", Misbehave::Reset),
        255,
        &[INRELEASE, "cannot get all of"],
    ),
    fault(
        "a server that ends every connection in the midst of a file without telling its length",
        |mirror| {
            let raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello";
            serve(mirror, DEB, Misbehave::Raw(raw))
        },
        255,
        &[POOLED, "cannot get all of"],
    ),
    fault(
        "a server with an error",
        |mirror| serve(mirror, INDEX, Misbehave::Status(503)),
        254,
        &[PACKAGES, "answers 503"],
    ),
    fault(
        "a server that wants to be asked again tomorrow",
        |mirror| serve(mirror, INDEX, Misbehave::Busy(86_400)),
        254,
        &[PACKAGES, "answers 503 and wants to be asked again after 86400 seconds"],
    ),
    fault(
        "a redirect to a method for files of this machine",
        |mirror| serve(mirror, INDEX, Misbehave::Redirect("file:///etc/passwd".into())),
        255,
        &[PACKAGES, "it redirects to `file:`"],
    ),
    fault(
        "a redirect to another method",
        |mirror| serve(mirror, DEB, Misbehave::Redirect("ftp://127.0.0.1/x".into())),
        255,
        &[POOLED, "it redirects to `ftp:`"],
    ),
    fault(
        "a redirect in a circle",
        |mirror| serve(mirror, INDEX, Misbehave::Redirect(format!("/dists/s/main/{INDEX}"))),
        255,
        &[PACKAGES, "too many redirects"],
    ),
    fault(
        "a redirect to nowhere",
        |mirror| serve(mirror, INDEX, Misbehave::Status(302)),
        255,
        &[PACKAGES, "it redirects to nowhere"],
    ),
    fault(
        "a server that does not speak HTTP",
        |mirror| serve(mirror, "InRelease", Misbehave::Raw("220 ftp.example.org ready\r\n")),
        255,
        &[INRELEASE, "cannot get all of", "HTTP"],
    ),
    fault(
        "a header that is none",
        |mirror| {
            let raw = "HTTP/1.1 200 OK\r\nContent-Length: many\r\n: x\r\n\r\nhello";
            serve(mirror, INDEX, Misbehave::Raw(raw))
        },
        255,
        &[PACKAGES, "cannot get all of"],
    ),
    fault(
        "an answer 304 to a question that was not asked",
        |mirror| serve(mirror, DEB, Misbehave::Status(304)),
        254,
        &[POOLED, "answers 304"],
    ),
    fault(
        "a part of a file that was not asked for",
        |mirror| serve(mirror, DEB, Misbehave::Status(206)),
        254,
        &[POOLED, "answers 206"],
    ),
    fault(
        "nobody who listens",
        |mirror| {
            let text = std::fs::read_to_string(mirror.env.base().join("conf/updates"))?;
            mirror
                .env
                .conf("updates", &text.replace(mirror.server.address(), "http://127.0.0.1:9"))
        },
        255,
        &["cannot reach `http://127.0.0.1:9/dists/s/InRelease`", "refused"],
    ),
    fault(
        "a host that there is not",
        |mirror| {
            let text = std::fs::read_to_string(mirror.env.base().join("conf/updates"))?;
            let updates = text.replace(mirror.server.address(), "http://nobody.invalid");
            mirror.env.conf("updates", &updates)
        },
        255,
        &["cannot reach `http://nobody.invalid/dists/s/InRelease`"],
    ),
];

/// An archive after the first night, that can be put back there.
struct Bench {
    mirror: Mirror,
}

impl Bench {
    fn new() -> TestResult<Option<Self>> {
        let Some(mirror) = Mirror::new()? else { return Ok(None) };
        let _ = mirror.update().ok();
        assert_eq!(mirror.env.list("s"), FIRST);
        copy(&mirror.env.base(), &mirror.env.root().join("first"))?;
        Ok(Some(Self { mirror }))
    }

    /// Puts the archive back after its first night, and the upstream before its second.
    fn put_back(&mut self) -> TestResult {
        let (base, first) = (self.mirror.env.base(), self.mirror.env.root().join("first"));
        std::fs::remove_dir_all(&base)?;
        copy(&first, &base)?;
        self.mend()?;
        let root = self.mirror.upstream.root().to_owned();
        std::fs::remove_dir_all(&root)?;
        std::fs::create_dir_all(&root)?;
        self.mirror.second_night()
    }

    fn mend(&mut self) -> TestResult {
        self.mirror.server.behave();
        self.mirror.rules(TIMEOUT)?;
        self.mirror.upstream = Upstream::new(self.mirror.upstream.root(), DATE);
        Ok(())
    }

    /// Shows a fault and mends it; what is not as it should be.
    fn show(&mut self, fault: &Fault) -> TestResult<Vec<String>> {
        self.put_back()?;
        (fault.happens)(&mut self.mirror)?;
        let mut problems = Vec::new();
        let mut must = |is_so: bool, what: &str| {
            if !is_so {
                problems.push(what.to_owned());
            }
        };
        let mirror = &self.mirror;
        let before = mirror.env.tree()?;
        let output = mirror.update();
        must(
            output.status == fault.exit_code,
            &format!("exit code {}", output.status),
        );
        let usual = ["not updated: `s`", "rule `u`"];
        for words in usual.iter().chain(fault.words) {
            must(output.stderr.contains(words), &format!("no `{words}`"));
        }
        let changed = before.differences(&mirror.env.tree()?);
        let changed: Vec<&String> = changed.iter().filter(|line| !line.contains("/.partial/")).collect();
        must(
            changed.iter().all(|line| line.contains(": .partial/")),
            &format!("changed: {changed:?}"),
        );
        must(mirror.env.list("s") == FIRST, "another list");

        self.mend()?;
        self.mirror.upstream.date = DATE + 2 * DAY;
        let mirror = &self.mirror;
        mirror.upstream.publish(&second_night(), Some(&mirror.key))?;
        let healthy = mirror.update();
        must(healthy.status == 0, &format!("the next run: {healthy}"));
        must(mirror.env.list("s") == SECOND, "not the second night");
        must(mirror.env.pool()?.len() == 2, "another pool");
        mirror.env.assert_verified("s")?;
        must(
            leftovers(&mirror.env.base())?.is_empty(),
            &format!("left: {:?}", leftovers(&mirror.env.base())?),
        );
        if !problems.is_empty() {
            problems.push(output.to_string());
        }
        Ok(problems)
    }
}

fn copy(from: &Path, to: &Path) -> TestResult {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    assert!(status.success(), "cp {from:?} {to:?}");
    Ok(())
}

/// Files below `lists/` and `www/` that only a run under way has.
fn leftovers(base: &Path) -> TestResult<Vec<String>> {
    let mut found = Vec::new();
    for below in ["lists", "www"] {
        for entry in std::fs::read_dir(base.join(below))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            found.extend(Some(name).filter(|name| name.starts_with('.')));
        }
    }
    Ok(found)
}

#[test]
fn an_upstream_that_is_wrong_changes_nothing_and_the_next_run_heals() -> TestResult {
    let all = [RELEASE_FAULTS, INDEX_FAULTS, PACKAGE_FAULTS, SERVER_FAULTS];
    let faults: Vec<&Fault> = all.into_iter().flatten().collect();
    let (next, problems) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let Ok(Some(mut bench)) = Bench::new() else { return };
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = bench.show(fault).unwrap_or_else(|error| vec![error.to_string()]);
                    if !found.is_empty()
                        && let Ok(mut problems) = problems.lock()
                    {
                        problems.push(format!("{}: {}", fault.name, found.join("; ")));
                    }
                }
            });
        }
    });
    let problems = problems.into_inner()?;
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    Ok(())
}

#[test]
fn an_upstream_that_cannot_be_reached_fails_only_the_distributions_that_use_it() -> TestResult {
    let Some(mirror) = Mirror::new()? else { return Ok(()) };
    let output = mirror.env.run(["update"]).exits(255);
    assert!(output.stderr.contains("not updated: `other`"), "{output}");
    assert!(output.stderr.contains("update rule `v` fails"), "{output}");
    assert!(
        output
            .stderr
            .contains("cannot reach `http://127.0.0.1:9/dists/other/InRelease`"),
        "{output}"
    );
    assert_eq!(mirror.env.list("s"), FIRST);
    mirror.env.assert_verified("s")?;
    Ok(())
}

/// What may look wrong, or is wrong for a while only, and must not keep the second night away.
const HARMLESS: &[(&str, Happens)] = &[
    ("an error that passes", |mirror| {
        serve(mirror, DEB, Misbehave::Times(2, Box::new(Misbehave::Status(503))))
    }),
    ("a connection that breaks off once", |mirror| {
        serve(mirror, "InRelease", Misbehave::Times(1, Box::new(Misbehave::Reset)))
    }),
    ("a server that is silent once", |mirror| {
        let silence = Misbehave::Stall(Duration::from_secs(3));
        serve(mirror, INDEX, Misbehave::Times(1, Box::new(silence)))
    }),
    ("an index that comes in two pieces", |mirror| {
        serve(mirror, INDEX, Misbehave::Cut(40))
    }),
    ("a package that comes in two pieces", |mirror| {
        serve(mirror, DEB, Misbehave::Cut(40))
    }),
    ("a piece of another file before the rest of a package", |mirror| {
        let raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello";
        serve(mirror, DEB, Misbehave::Times(1, Box::new(Misbehave::Raw(raw))))
    }),
    ("a piece of another file before the rest of an index", |mirror| {
        let raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello";
        serve(mirror, INDEX, Misbehave::Times(1, Box::new(Misbehave::Raw(raw))))
    }),
    (
        "an index that an earlier run got a part of before it changed",
        |mirror| {
            serve(
                mirror,
                INDEX,
                Misbehave::Raw("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello"),
            )?;
            mirror.upstream.forms = vec![Compression::Gz];
            let _ = mirror.update().refused();
            mirror.server.behave();
            Ok(())
        },
    ),
    ("a redirect to another host", |mirror| {
        let other = BadServer::start(mirror.upstream.root())?;
        let address = other.address().replace("127.0.0.1", "localhost");
        serve(mirror, DEB, Misbehave::Redirect(format!("{address}/pool/hello/{DEB}")))
    }),
    ("an announcement that a packed file is packed", |mirror| {
        serve(mirror, INDEX, Misbehave::Header("Content-Encoding: gzip"))?;
        serve(mirror, DEB, Misbehave::Header("Content-Encoding: x-gzip"))
    }),
    ("headers of no meaning", |mirror| {
        serve(
            mirror,
            INDEX,
            Misbehave::Header("X-Y: \u{fc}\r\nETag: \r\nContent-Type: x\r\nContent-Range: y"),
        )
    }),
    ("by-hash that is promised and is not there", |mirror| {
        mirror.upstream.fields = "Acquire-By-Hash: yes\n".into();
        mirror.second_night()
    }),
    ("a Release without a date", |mirror| {
        let date = support::upstream::rfc_date(DATE + DAY);
        release_edited(mirror, &format!("Date: {date}\n"), "")
    }),
    ("a signature over a SHA-1 digest, and the rule says `!`", |mirror| {
        sha1_signed(mirror, "!")
    }),
    ("a key signed over a SHA-1 digest, and the rule says `!`", |mirror| {
        sha1_bound(mirror, "!")
    }),
    ("a DSA key of 1024 bits, and the rule says `!`", |mirror| {
        dsa_signed(mirror, "!")
    }),
    (
        "digests that can be forged, and the rule says that it does not matter",
        |mirror| digested(mirror, DigestKind::Md5, DigestKind::Sha1, "Tolerate: md5 sha1\n"),
    ),
    (
        "a Release whose time is over, and the rule says that it does not matter",
        |mirror| expired(mirror, "Tolerate: expired\n"),
    ),
    (
        "a Release that nobody signed, and the rule says that it does not matter",
        |mirror| {
            mirror.rules_for("blindtrust", TIMEOUT)?;
            mirror.upstream.date = DATE + DAY;
            mirror.upstream.publish(&second_night(), None)
        },
    ),
];

#[test]
fn what_only_looks_wrong_does_no_harm() -> TestResult {
    let Some(mut bench) = Bench::new()? else { return Ok(()) };
    for (name, happens) in HARMLESS {
        bench.put_back()?;
        happens(&mut bench.mirror)?;
        let output = bench.mirror.update();
        assert_eq!(output.status, 0, "{name}: {output}");
        assert_eq!(bench.mirror.env.list("s"), SECOND, "{name}: {output}");
        bench.mirror.env.assert_verified("s")?;
        assert_eq!(leftovers(&bench.mirror.env.base())?, <[String; 0]>::default(), "{name}");
    }
    Ok(())
}

#[test]
fn a_server_is_asked_again_after_the_time_that_it_names() -> TestResult {
    let Some(mirror) = Mirror::new()? else { return Ok(()) };
    mirror
        .server
        .misbehave(INDEX, Misbehave::Times(1, Box::new(Misbehave::Busy(2))));
    let start = Instant::now();
    let _ = mirror.update().ok();
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(mirror.env.list("s"), FIRST);
    Ok(())
}

#[test]
fn a_server_that_fails_again_and_again_is_not_asked_for_every_file() -> TestResult {
    let Some(mirror) = Mirror::new()? else { return Ok(()) };
    let many: Vec<Deb> = (0..90).map(|number| Deb::new(&format!("p{number}"), "1")).collect();
    mirror.upstream.publish(&many, Some(&mirror.key))?;
    mirror.server.misbehave(".deb", Misbehave::Status(503));
    let output = mirror.update().exits(254);
    assert!(output.stderr.contains("answers 503"), "{output}");
    let requests = mirror.server.requests();
    let debs = requests.iter().filter(|request| request.contains(".deb ")).count();
    // twenty files, those on their way meanwhile, and each three times
    assert!(debs <= 3 * 52, "{debs}");
    mirror.server.behave();
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s").lines().count(), 90);
    Ok(())
}

/// Three distributions: two that use the upstream, one by a rule of its own; and one that uses another upstream.
fn with_two_upstreams() -> TestResult<Option<(Mirror, BadServer)>> {
    let Some(mirror) = Mirror::new()? else { return Ok(None) };
    mirror.env.conf(
        "distributions",
        "Codename: s\nArchitectures: amd64 i386\nComponents: main\nUpdate: - u\n\n\
         Codename: s-copy\nArchitectures: i386\nComponents: main\nUpdate: - w\n\n\
         Codename: other\nArchitectures: amd64\nComponents: main\nUpdate: - v\n",
    )?;
    let root = mirror.env.root().join("up2");
    std::fs::create_dir_all(&root)?;
    Upstream::new(&root, DATE).publish(&[Deb::new("elsewhere", "1")], Some(&mirror.key))?;
    let server = BadServer::start(&root)?;
    let key = fingerprint(&mirror.key)?;
    mirror.env.conf(
        "updates",
        &format!(
            "Name: u\nMethod: {}\nVerifyRelease: {key}\nSuite: s\n{TIMEOUT}\n\
             Name: w\nFrom: u\nFilterFormula: Package (!= nothing)\n\n\
             Name: v\nMethod: {}\nVerifyRelease: {key}\nSuite: s\n{TIMEOUT}",
            mirror.server.address(),
            server.address()
        ),
    )?;
    Ok(Some((mirror, server)))
}

#[test]
fn an_upstream_that_is_refused_stops_the_run_and_the_message_names_the_way_on() -> TestResult {
    let Some((mirror, _server)) = with_two_upstreams()? else {
        return Ok(());
    };
    mirror.server.misbehave("InRelease", Misbehave::Flip);
    let output = mirror.env.run(["update"]).exits(250);
    assert!(output.stderr.contains("Nothing was changed"), "{output}");
    assert!(output.stderr.contains("--keep-going"), "{output}");
    assert!(output.stderr.contains("`other`"), "{output}");
    assert_eq!(mirror.env.list("other"), "");
    Ok(())
}

#[test]
fn with_keep_going_an_upstream_that_is_refused_fails_only_the_distributions_that_use_it() -> TestResult {
    let Some((mirror, _server)) = with_two_upstreams()? else {
        return Ok(());
    };
    mirror.server.misbehave("InRelease", Misbehave::Flip);
    let output = mirror.env.run(["--keep-going", "update"]).exits(250);
    assert_eq!(mirror.env.list("other"), "other|main|amd64: elsewhere 1\n");
    mirror.env.assert_verified("other")?;
    assert_eq!(mirror.env.list("s"), "");
    for (codename, rule) in [("s", "u"), ("s-copy", "w")] {
        let start = format!("`{codename}` not updated: update rule `{rule}` fails: ");
        let line = output.stderr.lines().find(|line| line.contains(&start));
        assert!(line.is_some_and(|line| line.contains(INRELEASE)), "{output}");
    }
    assert!(output.stderr.contains("Error: not updated: `s`, `s-copy`"), "{output}");
    assert!(!output.stderr.contains("Nothing was changed"), "{output}");

    mirror.server.behave();
    mirror.env.options(&["keep-going"])?;
    mirror
        .server
        .misbehave("binary-amd64/Packages.gz", Misbehave::Status(404));
    let output = mirror.env.run(["update"]).exits(254);
    assert_eq!(mirror.env.list("s"), "");
    // its index is another one
    assert_eq!(mirror.env.list("s-copy").lines().count(), 2);
    assert!(output.stderr.contains("Error: not updated: `s`\n"), "{output}");
    Ok(())
}

#[test]
fn a_package_that_fails_fails_only_the_distributions_that_need_it() -> TestResult {
    let Some((mirror, _server)) = with_two_upstreams()? else {
        return Ok(());
    };
    mirror.server.misbehave("hello_1.0_amd64.deb", Misbehave::Flip);
    let output = mirror.env.run(["update"]).exits(254);
    assert!(output.stderr.contains("not updated: `s`\n"), "{output}");
    assert_eq!(mirror.env.list("other").lines().count(), 1);
    assert_eq!(mirror.env.list("s-copy").lines().count(), 2);
    mirror.env.assert_verified("s-copy")?;
    mirror.server.behave();
    let _ = mirror.server.requests();
    let _ = mirror.env.run(["update"]).ok();
    let fetched: Vec<String> = mirror.server.requests();
    let fetched: Vec<&String> = fetched.iter().filter(|line| line.contains("/pool/")).collect();
    assert_eq!(fetched, ["/pool/hello/hello_1.0_amd64.deb 200"]);
    assert_eq!(mirror.env.list("s"), FIRST);
    Ok(())
}

#[test]
fn two_upstreams_with_different_files_for_one_place_are_told_apart() -> TestResult {
    let Some((mirror, _server)) = with_two_upstreams()? else {
        return Ok(());
    };
    let another = Deb::new("hello", "1.0").file("usr/bin/hello", b"another");
    Upstream::new(&mirror.env.root().join("up2"), DATE).publish(&[another], Some(&mirror.key))?;
    let output = mirror.env.run(["update"]).exits(254);
    assert!(
        output
            .stderr
            .contains("different files at `pool/main/h/hello/hello_1.0_amd64.deb`: rules `u` and `v`"),
        "{output}"
    );
    assert!(output.stderr.contains("not updated: `other`\n"), "{output}");
    assert_eq!(mirror.env.list("s"), FIRST);
    // the same once one of them is in the pool
    let output = mirror.env.run(["update"]).exits(254);
    assert!(output.stderr.contains("rule `v` fails"), "{output}");
    assert!(
        output
            .stderr
            .contains("`pool/main/h/hello/hello_1.0_amd64.deb` is already registered"),
        "{output}"
    );
    assert!(
        output.stderr.contains("needed for `hello` `1.0` in `s|main|amd64`"),
        "{output}"
    );
    Ok(())
}

#[test]
fn a_full_disk_changes_nothing_and_the_next_run_goes_on() -> TestResult {
    let Some(mut mirror) = Mirror::new()? else {
        return Ok(());
    };
    let _ = mirror.update().ok();
    let mut noise = Vec::new();
    let mut dice = support::Dice::new(7);
    noise.extend((0..4 << 20).map(|_| u8::try_from(dice.roll(256)).unwrap_or_default()));
    let large = Deb::new("hello", "1.1").file("usr/share/noise", &noise);
    mirror.upstream.date = DATE + DAY;
    mirror
        .upstream
        .publish(&[large, Deb::new("hello-doc", "1.0").arch("all")], Some(&mirror.key))?;
    let before = mirror.env.tree()?;
    let mut command = Command::new("sh");
    mirror.env.clean(&mut command);
    // a write beyond the limit is an error then, as on a full disk, and not the end of the process
    command.args(["-c", "trap '' XFSZ; ulimit -f 4096; exec \"$0\" \"$@\""]);
    command
        .arg(&mirror.env.tool().path)
        .arg("-b")
        .arg(mirror.env.base())
        .args(["update", "s"]);
    let output = mirror.env.finish(&mut command).refused();
    assert!(output.stderr.contains("cannot write `$BASE/www/.partial/"), "{output}");
    assert!(output.stderr.contains("File too large"), "{output}");
    assert_eq!(mirror.env.list("s"), FIRST);
    let changed: Vec<String> = before.differences(&mirror.env.tree()?);
    assert!(
        changed.iter().all(|line| line.starts_with("new: .partial/")),
        "{changed:?}"
    );
    let _ = mirror.server.requests();
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), SECOND);
    let requests = mirror.server.requests();
    assert!(requests.contains(&format!("/pool/hello/{DEB} 206")), "{requests:?}");
    Ok(())
}
