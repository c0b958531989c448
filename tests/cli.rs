//! The command line as scripts and people meet it: exit codes, the texts that scripts parse, what a wrong command line
//! is told, and that a command does all of what it says or nothing.
//!
//! Exit codes and texts are reprepro's; the tests of section "as reprepro" run against it too
//! (`APTREPO_TEST_BINARY=/usr/bin/reprepro`). Those of what only aptrepo has are passed over there.
#![expect(clippy::disallowed_methods, reason = "test fixtures need no atomic writes")]

mod support;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use support::env::{one_distribution, three_distributions};
use support::verify::assert_signed;
use support::{Changes, Deb, Fault, GnupgHome, Output, Source, TestEnv, TestResult, Tool, have_tools};

/// Whether what only aptrepo has can be tested, that is, whether it is aptrepo that runs.
fn ours() -> bool {
    !Tool::under_test().is_reprepro
}

fn includedeb(env: &TestEnv, codename: &str, debs: &[Deb]) -> TestResult<Output> {
    let mut args = vec!["includedeb".into(), codename.into()];
    for deb in debs {
        args.push(deb.build(&env.incoming())?.into_os_string());
    }
    Ok(env.run(args))
}

fn include(env: &TestEnv, codename: &str, changes: &Changes) -> TestResult<Output> {
    let path = changes.build(&env.incoming())?;
    Ok(env.run(["include".as_ref(), codename.as_ref(), path.as_os_str()]))
}

/// `hello` with source, a binary for amd64 and one for all.
fn hello(version: &str) -> Changes {
    Changes::new("local")
        .source(
            &Source::new("hello", version)
                .binary("hello", "any")
                .binary("hello-doc", "all"),
        )
        .deb(&Deb::new("hello", version))
        .deb(&Deb::new("hello-doc", version).arch("all").source("hello"))
}

// ---------------------------------------------------------------------------------------------------- as reprepro

#[test]
fn list_shows_component_and_architecture_in_the_order_of_the_configuration() -> TestResult {
    let env = TestEnv::new()?;
    let _ = include(&env, "local", &hello("1.0-1"))?.ok();
    let _ = includedeb(
        &env,
        "local",
        &[Deb::new("zz", "2").section("contrib/misc").arch("i386")],
    )?
    .ok();
    assert_eq!(
        env.list("local"),
        "local|main|i386: hello-doc 1.0-1\nlocal|main|amd64: hello 1.0-1\nlocal|main|amd64: hello-doc 1.0-1\n\
         local|main|source: hello 1.0-1\nlocal|contrib|i386: zz 2\n"
    );
    assert_eq!(env.list("stable"), env.list("local"), "a suite names its distribution");
    assert_eq!(
        env.run(["list", "local", "zz"]).ok().stdout,
        "local|contrib|i386: zz 2\n"
    );
    assert_eq!(
        env.run(["-A", "source|i386", "-C", "main", "list", "local"])
            .ok()
            .stdout,
        "local|main|i386: hello-doc 1.0-1\nlocal|main|source: hello 1.0-1\n"
    );
    assert_eq!(
        env.run(["-T", "dsc", "list", "local"]).ok().stdout,
        "local|main|source: hello 1.0-1\n"
    );
    assert_eq!(
        env.run(["--list-max", "1", "--list-skip", "1", "list", "local"])
            .ok()
            .stdout,
        "local|main|amd64: hello 1.0-1\n"
    );
    assert_eq!(
        env.run([
            "--list-format",
            "${package}=${version;-8} ${$sourceversion}\\n",
            "listmatched",
            "local",
            "he*lo"
        ])
        .ok()
        .stdout,
        "hello=   1.0-1 1.0-1\nhello=   1.0-1 1.0-1\n"
    );
    Ok(())
}

#[test]
fn ls_shows_a_package_over_all_distributions_in_columns() -> TestResult {
    let conf = format!(
        "{}\n{}",
        one_distribution(&[]),
        "Codename: longer-name\nArchitectures: amd64\nComponents: main\n"
    );
    let env = TestEnv::with(Tool::under_test(), &conf)?;
    let _ = include(&env, "local", &hello("1.0-1"))?.ok();
    let _ = includedeb(&env, "longer-name", &[Deb::new("hello", "1.0-12")])?.ok();
    assert_eq!(
        env.run(["ls", "hello"]).ok().stdout,
        "hello |  1.0-1 |       local | amd64, source\nhello | 1.0-12 | longer-name | amd64\n"
    );
    assert_eq!(
        env.run(["lsbycomponent", "hello-doc"]).ok().stdout,
        "hello-doc | 1.0-1 | local | main | i386, amd64\n"
    );
    assert_eq!(env.run(["ls", "absent"]).ok().stdout, "");
    Ok(())
}

#[test]
fn dumptracks_shows_each_source_with_its_files() -> TestResult {
    let env = TestEnv::with_lines(&["Tracking: keep"])?;
    let _ = include(&env, "local", &hello("1.0-1"))?.ok();
    let shown = env.run(["dumptracks", "local"]).ok().stdout;
    let (head, files) = shown.split_once("Files:\n").unwrap_or((&shown, ""));
    assert_eq!(head, "Distribution: local\nSource: hello\nVersion: 1.0-1\n");
    let mut files: Vec<_> = files.lines().filter(|line| !line.is_empty()).collect();
    files.sort_unstable();
    assert_eq!(
        files,
        [
            " pool/main/h/hello/hello-doc_1.0-1_all.deb a 2",
            " pool/main/h/hello/hello_1.0-1.debian.tar.xz s 1",
            " pool/main/h/hello/hello_1.0-1.dsc s 1",
            " pool/main/h/hello/hello_1.0-1_amd64.deb b 1",
            " pool/main/h/hello/hello_1.0.orig.tar.gz s 1",
        ]
    );
    assert!(shown.ends_with("\n\n"), "a track ends with an empty line: {shown:?}");
    Ok(())
}

#[test]
fn unreferenced_files_are_listed_and_deleted() -> TestResult {
    let env = TestEnv::new()?;
    let _ = includedeb(&env, "local", &[Deb::new("hello", "1")])?.ok();
    assert_eq!(env.run(["dumpunreferenced"]).ok().stdout, "");
    let _ = env.run(["--keepunreferencedfiles", "remove", "local", "hello"]).ok();
    let file = "pool/main/h/hello/hello_1_amd64.deb";
    assert_eq!(env.run(["dumpunreferenced"]).ok().stdout, format!("{file}\n"));
    assert_eq!(env.pool()?, [file]);
    let _ = env.run(["deleteunreferenced"]).ok();
    assert_eq!(env.run(["dumpunreferenced"]).ok().stdout, "");
    assert!(env.pool()?.is_empty());
    Ok(())
}

#[test]
fn exit_codes_tell_what_was_wrong() -> TestResult {
    let env = TestEnv::new()?;
    let _ = includedeb(&env, "local", &[Deb::new("hello", "1")])?.ok();
    let _ = env.run(["bogus"]).exits(1).refused();
    let _ = env.run(["--bogus-option", "list", "local"]).exits(1).refused();
    let _ = env.run(["list", "nowhere"]).exits(249).refused();
    let _ = env.run(["includedeb", "nowhere", "x.deb"]).exits(249).refused();
    let _ = env
        .run(["includedeb", "local", "/nonexistent_1_amd64.deb"])
        .exits(254)
        .refused();
    let _ = env.run(["remove", "local", "absent"]).exits(0);
    let _ = env.run(["copy", "local", "local", "absent"]).exits(0);
    let _ = env.run(["--nothingiserror", "list", "local", "absent"]).exits(1);
    let _ = env.run(["--nothingiserror", "ls", "absent"]).exits(1);
    for formula in [
        "Package (== hello",
        "! Essential",
        "$Architecture (== amd46)",
        "$Component (== mian)",
    ] {
        let _ = env.run(["listfilter", "local", formula]).exits(255).refused();
        let _ = env.run(["removefilter", "local", formula]).exits(255).refused();
    }
    // The same file name with other content, and again when that is gone.
    let _ = includedeb(&env, "local", &[Deb::new("hello", "1").file("more", b"")])?.exits(254);
    let _ = env.run(["remove", "local", "absent", "hello"]).exits(0);
    let _ = includedeb(&env, "local", &[Deb::new("hello", "1").file("more", b"")])?.exits(0);
    env.conf("distributions", &one_distribution(&["Bogus: yes"]))?;
    let _ = env.run(["list", "local"]).exits(248).refused();
    env.conf("distributions", "Codename: local\n")?;
    assert!(env.run(["list", "local"]).refused().status > 1);
    env.conf("distributions", &one_distribution(&[]))?;
    env.options(&["bogus"])?;
    let _ = env.run(["list", "local"]).exits(1).refused();
    Ok(())
}

#[test]
fn another_file_of_the_same_name_is_refused_and_names_the_difference() -> TestResult {
    let conf = format!(
        "{}\nCodename: other\nArchitectures: amd64\nComponents: main\n",
        one_distribution(&[])
    );
    let env = TestEnv::with(Tool::under_test(), &conf)?;
    let _ = includedeb(&env, "local", &[Deb::new("hello", "1")])?.ok();
    let before = env.tree()?;
    let refused = includedeb(&env, "other", &[Deb::new("hello", "1").file("more", b"")])?
        .exits(254)
        .refused();
    assert!(
        refused.stderr.contains("pool/main/h/hello/hello_1_amd64.deb"),
        "{refused}"
    );
    before.assert_unchanged(&env.tree()?);
    Ok(())
}

#[test]
fn an_older_or_equal_version_is_skipped_with_a_word() -> TestResult {
    let env = TestEnv::new()?;
    let _ = includedeb(&env, "local", &[Deb::new("hello", "1.0-1")])?.ok();
    let before = env.tree()?;
    for version in ["1.0~rc1-1", "0.9", "1.0-1"] {
        let skipped = includedeb(&env, "local", &[Deb::new("hello", version)])?.ok();
        let words =
            format!("Skipping inclusion of 'hello' '{version}' in 'local|main|amd64', as it has already '1.0-1'.");
        assert!(skipped.text().contains(&words), "{skipped}");
    }
    before.assert_unchanged(&env.tree()?);
    Ok(())
}

#[test]
fn a_broken_upload_changes_nothing() -> TestResult {
    let env = TestEnv::new()?;
    let _ = include(&env, "local", &hello("1.0-1"))?.ok();
    let (before, list) = (env.tree()?, env.list("local"));
    for (fault, status) in [
        (Fault::WrongDigest, 254),
        (Fault::WrongSize, 254),
        (Fault::MissingFile, 249),
        (Fault::SurprisingArchitecture, 255),
        (Fault::SurprisingBinary, 255),
        (Fault::NoFiles, 255),
    ] {
        let refused = include(&env, "local", &hello("2.0-1").fault(fault))?.refused();
        assert_eq!(refused.status, status, "{fault:?}: {refused}");
        before.assert_unchanged(&env.tree()?);
        assert_eq!(env.list("local"), list, "{fault:?}");
    }
    let elsewhere = include(&env, "local", &Changes::new("elsewhere").deb(&Deb::new("other", "1")))?.refused();
    assert!(
        elsewhere.stderr.contains("wrongdistribution"),
        "the word for --ignore is named: {elsewhere}"
    );
    before.assert_unchanged(&env.tree()?);
    let path = Changes::new("elsewhere")
        .deb(&Deb::new("other", "1"))
        .build(&env.incoming())?;
    let let_pass = ["--ignore=wrongdistribution", "include", "local"].map(OsStr::new);
    let _ = env.run(let_pass.into_iter().chain([path.as_os_str()])).ok();
    assert_eq!(
        env.run(["list", "local", "other"]).ok().stdout,
        "local|main|amd64: other 1\n"
    );
    Ok(())
}

#[test]
fn a_signed_upload_is_taken() -> TestResult {
    if !have_tools(&["gpg", "gpgconf"]) {
        return Ok(());
    }
    let env = TestEnv::new()?;
    let home = GnupgHome::create(&env.root().join("uploader"))?;
    let path = hello("1.0-1").build(&env.incoming())?;
    home.clearsign(&path)?;
    let _ = env.run(["include".as_ref(), "local".as_ref(), path.as_os_str()]).ok();
    assert_eq!(env.list("local").lines().count(), 4);
    Ok(())
}

#[test]
fn long_options_may_be_shortened_and_commands_written_in_any_case() -> TestResult {
    let env = TestEnv::new()?;
    let _ = includedeb(
        &env,
        "local",
        &[Deb::new("hello", "1"), Deb::new("zz", "1").section("contrib/x")],
    )?
    .ok();
    let wanted = "local|contrib|amd64: zz 1\n";
    assert_eq!(env.run(["--comp=contrib", "LIST", "local"]).ok().stdout, wanted);
    assert_eq!(env.run(["--comp", "contrib", "List", "local"]).ok().stdout, wanted);
    assert_eq!(env.run(["-Ccontrib", "list", "local"]).ok().stdout, wanted);
    assert_eq!(env.run(["--nokeepunref", "list", "local", "zz"]).ok().stdout, wanted);
    let _ = env.run(["--keep", "list", "local"]).exits(1).refused();
    Ok(())
}

#[test]
fn options_of_the_environment_and_of_conf_options_are_heard() -> TestResult {
    let env = TestEnv::new()?;
    let _ = includedeb(&env, "local", &[Deb::new("hello", "1")])?.ok();
    let mut command = std::process::Command::new(&env.tool().path);
    command.args(["list", "local"]);
    env.clean(&mut command);
    let shown = env.finish(command.env("REPREPRO_BASE_DIR", env.base())).ok();
    assert_eq!(shown.stdout, "local|main|amd64: hello 1\n");
    env.options(&["nothingiserror"])?;
    let _ = env.run(["list", "local", "absent"]).exits(1);
    let _ = env.run(["--nonothingiserror", "list", "local", "absent"]).exits(0);
    Ok(())
}

#[test]
fn the_example_of_a_company_is_published_whole() -> TestResult {
    let env = TestEnv::with(Tool::under_test(), &three_distributions(&[]))?;
    let _ = env.run(["export"]).ok();
    let upload = Changes::new("precise-staging")
        .source(&Source::new("nsd", "4-1").section("role/dns"))
        .deb(&Deb::new("nsd", "4-1").section("role/dns"));
    let _ = include(&env, "precise-staging", &upload)?.ok();
    let _ = env
        .run(["-C", "role/dns", "copysrc", "precise-prod", "precise-staging", "nsd"])
        .ok();
    let wanted = "precise-prod|role/dns|amd64: nsd 4-1\nprecise-prod|role/dns|source: nsd 4-1\n";
    assert_eq!(env.list("precise-prod"), wanted);
    for codename in ["precise", "precise-staging", "precise-prod"] {
        env.assert_verified(codename)?;
    }
    assert!(
        env.pool()?
            .contains(&"pool/role/dns/n/nsd/nsd_4-1_amd64.deb".to_owned())
    );
    let release = std::fs::read_to_string(env.outdir().join("dists/precise-staging/Release"))?;
    assert!(
        release.contains("\nNotAutomatic: yes\n"),
        "the comment is cut: {release}"
    );
    Ok(())
}

#[test]
fn an_export_of_nothing_new_changes_only_release() -> TestResult {
    let env = TestEnv::with_lines(&["Contents: .gz"])?;
    let _ = include(&env, "local", &hello("1.0-1"))?.ok();
    let before = env.tree()?;
    let _ = env.run(["remove", "local", "absent"]).ok();
    before.assert_unchanged(&env.tree()?);
    let _ = env.run(["--export=never", "remove", "local", "hello"]).ok();
    assert_eq!(
        before
            .differences(&env.tree()?)
            .iter()
            .filter(|line| line.contains("dists/"))
            .count(),
        0
    );
    let _ = env.run(["export", "local"]).ok();
    env.assert_verified("local")?;
    let packages = std::fs::read_to_string(env.outdir().join("dists/local/main/binary-amd64/Packages"))?;
    assert!(!packages.contains("Package: hello\n"), "{packages}");
    Ok(())
}

#[test]
fn signatures_are_good_and_cover_what_is_published() -> TestResult {
    if !have_tools(&["gpg", "gpgv"]) {
        return Ok(());
    }
    let mut env = TestEnv::with_lines(&["SignWith: yes"])?;
    let public = env.make_key()?;
    let _ = include(&env, "local", &hello("1.0-1"))?.ok();
    env.assert_verified("local")?;
    assert_signed(&env.outdir(), "local", &public)?;
    Ok(())
}

#[test]
fn createsymlinks_links_suites_to_codenames() -> TestResult {
    let env = TestEnv::new()?;
    let _ = env.run(["export"]).ok();
    let link = env.outdir().join("dists/stable");
    assert_eq!(
        link.exists(),
        ours(),
        "publishing keeps the links of suites current; reprepro waits to be asked"
    );
    let _ = env.run(["createsymlinks"]).ok();
    assert_eq!(std::fs::read_link(link)?, PathBuf::from("local"));
    env.assert_verified("stable")?;
    Ok(())
}

// ---------------------------------------------------------------------------------------------------- only aptrepo

#[test]
fn several_files_are_one_transaction() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::new()?;
    let _ = includedeb(&env, "local", &[Deb::new("old", "1")])?.ok();
    let before = env.tree()?;
    let good = Deb::new("good", "1").build(&env.incoming())?;
    let more = Deb::new("more", "1").build(&env.incoming())?;
    let whole = std::fs::read(&more)?;
    for (what, content) in [
        ("no package", b"not a package".to_vec()),
        ("cut short", whole.get(..whole.len() / 2).unwrap_or_default().to_vec()),
        ("empty", Vec::new()),
    ] {
        let bad = env.incoming().join("bad_1_amd64.deb");
        std::fs::write(&bad, content)?;
        let files = [good.as_os_str(), bad.as_os_str(), more.as_os_str()];
        let refused = env
            .run(["includedeb", "local"].map(OsStr::new).into_iter().chain(files))
            .refused();
        assert!(
            refused.stderr.contains("bad_1_amd64.deb"),
            "{what}: the file is named: {refused}"
        );
        before.assert_unchanged(&env.tree()?);
        assert_eq!(env.list("local"), "local|main|amd64: old 1\n", "{what}");
    }
    let _ = env
        .run([
            "includedeb".as_ref(),
            "local".as_ref(),
            good.as_os_str(),
            more.as_os_str(),
        ])
        .ok();
    assert_eq!(env.list("local").lines().count(), 3);
    env.assert_verified("local")?;
    Ok(())
}

#[test]
fn a_dry_run_prints_the_plan_and_changes_nothing() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let conf = format!(
        "{}\nCodename: other\nArchitectures: i386 amd64 source\nComponents: main\n",
        one_distribution(&[])
    );
    let env = TestEnv::with(Tool::under_test(), &conf)?;
    let _ = include(&env, "local", &hello("1.0-1"))?.ok();
    let newer = hello("2.0-1").build(&env.incoming())?.to_string_lossy().into_owned();
    let (before, list) = (env.tree()?, env.list("local"));
    for args in [
        vec!["include", "local", &newer],
        vec!["copysrc", "other", "local", "hello"],
        vec!["copy", "other", "local", "hello-doc"],
        vec!["remove", "local", "hello"],
        vec!["removesrc", "local", "hello"],
        vec!["removematched", "local", "hello*"],
    ] {
        let plan = env.run(["--dry-run"].iter().chain(&args)).ok();
        assert!(plan.stdout.contains("hello"), "{args:?} tells what it would do: {plan}");
        before.assert_unchanged(&env.tree()?);
        assert_eq!(env.list("local"), list, "{args:?}");
        assert_eq!(env.list("other"), "", "{args:?}");
    }
    let _ = env.run(["--dry-run", "deleteunreferenced"]).ok();
    Ok(())
}

#[test]
fn a_misspelt_name_is_answered_with_the_nearest() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::new()?;
    let deb = Deb::new("hello", "1")
        .build(&env.incoming())?
        .to_string_lossy()
        .into_owned();
    for (args, nearest) in [
        (vec!["includdeb", "local", &deb], "includedeb"),
        (vec!["lst", "local"], "list"),
        (vec!["list", "locla"], "local"),
        (vec!["includedeb", "locall", &deb], "local"),
        (vec!["-C", "contirb", "includedeb", "local", &deb], "contrib"),
    ] {
        let refused = env.run(&args).refused();
        let suggestion = refused.stderr.contains("did you mean") && refused.stderr.contains(&format!("`{nearest}`"));
        assert!(suggestion, "{args:?}: {refused}");
    }
    Ok(())
}

#[test]
fn every_fault_of_the_configuration_is_reported_at_once_with_its_place() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::with(
        Tool::under_test(),
        "Codename: one\nArchitecture: amd64\nComponents: main\n\n\
         Codename: two\nArchitectures: amd64\nComponents: main\nTracking: sometimes\n\n\
         Codename: three\nArchitectures: amd64\nComponents: main\nContents: .rar\n",
    )?;
    let checked = env.run(["check-conf"]).refused();
    for (line, word) in [(2, "Architecture"), (8, "sometimes"), (13, "rar")] {
        let named = checked
            .stderr
            .lines()
            .any(|text| text.contains(&format!("distributions:{line}")) && text.contains(word));
        assert!(named, "line {line}, {word}: {checked}");
    }
    assert!(
        checked.stderr.contains("Architectures"),
        "the nearest field is named: {checked}"
    );
    env.conf("distributions", &one_distribution(&[]))?;
    let _ = env.run(["check-conf"]).ok();
    Ok(())
}

#[test]
fn init_makes_an_archive_that_works() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::new()?;
    std::fs::remove_dir_all(env.base())?;
    let _ = env.run(["init", "noble-staging", "noble-prod"]).ok();
    let _ = env.run(["check-conf"]).ok();
    let _ = env
        .run(["key", "generate", "--name", "Test", "--email", "archive@example.org"])
        .ok();
    let _ = env.run(["export"]).ok();
    let _ = includedeb(&env, "noble-staging", &[Deb::new("hello", "1")])?.ok();
    let _ = env.run(["copy", "noble-prod", "noble-staging", "hello"]).ok();
    assert_eq!(env.list("noble-prod"), "noble-prod|main|amd64: hello 1\n");
    for codename in ["noble-staging", "noble-prod"] {
        env.assert_verified(codename)?;
        assert!(
            env.outdir().join("dists").join(codename).join("InRelease").is_file(),
            "{codename} is signed"
        );
    }
    let before = std::fs::read(env.base().join("conf/distributions"))?;
    let _ = env.run(["init", "other"]).refused();
    assert_eq!(
        std::fs::read(env.base().join("conf/distributions"))?,
        before,
        "a second init overwrites nothing"
    );
    Ok(())
}

#[test]
fn json_answers_parse_and_say_the_same() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::with_lines(&["Tracking: keep"])?;
    let _ = include(&env, "local", &hello("1.0-1"))?.ok();
    let rows = |args: &[&str]| -> TestResult<usize> {
        let output = env.run(["--json"].iter().chain(args)).ok();
        let value: serde_json::Value =
            serde_json::from_str(&output.stdout).map_err(|error| format!("{args:?}: {error}: {output}"))?;
        Ok(value.as_array().map_or(0, Vec::len))
    };
    assert_eq!(rows(&["list", "local"])?, 4);
    assert_eq!(rows(&["ls", "hello"])?, 1);
    assert_eq!(rows(&["lsbycomponent", "hello"])?, 1);
    assert_eq!(rows(&["dumptracks"])?, 1);
    assert_eq!(rows(&["dumpunreferenced"])?, 0);
    assert!(rows(&["dumpreferences"])? > 4);
    assert_eq!(rows(&["_listcodenames"])?, 1);
    for command in [
        "export",
        "createsymlinks",
        "check",
        "checkpool",
        "rerunnotifiers",
        "check-conf",
    ] {
        assert_eq!(rows(&[command])?, 0, "{command}");
    }
    assert!(rows(&["--dry-run", "removesrc", "local", "hello"])? > 0);
    let deb = Deb::new("more", "1").build(&env.incoming())?;
    assert_eq!(rows(&["includedeb", "local", &deb.to_string_lossy()])?, 1);
    assert_eq!(rows(&["remove", "local", "more"])?, 1);
    Ok(())
}

#[test]
fn a_closed_pipe_is_no_error_and_no_panic() -> TestResult {
    let env = TestEnv::new()?;
    let _ = includedeb(&env, "local", &[Deb::new("hello", "1"), Deb::new("zz", "1")])?.ok();
    for args in [vec!["list", "local"], vec!["--help"], vec!["dumpreferences"]] {
        let mut child = env
            .command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        drop(child.stdout.take());
        let output = env.wait(child);
        assert!(!output.stderr.contains("panicked"), "{args:?}: {output}");
        assert!(output.status <= 0 || !ours(), "{args:?}: {output}");
    }
    Ok(())
}

#[test]
fn full_standard_output_is_an_error() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::new()?;
    let _ = includedeb(&env, "local", &[Deb::new("hello", "1")])?.ok();
    let full = File::options().write(true).open("/dev/full")?;
    let child = env
        .command(["list", "local"])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()?;
    let _ = env.wait(child).refused();
    Ok(())
}

#[test]
fn arguments_that_are_no_text_are_refused_in_words() -> TestResult {
    let env = TestEnv::new()?;
    let odd = OsStr::from_bytes(b"caf\xe9");
    for args in [
        ["list", "local"],
        ["ls", ""],
        ["remove", "local"],
        ["includedeb", "local"],
        ["-C", ""],
    ] {
        let args = args
            .into_iter()
            .filter(|arg| !arg.is_empty())
            .map(OsStr::new)
            .chain([odd]);
        let output = env.run(args);
        assert!(output.status >= 0 && !output.stderr.contains("panicked"), "{output}");
    }
    let file = env.incoming().join(OsStr::from_bytes(b"caf\xe9_1_amd64.deb"));
    std::fs::write(&file, Deb::new("cafe", "1").bytes()?)?;
    let _ = env
        .run(["includedeb".as_ref(), "local".as_ref(), file.as_os_str()])
        .ok();
    assert_eq!(
        env.list("local"),
        "local|main|amd64: cafe 1\n",
        "the upload's own name does not matter"
    );
    Ok(())
}

#[test]
fn two_writers_at_once_take_turns() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::new()?;
    let mut children = Vec::new();
    for at in 0..8 {
        let deb = Deb::new(&format!("pkg{at}"), "1").build(&env.incoming())?;
        let args = [
            "--waitforlock".as_ref(),
            "3".as_ref(),
            "includedeb".as_ref(),
            "local".as_ref(),
            deb.as_os_str(),
        ];
        children.push(
            env.command(args)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?,
        );
    }
    for child in children {
        let _ = env.wait(child).ok();
    }
    assert_eq!(env.list("local").lines().count(), 8);
    env.assert_verified("local")?;
    let _ = env.run(["check"]).ok();
    Ok(())
}

#[test]
fn a_reader_does_not_wait_for_a_writer_and_a_second_writer_is_told_who_it_is() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::with_lines(&["Log: local.log", " slow"])?;
    env.script("slow", "#!/bin/sh\ntouch \"$REPREPRO_BASE_DIR/started\"\nwhile ! [ -e \"$REPREPRO_BASE_DIR/go\" ]; do sleep 0.02; done\n")?;
    let slow = Deb::new("hello", "1").build(&env.incoming())?;
    let writer = env
        .command(["includedeb".as_ref(), "local".as_ref(), slow.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pid = writer.id().to_string();
    let start = Instant::now();
    while !env.base().join("started").exists() && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let reading = Instant::now();
    let listed = env.run(["list", "local"]);
    let waited = reading.elapsed();
    let blocked = env.run(["remove", "local", "hello"]);
    std::fs::write(env.base().join("go"), "")?;
    let _ = env.wait(writer).ok();
    let _ = listed.ok();
    assert!(waited < Duration::from_secs(5), "the reader waited {waited:?}");
    let blocked = blocked.exits(239).refused();
    assert!(
        blocked.stderr.contains(&pid),
        "it is told who holds the lock, {pid}: {blocked}"
    );
    assert_eq!(env.list("local"), "local|main|amd64: hello 1\n");
    Ok(())
}

#[test]
fn help_and_version_are_answers() -> TestResult {
    let env = TestEnv::new()?;
    assert!(env.run(["--help"]).ok().stdout.contains("includedeb"));
    let _ = env.run(["--version"]).ok();
    if ours() {
        let help = env.run(["includedeb", "--help"]).ok().stdout;
        assert!(help.contains("--section"), "{help}");
        for word in ["copysrc", "createsymlinks", "Exit codes"] {
            assert!(env.run(["--help"]).ok().stdout.contains(word), "{word}");
        }
        let nothing = env.run::<[&str; 0], &str>([]);
        assert!(nothing.status == 1 && nothing.text().contains("Usage"), "{nothing}");
    }
    Ok(())
}

#[test]
fn control_characters_of_a_package_do_not_reach_the_terminal() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::new()?;
    let refused = env
        .run(["includedeb", "local", "/nonexistent/\u{1b}[31mred_1_amd64.deb"])
        .refused();
    assert!(!refused.stderr.contains('\u{1b}'), "{refused:?}");
    Ok(())
}

#[test]
fn delete_takes_away_what_came_in_and_twice_all_that_was_listed() -> TestResult {
    let env = TestEnv::new()?;
    let changes = hello("1.0-1").build(&env.incoming())?;
    let names = || -> TestResult<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(env.incoming())? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    };
    let all = names()?;
    let _ = env
        .run([
            "--delete".as_ref(),
            "include".as_ref(),
            "other".as_ref(),
            changes.as_os_str(),
        ])
        .refused();
    assert_eq!(names()?, all, "nothing goes where nothing came in");
    let _ = env
        .run([
            "--delete".as_ref(),
            "include".as_ref(),
            "local".as_ref(),
            changes.as_os_str(),
        ])
        .ok();
    assert_eq!(names()?, ["hello_1.0-1_amd64.changes"]);
    if ours() {
        let changes = hello("1.1-1").build(&env.incoming())?;
        let twice = ["--delete", "--delete", "include", "local"].map(OsStr::new);
        let _ = env.run(twice.into_iter().chain([changes.as_os_str()])).ok();
        assert_eq!(names()?, ["hello_1.0-1_amd64.changes"]);
    }
    Ok(())
}

#[test]
fn the_endhook_is_told_the_exit_code_and_gives_its_own() -> TestResult {
    let env = TestEnv::new()?;
    env.script(
        "hook",
        "#!/bin/sh\necho \"$REPREPRO_EXIT_CODE $*\" >\"$REPREPRO_BASE_DIR/told\"\nexit 7\n",
    )?;
    let _ = env.run(["--endhook", "hook", "list", "local"]).exits(7);
    assert_eq!(std::fs::read_to_string(env.base().join("told"))?, "0 list local\n");
    let _ = env.run(["--endhook", "hook", "list", "elsewhere"]).exits(7);
    // reprepro tells 0 there
    let code = if ours() { 249 } else { 0 };
    assert_eq!(
        std::fs::read_to_string(env.base().join("told"))?,
        format!("{code} list elsewhere\n")
    );
    Ok(())
}

#[test]
fn what_changes_nothing_but_dists_can_be_tried_too() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::new()?;
    let _ = env.run(["export"]).ok();
    std::fs::remove_file(env.outdir().join("dists/stable"))?;
    let before = env.tree()?;
    let tried = env.run(["--dry-run", "createsymlinks"]).ok();
    assert!(tried.stdout.contains("dists/stable: link to local"), "{tried}");
    for command in [
        "export",
        "rerunnotifiers",
        "deleteunreferenced",
        "retrack",
        "tidytracks",
    ] {
        let _ = env.run(["--dry-run", command]).ok();
    }
    let key = [
        "--dry-run",
        "key",
        "generate",
        "--name",
        "x",
        "--email",
        "x@example.com",
    ];
    let _ = env.run(key).exits(1);
    before.assert_unchanged(&env.tree()?);
    Ok(())
}

#[test]
fn an_archive_without_a_key_says_how_to_make_one_and_keeps_the_change() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::with_lines(&["SignWith: yes"])?;
    let deb = [Deb::new("hello", "1")];
    let refused = includedeb(&env, "local", &deb)?.exits(251).refused();
    assert!(refused.stderr.contains("key generate`"), "{refused}");
    assert!(refused.stderr.contains("the change is kept"), "{refused}");
    assert_eq!(env.list("local"), "local|main|amd64: hello 1\n");
    Ok(())
}

#[test]
fn check_conf_looks_into_the_files_that_are_named() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::with_lines(&["Uploaders: who", "Log: local.log", " nobody"])?;
    env.conf("who", "allow * by anybody\nnonsense\n")?;
    let faults = env.run(["check-conf"]).refused();
    assert!(faults.stderr.contains("who:2"), "{faults}");
    env.conf("who", "allow * by unsigned\n")?;
    let warned = env.run(["check-conf"]).ok();
    assert!(warned.stderr.contains("nobody` of `local` is not there"), "{warned}");
    let refused = env.run(["--confdir", "+b/new", "init", "--origin", "a\nb"]).exits(1);
    assert!(refused.stderr.contains("invalid origin"), "{refused}");
    Ok(())
}

#[test]
fn an_option_without_effect_says_so() -> TestResult {
    if !ours() {
        return Ok(());
    }
    let env = TestEnv::new()?;
    let warned = env.run(["--keeptemporaries", "list", "local"]).ok();
    assert!(warned.stderr.contains("`keeptemporaries` has no effect"), "{warned}");
    let refused = env.run(["--outhook", "x", "list", "local"]).exits(1);
    assert!(refused.stderr.contains("not supported yet"), "{refused}");
    Ok(())
}
