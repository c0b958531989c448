//! What the user sees: the answer on stdout, news and faults on stderr, the exit code.

use std::io::{self, IsTerminal, Write};

use crate::model::ErrorKind;
use crate::ops::Reporter;

/// How much is told.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    verbosity: i32,
    is_terminal: bool,
    is_answer_json: bool,
}

impl Terminal {
    /// A terminal that tells news if somebody watches or asked for them.
    #[must_use]
    pub fn new(verbosity: i32) -> Self {
        Self {
            verbosity,
            is_terminal: io::stderr().is_terminal(),
            is_answer_json: false,
        }
    }

    /// The same, where the answer is JSON: lines for people stay out of it.
    #[must_use]
    pub fn with_json(self, is_answer_json: bool) -> Self {
        Self { is_answer_json, ..self }
    }
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
            let _ = writeln!(io::stdout().lock(), "{}", printable(line));
        }
    }

    fn note(&self, line: &str) {
        if self.verbosity >= 0 {
            tell(line);
        }
    }

    fn status(&self, line: &str) {
        if self.verbosity > 0 || (self.verbosity == 0 && self.is_terminal) {
            tell(line);
        }
    }

    fn warning(&self, line: &str) {
        tell(&format!("Warning: {line}"));
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
