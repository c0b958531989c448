//! How answers look: lines for scripts that read reprepro's, or JSON.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::Error;
use super::term::printable;

/// Writes text to stdout; to a terminal without what could drive it.
pub fn text(text: &str) -> Result<(), Error> {
    if io::stdout().is_terminal() {
        bytes(printable(text).as_bytes())
    } else {
        bytes(text.as_bytes())
    }
}

/// Writes bytes to stdout.
pub fn bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|source| Error::Stdout { source })
}

/// Writes one line for each item.
pub fn lines<T: ToString>(items: impl IntoIterator<Item = T>) -> Result<(), Error> {
    text(
        &items
            .into_iter()
            .map(|item| item.to_string() + "\n")
            .collect::<String>(),
    )
}

/// Writes a value as JSON.
pub fn json(value: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Error::Stdout { source: error.into() })?;
    text(&(json + "\n"))
}

/// Writes rows as JSON, or as lines.
pub fn rows<T: Serialize + std::fmt::Display>(rows: &[T], as_json: bool) -> Result<(), Error> {
    if as_json { json(&rows) } else { lines(rows) }
}

/// Stdout for a long answer: once the reader of a pipe has had enough, the rest goes nowhere.
#[derive(Debug)]
pub struct Pipe;

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match io::stdout().write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match io::stdout().flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}
