//! Columns that compete on a lattice for what is to be remembered, and become a map of it.
//!
//! - [`Cortex`] holds the columns: [`Cortex::activate`] claims some for one thread, [`Claims`] and
//!   [`Reservation`] give them back however one leaves.
//! - [`Competition`] lets them inhibit each other and says who wins; [`Winners`] selects alone.
//! - [`Placement`] leads codes to places, [`Scorer`] says how well columns suit them.
//! - [`Dedup`] refuses what is there already.
//! - [`Allocate`] is the door through which others allocate without naming networks.
//!
//! Nothing here starts a thread, reads a clock that was not handed in, or draws a number without a seed.
//!
//! ```
//! use cortica_cortex::{Competition, Grid, InhibitionParams};
//! use cortica_simd::Isa;
//!
//! let grid = Grid::new(10, 10, 10)?;
//! let columns: Vec<_> = grid.columns().collect();
//! let mut drives = vec![0.5; 1_000];
//! drives[333] = 0.7;
//! let mut competition = Competition::new(InhibitionParams::default(), Isa::best())?;
//! let outcome = competition.run(&grid, &columns, &drives, 1)?;
//! println!("{} won", outcome.winners[0].column);
//! assert_eq!(outcome.winners[0].column, columns[333]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod allocate;
mod bits;
mod block;
mod code_table;
mod column;
mod competition;
mod cortex;
mod dedup;
mod grid;
mod guard;
mod inhibition;
mod membrane;
#[cfg(loom)]
#[doc(hidden)]
pub mod models;
mod options;
mod placement;
mod prototype;
mod quality;
mod refractory;
mod replayer;
mod request;
mod score;
mod state;
mod stats;
mod stdp;
mod sync;
mod undo;
mod window;
mod winners;

pub use crate::allocate::{Allocate, AllocateError, Round};
pub use crate::column::ConceptId;
pub use crate::competition::{CompeteError, Competition, Outcome, Winner};
pub use crate::cortex::{Cortex, LearnError, OccupyError};
pub use crate::dedup::{
    Concepts, Dedup, DedupError, DedupParams, DedupStats, Duplicate, Near, Ticket,
};
pub use crate::grid::{ColumnId, Grid, GridError};
pub use crate::guard::{Claim, Claims, CommitError, Reservation};
pub use crate::inhibition::{InhibitionError, InhibitionParams, Settled, inhibit_reference};
pub use crate::membrane::{MembraneParams, Step};
pub use crate::options::{CortexError, CortexOptions};
pub use crate::placement::{Hint, Placement, PlacementError};
pub use crate::prototype::{CODE_DIMENSION, Code, CodeError, normalised};
pub use crate::quality::{trustworthiness, within};
pub use crate::refractory::RefractoryParams;
pub use crate::replayer::Replayer;
pub use crate::request::{
    Allocation, ConceptRequest, Decision, Logged, Observed, Priority, Reserved, Timings,
};
pub use crate::score::{Score, ScoreError, ScoreWeights, Scorer};
pub use crate::state::{ChangeError, Snapshot, State, StateWord};
pub use crate::stats::CortexStats;
pub use crate::stdp::{Connections, ConnectionsFull, StdpParams};
pub use crate::undo::{Committed, Learned, Released};
pub use crate::window::{Replaced, STREAMS_MAX, WINDOW, Window, Windows};
pub use crate::winners::{Contender, Winners};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
