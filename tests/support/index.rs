//! Reads published indexes with code of its own, so that a fault in the program's reader cannot hide one in its writer.

use std::io::{self, Read};
use std::path::Path;

/// The fields of one stanza, in order. Values keep their line ends; the blanks around them are cut.
pub type Fields = Vec<(String, String)>;

/// The stanzas of a deb822 text.
pub fn stanzas(text: &str) -> Vec<Fields> {
    let mut all = Vec::new();
    let mut fields: Fields = Vec::new();
    for line in text.lines() {
        if line.is_empty() {
            if !fields.is_empty() {
                all.push(std::mem::take(&mut fields));
            }
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.into(), value.trim().into()));
        }
    }
    if !fields.is_empty() {
        all.push(fields);
    }
    all
}

/// The value of a field, whatever the case of its name.
pub fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(have, _)| have.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// The words of each line after the first of a multi-line field.
pub fn lines<'a>(fields: &'a Fields, name: &str) -> Vec<Vec<&'a str>> {
    let value = field(fields, name).unwrap_or_default();
    value
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| !words.is_empty())
        .collect()
}

/// A file's bytes, unpacked as its name says.
pub fn unpacked(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = std::fs::read(path)?;
    let mut out = Vec::new();
    match path.extension().and_then(|ext| ext.to_str()) {
        Some("gz") => flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut out)?,
        Some("xz") => liblzma::read::XzDecoder::new_multi_decoder(bytes.as_slice()).read_to_end(&mut out)?,
        Some("bz2") => bzip2::read::MultiBzDecoder::new(bytes.as_slice()).read_to_end(&mut out)?,
        Some("zst") => {
            out = zstd::stream::decode_all(bytes.as_slice())?;
            0
        }
        _ => return Ok(bytes),
    };
    Ok(out)
}

/// The text of an index, from whichever of its forms is there; none if the index is not published.
pub fn read_index(dir: &Path, name: &str) -> io::Result<Option<String>> {
    for suffix in ["", ".gz", ".xz", ".bz2"] {
        let path = dir.join(format!("{name}{suffix}"));
        if path.is_file() {
            return Ok(Some(String::from_utf8_lossy(&unpacked(&path)?).into_owned()));
        }
    }
    Ok(None)
}
