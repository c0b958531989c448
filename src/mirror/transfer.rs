//! Getting many files at once: what is wanted, from which addresses, and what came. The methods themselves are in
//! `http` and `local`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Error, Result, http, local};

/// How long a connection may take to come up.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a server may send nothing.
const STALL_LIMIT: Duration = Duration::from_secs(30);
/// How many files are on their way at once.
const IN_FLIGHT: usize = 8;

/// How a rule's `Config` wants its upstream to be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransferSettings {
    /// The proxy; `None`: that of the environment, if any. Empty: none.
    pub proxy: Option<String>,
    /// How long a connection may take to come up.
    pub connect_limit: Duration,
    /// How long the server may send nothing.
    pub stall_limit: Duration,
}

impl Default for TransferSettings {
    fn default() -> Self {
        Self {
            proxy: None,
            connect_limit: CONNECT_LIMIT,
            stall_limit: STALL_LIMIT,
        }
    }
}

impl TransferSettings {
    /// Reads the lines of `Config`, such as `Acquire::http::Proxy=http://proxy:3128`; gives a warning for each line
    /// that has no effect.
    #[must_use]
    pub fn of_config(lines: &[String]) -> (Self, Vec<String>) {
        let mut settings = Self::default();
        let mut warnings = Vec::new();
        for line in lines {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            let value = value.trim().trim_end_matches(';').trim_matches('"');
            let name = name.trim().to_ascii_lowercase();
            match name.as_str() {
                "acquire::http::proxy" | "acquire::https::proxy" => {
                    let is_direct = value.eq_ignore_ascii_case("direct");
                    settings.proxy = Some(if is_direct { String::new() } else { value.to_owned() });
                }
                "acquire::http::timeout" | "acquire::https::timeout" => match value.parse() {
                    Ok(seconds @ 1..=3600) => {
                        settings.stall_limit = Duration::from_secs(seconds);
                        settings.connect_limit = settings.stall_limit.min(CONNECT_LIMIT);
                    }
                    _ => warnings.push(format!("`{line}` in `Config` is no number of seconds from 1 to 3600")),
                },
                _ => warnings.push(format!("`{line}` in `Config` has no effect")),
            }
        }
        (settings, warnings)
    }
}

/// One file that is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Where it is, in the order in which they are tried.
    pub urls: Vec<String>,
    /// The file to write. One that is there already is taken for the start of it, if the size is known.
    pub to: PathBuf,
    /// How long it must be, where that is known.
    pub size_bytes: Option<u64>,
    /// The most that is read.
    pub limit_bytes: u64,
    /// A copy from this address is here, with this `ETag`: it is sent only if it is another now.
    pub known: Option<(String, String)>,
    /// Whether it may be a second name of a file of this machine; nobody may write to it then.
    pub may_link: bool,
    /// How to ask.
    pub settings: TransferSettings,
}

/// What came of a wanted file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// It is at its place.
    New {
        /// The address that had it.
        url: String,
        /// Its `ETag`, for the next request.
        etag: Option<String>,
        /// Whether its start is of an earlier request: if it is wrong, it may be right when it is fetched as a whole.
        is_resumed: bool,
    },
    /// The copy that is here is what the server has.
    NotModified,
}

/// Gets files.
#[derive(Debug)]
pub struct Transfer {
    runtime: tokio::runtime::Runtime,
    clients: HashMap<TransferSettings, reqwest::Client>,
}

impl Transfer {
    /// Makes ready to get files; nothing is connected yet.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        Ok(Self {
            runtime: runtime.map_err(|error| Error::Client {
                problem: error.to_string(),
            })?,
            clients: HashMap::new(),
        })
    }

    /// Gets all files, several at once, and tells of each as it arrives or fails, with its place in `wanted`.
    pub fn fetch_all(&mut self, wanted: Vec<Wanted>, mut each: impl FnMut(usize, Result<Arrival>)) {
        let mut remote = Vec::new();
        for (number, wanted) in wanted.into_iter().enumerate() {
            if wanted.urls.iter().any(|url| local::path_of(url).is_some()) {
                each(number, local::fetch(&wanted));
                continue;
            }
            match self.client(&wanted.settings) {
                Ok(client) => remote.push((number, client, wanted)),
                Err(error) => each(number, Err(error)),
            }
        }
        let mut remote = remote.into_iter();
        self.runtime.block_on(async {
            let mut running = tokio::task::JoinSet::new();
            let mut numbers = HashMap::new();
            loop {
                while running.len() < IN_FLIGHT
                    && let Some((number, client, wanted)) = remote.next()
                {
                    let task = running.spawn(async move { http::fetch(&client, &wanted).await });
                    numbers.insert(task.id(), number);
                }
                let Some(ended) = running.join_next_with_id().await else {
                    break;
                };
                let (id, outcome) = match ended {
                    Ok((id, outcome)) => (id, outcome),
                    Err(error) => {
                        let problem = format!("the transfer ended by itself: {error}");
                        (error.id(), Err(Error::Client { problem }))
                    }
                };
                if let Some(number) = numbers.remove(&id) {
                    each(number, outcome);
                }
            }
        });
    }

    fn client(&mut self, settings: &TransferSettings) -> Result<reqwest::Client> {
        if let Some(client) = self.clients.get(settings) {
            return Ok(client.clone());
        }
        let client = http::client(settings)?;
        self.clients.insert(settings.clone(), client.clone());
        Ok(client)
    }
}

/// The address of a path below a base address, with the characters escaped that have a meaning in a URL.
#[must_use]
pub(super) fn join(base: &str, path: &str) -> String {
    let mut url = format!("{base}/");
    let is_local = local::path_of(base).is_some();
    for byte in path.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"/-._~:=@,!$&'()*;".contains(&byte);
        // some stores read `+` as a blank
        if is_plain || (is_local && byte.is_ascii_graphic()) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02x}"));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_sets_proxy_and_time_limit_and_warns_of_the_rest() {
        let lines = [
            "Acquire::http::Proxy=http://p:1",
            "Acquire::HTTP::Timeout=5",
            "Acquire::http::Dl-Limit=1",
        ];
        let (settings, warnings) = TransferSettings::of_config(&lines.map(str::to_owned));
        assert_eq!(settings.proxy.as_deref(), Some("http://p:1"));
        assert_eq!(settings.stall_limit, Duration::from_secs(5));
        assert_eq!(warnings, ["`Acquire::http::Dl-Limit=1` in `Config` has no effect"]);
    }

    #[test]
    fn addresses_are_escaped() {
        assert_eq!(
            join("http://h/u", "pool/a/c++_1~2.deb"),
            "http://h/u/pool/a/c%2b%2b_1~2.deb"
        );
        assert_eq!(join("http://h", "a b?c#d%"), "http://h/a%20b%3fc%23d%25");
        assert_eq!(join("file:/srv", "c++"), "file:/srv/c++");
    }
}
