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
//! # Kernels in f32
//!
//! | what | functions | error |
//! |---|---|---|
//! | two vectors | [`dot`], [`squared_distance`], [`norm`] | [`error_bound`] |
//! | | [`cosine`], [`cosine_with_norms`], [`inverse_norm`] | 2 [`error_bound`]; 1e-6 in practice |
//! | one query, many rows | [`dot_rows`], [`squared_distance_rows`], [`cosine_rows`] | as for two |
//! | | [`dot_scattered`], [`squared_distance_scattered`] | as for two |
//! | many queries, many rows | [`dot_tile`], [`squared_distance_tile`], [`cosine_tile`] | as for two |
//! | vectors in place | [`axpy`], [`scale`], [`clamped_add`], [`decay`], [`weighted_average`] | roundings, counted in each |
//! | numbers in \[0, 1\] | [`weigh`], [`reinforce`], [`weighted_mean`], [`distance_similarities`] | 2^-23 |
//! | functions | [`exp`], [`sigmoid`], [`tanh`] | [`EXP_ERROR`], [`SIGMOID_ERROR`], [`TANH_ERROR`] |
//!
//! On a lattice that lies flat: [`window_sum`], [`window_max`], [`ramp_field`], [`relax_field`], with the same bits on
//! every [`Isa`].
//!
//! No input makes them panic: the cosine with a zero vector is 0, an average without weight is 0, and what is
//! not a number either stays so or, among numbers in \[0, 1\], counts as 0.
//!
//! # Formats
//!
//! | format | functions | error |
//! |---|---|---|
//! | f16 | [`encode_f16`], [`dot_rows_f16`], [`squared_distance_rows_f16`] | 2^-11 of a value |
//! | i8 | [`encode_i8`], [`dot_rows_i8`], [`dot_scattered_i8`], [`dot_estimates_i8`] | half a [`scale`](I8Scale::scale) a value |
//! | signs | [`encode_signs`], [`hamming_rows`], [`weighted_hamming`], [`SignTables`] | lengths are lost |
//! | PDX | [`pack_pdx`], [`squared_distances_pdx`], [`PdxSearch`] | none |
//!
//! Codes select and f32 vectors decide: [`TwoStage`] takes a fixed number of candidates on,
//! [`BoundedScan`] all that the error bounds leave possible. [`top_k`] selects among scores.
//!
//! # What "identical" means
//!
//! A pair of vectors has one score, whichever way it was found, and it is kept apart from how it
//! was found:
//!
//! - *Canonical* kernels compute every score that leaves an index: [`dot`], [`squared_distance`],
//!   [`cosine`] and [`cosine_with_norms`]. Within one [`Isa`] the same values have the same bits,
//!   wherever they lie in memory, alone or among others, and on every machine.
//! - *Selecting* kernels, the many-row ones, add in another order. They may only say which rows
//!   are worth a canonical score. Both are within [`error_bound`] of the exact sum, in units of
//!   `sum(|a[i] * b[i]|)`, so a selecting score is within twice that of the canonical one:
//!   whatever lies as near to the k-th best may be the k-th best, and goes on. Among themselves
//!   they agree to the last bit, so a batch selects what its queries select one by one.
//! - Between two [`Isa`]s, canonical scores differ by no more than the sum of their bounds.
#![deny(unsafe_code)]
#![allow(
    clippy::inline_always,
    reason = "a call inside a kernel would drop the target features dispatch turned on"
)]

mod block;
mod bound;
mod bounded_scan;
mod code_rows;
mod confidence;
mod cosine;
mod exponential;
mod extension;
mod f16_codes;
mod fold;
mod i8_codes;
mod i8_scores;
mod isa;
mod lattice;
mod map;
mod native;
mod pair;
mod pdx;
mod portable;
mod rows;
mod scan;
mod scattered;
mod sign_blocks;
mod sign_codes;
mod sign_weights;
mod similarity;
mod tile;
mod top_k;
mod two_stage;
mod update;

pub use crate::bound::error_bound;
pub use crate::bounded_scan::BoundedScan;
pub use crate::code_rows::CodeRows;
pub use crate::confidence::{
    reinforce, reinforce_reference, weigh, weigh_reference, weighted_mean, weighted_mean_reference,
};
pub use crate::cosine::{
    cosine, cosine_reference, cosine_with_norms, cosine_with_norms_reference, inverse_norm,
    inverse_norm_reference,
};
pub use crate::exponential::{
    EXP_ERROR, SIGMOID_ERROR, TANH_ERROR, exp, exp_reference, sigmoid, sigmoid_reference, tanh,
    tanh_reference,
};
pub use crate::extension::{Extension, ParseExtensionError};
pub use crate::f16_codes::{
    decode_f16, dot_f16, dot_f16_reference, dot_rows_f16, encode_f16, f16_from_f32, f32_from_f16,
    f32_from_f16_reference, squared_distance_f16, squared_distance_f16_reference,
    squared_distance_rows_f16,
};
pub use crate::i8_codes::{
    I8Rows, I8RowsError, I8Scale, I8Vector, decode_i8, dot_i8, dot_i8_reference, dot_rows_i8,
    encode_i8,
};
pub use crate::i8_scores::{
    dot_estimate_i8_reference, dot_estimates_i8, squared_distance_estimates_i8,
};
pub use crate::isa::{ForcedIsaError, Isa, ParseIsaError};
pub use crate::lattice::{
    WINDOW_REACH_MAX, ramp_field, ramp_field_reference, relax_field, relax_field_reference,
    tap_sum, tap_sum_reference, window_max, window_max_reference, window_sum, window_sum_reference,
};
pub use crate::pair::{
    dot, dot_reference, norm, norm_reference, squared_distance, squared_distance_reference,
    squared_norm_f64, squared_norm_f64_reference,
};
pub use crate::pdx::{
    PDX_LANES, PdxBlock, PdxError, PdxSearch, pack_pdx, pdx_error_bound, squared_distances_pdx,
    squared_distances_pdx_reference,
};
pub use crate::rows::{Rows, RowsError};
pub use crate::scan::{cosine_rows, dot_rows, squared_distance_rows};
pub use crate::scattered::{
    dot_scattered, dot_scattered_i8, prefetch_row, squared_distance_scattered,
    weighted_hamming_scattered,
};
pub use crate::sign_blocks::{
    SIGN_BLOCK_ROWS, SignBlock, SignKeys, SignTables, set_sign_row, sign_block_bytes,
    sign_dot_reference,
};
pub use crate::sign_codes::{encode_signs, hamming, hamming_reference, hamming_rows, sign_words};
pub use crate::sign_weights::{SignWeights, weighted_hamming, weighted_hamming_reference};
pub use crate::similarity::{distance_similarities, distance_similarity};
pub use crate::tile::{cosine_tile, dot_tile, squared_distance_tile};
pub use crate::top_k::{Scored, TopK, select_at_least, top_k, top_k_reference};
pub use crate::two_stage::{EncodedQuery, I8Query, Measure, SelectingRows, SignQuery, TwoStage};
pub use crate::update::{
    axpy, axpy_reference, clamped_add, clamped_add_reference, decay, decay_factor, decay_reference,
    scale, scale_reference, weighted_average, weighted_average_reference,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
