//! The networks against tract, with the same weights through ONNX.

use std::sync::Arc;

use anyhow::{Context, Result};
use cortica_neural::WINDOW;
use cortica_simd::Isa;
use tract_onnx::prelude::{
    Framework, InferenceModelExt, IntoRunnable, IntoTValue, RunnableModel, TValue, Tensor,
    TypedFact, TypedOp, tvec,
};
use tract_onnx::tract_core::plan::SimpleState;
use tract_onnx::tract_core::tract_linalg::knobs::TRACT_CPU_ISA;

use super::networks::{Engine, SAMPLES, Which, Work, ours, pair};
use super::onnx;
use crate::subject::Pair;

/// A network in tract, optimised for one size of batch, with the inputs it will be given: laid out
/// as its graph wants them before anything is timed.
struct Tract {
    plan: Arc<RunnableModel<TypedFact, Box<dyn TypedOp>>>,
    /// Kept from run to run, which saves tract some time; not where it would carry a cell's state
    /// from one window to the next.
    state: Option<SimpleState<TypedFact, Box<dyn TypedOp>>>,
    inputs: Vec<TValue>,
    batch: usize,
}

/// Where `CORTICA_ISA` asks for less than the machine has, tract goes without it as well: then the
/// ratio is that of a machine which has no more.
fn without_more_than_ours() {
    if Isa::best() == Isa::Avx2 {
        TRACT_CPU_ISA.set(Some("-avx512f,-avx512vnni,-avx512fp16".to_owned()));
    }
}

impl Tract {
    fn new(work: &Work, which: Which, batch: usize) -> Result<Tract> {
        without_more_than_ours();
        let model = onnx::model(work, which, batch)?;
        let model = tract_onnx::onnx().model_for_proto_model(&model)?;
        let plan = model.into_optimized()?.into_runnable()?;
        let input = |from: usize| -> Result<TValue> {
            let (shape, values) = match which {
                Which::Encoder => {
                    let values = work.features(from, batch).to_vec();
                    (vec![batch, work.networks.dimension()], values)
                }
                Which::Predictor => {
                    let steps = (0..WINDOW).flat_map(|step| {
                        (from..from + batch).map(move |at| &work.window(at)[step])
                    });
                    let values = steps.flatten().copied().collect();
                    (vec![WINDOW, batch, cortica_neural::CODE], values)
                }
                Which::Detector => {
                    let windows = (from..from + batch).flat_map(|at| work.window(at));
                    let values = windows.flatten().copied().collect::<Vec<f32>>();
                    (vec![batch, WINDOW, cortica_neural::CODE], values)
                }
            };
            Ok(Tensor::from_shape(&shape, &values)?.into_tvalue())
        };
        let inputs = (0..SAMPLES)
            .step_by(batch)
            .map(input)
            .collect::<Result<_>>()?;
        Ok(Tract {
            state: match which {
                Which::Predictor => None,
                Which::Encoder | Which::Detector => Some(plan.spawn()?),
            },
            plan,
            inputs,
            batch,
        })
    }
}

impl Engine for Tract {
    fn run(&mut self, from: usize, out: &mut Vec<f32>) -> Result<()> {
        let input = self.inputs[from / self.batch].clone();
        let result = match &mut self.state {
            Some(state) => state.run(tvec!(input))?,
            None => self.plan.run(tvec!(input))?,
        };
        let result = result.first().context("tract gave nothing")?;
        out.extend_from_slice(result.try_as_plain_ram()?.as_slice::<f32>()?);
        Ok(())
    }
}

/// These networks one after the other for each sample, or for a batch.
pub(super) fn against_tract(which: &[Which], batch: usize) -> Result<Pair> {
    let work = Work::new()?;
    let mut theirs: Vec<Box<dyn Engine>> = Vec::new();
    for which in which {
        theirs.push(Box::new(Tract::new(&work, *which, batch)?));
    }
    pair(ours(&work, which, batch), theirs, batch)
}
