//! `update` against an upstream of the tests' own: what comes in, and that an upstream that cannot be trusted changes
//! nothing, is told of, and does no lasting harm.
#![expect(clippy::disallowed_methods, reason = "test fixtures need no atomic writes")]

mod support;

use std::time::Duration;

use support::upstream::{BadServer, Misbehave, Upstream};
use support::{Deb, GnupgHome, Output, TestEnv, TestResult, Tool, Tree, have_tools};

const DISTRIBUTIONS: &str = "Codename: s\nArchitectures: amd64 i386\nComponents: main\nUpdate: - u\n\n\
    Codename: other\nArchitectures: amd64\nComponents: main\nUpdate: v\n";
/// A day in 2026, before any clock that runs these tests.
const DATE: i64 = 1_790_000_000;
const DAY: i64 = 86_400;

/// An archive that mirrors a signed upstream.
struct Mirror {
    env: TestEnv,
    upstream: Upstream,
    key: GnupgHome,
    server: BadServer,
}

impl Mirror {
    fn new() -> TestResult<Option<Self>> {
        if !have_tools(&["gpg", "gpgconf"]) || Tool::under_test().is_reprepro {
            return Ok(None);
        }
        let env = TestEnv::with(Tool::under_test(), DISTRIBUTIONS)?;
        let key = GnupgHome::create(&env.root().join("k"))?;
        let public = env.root().join("upstream.gpg");
        std::fs::write(&public, key.export()?)?;
        let _ = env.run(["key".as_ref(), "import".as_ref(), public.as_os_str()]).ok();
        let upstream = Upstream::new(&env.root().join("up"), DATE);
        std::fs::create_dir_all(upstream.root())?;
        let server = BadServer::start(upstream.root())?;
        let mirror = Self {
            env,
            upstream,
            key,
            server,
        };
        mirror.rules("")?;
        mirror.upstream.publish(&first_night(), Some(&mirror.key))?;
        Ok(Some(mirror))
    }

    /// Writes conf/updates with these further lines for the rule `u`; `v` names an upstream that nobody serves.
    fn rules(&self, lines: &str) -> TestResult {
        let fingerprint = fingerprint(&self.key)?;
        self.env.conf(
            "updates",
            &format!(
                "Name: u\nMethod: {}\nVerifyRelease: {fingerprint}\nSuite: s\n{lines}\n\
                 Name: v\nMethod: http://127.0.0.1:9\nVerifyRelease: {fingerprint}\n",
                self.server.address()
            ),
        )
    }

    fn update(&self) -> Output {
        self.env.run(["update", "s"])
    }

    /// The second night, dated a day later, with a new version and a package that is gone.
    fn second_night(&mut self) -> TestResult {
        self.upstream.date = DATE + DAY;
        self.upstream.publish(&second_night(), Some(&self.key))
    }
}

fn fingerprint(key: &GnupgHome) -> TestResult<String> {
    let text = String::from_utf8(key.gpg(&["--with-colons", "--list-keys"])?)?;
    let line = text.lines().find_map(|line| line.strip_prefix("fpr:"));
    Ok(line.unwrap_or_default().trim_matches(':').to_owned())
}

fn first_night() -> Vec<Deb> {
    vec![
        Deb::new("hello", "1.0").file("usr/bin/hello", b"#!"),
        Deb::new("hello-doc", "1.0").arch("all"),
        Deb::new("leaving", "3").arch("i386"),
    ]
}

fn second_night() -> Vec<Deb> {
    vec![Deb::new("hello", "1.1"), Deb::new("hello-doc", "1.0").arch("all")]
}

const FIRST: &str = "s|main|amd64: hello 1.0\ns|main|amd64: hello-doc 1.0\n\
    s|main|i386: hello-doc 1.0\ns|main|i386: leaving 3\n";
const SECOND: &str = "s|main|amd64: hello 1.1\ns|main|amd64: hello-doc 1.0\ns|main|i386: hello-doc 1.0\n";

#[test]
fn nights_are_followed_and_one_without_news_costs_one_request() -> TestResult {
    let Some(mut mirror) = Mirror::new()? else {
        return Ok(());
    };
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), FIRST);
    mirror.env.assert_verified("s")?;
    let before = mirror.env.tree()?;
    mirror.server.requests();
    let quiet = mirror.update().ok();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    assert_eq!(mirror.server.requests(), ["/dists/s/InRelease 304"]);
    before.assert_unchanged(&mirror.env.tree()?);

    mirror.second_night()?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), SECOND);
    mirror.env.assert_verified("s")?;
    assert_eq!(
        mirror.env.pool()?,
        [
            "pool/main/h/hello-doc/hello-doc_1.0_all.deb",
            "pool/main/h/hello/hello_1.1_amd64.deb"
        ]
    );
    let requests = mirror.server.requests();
    assert!(
        requests.contains(&"/pool/hello/hello_1.1_amd64.deb 200".to_owned()),
        "{requests:?}"
    );
    assert!(
        !requests.iter().any(|request| request.contains("hello-doc")),
        "fetched again: {requests:?}"
    );
    Ok(())
}

#[test]
fn checkupdate_and_dumpupdate_say_what_update_would_do() -> TestResult {
    let Some(mut mirror) = Mirror::new()? else {
        return Ok(());
    };
    let _ = mirror.update().ok();
    mirror.second_night()?;
    let before = mirror.env.tree()?;
    assert_eq!(
        mirror.env.run(["checkupdate", "s"]).ok().stdout,
        "Updates needed for 's|main|i386':\n'leaving': '3' will be deleted (no longer available or superseded)\n\
         Updates needed for 's|main|amd64':\n'hello': '1.0' will be upgraded to '1.1' (from 'u'):\n \
         files needed: pool/main/h/hello/hello_1.1_amd64.deb\n"
    );
    assert_eq!(
        mirror.env.run(["dumpupdate", "s"]).ok().stdout,
        "Updates needed for 's|main|i386':\nkeep 'hello-doc' '1.0' '1.0'\ndelete 'leaving' '3'\n\
         Updates needed for 's|main|amd64':\nupdate 'hello' '1.0' '1.1' 'u'\nkeep 'hello-doc' '1.0' '1.0'\n"
    );
    assert_eq!(
        mirror.env.run(["--dry-run", "update", "s"]).ok().stdout,
        "s|main|amd64: replace hello 1.0 by 1.1\ns|main|i386: remove leaving 3\n"
    );
    before.assert_unchanged(&mirror.env.tree()?);
    Ok(())
}

/// One way in which an upstream goes wrong on the second night: its name, how, the exit code, and words of the error.
type Fault = (&'static str, fn(&mut Mirror) -> TestResult, i32, &'static str);

fn fault_of_server(mirror: &Mirror, end: &str, fault: Misbehave) -> TestResult {
    mirror.server.misbehave(end, fault);
    Ok(())
}

const DEB: &str = "hello_1.1_amd64.deb";
const INDEX: &str = "binary-amd64/Packages.gz";

const FAULTS: &[Fault] = &[
    (
        "a Release that was changed after it was signed",
        |mirror| {
            let path = mirror.upstream.root().join("dists/s/InRelease");
            let text = std::fs::read_to_string(&path)?.replace("Suite: s\n", "Suite: s\nLabel: x\n");
            Ok(std::fs::write(path, text)?)
        },
        250,
        "bad",
    ),
    (
        "a Release without a signature",
        |mirror| mirror.upstream.publish(&second_night(), None),
        250,
        "it has no signature",
    ),
    (
        "a Release signed by a key that the rule does not name",
        |mirror| {
            let other = GnupgHome::create(&mirror.env.root().join("o"))?;
            mirror.upstream.publish(&second_night(), Some(&other))
        },
        250,
        "no good signature",
    ),
    (
        "a Release that is older than the one accepted before",
        |mirror| {
            mirror.upstream.date = DATE - 2 * DAY;
            mirror.upstream.publish(&second_night(), Some(&mirror.key))
        },
        250,
        "older than the one accepted before",
    ),
    (
        "a Release whose time is over",
        |mirror| {
            mirror.upstream.fields = "Valid-Until: Mon, 21 Sep 2020 00:00:00 UTC\n".into();
            mirror.upstream.publish(&second_night(), Some(&mirror.key))
        },
        250,
        "was valid until Mon, 21 Sep 2020",
    ),
    (
        "a Release that is missing",
        |mirror| fault_of_server(mirror, "Release", Misbehave::Status(404)),
        254,
        "answers 404",
    ),
    (
        "a Release without end",
        |mirror| fault_of_server(mirror, "InRelease", Misbehave::Endless),
        254,
        "is longer than 16777216 bytes",
    ),
    (
        "a Release that is no Release",
        |mirror| {
            mirror.upstream.fields = "SHA1:\n nonsense\n".into();
            mirror.upstream.publish(&second_night(), Some(&mirror.key))
        },
        255,
        "malformed Release",
    ),
    (
        "an index with a changed byte",
        |mirror| fault_of_server(mirror, INDEX, Misbehave::Flip),
        254,
        "is not what was promised: SHA256 expected",
    ),
    (
        "an index that is shorter than promised",
        |mirror| fault_of_server(mirror, INDEX, Misbehave::Short(20)),
        254,
        "has 20 bytes; promised were",
    ),
    (
        "an index that Release lists and the server has not",
        |mirror| fault_of_server(mirror, INDEX, Misbehave::Status(404)),
        254,
        "answers 404",
    ),
    (
        "an index without end",
        |mirror| fault_of_server(mirror, INDEX, Misbehave::Endless),
        254,
        "promised were",
    ),
    (
        "a redirect to another scheme",
        |mirror| fault_of_server(mirror, INDEX, Misbehave::Redirect("ftp://127.0.0.1/x".into())),
        255,
        "it redirects to `ftp:`",
    ),
    (
        "a server that sends nothing",
        |mirror| fault_of_server(mirror, INDEX, Misbehave::Stall(Duration::from_secs(3))),
        255,
        "cannot get all of",
    ),
    (
        "a server with an error",
        |mirror| fault_of_server(mirror, INDEX, Misbehave::Status(503)),
        254,
        "answers 503",
    ),
    (
        "a package with a changed byte",
        |mirror| fault_of_server(mirror, DEB, Misbehave::Flip),
        254,
        "hello_1.1_amd64.deb` is not what was promised: SHA256 expected",
    ),
    (
        "a package that is shorter than promised",
        |mirror| fault_of_server(mirror, DEB, Misbehave::Short(10)),
        254,
        "hello_1.1_amd64.deb` has 10 bytes",
    ),
    (
        "a package that is missing",
        |mirror| fault_of_server(mirror, DEB, Misbehave::Status(404)),
        254,
        "hello_1.1_amd64.deb`: the server answers 404",
    ),
    (
        "a package whose file would leave the archive",
        |mirror| edited(mirror, "Filename: pool/hello/", "Filename: ../../etc/"),
        255,
        "invalid path",
    ),
    (
        "a package that is another than its index says",
        |mirror| edited(mirror, "Version: 1.1\n", "Version: 1.2\n"),
        254,
        "it is `hello 1.1 amd64`, not `hello 1.2 amd64`",
    ),
    (
        "a package without a digest",
        |mirror| edited(mirror, "SHA256:", "X-Sum:"),
        255,
        "no digest",
    ),
    (
        "a stanza that is none",
        |mirror| edited(mirror, "Architecture: amd64\n", "Architecture amd64\n"),
        255,
        "no colon",
    ),
    (
        "an index of which the rule wants a component that is not there",
        |mirror| mirror.rules("Components: nonsense>main\nConfig: Acquire::http::Timeout=1\n"),
        254,
        "lists no `nonsense/binary-amd64/Packages`",
    ),
];

fn edited(mirror: &mut Mirror, from: &str, to: &str) -> TestResult {
    mirror.upstream.edits = vec![(from.to_owned(), to.to_owned())];
    mirror.upstream.publish(&second_night(), Some(&mirror.key))
}

#[test]
fn an_upstream_that_cannot_be_trusted_changes_nothing_and_the_next_run_heals() -> TestResult {
    let Some(mut mirror) = Mirror::new()? else {
        return Ok(());
    };
    let timeout = "Config: Acquire::http::Timeout=1\n";
    mirror.rules(timeout)?;
    for (name, fault, status, words) in FAULTS {
        // a fresh archive each time, but the same keys and server
        for below in ["db", "www", "lists"] {
            let _ = std::fs::remove_dir_all(mirror.env.base().join(below));
        }
        mirror.upstream.date = DATE;
        mirror.upstream.publish(&first_night(), Some(&mirror.key))?;
        let _ = mirror.update().ok();
        mirror.second_night()?;
        fault(&mut mirror)?;
        let before = mirror.env.tree()?;
        let output = mirror.update().refused();
        assert_eq!(output.status, *status, "{name}: {output}");
        assert!(output.stderr.contains(words), "{name}: {output}");
        assert!(output.stderr.contains("not updated: `s`"), "{name}: {output}");
        let differences: Vec<String> = before.differences(&mirror.env.tree()?);
        assert!(
            differences.iter().all(|line| line.contains(".partial")),
            "{name}: {differences:?}"
        );
        assert_eq!(mirror.env.list("s"), FIRST, "{name}");

        mirror.server.behave();
        mirror.rules(timeout)?;
        mirror.upstream.fields.clear();
        mirror.upstream.edits.clear();
        mirror.second_night()?;
        let _ = mirror.update().ok();
        assert_eq!(mirror.env.list("s"), SECOND, "{name}");
        mirror.env.assert_verified("s")?;
        assert_eq!(mirror.env.pool()?.len(), 2, "{name}");
    }
    Ok(())
}

#[test]
fn a_slightly_older_release_is_not_used() -> TestResult {
    let Some(mut mirror) = Mirror::new()? else {
        return Ok(());
    };
    mirror.second_night()?;
    let _ = mirror.update().ok();
    mirror.upstream.date = DATE + DAY - 60;
    mirror.upstream.publish(&first_night(), Some(&mirror.key))?;
    let output = mirror.update().ok();
    assert!(output.stderr.contains("older than the one accepted before"), "{output}");
    assert_eq!(mirror.env.list("s"), SECOND);
    Ok(())
}

#[test]
fn a_release_that_becomes_that_of_another_distribution_is_refused() -> TestResult {
    let Some(mut mirror) = Mirror::new()? else {
        return Ok(());
    };
    let _ = mirror.update().ok();
    mirror.second_night()?;
    let release = mirror.upstream.root().join("dists/s/Release");
    let text = std::fs::read_to_string(&release)?.replace("Suite: s\nCodename: s\n", "Suite: t\nCodename: t\n");
    let inline = mirror.upstream.root().join("dists/s/InRelease");
    std::fs::write(&inline, text)?;
    mirror.key.clearsign(&inline)?;
    let output = mirror.update().exits(250);
    assert!(output.stderr.contains("is of another distribution"), "{output}");
    assert_eq!(mirror.env.list("s"), FIRST);
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

#[test]
fn a_broken_transfer_is_resumed() -> TestResult {
    let Some(mirror) = Mirror::new()? else { return Ok(()) };
    mirror.server.misbehave("hello_1.0_amd64.deb", Misbehave::Cut(100));
    let _ = mirror.update().ok();
    let requests = mirror.server.requests();
    assert!(
        requests.contains(&"/pool/hello/hello_1.0_amd64.deb 206".to_owned()),
        "{requests:?}"
    );
    assert_eq!(mirror.env.list("s"), FIRST);
    Ok(())
}

#[test]
fn what_a_failed_run_fetched_is_not_fetched_again() -> TestResult {
    let Some(mirror) = Mirror::new()? else { return Ok(()) };
    mirror.server.misbehave("leaving_3_i386.deb", Misbehave::Status(404));
    let _ = mirror.update().refused();
    assert!(
        mirror
            .server
            .requests()
            .contains(&"/pool/hello/hello_1.0_amd64.deb 200".to_owned())
    );
    assert_eq!(mirror.env.list("s"), "");
    mirror.server.behave();
    let _ = mirror.update().ok();
    let requests = mirror.server.requests();
    assert!(
        !requests.iter().any(|request| request.contains("/hello_1.0")),
        "{requests:?}"
    );
    assert_eq!(mirror.env.list("s"), FIRST);
    assert!(!mirror.env.outdir().join(".partial").exists());
    Ok(())
}

#[test]
fn an_edited_rule_or_filter_file_is_noticed() -> TestResult {
    let Some(mirror) = Mirror::new()? else { return Ok(()) };
    let _ = mirror.update().ok();
    mirror.env.conf("list", "hello deinstall\n")?;
    mirror.rules("FilterList: install list\n")?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s").lines().count(), 3);
    mirror.env.conf("list", "leaving deinstall\n")?;
    let _ = mirror.update().ok();
    assert_eq!(
        mirror.env.list("s"),
        "s|main|amd64: hello 1.0\ns|main|amd64: hello-doc 1.0\ns|main|i386: hello-doc 1.0\n"
    );
    mirror.rules("FilterFormula: Package (% *-doc)\n")?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s").lines().count(), 2);
    // a change of ours is noticed, too
    let _ = mirror.env.run(["-A", "amd64", "remove", "s", "hello-doc"]).ok();
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s").lines().count(), 2);
    Ok(())
}

#[test]
fn an_emptied_upstream_removes_nothing_unless_that_is_meant() -> TestResult {
    let Some(mut mirror) = Mirror::new()? else {
        return Ok(());
    };
    let many: Vec<Deb> = (0..12).map(|number| Deb::new(&format!("p{number}"), "1")).collect();
    mirror.upstream.publish(&many, Some(&mirror.key))?;
    let _ = mirror.update().ok();
    mirror.upstream.date += 1;
    mirror.upstream.publish(&[], Some(&mirror.key))?;
    let output = mirror.update().refused();
    assert!(
        output
            .stderr
            .contains("12 of 12 packages of `s|main|amd64` would be deleted"),
        "{output}"
    );
    assert!(output.stderr.contains("--noonlysmalldeletes"), "{output}");
    let _ = mirror.env.run(["--noonlysmalldeletes", "update", "s"]).ok();
    assert_eq!(mirror.env.list("s"), "");
    Ok(())
}

#[test]
fn several_versions_are_mirrored_where_the_limit_allows() -> TestResult {
    let Some(mirror) = Mirror::new()? else { return Ok(()) };
    mirror.env.conf(
        "distributions",
        "Codename: s\nArchitectures: amd64\nComponents: main\nLimit: 2\nUpdate: - u\n",
    )?;
    let versions = ["1.0", "1.2", "1.1"].map(|version| Deb::new("hello", version));
    mirror.upstream.publish(&versions, Some(&mirror.key))?;
    let _ = mirror.update().ok();
    assert_eq!(
        mirror.env.list("s"),
        "s|main|amd64: hello 1.2\ns|main|amd64: hello 1.1\n"
    );
    Ok(())
}

#[test]
fn a_directory_is_an_upstream_and_its_files_are_linked() -> TestResult {
    use std::os::unix::fs::MetadataExt;
    let Some(mirror) = Mirror::new()? else { return Ok(()) };
    let method = format!("file:{}", mirror.upstream.root().display());
    let rules = format!("Name: u\nMethod: {method}\nVerifyRelease: blindtrust\n\nName: v\nFrom: u\n");
    mirror.env.conf("updates", &rules)?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), FIRST);
    let in_pool = mirror.env.outdir().join("pool/main/h/hello/hello_1.0_amd64.deb");
    let there = mirror.upstream.root().join("pool/hello/hello_1.0_amd64.deb");
    assert_eq!(std::fs::metadata(in_pool)?.ino(), std::fs::metadata(there)?.ino());
    Ok(())
}

#[test]
fn hooks_change_an_index_before_it_is_read() -> TestResult {
    let Some(mirror) = Mirror::new()? else { return Ok(()) };
    mirror.rules("ListShellHook: sed \"s/^Priority: optional/Priority: $REPREPRO_FILTER_PACKAGETYPE/\"\n")?;
    let _ = mirror.update().ok();
    let packages = std::fs::read_to_string(mirror.env.outdir().join("dists/s/main/binary-i386/Packages"))?;
    assert!(packages.contains("\nPriority: deb\n"), "{packages}");
    mirror.rules("ListShellHook: exit 3\n")?;
    let before: Tree = mirror.env.tree()?;
    let output = mirror.update().refused();
    assert!(output.stderr.contains("the list hook of rule `u` failed"), "{output}");
    before.assert_unchanged(&mirror.env.tree()?);
    Ok(())
}
