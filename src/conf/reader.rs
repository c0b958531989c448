//! The syntax that all files of the configuration share: stanzas of fields as in Debian Policy 5.1, with comments from
//! `#` to the end of a line, `!include: FILE`, and directories of `*.conf` files in the place of a file.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault::{Error, Place, Sink, Word, printable};
use crate::fsio::{self, AtPath};

/// Longest configuration file, in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 8 << 20;
const MAX_DEPTH: usize = 20;

/// One line of a field's value, without its comment and the spaces around it.
#[derive(Debug)]
struct Line {
    number: usize,
    text: String,
}

/// One field of a stanza.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) place: Place,
    lines: Vec<Line>,
}

impl Field {
    /// The words of its value, over all its lines.
    pub(super) fn words(&self) -> impl Iterator<Item = Word<'_>> {
        self.lines.iter().flat_map(|line| {
            line.text.split_ascii_whitespace().map(|text| Word {
                text,
                place: self.at(line),
            })
        })
    }

    /// The lines of its value that hold something.
    pub(super) fn lines(&self) -> impl Iterator<Item = Word<'_>> {
        self.lines.iter().filter(|line| !line.text.is_empty()).map(|line| Word {
            text: line.text.as_str(),
            place: self.at(line),
        })
    }

    /// What stands on the line of the field's name, if anything does.
    pub(super) fn first_line(&self) -> Option<Word<'_>> {
        self.lines().next().filter(|line| line.place == self.place)
    }

    /// Its only word.
    pub(super) fn only_word(&self) -> Result<Word<'_>, Error> {
        let mut words = self.words();
        let word = words.next().ok_or_else(|| self.empty())?;
        match words.next() {
            Some(second) => Err(Error::syntax(
                &second.place,
                format!(
                    "unexpected `{}`: field `{}` takes one word",
                    printable(second.text),
                    self.name
                ),
            )),
            None => Ok(word),
        }
    }

    /// Its only line, `None` if that is empty.
    pub(super) fn only_line(&self) -> Result<Option<Word<'_>>, Error> {
        let mut lines = self.lines();
        let line = lines.next();
        match lines.next() {
            Some(second) => Err(Error::syntax(
                &second.place,
                format!("field `{}` takes one line", self.name),
            )),
            None => Ok(line),
        }
    }

    /// That it has no value but needs one.
    pub(super) fn empty(&self) -> Error {
        Error::syntax(&self.place, format!("field `{}` is empty", self.name))
    }

    fn at(&self, line: &Line) -> Place {
        self.place.on_line(line.number)
    }
}

/// One stanza; no two of its fields have the same name.
#[derive(Debug)]
pub(super) struct Stanza {
    pub(super) fields: Vec<Field>,
    /// Whether some of it could not be read, so that a missing field is no news.
    pub(super) is_damaged: bool,
}

impl Stanza {
    /// The field of that name, in any case.
    pub(super) fn get(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }
}

/// Reads the stanzas of a file, or of the `*.conf` files of a directory in the order of their names.
///
/// What is wrong inside goes to `sink`.
///
/// # Errors
/// The file or directory itself cannot be read.
pub(super) fn read_stanzas(path: &Path, sink: &mut Sink<'_>) -> Result<Vec<Stanza>, fsio::Error> {
    let mut reader = Reader {
        sink,
        seen: HashSet::new(),
        stanzas: Vec::new(),
        depth: 0,
    };
    reader.read(path)?;
    Ok(reader.stanzas)
}

struct Reader<'a, 'b> {
    sink: &'a mut Sink<'b>,
    seen: HashSet<PathBuf>,
    stanzas: Vec<Stanza>,
    depth: usize,
}

impl Reader<'_, '_> {
    fn read(&mut self, path: &Path) -> Result<(), fsio::Error> {
        let canonical = fs::canonicalize(path).at("read", path)?;
        if !self.seen.insert(canonical) {
            return Ok(());
        }
        if path.is_dir() {
            for file in conf_files(path)? {
                self.read(&file)?;
            }
            return Ok(());
        }
        let bytes = fsio::read_limited(path, MAX_FILE_BYTES)?;
        let mut file = File {
            path: path.into(),
            stanza: None,
        };
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            self.take_line(&mut file, index + 1, line);
        }
        self.stanzas.extend(file.stanza);
        Ok(())
    }

    fn take_line(&mut self, file: &mut File, number: usize, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            self.stanzas.extend(file.stanza.take());
            return;
        }
        let place = Place::new(&file.path, number);
        let text = match text_of(line, &place) {
            Ok(text) => text,
            Err(error) => {
                self.sink.errors.push(error);
                file.damage();
                return;
            }
        };
        if text.is_empty() {
            return;
        }
        let is_start = !text.starts_with([' ', '\t']);
        let value = text.trim();
        let taken = if !is_start {
            file.continue_field(number, value, &place)
        } else if let Some(included) = value.strip_prefix("!include:") {
            self.include(file, included.trim(), &place)
        } else {
            file.start_field(value, &place)
        };
        if let Err(error) = taken {
            self.sink.errors.push(error);
            file.damage();
        }
    }

    fn include(&mut self, file: &File, name: &str, place: &Place) -> Result<(), Error> {
        if file.stanza.is_some() {
            return Err(Error::syntax(
                place,
                "`!include` inside a stanza: put an empty line before it",
            ));
        }
        if name.is_empty() {
            return Err(Error::syntax(place, "`!include:` names no file"));
        }
        if self.depth >= MAX_DEPTH {
            return Err(Error::syntax(
                place,
                format!("files include each other more than {MAX_DEPTH} deep"),
            ));
        }
        self.depth += 1;
        let path = self.sink.directories.file(name);
        let read = self.read(&path);
        self.depth -= 1;
        read.map_err(|source| Error::NamedFile {
            place: place.clone(),
            what: "included file",
            source,
        })
    }
}

/// The file that is being read, and the stanza it is in.
struct File {
    path: Arc<Path>,
    stanza: Option<Stanza>,
}

impl File {
    fn damage(&mut self) {
        self.stanza().is_damaged = true;
    }

    fn stanza(&mut self) -> &mut Stanza {
        self.stanza.get_or_insert(Stanza {
            fields: Vec::new(),
            is_damaged: false,
        })
    }

    fn continue_field(&mut self, number: usize, text: &str, place: &Place) -> Result<(), Error> {
        match self.stanza.as_mut() {
            Some(Stanza { fields, .. }) if !fields.is_empty() => {
                if let Some(field) = fields.last_mut() {
                    field.lines.push(Line {
                        number,
                        text: text.into(),
                    });
                }
                Ok(())
            }
            // what it continues has been reported already
            Some(_) => Ok(()),
            None if text.is_empty() => Ok(()),
            None => Err(Error::syntax(
                place,
                "a stanza starts with a space: only lines that continue a field may",
            )),
        }
    }

    fn start_field(&mut self, line: &str, place: &Place) -> Result<(), Error> {
        let Some((name, value)) = line.split_once(':') else {
            return Err(Error::syntax(
                place,
                format!(
                    "`{}` has no colon: a field is `Name: value`, and a line that continues one starts with a space",
                    printable(line)
                ),
            ));
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(Error::syntax(
                place,
                format!(
                    "invalid field name `{}`: must be letters, digits, `-` and `_`",
                    printable(name)
                ),
            ));
        }
        let stanza = self.stanza();
        if let Some(first) = stanza.get(name) {
            return Err(Error::syntax(
                place,
                format!(
                    "field `{name}` is already on line {} of this stanza",
                    first.place.line()
                ),
            ));
        }
        stanza.fields.push(Field {
            name: name.into(),
            place: place.clone(),
            lines: vec![Line {
                number: place.line(),
                text: value.trim().into(),
            }],
        });
        Ok(())
    }
}

/// A line without its comment; with the spaces before it.
fn text_of<'a>(line: &'a [u8], place: &Place) -> Result<&'a str, Error> {
    let text = line.split(|byte| *byte == b'#').next().unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| Error::syntax(place, "this line is not UTF-8"))?;
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        Some(c) => Err(Error::syntax(
            place,
            format!("control character `{}` in a line", c.escape_default()),
        )),
        None => Ok(text),
    }
}

/// The `*.conf` files of a directory, sorted; a name that starts with a dot is an editor's.
fn conf_files(directory: &Path) -> Result<Vec<PathBuf>, fsio::Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).at("read the directory", directory)? {
        let path = entry.at("read the directory", directory)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".conf") && !name.starts_with('.') {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
