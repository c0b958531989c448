//! One request to one answer: method, route, file, conditions, headers. Errors are short texts for people; what went
//! wrong inside goes to the log alone.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::body::{Body, Receipt};
use super::condition::{Outcome, evaluate};
use super::file::{self, Opened};
use super::route::{Route, Target, route};
use super::{AccessLine, Served};

/// Where access lines go.
pub(super) type Log = Arc<dyn Fn(&AccessLine) + Send + Sync>;

/// What all connections share.
pub(super) struct Archive {
    /// The tree.
    pub served: Served,
    /// The access log.
    pub log: Log,
}

const PAGE: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>APT archive</title></head>\n\
<body><p>This is an archive of Debian packages, kept by aptrepo. It is read with <code>apt</code>: packages lie below \
<code>pool/</code>, the distributions that name them below <code>dists/</code>.</p></body>\n</html>\n";

/// The answer to a request.
pub(super) async fn respond<B>(archive: Arc<Archive>, peer: SocketAddr, request: Request<B>) -> Response<Body> {
    let mut receipt = receipt(&archive, peer, &request);
    let is_get = request.method() == Method::GET;
    if !is_get && request.method() != Method::HEAD {
        let mut response = message(StatusCode::METHOD_NOT_ALLOWED, true, receipt);
        let methods = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(header::ALLOW, methods);
        return response;
    }
    let target = match route(request.uri().path()) {
        None => return message(StatusCode::NOT_FOUND, is_get, receipt),
        Some(Route::Page) => return text(StatusCode::OK, "text/html; charset=utf-8", PAGE.into(), is_get, receipt),
        Some(Route::File(target)) => target,
    };
    let (opened, target) = open(&archive, target).await;
    match opened {
        Ok(Some(opened)) => {
            let outcome = evaluate(request.headers(), is_get, &opened.validators, opened.length);
            file_response(&target, opened, outcome, is_get, receipt)
        }
        Ok(None) => message(StatusCode::NOT_FOUND, is_get, receipt),
        Err(error) => {
            let status = match error.kind() {
                io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            receipt.line.problem = Some(error.to_string());
            let mut response = message(status, is_get, receipt);
            if status == StatusCode::SERVICE_UNAVAILABLE {
                let seconds = HeaderValue::from_static("10");
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
            }
            response
        }
    }
}

fn receipt<B>(archive: &Archive, peer: SocketAddr, request: &Request<B>) -> Receipt {
    let agent = request.headers().get(header::USER_AGENT);
    Receipt {
        line: AccessLine {
            time: (archive.served.clock)(),
            peer,
            method: request.method().to_string(),
            target: request.uri().to_string(),
            status: 0,
            sent_bytes: 0,
            duration: Duration::ZERO,
            user_agent: agent.and_then(|value| value.to_str().ok()).map(str::to_owned),
            problem: None,
        },
        start: Instant::now(),
        log: Arc::clone(&archive.log),
    }
}

async fn open(archive: &Arc<Archive>, target: Target) -> (io::Result<Option<Opened>>, Target) {
    let archive = Arc::clone(archive);
    let kind = target.clone();
    let opening = tokio::task::spawn_blocking(move || file::open(&archive.served, &target));
    (opening.await.unwrap_or_else(|error| Err(io::Error::other(error))), kind)
}

fn file_response(
    target: &Target,
    opened: Opened,
    outcome: Outcome,
    is_get: bool,
    mut receipt: Receipt,
) -> Response<Body> {
    let (status, span) = match outcome {
        Outcome::NotModified => (StatusCode::NOT_MODIFIED, None),
        Outcome::Whole => (StatusCode::OK, Some((0, opened.length))),
        Outcome::Part { first, length } => (StatusCode::PARTIAL_CONTENT, Some((first, length))),
        Outcome::Unsatisfiable => {
            let mut response = message(StatusCode::RANGE_NOT_SATISFIABLE, is_get, receipt);
            set(
                &mut response,
                header::CONTENT_RANGE,
                &format!("bytes */{}", opened.length),
            );
            return response;
        }
    };
    receipt.line.status = status.as_u16();
    let body = match span {
        Some((first, length)) if is_get => Body::file(opened.file, first, length, receipt),
        _ => Body::text("", receipt),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, header::ETAG, &opened.validators.etag);
    set(&mut response, header::CACHE_CONTROL, target.cache_control());
    if let Some(modified) = &opened.validators.modified {
        set(&mut response, header::LAST_MODIFIED, modified);
    }
    if let Some((first, length)) = span {
        set(&mut response, header::ACCEPT_RANGES, "bytes");
        set(&mut response, header::CONTENT_TYPE, target.content_type());
        set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(&mut response, header::CONTENT_LENGTH, &length.to_string());
        if status == StatusCode::PARTIAL_CONTENT {
            let last = first + length.saturating_sub(1);
            let range = format!("bytes {first}-{last}/{}", opened.length);
            set(&mut response, header::CONTENT_RANGE, &range);
        }
    }
    response
}

/// The status as a text, not to be kept: what is missing now may be published in a moment.
fn message(status: StatusCode, is_get: bool, receipt: Receipt) -> Response<Body> {
    let words = format!("{status}\n");
    text(status, "text/plain; charset=utf-8", words, is_get, receipt)
}

fn text(status: StatusCode, content_type: &str, words: String, is_get: bool, mut receipt: Receipt) -> Response<Body> {
    receipt.line.status = status.as_u16();
    let length = words.len().to_string();
    let mut response = Response::new(Body::text(if is_get { words } else { String::new() }, receipt));
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_LENGTH, &length);
    set(&mut response, header::CONTENT_TYPE, content_type);
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, header::CACHE_CONTROL, "no-cache");
    response
}

fn set(response: &mut Response<Body>, name: header::HeaderName, value: &str) {
    // all values are made here, of digits and plain words
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
