//! The members of an ar archive, in the plain form that deb(5) allows, read as a stream.

use std::io::{self, BufRead, Read};

use super::error::ArchiveError;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER_BYTES: usize = 60;

/// The head of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its name, without the blanks or the `/` that fill the field.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// Reads members one after the other; as a reader it gives the content of the current one.
#[derive(Debug)]
pub(super) struct Ar<R> {
    inner: R,
    left: u64,
    is_padded: bool,
}

impl<R: BufRead> Ar<R> {
    /// Checks the archive's first line.
    pub fn new(mut inner: R) -> Result<Self, ArchiveError> {
        let mut magic = [0; MAGIC.len()];
        inner.read_exact(&mut magic).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::ar("the file is too short"),
            _ => ArchiveError::Read {
                what: "the first line of the archive".into(),
                source,
            },
        })?;
        if &magic != MAGIC {
            return Err(ArchiveError::ar("the file does not start with `!<arch>`"));
        }
        Ok(Self {
            inner,
            left: 0,
            is_padded: false,
        })
    }

    /// Passes over what is left of the current member and reads the head of the next one.
    pub fn next_member(&mut self) -> Result<Option<Member>, ArchiveError> {
        let read_error = |source| ArchiveError::Read {
            what: "the next member of the archive".into(),
            source,
        };
        loop {
            match self.fill_buf().map(<[u8]>::len) {
                Ok(0) => break,
                Ok(length) => self.consume(length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(error)),
            }
        }
        let padding = u64::from(std::mem::take(&mut self.is_padded));
        let mut head = Vec::with_capacity(HEADER_BYTES + 1);
        let wanted = padding + HEADER_BYTES as u64;
        self.inner
            .by_ref()
            .take(wanted)
            .read_to_end(&mut head)
            .map_err(read_error)?;
        // the filling byte after the last member is often left out
        if head.len() as u64 <= padding {
            return Ok(None);
        }
        let member = head
            .get(usize::from(padding == 1)..)
            .and_then(parse_header)
            .ok_or_else(|| ArchiveError::ar("the head of a member is cut short or malformed"))?;
        self.left = member.size_bytes;
        self.is_padded = member.size_bytes % 2 == 1;
        Ok(Some(member))
    }
}

impl<R: BufRead> Read for Ar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Ar<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let bytes = self.inner.fill_buf()?;
        if bytes.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the file ends {} bytes before the end of this member", self.left),
            ));
        }
        let length = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        Ok(bytes.split_at(length).0)
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.left = self.left.saturating_sub(count as u64);
    }
}

fn parse_header(header: &[u8]) -> Option<Member> {
    let column = |from: usize, to: usize| std::str::from_utf8(header.get(from..to)?).ok();
    if column(58, 60)? != "`\n" {
        return None;
    }
    let name = column(0, 16)?.trim_end_matches(' ');
    let size = column(48, 58)?.trim_end_matches(' ');
    // at most ten digits: no overflow
    let is_number = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
    let size_bytes = size.parse().ok().filter(|_| is_number)?;
    Some(Member {
        name: name.strip_suffix('/').unwrap_or(name).to_owned(),
        size_bytes,
    })
}
