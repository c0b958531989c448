//! Upstream archives (DebianRepository/Format): their Release files, the trust in them, their indexes and package
//! files, brought here over HTTP or from a directory. Nothing is used before its bytes are what a trusted Release
//! promises. Knows nothing of the archive's own state.

mod accept;
mod client;
mod error;
mod extra;
mod http;
mod index;
mod interrupt;
mod local;
mod pace;
mod patience;
mod progress;
mod release;
mod settings;
mod transfer;
mod unpack;
mod upstream;

pub use accept::{Accepted, Tolerated, Trust};
pub use error::Error;
pub use extra::{ChosenExtra, ExtraKind, ExtraPlace, extra_extension, fetch_extras, offered_extras};
pub use index::{ChosenIndex, IndexPlace, WantedIndex, fetch_indexes};
pub use interrupt::Interrupt;
pub use progress::Progress;
pub use release::UpstreamRelease;
pub use settings::TransferSettings;
pub use transfer::{Arrival, Known, Transfer, Wanted};
pub use unpack::open_unpacked;
pub use upstream::{Upstream, fetch_releases};

/// The result of a step with an upstream.
pub type Result<T> = std::result::Result<T, Error>;
