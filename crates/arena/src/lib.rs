//! Memory that is got once and used again: pools, rows, scratch, budgets, and where it all lies.
//!
//! | | what for | threads |
//! |---|---|---|
//! | [`Pool`] | objects that are costly to make | any number; each has magazines of its own |
//! | [`VectorArena`] | vectors that are read while others are written | readers without locks |
//! | [`Scratch`] | what a worker needs for a moment | one |
//! | [`ByteBudget`] | a bound on memory, in bytes | any number |
//! | [`MemoryPressure`], [`QueuePressure`] | levels to act on | any number |
//! | [`Topology`], [`Pinned`] | processors, and the memory next to them | - |
//!
//! After they have been used a little, none of them allocates. Bounds are hard: what does not fit
//! is refused by an error that says how much would.
//!
//! ```
//! use cortica_arena::{ByteBudget, Pool, Scratch, VectorArena};
//!
//! let arena = VectorArena::<f32>::new(2)?;
//! let row = arena.add(&[3.0, 4.0])?;
//! assert_eq!(arena.read().get(row), Some(&[3.0, 4.0][..]));
//!
//! let buffers = Pool::new(64, || vec![0_u8; 4_096]);
//! buffers.get()[0] = 1; // Back in the pool at the end of the statement.
//!
//! let mut scratch = Scratch::new(1 << 16)?;
//! assert_eq!(scratch.filled(3, 0.5_f32)?, [0.5; 3]);
//! scratch.reset();
//!
//! let budget = ByteBudget::new(1 << 20);
//! let permit = budget.acquire(1 << 19)?;
//! assert!(budget.try_acquire((1 << 19) + 1).is_err());
//! # drop(permit);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod bits;
mod budget;
mod cpu_list;
mod depot;
mod directory;
mod element;
mod local;
mod memory;
mod placement;
mod pool;
mod pressure;
mod rack;
mod reader;
mod reserved;
mod scratch;
mod segment;
mod sync;
mod topology;
mod vector_errors;
mod vectors;

pub use crate::budget::{BudgetError, BudgetStats, ByteBudget, Permit};
pub use crate::element::Element;
pub use crate::placement::{PinError, Pinned, current_cpu, first_touch};
pub use crate::pool::{Pool, PoolStats, Pooled};
pub use crate::pressure::{Level, Memory, MemoryPressure, Pressure, QueuePressure, Queued};
pub use crate::reader::{Reader, Run, Runs};
pub use crate::reserved::Reserved;
pub use crate::scratch::{Scratch, ScratchError};
#[cfg(loom)]
#[doc(hidden)]
pub use crate::sync::slept;
pub use crate::topology::{Node, Topology, TopologyError};
pub use crate::vector_errors::{AddError, DimensionError, FreeError, RoomError};
pub use crate::vectors::{ArenaOptions, ArenaStats, ROW_VALUES_MAX, Row, VectorArena};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
