//! Runs the ten-minute start of README.md, so that it cannot go stale.
//!
//! The rule: between the lines `<!-- test: start -->` and `<!-- test: end -->` of README.md, every fenced block marked
//! `sh` or `console` is run, in order, as one shell script that stops at the first failure (`set -e`).
//! - In a `console` block only lines that start with `$ ` are run, and the lines after them that a trailing `\`
//!   continues; all other lines show output and are passed over.
//! - Blocks of any other kind (`text`, `conf`, none) are shown only.
//! - `sudo` in front of a command is dropped, `/srv/apt` and `/etc/apt` stand for directories of the sandbox, and
//!   `aptrepo` is the built program. A line that ends in `&` runs in the background and is ended with the script.
//! - A package that the text includes without building it first (`hello_1.0-1_amd64.deb`, `hello_1.0-1_amd64.changes`,
//!   `hello_1.1-1_…`) lies in the current directory.
//! - A block after a line `<!-- test: skip -->` is not run: what needs root or another machine.

mod support;

use std::path::Path;
use std::process::Command;

use support::{Changes, Deb, Source, TestEnv, TestResult};

/// The shell commands of the marked part.
fn commands(readme: &str) -> String {
    let mut script = String::new();
    let (mut inside, mut skip, mut fence, mut continued) = (false, false, None, false);
    for line in readme.lines() {
        match (fence, line.trim()) {
            (None, "<!-- test: start -->") => inside = true,
            (None, "<!-- test: end -->") => inside = false,
            (None, "<!-- test: skip -->") => skip = true,
            (None, text) if text.starts_with("```") => {
                fence = Some(if inside && !skip {
                    text.trim_start_matches('`')
                } else {
                    ""
                });
                skip = false;
            }
            (Some(_), text) if text.starts_with("```") => fence = None,
            (Some("sh"), _) => script.push_str(&format!("{line}\n")),
            (Some("console"), _) => {
                if let Some(command) = line.strip_prefix("$ ").or(Some(line).filter(|_| continued)) {
                    script.push_str(&format!("{command}\n"));
                    continued = command.ends_with('\\');
                }
            }
            _ => {}
        }
    }
    script
}

/// The script with its paths in the sandbox.
fn in_sandbox(script: &str, root: &Path) -> String {
    let root = root.display();
    let script = script
        .replace("sudo ", "")
        .replace("/srv/apt", &format!("{root}/srv/apt"))
        .replace("/etc/apt", &format!("{root}/etc/apt"));
    format!("set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}")
}

#[test]
fn the_rule_takes_commands_and_leaves_output() {
    let text = "```sh\nno\n```\n<!-- test: start -->\n```sh\none\n```\n```\nno\n```\n<!-- test: skip -->\n```sh\nno\n```\n\
                ```console\n$ two \\\n  more\nno\n$ three\n```\n<!-- test: end -->\n```sh\nno\n```\n";
    assert_eq!(commands(text), "one\ntwo \\\n  more\nthree\n");
}

#[test]
fn the_ten_minute_start_works() -> TestResult {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let Ok(readme) = std::fs::read_to_string(&path) else {
        assert!(!support::skip("there is no README.md yet"));
        return Ok(());
    };
    let script = commands(&readme);
    assert!(
        script.contains("aptrepo "),
        "README.md marks no commands of ours:\n{script}"
    );
    let env = TestEnv::new()?;
    let root = env.root().join("readme");
    for dir in ["bin", "srv", "etc/apt/keyrings", "etc/apt/sources.list.d", "work"] {
        std::fs::create_dir_all(root.join(dir))?;
    }
    std::os::unix::fs::symlink(&env.tool().path, root.join("bin/aptrepo"))?;
    for version in ["1.0-1", "1.1-1"] {
        let changes = Changes::new("noble-staging")
            .source(&Source::new("hello", version))
            .deb(&Deb::new("hello", version).file("usr/bin/hello", b"#!/bin/sh\necho hello\n"));
        changes.build(&root.join("work"))?;
    }
    let mut command = Command::new("sh");
    command.arg("-c").arg(in_sandbox(&script, &root));
    env.clean(&mut command);
    command.env("PATH", format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", root.display()));
    let output = env.finish(command.env("HOME", &root).current_dir(root.join("work")));
    assert_eq!(output.status, 0, "{script}\n{output}");
    Ok(())
}
