//! The body of an answer: a short text, or a part of an open file that is read block by block as the client takes it.
//! Reading happens on the blocking threads, one block at a time, so a slow client holds a block and no thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::AccessLine;
use super::respond::Log;

const BLOCK_BYTES: u64 = 128 * 1024;

/// An answer's body; when it is dropped, sent or not, its line is logged.
pub(super) struct Body {
    content: Content,
    left_bytes: u64,
    receipt: Receipt,
}

enum Content {
    Text(Bytes),
    File {
        file: Arc<File>,
        offset: u64,
        reading: Option<JoinHandle<io::Result<Bytes>>>,
    },
}

impl Body {
    /// A short text, or nothing.
    pub fn text(text: impl Into<Bytes>, receipt: Receipt) -> Self {
        let text = text.into();
        Self {
            left_bytes: text.len() as u64,
            content: Content::Text(text),
            receipt,
        }
    }

    /// `length` bytes of a file, from the byte `offset` on.
    pub fn file(file: File, offset: u64, length: u64, receipt: Receipt) -> Self {
        Self {
            content: Content::File {
                file: Arc::new(file),
                offset,
                reading: None,
            },
            left_bytes: length,
            receipt,
        }
    }

    fn poll_block(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        match &mut self.content {
            Content::Text(text) => Poll::Ready(Ok(std::mem::take(text))),
            Content::File { file, offset, reading } => {
                let length = usize::try_from(self.left_bytes.min(BLOCK_BYTES)).unwrap_or(0);
                let task = reading.get_or_insert_with(|| {
                    let (file, offset) = (Arc::clone(file), *offset);
                    tokio::task::spawn_blocking(move || read_block(&file, offset, length))
                });
                let block = ready!(Pin::new(task).poll(cx)).map_err(io::Error::other)??;
                *reading = None;
                *offset += block.len() as u64;
                Poll::Ready(Ok(block))
            }
        }
    }
}

fn read_block(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut block = vec![0; length];
    match file.read_at(&mut block, offset)? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter")),
        read => {
            block.truncate(read);
            Ok(block.into())
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left_bytes == 0 {
            return Poll::Ready(None);
        }
        let block = ready!(self.poll_block(cx));
        match &block {
            Ok(block) => {
                self.left_bytes -= block.len() as u64;
                self.receipt.line.sent_bytes += block.len() as u64;
            }
            Err(error) => self.receipt.line.problem = Some(error.to_string()),
        }
        Poll::Ready(Some(block.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

/// The log line of an answer under way.
pub(super) struct Receipt {
    /// The line, complete but for the end.
    pub line: AccessLine,
    /// When the request came.
    pub start: Instant,
    /// Where the line goes.
    pub log: Log,
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.line.duration = self.start.elapsed();
        (self.log)(&self.line);
    }
}
