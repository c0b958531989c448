//! Override files: values that packages get in the place of their own, `PACKAGE FIELD VALUE` a line. The form is that
//! of apt-ftparchive's extra overrides, not the one of three columns.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::fault::{Error, Faults, Place, printable};
use super::glob;
use super::reader::MAX_FILE_BYTES;
use crate::fsio;
use crate::model::{Component, PackageType};

/// Fields that say what the package is: to change them would make the index lie.
const FIXED_FIELDS: [&str; 2] = ["Package", "Version"];
const FIXED_BINARY_FIELDS: [&str; 5] = ["Filename", "MD5sum", "SHA1", "SHA256", "Size"];
const FIXED_SOURCE_FIELDS: [&str; 3] = ["Files", "Directory", "Checksums-"];

/// What packages get in the place of their own values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    exact: HashMap<String, Replacement>,
    patterns: Vec<(String, Replacement)>,
}

/// What one package gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replacement {
    component: Option<Component>,
    deleted: Vec<String>,
    fields: Vec<(String, String)>,
}

impl Overrides {
    /// Reads an override file for packages of this type.
    ///
    /// # Errors
    /// The file cannot be read, or has faults; all of them.
    pub fn read(path: &Path, package_type: PackageType) -> Result<Self, Faults> {
        let bytes = fsio::read_limited(path, MAX_FILE_BYTES).map_err(|source| Error::File { source })?;
        let file: Arc<Path> = path.into();
        let mut overrides = Self::default();
        let mut errors = Vec::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let place = Place::new(&file, index + 1);
            let taken = match std::str::from_utf8(line) {
                Ok(line) => overrides.take_line(line.trim(), package_type),
                Err(_) => Err("this line is not UTF-8".into()),
            };
            errors.extend(taken.err().map(|problem| Error::syntax(&place, problem)));
        }
        match Faults::collect(errors) {
            Some(faults) => Err(faults),
            None => Ok(overrides),
        }
    }

    /// What the package of that name gets: what stands under its name, else under the first pattern that matches it.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&Replacement> {
        self.exact.get(name).or_else(|| {
            (self.patterns.iter())
                .find(|(pattern, _)| glob::matches(pattern, name))
                .map(|(_, replacement)| replacement)
        })
    }

    fn take_line(&mut self, line: &str, package_type: PackageType) -> Result<(), String> {
        if line.is_empty() {
            return Ok(());
        }
        let mut words = line.splitn(2, [' ', '\t']);
        let (Some(name), Some(rest)) = (words.next(), words.next()) else {
            return Err(format!(
                "`{}` has no field: a line is a package, a field and a value",
                printable(line)
            ));
        };
        let Some((field, value)) = rest.trim_start().split_once([' ', '\t']) else {
            return Err(format!(
                "`{}` has no value: a line is a package, a field and a value",
                printable(line)
            ));
        };
        self.change(name, |replacement| {
            replacement.set(field, value.trim_start(), package_type)
        })
    }

    /// Changes what stands under a name or pattern.
    fn change<T>(&mut self, name: &str, change: impl FnOnce(&mut Replacement) -> T) -> T {
        if !glob::is_pattern(name) {
            return change(self.exact.entry(name.to_owned()).or_default());
        }
        if let Some((_, known)) = self.patterns.iter_mut().find(|(pattern, _)| pattern == name) {
            return change(known);
        }
        let mut replacement = Replacement::default();
        let result = change(&mut replacement);
        self.patterns.push((name.to_owned(), replacement));
        result
    }
}

impl Replacement {
    /// The component that the package is put into: `$Component`.
    #[must_use]
    pub fn component(&self) -> Option<&Component> {
        self.component.as_ref()
    }

    /// Its section.
    #[must_use]
    pub fn section(&self) -> Option<&str> {
        self.exactly("Section")
    }

    /// Its priority.
    #[must_use]
    pub fn priority(&self) -> Option<&str> {
        self.exactly("Priority")
    }

    /// The fields of its stanza that change, in the order of the file: the new value, or `None` for one that is left out.
    #[must_use]
    pub fn changes(&self) -> Vec<(String, Option<String>)> {
        let deleted = self.deleted.iter().map(|field| (field.clone(), None));
        let changed = self
            .fields
            .iter()
            .map(|(field, value)| (field.clone(), Some(value.clone())));
        deleted.chain(changed).collect()
    }

    /// The value of a field that is spelt exactly so.
    fn exactly(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    fn set(&mut self, field: &str, value: &str, package_type: PackageType) -> Result<(), String> {
        match field {
            "$Component" => self.component = Some(Component::new(value).map_err(|error| error.to_string())?),
            "$Delete" => {
                check_field(value, package_type)?;
                self.deleted.push(value.to_owned());
            }
            _ => {
                check_field(field, package_type)?;
                if value.chars().any(char::is_control) {
                    return Err(format!("the value of `{field}` has a control character"));
                }
                if self.fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(field)) {
                    return Err(format!("this package has a value for `{field}` already"));
                }
                self.fields.push((field.to_owned(), value.to_owned()));
            }
        }
        Ok(())
    }
}

fn check_field(field: &str, package_type: PackageType) -> Result<(), String> {
    let starts_with = |start: &&str| {
        field
            .get(..start.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(start))
    };
    let is_fixed = match package_type {
        PackageType::Dsc => FIXED_SOURCE_FIELDS.iter().any(starts_with),
        PackageType::Deb | PackageType::Udeb => {
            (FIXED_BINARY_FIELDS.iter()).any(|fixed| fixed.eq_ignore_ascii_case(field))
        }
    };
    if is_fixed || FIXED_FIELDS.iter().any(|fixed| fixed.eq_ignore_ascii_case(field)) {
        return Err(format!(
            "field `{field}` says what the package is: it cannot be overridden"
        ));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if field.starts_with('-') || !field.bytes().all(is_name) {
        return Err(format!(
            "invalid field `{}`: must be letters, digits, `-` and `_`, or `$Component` or `$Delete`",
            printable(field)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, package_type: PackageType) -> Result<Overrides, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("o");
        fsio::write_new(&path, text.as_bytes()).unwrap();
        Overrides::read(&path, package_type).map_err(|faults| {
            let texts: Vec<_> = faults.iter().map(ToString::to_string).collect();
            texts.join("\n").replace(path.to_str().unwrap(), "o")
        })
    }

    #[test]
    fn exact_names_come_before_patterns_and_of_these_the_first_counts() {
        let overrides = read(
            "lib* Section oldlibs\nlibx Section libs\nlib* Priority extra\n*x Section x\nlibx $Component main\nlibx $Delete Task\n",
            PackageType::Deb,
        )
        .unwrap();
        let exact = overrides.of("libx").unwrap();
        assert_eq!((exact.section(), exact.priority()), (Some("libs"), None));
        assert_eq!(exact.component().unwrap().as_str(), "main");
        let by_pattern = overrides.of("libyx").unwrap();
        assert_eq!(
            (by_pattern.section(), by_pattern.priority()),
            (Some("oldlibs"), Some("extra"))
        );
        assert!(overrides.of("hello").is_none());
        let changes = exact.changes();
        assert!(changes.contains(&("Task".into(), None)), "{changes:?}");
        assert!(
            changes.contains(&("Section".into(), Some("libs".into()))),
            "{changes:?}"
        );
    }

    #[test]
    fn what_a_package_is_cannot_be_overridden() {
        assert_eq!(
            read(
                "a Size 1\na Directory x\nb version 2\nc $Delete SHA256\n\nd\ne Section\nf Sec:tion x\n",
                PackageType::Deb
            )
            .unwrap_err(),
            "o:1: field `Size` says what the package is: it cannot be overridden\n\
             o:3: field `version` says what the package is: it cannot be overridden\n\
             o:4: field `SHA256` says what the package is: it cannot be overridden\n\
             o:6: `d` has no field: a line is a package, a field and a value\n\
             o:7: `e Section` has no value: a line is a package, a field and a value\n\
             o:8: invalid field `Sec:tion`: must be letters, digits, `-` and `_`, or `$Component` or `$Delete`"
        );
        assert!(read("a Checksums-Sha256 x\n", PackageType::Dsc).is_err());
        assert!(read("a Size 1\n", PackageType::Dsc).is_ok());
    }
}
