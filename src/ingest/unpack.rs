//! Decompression of a stream, by the name that it has. What a decoder may take of memory is limited; how much it may
//! give is the business of its reader.

use std::io::{self, BufRead, Read};

use liblzma::stream::{CONCATENATED, Stream};

/// The most memory that an xz or lzma decoder may take. `xz -9` needs 65 MiB.
const LZMA_MEMORY_BYTES: u64 = 512 << 20;
/// The largest window of a zstd stream, as a power of two: what `zstd` itself takes without being told to.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Xz,
    Lzma,
    Bzip2,
    Zstd,
}

impl Packing {
    /// The packing that a file name's end stands for, `""` being none.
    pub fn of_suffix(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "" => Self::Plain,
            ".gz" => Self::Gzip,
            ".xz" => Self::Xz,
            ".lzma" => Self::Lzma,
            ".bz2" => Self::Bzip2,
            ".zst" => Self::Zstd,
            _ => return None,
        })
    }

    /// The unpacked content of `packed`, all streams, members or frames of it.
    pub fn reader<'a, R: BufRead + 'a>(self, packed: R) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Plain => Box::new(packed),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(LZMA_MEMORY_BYTES, CONCATENATED)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
            }
            Self::Lzma => {
                let stream = Stream::new_lzma_decoder(LZMA_MEMORY_BYTES)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }
}
