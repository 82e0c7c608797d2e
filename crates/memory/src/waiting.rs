//! Embeddings whose vector space the log has not told yet: the record that says it is lost, or
//! comes later because the first one is.

use crate::options::{SpaceInfo, SpaceSpec};
use cortica_index::{Checked, ExactIndex, Metric, VectorIndex};
use cortica_simd::Isa;
use std::collections::BTreeMap;

/// The metrics that a lost space may have had, the likeliest first.
const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::L2];

/// Embeddings of one dimension, by the seq of their episode.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Empty ones, of the metrics that hold all embeddings so far. Never none.
    possible: Vec<ExactIndex>,
    pub(crate) embeddings: BTreeMap<u64, Vec<f32>>,
}

impl Waiting {
    /// For embeddings of this dimension.
    pub(crate) fn new(dimension: usize, isa: Isa) -> Result<Self, String> {
        let possible: Result<_, _> = METRICS
            .into_iter()
            .map(|metric| ExactIndex::new(dimension, metric, isa))
            .collect();
        Ok(Self {
            possible: possible.map_err(|error| error.to_string())?,
            embeddings: BTreeMap::new(),
        })
    }

    /// Refuses an embedding that cannot be in one space with the others.
    pub(crate) fn check(&mut self, embedding: &[f32]) -> Result<Checked, String> {
        let mut fits = Vec::new();
        let mut refusal = "no metric holds it beside the others".to_owned();
        for index in &self.possible {
            match index.check(embedding) {
                Ok(checked) => fits.push((index.metric(), checked)),
                Err(error) => refusal = error.to_string(),
            }
        }
        let (_, checked) = *fits.first().ok_or(refusal)?;
        self.possible
            .retain(|index| fits.iter().any(|(metric, _)| *metric == index.metric()));
        Ok(checked)
    }

    /// Whether a space holds all of them.
    pub(crate) fn fits(&self, dimension: usize, metric: Metric) -> bool {
        let same = |index: &ExactIndex| index.dimension() == dimension && index.metric() == metric;
        self.possible.iter().any(same)
    }

    /// The space they were in: the caller's where it holds them all, or else the likeliest one.
    pub(crate) fn guess(&self, spec: Option<&SpaceSpec>) -> Option<SpaceInfo> {
        let likeliest = self.possible.first()?;
        let spec = spec.filter(|spec| {
            let metric = spec.metric.unwrap_or(likeliest.metric());
            self.fits(spec.dimension, metric)
        });
        Some(SpaceInfo {
            dimension: likeliest.dimension(),
            metric: spec
                .and_then(|spec| spec.metric)
                .unwrap_or(likeliest.metric()),
            model: spec.and_then(|spec| spec.model.clone()).unwrap_or_default(),
        })
    }
}
