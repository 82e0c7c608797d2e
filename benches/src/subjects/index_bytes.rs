//! Bytes of memory that a stored row takes in an index, its vector included.

use anyhow::{Result, ensure};
use cortica_index::{Codes, HnswIndex, HnswOptions, Metric, VectorIndex};
use cortica_simd::Isa;

use super::fixture;
use crate::subject::Setup;

pub(super) fn of_f32(setup: &Setup) -> Result<f64> {
    per_row(setup, Codes::F32)
}

pub(super) fn of_i8(setup: &Setup) -> Result<f64> {
    per_row(setup, Codes::I8)
}

pub(super) fn of_signs(setup: &Setup) -> Result<f64> {
    per_row(setup, Codes::Signs)
}

pub(super) fn of_blocks(setup: &Setup) -> Result<f64> {
    per_row(setup, Codes::Blocks)
}

/// Of the bundled rows, by default but for the codes; linked by one thread, so the same every time.
fn per_row(setup: &Setup, codes: Codes) -> Result<f64> {
    let data = fixture::bundled()?;
    let mut options = HnswOptions {
        codes,
        ..HnswOptions::default()
    };
    if setup.corrupt {
        options.degree *= 4;
    }
    let index = HnswIndex::new(data.dimension, Metric::Cosine, Isa::best(), options)?;
    for row in 0..data.len() {
        index.insert(data.row(row))?;
    }
    ensure!(index.link(usize::MAX) == data.len(), "rows are not linked");
    Ok(index.stats().bytes as f64 / data.len() as f64)
}
