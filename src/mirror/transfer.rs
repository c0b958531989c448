//! Getting many files at once: what is wanted, from which addresses, and what came. The methods themselves are in
//! `http` and `local`.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::client::Client;
use super::interrupt::Interrupt;
use super::patience::Patience;
use super::progress::{Meter, Progress, TICK};
use super::settings::TransferSettings;
use super::{Error, Result, http, local};

/// How many files are on their way at once …
const IN_FLIGHT: usize = 8;
/// … or up to so many if they are small together: then the time is that of the way there and back, not of the bytes.
const SMALL_IN_FLIGHT: usize = 32;
/// What is small together.
const SMALL_BYTES: u64 = 4 << 20;
/// How long it may take from the `Date` of a Release until its file is there.
const MAKING_SECONDS: u64 = 3600;

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
    /// A copy is here, of which this is known: it is sent only if it is another now.
    pub known: Option<Known>,
    /// Whether it may be a second name of a file of this machine; nobody may write to it then.
    pub may_link: bool,
    /// How to ask.
    pub settings: TransferSettings,
}

/// What tells one state of a file from another, for the next request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The address that had it.
    pub url: String,
    /// Its `ETag`.
    pub etag: Option<String>,
    /// Its `Last-Modified`, where it has no `ETag`.
    pub modified: Option<String>,
}

impl Known {
    /// A file from this address, of which nothing more is known.
    #[must_use]
    pub fn nothing(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            etag: None,
            modified: None,
        }
    }

    /// What of it tells a Release of this `Date` from the next one. `Last-Modified` does so where it is the time at
    /// which the Release was made; where files are put there with any time, two may have the same.
    #[must_use]
    pub(super) fn for_release(self, date: Option<i64>) -> Option<Self> {
        let modified = self.modified.as_deref().and_then(http::unix_seconds);
        let is_of_then = modified
            .zip(date)
            .is_some_and(|(modified, date)| modified.abs_diff(date) <= MAKING_SECONDS);
        (self.etag.is_some() || is_of_then).then_some(self)
    }
}

/// What came of a wanted file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// It is at its place.
    New {
        /// Where it came from.
        known: Known,
        /// Whether its start was here before.
        is_resumed: bool,
    },
    /// The copy that is here is what the server has.
    NotModified,
}

/// Who is told how far a transfer is, and with none that it is over.
type Watcher<'a> = Box<dyn Fn(Option<&Progress>) + 'a>;

/// Gets files.
pub struct Transfer<'a> {
    runtime: tokio::runtime::Runtime,
    clients: HashMap<TransferSettings, Client>,
    interrupt: Interrupt,
    watcher: Watcher<'a>,
}

impl fmt::Debug for Transfer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer").finish_non_exhaustive()
    }
}

impl<'a> Transfer<'a> {
    /// Makes ready to get files; nothing is connected yet. `watcher` is told several times a second how far it is.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn new(interrupt: Interrupt, watcher: impl Fn(Option<&Progress>) + 'a) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        Ok(Self {
            runtime: runtime.map_err(|error| Error::Client {
                problem: error.to_string(),
            })?,
            clients: HashMap::new(),
            interrupt,
            watcher: Box::new(watcher),
        })
    }

    /// Gets all files, several at once, and tells of each as it arrives or fails, with its place in `wanted`. After a
    /// signal the rest fails; what arrived of it stays where it is.
    pub fn fetch_all(&mut self, wanted: Vec<Wanted>, each: impl FnMut(usize, Result<Arrival>)) {
        let meter = Meter::new(wanted.iter().map(|wanted| wanted.size_bytes));
        self.fetch_each(meter, wanted.into_iter(), each);
    }

    /// The same for files that are only described when it is their turn: a first mirror wants tens of thousands. These
    /// are their sizes, as far as they are known.
    pub fn fetch_in_turn(
        &mut self,
        sizes: impl ExactSizeIterator<Item = Option<u64>>,
        wanted: impl Iterator<Item = Wanted>,
        each: impl FnMut(usize, Result<Arrival>),
    ) {
        self.fetch_each(Meter::new(sizes), wanted, each);
    }

    fn fetch_each(
        &mut self,
        mut meter: Meter,
        wanted: impl Iterator<Item = Wanted>,
        mut each: impl FnMut(usize, Result<Arrival>),
    ) {
        let Self {
            runtime,
            clients,
            interrupt,
            watcher,
        } = self;
        let mut queue = Queue {
            wanted: wanted.enumerate(),
            next: None,
            clients,
            context: (interrupt, watcher),
        };
        // what is on this machine needs no connections
        queue.advance(&mut meter, &mut each);
        if queue.next.is_some() {
            runtime.block_on(fetch_remote(queue, &mut meter, each));
        }
        watcher(None);
    }
}

/// Who may end a transfer, and who looks on.
type Context<'t, 'w> = (&'t Interrupt, &'t Watcher<'w>);

/// The files that nobody has asked for yet.
struct Queue<'t, 'w, I> {
    wanted: std::iter::Enumerate<I>,
    /// The first of them that a server has.
    next: Option<Request>,
    clients: &'t mut HashMap<TransferSettings, Client>,
    context: Context<'t, 'w>,
}

/// A file that is to be asked for, with its number.
type Request = (usize, Client, Wanted);

impl<I: Iterator<Item = Wanted>> Queue<'_, '_, I> {
    /// Finds the next file that a server has. Those of this machine before it are got at once.
    fn advance(&mut self, meter: &mut Meter, each: &mut impl FnMut(usize, Result<Arrival>)) {
        while self.next.is_none()
            && let Some((number, wanted)) = self.wanted.next()
        {
            if wanted.urls.iter().any(|url| local::path_of(url).is_some()) {
                each(number, fetch_local(self.context, meter, number, &wanted));
                continue;
            }
            match self.client(&wanted.settings) {
                Ok(client) => self.next = Some((number, client, wanted)),
                Err(error) => {
                    meter.end(number);
                    each(number, Err(error));
                }
            }
        }
    }

    /// The numbers of all files that are left.
    fn rest(self) -> impl Iterator<Item = usize> {
        let next = self.next.map(|(number, ..)| number);
        next.into_iter().chain(self.wanted.map(|(number, _)| number))
    }

    fn client(&mut self, settings: &TransferSettings) -> Result<Client> {
        if let Some(client) = self.clients.get(settings) {
            return Ok(client.clone());
        }
        let client = Client::new(settings)?;
        self.clients.insert(settings.clone(), client.clone());
        Ok(client)
    }
}

fn fetch_local(
    (interrupt, watcher): Context<'_, '_>,
    meter: &mut Meter,
    number: usize,
    wanted: &Wanted,
) -> Result<Arrival> {
    if interrupt.is_told() {
        return Err(Error::Interrupted);
    }
    if meter.is_due() {
        watcher(Some(&meter.progress()));
    }
    let gauge = meter.begin(number, wanted.urls.first().map_or("", String::as_str));
    let arrival = local::fetch(wanted);
    if arrival.is_ok() {
        gauge.add(wanted.size_bytes.unwrap_or(0));
    }
    meter.end(number);
    arrival
}

/// A file on its way.
struct Running {
    number: usize,
    host: String,
    size_bytes: Option<u64>,
}

/// Whether one more file may be asked for.
fn has_room(running: &HashMap<tokio::task::Id, Running>) -> bool {
    let sizes = running
        .values()
        .map(|running| running.size_bytes.unwrap_or(SMALL_BYTES));
    running.len() < IN_FLIGHT || (running.len() < SMALL_IN_FLIGHT && sizes.fold(0, u64::saturating_add) < SMALL_BYTES)
}

async fn fetch_remote<I: Iterator<Item = Wanted>>(
    mut queue: Queue<'_, '_, I>,
    meter: &mut Meter,
    mut each: impl FnMut(usize, Result<Arrival>),
) {
    let (interrupt, watcher) = queue.context;
    let mut patience = Patience::default();
    let mut running = tokio::task::JoinSet::new();
    let mut numbers = HashMap::new();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        while has_room(&numbers)
            && !interrupt.is_told()
            && let Some((number, client, wanted)) = queue.next.take()
        {
            queue.advance(meter, &mut each);
            if let Some(error) = patience.is_over(&wanted) {
                meter.end(number);
                each(number, Err(error));
                continue;
            }
            let gauge = meter.begin(number, wanted.urls.first().map_or("", String::as_str));
            let host = Patience::host(&wanted).to_owned();
            let size_bytes = wanted.size_bytes;
            let task = running.spawn(async move { http::fetch(&client, &wanted, &gauge).await });
            let file = Running {
                number,
                host,
                size_bytes,
            };
            numbers.insert(task.id(), file);
        }
        let ended = tokio::select! {
            biased;
            () = interrupt.told() => break,
            ended = running.join_next_with_id() => ended,
            _ = ticks.tick() => {
                if meter.is_due() {
                    watcher(Some(&meter.progress()));
                }
                continue;
            }
        };
        let Some(ended) = ended else { break };
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => {
                let problem = format!("the transfer ended by itself: {error}");
                (error.id(), Err(Error::Client { problem }))
            }
        };
        if let Some(Running { number, host, .. }) = numbers.remove(&id) {
            meter.end(number);
            patience.note(host, outcome.as_ref().err());
            each(number, outcome);
        }
    }
    // after a signal: nobody writes any more when this returns
    running.shutdown().await;
    let begun = numbers.into_values().map(|running| running.number);
    let left = begun.chain(queue.rest());
    left.for_each(|number| each(number, Err(Error::Interrupted)));
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
    fn addresses_are_escaped() {
        assert_eq!(
            join("http://h/u", "pool/a/c++_1~2.deb"),
            "http://h/u/pool/a/c%2b%2b_1~2.deb"
        );
        assert_eq!(join("http://h", "a b?c#d%"), "http://h/a%20b%3fc%23d%25");
        assert_eq!(join("file:/srv", "c++"), "file:/srv/c++");
    }
}
