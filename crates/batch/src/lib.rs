//! Mixed operations on a memory store, many at a time: what they give one by one, faster, within a
//! bound of bytes.
//!
//! A [`Batch`] runs a list of [`Operation`]s, or a stream of them. Answer i is for operation i, and is
//! what the operations give one by one in their order: neighbouring reads are done together, and so are
//! neighbouring writes; between reads and writes is a barrier. Reads are answered in blocks, by several
//! [`Workers`]; writes share a write and a sync.
//!
//! ```
//! use cortica_batch::{Answered, Batch, Operation};
//! use cortica_memory::{Cue, Episode, MemoryStore, SpaceSpec, StoreOptions};
//! use std::sync::Arc;
//!
//! let options = StoreOptions { space: Some(SpaceSpec::new(2)), ..StoreOptions::default() };
//! let store = Arc::new(MemoryStore::in_memory(options)?);
//! let done = Batch::over(&store).run(vec![
//!     Operation::Store(Episode::new("tea", "had tea").with_embedding(vec![1.0, 0.0])),
//!     Operation::recall(Cue::embedding(vec![0.9, 0.1])), // Sees the tea.
//!     Operation::forget("tea"),
//!     Operation::similarity(vec![0.9, 0.1], 1), // And here it is gone.
//! ])?;
//! let Ok(Answered::Recalled(hits)) = &done.answers[1] else { panic!() };
//! assert_eq!(&*hits[0].id, "tea");
//! assert!(matches!(&done.answers[3], Ok(Answered::Similar(hits)) if hits.is_empty()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A stream holds a bounded number of bytes, whatever its length and however slowly its answers are
//! taken:
//!
//! ```
//! use cortica_batch::{Batch, BatchConfig, Operation, Outcome};
//! use cortica_memory::{Episode, MemoryStore, StoreOptions};
//! use std::sync::Arc;
//!
//! let store = Arc::new(MemoryStore::in_memory(StoreOptions::default())?);
//! let mut config = BatchConfig::default();
//! config.memory_limit = 1 << 20;
//! let episode = |number| Operation::Store(Episode::new(format!("e{number}"), format!("text {number}")));
//! let mut answers = Batch::over(&store).config(config).stream((0..5_000).map(episode))?;
//! assert!(answers.by_ref().all(|(_, answer)| answer.is_ok()));
//! let summary = answers.finish();
//! assert_eq!(summary.count(Outcome::Stored), 5_000);
//! assert!(summary.peak_bytes <= 1 << 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod answer;
mod answers;
mod batch;
mod bytes;
mod cancel;
mod config;
mod engine;
mod execute;
mod flow;
mod operation;
mod pace;
mod progress;
mod reads;
mod source;
mod summary;
mod together;
mod wake;
mod workers;
mod writes;

pub use crate::answer::{Answer, Answered, ErrorKind, Hit, ItemError};
pub use crate::answers::{Answers, Watch};
pub use crate::batch::{Batch, BatchOutcome};
pub use crate::cancel::Cancel;
pub use crate::config::{Backpressure, BatchConfig, ConfigError, MEMORY_LIMIT_MIN};
pub use crate::operation::{Kind, Operation};
pub use crate::progress::Progress;
pub use crate::summary::{BatchSummary, Outcome};
pub use crate::workers::Workers;
pub use cortica_arena::Level;
pub use cortica_memory::Atomicity;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
