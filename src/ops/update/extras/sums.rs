//! The installer's `SHA256SUMS`, as `sha256sum` writes it: digest, two blanks, path. Pure.

use std::collections::BTreeMap;

use crate::model::{ArchivePath, Sha256};

/// The most files of one list: Debian's have 300.
const MAX_FILES: usize = 10_000;

/// The files that a list names, by their path below its directory.
///
/// # Errors
/// A text that says what is wrong.
pub(super) fn read(text: &[u8]) -> Result<BTreeMap<ArchivePath, Sha256>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
    let mut files = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (digest, path) = line
            .split_once(' ')
            .ok_or_else(|| format!("`{}` is not digest and path", shown(line)))?;
        let digest: Sha256 = digest
            .parse()
            .map_err(|_| format!("`{}` does not begin with a SHA-256", shown(line)))?;
        // a star is for a binary file, which is the same
        let path = path.trim_start().trim_start_matches('*').trim_start_matches("./");
        let path = ArchivePath::new(path).map_err(|error| error.to_string())?;
        let first = path.as_str().split('/').next();
        if matches!(first, Some("SHA256SUMS" | "by-hash")) {
            return Err(format!("it lists `{path}`, which no file of it can be called"));
        }
        if files.insert(path, digest).is_some_and(|known| known != digest) {
            return Err("it lists a file twice and differently".into());
        }
        if files.len() > MAX_FILES {
            return Err(format!("it lists more than {MAX_FILES} files"));
        }
    }
    for path in files.keys() {
        let mut above = path.directory();
        while !above.is_empty() {
            if ArchivePath::new(above).is_ok_and(|above| files.contains_key(&above)) {
                return Err(format!("it lists both `{above}` and `{path}`"));
            }
            above = above.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }
    Ok(files)
}

fn shown(text: &str) -> String {
    text.trim().chars().take(100).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_sha256sum_writes_them() {
        let digest = Sha256::of(b"x");
        let text = format!("{digest}  ./netboot/mini.iso\n{digest} *cdrom/vmlinuz\n\n");
        let files = read(text.as_bytes()).unwrap();
        let names: Vec<&str> = files.keys().map(ArchivePath::as_str).collect();
        assert_eq!(names, ["cdrom/vmlinuz", "netboot/mini.iso"]);
    }

    #[test]
    fn a_list_that_means_harm_is_refused() {
        let (digest, other) = (Sha256::of(b"x"), Sha256::of(b"y"));
        for text in [
            format!("{digest}  ../../x\n"),
            format!("{digest}  /etc/passwd\n"),
            format!("{digest}  SHA256SUMS\n"),
            format!("{digest}  by-hash/SHA256/x\n"),
            format!("{digest}  a\n{other}  ./a\n"),
            format!("{digest}  a/b/c\n{digest}  a\n"),
            format!("{digest}\n"),
            "nonsense  a\n".to_owned(),
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
