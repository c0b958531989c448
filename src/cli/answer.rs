//! How answers look: lines for scripts that read reprepro's, or JSON.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::Error;
use super::term::printable;

/// Writes text to stdout; to a terminal without what could drive it.
pub fn text(text: &str) -> Result<(), Error> {
    print(text).map_err(|source| Error::Stdout { source })
}

fn print(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() {
        print_bytes(printable(text).as_bytes())
    } else {
        print_bytes(text.as_bytes())
    }
}

/// Writes bytes to stdout.
pub fn bytes(bytes: &[u8]) -> Result<(), Error> {
    print_bytes(bytes).map_err(|source| Error::Stdout { source })
}

fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
}

/// How much of a long answer is gathered before it is written.
const PART_BYTES: usize = 64 << 10;

/// A long answer, of which a part is in memory at a time. It is written as by [`text`].
#[derive(Debug, Default)]
pub struct Parts {
    waiting: String,
}

impl Parts {
    /// Adds to it.
    pub fn put(&mut self, text: &str) -> Result<(), Error> {
        self.add(text).map_err(|source| Error::Stdout { source })
    }

    fn add(&mut self, text: &str) -> io::Result<()> {
        self.waiting.push_str(text);
        if self.waiting.len() < PART_BYTES {
            return Ok(());
        }
        print(&std::mem::take(&mut self.waiting))
    }

    /// Writes the rest.
    pub fn finish(self) -> Result<(), Error> {
        text(&self.waiting)
    }
}

impl Write for Parts {
    /// Takes text alone, as serializers write it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.add(text).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
