//! The field `Log` of a distribution: the log file on its first line, a notifier on each line after it.

use super::distribution::{Log, Notifier};
use super::fault::{Error, Word, printable};
use super::fields::Fields;
use super::nearest;
use crate::model::{Architecture, Component, PackageType};

const OPTIONS: &[&str] = &[
    "--type",
    "--component",
    "--architecture",
    "--via",
    "--changes",
    "--withcontrol",
];

/// Reads the field, if it is there.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<Log> {
    let field = fields.get("Log")?;
    let first = field.first_line();
    let file = first.as_ref().and_then(|line| {
        let mut words = line.text.split_ascii_whitespace();
        let file = words.next()?;
        if file.starts_with('-') || words.next().is_some() {
            fields.sink.errors.push(Error::syntax(
                &line.place,
                "the first line of `Log` is the name of the log file alone; notifiers follow on lines of their own",
            ));
        }
        Some(fields.sink.directories.log.join(file))
    });
    let mut notifiers = Vec::new();
    for line in field.lines().skip(usize::from(first.is_some())) {
        let notifier = read_notifier(&line, fields);
        notifiers.extend(fields.sink.note(notifier).flatten());
    }
    Some(Log { file, notifiers })
}

/// `None` if a value can never occur, so that the notifier would never be called.
fn read_notifier(line: &Word<'_>, fields: &mut Fields<'_, '_>) -> Result<Option<Notifier>, Error> {
    let mut notifier = Notifier {
        package_type: None,
        component: None,
        architecture: None,
        via: None,
        for_changes: false,
        script: std::path::PathBuf::new(),
        arguments: Vec::new(),
    };
    let mut words = line.text.split_ascii_whitespace().peekable();
    let mut is_possible = true;
    while let Some(option) = words.next_if(|word| word.starts_with('-')) {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        if matches!(name, "--changes" | "--withcontrol") {
            notifier.for_changes |= name == "--changes";
            continue;
        }
        let name = long_name(name).ok_or_else(|| unknown_option(line, name))?;
        let Some(value) = value.or_else(|| words.next()) else {
            return Err(Error::syntax(
                &line.place,
                format!("notifier option `{name}` needs a value"),
            ));
        };
        if let Err(reason) = set(&mut notifier, name, value) {
            fields
                .sink
                .warn(&line.place, format!("this notifier is never called: {reason}"));
            is_possible = false;
        }
    }
    let Some(script) = words.next() else {
        return Err(Error::syntax(&line.place, "this notifier names no program"));
    };
    if let Some(extra) = words.next() {
        return Err(Error::syntax(
            &line.place,
            format!("unexpected `{}` after the notifier's program", printable(extra)),
        ));
    }
    notifier.script = fields.sink.directories.file(script);
    Ok(is_possible.then_some(notifier))
}

fn long_name(name: &str) -> Option<&'static str> {
    match name {
        "-T" => Some("--type"),
        "-C" => Some("--component"),
        "-A" => Some("--architecture"),
        _ => OPTIONS.iter().copied().find(|known| *known == name),
    }
}

fn unknown_option(line: &Word<'_>, name: &str) -> Error {
    let word = Word {
        text: name,
        place: line.place.clone(),
    };
    let rule = match nearest(name, OPTIONS.iter().copied()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("must be one of {}", OPTIONS.join(", ")),
    };
    Error::value(&word, "notifier option", rule)
}

fn set(notifier: &mut Notifier, name: &str, value: &str) -> Result<(), String> {
    match name {
        "--type" => notifier.package_type = Some(value.parse::<PackageType>().map_err(|error| error.to_string())?),
        "--component" => notifier.component = Some(Component::new(value).map_err(|error| error.to_string())?),
        "--architecture" => {
            if value != "source" {
                Architecture::new(value).map_err(|error| error.to_string())?;
            }
            notifier.architecture = Some(value.into());
        }
        _ => notifier.via = Some(value.into()),
    }
    Ok(())
}
