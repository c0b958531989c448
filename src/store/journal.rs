//! The journal, `db/journal`: one line of JSON for every change of the archive. Appending a line and syncing it is
//! what makes a change; everything else only prepares or follows it.
//!
//! Each line holds the SHA-256 of the line before, so that none can be lost or altered unnoticed. It is the audit log,
//! and the list of states to go back to. `db/heads` is a copy of the state at some line, to spare readers the lines
//! before it; it may be missing, old or torn.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fsio::{self, AtPath};
use crate::model::Sha256;

use super::blocks::RootId;
use super::error::{Error, Result};
use super::keys::HeadId;
use super::objects::write_unsynced;

/// A line has its few heads, or some hundreds: never this much.
const MAX_LINE_BYTES: u64 = 16 << 20;
/// A copy of the heads is written when the journal has grown by this much since the last one.
const CHECKPOINT_BYTES: u64 = 256 << 10;

/// The root of every index and of every distribution's tracks. An empty one has none.
pub type Heads = BTreeMap<HeadId, RootId>;

/// Who did what, for the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// When, in Unix seconds.
    pub unix_seconds: i64,
    /// Who.
    pub user: String,
    /// The command and its arguments.
    pub command: String,
}

/// What a change did to one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadChange {
    /// Its root before; none if it was empty.
    pub old: Option<RootId>,
    /// Its root after; none if it is empty now.
    pub new: Option<RootId>,
}

/// One change of the archive, as a line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number; the first is 1.
    pub sequence: u64,
    /// The SHA-256 of the line before it, 0 for the first.
    pub previous: Sha256,
    /// Who did what, and when.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The heads it moved.
    pub heads: BTreeMap<HeadId, HeadChange>,
}

/// A place in the journal: the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The number of that line, 0 for the start of the journal.
    pub(super) sequence: u64,
    start: u64,
    pub(super) end: u64,
    digest: Sha256,
}

impl Position {
    /// Before the first line.
    pub(super) fn origin() -> Self {
        Self {
            sequence: 0,
            start: 0,
            end: 0,
            digest: Sha256::from_bytes([0; 32]),
        }
    }

    fn after(&self, line: &[u8]) -> Self {
        Self {
            sequence: self.sequence + 1,
            start: self.end,
            end: self.end + line.len() as u64,
            digest: Sha256::of(line),
        }
    }
}

/// The archive's state at one line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) position: Position,
    /// When that line was written.
    pub(super) unix_seconds: i64,
    pub(super) heads: Heads,
}

impl State {
    fn origin() -> Self {
        Self {
            position: Position::origin(),
            unix_seconds: 0,
            heads: Heads::new(),
        }
    }
}

/// How far reading came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// To the end of the last whole line.
    Whole(Position),
    /// To the last whole line; a torn one is after it.
    Torn(Position),
    /// Nowhere: the journal has not the line to start from.
    DoesNotFit,
}

/// The journal of one database.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    directory: PathBuf,
    path: PathBuf,
}

impl Journal {
    pub(super) fn at(database: &Path) -> Self {
        Self {
            directory: database.to_owned(),
            path: database.join("journal"),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn damaged(&self, line: u64, problem: impl Into<String>) -> Error {
        Error::Journal {
            path: self.path.clone(),
            line,
            problem: problem.into(),
        }
    }

    /// Calls `each` for every line after `from`.
    pub(super) fn read(&self, from: &Position, mut each: impl FnMut(Position, Line) -> Result<()>) -> Result<End> {
        let mut file = match File::open(&self.path).at("open", &self.path) {
            Err(error) if error.is_not_found() && from.sequence == 0 => return Ok(End::Whole(*from)),
            Err(error) if error.is_not_found() => return Ok(End::DoesNotFit),
            other => other?,
        };
        file.seek(SeekFrom::Start(from.start)).at("read", &self.path)?;
        let mut reader = BufReader::with_capacity(64 << 10, file);
        let mut text = Vec::new();
        if from.sequence > 0 {
            self.read_line(&mut reader, &mut text, from.sequence)?;
            if Sha256::of(&text) != from.digest {
                return Ok(End::DoesNotFit);
            }
        }
        let mut at = *from;
        loop {
            self.read_line(&mut reader, &mut text, at.sequence + 1)?;
            if text.is_empty() {
                return Ok(End::Whole(at));
            }
            let parsed: Option<Line> = text
                .strip_suffix(b"\n")
                .and_then(|line| serde_json::from_slice(line).ok());
            let Some(line) = parsed else {
                // what a crash leaves lacks its end, or parts that never reached the disk and read as zeros; a whole
                // line that says something else is damage, and may have happened
                let may_be_torn = text.last() != Some(&b'\n') || text.contains(&0);
                if may_be_torn && reader.fill_buf().at("read", &self.path)?.is_empty() {
                    return Ok(End::Torn(at));
                }
                return Err(self.damaged(at.sequence + 1, "it is no line of a journal"));
            };
            if line.sequence != at.sequence + 1 || line.previous != at.digest {
                return Err(self.damaged(at.sequence + 1, "it does not follow the line before it"));
            }
            at = at.after(&text);
            each(at, line)?;
        }
    }

    fn read_line(&self, reader: &mut impl BufRead, text: &mut Vec<u8>, line: u64) -> Result<()> {
        text.clear();
        let mut limited = reader.take(MAX_LINE_BYTES);
        limited.read_until(b'\n', text).at("read", &self.path)?;
        if text.len() as u64 == MAX_LINE_BYTES {
            return Err(self.damaged(line, format!("longer than {MAX_LINE_BYTES} bytes")));
        }
        Ok(())
    }

    /// The state at the end, and whether a torn line is after it.
    pub(super) fn state(&self) -> Result<(State, bool)> {
        let mut state = self.checkpoint().unwrap_or_else(State::origin);
        let copied = state.position.sequence;
        let mut end = self.follow(&mut state)?;
        if end == End::DoesNotFit {
            state = State::origin();
            end = self.follow(&mut state)?;
            self.must_reach(&state, copied)?;
        }
        Ok((state, matches!(end, End::Torn(_))))
    }

    /// Refuses a journal that ends before a change which is known to have happened: its end is lost.
    pub(super) fn must_reach(&self, state: &State, sequence: u64) -> Result<()> {
        let last = state.position.sequence;
        if sequence <= last {
            return Ok(());
        }
        Err(self.damaged(
            last + 1,
            format!("it ends after change {last}, though change {sequence} has happened"),
        ))
    }

    /// The state after the whole lines that follow each other from the first on, and what is wrong with the next one.
    pub(super) fn whole_lines(&self) -> (State, Option<Error>) {
        let mut state = State::origin();
        let end = self.follow(&mut state);
        (state, end.err())
    }

    /// The state as it was after that change.
    pub(super) fn state_at(&self, sequence: u64) -> Result<Option<State>> {
        let mut state = State::origin();
        self.read(&Position::origin(), |position, line| {
            if line.sequence <= sequence {
                self.step(&mut state, position, &line)?;
            }
            Ok(())
        })?;
        Ok((state.position.sequence == sequence).then_some(state))
    }

    pub(super) fn follow(&self, state: &mut State) -> Result<End> {
        let from = state.position;
        self.read(&from, |position, line| self.step(state, position, &line))
    }

    fn step(&self, state: &mut State, position: Position, line: &Line) -> Result<()> {
        for (head, change) in &line.heads {
            let before = match change.new {
                Some(root) => state.heads.insert(head.clone(), root),
                None => state.heads.remove(head),
            };
            if before != change.old {
                return Err(self.damaged(line.sequence, format!("`{head}` was in another state before it")));
            }
        }
        state.position = position;
        state.unix_seconds = line.provenance.unix_seconds;
        Ok(())
    }

    /// Appends a line and syncs it: at return the change has happened. Returns the state after it.
    pub(super) fn append(
        &self,
        state: &State,
        provenance: &Provenance,
        heads: BTreeMap<HeadId, HeadChange>,
    ) -> Result<(State, Line)> {
        let line = Line {
            sequence: state.position.sequence + 1,
            previous: state.position.digest,
            provenance: provenance.clone(),
            heads,
        };
        let number = line.sequence;
        let mut text = serde_json::to_vec(&line).map_err(|error| self.damaged(number, error.to_string()))?;
        text.push(b'\n');
        // a line that could not be read back would make the archive unreadable
        let reread: Option<Line> = serde_json::from_slice(&text).ok();
        if reread.as_ref() != Some(&line) || text.len() as u64 >= MAX_LINE_BYTES {
            return Err(self.damaged(number, "the line to be written could not be read back"));
        }
        let mut next = state.clone();
        self.step(&mut next, state.position.after(&text), &line)?;
        let old_length = state.position.end;
        let mut file = self.open_to_append(old_length)?;
        if old_length == 0 {
            // before the line is there: a failure after it would be one of a change that has happened
            fsio::sync_dir(&self.directory)?;
        }
        let written = file.write_all(&text).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // without this the next line would follow half a line; a crash here leaves a torn one, which is cut off
            file.set_len(old_length)
                .and_then(|()| file.sync_all())
                .at("shorten", &self.path)?;
            Err(error).at("write", &self.path)?;
        }
        Ok((next, line))
    }

    fn open_to_append(&self, length: u64) -> Result<File> {
        let mut options = OpenOptions::new();
        let file = options
            .append(true)
            .create(true)
            .open(&self.path)
            .at("open", &self.path)?;
        if file.metadata().at("read", &self.path)?.len() == length {
            return Ok(file);
        }
        Err(Error::Damaged {
            path: self.path.clone(),
            problem: format!("it should be {length} bytes long: another program has written to it"),
        })
    }

    /// Cuts a torn line off, and keeps it in `journal.torn`. Refuses that if the tables have `reached` its change, as
    /// it was whole then.
    pub(super) fn cut(&self, position: &Position, reached: Option<&Position>) -> Result<()> {
        let number = position.sequence + 1;
        if reached.is_some_and(|reached| reached.sequence >= number) {
            return Err(self.damaged(number, "it is no line of a journal, though its change has happened"));
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .at("open", &self.path)?;
        let mut torn = Vec::new();
        file.seek(SeekFrom::Start(position.end)).at("read", &self.path)?;
        (&file)
            .take(MAX_LINE_BYTES)
            .read_to_end(&mut torn)
            .at("read", &self.path)?;
        fsio::write_atomic(&self.directory.join("journal.torn"), &torn)?;
        file.set_len(position.end).at("shorten", &self.path)?;
        file.sync_all().at("sync", &self.path)?;
        Ok(())
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.directory.join("heads")
    }

    /// The copied state; none if there is none, or it is not whole.
    pub(super) fn checkpoint(&self) -> Option<State> {
        let bytes = fsio::read_if_there(&self.checkpoint_path(), 4 * MAX_LINE_BYTES).ok()??;
        let line_end = memchr::memchr(b'\n', &bytes)?;
        let (digest, json) = bytes.split_at(line_end + 1);
        (Sha256::of(json).to_string().as_bytes() == digest.trim_ascii_end())
            .then(|| serde_json::from_slice(json).ok())?
    }

    /// Writes a new copy of the state if the last one is far behind.
    pub(super) fn write_checkpoint(&self, state: &State) -> Result<()> {
        let copied = self.checkpoint().map_or(0, |old| old.position.end);
        let is_near = (copied..copied.saturating_add(CHECKPOINT_BYTES)).contains(&state.position.end);
        if is_near {
            return Ok(());
        }
        let path = self.checkpoint_path();
        let json = serde_json::to_vec(state)
            .map_err(std::io::Error::from)
            .at("write", &path)?;
        let digest = format!("{}\n", Sha256::of(&json));
        write_unsynced(&self.directory, &path, &[digest.as_bytes(), &json])
    }
}
