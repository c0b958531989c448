//! The methods `http` and `https`: conditional requests, resuming, retries, limits. RFC 9110 for the words used here.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::{Response, StatusCode};

use super::client::Client;
use super::pace::Pace;
use super::progress::Gauge;
use super::transfer::{Arrival, Known, Wanted};
use super::{Error, Result};
use crate::fsio::{self, AtPath};

/// How often all addresses of a file are tried, and the pauses between.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(1)];
/// The longest pause that a server can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A file that was changed so shortly before the server sent it may have changed once more within the same second.
const SETTLED_SECONDS: i64 = 2;

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
pub(super) async fn fetch(client: &Client, wanted: &Wanted, gauge: &Gauge) -> Result<Arrival> {
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
            match attempt((client, gauge), wanted, url).await {
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

async fn attempt(
    (client, gauge): (&Client, &Gauge),
    wanted: &Wanted,
    url: &str,
) -> std::result::Result<Arrival, Failure> {
    let there = start_of(wanted);
    gauge.begin(there);
    if there > 0 && wanted.size_bytes == Some(there) {
        return Ok(Arrival::New {
            known: Known::nothing(url),
            is_resumed: true,
        });
    }
    let mut request = client.get(url).header(ACCEPT_ENCODING, "identity");
    let known = wanted.known.as_ref().filter(|known| known.url == url);
    if let Some(etag) = known.and_then(|known| known.etag.as_deref()) {
        request = request.header(IF_NONE_MATCH, etag);
    } else if let Some(modified) = known.and_then(|known| known.modified.as_deref()) {
        request = request.header(IF_MODIFIED_SINCE, modified);
    }
    if there > 0 {
        request = request.header(RANGE, format!("bytes={there}-"));
    }
    let response = request.send().await.map_err(|error| failure(url, &error))?;
    let status = response.status();
    match status {
        StatusCode::NOT_MODIFIED if known.is_some() => Ok(Arrival::NotModified),
        StatusCode::OK => receive((client, gauge), response, wanted, url, 0).await,
        StatusCode::PARTIAL_CONTENT if there > 0 && starts_at(&response, there) => {
            receive((client, gauge), response, wanted, url, there).await
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
    (client, gauge): (&Client, &Gauge),
    mut response: Response,
    wanted: &Wanted,
    url: &str,
    start: u64,
) -> std::result::Result<Arrival, Failure> {
    let known = known(url, response.headers());
    gauge.begin(start);
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
        gauge.add(chunk.len() as u64);
        pace.arrived(chunk.len()).map_err(|problem| {
            let url = url.to_owned();
            Failure::for_now(Error::Transfer { url, problem })
        })?;
        pace.rests(client.slow_down(chunk.len() as u64)).await;
    }
    match wanted.size_bytes {
        Some(expected) if expected != length => Err(Failure::for_now(Error::Size {
            url: url.to_owned(),
            expected,
            found: length,
        })),
        _ => Ok(Arrival::New {
            known,
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

/// What the next request can ask by. A time that is nearly now is left out, as the file may change again within its
/// second (RFC 9110, section 8.8.2.2).
fn known(url: &str, headers: &HeaderMap) -> Known {
    let text = |name: HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        (value.len() <= 1000).then(|| value.to_owned())
    };
    let etag = text(ETAG);
    let sent = text(DATE).as_deref().and_then(unix_seconds);
    let modified = text(LAST_MODIFIED).filter(|modified| match (unix_seconds(modified), sent) {
        (Some(modified), Some(sent)) => sent.saturating_sub(modified) >= SETTLED_SECONDS,
        _ => false,
    });
    Known {
        url: url.to_owned(),
        modified: modified.filter(|_| etag.is_none()),
        etag,
    }
}

/// A date as HTTP has it, in Unix seconds.
pub(super) fn unix_seconds(date: &str) -> Option<i64> {
    let time = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(time.timestamp().as_second())
}

fn failure(url: &str, error: &reqwest::Error) -> Failure {
    let (url, problem) = (url.to_owned(), with_causes(error));
    if is_about_certificate(error) {
        return Failure::for_good(Error::Certificate { url, problem });
    }
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

fn is_about_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    // an I/O error hides what it was made of from `source`
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    inner.is_some_and(|inner| is_about_certificate(inner)) || error.source().is_some_and(is_about_certificate)
}

/// The innermost causes say what happened; the outer ones repeat the address.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    match texts.as_slice() {
        [] => error.to_string(),
        [.., second, last] if !last.is_empty() => format!("{second}: {last}"),
        [.., last] => last.clone(),
    }
}
