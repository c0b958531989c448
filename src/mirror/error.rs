//! Why an upstream cannot be used.

use std::path::PathBuf;

use crate::model::digest::Mismatch;
use crate::model::{DigestKind, ErrorKind, Promise};
use crate::{fsio, pgp};

/// A step with an upstream failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A local file cannot be read or written.
    #[error(transparent)]
    File(#[from] fsio::Error),
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client: {problem}")]
    Client {
        /// Why.
        problem: String,
    },
    /// Signals cannot be caught.
    #[error("cannot catch signals: {problem}")]
    Signals {
        /// Why.
        problem: String,
    },
    /// A signal came before this was done.
    #[error("interrupted by a signal")]
    Interrupted,
    /// The server is not who it says, or nobody known says so.
    #[error("cannot trust the server of `{url}`: {problem}")]
    Certificate {
        /// What was asked for.
        url: String,
        /// What is wrong with its certificate.
        problem: String,
    },
    /// The host cannot be reached.
    #[error("cannot reach `{url}`: {problem}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        problem: String,
    },
    /// The server has failed so often that it is not asked any more.
    #[error("did not ask for `{url}`: {count} files in a row failed at `{host}`")]
    GivenUp {
        /// What was wanted.
        url: String,
        /// The server.
        host: String,
        /// How many failed.
        count: u32,
    },
    /// The server refuses.
    #[error("cannot get `{url}`: the server answers {status}{}", wait(*retry_after_seconds))]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// After how many seconds the server wants to be asked again, where it says so.
        retry_after_seconds: Option<u64>,
    },
    /// The transfer broke off or stalled.
    #[error("cannot get all of `{url}`: {problem}")]
    Transfer {
        /// What was asked for.
        url: String,
        /// What went wrong.
        problem: String,
    },
    /// The answer has not the promised size.
    #[error("`{url}` has {found} bytes; promised were {expected}")]
    Size {
        /// What was asked for.
        url: String,
        /// The promised size.
        expected: u64,
        /// The size of the answer, as far as it was read.
        found: u64,
    },
    /// The answer is longer than any real one.
    #[error("`{url}` is longer than {limit_bytes} bytes")]
    TooLong {
        /// What was asked for.
        url: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// The method of an address is none that can be fetched by.
    #[error("cannot get `{url}`: the method is not http, https, file or copy")]
    Method {
        /// The address.
        url: String,
    },
    /// A file is not what a signed Release or an index promises.
    #[error("`{url}` is not what was promised: {}", list(differences))]
    Mismatch {
        /// The file.
        url: String,
        /// How it differs.
        differences: Vec<Mismatch>,
    },
    /// A signed file or a signature cannot be read.
    #[error("cannot verify the signature of `{url}`")]
    Signed {
        /// The file.
        url: String,
        /// Why.
        #[source]
        source: pgp::Error,
    },
    /// A keyring file that the rule names cannot be used.
    #[error("cannot use the keyring file `{}` that `VerifyRelease` names", path.display())]
    Keyring {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<pgp::Error>,
    },
    /// A file is promised by a digest alone that can be forged, or by none.
    #[error("{promised_by} promises `{path}` {} alone, which can be forged", match digest {
        Some(digest) => format!("by {digest}"),
        None => "by its size".into(),
    })]
    WeakDigest {
        /// What promises it.
        promised_by: String,
        /// The file.
        path: String,
        /// The best of its digests.
        digest: Option<DigestKind>,
    },
    /// No signature that the rule wants.
    #[error("no good signature of `{url}` by a key that `VerifyRelease` names: {problem}")]
    Untrusted {
        /// The file.
        url: String,
        /// What became of its signatures.
        problem: String,
    },
    /// Release is malformed.
    #[error("malformed Release `{url}`: {problem}")]
    Release {
        /// The file.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// Release is older than the one that was accepted last.
    #[error("`{url}` is of {date}, older than the one accepted before, of {accepted}: somebody replays an old one")]
    Older {
        /// The file.
        url: String,
        /// Its date.
        date: String,
        /// The date of the accepted one.
        accepted: String,
    },
    /// Release is of a day to come.
    #[error("`{url}` is of {date}, which is in the future")]
    Future {
        /// The file.
        url: String,
        /// Its date.
        date: String,
    },
    /// Release is no longer valid.
    #[error("`{url}` was valid until {valid_until} only")]
    Expired {
        /// The file.
        url: String,
        /// Its `Valid-Until`.
        valid_until: String,
    },
    /// Release is of another distribution.
    #[error("`{url}` is of another distribution: {problem}")]
    OtherSuite {
        /// The file.
        url: String,
        /// How it differs.
        problem: String,
    },
    /// Release does not list an index.
    #[error("`{release}` lists no `{path}`")]
    NotListed {
        /// The Release file.
        release: String,
        /// The index.
        path: String,
    },
    /// There is no copy of a file from an earlier run, and none may be fetched.
    #[error("there is no `{file}` from an earlier run, and --nolistsdownload forbids to get it")]
    NoCopy {
        /// The file.
        file: String,
    },
    /// An index cannot be unpacked.
    #[error("cannot unpack `{url}`: {problem}")]
    Unpack {
        /// The file.
        url: String,
        /// Why.
        problem: String,
    },
}

fn wait(seconds: Option<u64>) -> String {
    seconds.map_or_else(String::new, |seconds| {
        format!(" and wants to be asked again after {seconds} seconds")
    })
}

fn list(differences: &[Mismatch]) -> String {
    differences
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

const TRY_LATER: &str = "an upstream that is just being changed can look like this: try again later";

fn untrusted_hint(problem: &str) -> &'static str {
    let hints = [
        (
            "by an unknown key",
            "if the key is right, `aptrepo key import FILE` makes it known; `VerifyRelease` must name it",
        ),
        (
            "too weak",
            "`VerifyRelease: KEY!`, with an exclamation mark, takes it all the same: it can be forged",
        ),
        (
            "by a key that expired",
            "`VerifyRelease: KEY!` takes it together with --ignore=expiredkey",
        ),
        (
            "by a revoked key",
            "`VerifyRelease: KEY!` takes it together with --ignore=revokedkey",
        ),
        (
            ": expired on",
            "`VerifyRelease: KEY!` takes it together with --ignore=expiredsignature",
        ),
        ("not made over this text", TRY_LATER),
        (
            "it has no signature",
            "`VerifyRelease: blindtrust` takes what is not signed: anybody can change it",
        ),
    ];
    let hint = hints.iter().find(|(words, _)| problem.contains(words));
    hint.map_or(
        "if the key is right, name it in `VerifyRelease`; `KEY+` also takes signatures by subkeys of KEY",
        |(_, hint)| hint,
    )
}

impl Error {
    /// The refusal of a file that `promised_by` promises so.
    #[must_use]
    pub fn weak(promised_by: &str, path: &str, promise: &Promise) -> Self {
        let sha1 = promise.sha1.map(|_| DigestKind::Sha1);
        Self::WeakDigest {
            promised_by: promised_by.to_owned(),
            path: path.to_owned(),
            digest: sha1.or(promise.md5.map(|_| DigestKind::Md5)),
        }
    }

    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Status { .. } | Self::NotListed { .. } | Self::NoCopy { .. } => ErrorKind::FileMissing,
            Self::Size { .. } | Self::TooLong { .. } | Self::Mismatch { .. } | Self::Unpack { .. } => {
                ErrorKind::Mismatch
            }
            Self::Keyring { source, .. } => source.kind(),
            Self::Signed { .. }
            | Self::WeakDigest { .. }
            | Self::Untrusted { .. }
            | Self::Older { .. }
            | Self::Future { .. }
            | Self::Expired { .. }
            | Self::OtherSuite { .. } => ErrorKind::BadSignature,
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Client { .. }
            | Self::Signals { .. }
            | Self::Certificate { .. }
            | Self::GivenUp { .. }
            | Self::Unreachable { .. }
            | Self::Transfer { .. }
            | Self::Method { .. }
            | Self::Release { .. } => ErrorKind::General,
        }
    }

    /// What the user can do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Signed { source, .. } => return source.hint(),
            Self::Untrusted { problem, .. } => untrusted_hint(problem).into(),
            Self::Keyring { .. } => {
                "put the upstream's public key there, armored or not; a relative name is looked for in \
                                     conf/, and no keyring is needed where `VerifyRelease` names a key that \
                                     `aptrepo key import` took"
                    .into()
            }
            Self::WeakDigest { digest, .. } => match digest {
                Some(DigestKind::Sha1) => {
                    "if the upstream has nothing better, `Tolerate: sha1` in the rule takes it".into()
                }
                Some(_) => "if the upstream has nothing better, `Tolerate: md5` in the rule takes it".into(),
                None => "the upstream must give a digest; `VerifyRelease: blindtrust` would take all".into(),
            },
            Self::NotListed { .. } => {
                "name the components and architectures that the upstream has in the rule's `Components`, \
                 `UDebComponents` and `Architectures`"
                    .into()
            }
            Self::Mismatch { .. } | Self::Size { .. } => TRY_LATER.into(),
            Self::Future { .. } => "a clock is wrong, the upstream's or the one of this machine".into(),
            Self::Older { .. } => {
                "if it is right all the same, remove the copy of its Release below lists/, which it is compared with"
                    .into()
            }
            Self::OtherSuite { .. } => {
                "`Suite` names it as the upstream does; `Tolerate: othername` in the rule takes a Release of any name"
                    .into()
            }
            Self::Certificate { .. } => {
                "trusted are the authorities of the system (the package ca-certificates); a line \
                 `Acquire::https::CaInfo=/FILE.pem` in the rule's `Config` names others instead"
                    .into()
            }
            Self::Expired { .. } => {
                "the upstream must be renewed by who signs it; if it never is, `Tolerate: expired` in the \
                                     rule takes it"
                    .into()
            }
            _ => return None,
        })
    }

    /// Whether it is only that nobody could be reached, which says nothing about what the upstream holds.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Certificate { .. })
    }

    /// Whether the server may do better later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Transfer { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            _ => false,
        }
    }

    /// Whether the upstream answered that it has no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 403 | 404 | 410),
            Self::File(error) => error.is_not_found(),
            _ => false,
        }
    }
}
