//! Unpacking downloaded indexes, with a limit on what comes out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use super::{Error, Result};
use crate::conf::update::ListForm;
use crate::fsio::AtPath;
use crate::model::{DigestKind, FileDigests, Hasher};

const CHUNK_BYTES: usize = 256 << 10;
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
    let mut target = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(plain)
        .at("write", plain)?;
    unpack_into(form, (packed, url), (limit_bytes, kinds), |bytes| {
        Ok(target.write_all(bytes).at("write", plain)?)
    })
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
    let broken = |source: io::Error| Error::Unpack {
        url: url.to_owned(),
        problem: source.to_string(),
    };
    let mut source = reader(form, file).map_err(broken)?;
    let mut hasher = Hasher::of_kinds(kinds);
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut length = 0_u64;
    loop {
        let count = source.read(&mut buffer).map_err(broken)?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        length = length.saturating_add(count as u64);
        if length > limit_bytes {
            return Err(Error::TooLong {
                url: url.to_owned(),
                limit_bytes,
            });
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        hasher.update(bytes);
        each(bytes)?;
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
