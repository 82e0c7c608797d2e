//! Vector kernels with runtime dispatch, each beside its plain definition.
//!
//! A kernel takes an [`Isa`], chosen once and good for any number of calls, and slices; it never
//! allocates, never panics on values, and starts no thread. `*_reference` functions are the
//! definitions: slow, obvious, and what every kernel is tested against.
//!
//! ```
//! use cortica_simd::{Isa, Rows, dot, dot_reference, dot_rows};
//!
//! let isa = Isa::best();
//! let (a, b) = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]);
//! assert_eq!(dot(isa, &a, &b), dot_reference(&a, &b));
//!
//! // One query against many rows, three values each.
//! let rows = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
//! let mut scores = [0.0; 2];
//! dot_rows(isa, &b, Rows::packed(&rows, 3)?, &mut scores);
//! assert_eq!(scores, [4.0, 5.0]);
//! # Ok::<(), cortica_simd::RowsError>(())
//! ```
//!
//! # What "identical" means
//!
//! [`dot`] and [`squared_distance`] are *canonical*: every score that leaves an index was computed
//! by one of them, so it has the same bits whichever way the row was found. [`dot_rows`],
//! [`dot_tile`] and their distance forms add in another order; they may only *select*, and
//! [`error_bound`] says how far off they can be. Within one [`Isa`] the bits are the same on every
//! machine; between two they may differ by [`error_bound`].
#![forbid(unsafe_code)]
#![allow(
    clippy::inline_always,
    reason = "a call inside a kernel would drop the target features dispatch turned on"
)]

mod isa;
mod pair;
mod portable;
mod rows;
mod scan;

pub use crate::isa::{Isa, ParseIsaError};
pub use crate::pair::{
    cosine, cosine_reference, dot, dot_reference, error_bound, norm, norm_reference,
    squared_distance, squared_distance_reference, squared_norm_f64, squared_norm_f64_reference,
};
pub use crate::rows::{Rows, RowsError};
pub use crate::scan::{dot_rows, dot_tile, squared_distance_rows, squared_distance_tile};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
