//! Training of the detector: codes that stand where they belong, and others in their place.

use anyhow::Result;
use candle_core::{Device, Tensor};
use cortica_env::{Rng, Seed};
use cortica_neural::{CODE, Code, WINDOW};

use crate::curve::{Curve, Progress};
use crate::layer::{Descent, Layer, Network, dropout, shuffle, softplus};
use crate::streams::Place;

/// Channels of its layers, and width of the layer above them.
const WIDTH: usize = 64;
const JUDGE: usize = 64;

/// What a step is described by; see `cortica_neural::Detector`.
const CHANNELS: usize = 2 * CODE + WINDOW - 1;

const BATCH: usize = 256;

/// The share of values left out while training.
const LEFT_OUT: f64 = 0.2;

#[derive(Debug)]
pub(crate) struct Detector {
    lift: Layer,
    layers: [Layer; 3],
    hidden: Layer,
    output: Layer,
}

impl Network for Detector {
    fn layers(&self) -> Vec<&Layer> {
        let mut all = vec![&self.lift];
        all.extend(&self.layers);
        all.extend([&self.hidden, &self.output]);
        all
    }
}

impl Detector {
    fn new(seed: Seed) -> Result<Detector> {
        let deviation = |inputs: usize| 1.0 / (inputs as f64).sqrt();
        let layer = |name| Layer::new(name, WIDTH, 3 * WIDTH, deviation(3 * WIDTH), seed);
        Ok(Detector {
            lift: Layer::new("detector.lift", WIDTH, CHANNELS, deviation(CHANNELS), seed)?,
            layers: [
                layer("detector.layer0")?,
                layer("detector.layer1")?,
                layer("detector.layer2")?,
            ],
            hidden: Layer::new("detector.hidden", JUDGE, WIDTH, deviation(WIDTH), seed)?,
            output: Layer::new("detector.output", 1, JUDGE, deviation(JUDGE), seed)?,
        })
    }

    /// The logit of an exception at the last step of windows, `[batch, WINDOW, CODE]`.
    fn judge(&self, windows: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let (batch, _, _) = windows.dims3()?;
        let earlier = |rows: &Tensor, back: usize| -> Result<Tensor> {
            let padded = rows.pad_with_zeros(1, back, 0)?;
            Ok(padded.narrow(1, 0, WINDOW)?)
        };
        let mut parts = vec![
            (windows * 8.0)?,
            ((windows * earlier(windows, 1)?)? * 64.0)?,
        ];
        for back in 1..WINDOW {
            parts.push((windows * earlier(windows, back)?)?.sum_keepdim(2)?);
        }
        let described = Tensor::cat(&parts, 2)?;
        let described = dropout(&described, LEFT_OUT, rng)?;
        let flat = described.reshape((batch * WINDOW, CHANNELS))?;
        let mut rows = self.lift.apply(&flat)?.reshape((batch, WINDOW, WIDTH))?;
        for (layer, dilation) in self.layers.iter().zip([1, 2, 4]) {
            let taps = [
                earlier(&rows, 2 * dilation)?,
                earlier(&rows, dilation)?,
                rows.clone(),
            ];
            let taken = Tensor::cat(&taps, 2)?.reshape((batch * WINDOW, 3 * WIDTH))?;
            let added = layer.apply(&taken)?.relu()?;
            rows = (rows + added.reshape((batch, WINDOW, WIDTH))?)?.relu()?;
        }
        let last = rows.narrow(1, WINDOW - 1, 1)?.squeeze(1)?;
        let last = dropout(&last.contiguous()?, LEFT_OUT, rng)?;
        Ok(self
            .output
            .apply(&self.hidden.apply(&last)?.relu()?)?
            .squeeze(1)?)
    }
}

/// Trains on these places: with the code that stands there, which is no exception, and with
/// another, which is one.
pub(crate) fn train(
    codes: &[Code],
    places: &[Place],
    seed: Seed,
    epochs: usize,
) -> Result<(Detector, Curve)> {
    let detector = Detector::new(seed)?;
    let batch_size = BATCH.min(places.len());
    let steps = epochs * (places.len() / batch_size);
    let mut descent = Descent::new(&detector, 1e-3, 0.05, steps)?;
    let mut rng = seed.derive("detector.batches").rng();
    let mut order: Vec<usize> = (0..places.len()).collect();
    let mut progress = Progress::new("detector", steps);
    for _ in 0..epochs {
        shuffle(&mut order, &mut rng);
        for batch in order.chunks_exact(batch_size) {
            let (mut right, mut wrong) = (Vec::new(), Vec::new());
            for &at in batch {
                let place = &places[at];
                let other = rng.below(place.others.len() as u64) as usize;
                for (row, out) in [(place.next, &mut right), (place.others[other], &mut wrong)] {
                    let window = place.window_with(row, codes);
                    out.resize(out.len() + (WINDOW - window.len()) * CODE, 0.0);
                    out.extend_from_slice(window.as_flattened());
                }
            }
            right.extend(wrong);
            let shape = (2 * batch.len(), WINDOW, CODE);
            let windows = Tensor::from_vec(right, shape, &Device::Cpu)?;
            let logits = detector.judge(&windows, &mut rng)?;
            let right = logits.narrow(0, 0, batch.len())?;
            let wrong = logits.narrow(0, batch.len(), batch.len())?.neg()?;
            let loss = softplus(&Tensor::cat(&[right, wrong], 0)?)?.mean_all()?;
            progress.add(descent.step(&loss)?);
        }
    }
    Ok((detector, progress.finish()))
}
