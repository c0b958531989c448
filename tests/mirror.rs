//! `update` against an upstream of the tests' own: what comes in, and what does not happen twice. How an upstream can go
//! wrong is in `faults`.

mod support;

use support::mirror::{DATE, DAY, FIRST, Mirror, SECOND, first_night};
use support::upstream::Misbehave;
use support::{Deb, TestResult, Tree};

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
