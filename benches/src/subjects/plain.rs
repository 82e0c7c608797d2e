//! The three networks in loops over f32 weights, row by row: what they cost when all is left to
//! the compiler.

use std::sync::Arc;

use anyhow::{Context, Result};
use cortica_neural::{CODE, WINDOW};

use super::networks::{Engine, Matrix, Which, Work};

/// Sums that are kept apart in a dot product, so that the compiler may use wide registers.
const SUMS: usize = 8;

pub(super) struct Plain {
    work: Arc<Work>,
    which: Which,
}

impl Plain {
    pub(super) fn new(work: &Arc<Work>, which: Which) -> Result<Plain> {
        let mut plain = Plain {
            work: work.clone(),
            which,
        };
        plain.run(0, &mut Vec::new())?; // All tensors are there.
        Ok(plain)
    }

    fn tensor(&self, name: &str) -> Result<&Matrix> {
        let found = self.work.weights.get(name);
        found.with_context(|| format!("no {name} in the weight file"))
    }

    /// A layer with its bias, if it has one.
    fn apply(&self, layer: &str, input: &[f32]) -> Result<Vec<f32>> {
        let weight = self.tensor(&format!("{layer}.weight"))?;
        let rows = weight.values.chunks_exact(input.len());
        let mut out: Vec<f32> = rows.map(|row| dot(row, input)).collect();
        if let Ok(bias) = self.tensor(&format!("{layer}.bias")) {
            for (value, bias) in out.iter_mut().zip(&bias.values) {
                *value += bias;
            }
        }
        Ok(out)
    }

    fn encode(&self, sample: usize) -> Result<Vec<f32>> {
        let features = unit(self.work.features(sample, 1).to_vec());
        let first = self.apply("encoder.first", &features)?;
        let (linear, bend) = first.split_at(CODE);
        let second = self.apply("encoder.second", &relu(bend.to_vec()))?;
        Ok(unit(
            linear.iter().zip(second).map(|(a, b)| a + b).collect(),
        ))
    }

    fn predict(&self, sample: usize) -> Result<Vec<f32>> {
        let hidden = self.tensor("predictor.recurrent.weight")?.shape[1];
        let (mut h, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
        let mut shown = Vec::new();
        for code in self.work.window(sample) {
            let mut sums = self.apply("predictor.input", code)?;
            for (sum, kept) in sums.iter_mut().zip(self.apply("predictor.recurrent", &h)?) {
                *sum += kept;
            }
            for at in 0..hidden {
                let gate = |gate: usize| sums[gate * hidden + at];
                c[at] = sigmoid(gate(1)) * c[at] + sigmoid(gate(0)) * gate(3).tanh();
                h[at] = sigmoid(gate(2)) * c[at].tanh();
            }
            shown = code.to_vec();
        }
        h.append(&mut shown);
        Ok(unit(self.apply("predictor.output", &h)?))
    }

    fn detect(&self, sample: usize) -> Result<f32> {
        let x = self.work.window(sample);
        let mut rows = Vec::new();
        for step in 0..WINDOW {
            let mut described: Vec<f32> = x[step].iter().map(|value| 8.0 * value).collect();
            let nothing = [0.0; CODE];
            let before = step.checked_sub(1).map_or(&nothing, |before| &x[before]);
            let products = x[step]
                .iter()
                .zip(before)
                .map(|(now, then)| 64.0 * now * then);
            described.extend(products);
            let product = |back: usize| {
                step.checked_sub(back)
                    .map_or(0.0, |from| dot(&x[step], &x[from]))
            };
            described.extend((1..WINDOW).map(product));
            rows.push(self.apply("detector.lift", &described)?);
        }
        for (layer, dilation) in [1, 2, 4].into_iter().enumerate() {
            let mut next = Vec::new();
            for step in 0..WINDOW {
                let width = rows[step].len();
                let mut taken = Vec::new();
                for back in [2 * dilation, dilation, 0] {
                    match step.checked_sub(back) {
                        Some(from) => taken.extend_from_slice(&rows[from]),
                        None => taken.resize(taken.len() + width, 0.0),
                    }
                }
                let added = relu(self.apply(&format!("detector.layer{layer}"), &taken)?);
                next.push(relu(
                    rows[step].iter().zip(added).map(|(a, b)| a + b).collect(),
                ));
            }
            rows = next;
        }
        let hidden = relu(self.apply("detector.hidden", &rows[WINDOW - 1])?);
        Ok(sigmoid(self.apply("detector.output", &hidden)?[0]))
    }
}

impl Engine for Plain {
    fn run(&mut self, from: usize, out: &mut Vec<f32>) -> Result<()> {
        match self.which {
            Which::Encoder => out.extend(self.encode(from)?),
            Which::Predictor => out.extend(self.predict(from)?),
            Which::Detector => out.push(self.detect(from)?),
        }
        Ok(())
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<SUMS>();
    let (b, b_rest) = b.as_chunks::<SUMS>();
    let mut sums = [0.0; SUMS];
    for (a, b) in a.iter().zip(b) {
        for (sum, (x, y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += x * y;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

fn relu(mut values: Vec<f32>) -> Vec<f32> {
    for value in &mut values {
        *value = value.max(0.0);
    }
    values
}

fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let length = dot(&values, &values).sqrt();
    for value in &mut values {
        *value /= length;
    }
    values
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
