//! Words of the form `a>b`: what is called `a` at the source goes into `b` here.

use std::str::FromStr;

use super::fault::{Error, Word};
use super::fields::{Fields, architecture, checked, without_duplicates};
use crate::model::Architecture;
use crate::model::name::NameError;

/// A name at the source, and the name here that it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename<T> {
    /// The name there.
    pub from: T,
    /// The name here.
    pub to: T,
}

/// The architectures of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Architectures {
    /// Whether `source` is among them.
    pub has_sources: bool,
    /// The binary architectures.
    pub binary: Vec<Rename<Architecture>>,
}

/// The two sides of `a>b`; both are the same in `a`, `a>` and `>a`.
fn sides<'a>(word: &Word<'a>) -> Result<(Word<'a>, Word<'a>), Error> {
    let at = |text| Word {
        text,
        place: word.place.clone(),
    };
    match word.text.split_once('>') {
        None => Ok((at(word.text), at(word.text))),
        Some(("", "")) => Err(Error::value(word, "pair", "must name something")),
        Some((name, "") | ("", name)) => Ok((at(name), at(name))),
        Some((from, to)) => Ok((at(from), at(to))),
    }
}

/// A pair of checked names.
pub(super) fn pair<T: FromStr<Err = NameError>>(word: &Word<'_>) -> Result<Rename<T>, Error> {
    let (from, to) = sides(word)?;
    Ok(Rename {
        from: checked(&from)?,
        to: checked(&to)?,
    })
}

/// The field `Architectures` of a rule.
pub(super) fn architectures(fields: &mut Fields<'_, '_>) -> Option<Architectures> {
    let pairs = fields.list("Architectures", |word| {
        let (from, to) = sides(word)?;
        match (from.text, to.text) {
            ("source", "source") => Ok(None),
            ("source", _) | (_, "source") => Err(Error::value(word, "pair", "sources can become nothing but sources")),
            _ => Ok(Some(Rename {
                from: architecture(&from)?,
                to: architecture(&to)?,
            })),
        }
    })?;
    Some(Architectures {
        has_sources: pairs.contains(&None),
        binary: without_duplicates(pairs.into_iter().flatten().collect()),
    })
}
