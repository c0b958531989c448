//! All that a user can see of an archive, in a form in which reprepro's and aptrepo's can be compared.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use aptrepo::model::Sha256;

use super::index::{Fields, read_index, stanzas};
use super::scenario::{ARCHITECTURES, CODENAMES, COMPONENTS};
use super::{TestEnv, TestResult};

/// Named texts: what one archive shows.
pub type State = BTreeMap<String, String>;

/// Everything that can be compared.
pub fn of(env: &TestEnv, names: &[&str], tracked: bool) -> TestResult<State> {
    let mut state = State::new();
    let mut ask = |args: &[&str]| {
        let output = env.run(args);
        state.insert(args.join(" "), format!("exit {}\n{}", output.status, output.stdout));
    };
    for name in names {
        ask(&["ls", name]);
        ask(&["lsbycomponent", name]);
    }
    for codename in CODENAMES {
        ask(&["list", codename]);
    }
    ask(&["dumpunreferenced"]);
    ask(&["check"]);
    if tracked {
        let output = env.run(["dumptracks"]).ok();
        state.insert("dumptracks".into(), tracks(&output.stdout));
    }
    for codename in CODENAMES {
        published(env, codename, &mut state)?;
    }
    let mut pool = String::new();
    for file in env.pool()? {
        let content = Sha256::of(&std::fs::read(env.outdir().join(&file))?);
        writeln!(pool, "{content} {file}")?;
    }
    state.insert("pool".into(), pool);
    Ok(state)
}

/// The tracks, files and blocks sorted. A track without files is left out: reprepro leaves one behind for a package
/// that it refused.
pub fn tracks(text: &str) -> String {
    let mut blocks: Vec<String> = Vec::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
        let (head, files) = block.split_once("\nFiles:").unwrap_or((block, ""));
        let mut files: Vec<_> = files.lines().filter(|line| !line.trim().is_empty()).collect();
        files.sort_unstable();
        if !files.is_empty() {
            blocks.push(format!("{}\n{}\n", head.trim(), files.join("\n")));
        }
    }
    blocks.sort_unstable();
    blocks.concat()
}

fn published(env: &TestEnv, codename: &str, state: &mut State) -> TestResult {
    let dir = env.outdir().join("dists").join(codename);
    if !dir.is_dir() {
        state.insert(format!("{codename}: published"), "no".into());
        return Ok(());
    }
    for component in COMPONENTS {
        for arch in ARCHITECTURES {
            for index in [
                format!("{component}/binary-{arch}/Packages"),
                format!("{component}/debian-installer/binary-{arch}/Packages"),
            ] {
                put_index(&dir, codename, &index, state)?;
            }
            let text = read_index(&dir, &format!("{component}/Contents-{arch}"))?.unwrap_or_default();
            state.insert(format!("{codename} {component}/Contents-{arch}"), contents(&text));
            let release = std::fs::read_to_string(dir.join(component).join(format!("binary-{arch}/Release")));
            let release = release.unwrap_or_default();
            state.insert(format!("{codename} {component}/binary-{arch}/Release"), release);
        }
        put_index(&dir, codename, &format!("{component}/source/Sources"), state)?;
    }
    let release = std::fs::read_to_string(dir.join("Release"))?;
    let fields = stanzas(&release).into_iter().next().unwrap_or_default();
    state.insert(format!("{codename} Release header"), release_header(&fields));
    state.insert(format!("{codename} Release files"), release_files(&fields));
    Ok(())
}

fn put_index(dir: &Path, codename: &str, index: &str, state: &mut State) -> TestResult {
    if let Some(text) = read_index(dir, index)? {
        let shown: String = stanzas(&text).iter().map(shown_stanza).collect();
        state.insert(format!("{codename} {index}"), shown);
    }
    Ok(())
}

fn shown_stanza(fields: &Fields) -> String {
    let lines = fields.iter().map(|(name, value)| format!("{name}: {value}\n"));
    lines.chain(["\n".to_owned()]).collect()
}

/// Lines of Contents, sorted, each with the packages that have the file in byte order: reprepro sorts neither.
fn contents(text: &str) -> String {
    let mut lines: Vec<_> = text
        .lines()
        .map(|line| {
            let (path, packages) = line.rsplit_once([' ', '\t']).unwrap_or((line, ""));
            let mut packages: Vec<_> = packages.split(',').collect();
            packages.sort_unstable();
            format!("{} {}\n", path.trim_end(), packages.join(","))
        })
        .collect();
    lines.sort_unstable();
    lines.concat()
}

/// The fields of Release before its digests, but for the time and for by-hash, which reprepro does not know.
fn release_header(fields: &Fields) -> String {
    let header = fields.iter().filter(|(name, _)| {
        let name = name.as_str();
        !matches!(
            name,
            "Date" | "Acquire-By-Hash" | "MD5Sum" | "SHA1" | "SHA256" | "SHA512"
        )
    });
    header.map(|(name, value)| format!("{name}: {value}\n")).collect()
}

/// The names that Release lists, kind by kind, in order.
fn release_files(fields: &Fields) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if matches!(name.as_str(), "MD5Sum" | "SHA1" | "SHA256") {
            let mut files: Vec<_> = value.lines().filter_map(|line| line.split(' ').next_back()).collect();
            files.retain(|file| !file.is_empty());
            text.push_str(&format!("{name}:\n{}\n", files.join("\n")));
        }
    }
    text
}

/// What differs between two states, named and line by line; empty if nothing does.
pub fn differences(theirs: &State, ours: &State) -> Vec<String> {
    let mut found = Vec::new();
    let mut keys: Vec<_> = theirs.keys().chain(ours.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let [theirs, ours] = [theirs, ours].map(|state| state.get(key).map_or("(nothing)", String::as_str));
        if theirs != ours {
            found.push(format!("== {key}\n{}", line_differences(theirs, ours)));
        }
    }
    found
}

/// Lines that only one side has, in the manner of diff; where both have the same lines, the two orders.
pub fn line_differences(theirs: &str, ours: &str) -> String {
    let only = |here: &str, there: &str, mark: &str| -> String {
        let mut rest: Vec<&str> = there.lines().collect();
        let mut text = String::new();
        for line in here.lines() {
            if let Some(at) = rest.iter().position(|other| *other == line) {
                rest.swap_remove(at);
            } else {
                text.push_str(&format!("{mark} {line}\n"));
            }
        }
        text
    };
    let lines = only(theirs, ours, "reprepro:") + &only(ours, theirs, "aptrepo: ");
    if lines.is_empty() {
        format!("another order\n-- reprepro\n{theirs}-- aptrepo\n{ours}")
    } else {
        lines
    }
}
