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
    /// Begins by judging by the dot product with the code before, beside which all else counts little:
    /// the dot products with each code before are led straight to the judge.
    fn new(seed: Seed) -> Result<Detector> {
        let deviation = |inputs: usize| 1.0 / (inputs as f64).sqrt();
        let layer = |name| Layer::new(name, WIDTH, 3 * WIDTH, deviation(3 * WIDTH), seed);
        let detector = Detector {
            lift: Layer::new("detector.lift", WIDTH, CHANNELS, deviation(CHANNELS), seed)?,
            layers: [
                layer("detector.layer0")?,
                layer("detector.layer1")?,
                layer("detector.layer2")?,
            ],
            hidden: Layer::new("detector.hidden", JUDGE, WIDTH, deviation(WIDTH), seed)?,
            output: Layer::new("detector.output", 1, JUDGE, deviation(JUDGE), seed)?,
        };
        let only = |value: f32, column: usize| move |at| if at == column { value } else { 0.0 };
        for back in 1..WINDOW {
            let channel = back - 1;
            detector
                .lift
                .set_row(channel, only(4.0, 2 * CODE + channel))?;
            for layer in &detector.layers {
                layer.set_row(channel, |_| 0.0)?; // What comes in goes on as it is.
            }
            detector.hidden.set_row(channel, only(1.0, channel))?;
        }
        let small: Vec<f32> = detector.output.weight.flatten_all()?.to_vec1()?;
        detector.output.set_row(0, |at| match at {
            0 => -2.0,
            at if at < WINDOW - 1 => 0.0,
            at => small[at] / 10.0,
        })?;
        Ok(detector)
    }

    /// The logit of an exception at the last step of windows, `[batch, WINDOW, CODE]`; while training
    /// some values are left out by chance.
    fn judge(&self, windows: &Tensor, mut rng: Option<&mut Rng>) -> Result<Tensor> {
        let (batch, _, _) = windows.dims3()?;
        let earlier = |rows: &Tensor, back: usize| -> Result<Tensor> {
            let padded = rows.pad_with_zeros(1, back, 0)?;
            Ok(padded.narrow(1, 0, WINDOW)?)
        };
        let mut leave_out = |values: Tensor| match &mut rng {
            Some(rng) => dropout(&values, LEFT_OUT, rng),
            None => Ok(values),
        };
        let products = ((windows * earlier(windows, 1)?)? * 64.0)?;
        let values = Tensor::cat(&[(windows * 8.0)?, products], 2)?;
        let mut parts = vec![leave_out(values)?];
        for back in 1..WINDOW {
            parts.push((windows * earlier(windows, back)?)?.sum_keepdim(2)?);
        }
        let flat = Tensor::cat(&parts, 2)?.reshape((batch * WINDOW, CHANNELS))?;
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
        let last = leave_out(last.contiguous()?)?;
        Ok(self
            .output
            .apply(&self.hidden.apply(&last)?.relu()?)?
            .squeeze(1)?)
    }
}

impl Detector {
    /// The logit of an exception for these rows at these places, not yet rounded to i8.
    pub(crate) fn logits(
        &self,
        codes: &[Code],
        places: &[Place],
        rows: &[u32],
    ) -> Result<Vec<f32>> {
        let mut all = Vec::with_capacity(places.len());
        for (places, rows) in places.chunks(BATCH).zip(rows.chunks(BATCH)) {
            let windows = places.iter().zip(rows).map(|(place, &row)| (place, row));
            all.extend(
                self.judge(&self::windows(codes, windows)?, None)?
                    .to_vec1::<f32>()?,
            );
        }
        Ok(all)
    }
}

/// The windows of places, each with a row in its place; see [`Detector::judge`].
fn windows<'a>(
    codes: &[Code],
    places: impl IntoIterator<Item = (&'a Place, u32)>,
) -> Result<Tensor> {
    let (mut values, mut count) = (Vec::new(), 0);
    for (place, row) in places {
        let window = place.window_with(row, codes);
        values.resize(values.len() + (WINDOW - window.len()) * CODE, 0.0);
        values.extend_from_slice(window.as_flattened());
        count += 1;
    }
    Ok(Tensor::from_vec(
        values,
        (count, WINDOW, CODE),
        &Device::Cpu,
    )?)
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
                right.push((place, place.next));
                wrong.push((place, place.others[other]));
            }
            let windows = windows(codes, right.into_iter().chain(wrong))?;
            let logits = detector.judge(&windows, Some(&mut rng))?;
            let right = logits.narrow(0, 0, batch.len())?;
            let wrong = logits.narrow(0, batch.len(), batch.len())?.neg()?;
            let loss = softplus(&Tensor::cat(&[right, wrong], 0)?)?.mean_all()?;
            progress.add(descent.step(&loss)?);
        }
    }
    Ok((detector, progress.finish()))
}
