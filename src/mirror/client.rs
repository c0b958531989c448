//! The HTTP client of one rule's settings: proxy, time limits, whom it trusts for https, where redirects may lead, and
//! how fast it may be.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{ClientBuilder, RequestBuilder, redirect};
use tokio::time::Instant;

use super::http::with_causes;
use super::settings::TransferSettings;
use super::{Error, Result};
use crate::fsio;

const MAX_REDIRECTS: usize = 5;
/// The longest file of certificates.
const MAX_CERTIFICATES_BYTES: u64 = 16 << 20;

/// A client; clones share its connections and its limit.
#[derive(Debug, Clone)]
pub(super) struct Client {
    client: reqwest::Client,
    limit: Option<Limit>,
}

/// How many bytes may come in a second, over all connections.
#[derive(Debug, Clone)]
struct Limit {
    bytes_per_second: u64,
    /// When what has come so far is over at that rate.
    until: Arc<Mutex<Instant>>,
}

impl Client {
    /// A client that keeps to these settings.
    ///
    /// # Errors
    /// The proxy's address or the file of certificates cannot be used.
    pub(super) fn new(settings: &TransferSettings) -> Result<Self> {
        // a second installation fails, and is not needed
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |error: reqwest::Error| Error::Client {
            problem: with_causes(&error),
        };
        let client = match &settings.certificates {
            Some(file) => builder(settings)?.tls_certs_only(certificates(file)?).build(),
            None => match builder(settings)?.build() {
                // a machine without any certificates can use http
                Err(_) => builder(settings)?.tls_certs_only([]).build(),
                built => built,
            },
        };
        let limit = settings.bytes_per_second.map(|bytes_per_second| Limit {
            bytes_per_second,
            until: Arc::new(Mutex::new(Instant::now())),
        });
        Ok(Self {
            client: client.map_err(failed)?,
            limit,
        })
    }

    pub(super) fn get(&self, url: &str) -> RequestBuilder {
        self.client.get(url)
    }

    /// Waits until these bytes fit the limit.
    pub(super) async fn slow_down(&self, count: u64) {
        let Some(Limit {
            bytes_per_second,
            until,
        }) = &self.limit
        else {
            return;
        };
        let micros = count.saturating_mul(1_000_000).checked_div(*bytes_per_second);
        let until = {
            let mut until = until.lock().unwrap_or_else(PoisonError::into_inner);
            *until = (*until).max(Instant::now()) + Duration::from_micros(micros.unwrap_or(0));
            *until
        };
        tokio::time::sleep_until(until).await;
    }
}

fn builder(settings: &TransferSettings) -> Result<ClientBuilder> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("aptrepo/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_limit)
        .read_timeout(settings.stall_limit)
        // the first windows of HTTP/2 are small for a server that is far away
        .http2_adaptive_window(true)
        .redirect(redirect::Policy::custom(follow));
    Ok(match settings.proxy.as_deref() {
        None => builder,
        Some("") => builder.no_proxy(),
        Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy).map_err(|error| Error::Client {
            problem: format!("the proxy `{proxy}` in `Config`: {}", with_causes(&error)),
        })?),
    })
}

fn certificates(file: &Path) -> Result<Vec<reqwest::Certificate>> {
    let pem = fsio::read_limited(file, MAX_CERTIFICATES_BYTES)?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Error::Client {
            problem: format!(
                "`{}`, which `Config` names, is no file of PEM certificates",
                file.display()
            ),
        }),
    }
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
            let problem = format!("it redirects to `{to}:`, to `{}`", attempt.url());
            attempt.error(problem)
        }
    }
}
