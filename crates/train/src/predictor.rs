//! Training of the predictor: the code that comes next before others that could.

use anyhow::Result;
use candle_core::{Device, Tensor};
use cortica_env::Seed;
use cortica_neural::{CODE, Code};

use crate::curve::{Curve, Progress};
use crate::layer::{Descent, Layer, Network, shuffle, sigmoid, softplus, unit};
use crate::streams::Place;

/// Values of the hidden state.
const STATE: usize = 128;

const BATCH: usize = 256;

/// Differences of cosines are multiplied by it before they become losses.
const SHARPNESS: f64 = 8.0;

#[derive(Debug)]
pub(crate) struct Predictor {
    input: Layer,
    recurrent: Layer,
    output: Layer,
}

impl Network for Predictor {
    fn layers(&self) -> Vec<&Layer> {
        vec![&self.input, &self.recurrent, &self.output]
    }
}

impl Predictor {
    /// Begins by predicting the last code, and by forgetting little.
    fn new(seed: Seed) -> Result<Predictor> {
        let deviation = 1.0 / (STATE as f64).sqrt();
        let input = Layer::new("predictor.input", 4 * STATE, CODE, 2.0 * deviation, seed)?;
        let mut bias = vec![0.0_f32; 4 * STATE];
        bias[STATE..2 * STATE].fill(1.0);
        if let Some(variable) = &input.bias {
            variable.set(&Tensor::from_vec(bias, 4 * STATE, &Device::Cpu)?)?;
        }
        let recurrent = Layer::new("predictor.recurrent", 4 * STATE, STATE, deviation, seed)?;
        let wide = STATE + CODE;
        let mut output = vec![0.0; CODE * wide];
        for at in 0..CODE {
            output[at * wide + STATE + at] = 1.0;
        }
        Ok(Predictor {
            input,
            recurrent: recurrent.without_bias(),
            output: Layer::from_values(
                "predictor.output",
                CODE,
                wide,
                output,
                Some(vec![0.0; CODE]),
            )?,
        })
    }

    /// Predictions from windows, `[batch, steps, CODE]`, whose missing codes are in front; `there`
    /// is 1 where there is a code, `[batch, steps]`.
    fn predict(&self, windows: &Tensor, there: &Tensor) -> Result<Tensor> {
        let (batch, steps, _) = windows.dims3()?;
        let projected = self.input.apply(&windows.reshape((batch * steps, CODE))?)?;
        let projected = projected.reshape((batch, steps, 4 * STATE))?;
        let mut hidden = Tensor::zeros((batch, STATE), windows.dtype(), &Device::Cpu)?;
        let mut cell = hidden.clone();
        for step in 0..steps {
            let taken = projected.narrow(1, step, 1)?.squeeze(1)?;
            let sums = (taken + self.recurrent.apply(&hidden)?)?;
            let gates = sigmoid(&sums.narrow(1, 0, 3 * STATE)?)?;
            let gate = |at: usize| gates.narrow(1, at * STATE, STATE);
            let candidate = sums.narrow(1, 3 * STATE, STATE)?.tanh()?;
            let there = there.narrow(1, step, 1)?;
            // Before a window begins the state stays zero.
            cell = ((gate(1)? * &cell)? + (gate(0)? * candidate)?)?.broadcast_mul(&there)?;
            hidden = (gate(2)? * cell.tanh()?)?.broadcast_mul(&there)?;
        }
        let last = windows.narrow(1, steps - 1, 1)?.squeeze(1)?;
        unit(&self.output.apply(&Tensor::cat(&[&hidden, &last], 1)?)?)
    }
}

impl Predictor {
    /// What it expects at each place, not yet rounded to i8.
    pub(crate) fn predictions(&self, codes: &[Code], places: &[Place]) -> Result<Vec<Code>> {
        let mut all = Vec::with_capacity(places.len());
        for places in places.chunks(BATCH) {
            let places: Vec<&Place> = places.iter().collect();
            let (windows, there) = windows(codes, &places)?;
            let rows: Vec<f32> = self.predict(&windows, &there)?.flatten_all()?.to_vec1()?;
            all.extend_from_slice(rows.as_chunks::<CODE>().0);
        }
        Ok(all)
    }
}

/// The windows of places, as many steps as the longest has, and where in them there are codes; see
/// [`Predictor::predict`].
fn windows(codes: &[Code], places: &[&Place]) -> Result<(Tensor, Tensor)> {
    let all: Vec<Vec<Code>> = places.iter().map(|place| place.window(codes)).collect();
    let steps = all.iter().map(Vec::len).max().unwrap_or(0);
    let (mut windows, mut there) = (Vec::new(), Vec::new());
    for window in &all {
        let missing = steps - window.len();
        there.extend((0..steps).map(|at| if at < missing { 0.0 } else { 1.0_f32 }));
        windows.resize(windows.len() + missing * CODE, 0.0);
        windows.extend_from_slice(window.as_flattened());
    }
    let windows = Tensor::from_vec(windows, (all.len(), steps, CODE), &Device::Cpu)?;
    let there = Tensor::from_vec(there, (all.len(), steps), &Device::Cpu)?;
    Ok((windows, there))
}

/// Trains on these places: in each batch, every code that comes next should be nearer to its
/// prediction than any other code to that for its place (logistic loss over all pairs).
pub(crate) fn train(
    codes: &[Code],
    places: &[Place],
    seed: Seed,
    epochs: usize,
) -> Result<(Predictor, Curve)> {
    let predictor = Predictor::new(seed)?;
    let batch_size = BATCH.min(places.len());
    let steps = epochs * (places.len() / batch_size);
    let mut descent = Descent::new(&predictor, 1e-3, 0.05, steps)?;
    let mut rng = seed.derive("predictor.batches").rng();
    let mut order: Vec<usize> = (0..places.len()).collect();
    let mut progress = Progress::new("predictor", steps);
    for _ in 0..epochs {
        shuffle(&mut order, &mut rng);
        for batch in order.chunks_exact(batch_size) {
            let (mut nexts, mut others) = (Vec::new(), Vec::new());
            for &at in batch {
                let place = &places[at];
                nexts.extend_from_slice(&codes[place.next as usize]);
                let other = rng.below(place.others.len() as u64) as usize;
                others.extend_from_slice(&codes[place.others[other] as usize]);
            }
            let rows = batch.len();
            let batch: Vec<&Place> = batch.iter().map(|&at| &places[at]).collect();
            let (windows, there) = windows(codes, &batch)?;
            let prediction = predictor.predict(&windows, &there)?;
            let cosines = |values: Vec<f32>| -> Result<Tensor> {
                let rows = Tensor::from_vec(values, (rows, CODE), &Device::Cpu)?;
                Ok((&prediction * rows)?.sum(1)?)
            };
            let next = cosines(nexts)?.unsqueeze(1)?;
            let other = cosines(others)?.unsqueeze(0)?;
            let ahead = other.broadcast_sub(&next)?;
            let loss = softplus(&(ahead * SHARPNESS)?)?.mean_all()?;
            progress.add(descent.step(&loss)?);
        }
    }
    Ok((predictor, progress.finish()))
}
