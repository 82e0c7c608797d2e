//! What the tests of every crate share: real data, slow and obvious oracles, synthetic input.
//!
//! No crate of this workspace is used here, nor the crates they use: the readers and the oracle
//! are a second opinion, written from the definitions on `std` alone.
//!
//! - [`bundle`] is the real data that lies beside the code: 4,096 WordNet concepts with their
//!   embeddings, relations, queries and exact neighbours. [`data_dir`] and [`load`] read a larger
//!   folder of the same layout; a test that needs one calls [`data_or_skip`].
//! - [`brute_force`], [`scores`] and [`recall_at`] say in f64 what the right answer is.
//! - [`split_of`] says which concepts are for training and which for testing.
//! - [`clustered`] and [`Rng`] make synthetic input, for edges and scale only.
//! - [`size`] and [`report`] let a reliability test run longer and say what it counted.
//! - [`CountingAllocator`] and [`count_allocations`] say how often code asks for memory.
//!
//! ```
//! use cortica_testkit::{brute_force, recall_at, scores, Measure};
//!
//! let rows = [1.0, 0.0, 0.0, 1.0, 3.0, 3.0]; // Three rows of two.
//! let best = brute_force(&rows, 2, &[1.0, 0.1], 2);
//! assert_eq!([best[0].0, best[1].0], [0, 2]);
//! let exact = scores(Measure::Cosine, &rows, 2, &[1.0, 0.1]);
//! assert_eq!(recall_at(2, &[2, 1], &exact), 0.5);
//! ```
#![deny(unsafe_code)] // Allowed in `allocator` alone.

mod allocator;
mod counted;
mod dataset;
mod npy;
mod oracle;
mod split;
mod synthetic;

pub use crate::allocator::{
    Allocations, CountingAllocator, count_allocations, count_allocations_of_all, is_counting,
    live_bytes, peak_bytes, peak_bytes_of_all,
};
pub use crate::counted::{report, size};
pub use crate::dataset::{
    Dataset, Item, LoadError, Query, TRUTH_COLUMNS, bundle, bundle_dir, data_dir, data_or_skip,
    load,
};
pub use crate::oracle::{
    Measure, TOLERANCE, brute_force, brute_force_by, cosine, recall_above, recall_at, score, scores,
};
pub use crate::split::{Split, split_of};
pub use crate::synthetic::{Rng, clustered};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
