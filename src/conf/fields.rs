//! Typed access to the fields of one stanza. What is wrong with a value is noted, and reading goes on, so that one
//! reading finds all faults.

use std::path::PathBuf;
use std::str::FromStr;

use super::fault::{Error, Place, Sink, Word};
use super::ignore::Ignore;
use super::nearest;
use super::reader::{Field, Stanza};
use crate::model::Architecture;
use crate::model::name::NameError;

/// A stanza whose fields are all known, and where faults go.
pub(super) struct Fields<'a, 'b> {
    stanza: &'a Stanza,
    /// The kind of stanza, such as `distribution`.
    what: &'static str,
    pub(super) sink: &'a mut Sink<'b>,
    faults_before: usize,
}

impl<'a, 'b> Fields<'a, 'b> {
    /// Notes every field of the stanza that is not among `known`.
    pub(super) fn new(stanza: &'a Stanza, what: &'static str, known: &[&str], sink: &'a mut Sink<'b>) -> Self {
        let faults_before = sink.errors.len();
        for field in &stanza.fields {
            if known.iter().any(|name| name.eq_ignore_ascii_case(&field.name)) {
                continue;
            }
            if sink.ignores(Ignore::UnknownField) {
                sink.warn(&field.place, format!("unknown field `{}` is ignored", field.name));
            } else {
                sink.errors.push(Error::UnknownField {
                    place: field.place.clone(),
                    field: field.name.clone(),
                    nearest: nearest(&field.name, known.iter().copied()).map(str::to_owned),
                });
            }
        }
        Self {
            stanza,
            what,
            sink,
            faults_before,
        }
    }

    /// Whether nothing was wrong with this stanza so far.
    pub(super) fn is_sound(&self) -> bool {
        self.sink.errors.len() == self.faults_before && !self.stanza.is_damaged
    }

    /// The first line of the stanza, if it has any field.
    pub(super) fn place(&self) -> Option<&'a Place> {
        self.stanza.fields.first().map(|field| &field.place)
    }

    /// A field as it stands.
    pub(super) fn get(&self, name: &str) -> Option<&'a Field> {
        self.stanza.get(name)
    }

    /// Notes it if a field is missing.
    pub(super) fn require(&mut self, field: &'static str) {
        if let (None, false, Some(place)) = (self.get(field), self.stanza.is_damaged, self.place()) {
            self.sink.errors.push(Error::MissingField {
                place: place.clone(),
                field,
                stanza: self.what,
            });
        }
    }

    /// Notes it if a field stands before one that it depends on.
    pub(super) fn require_order(&mut self, first: &str, later: &str) {
        let position = |name: &str| (self.stanza.fields.iter()).position(|field| field.name.eq_ignore_ascii_case(name));
        if let (Some(at), Some(field)) = (position(first), self.get(later))
            && position(later) < Some(at)
        {
            let problem = format!("field `{later}` must come after `{first}`");
            self.sink.errors.push(Error::syntax(&field.place, problem));
        }
    }

    /// What `read` makes of a field, if that is there and sound.
    pub(super) fn read<T>(&mut self, name: &str, read: impl FnOnce(&'a Field) -> Result<T, Error>) -> Option<T> {
        let result = read(self.get(name)?);
        self.sink.note(result)
    }

    /// A field of exactly one word.
    pub(super) fn word<T>(&mut self, name: &str, parse: impl FnOnce(&Word<'a>) -> Result<T, Error>) -> Option<T> {
        self.read(name, |field| parse(&field.only_word()?))
    }

    /// A field of exactly one checked name.
    pub(super) fn name<T: FromStr<Err = NameError>>(&mut self, name: &str) -> Option<T> {
        self.word(name, checked)
    }

    /// A field that is a list of words, each noted where it is wrong.
    pub(super) fn list<T>(&mut self, name: &str, parse: impl Fn(&Word<'a>) -> Result<T, Error>) -> Option<Vec<T>> {
        let field = self.get(name)?;
        Some(field.words().filter_map(|word| self.sink.note(parse(&word))).collect())
    }

    /// A field that is a list of checked names, each kept once.
    pub(super) fn names<T: FromStr<Err = NameError> + PartialEq>(&mut self, name: &str) -> Option<Vec<T>> {
        self.list(name, checked).map(without_duplicates)
    }

    /// A field of one line of free text; `None` if it is empty.
    pub(super) fn line(&mut self, name: &str) -> Option<String> {
        self.read(name, Field::only_line)?.map(|line| line.text.to_owned())
    }

    /// A field that names a file.
    pub(super) fn file(&mut self, name: &str) -> Option<PathBuf> {
        let name = self.word(name, |word| Ok(word.text))?;
        Some(self.sink.directories.file(name))
    }

    /// A field that says yes or no.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        self.word(name, |word| match word.text.to_ascii_lowercase().as_str() {
            "yes" | "1" => Ok(true),
            "no" | "0" => Ok(false),
            _ => Err(Error::value(word, "answer", "must be yes, no, 1 or 0")),
        })
    }
}

/// The name that a word must be.
pub(super) fn checked<T: FromStr<Err = NameError>>(word: &Word<'_>) -> Result<T, Error> {
    word.text.parse().map_err(|error| Error::name(&word.place, error))
}

/// The binary architecture that a word must be.
pub(super) fn architecture(word: &Word<'_>) -> Result<Architecture, Error> {
    match word.text {
        "all" | "any" => Err(Error::value(
            word,
            "architecture",
            "is none of its own; packages for all architectures are listed under each one",
        )),
        _ => checked(word),
    }
}

/// The list with the first of equal elements alone.
pub(super) fn without_duplicates<T: PartialEq>(list: Vec<T>) -> Vec<T> {
    let mut kept = Vec::with_capacity(list.len());
    for element in list {
        if !kept.contains(&element) {
            kept.push(element);
        }
    }
    kept
}
