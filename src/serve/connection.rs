//! Accepts connections within the limits, drives each as HTTP/1.1, and brings them to their end when told to stop.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::respond::{Archive, respond};
use super::stall::Unstalled;
use super::{Limits, Stop};

const HEADER_BYTES: usize = 16 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nConnection: close\r\n\
Content-Type: text/plain; charset=utf-8\r\nContent-Length: 38\r\n\r\ntoo many connections from one address\n";

/// Serves until told to stop; returns when all connections have ended or the grace time is over.
pub(super) async fn accept(listener: TcpListener, archive: Arc<Archive>, limits: Limits, mut stop: Stop) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let peers = Arc::new(Peers::default());
    let connections = GracefulShutdown::new();
    let http = protocol(limits);
    loop {
        let next = next(&listener, &places);
        let (stream, peer, place) = tokio::select! {
            () = stop.told() => break,
            next = next => next,
        };
        let Some(guest) = peers.admit(peer.ip(), limits.connections_per_address) else {
            turn_away(stream);
            continue;
        };
        let archive = Arc::clone(&archive);
        let service = service_fn(move |request| {
            let answer = respond(Arc::clone(&archive), peer, request);
            async { Ok::<_, Infallible>(answer.await) }
        });
        let io = TokioIo::new(Unstalled::new(stream, limits.stall_time));
        let connection = connections.watch(http.serve_connection(io, service));
        tokio::spawn(async move {
            // how a client ends its connection is its own affair; what it was sent is in the log
            drop(connection.await);
            drop((guest, place));
        });
    }
    drop(listener);
    tokio::select! {
        () = connections.shutdown() => {}
        () = tokio::time::sleep(limits.grace_time) => {}
        () = stop.told() => {}
    }
}

fn protocol(limits: Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_header_size(HEADER_BYTES)
        .max_buf_size(BUFFER_BYTES);
    http
}

/// The next connection, once there is a place for it.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // the semaphore is never closed, so there is always a permit
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // an answer's last packet must not wait for an acknowledgement
                drop(stream.set_nodelay(true));
                return (stream, peer, place);
            }
            // the peer is gone already, or there are no descriptors left, which others may give back
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Best effort: whoever opens that many connections need not be told in full.
fn turn_away(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        drop(stream.write(TOO_MANY));
    }
}

/// How many connections each address has.
#[derive(Debug, Default)]
struct Peers {
    counts: Mutex<HashMap<IpAddr, usize>>,
}

impl Peers {
    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Guest> {
        let key = network(address);
        let mut counts = self.counts();
        let count = counts.entry(key).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Guest {
            peers: Arc::clone(self),
            key,
        })
    }
}

/// One subscriber has a whole /64 of IPv6 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

/// A connection that is counted.
#[derive(Debug)]
struct Guest {
    peers: Arc<Peers>,
    key: IpAddr,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.peers.counts();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}
