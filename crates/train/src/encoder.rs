//! Training of the encoder: what is near should stay near.

use anyhow::Result;
use candle_core::{D, Device, Tensor};
use candle_nn::ops::{log_softmax, softmax};
use cortica_env::Seed;
use cortica_neural::CODE;
use cortica_testkit::Dataset;

use crate::curve::{Curve, Progress};
use crate::layer::{Descent, Layer, Network, Normal, unit};
use crate::pca::Components;

/// Width of the hidden layer.
const HIDDEN: usize = 64;

/// Rows of a batch that are drawn, and neighbours that come with each.
const ANCHORS: usize = 192;
const COMPANIONS: usize = 4;

/// Nearest rows from which companions are drawn.
const NEIGHBOURS: usize = 32;

/// Cosines are divided by it before they become shares: small, so that near rows count.
const TEMPERATURE: f64 = 0.05;

#[derive(Debug)]
pub(crate) struct Encoder {
    first: Layer,
    second: Layer,
}

impl Network for Encoder {
    fn layers(&self) -> Vec<&Layer> {
        vec![&self.first, &self.second]
    }
}

impl Encoder {
    /// Begins as centred principal components, beside a hidden layer that begins at random.
    fn new(rows: &[f32], d: usize, seed: Seed) -> Result<Encoder> {
        let components = Components::of(rows, d, true, seed)?;
        let mut bias = components.offsets();
        bias.resize(CODE + HIDDEN, 0.0);
        let mut weights = components.directions;
        let mut normal = Normal::new(seed.derive("encoder.first"));
        weights.extend((0..HIDDEN * d).map(|_| normal.draw() as f32));
        Ok(Encoder {
            first: Layer::from_values("encoder.first", CODE + HIDDEN, d, weights, Some(bias))?,
            second: Layer::new("encoder.second", CODE, HIDDEN, 0.01, seed)?,
        })
    }

    pub(crate) fn codes(&self, rows: &Tensor) -> Result<Tensor> {
        let both = self.first.apply(rows)?;
        let bend = both.narrow(1, CODE, HIDDEN)?.relu()?;
        unit(&(both.narrow(1, 0, CODE)? + self.second.apply(&bend)?)?)
    }
}

/// Trains on these rows alone. The shares that the rows of a batch have in each other's
/// neighbourhood, by cosine, should be the same for codes as for features (cross entropy).
pub(crate) fn train(
    data: &Dataset,
    rows: &[usize],
    seed: Seed,
    steps: usize,
) -> Result<(Encoder, Curve)> {
    let d = data.dimension;
    let mut values = Vec::with_capacity(rows.len() * d);
    for &row in rows {
        values.extend_from_slice(data.row(row));
    }
    let encoder = Encoder::new(&values, d, seed)?;
    let x = Tensor::from_vec(values, (rows.len(), d), &Device::Cpu)?;
    let neighbours = neighbours(&x)?;
    let mut descent = Descent::new(&encoder, 1e-3, 0.0, steps)?;
    let mut rng = seed.derive("encoder.batches").rng();
    let mut progress = Progress::new("encoder", steps);
    for _ in 0..steps {
        let mut batch = Vec::new();
        for _ in 0..ANCHORS {
            let anchor = rng.below(rows.len() as u64) as usize;
            batch.push(anchor as u32);
            for _ in 0..COMPANIONS {
                let near = neighbours[anchor].len() as u64;
                batch.push(neighbours[anchor][rng.below(near) as usize]);
            }
        }
        batch.sort_unstable();
        batch.dedup();
        let size = batch.len();
        let features = x.index_select(&Tensor::from_vec(batch, size, &Device::Cpu)?, 0)?;
        let codes = encoder.codes(&features)?;
        // A row is no neighbour of itself.
        let diagonal = (Tensor::eye(size, features.dtype(), &Device::Cpu)? * -1e4)?;
        let near = |rows: &Tensor| -> Result<Tensor> {
            let cosines = (rows.matmul(&rows.t()?)? / TEMPERATURE)?;
            Ok((cosines + &diagonal)?)
        };
        let wanted = softmax(&near(&features)?, D::Minus1)?;
        let got = log_softmax(&near(&codes)?, D::Minus1)?;
        let loss = (wanted * got)?.sum(1)?.mean(0)?.neg()?;
        progress.add(descent.step(&loss)?);
    }
    Ok((encoder, progress.finish()))
}

/// The nearest rows of each, by cosine.
fn neighbours(x: &Tensor) -> Result<Vec<Vec<u32>>> {
    const BLOCK: usize = 1_024;
    let (count, _) = x.dims2()?;
    let (isa, mut found) = (cortica_simd::Isa::best(), Vec::new());
    let mut all = Vec::with_capacity(count);
    for from in (0..count).step_by(BLOCK) {
        let rows = x.narrow(0, from, BLOCK.min(count - from))?;
        let cosines: Vec<Vec<f32>> = rows.matmul(&x.t()?)?.to_vec2()?;
        for (at, mut cosines) in cosines.into_iter().enumerate() {
            cosines[from + at] = f32::NEG_INFINITY;
            cortica_simd::top_k(isa, &cosines, NEIGHBOURS, &mut found);
            all.push(found.iter().map(|scored| scored.row).collect());
        }
    }
    Ok(all)
}
