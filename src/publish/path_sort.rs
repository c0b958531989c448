//! Sorts the paths of a whole distribution, of which there may be millions, in bounded memory: sorted runs go to
//! temporary files, and are merged while they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::Error;
use crate::fsio::AtPath;

/// How many bytes of paths are held at a time; their positions come on top, about as much again for short paths.
const RUN_BYTES: usize = 4 << 20;

/// Takes paths in any order, each with a number.
pub(super) struct PathSorter<'a> {
    scratch: &'a Path,
    run_bytes: usize,
    paths: Vec<u8>,
    entries: Vec<Entry>,
    runs: Vec<File>,
}

/// Where a path is in the bytes of its run.
struct Entry {
    start: usize,
    length: u32,
    number: u32,
}

impl<'a> PathSorter<'a> {
    /// A sorter with its temporary files in `scratch`; they have no name and vanish with it.
    pub(super) fn new(scratch: &'a Path) -> Self {
        Self::with_run_bytes(scratch, RUN_BYTES)
    }

    fn with_run_bytes(scratch: &'a Path, run_bytes: usize) -> Self {
        Self {
            scratch,
            run_bytes,
            paths: Vec::new(),
            entries: Vec::new(),
            runs: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, path: &[u8], number: u32) -> Result<(), Error> {
        if self.paths.len() + path.len() > self.run_bytes {
            self.end_run()?;
        }
        self.entries.push(Entry {
            start: self.paths.len(),
            length: u32::try_from(path.len()).unwrap_or(u32::MAX),
            number,
        });
        self.paths.extend_from_slice(path);
        Ok(())
    }

    fn end_run(&mut self) -> Result<(), Error> {
        let paths = std::mem::take(&mut self.paths);
        let mut entries = std::mem::take(&mut self.entries);
        let path_of = |entry: &Entry| {
            paths
                .get(entry.start..)
                .and_then(|rest| rest.get(..entry.length as usize))
        };
        entries.sort_unstable_by(|a, b| (path_of(a), a.number).cmp(&(path_of(b), b.number)));
        let file = tempfile::tempfile_in(self.scratch).at("create a temporary file in", self.scratch)?;
        let mut out = BufWriter::new(file);
        let write = |out: &mut BufWriter<File>| {
            for entry in &entries {
                out.write_all(&entry.length.to_le_bytes())?;
                out.write_all(&entry.number.to_le_bytes())?;
                out.write_all(path_of(entry).unwrap_or_default())?;
            }
            out.rewind()
        };
        write(&mut out).at("write a temporary file in", self.scratch)?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error);
        self.runs.push(file.at("write a temporary file in", self.scratch)?);
        Ok(())
    }

    /// All paths with their numbers, sorted by both.
    pub(super) fn finish(mut self) -> Result<Sorted, Error> {
        if !self.entries.is_empty() {
            self.end_run()?;
        }
        let mut sorted = Sorted {
            scratch: self.scratch.to_owned(),
            heads: BinaryHeap::new(),
            runs: self.runs.into_iter().map(BufReader::new).collect(),
        };
        for run in 0..sorted.runs.len() {
            sorted.advance(run)?;
        }
        Ok(sorted)
    }
}

/// The merged runs.
pub(super) struct Sorted {
    scratch: PathBuf,
    /// The next path of each run that has one.
    heads: BinaryHeap<Reverse<(Vec<u8>, u32, usize)>>,
    runs: Vec<BufReader<File>>,
}

impl Sorted {
    fn advance(&mut self, run: usize) -> Result<(), Error> {
        let Some(reader) = self.runs.get_mut(run) else {
            return Ok(());
        };
        if let Some((path, number)) = read_entry(reader).at("read a temporary file in", &self.scratch)? {
            self.heads.push(Reverse((path, number, run)));
        }
        Ok(())
    }
}

impl Iterator for Sorted {
    type Item = Result<(Vec<u8>, u32), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((path, number, run)) = self.heads.pop()?;
        Some(self.advance(run).map(|()| (path, number)))
    }
}

/// The next entry of a run; None at its end.
fn read_entry(reader: &mut BufReader<File>) -> io::Result<Option<(Vec<u8>, u32)>> {
    let (mut length, mut number) = ([0; 4], [0; 4]);
    match reader.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    reader.read_exact(&mut number)?;
    let mut path = vec![0; u32::from_le_bytes(length) as usize];
    reader.read_exact(&mut path)?;
    Ok(Some((path, u32::from_le_bytes(number))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_runs_come_out_as_one_order() {
        let directory = tempfile::tempdir().unwrap();
        let mut sorter = PathSorter::with_run_bytes(directory.path(), 40);
        let mut expected = Vec::new();
        for number in 0..200_u32 {
            let path = format!("usr/{}", number * 7919 % 101).into_bytes();
            sorter.push(&path, number).unwrap();
            expected.push((path, number));
        }
        expected.sort();
        assert!(sorter.runs.len() > 5);
        let sorted: Vec<_> = sorter.finish().unwrap().map(Result::unwrap).collect();
        assert_eq!(sorted, expected);
        assert_eq!(PathSorter::new(directory.path()).finish().unwrap().count(), 0);
    }
}
