//! What the user sees: the answer on stdout, news and faults on stderr, the exit code.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::ErrorKind;
use crate::ops::Reporter;

/// The width of a terminal that does not tell its own.
const USUAL_COLUMNS: u16 = 80;

/// How much is told.
#[derive(Debug)]
pub struct Terminal {
    verbosity: i32,
    is_terminal: bool,
    /// Whether the terminal can take back what it shows.
    can_redraw: bool,
    is_answer_json: bool,
    /// Whether a line of progress stands where the next one is to be written.
    is_drawn: AtomicBool,
}

impl Terminal {
    /// A terminal that tells news if somebody watches or asked for them.
    #[must_use]
    pub fn new(verbosity: i32) -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self {
            verbosity,
            is_terminal,
            can_redraw: is_terminal && std::env::var_os("TERM").is_some_and(|term| term != "dumb"),
            is_answer_json: false,
            is_drawn: AtomicBool::new(false),
        }
    }

    /// The same, where the answer is JSON: lines for people stay out of it.
    #[must_use]
    pub fn with_json(self, is_answer_json: bool) -> Self {
        Self { is_answer_json, ..self }
    }

    /// Takes the line of progress away.
    fn clear(&self) {
        if self.is_drawn.swap(false, Ordering::Relaxed) {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }

    fn tell(&self, text: &str) {
        self.clear();
        tell(text);
    }
}

/// How many characters fit into a line of the terminal that stderr is.
fn columns() -> u16 {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    let columns = size.map_or(0, |size| size.ws_col);
    if columns == 0 { USUAL_COLUMNS } else { columns }
}

/// Writes to stderr.
pub fn tell(text: &str) {
    // where stderr is closed, there is nobody to tell
    let _ = writeln!(io::stderr().lock(), "{}", printable(text));
}

/// The text without control characters that could drive the terminal: names and messages come from outside.
pub(super) fn printable(text: &str) -> String {
    let safe = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(safe).collect()
}

impl Reporter for Terminal {
    fn result(&self, line: &str) {
        if self.is_answer_json {
            self.status(line);
        } else if self.verbosity >= 0 {
            self.clear();
            let _ = writeln!(io::stdout().lock(), "{}", printable(line));
        }
    }

    fn note(&self, line: &str) {
        if self.verbosity >= 0 {
            self.tell(line);
        }
    }

    fn status(&self, line: &str) {
        if self.verbosity > 0 || (self.verbosity == 0 && self.is_terminal) {
            self.tell(line);
        }
    }

    fn progress(&self, line: Option<&str>) {
        if !self.can_redraw || self.verbosity < 0 {
            return;
        }
        let Some(line) = line else {
            return self.clear();
        };
        // a full line would wrap, and could not be drawn over
        let most = usize::from(columns()).saturating_sub(1);
        let line: String = printable(line).chars().take(most).collect();
        self.is_drawn.store(true, Ordering::Relaxed);
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "\r{line}\x1b[K").and_then(|()| stderr.flush());
    }

    fn warning(&self, line: &str) {
        self.tell(&format!("Warning: {line}"));
    }
}

/// Prints an error with its causes and what can be done about it.
pub fn print_error(error: &dyn std::error::Error, hint: Option<&str>) {
    tell(&format!("Error: {error}"));
    let mut cause = error.source();
    while let Some(error) = cause {
        tell(&format!("Caused by: {error}"));
        cause = error.source();
    }
    if let Some(hint) = hint {
        tell(&format!("Hint: {hint}"));
    }
}

/// The exit code of a failure: reprepro's, since scripts rely on them.
#[must_use]
pub fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 1,
        ErrorKind::Locked => 239,
        ErrorKind::Denied => 243,
        ErrorKind::Interrupted => 247,
        ErrorKind::UnknownField => 248,
        ErrorKind::Unknown => 249,
        ErrorKind::BadSignature => 250,
        ErrorKind::Signing => 251,
        ErrorKind::FileMissing | ErrorKind::Mismatch => 254,
        ErrorKind::General => 255,
    }
}
