//! The networks, and what stands in for one of them.

use std::collections::HashSet;
use std::sync::Arc;

use cortica_cortex::Code;
use cortica_neural::{CODE, InputError, Networks, Scratch};
use cortica_pipeline::{Model, ModelWorker};
use cortica_simd::{Isa, Rows, cosine, dot_rows};

/// What makes codes.
#[derive(Clone, Debug)]
pub(crate) enum Encode {
    Network,
    /// Products with directions, one after the other, and what is added to them.
    Linear(Arc<[f32]>, Box<Code>),
}

/// What says which code comes next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Predict {
    Network,
    Previous,
    Nothing,
}

/// What says whether a code belongs into its stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Detect {
    Network,
    /// A cosine to the previous code below this.
    CosineBelow(f32),
    Never,
    /// What it was told: these codes, each after the one before it, and no others.
    Told(Arc<HashSet<[Bits; 2]>>),
}

/// A code, to be looked for.
pub(crate) type Bits = [u32; CODE];

pub(crate) fn bits(code: &Code) -> Bits {
    code.map(f32::to_bits)
}

/// The networks, with stand-ins for some.
#[derive(Clone, Debug)]
pub(crate) struct StandIns {
    pub(crate) networks: Networks,
    pub(crate) encode: Encode,
    pub(crate) predict: Predict,
    pub(crate) detect: Detect,
}

impl StandIns {
    /// The networks as they are.
    pub(crate) fn none(networks: &Networks) -> StandIns {
        StandIns {
            networks: networks.clone(),
            encode: Encode::Network,
            predict: Predict::Network,
            detect: Detect::Network,
        }
    }
}

struct Worker {
    of: StandIns,
    isa: Isa,
    scratch: Scratch,
}

impl Model for StandIns {
    fn dimension(&self) -> usize {
        self.networks.dimension()
    }

    fn worker(&self, isa: Isa) -> Box<dyn ModelWorker> {
        Box::new(Worker {
            of: self.clone(),
            isa,
            scratch: self.networks.scratch_on(isa),
        })
    }
}

impl ModelWorker for Worker {
    fn encode(&mut self, features: &[f32]) -> Result<Code, InputError> {
        match &self.of.encode {
            Encode::Network => self
                .of
                .networks
                .encoder()
                .encode(features, &mut self.scratch),
            Encode::Linear(directions, offsets) => {
                let mut code = **offsets;
                let mut products = [0.0; CODE];
                if let Ok(rows) = Rows::packed(directions, features.len()) {
                    dot_rows(self.isa, features, rows, &mut products);
                }
                code.iter_mut()
                    .zip(products)
                    .for_each(|(value, product)| *value += product);
                Ok(code)
            }
        }
    }

    fn predict(&mut self, window: &[Code]) -> Result<Option<Code>, InputError> {
        match self.of.predict {
            Predict::Network => {
                let predictor = self.of.networks.predictor();
                predictor.predict(window, &mut self.scratch).map(Some)
            }
            Predict::Previous => Ok(window.last().copied()),
            Predict::Nothing => Ok(None),
        }
    }

    fn detect(&mut self, window: &[Code]) -> Result<f32, InputError> {
        match &self.of.detect {
            Detect::Network => self
                .of
                .networks
                .detector()
                .detect(window, &mut self.scratch),
            Detect::CosineBelow(least) => {
                let [.., before, last] = window else {
                    return Ok(0.0);
                };
                Ok(f32::from(cosine(self.isa, before, last) < *least))
            }
            Detect::Never => Ok(0.0),
            Detect::Told(told) => {
                let [.., before, last] = window else {
                    return Ok(0.0);
                };
                Ok(f32::from(told.contains(&[bits(before), bits(last)])))
            }
        }
    }
}
