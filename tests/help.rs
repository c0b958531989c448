//! The reference of the command line: every help page in one snapshot, so that no change of it goes unnoticed.

mod support;

use support::{TestEnv, TestResult};

/// The names in a page below a heading such as `Actions:`, or below all headings of commands.
fn names(page: &str, is_heading: impl Fn(&str) -> bool) -> Vec<String> {
    let mut is_inside = false;
    let mut names = Vec::new();
    for line in page.lines() {
        if !line.starts_with(' ') {
            is_inside = is_heading(line);
        } else if is_inside
            && let Some(name) = line
                .split_ascii_whitespace()
                .next()
                .filter(|_| !line.starts_with("   "))
        {
            names.push(name.to_owned());
        }
    }
    names
}

#[test]
fn command_line() -> TestResult {
    let env = TestEnv::new()?;
    if env.tool().is_reprepro {
        return Ok(());
    }
    let overview = env.run(["--help"]).ok().stdout;
    let commands = overview.split("\n`aptrepo COMMAND").next().unwrap_or_default();
    let mut pages = format!("$ aptrepo --help\n{overview}\n");
    for command in names(commands, |line| line.ends_with(':') && !line.starts_with("Usage")) {
        let page = env.run([command.as_str(), "--help"]).ok().stdout;
        pages += &format!("$ aptrepo {command} --help\n{page}\n");
        for action in names(&page, |line| line == "Actions:") {
            let page = env.run([command.as_str(), &action, "--help"]).ok().stdout;
            pages += &format!("$ aptrepo {command} {action} --help\n{page}\n");
        }
    }
    insta::assert_snapshot!(pages);
    Ok(())
}
