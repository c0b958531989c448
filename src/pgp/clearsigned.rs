//! The cleartext signature framework (RFC 9580 section 7) as InRelease, .dsc and .changes files use it, read more
//! strictly than it is defined: one signed text, and nothing before or after it. What a lenient reader takes for part
//! of the text and the verifier does not is how signed files are forged.

use super::{Error, MAX_SIGNED_BYTES};

const BEGIN_MESSAGE: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &[u8] = b"-----END PGP SIGNATURE-----";

/// A clear-signed file taken apart; nothing of it is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearSigned {
    /// What the signature covers: dashes unescaped, blanks at line ends dropped, each line ended by `\n`.
    pub text: Vec<u8>,
    /// The armored signature block.
    pub signature: Vec<u8>,
}

/// Takes a clear-signed file apart; None if it is a text without any signature.
///
/// # Errors
/// [`Error::TooLong`], and [`Error::Malformed`] for a file that is neither a plain text nor exactly one signed text.
pub fn split_clearsigned(bytes: &[u8]) -> Result<Option<ClearSigned>, Error> {
    if bytes.len() > MAX_SIGNED_BYTES {
        return Err(Error::TooLong { size: bytes.len() });
    }
    let mut lines = Lines::new(bytes);
    let mut first = true;
    loop {
        let Some(line) = lines.next() else { return Ok(None) };
        if line == BEGIN_MESSAGE && first {
            break;
        }
        if line.starts_with(b"-----BEGIN PGP") {
            return lines.malformed(if first {
                "the file must begin with `-----BEGIN PGP SIGNED MESSAGE-----`"
            } else {
                "there must be no text before the signed text"
            });
        }
        first &= line.is_empty();
    }
    skip_header(&mut lines)?;
    let text = signed_text(&mut lines)?;
    let signature = signature_block(&mut lines)?;
    while let Some(line) = lines.next() {
        if !line.is_empty() {
            return lines.malformed("there must be nothing after the signature");
        }
    }
    Ok(Some(ClearSigned { text, signature }))
}

fn skip_header(lines: &mut Lines<'_>) -> Result<(), Error> {
    loop {
        match lines.next() {
            Some([]) => return Ok(()),
            Some(line) if line.starts_with(b"Hash: ") => {}
            _ => {
                return lines
                    .malformed("only `Hash:` lines and an empty line must stand between the marker and the text");
            }
        }
    }
}

fn signed_text(lines: &mut Lines<'_>) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    loop {
        let Some(line) = lines.next() else {
            return lines.malformed("the signed text must be followed by its signature");
        };
        let line = match line.strip_prefix(b"- ") {
            Some(unescaped) => unescaped,
            None if line == BEGIN_SIGNATURE => return Ok(text),
            None if line.starts_with(b"-") => {
                return lines.malformed("a line of the signed text that begins with `-` must be escaped by `- `");
            }
            None => line,
        };
        text.extend_from_slice(line);
        text.push(b'\n');
    }
}

fn signature_block(lines: &mut Lines<'_>) -> Result<Vec<u8>, Error> {
    let mut block = [BEGIN_SIGNATURE, b"\n"].concat();
    loop {
        let Some(line) = lines.next() else {
            return lines.malformed("the signature must end with `-----END PGP SIGNATURE-----`");
        };
        if line.starts_with(b"-") && line != END_SIGNATURE {
            return lines.malformed("must be a line of the signature");
        }
        block.extend_from_slice(line);
        block.push(b'\n');
        if line == END_SIGNATURE {
            return Ok(block);
        }
    }
}

/// Lines without their ends and the blanks before these, which signatures do not cover.
struct Lines<'a> {
    rest: Option<&'a [u8]>,
    number: usize,
}

impl<'a> Lines<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: (!bytes.is_empty()).then_some(bytes),
            number: 0,
        }
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        self.number += 1;
        let line = match memchr::memchr(b'\n', rest).and_then(|end| rest.split_at_checked(end)) {
            Some((line, tail)) => {
                self.rest = tail.get(1..).filter(|tail| !tail.is_empty());
                line
            }
            None => {
                self.rest = None;
                rest
            }
        };
        Some(trimmed(line))
    }

    fn malformed<T>(&self, rule: &'static str) -> Result<T, Error> {
        Err(Error::Malformed {
            line: self.number,
            rule,
        })
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !b" \t\r".contains(byte));
    end.and_then(|last| line.get(..=last)).unwrap_or_default()
}

/// The form of a text over which a text signature is made: CR LF between lines, none after the last.
pub(super) fn canonical(text: &[u8]) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(text.len() + text.len() / 16);
    for (index, line) in text
        .strip_suffix(b"\n")
        .unwrap_or(text)
        .split(|&byte| byte == b'\n')
        .enumerate()
    {
        if index > 0 {
            canonical.extend_from_slice(b"\r\n");
        }
        canonical.extend_from_slice(trimmed(line));
    }
    canonical
}

/// The clear-signed file of a text and its armored text signature.
pub(super) fn join(text: &[u8], hash: &str, signature: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(text.len() + signature.len() + 128);
    file.extend_from_slice(BEGIN_MESSAGE);
    file.extend_from_slice(format!("\nHash: {hash}\n\n").as_bytes());
    for line in text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n') {
        if line.starts_with(b"-") {
            file.extend_from_slice(b"- ");
        }
        file.extend_from_slice(trimmed(line));
        file.push(b'\n');
    }
    file.extend_from_slice(signature);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n";

    fn signed(text: &str) -> String {
        format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{text}{SIGNATURE}")
    }

    fn rule(file: &str) -> String {
        split_clearsigned(file.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_text_comes_out_as_the_signature_covers_it() {
        let split = split_clearsigned(signed("A: b \t\r\n- -----\n- - x\n").as_bytes())
            .unwrap()
            .unwrap();
        assert_eq!(split.text, b"A: b\n-----\n- x\n");
        assert_eq!(split.signature, SIGNATURE.as_bytes());
        assert_eq!(canonical(&split.text), b"A: b\r\n-----\r\n- x");
    }

    #[test]
    fn joining_and_splitting_give_the_text_again() {
        for text in [
            "A: b\n",
            "- x\n--\n",
            "\n\nA\n\n",
            "A: b\n-----BEGIN PGP SIGNATURE-----\n",
        ] {
            let joined = join(text.as_bytes(), "SHA512", SIGNATURE.as_bytes());
            let split = split_clearsigned(&joined).unwrap().unwrap();
            assert_eq!(split.text, text.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn a_text_without_signature_is_no_error() {
        assert_eq!(
            split_clearsigned(b"Format: 1.8\nChanges:\n -----BEGIN PGP SIGNED MESSAGE-----\n").unwrap(),
            None
        );
        assert_eq!(split_clearsigned(b"").unwrap(), None);
    }

    #[test]
    fn whatever_is_outside_the_one_signed_text_is_refused() {
        let good = signed("A: b\n");
        assert_eq!(
            rule(&format!("Evil: yes\n{good}")),
            "line 2 of the signed file: there must be no text before the signed text"
        );
        assert_eq!(
            rule(&format!("{good}Evil: yes\n")),
            "line 9 of the signed file: there must be nothing after the signature"
        );
        assert!(rule(&format!("{good}{good}")).contains("nothing after the signature"));
        assert!(rule(SIGNATURE).contains("must begin with"));
        assert!(rule(&good.replace("Hash: SHA512", "Evil: yes")).contains("only `Hash:` lines"));
        assert!(rule(&signed("A: b\n-----BEGIN PGP SIGNED MESSAGE-----\n")).contains("must be escaped"));
        let begin = good.find(SIGNATURE).unwrap();
        assert!(rule(&good[..begin]).contains("followed by its signature"));
        let end = good.find("-----END").unwrap();
        assert!(rule(&good[..end]).contains("must end with"));
        assert!(
            split_clearsigned(format!("\n \n{good}\n\n").as_bytes())
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn too_long_a_file_is_refused() {
        assert!(matches!(
            split_clearsigned(&vec![b'a'; MAX_SIGNED_BYTES + 1]),
            Err(Error::TooLong { .. })
        ));
    }
}
