//! One compressed part of an index file, and how parts become a file that clients read as one.
//!
//! An index is cut into groups of blocks, and each group is compressed by itself, so that a part that was published
//! before can be copied. gzip members (RFC 1952) and zstd frames (RFC 8878) are simply put one after the other. xz is
//! one stream of several blocks, with a header before them and their sizes after them (The .xz File Format 1.2.1):
//! apt reads just the first of several streams.

use std::cell::RefCell;
use std::io;

use flate2::Crc;
use libdeflater::{CompressionLvl, Compressor};
use liblzma::stream::{Action, Check, Filters, LzmaOptions, Status, Stream};
use serde::{Deserialize, Serialize};

use crate::model::Sha256;

/// A form in which parts can be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    Gzip,
    Xz,
    Zstd,
}

/// As small as zlib at 9, in a quarter of the time.
const GZIP_LEVEL: i32 = 6;
/// Half the time of preset 6 for 9% more; presets below 4 are no smaller than gzip once the text is cut into parts.
const XZ_PRESET: u32 = 4;
/// A dictionary larger than the text is memory for nothing.
const XZ_DICTIONARY_BYTES: std::ops::RangeInclusive<u32> = 64 << 10..=4 << 20;
const ZSTD_LEVEL: i32 = 9;

/// Stream header: magic, flags for CRC64 as the check, CRC32 of the flags.
const XZ_HEADER: [u8; 12] = [0xFD, b'7', b'z', b'X', b'Z', 0, 0, 4, 0xE6, 0xD6, 0xB4, 0x46];
const XZ_FOOTER_BYTES: usize = 12;

/// What is known of a part of a published file. The parts of a file lie in this order, without gaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The SHA-256 over the ids of the blocks in it.
    pub group: Sha256,
    /// The SHA-256 of the compressed bytes.
    pub digest: Sha256,
    /// How many compressed bytes it has.
    pub size_bytes: u64,
    /// How many bytes its text has.
    pub text_bytes: u64,
    /// How many of the compressed bytes, at the end, are padding (xz).
    pub padding_bytes: u8,
}

impl Joined {
    /// The bytes before the first part.
    pub(super) fn header(self) -> &'static [u8] {
        match self {
            Self::Gzip | Self::Zstd => &[],
            Self::Xz => &XZ_HEADER,
        }
    }

    /// The bytes after the last part.
    pub(super) fn trailer(self, parts: &[Part]) -> Vec<u8> {
        match self {
            Self::Gzip | Self::Zstd => Vec::new(),
            Self::Xz => xz_trailer(parts),
        }
    }

    /// Compresses the text of one group: the same text always gives the same bytes. The second value is how many of
    /// them are padding.
    pub(super) fn compress(self, text: &[u8]) -> io::Result<(Vec<u8>, u8)> {
        match self {
            Self::Gzip => Ok((gzip_member(text)?, 0)),
            Self::Zstd => Ok((zstd::bulk::compress(text, ZSTD_LEVEL)?, 0)),
            Self::Xz => xz_block(text),
        }
    }
}

/// What makes gzip members, and the room for the next one.
struct GzipMaker {
    compressor: Compressor,
    room: Vec<u8>,
}

thread_local! {
    // making one takes as long as a small part
    static GZIP: RefCell<Option<GzipMaker>> = const { RefCell::new(None) };
}

impl GzipMaker {
    fn new() -> io::Result<Self> {
        let level = CompressionLvl::new(GZIP_LEVEL).map_err(|error| io::Error::other(format!("{error:?}")))?;
        Ok(Self {
            compressor: Compressor::new(level),
            room: Vec::new(),
        })
    }

    fn member(&mut self, text: &[u8]) -> io::Result<Vec<u8>> {
        let bound = self.compressor.gzip_compress_bound(text.len());
        self.room.resize(bound.max(self.room.len()), 0);
        let made = self.compressor.gzip_compress(text, &mut self.room);
        let size_bytes = made.map_err(io::Error::other)?;
        Ok(self.room.get(..size_bytes).unwrap_or_default().to_vec())
    }
}

/// One gzip member; its header names no time and no system, so that the bytes do not depend on when and where.
fn gzip_member(text: &[u8]) -> io::Result<Vec<u8>> {
    GZIP.with_borrow_mut(|own| match own {
        Some(maker) => maker.member(text),
        none => none.insert(GzipMaker::new()?).member(text),
    })
}

/// One block of an xz stream, of a text that is not empty: the text as a stream of its own, less that stream's header, index and footer.
fn xz_block(text: &[u8]) -> io::Result<(Vec<u8>, u8)> {
    let wanted = u32::try_from(text.len().next_power_of_two()).unwrap_or(u32::MAX);
    let mut options = LzmaOptions::new_preset(XZ_PRESET)?;
    options.dict_size(wanted.clamp(*XZ_DICTIONARY_BYTES.start(), *XZ_DICTIONARY_BYTES.end()));
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let mut encoder = Stream::new_stream_encoder(&filters, Check::Crc64)?;
    let mut stream = Vec::with_capacity(text.len() / 3 + 1024);
    loop {
        let read = usize::try_from(encoder.total_in()).unwrap_or(usize::MAX);
        let rest = text.get(read..).unwrap_or_default();
        if encoder.process_vec(rest, &mut stream, Action::Finish)? == Status::StreamEnd {
            break;
        }
        stream.reserve(stream.len() / 2 + 1024);
    }
    cut_block(&stream).ok_or_else(|| io::Error::other("the xz encoder gave no stream of one block"))
}

fn cut_block(stream: &[u8]) -> Option<(Vec<u8>, u8)> {
    let footer = stream.get(stream.len().checked_sub(XZ_FOOTER_BYTES)?..)?;
    let backward = u32::from_le_bytes(footer.get(4..8)?.try_into().ok()?);
    let index_bytes = (usize::try_from(backward).ok()? + 1) * 4;
    let end = stream.len().checked_sub(XZ_FOOTER_BYTES + index_bytes)?;
    // the index: a zero byte, the count, then the size of the one block without its padding
    let index = stream.get(end..)?;
    let [0, 1, rest @ ..] = index else { return None };
    let unpadded = read_varint(rest)?;
    let block = stream.get(XZ_HEADER.len()..end)?;
    let padding = (block.len() as u64).checked_sub(unpadded)?;
    Some((block.to_vec(), u8::try_from(padding).ok()?))
}

fn xz_trailer(parts: &[Part]) -> Vec<u8> {
    let mut index = vec![0];
    push_varint(&mut index, parts.len() as u64);
    for part in parts {
        push_varint(&mut index, part.size_bytes - u64::from(part.padding_bytes));
        push_varint(&mut index, part.text_bytes);
    }
    index.resize(index.len().next_multiple_of(4), 0);
    let sum = crc32(&index);
    index.extend_from_slice(&sum);
    // a count of parts that overflows this would need an index of 16 GiB
    let backward = u32::try_from(index.len() / 4 - 1).unwrap_or(u32::MAX);
    let mut flags = backward.to_le_bytes().to_vec();
    flags.extend_from_slice(&[0, 4]);
    index.extend_from_slice(&crc32(&flags));
    index.extend_from_slice(&flags);
    index.extend_from_slice(b"YZ");
    index
}

fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

fn push_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn read_varint(bytes: &[u8]) -> Option<u64> {
    let mut value = 0;
    for (position, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * position);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// The groups as one file, and the text.
    fn file_of(form: Joined, groups: &[&[u8]]) -> Vec<u8> {
        let mut file = form.header().to_vec();
        let mut parts = Vec::new();
        for text in groups {
            let (bytes, padding_bytes) = form.compress(text).unwrap();
            parts.push(Part {
                group: Sha256::of(text),
                digest: Sha256::of(&bytes),
                size_bytes: bytes.len() as u64,
                text_bytes: text.len() as u64,
                padding_bytes,
            });
            file.extend_from_slice(&bytes);
        }
        file.extend_from_slice(&form.trailer(&parts));
        file
    }

    fn read_by(program: &str, file: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(["-d", "-c"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let file = file.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&file));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success(), "{program} refused the file");
        output.stdout
    }

    #[test]
    fn the_usual_programs_read_the_parts_as_one_file() {
        let long: Vec<u8> = (0..200_000_u32)
            .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        let groups: [&[u8]; 4] = [b"Package: a\n\n", &long, b"x", b"Package: b\n\n"];
        for (form, program) in [(Joined::Gzip, "gzip"), (Joined::Xz, "xz"), (Joined::Zstd, "zstd")] {
            let file = file_of(form, &groups);
            assert!(read_by(program, &file) == groups.concat(), "{program}");
            assert!(file == file_of(form, &groups), "{program}: other bytes the second time");
        }
    }

    #[test]
    fn an_xz_file_is_one_stream_even_of_nothing() {
        assert_eq!(file_of(Joined::Xz, &[]).len(), 32);
        let file = file_of(Joined::Xz, &[b"one\n", b"two\n"]);
        let mut out = Vec::new();
        // this decoder, as apt's, stops at the end of the first stream
        io::Read::read_to_end(&mut liblzma::read::XzDecoder::new(&*file), &mut out).unwrap();
        assert_eq!(out, b"one\ntwo\n");
    }
}
