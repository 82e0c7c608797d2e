//! Gives concepts columns of a cortex, each exactly once.
//!
//! - [`AllocationEngine`] joins networks, deduplication, scoring and competition. It decides one request after
//!   another ([`Order::Submission`]) or many at once ([`Order::Relaxed`]).
//! - [`AllocationPipeline`] has workers do so, in either order: requests are submitted from any thread and answered
//!   exactly once.
//! - [`Model`] is what it asks of networks; [`Networks`](cortica_neural::Networks) are one.
//! - Stores use it through the door [`Allocate`](cortica_cortex::Allocate): rounds of decisions that are kept or undone
//!   together.
//!
//! ```
//! use cortica_cortex::{Allocation, ConceptRequest, Cortex, CortexOptions, Grid};
//! use cortica_neural::Networks;
//! use cortica_pipeline::{AllocationEngine, EngineOptions};
//! use std::sync::Arc;
//!
//! # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../neural/tests/golden/networks.safetensors");
//! let networks = Networks::open(&path)?; // Of 40 features, small, for tests.
//! let cortex = Cortex::new(Grid::new(10, 10, 10)?, CortexOptions::default())?;
//! let engine = AllocationEngine::new(Arc::new(cortex), Arc::new(networks), EngineOptions::default())?;
//!
//! let tea: Vec<f32> = (0..40).map(|at| (at as f32).sin()).collect();
//! let first = engine.allocate(&ConceptRequest::new("tea", &tea))?;
//! let Allocation::Allocated { column, .. } = first else { panic!("{first:?}") };
//! let again = engine.allocate(&ConceptRequest::new("the same", &tea))?;
//! assert!(matches!(again, Allocation::Duplicate { column: at, .. } if at == column));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod completions;
mod concepts;
mod crew;
mod door;
mod engine;
mod figures;
mod job;
mod model;
mod options;
mod ordered;
mod owned;
mod pipeline;
mod place;
mod relaxed;
mod request;
mod round;
mod settled;
mod stats;
mod sync;
mod tally;
mod ticket;
mod worker;

pub use crate::completions::{Completion, Completions};
pub use crate::engine::{AllocationEngine, Order};
pub use crate::figures::{Percentiles, PipelineStats};
pub use crate::model::{Model, ModelWorker};
pub use crate::options::{EngineError, EngineOptions};
pub use crate::owned::Request;
pub use crate::pipeline::{
    AllocationPipeline, Health, Phase, PipelineError, PipelineOptions, Shutdown, SubmitError,
    SubmitReason,
};
pub use crate::stats::EngineStats;
pub use crate::ticket::{Answer, Ticket};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
