//! `aptrepo serve`: the published tree to apt clients over HTTP/1.1 (RFC 9110, RFC 9112). Nothing outside `dists/` and
//! `pool/` is ever answered with a file, and the store is never opened here. The command line binds a [`Server`], says
//! where it listens, and runs it.
//!
//! Clients are strangers: headers, connections and the time that a client may take are limited ([`Limits`]). A client
//! that reads slowly costs one small buffer, not a thread.

mod body;
mod condition;
mod connection;
mod file;
mod respond;
mod route;
mod stall;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::model::ErrorKind;

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be bound.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Threads or signal handlers are not to be had.
    #[error("cannot start the server")]
    Start {
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        let (Self::Listen { source, .. } | Self::Start { source }) = self;
        match source.kind() {
            std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::General,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let Self::Listen { address, source } = self else {
            return None;
        };
        match source.kind() {
            std::io::ErrorKind::AddrInUse => Some(format!(
                "another program listens on port {} already; stop it or give another port",
                address.port()
            )),
            std::io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 are for root; give a higher one, or let a web server pass requests on".into())
            }
            std::io::ErrorKind::AddrNotAvailable => {
                Some("this machine has no such address; `0.0.0.0` or `[::]` stand for all it has".into())
            }
            _ => None,
        }
    }
}

/// What is served.
#[derive(Debug, Clone)]
pub struct Served {
    /// The directory that holds `pool`.
    pub out_dir: PathBuf,
    /// The directory that is `dists` to clients; it may lie elsewhere.
    pub dist_dir: PathBuf,
    /// The time, in Unix seconds.
    pub clock: fn() -> i64,
}

/// How much clients may take. With the default numbers of connections, sockets and open files together stay below the
/// 1024 descriptors that a process has by default.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at one time; more wait to be accepted.
    pub connections: usize,
    /// Connections at one time from one address (IPv6: from one /64); more are turned away with 503.
    pub connections_per_address: usize,
    /// How long a request's header may take, and how long a connection may lie idle before it.
    pub header_time: Duration,
    /// How long a client may take to read 16 KiB of an answer.
    pub stall_time: Duration,
    /// How long answers under way may take to finish after the server was told to stop.
    pub grace_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 450,
            connections_per_address: 150,
            header_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(120),
            grace_time: Duration::from_secs(20),
        }
    }
}

/// One answered request, for the access log; given once the answer was sent or given up.
#[derive(Debug, Clone)]
pub struct AccessLine {
    /// When the request came, in Unix seconds.
    pub time: i64,
    /// The client.
    pub peer: SocketAddr,
    /// The method, as sent.
    pub method: String,
    /// Path and query, as sent: printable ASCII.
    pub target: String,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of the body that were handed to the connection.
    pub sent_bytes: u64,
    /// From the request's header to the end of the answer.
    pub duration: Duration,
    /// What the client calls itself, if that is printable ASCII.
    pub user_agent: Option<String>,
    /// What went wrong on the server's side.
    pub problem: Option<String>,
}

/// A server that listens but does not answer yet.
#[derive(Debug)]
pub struct Server {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
    stop: Stop,
    served: Served,
    limits: Limits,
}

impl Server {
    /// Listens on `address`, port 0 being any free one. SIGINT and SIGTERM are caught from now on.
    ///
    /// # Errors
    /// The address is taken or not allowed, or the system has no threads left.
    pub fn bind(address: SocketAddr, served: Served, limits: Limits) -> Result<Self, Error> {
        let start = |source| Error::Start { source };
        let listen = |source| Error::Listen { address, source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(64)
            .build()
            .map_err(start)?;
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(listen)?;
        let bound = listener.local_addr().map_err(listen)?;
        let entered = runtime.enter();
        let stop = Stop {
            interrupt: signal(SignalKind::interrupt()).map_err(start)?,
            terminate: signal(SignalKind::terminate()).map_err(start)?,
            asked: Arc::new(Notify::new()),
        };
        drop(entered);
        Ok(Self {
            runtime,
            listener,
            address: bound,
            stop,
            served,
            limits,
        })
    }

    /// The address that is really listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle that stops the running server from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper {
            asked: Arc::clone(&self.stop.asked),
        }
    }

    /// Answers requests until SIGINT, SIGTERM or the [`Stopper`]; answers under way are then finished, for up to
    /// [`Limits::grace_time`] or until a second signal. `log` is called from several threads and must not block.
    pub fn run(self, log: impl Fn(&AccessLine) + Send + Sync + 'static) {
        let archive = Arc::new(respond::Archive {
            served: self.served,
            log: Arc::new(log),
        });
        self.runtime
            .block_on(connection::accept(self.listener, archive, self.limits, self.stop));
        // a read from a hanging disk must not keep the program
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

/// Stops a running [`Server`] as a signal does.
#[derive(Debug, Clone)]
pub struct Stopper {
    asked: Arc<Notify>,
}

impl Stopper {
    /// Asks the server to stop; asking again ends its grace time.
    pub fn stop(&self) {
        self.asked.notify_one();
    }
}

/// The three ways to be told to stop.
#[derive(Debug)]
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    asked: Arc<Notify>,
}

impl Stop {
    async fn told(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = self.asked.notified() => {}
        }
    }
}
