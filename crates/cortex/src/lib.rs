//! Columns that compete on a lattice.
#![forbid(unsafe_code)]

mod column;
mod cortex;
mod grid;
mod guard;
mod membrane;
#[cfg(loom)]
#[doc(hidden)]
pub mod models;
mod prototype;
mod refractory;
mod state;
mod stats;
mod stdp;
mod sync;

pub use crate::column::ConceptId;
pub use crate::cortex::{Cortex, CortexOptions, LearnError, NoMemory};
pub use crate::grid::{ColumnId, Grid, GridError};
pub use crate::guard::{Claim, Claims, CommitError, Reservation};
pub use crate::membrane::{MembraneParams, Step};
pub use crate::prototype::{CODE_DIMENSION, Code, CodeError, normalised};
pub use crate::refractory::RefractoryParams;
pub use crate::state::{ChangeError, Snapshot, State, StateWord};
pub use crate::stats::CortexStats;
pub use crate::stdp::{Connections, ConnectionsFull, StdpParams};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
