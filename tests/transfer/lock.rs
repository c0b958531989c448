//! The archive can be changed while an update downloads; what was decided then still holds, or is decided anew.

use std::process::{Child, Stdio};

use super::{Deb, Mirror, TestResult, large};

fn start(mirror: &Mirror, options: &[&str]) -> TestResult<Child> {
    let mut command = mirror.env.command(options.iter().chain(&["update", "s"]));
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// A mirror in which an update has begun to fetch a large package.
fn downloading(lines: &str, debs: &[Deb]) -> TestResult<Option<(Mirror, Child)>> {
    let Some(mirror) = Mirror::new(lines)? else {
        return Ok(None);
    };
    let mut all = vec![large("big", 400_000)];
    all.extend(debs.iter().cloned());
    mirror.publish(&all)?;
    mirror.server.slow_down(150_000);
    let child = start(&mirror, &[])?;
    mirror.server.wait_for("/big_1.0_amd64.deb");
    Ok(Some((mirror, child)))
}

fn include(mirror: &Mirror, codename: &str, deb: &Deb) -> TestResult {
    let file = deb.build(&mirror.env.incoming())?;
    let _ = mirror
        .env
        .run(["includedeb".as_ref(), codename.as_ref(), file.as_os_str()])
        .ok();
    Ok(())
}

#[test]
fn packages_are_included_while_an_update_downloads() -> TestResult {
    let Some((mirror, mut child)) = downloading("Update: u\n", &[])? else {
        return Ok(());
    };
    include(&mirror, "own", &Deb::new("ours", "1"))?;
    include(&mirror, "s", &Deb::new("ours", "1"))?;
    // a newer one of what is being fetched wins
    include(&mirror, "s", &Deb::new("big", "2.0"))?;
    assert!(
        child.try_wait()?.is_none(),
        "the download is over too early for this test"
    );
    let _ = mirror.env.wait(child).ok();
    assert_eq!(mirror.env.list("s"), "s|main|amd64: big 2.0\ns|main|amd64: ours 1\n");
    assert_eq!(mirror.env.list("own"), "own|main|amd64: ours 1\n");
    mirror.env.assert_verified("s")?;
    let journal = std::fs::read_to_string(mirror.env.base().join("db/journal"))?;
    assert_eq!(
        journal.lines().count(),
        3,
        "an update that changed nothing is no change: {journal}"
    );
    let quiet = mirror.update().ok();
    assert_eq!(quiet.text(), "");
    Ok(())
}

#[test]
fn others_and_an_update_both_change_a_distribution() -> TestResult {
    let Some((mirror, child)) = downloading("Update: u\n", &[Deb::new("small", "1")])? else {
        return Ok(());
    };
    include(&mirror, "s", &Deb::new("ours", "1"))?;
    let _ = mirror.env.wait(child).ok();
    assert_eq!(
        mirror.env.list("s"),
        "s|main|amd64: big 1.0\ns|main|amd64: ours 1\ns|main|amd64: small 1\n"
    );
    mirror.env.assert_verified("s")?;
    let requests = mirror.server.requests();
    assert!(!requests.iter().any(|line| line.contains("/big_")), "{requests:?}");
    Ok(())
}

#[test]
fn a_pool_file_that_goes_while_an_update_downloads_is_fetched() -> TestResult {
    let small = Deb::new("small", "1");
    let Some(mirror) = Mirror::new("Update: u\n")? else {
        return Ok(());
    };
    include(&mirror, "own", &small)?;
    mirror.publish(&[large("big", 400_000), small])?;
    mirror.server.slow_down(150_000);
    let child = start(&mirror, &[])?;
    mirror.server.wait_for("/big_1.0_amd64.deb");
    let _ = mirror.env.run(["remove", "own", "small"]).ok();
    assert_eq!(mirror.env.pool()?, Vec::<String>::new());
    let _ = mirror.env.wait(child).ok();
    assert_eq!(mirror.env.list("s"), "s|main|amd64: big 1.0\ns|main|amd64: small 1\n");
    mirror.env.assert_verified("s")?;
    let requests = mirror.server.requests();
    assert_eq!(
        requests.iter().filter(|line| line.ends_with(".deb 200")).count(),
        1,
        "the large one is not fetched twice: {requests:?}"
    );
    let _ = mirror.env.run(["checkpool"]).ok();
    Ok(())
}

#[test]
fn two_updates_do_not_meet() -> TestResult {
    let Some((mirror, first)) = downloading("Update: u\n", &[])? else {
        return Ok(());
    };
    let second = mirror.update().exits(239);
    assert!(second.stderr.contains("update.lock"), "{second}");
    let third = start(&mirror, &["--waitforlock", "3"])?;
    let _ = mirror.env.wait(first).ok();
    let third = mirror.env.wait(third).ok();
    assert_eq!(third.text(), "");
    assert_eq!(mirror.env.list("s"), "s|main|amd64: big 1.0\n");
    Ok(())
}
