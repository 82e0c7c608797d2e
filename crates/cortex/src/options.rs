//! How the columns of a cortex behave.

use crate::cortex::Cortex;
use crate::membrane::MembraneParams;
use crate::refractory::RefractoryParams;
use cortica_env::{Clock, SystemClock};
use cortica_simd::Isa;
use std::sync::Arc;

/// How columns behave.
#[derive(Clone, Debug)]
pub struct CortexOptions {
    /// Leak and threshold.
    pub membrane: MembraneParams,
    /// Rest after a spike.
    pub refractory: RefractoryParams,
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
    /// Which instructions are used.
    pub isa: Isa,
}

impl Default for CortexOptions {
    fn default() -> CortexOptions {
        CortexOptions {
            membrane: MembraneParams::default(),
            refractory: RefractoryParams::default(),
            clock: Arc::new(SystemClock),
            isa: Isa::best(),
        }
    }
}

/// Why there is no such cortex.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CortexError {
    /// The system has no memory for so many columns; make the grid smaller.
    #[error("no memory for {columns} columns of {} bytes", Cortex::COLUMN_BYTES)]
    NoMemory {
        /// How many there were to be.
        columns: usize,
    },
    /// An option out of its range.
    #[error("{field} is {got}; it must be finite and {expected}")]
    Option {
        /// Which.
        field: &'static str,
        /// What was given.
        got: f32,
        /// What it may be.
        expected: &'static str,
    },
}

impl CortexOptions {
    pub(crate) fn check(&self) -> Result<(), CortexError> {
        let CortexOptions {
            membrane,
            refractory,
            ..
        } = self;
        let positive = [
            ("membrane.tau_ms", membrane.tau_ms),
            ("membrane.threshold", membrane.threshold),
        ];
        let not_negative = [
            ("refractory.absolute_ms", refractory.absolute_ms),
            ("refractory.relative_ms", refractory.relative_ms),
            ("refractory.raise", refractory.raise),
        ];
        let bad = |got: f32, good: bool| !(got.is_finite() && good);
        let positive = positive.map(|(field, got)| (field, got, bad(got, got > 0.0), "above 0"));
        let rest =
            not_negative.map(|(field, got)| (field, got, bad(got, got >= 0.0), "0 at least"));
        match positive.into_iter().chain(rest).find(|one| one.2) {
            Some((field, got, _, expected)) => Err(CortexError::Option {
                field,
                got,
                expected,
            }),
            None => Ok(()),
        }
    }
}
