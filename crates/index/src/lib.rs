//! Nearest-neighbour search over packed vectors, behind one trait.
//!
//! [`ExactIndex`] compares a query with every vector and is right by construction. Its answers are
//! the same bit for bit whether queries come one by one or together. [`HnswIndex`] answers the same
//! way, and faster by walking along a graph.
//!
//! ```
//! use cortica_index::{ExactIndex, Metric, VectorIndex};
//! use cortica_simd::Isa;
//!
//! let index = ExactIndex::new(2, Metric::Cosine, Isa::best())?;
//! let east = index.insert(&[1.0, 0.0])?;
//! let north = index.insert(&[0.0, 5.0])?;
//!
//! let found = index.search(&[2.0, 0.1], 1)?;
//! assert_eq!(found[0].row, east);
//! assert!(found[0].score > 0.99);
//! assert_eq!(index.search(&[-1.0, 9.0], 1)?[0].row, north);
//! # Ok::<(), cortica_index::VectorError>(())
//! ```
#![forbid(unsafe_code)]

mod aligned;
mod exact;
mod filter;
mod hnsw;
mod limit;
mod metric;
mod prepared;
mod range;
mod select;
mod sync;
mod vector_index;
mod vectors;

pub use crate::exact::ExactIndex;
pub use crate::filter::{Filter, RowSet};
#[cfg(loom)]
#[doc(hidden)]
pub use crate::hnsw::models;
pub use crate::hnsw::{
    Codes, GraphStats, HnswError, HnswIndex, HnswOptions, LoadedGraph, Nearest, SavedGraphError,
    SavedKey, WIDTH_MAX, Within, saved_position,
};
pub use crate::metric::{Metric, ParseMetricError};
pub use crate::prepared::Prepared;
pub use crate::vector_index::{
    Checked, DIMENSION_MAX, IndexStats, Neighbor, Query, Row, Upserted, VectorError, VectorIndex,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
