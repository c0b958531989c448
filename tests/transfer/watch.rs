//! What is told of a download: a line that is drawn over on a terminal, one line for each rule elsewhere.

use std::process::Command;

use super::{Deb, Mirror, Output, TestResult, have_tools, large};

/// Runs `update` with stderr being a terminal.
fn on_terminal(mirror: &Mirror, options: &str) -> Output {
    let program = mirror.env.tool().path.to_string_lossy().into_owned();
    let base = mirror.env.base();
    let line = format!("stty cols 60; {program} -b {} {options} update s", base.display());
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]);
    mirror.env.clean(&mut script);
    mirror.env.finish(script.env("SHELL", "/bin/sh").env("TERM", "xterm"))
}

#[test]
fn a_terminal_sees_one_line_that_is_drawn_over() -> TestResult {
    let Some(mirror) = Mirror::new("Update: u\n")? else {
        return Ok(());
    };
    if !have_tools(&["script"]) {
        return Ok(());
    }
    mirror.publish(&[large("big", 600_000), Deb::new("small", "1")])?;
    mirror.server.slow_down(400_000);
    let output = on_terminal(&mirror, "").ok();
    let frames: Vec<&str> = output
        .stdout
        .split('\r')
        .filter(|frame| frame.contains("files, ") && frame.contains("B/s"))
        .collect();
    assert!(frames.len() > 2, "{output}");
    for frame in &frames {
        let text = frame.trim_end_matches("\x1b[K");
        assert!(text.len() < 60 && !text.contains('\n'), "{frame:?} in {output}");
    }
    assert!(
        frames
            .iter()
            .any(|frame| frame.contains("kB/60") && frame.contains(" s left: big_1.0")),
        "{frames:?}"
    );
    // nothing of it is left where other lines follow
    assert!(output.stdout.contains("\r\x1b[KPublishing s"), "{output}");
    assert!(output.stdout.contains("\nu: 2 files fetched, 60"), "{output}");
    Ok(())
}

#[test]
fn a_silent_terminal_sees_nothing() -> TestResult {
    let Some(mirror) = Mirror::new("Update: u\n")? else {
        return Ok(());
    };
    if !have_tools(&["script"]) {
        return Ok(());
    }
    mirror.publish(&[large("big", 200_000)])?;
    mirror.server.slow_down(200_000);
    assert_eq!(on_terminal(&mirror, "-s").ok().stdout, "");
    assert_eq!(mirror.env.list("s"), "s|main|amd64: big 1.0\n");
    Ok(())
}

#[test]
fn cron_sees_one_line_for_a_rule_and_nothing_if_nothing_is_new() -> TestResult {
    let Some(mirror) = Mirror::new("Update: u\n")? else {
        return Ok(());
    };
    mirror.publish(&[large("big", 400_000)])?;
    mirror.server.slow_down(300_000);
    let output = mirror.update().ok();
    let line = output.stdout.strip_prefix("u: 1 file fetched, 40").unwrap_or_default();
    assert!(line.ends_with(" s\n") && line.contains(" kB in "), "{output}");
    assert_eq!(output.stderr, "");
    let output = mirror.update().ok();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    mirror.publish(&[Deb::new("other", "1")])?;
    assert_eq!(mirror.env.run(["-s", "update", "s"]).ok().text(), "");
    Ok(())
}

#[test]
fn a_limit_keeps_the_rate_down() -> TestResult {
    let Some(mirror) = Mirror::new("Update: u\n")? else {
        return Ok(());
    };
    mirror.publish(&[large("one", 150_000), large("two", 150_001)])?;
    mirror.rule("Config: Acquire::http::Dl-Limit=100")?;
    let start = std::time::Instant::now();
    let _ = mirror.update().ok();
    let seconds = start.elapsed().as_secs_f64();
    assert!(seconds > 2.4, "300 kB at 100 kB/s took {seconds} s");
    mirror.env.assert_verified("s")
}
