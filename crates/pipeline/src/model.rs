//! What an engine asks of networks.

use cortica_cortex::{Code, Grid, Placement};
use cortica_neural::{InputError, Networks, Scratch};
use cortica_simd::Isa;
use std::fmt;

/// An encoder, a predictor and a detector: trained networks, or what stands in for one of them.
///
/// What it computes depends on its input alone, so that any number of workers come to the same.
pub trait Model: Send + Sync + fmt::Debug {
    /// Values of the features.
    fn dimension(&self) -> usize;

    /// Where its codes lead in a grid, if it has learnt that; `None`: along directions by chance.
    fn placement(&self, _grid: Grid) -> Option<Placement> {
        None
    }

    /// Working memory of one worker.
    fn worker(&self, isa: Isa) -> Box<dyn ModelWorker>;
}

/// A model in the hands of one worker.
pub trait ModelWorker: Send {
    /// The code of features, which are finite and as many as [`Model::dimension`].
    fn encode(&mut self, features: &[f32]) -> Result<Code, InputError>;

    /// The code to expect after those of a window, oldest first, one at least; none: anything may come.
    fn predict(&mut self, window: &[Code]) -> Result<Option<Code>, InputError>;

    /// How likely it is, in \[0, 1\], that the last code of a window of two at least does not belong there.
    fn detect(&mut self, window: &[Code]) -> Result<f32, InputError>;
}

impl Model for Networks {
    fn dimension(&self) -> usize {
        Networks::dimension(self)
    }

    fn placement(&self, grid: Grid) -> Option<Placement> {
        let places = self.places()?;
        let placement = Placement::ranked(grid, *places.axes(), places.quantiles().clone());
        placement.ok() // Weight files with places that are none are refused.
    }

    fn worker(&self, isa: Isa) -> Box<dyn ModelWorker> {
        Box::new(NetworksWorker {
            networks: self.clone(),
            scratch: self.scratch_on(isa),
        })
    }
}

struct NetworksWorker {
    networks: Networks,
    scratch: Scratch,
}

impl ModelWorker for NetworksWorker {
    fn encode(&mut self, features: &[f32]) -> Result<Code, InputError> {
        self.networks.encoder().encode(features, &mut self.scratch)
    }

    fn predict(&mut self, window: &[Code]) -> Result<Option<Code>, InputError> {
        let predictor = self.networks.predictor();
        predictor.predict(window, &mut self.scratch).map(Some)
    }

    fn detect(&mut self, window: &[Code]) -> Result<f32, InputError> {
        self.networks.detector().detect(window, &mut self.scratch)
    }
}
