//! An append-only log of checksummed records that says exactly what survives a crash.
//!
//! Records are appended, then committed together: one write, and for [`Durability::Durable`] one
//! sync. A commit that returns has happened; one that fails stops all further writing until the
//! log is opened again, because nobody knows what a failed sync left behind.
//!
//! ```
//! use cortica_env::SimDisk;
//! use cortica_storage::{Durability, Entry, Log, OpenMode};
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! let disk: Arc<SimDisk> = Arc::new(SimDisk::new());
//! let dir = Path::new("store");
//! let (mut log, _) = Log::open(disk.clone(), dir, OpenMode::CreateIfMissing, |_| Ok(()))?;
//! log.append(Entry { space: 0, kind: 7, dimension: 0, seq: 1 }, |payload| {
//!     payload.extend_from_slice(b"hello");
//! })?;
//! log.commit(Durability::Durable)?;
//! drop(log);
//!
//! let mut seen = Vec::new();
//! let (_, recovery) = Log::open(disk.clone(), dir, OpenMode::MustExist, |record| {
//!     seen.push(record.payload.to_vec());
//!     Ok(())
//! })?;
//! assert_eq!(seen, [b"hello"]);
//! assert_eq!((recovery.records, recovery.dropped_tail_bytes), (1, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod ahead;
mod cache;
mod cache_check;
mod cache_reader;
mod cache_writer;
mod check;
mod closing;
mod compaction;
mod courier;
mod durability;
mod error;
mod folder;
mod frames;
mod header;
mod listing;
mod log;
mod log_stats;
mod loss;
mod mending;
mod open;
mod planning;
mod record;
mod recovery;
mod repair;
mod reserve;
mod rolling;
mod scanner;
mod segment;
mod slicing;
mod snapshot;
mod unfinished;
mod writer;

pub use crate::cache::{CacheError, CacheKind};
pub use crate::cache_check::FoundCache;
pub use crate::cache_reader::{CacheReader, MappedPayload};
pub use crate::cache_writer::{CachePoint, CacheWriter};
pub use crate::check::{CheckReport, check};
pub use crate::compaction::{Fate, Freed, Plan, Rewritten};
pub use crate::durability::{Durability, ParseDurabilityError};
pub use crate::error::{AppendError, CommitError, CompactError, OpenError};
pub use crate::folder::{LogOptions, OpenMode};
pub use crate::log::Log;
pub use crate::log_stats::LogStats;
pub use crate::planning::Effort;
pub use crate::record::{Entry, FORMAT_VERSION, Location, PAYLOAD_MAX, Record};
pub use crate::recovery::{Damage, Recovery};
pub use crate::repair::{RepairReport, repair, repair_told};
pub use crate::snapshot::{Copied, Snapshot, restore};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
