//! Holds the source to its layers: who may use whom, which layer alone knows the database, the network and the
//! terminal, and how long a file may grow. A plain text scan; what a breach is named by is its file and line.
#![cfg(test)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer and the layers that it may use, itself left out.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("fsio", &["model"]),
    ("conf", &["model", "fsio"]),
    ("pgp", &["model", "fsio"]),
    ("ingest", &["model", "fsio", "pgp"]),
    ("mirror", &["model", "fsio", "conf", "pgp"]),
    ("store", &["model", "fsio"]),
    ("publish", &["model", "fsio", "conf", "pgp", "store"]),
    (
        "ops",
        &["model", "fsio", "conf", "pgp", "ingest", "mirror", "store", "publish"],
    ),
    ("serve", &["model", "fsio", "conf", "ops"]),
    ("cli", &["model", "fsio", "conf", "ops", "serve"]),
];

/// Crates, types and macros that only these parts of the source may name.
const KEPT_TO: &[(&str, &[&str])] = &[
    ("sled", &["store"]),
    ("tokio", &["serve", "mirror"]),
    ("reqwest", &["mirror"]),
    ("hyper", &["serve"]),
    ("hyper_util", &["serve"]),
    ("print!", &["cli", "main"]),
    ("println!", &["cli", "main"]),
    ("eprint!", &["cli", "main"]),
    ("eprintln!", &["cli", "main"]),
    // publishing reads snapshots; it never changes the archive's state
    ("WriteTxn", &["store", "ops"]),
];

/// The longest a file may be without its tests.
const MOST_LINES: usize = 450;

#[test]
fn the_source_keeps_its_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    assert!(files.len() > 20, "only {} files: is this the source?", files.len());
    let mut breaches = String::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root).unwrap();
        for (line, breach) in breaches_of(path, &text) {
            writeln!(breaches, "{}:{line}: {breach}", path.display()).unwrap();
        }
    }
    assert!(breaches.is_empty(), "\n{breaches}");
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

/// Line number and words of all that is wrong with the file `path`, relative to the package.
fn breaches_of(path: &Path, text: &str) -> Vec<(usize, String)> {
    let mut breaches = Vec::new();
    if !text.starts_with("//!") {
        breaches.push((1, "does not open with `//!`".to_owned()));
    }
    if path.file_stem().is_some_and(|stem| stem == "tests") {
        return breaches;
    }
    let code = without_comments_and_tests(text);
    let lines = code.lines().count();
    if lines > MOST_LINES {
        breaches.push((MOST_LINES + 1, format!("{lines} lines without tests")));
    }
    let modules = modules(path);
    let layer = modules.first().map_or("", String::as_str);
    let line_at = |offset: usize| code[..offset].matches('\n').count() + 1;
    for (offset, used) in layers_named(&code, modules.len()) {
        let allowed = MAY_USE.iter().find(|(name, _)| *name == layer);
        let breach = match allowed {
            _ if used == layer || matches!(layer, "main" | "lib") => continue,
            Some((_, allowed)) if allowed.contains(&used.as_str()) => continue,
            Some(_) => format!("{layer} uses {used}"),
            None => format!("{layer} is in no row of the table of layers"),
        };
        breaches.push((line_at(offset), breach));
    }
    for (name, keepers) in KEPT_TO {
        if !keepers.contains(&layer) {
            for offset in words(&code, name) {
                breaches.push((line_at(offset), format!("{layer} names {name}")));
            }
        }
    }
    breaches
}

/// `src/serve/mod.rs` is the module `serve`, `src/store/keys.rs` is `store`, `keys`.
fn modules(path: &Path) -> Vec<String> {
    let path = path.strip_prefix("src").unwrap().with_extension("");
    let mut parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if parts.last().is_some_and(|part| part == "mod") {
        parts.pop();
    }
    parts
}

/// The code with comments blanked, up to the tests at the foot of the file.
fn without_comments_and_tests(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
    let mut code = String::new();
    for line in text[..end].lines() {
        // `://` is in texts, not before comments
        let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
        code.push_str(comment.map_or(line, |(at, _)| &line[..at]));
        code.push('\n');
    }
    code
}

/// Offset and name of every module of the crate's root that is named, as `crate::layer`, `crate::{layer, …}`, or by
/// as many `super::` as the file lies deep.
fn layers_named(code: &str, depth: usize) -> Vec<(usize, String)> {
    let to_root = "super::".repeat(depth);
    let mut named = Vec::new();
    for root in ["crate::", to_root.as_str()] {
        for (offset, _) in code.match_indices(root) {
            let before = code[..offset].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' {
                continue;
            }
            for name in first_names(&code[offset + root.len()..]) {
                if name == "super" {
                    continue;
                }
                // `super::` also leads out of inner modules, and then to what is no layer
                if root == "crate::" || MAY_USE.iter().any(|(layer, _)| *layer == name) {
                    named.push((offset, name));
                }
            }
        }
    }
    named
}

/// The name that a path begins with, or each of them if it begins with a group.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let text = text.trim_start();
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let mut names = vec![name(group)];
    let mut open = 1;
    for (offset, c) in group.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            ',' if open == 1 => names.push(name(&group[offset + 1..])),
            _ => {}
        }
        if open == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Where `name` stands as a word of its own: a crate only where a path begins with it, others anywhere.
fn words(code: &str, name: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_crate = name.chars().all(|c| c.is_lowercase() || c == '_');
    let found = code.match_indices(name).map(|(offset, _)| offset);
    found
        .filter(|offset| {
            let after = &code[offset + name.len()..];
            let before = code[..*offset].chars().next_back();
            let ends = after.chars().next().is_none_or(|c| !is_word(c) || name.ends_with('!'));
            !before.is_some_and(is_word) && ends && (!is_crate || after.starts_with("::") || after.starts_with(';'))
        })
        .collect()
}

#[test]
fn the_scan_finds_breaches() {
    let found = |path: &str, code: &str| -> Vec<String> {
        let breaches = breaches_of(Path::new(path), &format!("//! x\n{code}"));
        breaches
            .into_iter()
            .map(|(line, breach)| format!("{line} {breach}"))
            .collect()
    };
    let none: Vec<String> = Vec::new();
    for (path, code, breach) in [
        ("src/model/name.rs", "use crate::fsio::Error;", "2 model uses fsio"),
        ("src/fsio/mod.rs", "\nuse super::pgp;", "3 fsio uses pgp"),
        ("src/store/keys.rs", "use super::super::ops::Plan;", "2 store uses ops"),
        (
            "src/serve/mod.rs",
            "use crate::{model::{a, b}, store};",
            "2 serve uses store",
        ),
        (
            "src/conf/mod.rs",
            "fn f() { crate::publish::tree() }",
            "2 conf uses publish",
        ),
        (
            "src/extra.rs",
            "use crate::model;",
            "2 extra is in no row of the table of layers",
        ),
        ("src/ops/list.rs", "use sled::Db;", "2 ops names sled"),
        ("src/ops/list.rs", "use sled;", "2 ops names sled"),
        ("src/cli/mod.rs", "tokio::spawn(x);", "2 cli names tokio"),
        ("src/serve/mod.rs", "eprintln!(\"x\");", "2 serve names eprintln!"),
        (
            "src/publish/mod.rs",
            "fn f(txn: &mut WriteTxn) {}",
            "2 publish names WriteTxn",
        ),
    ] {
        assert_eq!(found(path, code), [breach], "{path}: {code}");
    }
    for (path, code) in [
        ("src/ops/mod.rs", "use crate::{model, store};\nuse super::model::X;"),
        ("src/model/name.rs", "// use crate::fsio\n/// [`crate::ops`]"),
        ("src/store/mod.rs", "sled::Config::new()"),
        ("src/store/keys.rs", "use super::model_of;\nuse super::ops;"),
        ("src/serve/mod.rs", "fn hyperbolic() { a.hyper() }"),
        ("src/main.rs", "use aptrepo::cli; println!()"),
        ("src/model/name.rs", "\n#[cfg(test)]\nmod tests { use crate::fsio; }"),
    ] {
        assert_eq!(found(path, code), none, "{path}: {code}");
    }
    let breaches = breaches_of(Path::new("src/model/x.rs"), &"fn f() {}\n".repeat(451));
    assert_eq!(breaches.len(), 2, "{breaches:?}");
}
