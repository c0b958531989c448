//! The methods `http` and `https`: conditional requests, resuming, retries, limits. RFC 9110 for the words used here.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, IF_NONE_MATCH, LOCATION, RANGE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};

use super::pace::Pace;
use super::transfer::{Arrival, TransferSettings, Wanted};
use super::{Error, Result};
use crate::fsio::{self, AtPath};

/// How often all addresses of a file are tried, and the pauses between.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(1)];
/// The longest pause that a server can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: usize = 5;

/// A client that keeps to these settings.
pub(super) fn client(settings: &TransferSettings) -> Result<Client> {
    // a second installation fails, and is not needed
    let _ = rustls::crypto::ring::default_provider().install_default();
    let failed = |error: reqwest::Error| Error::Client {
        problem: with_causes(&error),
    };
    let builder = Client::builder()
        .user_agent(concat!("aptrepo/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_limit)
        .read_timeout(settings.stall_limit)
        .redirect(redirect::Policy::custom(follow));
    let builder = match settings.proxy.as_deref() {
        None => builder,
        Some("") => builder.no_proxy(),
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy).map_err(failed)?),
    };
    builder.build().map_err(failed)
}

/// Follows a redirect unless it leads to another scheme; from http to https is an improvement.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let from = attempt.previous().last().map(|url| url.scheme().to_owned());
    let to = attempt.url().scheme();
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("too many redirects");
    }
    match from.as_deref() {
        Some("http") if matches!(to, "http" | "https") => attempt.follow(),
        Some("https") if to == "https" => attempt.follow(),
        _ => {
            let problem = format!("it redirects to `{to}:`");
            attempt.error(problem)
        }
    }
}

/// What a failed attempt means for the next ones.
struct Failure {
    error: Error,
    /// Whether the same request can succeed a little later.
    may_pass: bool,
    /// The pause before that, where the server asks for one.
    pause: Duration,
}

impl Failure {
    fn for_good(error: Error) -> Self {
        Self {
            error,
            may_pass: false,
            pause: Duration::ZERO,
        }
    }

    fn for_now(error: Error) -> Self {
        Self {
            may_pass: true,
            ..Self::for_good(error)
        }
    }
}

impl From<fsio::Error> for Failure {
    fn from(error: fsio::Error) -> Self {
        Self::for_good(error.into())
    }
}

/// Gets a file: each address in turn, and those that may do better later once more, after a pause.
pub(super) async fn fetch(client: &Client, wanted: &Wanted) -> Result<Arrival> {
    let mut left: Vec<&String> = wanted.urls.iter().collect();
    let mut first_error: Option<Error> = None;
    let mut asked = Duration::ZERO;
    for pause in PAUSES {
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(pause.max(asked)).await;
        asked = Duration::ZERO;
        let mut again = Vec::new();
        for url in left {
            match attempt(client, wanted, url).await {
                Ok(arrival) => return Ok(arrival),
                Err(Failure { error, may_pass, pause }) => {
                    if may_pass {
                        again.push(url);
                        asked = asked.max(pause);
                    }
                    // that an upstream lacks by-hash, or a fallback, says less than what another address did
                    if first_error
                        .as_ref()
                        .is_none_or(|first| first.is_missing() && !error.is_missing())
                    {
                        first_error = Some(error);
                    }
                }
            }
        }
        left = again;
    }
    Err(first_error.unwrap_or_else(|| Error::Client {
        problem: "there is no address to ask".into(),
    }))
}

async fn attempt(client: &Client, wanted: &Wanted, url: &str) -> std::result::Result<Arrival, Failure> {
    let there = start_of(wanted);
    if there > 0 && wanted.size_bytes == Some(there) {
        return Ok(Arrival::New {
            url: url.to_owned(),
            etag: None,
            is_resumed: true,
        });
    }
    let mut request = client.get(url).header(ACCEPT_ENCODING, "identity");
    // a time alone does not tell two files of the same second apart, nor an older one put in the place of a newer
    if let Some((known_url, etag)) = &wanted.known
        && known_url == url
    {
        request = request.header(IF_NONE_MATCH, etag);
    }
    if there > 0 {
        request = request.header(RANGE, format!("bytes={there}-"));
    }
    let response = request.send().await.map_err(|error| failure(url, &error))?;
    let status = response.status();
    match status {
        StatusCode::NOT_MODIFIED if wanted.known.is_some() => Ok(Arrival::NotModified),
        StatusCode::OK => receive(response, wanted, url, 0).await,
        StatusCode::PARTIAL_CONTENT if there > 0 && starts_at(&response, there) => {
            receive(response, wanted, url, there).await
        }
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            // what is here is not the start of what is there
            fsio::remove_if_there(&wanted.to)?;
            Err(status_failure(url, &response, true))
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(status_failure(url, &response, true))
        }
        _ if status.is_redirection() && status != StatusCode::NOT_MODIFIED => Err(Failure::for_good(Error::Transfer {
            url: url.to_owned(),
            problem: misdirection(&response),
        })),
        _ => Err(status_failure(url, &response, status.is_server_error())),
    }
}

/// Where a redirect leads to that is not followed.
fn misdirection(response: &Response) -> String {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    match location.and_then(|location| location.split_once(':')) {
        Some((scheme, _)) => format!("it redirects to `{scheme}:`"),
        None => "it redirects to nowhere".into(),
    }
}

fn status_failure(url: &str, response: &Response, may_pass: bool) -> Failure {
    let header = response.headers().get(RETRY_AFTER);
    let retry_after_seconds = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let pause = Duration::from_secs(retry_after_seconds.unwrap_or(0));
    Failure {
        error: Error::Status {
            url: url.to_owned(),
            status: response.status().as_u16(),
            retry_after_seconds,
        },
        may_pass: may_pass && pause <= LONGEST_PAUSE,
        pause,
    }
}

/// How much of a file of known size an earlier attempt or run left.
fn start_of(wanted: &Wanted) -> u64 {
    let Some(size_bytes) = wanted.size_bytes else {
        return 0;
    };
    let length = std::fs::metadata(&wanted.to).map_or(0, |metadata| metadata.len());
    if length > size_bytes { 0 } else { length }
}

fn starts_at(response: &Response, start: u64) -> bool {
    let range = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {start}-")))
}

/// Writes the answer behind the `start` bytes that are there.
async fn receive(
    mut response: Response,
    wanted: &Wanted,
    url: &str,
    start: u64,
) -> std::result::Result<Arrival, Failure> {
    let etag = etag(response.headers());
    if let Some(length) = response.content_length() {
        check_length(wanted, url, start.saturating_add(length)).map_err(Failure::for_good)?;
    }
    let mut file = open(&wanted.to, start)?;
    let mut length = start;
    let mut pace = Pace::new(wanted.settings.stall_limit);
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(url, &error))? {
        length = length.saturating_add(chunk.len() as u64);
        let most = wanted.size_bytes.unwrap_or(wanted.limit_bytes).min(wanted.limit_bytes);
        if length > most {
            drop(file);
            fsio::remove_if_there(&wanted.to)?;
            return Err(Failure::for_good(too_long(wanted, url, length)));
        }
        file.write_all(&chunk).at("write", &wanted.to)?;
        pace.arrived(chunk.len()).map_err(|problem| {
            let url = url.to_owned();
            Failure::for_now(Error::Transfer { url, problem })
        })?;
    }
    match wanted.size_bytes {
        Some(expected) if expected != length => Err(Failure::for_now(Error::Size {
            url: url.to_owned(),
            expected,
            found: length,
        })),
        _ => Ok(Arrival::New {
            url: url.to_owned(),
            etag,
            is_resumed: start > 0,
        }),
    }
}

fn open(to: &Path, start: u64) -> std::result::Result<File, fsio::Error> {
    let mut options = OpenOptions::new();
    options.create(true);
    if start > 0 {
        options.append(true);
    } else {
        options.write(true).truncate(true);
    }
    options.open(to).at("write", to)
}

fn too_long(wanted: &Wanted, url: &str, found: u64) -> Error {
    let url = url.to_owned();
    match wanted.size_bytes {
        Some(expected) => Error::Size { url, expected, found },
        None => Error::TooLong {
            url,
            limit_bytes: wanted.limit_bytes,
        },
    }
}

/// Refuses an answer of which the server says itself that its length is wrong.
fn check_length(wanted: &Wanted, url: &str, length: u64) -> Result<()> {
    let is_other = wanted.size_bytes.is_some_and(|size| size != length);
    if is_other || length > wanted.limit_bytes {
        return Err(too_long(wanted, url, length));
    }
    Ok(())
}

fn etag(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(ETAG)?.to_str().ok()?;
    (value.len() <= 1000).then(|| value.to_owned())
}

fn failure(url: &str, error: &reqwest::Error) -> Failure {
    let (url, problem) = (url.to_owned(), with_causes(error));
    if error.is_redirect() || error.is_builder() {
        return Failure::for_good(Error::Transfer { url, problem });
    }
    let error = if error.is_connect() {
        Error::Unreachable { url, problem }
    } else {
        Error::Transfer { url, problem }
    };
    Failure::for_now(error)
}

/// The innermost causes say what happened; the outer ones repeat the address.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    match texts.as_slice() {
        [] => error.to_string(),
        [.., second, last] if !last.is_empty() => format!("{second}: {last}"),
        [.., last] => last.clone(),
    }
}
