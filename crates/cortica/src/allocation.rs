//! How a memory allocates.

use cortica_cortex::{Allocate, Cortex, CortexOptions, Grid, STREAMS_MAX};
use cortica_env::Clock;
use cortica_memory::OpenError;
use cortica_neural::Networks;
use cortica_pipeline::{AllocationEngine, EngineError, EngineOptions};
use cortica_simd::Isa;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

/// How the concepts of new episodes are given columns: in which grid, by which networks, and how the engine decides.
///
/// The grid is fixed once a store has one. Networks and the rest may change: what was decided is in the log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AllocationOptions {
    /// Columns along x, y and z.
    pub sides: [u32; 3],
    /// The networks; `None` takes those that come with Cortica, for embeddings of 768 values.
    pub networks: Option<Networks>,
    /// How far around its place a concept's column is looked for first, in units of the lattice.
    pub search_radius: f32,
    /// How the engine decides; with as many streams as by default.
    pub engine: EngineOptions,
}

impl AllocationOptions {
    /// In a grid of these sides, with the networks that come with Cortica and everything else by default.
    #[must_use]
    pub fn new(nx: u32, ny: u32, nz: u32) -> Self {
        Self {
            sides: [nx, ny, nz],
            networks: None,
            search_radius: 4.0,
            engine: EngineOptions::default(),
        }
    }

    /// The smallest cube with a third more columns than there will be concepts: fuller ones push
    /// concepts further from where they belong.
    #[must_use]
    pub fn for_concepts(concepts: usize) -> Self {
        let columns = concepts.saturating_add(concepts / 3).max(1);
        // 2^64 columns at most.
        let side = (1..1 << 22).find(|side: &u128| side.pow(3) >= columns as u128);
        let side = side.unwrap_or(1 << 22) as u32;
        Self::new(side, side, side)
    }

    /// With networks trained for other embeddings, by `cortica-train`.
    #[must_use]
    pub fn with_networks(mut self, networks: Networks) -> Self {
        self.networks = Some(networks);
        self
    }

    /// With the networks of a weight file.
    pub fn with_weights(self, path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let networks = Networks::open(path.as_ref()).map_err(refused)?;
        Ok(self.with_networks(networks))
    }

    /// With another search radius.
    #[must_use]
    pub fn with_search_radius(mut self, search_radius: f32) -> Self {
        self.search_radius = search_radius;
        self
    }

    /// Makes the engine, and says for embeddings of how many values it is.
    pub(crate) fn engine(
        self,
        dimension: Option<usize>,
        clock: &Arc<dyn Clock>,
        isa: Isa,
    ) -> Result<(Arc<dyn Allocate>, usize), OpenError> {
        let [nx, ny, nz] = self.sides;
        let grid = Grid::new(nx, ny, nz).map_err(refused)?;
        let networks = match self.networks {
            Some(networks) => networks,
            None => shipped(dimension)?,
        };
        let own = networks.dimension();
        if let Some(asked) = dimension.filter(|&asked| asked != own) {
            return Err(OpenError::Networks { asked, own });
        }
        let options = CortexOptions {
            clock: clock.clone(),
            isa,
            ..CortexOptions::default()
        };
        // Not in the log: who replays it without networks, or takes windows from a checkpoint, keeps so many.
        let streams_max = self.engine.streams_max;
        if streams_max != STREAMS_MAX {
            return Err(refused(EngineError::Option {
                field: "streams_max",
                got: streams_max as f64,
                expected: "4,096 in a store, as its log is replayed with so many",
            }));
        }
        let cortex = Arc::new(Cortex::new(grid, options).map_err(refused)?);
        let engine = AllocationEngine::new(cortex, Arc::new(networks), self.engine);
        Ok((Arc::new(engine.map_err(refused)?), own))
    }
}

fn refused(error: impl Error + Send + Sync + 'static) -> OpenError {
    OpenError::Allocation(Box::new(error))
}

#[cfg(feature = "weights-768")]
fn shipped(dimension: Option<usize>) -> Result<Networks, OpenError> {
    match dimension {
        None | Some(768) => Networks::shipped_768().map_err(refused),
        Some(asked) => Err(OpenError::NoWeights { asked }),
    }
}

#[cfg(not(feature = "weights-768"))]
fn shipped(dimension: Option<usize>) -> Result<Networks, OpenError> {
    let asked = dimension.unwrap_or(768);
    Err(OpenError::NoWeights { asked })
}
