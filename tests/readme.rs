//! Runs the ten-minute start of README.md, so that it cannot go stale.
//!
//! The rule: between the lines `<!-- test: start -->` and `<!-- test: end -->` of README.md, every fenced block marked
//! `sh` or `console` is run, in order, as one shell script that stops at the first failure (`set -e`).
//! - In a `console` block only lines that start with `$ ` are run, and the lines after them that a trailing `\`
//!   continues; every other line must be a line of what the script prints.
//! - Blocks of any other kind (`text`, `conf`, none) are shown only.
//! - `sudo` in front of a command is dropped, `/srv/apt` and `/etc/apt` stand for directories of the sandbox, port 8080
//!   for a free one, and `aptrepo` is the built program; apt knows nothing but the sandbox.
//! - A line that ends in `&` is a server: it runs in the background, is waited for, and is ended with the script.
//! - A package that the text includes without building it first (`hello_1.0-1_amd64.deb`, `hello_1.0-1_amd64.changes`,
//!   `hello_1.1-1_…`) lies in the current directory.
//! - A block after a line `<!-- test: skip -->` is not run: what needs root or another machine.

#![expect(clippy::disallowed_methods, reason = "test fixtures need no atomic writes")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{Changes, Deb, Source, TestEnv, TestResult};

/// The shell commands of the marked part, and the lines that it shows as their output.
fn commands(readme: &str) -> (String, Vec<&str>) {
    let (mut script, mut shown) = (String::new(), Vec::new());
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
                } else {
                    shown.push(line);
                }
            }
            _ => {}
        }
    }
    (script, shown)
}

/// The script with its paths and its port in the sandbox.
fn in_sandbox(script: &str, root: &Path, port: u16) -> String {
    let root = root.display();
    let wait = format!("curl -s -o /dev/null --retry 30 --retry-connrefused --retry-delay 1 http://127.0.0.1:{port}/");
    let script = script
        .replace("sudo ", "")
        .replace("/srv/apt", &format!("{root}/srv/apt"))
        .replace("/etc/apt", &format!("{root}/etc/apt"))
        .replace("8080", &port.to_string())
        .replace(" &\n", &format!(" &\nservers=\"$servers $!\"\n{wait}\n"));
    // jobs(1) knows nothing in a trap of dash
    format!("set -e\nservers=\ntrap 'kill $servers || true' EXIT\n{script}")
}

/// A configuration for apt that knows only `root`, to be named by APT_CONFIG.
fn apt_config(root: &Path) -> String {
    let root = root.display();
    format!(
        "Dir \"{root}/\";\nDir::State::status \"{root}/var/lib/dpkg/status\";\nDir::Etc::Trusted \"/nonexistent\";\n\
         Dir::Etc::TrustedParts \"/nonexistent\";\nAPT::Architecture \"amd64\";\nAPT::Architectures:: \"amd64\";\n\
         APT::Sandbox::User \"\";\nAcquire::http::Proxy \"DIRECT\";\nAcquire::Languages \"none\";\n"
    )
}

#[test]
fn the_rule_takes_commands_and_leaves_output() {
    let text = "```sh\nno\n```\n<!-- test: start -->\n```sh\none\n```\n```\nno\n```\n<!-- test: skip -->\n```sh\nno\n```\n\
                ```console\n$ two \\\n  more\nshown\n$ three\n```\n<!-- test: end -->\n```sh\nno\n```\n";
    let (script, shown) = commands(text);
    assert_eq!(script, "one\ntwo \\\n  more\nthree\n");
    assert_eq!(shown, ["shown"]);
}

#[test]
fn the_ten_minute_start_works() -> TestResult {
    if !support::have_tools(&["apt-get", "curl"]) {
        return Ok(());
    }
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))?;
    let (script, shown) = commands(&readme);
    assert!(
        script.contains("aptrepo "),
        "README.md marks no commands of ours:\n{script}"
    );
    let env = TestEnv::new()?;
    let root = env.root().join("readme");
    for dir in [
        "bin",
        "srv",
        "work",
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
        "etc/apt/sources.list.d",
        "var/lib/apt/lists/partial",
        "var/lib/dpkg",
        "var/cache/apt/archives/partial",
        "var/log/apt",
    ] {
        std::fs::create_dir_all(root.join(dir))?;
    }
    std::fs::write(root.join("var/lib/dpkg/status"), "")?;
    std::fs::write(root.join("apt.conf"), apt_config(&root))?;
    std::os::unix::fs::symlink(&env.tool().path, root.join("bin/aptrepo"))?;
    for version in ["1.0-1", "1.1-1"] {
        let changes = Changes::new("noble-staging")
            .source(&Source::new("hello", version))
            .deb(&Deb::new("hello", version).file("usr/bin/hello", b"#!/bin/sh\necho hello\n"));
        changes.build(&root.join("work"))?;
    }
    let mut command = Command::new("sh");
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    command.arg("-c").arg(in_sandbox(&script, &root, port));
    env.clean(&mut command);
    command.env("APT_CONFIG", root.join("apt.conf"));
    command.env("PATH", format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", root.display()));
    let output = env.finish(command.env("HOME", &root).current_dir(root.join("work")));
    assert_eq!(output.status, 0, "{script}\n{output}");
    for line in shown {
        assert!(
            output.stdout.lines().any(|printed| printed == line),
            "README.md shows `{line}`, but that is not printed:\n{output}"
        );
    }
    // what the text says of the client
    for expected in ["Candidate: 1.0-1", "500 http://", "1 http://"] {
        assert!(output.stdout.contains(expected), "no `{expected}`:\n{output}");
    }
    Ok(())
}
