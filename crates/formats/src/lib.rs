//! Readers and writers for the files that carry embeddings in and out, safe on hostile input.
//!
//! Nothing read from a file is trusted: every length is checked against what the file really
//! holds before memory is set aside for it, sums and products are overflow-checked, lines have a
//! longest length, and what does not fit is refused by a typed error that says what was found.
//! Nothing panics on any input.
//!
//! | file | what | reader | writer |
//! |---|---|---|---|
//! | `X.npy` | `rows x columns` of `<f4`, `<f2` or `\|i1` | [`NpyFile`] | [`write_npy_f32`], [`write_npy_f16`], [`write_npy_i8`] |
//! | `edges.u32` | little-endian `u32`, so many per row | [`U32Table`] | [`U32Table::write`] |
//! | `items.tsv` | tab-separated text | [`read_tsv`] | - |
//! | `*.safetensors` | named tensors with metadata | [`Safetensors`] | [`write_safetensors`], with a checksum |
//! | `*.jsonl` | one JSON value per line | [`jsonl::Reader`] | [`jsonl::Writer`] |
//! | `*.parquet` | a table of named columns | `parquet::Reader`, with the feature `parquet` | `parquet::Writer`, with a checksum |
//!
//! Any other file is written whole or not at all by [`replace`].
//!
//! Rows that were quantised to `i8` with one scale each come back through [`read_scaled_rows`].
//! File writers write a temporary sibling, sync it and rename it over the target, so a reader sees
//! the old file or the new one, never half of one.
//!
//! ```
//! use cortica_formats::{Dtype, NpyFile, write_npy_f32};
//!
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("X.npy");
//! write_npy_f32(&path, 2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
//!
//! let mut file = NpyFile::open(&path)?;
//! assert_eq!((file.rows(), file.columns(), file.dtype()), (2, 3, Dtype::F32));
//! let mut second = Vec::new();
//! file.read_rows(1, 1, &mut second)?;
//! assert_eq!(second, [4.0, 5.0, 6.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod jsonl;
mod lines;
mod npy;
mod npy_error;
mod npy_header;
mod npy_write;
#[cfg(feature = "parquet")]
pub mod parquet;
mod regular;
mod replace;
mod safetensors;
mod safetensors_error;
mod safetensors_header;
mod safetensors_write;
mod scaled;
mod table;
mod tsv;

pub use crate::npy::NpyFile;
pub use crate::npy_error::NpyError;
pub use crate::npy_header::Dtype;
pub use crate::npy_write::{NpyWriteError, write_npy_f16, write_npy_f32, write_npy_i8};
pub use crate::replace::replace;
pub use crate::safetensors::{Safetensors, Tensor, TensorDtype};
pub use crate::safetensors_error::SafetensorsError;
pub use crate::safetensors_write::{encode_safetensors, write_safetensors};
pub use crate::scaled::read_scaled_rows;
pub use crate::table::{TableError, U32Table};
pub use crate::tsv::{TsvError, read_tsv, read_tsv_from};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
