//! Time, chance and disk as traits, each in a real form and a form for tests.
//!
//! Nothing above this crate asks the operating system for the time, for randomness or for a file:
//! it is handed a [`Clock`], a [`Seed`] and a [`Disk`]. So a test can jump a century, replay a run
//! bit for bit, or cut the power between two writes.
//!
//! ```
//! use cortica_env::{Clock, Disk, Keep, ManualClock, Open, SimDisk, Timestamp};
//! use std::path::Path;
//!
//! let clock = ManualClock::new(Timestamp::from_micros(0));
//! clock.advance_micros(1_500);
//! assert_eq!(clock.now().as_micros(), 1_500);
//!
//! // A file that was written but never synced does not survive a power cut.
//! let disk = SimDisk::new();
//! let file = disk.open(Path::new("log"), Open::CreateNew)?;
//! file.write_at(b"hello", 0)?;
//! assert!(disk.power_cut(Keep::Nothing).open(Path::new("log"), Open::Read).is_err());
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(unsafe_code)] // Allowed in `map` alone.

mod clock;
mod disk;
mod image;
mod map;
mod real_disk;
mod seed;
mod sim_disk;
mod sim_file;

pub use crate::clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use crate::disk::{Disk, DiskFile, DiskLock, LockError, Open};
pub use crate::map::Mapped;
pub use crate::real_disk::RealDisk;
pub use crate::seed::{Rng, Seed};
pub use crate::sim_disk::{Keep, SimDisk};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
