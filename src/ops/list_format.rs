//! `--list-format`: reprepro's templates for `list`. `${field}` is a field of the stanza, `${$name}` a value of the
//! entry, `;N` pads or cuts it to N columns, with blanks on the right, `;-N` with blanks on the left; `\n`, `\t`, `\r`
//! and `\0` are characters.

use crate::model::{IndexId, ListedPackage, Stanza};

use super::archive::Archive;
use super::{Error, Result};

/// A template, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFormat {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value { name: String, width: i32 },
}

/// Widest column that a template can ask for.
const MAX_WIDTH: i32 = 10_000;

impl ListFormat {
    /// Reads a template.
    ///
    /// # Errors
    /// [`Error::ListFormat`] with what is wrong.
    pub fn new(template: &str) -> Result<Self> {
        let error = |problem: &'static str| Error::ListFormat {
            template: template.to_owned(),
            problem,
        };
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = template.chars().peekable();
        while let Some(c) = rest.next() {
            match (c, rest.peek()) {
                ('\\', Some(&escaped)) => {
                    rest.next();
                    text.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        '0' => '\0',
                        other => other,
                    });
                }
                ('$', Some('{')) => {
                    rest.next();
                    let inside: String = rest.by_ref().take_while(|c| *c != '}').collect();
                    let (name, width) = inside.split_once(';').unwrap_or((&inside, "0"));
                    let width: i32 = width
                        .parse()
                        .map_err(|_| error("the width after `;` must be a number"))?;
                    if name.is_empty() || width.abs() > MAX_WIDTH {
                        return Err(error("`${` must be followed by a field, and a width up to 10000"));
                    }
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Value {
                        name: name.to_owned(),
                        width,
                    });
                }
                _ => text.push(c),
            }
        }
        parts.push(Part::Text(text));
        Ok(Self { parts })
    }

    /// One package in this form.
    ///
    /// # Errors
    /// [`Error::Stanza`]: its fields cannot be read.
    pub fn format(&self, archive: &Archive<'_>, index: &IndexId, package: &ListedPackage) -> Result<String> {
        let stanza = Stanza::parse(&package.text).map_err(|source| Error::Stanza {
            index: index.to_string(),
            package: package.entry.name.to_string(),
            source,
        })?;
        let mut line = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => line += text,
                Part::Value { name, width } => {
                    let value = value(archive, index, package, &stanza, name);
                    let columns = usize::try_from(width.unsigned_abs()).unwrap_or_default();
                    line += &match width {
                        0 => value,
                        ..0 => format!("{value:>columns$.columns$}"),
                        1.. => format!("{value:<columns$.columns$}"),
                    };
                }
            }
        }
        Ok(line)
    }
}

fn value(archive: &Archive<'_>, index: &IndexId, package: &ListedPackage, stanza: &Stanza, name: &str) -> String {
    let entry = &package.entry;
    let file_key = entry.files.first().map(|file| &file.path);
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "$identifier" => index.to_string(),
        "$architecture" => index.kind.architecture_word().to_owned(),
        "$component" => index.component.to_string(),
        "$type" => index.kind.package_type().to_string(),
        "$codename" => index.codename.to_string(),
        "$source" => entry.source.to_string(),
        "$sourceversion" => entry.source_version.to_string(),
        "$basename" => file_key.map(|path| path.file_name().to_owned()).unwrap_or_default(),
        "$filekey" => file_key.map(ToString::to_string).unwrap_or_default(),
        "$fullfilename" => file_key
            .map(|path| path.to_fs_path(&archive.directories.out).display().to_string())
            .unwrap_or_default(),
        "package" => entry.name.to_string(),
        "version" => entry.version.to_string(),
        _ => stanza
            .get_bytes(name)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_cut_into_text_and_values() {
        let format = ListFormat::new(r"a\t${package;-10}|${$filekey}\n").unwrap();
        let value = |name: &str, width| Part::Value {
            name: name.into(),
            width,
        };
        let text = |text: &str| Part::Text(text.into());
        let parts = [
            text("a\t"),
            value("package", -10),
            text("|"),
            value("$filekey", 0),
            text("\n"),
        ];
        assert_eq!(format.parts, parts);
    }

    #[test]
    fn a_wrong_template_is_refused() {
        for template in ["${package;x}", "${}", "${a;99999}"] {
            assert!(ListFormat::new(template).is_err(), "{template}");
        }
    }
}
