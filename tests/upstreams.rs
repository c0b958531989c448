//! `update` from upstreams as others run them: nginx, directories of this machine; and debmirror beside it.
#![expect(clippy::disallowed_methods, reason = "test fixtures need no atomic writes")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use support::client::Server;
use support::mirror::{DATE, DAY, FIRST, Mirror, SECOND, fingerprint};
use support::upstream::hex;
use support::{Deb, Dice, TestResult, Tree, have_tools};

/// A mirror whose upstream is served by nginx with these directives.
fn behind_nginx(directives: &str) -> TestResult<Option<(Mirror, Server)>> {
    let Some(mirror) = Mirror::new()? else { return Ok(None) };
    let Some(nginx) = Server::nginx_of(&mirror.env, mirror.upstream.root(), directives)? else {
        return Ok(None);
    };
    let key = fingerprint(&mirror.key)?;
    let rule = format!("Name: u\nMethod: {}\nVerifyRelease: {key}\nSuite: s\n", nginx.url);
    mirror.env.conf("updates", &format!("{rule}\nName: v\nFrom: u\n"))?;
    Ok(Some((mirror, nginx)))
}

/// nginx tells two states of a file apart by second and length alone.
fn next_second() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

/// A package that does not compress.
fn noisy(name: &str, version: &str, bytes: usize) -> Deb {
    let mut dice = Dice::new(1);
    let noise: Vec<u8> = (0..bytes)
        .map(|_| u8::try_from(dice.roll(256)).unwrap_or_default())
        .collect();
    Deb::new(name, version).file("usr/share/noise", &noise)
}

#[test]
fn nginx_is_asked_once_where_nothing_is_new_and_few_connections_do() -> TestResult {
    let Some((mut mirror, nginx)) = behind_nginx("")? else {
        return Ok(());
    };
    let many: Vec<Deb> = (0..120).map(|number| Deb::new(&format!("p{number}"), "1")).collect();
    mirror.upstream.publish(&many, Some(&mirror.key))?;
    let _ = mirror.update().ok();
    let requests = nginx.requests()?;
    let paths: BTreeSet<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    // InRelease, two indexes, 120 packages: each once
    assert_eq!((requests.len(), paths.len()), (123, 123), "{requests:#?}");
    let connections: BTreeSet<&str> = requests.iter().map(|request| request.connection.as_str()).collect();
    assert!(connections.len() <= 36, "{connections:?}");

    let quiet = mirror.update().ok();
    assert_eq!(quiet.text(), "");
    let requests = nginx.requests()?;
    let seen: Vec<(u16, &str)> = requests
        .iter()
        .map(|request| (request.status, request.path.as_str()))
        .collect();
    assert_eq!(seen, [(304, "/dists/s/InRelease")]);

    next_second();
    mirror.second_night()?;
    let _ = mirror.env.run(["--noonlysmalldeletes", "update", "s"]).ok();
    assert_eq!(mirror.env.list("s"), SECOND);
    Ok(())
}

#[test]
fn what_a_killed_run_got_from_nginx_is_not_fetched_again() -> TestResult {
    let Some((mirror, nginx)) = behind_nginx("location /pool/large/ { limit_rate 1m; }")? else {
        return Ok(());
    };
    let large = noisy("large", "1", 3 << 20);
    let size = large.bytes()?.len() as u64;
    mirror
        .upstream
        .publish(&[large, Deb::new("small", "1")], Some(&mirror.key))?;
    let mut child = mirror.env.command(["update", "s"]).spawn()?;
    let start = Instant::now();
    let part = loop {
        assert!(start.elapsed() < Duration::from_secs(30), "nothing came");
        let parts = sizes(&mirror.env.outdir().join(".partial"))?;
        if let Some((part, _)) = parts.iter().find(|(_, size)| **size > 600_000) {
            break part.clone();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    child.kill()?;
    let _ = child.wait()?;
    let there = std::fs::metadata(&part)?.len();
    assert!(there < size, "it came too fast");
    let _ = nginx.requests()?;
    let _ = mirror.update().ok();
    let requests = nginx.requests()?;
    let requests: Vec<_> = requests
        .iter()
        .filter(|request| request.path.starts_with("/pool/large/"))
        .collect();
    let [request] = requests.as_slice() else {
        return Err(format!("not one request: {requests:#?}").into());
    };
    assert_eq!(
        (request.status, request.range.as_str()),
        (206, format!("bytes={there}-").as_str())
    );
    assert_eq!(request.bytes_sent, size - there);
    assert_eq!(mirror.env.list("s"), "s|main|amd64: large 1\ns|main|amd64: small 1\n");
    mirror.env.assert_verified("s")?;
    Ok(())
}

/// The sizes of the files in a directory that need not be there.
fn sizes(dir: &Path) -> TestResult<BTreeMap<PathBuf, u64>> {
    let mut sizes = BTreeMap::new();
    if dir.is_dir() {
        for entry in std::fs::read_dir(dir)?.flatten() {
            if let Ok(metadata) = entry.metadata() {
                sizes.insert(entry.path(), metadata.len());
            }
        }
    }
    Ok(sizes)
}

#[test]
fn an_index_is_fetched_by_its_digest_where_the_upstream_has_that() -> TestResult {
    let Some((mut mirror, nginx)) = behind_nginx("")? else {
        return Ok(());
    };
    mirror.upstream.fields = "Acquire-By-Hash: yes\n".into();
    mirror.second_night()?;
    for arch in ["amd64", "i386"] {
        let dir = mirror.upstream.suite().join(format!("main/binary-{arch}"));
        let index = std::fs::read(dir.join("Packages.gz"))?;
        std::fs::create_dir_all(dir.join("by-hash/SHA256"))?;
        std::fs::write(dir.join("by-hash/SHA256").join(hex(&index)), index)?;
        // a mirror that is just being changed: the index of the next state is there already
        std::fs::write(dir.join("Packages.gz"), "another")?;
    }
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), SECOND);
    let requests = nginx.requests()?;
    let by_hash = requests
        .iter()
        .filter(|request| request.path.contains("/by-hash/SHA256/"));
    assert_eq!(by_hash.count(), 2, "{requests:#?}");
    assert!(
        !requests.iter().any(|request| request.path.ends_with("Packages.gz")),
        "{requests:#?}"
    );
    Ok(())
}

/// A mirror of a directory by this method.
fn of_directory(method: &str) -> TestResult<Option<Mirror>> {
    let Some(mirror) = Mirror::new()? else { return Ok(None) };
    let (root, key) = (mirror.upstream.root().display(), fingerprint(&mirror.key)?);
    let rule = format!("Name: u\nMethod: {method}:{root}\nVerifyRelease: {key}\nSuite: s\n");
    mirror.env.conf("updates", &format!("{rule}\nName: v\nFrom: u\n"))?;
    Ok(Some(mirror))
}

const POOLED: &str = "pool/main/h/hello/hello_1.0_amd64.deb";
const THERE: &str = "pool/hello/hello_1.0_amd64.deb";

#[test]
fn a_directory_is_linked_and_never_changed() -> TestResult {
    for method in ["file", "copy"] {
        let Some(mut mirror) = of_directory(method)? else {
            return Ok(());
        };
        let there = mirror.upstream.root().join(THERE);
        let before = (Tree::of(mirror.upstream.root())?, std::fs::metadata(&there)?.mode());
        let _ = mirror.update().ok();
        assert_eq!(mirror.env.list("s"), FIRST, "{method}");
        let pooled = std::fs::metadata(mirror.env.outdir().join(POOLED))?;
        let is_same = pooled.ino() == std::fs::metadata(&there)?.ino();
        assert_eq!(is_same, method == "file", "{method}");
        before.0.assert_unchanged(&Tree::of(mirror.upstream.root())?);
        assert_eq!(before.1, std::fs::metadata(&there)?.mode(), "{method}");

        mirror.second_night()?;
        let before = Tree::of(mirror.upstream.root())?;
        let _ = mirror.update().ok();
        assert_eq!(mirror.env.list("s"), SECOND, "{method}");
        // ours is gone, theirs is not
        assert!(!mirror.env.outdir().join(POOLED).exists());
        before.assert_unchanged(&Tree::of(mirror.upstream.root())?);
    }
    Ok(())
}

#[test]
fn a_file_that_not_everybody_may_read_is_copied_and_readable_here() -> TestResult {
    use std::os::unix::fs::PermissionsExt;
    for method in ["file", "copy"] {
        let Some(mirror) = of_directory(method)? else {
            return Ok(());
        };
        let there = mirror.upstream.root().join(THERE);
        std::fs::set_permissions(&there, PermissionsExt::from_mode(0o600))?;
        let _ = mirror.update().ok();
        let pooled = std::fs::metadata(mirror.env.outdir().join(POOLED))?;
        assert_eq!(pooled.mode() & 0o444, 0o444, "{method}");
        assert_eq!(std::fs::metadata(&there)?.mode() & 0o777, 0o600, "{method}");
    }
    Ok(())
}

#[test]
fn a_linked_file_that_its_owner_writes_to_is_noticed() -> TestResult {
    for (method, is_ours_changed) in [("file", true), ("copy", false)] {
        let Some(mirror) = of_directory(method)? else {
            return Ok(());
        };
        let _ = mirror.update().ok();
        let there = mirror.upstream.root().join(THERE);
        let mut bytes = std::fs::read(&there)?;
        bytes.iter_mut().skip(200).take(1).for_each(|byte| *byte ^= 1);
        // in place: the name keeps its inode
        std::fs::write(&there, bytes)?;
        let output = mirror.env.run(["checkpool"]);
        assert_eq!(output.status != 0, is_ours_changed, "{method}: {output}");
        assert_eq!(output.text().contains(POOLED), is_ours_changed, "{method}: {output}");
    }
    Ok(())
}

#[test]
fn debmirror_gets_the_same_files() -> TestResult {
    if !have_tools(&["debmirror"]) {
        return Ok(());
    }
    let Some((mut mirror, nginx)) = behind_nginx("")? else {
        return Ok(());
    };
    mirror.upstream.fields = "Architectures: amd64 i386\nComponents: main\n".into();
    let mut debs: Vec<Deb> = (0..40)
        .map(|number| noisy(&format!("p{number}"), "1.0-1", 1000 + number))
        .collect();
    debs.extend((0..5).map(|number| Deb::new(&format!("all{number}"), "2:3~rc1").arch("all")));
    debs.push(Deb::new("only", "1").arch("i386").source("another (2)"));
    for (night, debs) in [&debs[..], &debs[7..]].into_iter().enumerate() {
        mirror.upstream.date = DATE + DAY * i64::try_from(night)?;
        next_second();
        mirror.upstream.publish(debs, Some(&mirror.key))?;
        let _ = mirror.update().ok();
        let theirs = mirror.env.root().join("debmirror");
        let mut command = Command::new("debmirror");
        mirror.env.clean(&mut command);
        let host = nginx.url.trim_start_matches("http://");
        command.args([
            "--method=http",
            "--root=/",
            "--dist=s",
            "--section=main",
            "--arch=amd64,i386",
        ]);
        command
            .args(["--nosource", "--no-check-gpg", "--i18n", "--rsync-extra=none", "--host"])
            .arg(host)
            .arg(&theirs);
        let output = mirror.env.finish(&mut command);
        assert_eq!(output.status, 0, "{output}");
        let files = |root: &Path| -> TestResult<BTreeSet<(String, String)>> {
            let tree = Tree::of(&root.join("pool"))?;
            let files = tree.contents().into_iter();
            Ok(files
                .map(|(path, content)| {
                    (
                        path.rsplit('/').next().unwrap_or_default().to_owned(),
                        content.to_owned(),
                    )
                })
                .collect())
        };
        assert_eq!(files(&mirror.env.outdir())?, files(&theirs)?);
        assert_eq!(files(&theirs)?.len(), debs.len());
    }
    Ok(())
}
