//! SIGINT and SIGTERM: a clean end at once, nothing lost, nothing fetched twice.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Deb, Mirror, Output, TestResult, large};

const INTERRUPTED: i32 = 247;

fn start(mirror: &Mirror) -> TestResult<Child> {
    let mut command = mirror.env.command(["update"]);
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

fn send(child: &Child, signal: Signal) -> TestResult {
    let pid = Pid::from_raw(i32::try_from(child.id())?).ok_or("no process")?;
    Ok(kill_process(pid, signal)?)
}

/// Sends a signal, and gives what the program says then; it must be gone within a second, or on a busy machine three.
fn stopped(mirror: &Mirror, child: Child, signal: Signal) -> TestResult<Output> {
    let start = Instant::now();
    send(&child, signal)?;
    let output = mirror.env.wait(child);
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}: {output}",
        start.elapsed()
    );
    Ok(output)
}

#[test]
fn a_download_that_is_interrupted_goes_on_where_it_was() -> TestResult {
    for signal in [Signal::INT, Signal::TERM] {
        let Some(mirror) = Mirror::new("Update: u\n")? else {
            return Ok(());
        };
        mirror.publish(&[large("big", 400_000), Deb::new("small", "1")])?;
        mirror.server.slow_down(200_000);
        let child = start(&mirror)?;
        mirror.server.wait_for("/big_1.0_amd64.deb");
        std::thread::sleep(Duration::from_millis(600));
        let output = stopped(&mirror, child, signal)?.exits(INTERRUPTED);
        assert!(output.stderr.contains("not updated: `s`"), "{output}");
        assert!(
            output.stderr.contains("2 files of") && output.stderr.contains("the next `aptrepo -b"),
            "{output}"
        );
        assert_eq!(mirror.env.list("s"), "");
        mirror.server.slow_down(10_000_000);
        mirror.server.requests();
        let _ = mirror.update().ok();
        let requests = mirror.server.requests();
        let of_packages: Vec<&String> = requests.iter().filter(|line| line.contains(".deb")).collect();
        assert!(
            matches!(of_packages.as_slice(), [only] if only.starts_with("/pool/big_1.0_amd64.deb 206 from ")),
            "{requests:?}"
        );
        assert_eq!(mirror.env.list("s"), "s|main|amd64: big 1.0\ns|main|amd64: small 1\n");
        mirror.env.assert_verified("s")?;
        assert!(!mirror.env.outdir().join(".partial").exists());
    }
    Ok(())
}

#[test]
fn what_is_left_of_another_file_is_fetched_once_more() -> TestResult {
    let Some(mirror) = Mirror::new("Update: u\n")? else {
        return Ok(());
    };
    mirror.publish(&[large("big", 300_000)])?;
    mirror.server.slow_down(150_000);
    let child = start(&mirror)?;
    mirror.server.wait_for("/big_1.0_amd64.deb");
    std::thread::sleep(Duration::from_millis(600));
    let _ = stopped(&mirror, child, Signal::TERM)?.exits(INTERRUPTED);
    let room = mirror.env.outdir().join(".partial");
    let part = std::fs::read_dir(&room)?.next().ok_or("nothing was kept")??.path();
    let length = std::fs::metadata(&part)?.len();
    assert!(length > 20_000, "{length}");
    std::fs::write(&part, vec![b'?'; usize::try_from(length)?])?;
    mirror.server.behave(super::site::Manner::default());
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), "s|main|amd64: big 1.0\n");
    mirror.env.assert_verified("s")
}

#[test]
fn what_is_left_of_another_index_is_fetched_once_more() -> TestResult {
    for rest in ["Package: odd\n", &"?".repeat(5000)] {
        let Some(mirror) = Mirror::new("Update: u\n")? else {
            return Ok(());
        };
        mirror.publish(&[Deb::new("small", "1")])?;
        let lists = mirror.env.base().join("lists");
        std::fs::create_dir(&lists)?;
        std::fs::write(lists.join(".u_s_main_amd64_Packages.part"), rest)?;
        let _ = mirror.update().ok();
        assert_eq!(mirror.env.list("s"), "s|main|amd64: small 1\n");
    }
    Ok(())
}

#[test]
fn a_hook_that_runs_is_ended() -> TestResult {
    let Some(mirror) = Mirror::new("Update: u\n")? else {
        return Ok(());
    };
    mirror.publish(&[Deb::new("small", "1")])?;
    let mark = mirror.env.root().join("hook");
    mirror.rule(&format!("ListShellHook: touch {}; sleep 60; cat", mark.display()))?;
    let child = start(&mirror)?;
    wait_for_file(&mark);
    let output = stopped(&mirror, child, Signal::INT)?.exits(INTERRUPTED);
    assert!(!output.stderr.contains("kept"), "{output}");
    mirror.rule("")?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), "s|main|amd64: small 1\n");
    Ok(())
}

#[test]
fn waiting_for_the_lock_ends_too() -> TestResult {
    let Some(mirror) = Mirror::new("Update: u\n")? else {
        return Ok(());
    };
    mirror.publish(&[Deb::new("small", "1")])?;
    std::fs::create_dir_all(mirror.env.base().join("db"))?;
    let lock = std::fs::File::create(mirror.env.base().join("db/lock"))?;
    lock.lock()?;
    let child = start(&mirror)?;
    mirror.server.wait_for("Packages");
    std::thread::sleep(Duration::from_millis(300));
    let _ = stopped(&mirror, child, Signal::TERM)?.exits(INTERRUPTED);
    lock.unlock()?;
    let _ = mirror.update().ok();
    assert_eq!(mirror.env.list("s"), "s|main|amd64: small 1\n");
    Ok(())
}

#[test]
fn a_commit_is_finished_and_a_second_signal_ends_at_once() -> TestResult {
    for is_patient in [true, false] {
        let Some(mirror) = Mirror::new("Update: u\nLog: s.log\n notify\n")? else {
            return Ok(());
        };
        let mark = mirror.env.root().join("notified");
        let seconds = if is_patient { 1 } else { 30 };
        mirror.env.script(
            "notify",
            &format!(
                "#!/bin/sh\ntouch {}\nexec sleep {seconds} >/dev/null 2>&1\n",
                mark.display()
            ),
        )?;
        mirror.publish(&[Deb::new("small", "1")])?;
        let child = start(&mirror)?;
        wait_for_file(&mark);
        send(&child, Signal::INT)?;
        if is_patient {
            // it was the last distribution: all is done
            let _ = mirror.env.wait(child).ok();
        } else {
            std::thread::sleep(Duration::from_millis(300));
            let _ = stopped(&mirror, child, Signal::INT)?.exits(INTERRUPTED);
        }
        assert_eq!(mirror.env.list("s"), "s|main|amd64: small 1\n");
        mirror.env.assert_verified("s")?;
        let _ = mirror.env.run(["check"]).ok();
    }
    Ok(())
}

fn wait_for_file(path: &std::path::Path) {
    for _ in 0..1000 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    unreachable!("{} does not come", path.display());
}
