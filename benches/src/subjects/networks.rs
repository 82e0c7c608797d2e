//! The shipped networks at work on real embeddings: what is run, what it is run on, and the same
//! written plainly.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cortica_formats::{Safetensors, TensorDtype};
use cortica_neural::{CODE, Code, Networks, Scratch, WINDOW};

use super::fixture;
use super::plain::Plain;
use crate::stopwatch::Stopwatch;
use crate::subject::{Pair, Run};

/// The weights that are shipped, as a file.
const WEIGHTS: &[u8] = include_bytes!("../../../crates/neural/weights/768.safetensors");

/// Samples of a batch; one by one, as many are run in turn.
pub(super) const SAMPLES: usize = 64;

/// How far any value may be from another engine's: some hundred roundings of values of about 1,
/// and of inputs that are rounded once.
pub(super) const TOLERANCE: f32 = 1e-4;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Encoder,
    Predictor,
    Detector,
}

impl Which {
    #[cfg(feature = "peers")]
    pub(super) const ALL: [Which; 3] = [Which::Encoder, Which::Predictor, Which::Detector];
}

/// Networks and what they are run on: rows of the bundled data, and windows of their codes.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) networks: Networks,
    pub(super) weights: BTreeMap<String, Matrix>,
    pub(super) features: Vec<f32>,
    codes: Vec<Code>,
}

/// A tensor of the weight file, as the f32 values it stands for.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl Work {
    pub(super) fn new() -> Result<Arc<Work>> {
        let networks = Networks::from_bytes(WEIGHTS)?;
        let data = fixture::bundled()?;
        ensure!(
            networks.dimension() == data.dimension,
            "weights for other data"
        );
        let features = fixture::tiled(&data, SAMPLES + WINDOW);
        let mut codes = vec![[0.0; CODE]; SAMPLES + WINDOW];
        let mut scratch = networks.scratch();
        networks
            .encoder()
            .encode_many(&features, &mut scratch, &mut codes)?;
        let weights = read_weights()?;
        Ok(Arc::new(Work {
            networks,
            weights,
            features,
            codes,
        }))
    }

    /// The values of one sample's features, or of all.
    pub(super) fn features(&self, from: usize, count: usize) -> &[f32] {
        let d = self.networks.dimension();
        &self.features[from * d..(from + count) * d]
    }

    /// The window of one sample.
    pub(super) fn window(&self, sample: usize) -> &[Code] {
        &self.codes[sample..sample + WINDOW]
    }
}

/// Everything the file holds; i8 with their scales multiplied in.
fn read_weights() -> Result<BTreeMap<String, Matrix>> {
    let file = Safetensors::from_bytes(WEIGHTS)?;
    let mut weights = BTreeMap::new();
    for name in file
        .names()
        .filter(|name| name.strip_suffix(".scale").is_none())
    {
        let tensor = file.tensor(name).context("a tensor that is listed")?;
        let mut values = match tensor.dtype {
            TensorDtype::I8 => tensor
                .bytes
                .iter()
                .map(|b| f32::from(b.cast_signed()))
                .collect(),
            _ => floats(tensor.bytes),
        };
        if let Some(scale) = file
            .tensor(&name.replace(".weight", ".scale"))
            .filter(|_| tensor.dtype == TensorDtype::I8)
        {
            let width = tensor.shape[1];
            for (row, scale) in values.chunks_exact_mut(width).zip(floats(scale.bytes)) {
                for value in row {
                    *value *= scale;
                }
            }
        }
        let shape = tensor.shape.to_vec();
        weights.insert(name.to_owned(), Matrix { shape, values });
    }
    Ok(weights)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<4>();
    values
        .iter()
        .map(|value| f32::from_le_bytes(*value))
        .collect()
}

/// An engine that runs a network on the samples from `from` on, as many as it was made for, and
/// appends what it gives to `out`.
pub(super) trait Engine {
    fn run(&mut self, from: usize, out: &mut Vec<f32>) -> Result<()>;
}

/// Ours.
pub(super) struct Ours {
    work: Arc<Work>,
    which: Which,
    batch: usize,
    scratch: Scratch,
    codes: Vec<Code>,
    exceptions: Vec<f32>,
}

impl Ours {
    pub(super) fn new(work: &Arc<Work>, which: Which, batch: usize) -> Ours {
        Ours {
            work: work.clone(),
            which,
            batch,
            scratch: work.networks.scratch(),
            codes: vec![[0.0; CODE]; batch],
            exceptions: vec![0.0; batch],
        }
    }
}

impl Engine for Ours {
    fn run(&mut self, from: usize, out: &mut Vec<f32>) -> Result<()> {
        let (work, scratch) = (&self.work, &mut self.scratch);
        let networks = &work.networks;
        if self.batch == 1 {
            match self.which {
                Which::Encoder => {
                    out.extend(networks.encoder().encode(work.features(from, 1), scratch)?);
                }
                Which::Predictor => {
                    out.extend(networks.predictor().predict(work.window(from), scratch)?);
                }
                Which::Detector => {
                    out.push(networks.detector().detect(work.window(from), scratch)?);
                }
            }
            return Ok(());
        }
        let mut windows = [&[][..]; SAMPLES];
        for (at, window) in windows.iter_mut().enumerate() {
            *window = work.window(at);
        }
        let windows = &windows[..self.batch];
        match self.which {
            Which::Encoder => {
                let features = work.features(from, self.batch);
                networks
                    .encoder()
                    .encode_many(features, scratch, &mut self.codes)?;
            }
            Which::Predictor => {
                networks
                    .predictor()
                    .predict_many(windows, scratch, &mut self.codes)?;
            }
            Which::Detector => {
                networks
                    .detector()
                    .detect_many(windows, scratch, &mut self.exceptions)?;
            }
        }
        match self.which {
            Which::Detector => out.extend_from_slice(&self.exceptions),
            _ => out.extend_from_slice(self.codes.as_flattened()),
        }
        Ok(())
    }
}

/// All samples through engines that take `batch` at a time.
fn all(engines: &mut [Box<dyn Engine>], batch: usize, out: &mut Vec<f32>) -> Result<()> {
    for from in (0..SAMPLES).step_by(batch) {
        for engine in &mut *engines {
            engine.run(from, out)?;
        }
    }
    Ok(())
}

/// Both over all samples, `batch` at a time, after their answers were compared.
pub(super) fn pair(
    mut ours: Vec<Box<dyn Engine>>,
    mut theirs: Vec<Box<dyn Engine>>,
    batch: usize,
) -> Result<Pair> {
    let (mut got, mut want) = (Vec::new(), Vec::new());
    all(&mut ours, batch, &mut got)?;
    all(&mut theirs, batch, &mut want)?;
    let check = move || {
        ensure!(
            got.len() == want.len() && !got.is_empty(),
            "{} values, not {}",
            got.len(),
            want.len()
        );
        for (at, (got, want)) in got.iter().zip(&want).enumerate() {
            ensure!(
                (got - want).abs() < TOLERANCE,
                "value {at} is {got}, not {want}"
            );
        }
        Ok(())
    };
    let timed = |mut engines: Vec<Box<dyn Engine>>| -> Run {
        let mut out = Vec::with_capacity(2 * SAMPLES * (CODE + 1));
        Box::new(move |watch: &mut Stopwatch| {
            watch.time(|| {
                out.clear();
                all(&mut engines, batch, &mut out)
            })
        })
    };
    Ok(Pair {
        check: Box::new(check),
        subject: timed(ours),
        baseline: timed(theirs),
    })
}

pub(super) fn ours(work: &Arc<Work>, which: &[Which], batch: usize) -> Vec<Box<dyn Engine>> {
    let engine = |which: &Which| Box::new(Ours::new(work, *which, batch)) as Box<dyn Engine>;
    which.iter().map(engine).collect()
}

/// One sample at a time, against loops over the same weights that leave everything to the
/// compiler.
pub(super) fn against_plain(which: Which) -> Result<Pair> {
    let work = Work::new()?;
    let plain = Plain::new(&work, which)?;
    pair(ours(&work, &[which], 1), vec![Box::new(plain)], 1)
}
