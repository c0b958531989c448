//! Packages that are damaged or mean harm: each is refused with a reason, quickly, and none brings the reader down.

use std::io::Write;

use aptrepo::ingest::Limits;
use aptrepo::ingest::deb::read_deb;
use proptest::prelude::*;

use super::{HELLO, chain, read};

/// An ar member; the size field as given, or the true one.
fn member(name: &str, content: &[u8], size: Option<&str>) -> Vec<u8> {
    let size = size.map_or(content.len().to_string(), str::to_owned);
    let mut bytes = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100_644).into_bytes();
    bytes.extend_from_slice(content);
    if content.len() % 2 == 1 {
        bytes.push(b'\n');
    }
    bytes
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [b"!<arch>\n".to_vec(), members.concat()].concat()
}

/// A tar entry, its header's size field as given or the true one.
fn entry(name: &str, kind: u8, content: &[u8], size: Option<&[u8; 12]>) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    let octal = format!("{:011o}\0", content.len());
    header[124..136].copy_from_slice(size.map_or(octal.as_bytes(), |size| size.as_slice()));
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar  \0");
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = [header.as_slice(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn end() -> Vec<u8> {
    vec![0; 1024]
}

fn control_tar() -> Vec<u8> {
    [entry("./control", b'0', HELLO.as_bytes(), None), end()].concat()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn binary() -> Vec<u8> {
    member("debian-binary", b"2.0\n", None)
}

fn package(control: &[u8], data: &[u8]) -> Vec<u8> {
    archive(&[
        binary(),
        member("control.tar", control, None),
        member("data.tar", data, None),
    ])
}

fn with_data(entries: &[Vec<u8>]) -> Vec<u8> {
    package(&control_tar(), &[entries.concat(), end()].concat())
}

fn paths(file: &[u8]) -> Vec<String> {
    let deb = read(file).unwrap();
    deb.paths
        .iter()
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect()
}

#[test]
fn paths_are_plain_whatever_form_they_have() {
    let long = "d/".repeat(100) + "f";
    let pax = |name: &str| {
        let record = format!(" path={name}\n");
        let length = record.len() + (record.len() + 2).to_string().len();
        format!("{length}{record}").into_bytes()
    };
    let file = with_data(&[
        entry("./usr/", b'5', b"", None),
        entry("/usr//./bin/b", b'0', b"12345", None),
        entry("usr/bin/a", 0, b"", None),
        entry("usr/old-directory/", 0, b"", None),
        entry("./usr/bin/link", b'1', b"", Some(b"00000000777\0")),
        entry("dev/null", b'3', b"", None),
        entry(
            "././@LongLink",
            b'L',
            [long.as_bytes(), b"\0"].concat().as_slice(),
            None,
        ),
        entry("short", b'0', b"", None),
        entry("pax", b'x', &pax("./from/pax"), None),
        entry("short", b'0', b"x", None),
        entry("pax", b'g', b"18 comment=global\n", None),
        entry("usr/bin/a", b'0', b"", None),
    ]);
    let expected = ["usr/bin/b", "usr/bin/a", "usr/bin/link", "dev/null", &long, "from/pax"];
    let mut expected: Vec<String> = expected.iter().map(|path| (*path).to_owned()).collect();
    expected.sort();
    assert_eq!(paths(&file), expected);
}

#[test]
fn a_line_end_in_a_path_never_reaches_contents() {
    let file = with_data(&[
        entry("usr/bin/a\nusr/bin/sh utils/evil", b'0', b"", None),
        entry("usr/bin/b", b'0', b"", None),
    ]);
    assert_eq!(paths(&file), ["usr/bin/b"]);
    assert_eq!(read(&file).unwrap().unlistable_paths, 1);
}

#[test]
fn unlisted_members_are_passed_over() {
    let control = || member("control.tar.gz", &gzip(&control_tar()), None);
    let data = || member("data.tar", &end(), None);
    let odd = || member("_gpgorigin", b"odd", None);
    let file = archive(&[binary(), odd(), control(), odd(), data(), member("later", b"x", None)]);
    assert!(read(&file).is_ok());
    assert!(read(&[file, b"garbage".to_vec()].concat()).is_ok());
    let two_members = gzip(&control_tar()[..700])
        .into_iter()
        .chain(gzip(&control_tar()[700..]))
        .collect::<Vec<_>>();
    let file = archive(&[binary(), member("control.tar.gz", &two_members, None), data()]);
    assert!(read(&file).is_ok());
    let frames = [
        zstd::encode_all(&control_tar()[..700], 1),
        zstd::encode_all(&control_tar()[700..], 1),
    ];
    let frames: Vec<u8> = frames.into_iter().flat_map(Result::unwrap).collect();
    assert!(read(&archive(&[binary(), member("control.tar.zst", &frames, None), data()])).is_ok());
}

fn reasons(cases: &[(&str, Vec<u8>)]) -> String {
    let told =
        |(name, file): &(&str, Vec<u8>)| format!("{name}\n    {}", read(file).err().unwrap_or("ACCEPTED".into()));
    cases.iter().map(told).collect::<Vec<_>>().join("\n")
}

#[test]
fn faults_of_the_archive_have_their_reasons() {
    let control = || member("control.tar", &control_tar(), None);
    let data = || member("data.tar", &end(), None);
    let size = |text: &'static str| archive(&[binary(), member("control.tar", b"", Some(text))]);
    let format = |text: &[u8]| archive(&[member("debian-binary", text, None), control(), data()]);
    let told = reasons(&[
        ("empty", Vec::new()),
        ("text", b"this is not a package at all".to_vec()),
        ("only the first line", b"!<arch>\n".to_vec()),
        ("other first member", archive(&[control(), data()])),
        ("format 3", format(b"3.0\n")),
        ("long format", format(&[b'2'; 4096])),
        ("no control member", archive(&[binary(), data()])),
        ("no data member", archive(&[binary(), control()])),
        ("data before control", archive(&[binary(), data(), control()])),
        (
            "two control members",
            archive(&[binary(), control(), control(), data()]),
        ),
        ("second data member", archive(&[binary(), control(), data(), data()])),
        (
            "second control member at the end",
            archive(&[binary(), control(), data(), control()]),
        ),
        (
            "unknown compression",
            archive(&[binary(), member("control.tar.rar", b"", None)]),
        ),
        ("size of 10 GB", size("9999999999")),
        ("negative size", size("-1")),
        ("size in hexadecimal", size("0xff")),
        ("no size", size("")),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn faults_of_the_control_member_have_their_reasons() {
    let of = |entries: &[Vec<u8>]| package(&[entries.concat(), end()].concat(), &end());
    let packed = |name: &str, content: &[u8]| {
        archive(&[binary(), member(name, content, None), member("data.tar", &end(), None)])
    };
    let good = |name: &str| entry(name, b'0', HELLO.as_bytes(), None);
    let large = |name: &str, size: usize| entry(name, b'0', &vec![b'a'; size], None);
    let mut damaged = gzip(&control_tar());
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    let told = reasons(&[
        ("no control file", of(&[entry("./postinst", b'0', b"", None)])),
        ("two control files", of(&[good("./control"), good("control")])),
        ("control is a link", of(&[entry("./control", b'2', b"", None)])),
        (
            "control that describes nothing",
            of(&[entry("./control", b'0', b"Package: a\n", None)]),
        ),
        ("huge control file", of(&[large("./control", 9 << 20)])),
        ("huge member", of(&[large("./x", 17 << 20), good("./control")])),
        ("damaged gzip", packed("control.tar.gz", &damaged)),
        (
            "gzip with garbage",
            packed("control.tar.gz", &[gzip(&control_tar()), b"x".repeat(30)].concat()),
        ),
        ("not xz", packed("control.tar.xz", &control_tar())),
        ("not zstd", packed("control.tar.zst", &control_tar())),
        ("not bzip2", packed("control.tar.bz2", &control_tar())),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn faults_of_the_data_member_have_their_reasons() {
    let mut bad_checksum = entry("usr/bin/a", b'0', b"", None);
    bad_checksum[0] = b'x';
    let size = |kind: u8, size: &[u8; 12]| with_data(&[entry("x", kind, b"", Some(size))]);
    let pax = |record: &[u8]| with_data(&[entry("x", b'x', record, None), entry("x", b'0', b"", None)]);
    let petabyte: &[u8; 12] = b"\x80\0\0\0\0\x04\0\0\0\0\0\0";
    let mut endless_map = entry("x", b'S', b"", None);
    endless_map[482] = 1;
    endless_map[148..156].copy_from_slice(b"        ");
    let sum: u32 = endless_map[..512].iter().map(|byte| u32::from(*byte)).sum();
    endless_map[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let told = reasons(&[
        (
            "path up",
            with_data(&[entry("./usr/../../etc/passwd", b'0', b"", None)]),
        ),
        (
            "long name up",
            with_data(&[entry("x", b'L', b"../x\0", None), entry("x", b'0', b"", None)]),
        ),
        (
            "endless long name",
            with_data(&[entry("x", b'L', &vec![b'a'; 70_000], None)]),
        ),
        ("long name of a petabyte", size(b'L', petabyte)),
        ("file of a petabyte", size(b'0', petabyte)),
        (
            "largest size",
            size(b'0', b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"),
        ),
        ("negative file size", size(b'0', &[0xff; 12])),
        ("no file size", size(b'0', b"forty-two  \0")),
        ("file longer than the archive", size(b'0', b"00000777777\0")),
        ("wrong checksum", with_data(&[bad_checksum])),
        ("unknown type", with_data(&[entry("x", b'Z', b"", None)])),
        ("long pax record", pax(b"99 path=a\n")),
        ("pax record without length", pax(b"path=a\n")),
        ("pax size", pax(b"22 size=9999999999999\n")),
        ("map of holes that ends early", package(&control_tar(), &endless_map)),
    ]);
    insta::assert_snapshot!(told);
}

#[test]
fn a_package_that_ends_early_is_refused_wherever_it_ends() {
    let content: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
    let tar = [entry("usr/bin/a", b'0', &content, None), end()].concat();
    let xz = liblzma::encode_all(tar.as_slice(), 1).unwrap();
    let zst = zstd::encode_all(tar.as_slice(), 1).unwrap();
    for (name, data) in [
        ("data.tar", tar.clone()),
        ("data.tar.xz", xz),
        ("data.tar.gz", gzip(&tar)),
        ("data.tar.zst", zst),
    ] {
        let control = member("control.tar.gz", &gzip(&control_tar()), None);
        let file = archive(&[binary(), control.clone(), member(name, &data, None)]);
        assert!(read(&file).is_ok(), "{name}");
        for end in (0..file.len() - 1).step_by(512) {
            assert!(read(&file[..end]).is_err(), "{name} cut at {end}");
        }
        // a whole ar archive around half a compressed member
        for end in (0..data.len() - 1).step_by(512).filter(|_| name != "data.tar") {
            let file = archive(&[binary(), control.clone(), member(name, &data[..end], None)]);
            assert!(read(&file).is_err(), "{name} of {end} bytes");
        }
    }
}

#[test]
fn a_bomb_is_left_when_it_has_grown_too_large() {
    let limits = Limits {
        free_bytes: 1 << 20,
        ..Limits::default()
    };
    let zeros = vec![0; 64 << 20];
    let bombs = [
        entry("zeros", b'0', &zeros, None),
        // everything after the end mark
        zeros,
        entry("x", b'5', b"", None).repeat(100_000),
    ];
    for tar in bombs {
        for (name, data) in [
            ("data.tar.zst", zstd::encode_all(tar.as_slice(), 3).unwrap()),
            ("data.tar.xz", liblzma::encode_all(tar.as_slice(), 0).unwrap()),
        ] {
            let control = member("control.tar", &control_tar(), None);
            let file = archive(&[binary(), control, member(name, &data, None)]);
            let error = read_deb(file.as_slice(), &limits).unwrap_err();
            assert!(
                chain(&error).starts_with("data.tar is too large: the unpacked size"),
                "{name}: {error}"
            );
            assert!(read(&file).is_ok(), "{name}");
        }
    }
}

#[test]
fn entries_and_paths_are_limited() {
    let entries: Vec<Vec<u8>> = (0..50).map(|n| entry(&format!("usr/{n}"), b'0', b"", None)).collect();
    let file = with_data(&entries);
    let refused = |limits: Limits| chain(&read_deb(file.as_slice(), &limits).unwrap_err());
    let few_entries = refused(Limits {
        entries: 49,
        ..Limits::default()
    });
    assert_eq!(
        few_entries,
        "data.tar is too large: the number of entries is over the limit of 49"
    );
    let few_bytes = refused(Limits {
        path_bytes: 200,
        ..Limits::default()
    });
    assert_eq!(
        few_bytes,
        "data.tar is too large: the length of all paths in bytes is over the limit of 200"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever bytes are changed, reading ends with a value or an error.
    #[test]
    fn damage_never_brings_the_reader_down(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut file = with_data(&[entry("./usr/bin/a", b'0', b"12345", None), entry("x", b'L', b"long\0", None)]);
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let _ = read(&file);
    }
}
