//! Is a published distribution what its Release says? (DebianRepository/Format.)

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use aptrepo::model::DigestKind;

use super::TestResult;
use super::index::{Fields, field, lines, stanzas, unpacked};
use super::source::{digests, hex};
use super::tree::Tree;

/// The files that Release cannot list.
const UNLISTED: [&str; 3] = ["Release", "InRelease", "Release.gpg"];
/// Ends of the names of compressed forms.
const PACKED: [&str; 3] = [".gz", ".bz2", ".xz"];

/// Everything that is wrong with `dists/CODENAME` and the pool files it names.
pub fn problems(outdir: &Path, codename: &str) -> TestResult<Vec<String>> {
    let dir = outdir.join("dists").join(codename);
    let text =
        std::fs::read_to_string(dir.join("Release")).map_err(|error| format!("{}/Release: {error}", dir.display()))?;
    let mut check = Check {
        tree: Tree::of(&dir)?,
        release: stanzas(&text).into_iter().next().unwrap_or_default(),
        outdir: outdir.into(),
        dir,
        problems: Vec::new(),
    };
    let listed = check.listed_files();
    for (name, entry) in &listed {
        check.listed_file(name, entry, &listed)?;
    }
    let installer = check.installer(&listed)?;
    let patches = check.patches(&listed)?;
    check.nothing_unlisted(&listed, &installer.union(&patches).cloned().collect());
    check.signed_text(&text)?;
    check.by_hash(&listed)?;
    check.indexes(&listed)?;
    Ok(check.problems)
}

/// Size and digests of a file, as Release lists them.
type Listed = BTreeMap<DigestKind, (String, String)>;

struct Check {
    tree: Tree,
    release: Fields,
    outdir: PathBuf,
    dir: PathBuf,
    problems: Vec<String>,
}

impl Check {
    fn listed_files(&mut self) -> BTreeMap<String, Listed> {
        let mut files: BTreeMap<String, Listed> = BTreeMap::new();
        for kind in DigestKind::ALL {
            for words in lines(&self.release, kind.release_field()) {
                let [digest, size, name] = words.as_slice() else {
                    self.problems
                        .push(format!("bad line in {}: {words:?}", kind.release_field()));
                    continue;
                };
                let entry = files.entry((*name).into()).or_default();
                if entry.insert(kind, ((*digest).into(), (*size).into())).is_some() {
                    self.problems.push(format!("listed twice: {name}"));
                }
            }
        }
        let kinds: BTreeSet<DigestKind> = files.values().flat_map(|entry| entry.keys().copied()).collect();
        if !kinds.contains(&DigestKind::Sha256) && !files.is_empty() {
            self.problems.push("Release has no SHA256".into());
        }
        for (name, entry) in &files {
            if entry.len() != kinds.len() {
                self.problems.push(format!("not in every digest list: {name}"));
            }
        }
        files
    }

    /// A listed file has its digests; where only a compressed form is on disk, unpacking that gives the digests.
    fn listed_file(&mut self, name: &str, entry: &Listed, all: &BTreeMap<String, Listed>) -> TestResult {
        let path = self.dir.join(name);
        let content = if path.is_file() {
            std::fs::read(&path)?
        } else {
            let packed = PACKED.map(|suffix| format!("{name}{suffix}"));
            let on_disk = packed
                .iter()
                .find(|form| all.contains_key(*form) && self.dir.join(form).is_file());
            let Some(form) = on_disk else {
                self.problems
                    .push(format!("listed, but neither it nor a compressed form is there: {name}"));
                return Ok(());
            };
            unpacked(&self.dir.join(form))?
        };
        for (kind, (digest, size)) in entry {
            if *size != content.len().to_string() {
                self.problems
                    .push(format!("{name}: size {size} listed, has {}", content.len()));
            }
            if *digest != hex(&content, *kind) {
                self.problems.push(format!("{name}: wrong {kind}"));
            }
        }
        Ok(())
    }

    /// The files that the installer's lists name: each is there, and is what its list says.
    fn installer(&mut self, listed: &BTreeMap<String, Listed>) -> TestResult<BTreeSet<String>> {
        let mut files = BTreeSet::new();
        for (list, directory) in listed
            .keys()
            .filter_map(|name| Some((name, name.strip_suffix("/SHA256SUMS")?)))
        {
            for line in std::fs::read_to_string(self.dir.join(list))?.lines() {
                let (digest, name) = line.split_once("  ./").unwrap_or_default();
                let name = format!("{directory}/{name}");
                let content = std::fs::read(self.dir.join(&name)).unwrap_or_default();
                if hex(&content, DigestKind::Sha256) != digest {
                    self.problems.push(format!("{name}: not what {list} says"));
                }
                files.insert(name);
            }
        }
        Ok(files)
    }

    /// The patches that are listed by the tables beside them, with those that were.
    fn patches(&mut self, listed: &BTreeMap<String, Listed>) -> TestResult<BTreeSet<String>> {
        let in_tree = self
            .tree
            .files()
            .filter(|path| path.contains(".diff/") && path.ends_with(".gz"));
        let files: BTreeSet<String> = in_tree.map(str::to_owned).collect();
        for table in listed.keys().filter(|name| name.ends_with(".diff/Index")) {
            let directory = table.trim_end_matches("Index");
            let text = std::fs::read_to_string(self.dir.join(table))?;
            let fields = stanzas(&text).into_iter().next().unwrap_or_default();
            let offered = lines(&fields, "SHA256-Download");
            if offered.is_empty() {
                self.problems.push(format!("{table}: offers nothing"));
            }
            for words in offered {
                let [digest, _, name] = words.as_slice() else { continue };
                let content = std::fs::read(self.dir.join(format!("{directory}{name}"))).unwrap_or_default();
                if hex(&content, DigestKind::Sha256) != *digest {
                    self.problems.push(format!("{directory}{name}: not what {table} says"));
                }
            }
        }
        Ok(files)
    }

    fn nothing_unlisted(&mut self, listed: &BTreeMap<String, Listed>, others: &BTreeSet<String>) {
        for path in self.tree.files() {
            let known = UNLISTED.contains(&path)
                || path.contains("by-hash/")
                || listed.contains_key(path)
                || others.contains(path);
            let compat_link = path.contains("Contents-") && self.dir.join(path).is_symlink();
            if !known && !compat_link {
                self.problems.push(format!("there, but not listed: {path}"));
            }
        }
    }

    fn signed_text(&mut self, release: &str) -> TestResult {
        let path = self.dir.join("InRelease");
        if path.is_file() && clear_text(&std::fs::read_to_string(path)?) != release.trim_end() {
            self.problems.push("InRelease has another text than Release".into());
        }
        if self.dir.join("InRelease").exists() != self.dir.join("Release.gpg").exists() {
            self.problems
                .push("only one of InRelease and Release.gpg is there".into());
        }
        Ok(())
    }

    fn by_hash(&mut self, listed: &BTreeMap<String, Listed>) -> TestResult {
        if field(&self.release, "Acquire-By-Hash") != Some("yes") {
            return Ok(());
        }
        for (name, entry) in listed {
            let parent = Path::new(name).parent().unwrap_or(Path::new(""));
            if !self.dir.join(name).is_file() {
                continue;
            }
            let kinds = entry.keys().filter(|kind| {
                **kind == DigestKind::Sha256
                    || self
                        .dir
                        .join(parent)
                        .join("by-hash")
                        .join(kind.release_field())
                        .is_dir()
            });
            let wanted: Vec<_> = kinds.filter_map(|kind| Some((*kind, &entry.get(kind)?.0))).collect();
            for (kind, digest) in wanted {
                let file = parent.join("by-hash").join(kind.release_field()).join(digest);
                let have = std::fs::read(self.dir.join(&file))
                    .map(|content| hex(&content, kind))
                    .ok();
                if have.as_ref() != Some(digest) {
                    self.problems.push(format!("{name}: no right {}", file.display()));
                }
            }
        }
        Ok(())
    }

    fn indexes(&mut self, listed: &BTreeMap<String, Listed>) -> TestResult {
        for name in listed.keys() {
            let path = self.dir.join(name);
            if !path.is_file() {
                continue;
            }
            let base = Path::new(name)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let plain = PACKED
                .iter()
                .find_map(|suffix| base.strip_suffix(suffix))
                .unwrap_or(&base);
            if plain != "Packages" && plain != "Sources" {
                continue;
            }
            let all = stanzas(&String::from_utf8_lossy(&unpacked(&path)?));
            let names: Vec<_> = all
                .iter()
                .map(|stanza| field(stanza, "Package").unwrap_or_default())
                .collect();
            if !names.is_sorted() {
                self.problems.push(format!("{name}: not sorted"));
            }
            for stanza in &all {
                if plain == "Packages" {
                    self.package(name, stanza)?;
                } else {
                    self.source(name, stanza)?;
                }
            }
        }
        Ok(())
    }

    fn package(&mut self, index: &str, stanza: &Fields) -> TestResult {
        let mut promised = BTreeMap::new();
        for kind in DigestKind::ALL {
            if let Some(digest) = field(stanza, kind.packages_field()) {
                promised.insert(kind, digest.to_owned());
            }
        }
        let file = field(stanza, "Filename").unwrap_or_default().to_owned();
        let size = field(stanza, "Size").unwrap_or_default().to_owned();
        self.pool_file(index, &file, &size, &promised)
    }

    fn source(&mut self, index: &str, stanza: &Fields) -> TestResult {
        let directory = field(stanza, "Directory").unwrap_or_default();
        let mut files: BTreeMap<(String, String), BTreeMap<DigestKind, String>> = BTreeMap::new();
        for kind in DigestKind::ALL {
            for words in lines(stanza, kind.source_field()) {
                if let [digest, size, name] = words.as_slice() {
                    let key = (format!("{directory}/{name}"), (*size).to_owned());
                    files.entry(key).or_default().insert(kind, (*digest).to_owned());
                }
            }
        }
        if files.len() < 2 {
            self.problems
                .push(format!("{index}: a source of {} files", files.len()));
        }
        for ((file, size), promised) in files {
            self.pool_file(index, &file, &size, &promised)?;
        }
        Ok(())
    }

    fn pool_file(
        &mut self,
        index: &str,
        file: &str,
        size: &str,
        promised: &BTreeMap<DigestKind, String>,
    ) -> TestResult {
        let Ok(content) = std::fs::read(self.outdir.join(file)) else {
            self.problems.push(format!("{index}: `{file}` is not there"));
            return Ok(());
        };
        let found = digests(&content);
        if found.size_bytes.to_string() != size {
            self.problems
                .push(format!("{index}: {file} has {} bytes, not {size}", content.len()));
        }
        if !promised.contains_key(&DigestKind::Sha256) {
            self.problems.push(format!("{index}: {file} has no SHA256"));
        }
        for (kind, digest) in promised {
            if found.digests.hex(*kind).as_ref() != Some(digest) {
                self.problems.push(format!("{index}: {file} has another {kind}"));
            }
        }
        Ok(())
    }
}

/// The signed text of a clear-signed message (RFC 9580, 7), without its last line end. Checks no signature.
pub fn clear_text(message: &str) -> String {
    let (_, after) = message.split_once("\n\n").unwrap_or_default();
    let (text, _) = after.split_once("\n-----BEGIN PGP SIGNATURE-----").unwrap_or_default();
    let plain: Vec<_> = text
        .lines()
        .map(|line| line.strip_prefix("- ").unwrap_or(line))
        .collect();
    plain.join("\n").trim_end().to_owned()
}

/// Asserts that gpgv and, where installed, sqv accept both signatures of a distribution.
pub fn assert_signed(outdir: &Path, codename: &str, keyring: &Path) -> TestResult {
    let dir = outdir.join("dists").join(codename);
    for files in [vec!["InRelease"], vec!["Release.gpg", "Release"]] {
        let paths: Vec<_> = files.iter().map(|file| dir.join(file)).collect();
        let output = Command::new("gpgv")
            .arg("--keyring")
            .arg(keyring)
            .args(&paths)
            .output()?;
        assert!(output.status.success(), "gpgv {files:?}: {output:?}");
    }
    if super::find_program("sqv").is_some() {
        let output = Command::new("sqv")
            .arg("--keyring")
            .arg(keyring)
            .args([dir.join("Release.gpg"), dir.join("Release")])
            .output()?;
        assert!(output.status.success(), "sqv: {output:?}");
    }
    Ok(())
}
