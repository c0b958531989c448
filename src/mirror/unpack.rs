//! Unpacking downloaded indexes, with a limit on what comes out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::mpsc;

use super::{Error, Result};
use crate::conf::update::ListForm;
use crate::fsio::{AtPath, EarlyWriter};
use crate::model::{DigestKind, FileDigests, Hasher};

const CHUNK_BYTES: usize = 256 << 10;
/// How many pieces are unpacked before somebody has taken the first.
const PIECES_AHEAD: usize = 8;
/// The most memory that an xz or lzma decoder may take.
const DECODER_MEMORY_BYTES: u64 = 256 << 20;

/// What a form adds to the name of an index; none for forms that cannot be read.
pub(super) fn extension(form: ListForm) -> Option<&'static str> {
    match form {
        ListForm::Plain => Some(""),
        ListForm::Gzip => Some(".gz"),
        ListForm::Bzip2 => Some(".bz2"),
        ListForm::Lzma => Some(".lzma"),
        ListForm::Xz => Some(".xz"),
        ListForm::Zstd => Some(".zst"),
        ListForm::Lzip | ListForm::Diff => None,
    }
}

fn reader(form: ListForm, file: BufReader<File>) -> io::Result<Box<dyn Read>> {
    Ok(match form {
        ListForm::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        ListForm::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(file)),
        ListForm::Xz => Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(file)),
        ListForm::Lzma => {
            let stream = liblzma::stream::Stream::new_lzma_decoder(DECODER_MEMORY_BYTES)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        ListForm::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
            decoder.window_log_max(27)?;
            Box::new(decoder)
        }
        ListForm::Plain | ListForm::Lzip | ListForm::Diff => Box::new(file),
    })
}

/// A file of an upstream, unpacked as it is read.
///
/// # Errors
/// It cannot be opened.
pub fn open_unpacked(form: ListForm, path: &Path) -> Result<impl BufRead + use<>> {
    let file = BufReader::with_capacity(CHUNK_BYTES, File::open(path).at("open", path)?);
    Ok(BufReader::new(reader(form, file).at("unpack", path)?))
}

/// Unpacks `packed`, which came from `url`, to the new file `plain`, and gives the digests of what came out.
///
/// # Errors
/// It is damaged, or more than `limit_bytes` come out.
pub(super) fn unpack(
    form: ListForm,
    (packed, url): (&Path, &str),
    plain: &Path,
    limit_bytes: u64,
    kinds: &[DigestKind],
) -> Result<FileDigests> {
    let target = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(plain)
        .at("write", plain)?;
    let mut target = EarlyWriter::new(target);
    let content = unpack_into(form, (packed, url), (limit_bytes, kinds), |bytes| {
        Ok(target.write_all(bytes).at("write", plain)?)
    })?;
    target.flush().at("write", plain)?;
    Ok(content)
}

/// Unpacks `packed`, which came from `url`, and gives each piece to `each`; at the end the digests of what came out.
///
/// # Errors
/// It is damaged, more than `limit_bytes` come out, or `each` fails.
pub(super) fn unpack_into(
    form: ListForm,
    (packed, url): (&Path, &str),
    (limit_bytes, kinds): (u64, &[DigestKind]),
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<FileDigests> {
    let file = BufReader::with_capacity(CHUNK_BYTES, File::open(packed).at("open", packed)?);
    let mut hasher = Hasher::of_kinds(kinds);
    let mut length = 0_u64;
    let (pieces, unpacked) = mpsc::sync_channel(PIECES_AHEAD);
    std::thread::scope(|scope| {
        // a decoder fills a core; what is done with its output has another
        scope.spawn(move || send_pieces(form, file, &pieces));
        for piece in unpacked {
            let bytes = piece.map_err(|source| Error::Unpack {
                url: url.to_owned(),
                problem: source.to_string(),
            })?;
            length = length.saturating_add(bytes.len() as u64);
            if length > limit_bytes {
                return Err(Error::TooLong {
                    url: url.to_owned(),
                    limit_bytes,
                });
            }
            hasher.update(&bytes);
            each(&bytes)?;
        }
        Ok(hasher.finish())
    })
}

/// Unpacks a file into pieces, for as long as somebody takes them.
fn send_pieces(form: ListForm, file: BufReader<File>, pieces: &mpsc::SyncSender<io::Result<Vec<u8>>>) {
    let mut source = match reader(form, file) {
        Ok(source) => source,
        // who does not listen any more has failed already
        Err(error) => return drop(pieces.send(Err(error))),
    };
    loop {
        let mut piece = Vec::with_capacity(CHUNK_BYTES);
        let read = source.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut piece);
        let goes_on = match read {
            Ok(0) => return,
            Ok(_) => pieces.send(Ok(piece)).is_ok(),
            Err(error) => return drop(pieces.send(Err(error))),
        };
        if !goes_on {
            return;
        }
    }
}

/// The digests of a file, of these kinds and SHA-256.
///
/// # Errors
/// It cannot be read.
pub(super) fn digest(path: &Path, kinds: &[DigestKind]) -> Result<FileDigests> {
    let mut file = File::open(path).at("open", path)?;
    let mut hasher = Hasher::of_kinds(kinds);
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut buffer).at("read", path)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}
