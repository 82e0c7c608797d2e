//! The codes of all rows of a folder.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use cortica_neural::{CODE, Code};
use cortica_testkit::Dataset;

use crate::encoder::Encoder;

pub(crate) fn encode(encoder: &Encoder, data: &Dataset) -> Result<Vec<Code>> {
    const BLOCK: usize = 4_096;
    let d = data.dimension;
    let mut codes = Vec::with_capacity(data.len());
    for rows in data.rows.chunks(BLOCK * d) {
        let rows = Tensor::from_slice(rows, (rows.len() / d, d), &Device::Cpu)?;
        let values: Vec<f32> = encoder.codes(&rows)?.flatten_all()?.to_vec1()?;
        codes.extend_from_slice(values.as_chunks::<CODE>().0);
    }
    codes.first().context("a folder without rows")?;
    Ok(codes)
}
