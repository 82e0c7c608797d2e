//! What can be learnt of a place without its window: the networks again, trained on less.

use anyhow::{Context, Result};
use cortica_env::Seed;
use cortica_neural::Code;
use cortica_simd::Isa;

use crate::detector::{self, Detector};
use crate::predictor::{self, Predictor};
use crate::streams::Place;

/// The same networks, trained in the same way on the same places, but shown only the code before a
/// place, or none. What the shipped ones are above these by comes from the rest of the window.
#[derive(Debug)]
pub(crate) struct Baselines {
    predictor: Predictor,
    detector: Detector,
    /// Judges a code alone: how much it looks like what is drawn as another.
    candidate: Detector,
}

/// A way to score rows at places; more is better.
pub(crate) type Learnt<'a> = dyn Fn(&[Place], &[u32]) -> Result<Vec<f32>> + 'a;

impl Baselines {
    pub(crate) fn train(
        codes: &[Code],
        places: &[Place],
        seed: Seed,
        epochs: usize,
    ) -> Result<Baselines> {
        let seed = seed.derive("baselines");
        let previous = with_last(places, 1);
        let (predictor, _) = predictor::train(codes, &previous, seed, epochs)?;
        let (detector, _) = detector::train(codes, &previous, seed, epochs)?;
        let (candidate, _) = detector::train(codes, &with_last(places, 0), seed, epochs)?;
        Ok(Baselines {
            predictor,
            detector,
            candidate,
        })
    }

    /// The predictor that knows only the code before.
    pub(crate) fn predicted(
        &self,
        codes: &[Code],
        places: &[Place],
        rows: &[u32],
    ) -> Result<Vec<f32>> {
        let predictions = self.predictor.predictions(codes, &with_last(places, 1))?;
        let score_of = |(prediction, &row): (&Code, &u32)| -> Result<f32> {
            let code = codes.get(row as usize).context("a row without a code")?;
            Ok(cortica_neural::score(Isa::best(), prediction, code))
        };
        predictions.iter().zip(rows).map(score_of).collect()
    }

    /// The detector that knows only the code before.
    pub(crate) fn belongs(
        &self,
        codes: &[Code],
        places: &[Place],
        rows: &[u32],
    ) -> Result<Vec<f32>> {
        let logits = self.detector.logits(codes, &with_last(places, 1), rows)?;
        Ok(logits.iter().map(|logit| -logit).collect())
    }

    /// The detector that knows only what stands in the place.
    pub(crate) fn alone(&self, codes: &[Code], places: &[Place], rows: &[u32]) -> Result<Vec<f32>> {
        let logits = self.candidate.logits(codes, &with_last(places, 0), rows)?;
        Ok(logits.iter().map(|logit| -logit).collect())
    }
}

fn with_last(places: &[Place], count: usize) -> Vec<Place> {
    places.iter().map(|place| place.with_last(count)).collect()
}
