//! Episodes stored durably and recalled by cue.
//!
//! A [`MemoryStore`] joins a log, which is the only truth, and a vector index, which is rebuilt
//! from it. Every write is in the log before anybody can see it; every answer says how durable it
//! is. Many at a time give exactly what one at a time gives.
//!
//! ```
//! use cortica_memory::{Cue, Episode, MemoryStore, SpaceSpec, StoreOptions};
//!
//! let options = StoreOptions { space: Some(SpaceSpec::new(3)), ..StoreOptions::default() };
//! let memory = MemoryStore::in_memory(options)?;
//! memory.store(Episode::new("tea", "had tea with Ada").with_embedding(vec![0.9, 0.1, 0.0]))?;
//! memory.store(Episode::new("rain", "it rained all day").with_embedding(vec![0.0, 0.2, 1.0]))?;
//!
//! let recalled = memory.recall(&Cue::embedding(vec![1.0, 0.0, 0.0]).max_results(1))?;
//! assert_eq!(recalled[0].memory.what, "had tea with Ada");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod accuracy;
mod association;
mod check;
mod checkpoint;
mod codec;
mod columns;
mod content;
mod cue;
mod digest;
mod draft;
mod episode;
mod error;
mod export;
mod forgetting;
mod graph_cache;
mod indexer;
mod job;
mod level;
mod links;
mod live;
mod options;
mod outcome;
mod queue;
mod ready;
mod recall;
mod replay;
mod round;
mod space;
mod stats;
mod store;
mod table;
mod trace;
mod upkeep;
mod uses;
mod waiting;
mod write;
mod writer;

pub use crate::accuracy::{Accuracy, EF_DEFAULT, EF_MAX};
pub use crate::association::{AssociateOutcome, Associated, Association};
pub use crate::check::{CheckReport, check};
pub use crate::columns::Columns;
pub use crate::cue::{Cue, MAX_RESULTS, Recalled};
pub use crate::episode::{Episode, ID_BYTES_MAX, Memory, TEXT_BYTES_MAX, Value};
pub use crate::error::{
    AssociateError, ForgetError, IndexingError, OpenError, RecallError, StoreError, TickError,
    UpkeepError,
};
pub use crate::export::Exported;
pub use crate::level::{Activation, Confidence, RangeError};
pub use crate::options::{AtCapacity, Dedup, IndexLag, SpaceInfo, SpaceSpec, StoreOptions};
pub use crate::outcome::{Evicted, Forgotten, Import, StoreOutcome, Stored, StoredColumn, Ticked};
pub use crate::stats::{Indexing, Stats};
pub use crate::store::MemoryStore;
pub use crate::upkeep::{repair, repair_told, restore};
pub use crate::write::{Atomicity, Write, Written};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
