//! Files that go to the disk while they are written, so that the sync in the end has little left to wait for.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU64;

use rustix::fs::Advice;

/// How much is written before the kernel is asked to bring it to the disk.
const STEP_BYTES: u64 = 8 << 20;

/// A file that is written from start to end.
#[derive(Debug)]
pub struct EarlyWriter {
    file: File,
    /// Up to where the kernel was asked.
    asked_bytes: u64,
    waiting_bytes: u64,
}

impl EarlyWriter {
    /// A writer to this file, which is empty.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self {
            file,
            asked_bytes: 0,
            waiting_bytes: 0,
        }
    }

    fn begin_writing_back(&mut self) {
        let Some(new) = NonZeroU64::new(self.waiting_bytes) else {
            return;
        };
        // for pages that are not on the disk yet this advice means: write them, and do not wait for it; it may be
        // ignored. Those before are left out, or they would be dropped from memory and soon be read from the disk
        let _ = rustix::fs::fadvise(&self.file, self.asked_bytes, Some(new), Advice::DontNeed);
        self.asked_bytes = self.asked_bytes.saturating_add(self.waiting_bytes);
        self.waiting_bytes = 0;
    }
}

impl Write for EarlyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.waiting_bytes = self.waiting_bytes.saturating_add(written as u64);
        if self.waiting_bytes >= STEP_BYTES {
            self.begin_writing_back();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.begin_writing_back();
        self.file.flush()
    }
}
