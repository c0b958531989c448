//! The commands that only read: from the parsed command to the answer.

use std::ops::ControlFlow;

use serde::Serializer;
use serde::ser::SerializeSeq;

use crate::conf::Formula;
use crate::model::PackageName;
use crate::ops::Archive;
use crate::ops::query::{self, ListRow, Selection};

use super::command::Command;
use super::run::Done;
use super::{Error, answer};

/// Runs `list` and its relatives.
pub fn look(archive: &Archive<'_>, command: Command, json: bool) -> Result<Done, Error> {
    match command {
        Command::List(arguments) => {
            // what cannot be a name is of no package
            let named = arguments.name.map(|name| PackageName::new(&name).map(Selection::Name));
            let selection = named.map_or(Selection::All, |name| name.unwrap_or(Selection::Nothing));
            list(archive, &arguments.distribution, &selection, json)
        }
        Command::ListMatched(arguments) => list(
            archive,
            &arguments.distribution,
            &Selection::Matching(arguments.glob),
            json,
        ),
        Command::ListFilter(arguments) => list(
            archive,
            &arguments.distribution,
            &formula(archive, &arguments.formula)?,
            json,
        ),
        Command::Ls(arguments) => ls(archive, &arguments.name, false, json),
        Command::LsByComponent(arguments) => ls(archive, &arguments.name, true, json),
        Command::Show(arguments) => {
            let shown = query::show(archive, &arguments.name, &arguments.distributions)?;
            answer::rows(&shown, json)?;
            Ok(Done::something_if(!shown.is_empty()))
        }
        _ => Ok(Done::Nothing),
    }
}

fn list(archive: &Archive<'_>, name: &str, selection: &Selection, json: bool) -> Result<Done, Error> {
    let mut answer = answer::Parts::default();
    let mut is_any = false;
    let mut written = Ok(());
    let mut go_on = |result: Result<(), Error>| {
        is_any = true;
        written = result;
        if written.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    if json {
        let error = |error: serde_json::Error| Error::Stdout { source: error.into() };
        let mut serializer = serde_json::Serializer::pretty(&mut answer);
        let mut rows = serializer.serialize_seq(None).map_err(error)?;
        query::list(archive, name, selection, |_, found| {
            go_on(rows.serialize_element(&ListRow::from(&found)).map_err(error))
        })?;
        rows.end().map_err(error)?;
        answer.put("\n")?;
    } else {
        let line = query::ListLine::new(archive)?;
        query::list(archive, name, selection, |snapshot, found| {
            let line = line.of(snapshot, &found).map_err(Error::from);
            go_on(line.and_then(|line| answer.put(&line)))
        })?;
    }
    written?;
    answer.finish()?;
    Ok(Done::something_if(is_any))
}

fn ls(archive: &Archive<'_>, name: &PackageName, by_component: bool, json: bool) -> Result<Done, Error> {
    let snapshot = archive.snapshot()?;
    let distributions = &archive.conf.distributions;
    let rows = query::ls(
        &snapshot,
        distributions,
        &archive.settings.restriction,
        name,
        by_component,
    )?;
    if json {
        answer::json(&rows)?;
    } else {
        answer::text(&query::format_ls(&rows))?;
    }
    Ok(Done::something_if(!rows.is_empty()))
}

/// A formula of the command line.
pub fn formula(archive: &Archive<'_>, text: &str) -> Result<Selection, Error> {
    let wrong = |problem| Error::Formula { problem };
    let formula = Formula::parse(text).map_err(|error| wrong(error.to_string()))?;
    match archive.conf.unknown_in(&formula) {
        Some(problem) => Err(wrong(problem)),
        None => Ok(Selection::Fulfilling(formula)),
    }
}
