//! Trainable layers, and the few functions that all networks share.

use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use cortica_env::Seed;

/// A matrix and, for most, a bias, under the name they have in the weight file.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    pub(crate) weight: Var,
    pub(crate) bias: Option<Var>,
}

impl Layer {
    /// Normally distributed weights of this deviation, and zero bias.
    pub(crate) fn new(
        name: &'static str,
        outputs: usize,
        inputs: usize,
        deviation: f64,
        seed: Seed,
    ) -> Result<Layer> {
        let mut normal = Normal::new(seed.derive(name));
        let weights: Vec<f32> = (0..outputs * inputs)
            .map(|_| (normal.draw() * deviation) as f32)
            .collect();
        Layer::from_values(name, outputs, inputs, weights, Some(vec![0.0; outputs]))
    }

    pub(crate) fn from_values(
        name: &'static str,
        outputs: usize,
        inputs: usize,
        weights: Vec<f32>,
        bias: Option<Vec<f32>>,
    ) -> Result<Layer> {
        let bias = match bias {
            None => None,
            Some(bias) => Some(Var::from_vec(bias, outputs, &Device::Cpu)?),
        };
        Ok(Layer {
            name,
            weight: Var::from_vec(weights, (outputs, inputs), &Device::Cpu)?,
            bias,
        })
    }

    /// Sets the weights of one output, each by the number of its input.
    pub(crate) fn set_row(&self, row: usize, value: impl Fn(usize) -> f32) -> Result<()> {
        let shape = self.weight.dims2()?;
        let mut weights: Vec<f32> = self.weight.flatten_all()?.to_vec1()?;
        for (at, weight) in weights[row * shape.1..][..shape.1].iter_mut().enumerate() {
            *weight = value(at);
        }
        let weights = Tensor::from_vec(weights, shape, &Device::Cpu)?;
        self.weight.set(&weights)?;
        Ok(())
    }

    pub(crate) fn without_bias(mut self) -> Layer {
        self.bias = None;
        self
    }

    /// Rows of inputs to rows of outputs.
    pub(crate) fn apply(&self, inputs: &Tensor) -> Result<Tensor> {
        let products = inputs.matmul(&self.weight.t()?)?;
        match &self.bias {
            None => Ok(products),
            Some(bias) => Ok(products.broadcast_add(bias)?),
        }
    }
}

/// The layers of one network.
pub(crate) trait Network {
    fn layers(&self) -> Vec<&Layer>;
}

/// AdamW whose rate falls with a cosine from `rate` to nothing.
pub(crate) struct Descent {
    optimizer: AdamW,
    rate: f64,
    steps: usize,
    done: usize,
}

impl Descent {
    pub(crate) fn new(
        network: &impl Network,
        rate: f64,
        decay: f64,
        steps: usize,
    ) -> Result<Descent> {
        let mut variables = Vec::new();
        for layer in network.layers() {
            variables.push(layer.weight.clone());
            variables.extend(layer.bias.clone());
        }
        let parameters = ParamsAdamW {
            lr: rate,
            weight_decay: decay,
            ..ParamsAdamW::default()
        };
        Ok(Descent {
            optimizer: AdamW::new(variables, parameters)?,
            rate,
            steps: steps.max(1),
            done: 0,
        })
    }

    pub(crate) fn step(&mut self, loss: &Tensor) -> Result<f32> {
        let part = self.done as f64 / self.steps as f64;
        let falling = f64::midpoint(1.0, (std::f64::consts::PI * part).cos());
        self.optimizer.set_learning_rate(self.rate * falling);
        self.optimizer.backward_step(loss)?;
        self.done += 1;
        Ok(loss.to_scalar::<f32>()?)
    }
}

/// Rows of length 1.
pub(crate) fn unit(rows: &Tensor) -> Result<Tensor> {
    let squares = rows.sqr()?.sum_keepdim(1)?;
    Ok(rows.broadcast_div(&(squares + 1e-12)?.sqrt()?)?)
}

/// `ln(1 + e^x)`, without overflow.
pub(crate) fn softplus(x: &Tensor) -> Result<Tensor> {
    let small = (x.abs()?.neg()?.exp()? + 1.0)?.log()?;
    Ok((x.relu()? + small)?)
}

pub(crate) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    Ok((x.neg()?.exp()? + 1.0)?.recip()?)
}

/// A mask that leaves each value with probability `1 - rate`, and makes up for the others.
pub(crate) fn dropout(x: &Tensor, rate: f64, rng: &mut cortica_env::Rng) -> Result<Tensor> {
    let kept = (1.0 / (1.0 - rate)) as f32;
    let mask: Vec<f32> = (0..x.elem_count())
        .map(|_| if rng.unit() < rate { 0.0 } else { kept })
        .collect();
    let mask = Tensor::from_vec(mask, x.shape().clone(), x.device())?;
    Ok((x * mask.to_dtype(DType::F32)?)?)
}

/// Numbers in a random order.
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut cortica_env::Rng) {
    for at in (1..items.len()).rev() {
        items.swap(at, rng.below(at as u64 + 1) as usize);
    }
}

/// Normally distributed numbers, by Box and Muller.
#[derive(Debug)]
pub(crate) struct Normal(cortica_env::Rng);

impl Normal {
    pub(crate) fn new(seed: Seed) -> Normal {
        Normal(seed.rng())
    }

    pub(crate) fn draw(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.0.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.0.unit()).cos()
    }
}
