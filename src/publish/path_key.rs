//! The keys of Contents: texts whose bytes sort as reprepro sorts paths, by directories, the files of a directory before
//! the directories in it.

/// What the name of a file starts with.
const FILE: u8 = 1;
/// What the name of a directory starts with.
const DIRECTORY: u8 = 2;
/// Ends the name of a directory, so that `a/x` comes before `a-b/x`.
const END: u8 = 1;
/// Stands before bytes of a name that could be taken for one of these.
const ESCAPE: u8 = 3;

/// The key of a path. A path without a byte 0 has a key without one.
pub(super) fn key_of(path: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(path.len() + 8);
    let mut parts = path.split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        let is_directory = parts.peek().is_some();
        key.push(if is_directory { DIRECTORY } else { FILE });
        for byte in part {
            if (END..=ESCAPE).contains(byte) {
                key.push(ESCAPE);
            }
            key.push(*byte);
        }
        if is_directory {
            key.push(END);
        }
    }
    key
}

/// The path that a key is of.
pub(super) fn path_of(key: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(key.len());
    let mut bytes = key.iter().skip(1);
    while let Some(byte) = bytes.next() {
        match *byte {
            END => {
                path.push(b'/');
                // what kind of part follows
                bytes.next();
            }
            ESCAPE => path.extend(bytes.next()),
            byte => path.push(byte),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order was observed with reprepro.
    #[test]
    fn files_come_before_directories_and_these_by_their_whole_names() {
        let paths = [
            "top",
            "usr/a-x",
            "usr/a.x",
            "usr/b",
            "usr/a/z",
            "usr/a/b/c",
            "usr/a-b/x",
            "usr/c/x",
        ];
        let mut keys: Vec<_> = paths.iter().rev().map(|path| key_of(path.as_bytes())).collect();
        keys.sort();
        let sorted: Vec<_> = keys
            .iter()
            .map(|key| String::from_utf8(path_of(key)).unwrap())
            .collect();
        assert_eq!(sorted, paths);
    }

    #[test]
    fn any_path_comes_back_from_its_key() {
        for path in ["", "a", "/", "a//b/", "\x01/\x02\x03", "\x03/\x01\x01", "x/\u{fc}"] {
            let key = key_of(path.as_bytes());
            assert_eq!(path_of(&key), path.as_bytes(), "{path:?}");
            assert!(!key.contains(&0));
        }
    }
}
