//! Cortica's gates: what must be right, and how fast it must be against which baseline.
//!
//! `cargo xtask perf-check` runs the gates of `gates.toml`; `cargo bench -p cortica-benches` runs
//! the same subjects under criterion. A gate fails only when the machine's noise cannot explain
//! the miss, so a red run means something:
//!
//! ```
//! use cortica_benches::{Estimate, Seed, Verdict, judge_ratio};
//!
//! // Fifteen pairs, each "the baseline's time over the subject's".
//! let ratios: Vec<f64> = (0..15).map(|i| 1.90 + 0.01 * f64::from(i)).collect();
//! let estimate = Estimate::of(&ratios, Seed(1)).ok_or("no samples")?;
//! assert_eq!(judge_ratio(&">= 2".parse()?, &estimate), Verdict::Pass); // 1.97 may well be 2.
//! assert_eq!(judge_ratio(&">= 3".parse()?, &estimate), Verdict::Fail);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

mod gate;
mod machine;
mod record;
pub mod report;
pub mod runner;
pub mod self_test;
mod stats;
mod stopwatch;
mod subject;
pub mod subjects;
mod verdict;

pub use cortica_env::Seed;

pub use crate::gate::{Bar, Clock, Gate, IsaName, Kind, Need, read_gates};
pub use crate::machine::Machine;
pub use crate::record::Record;
pub use crate::stats::{Estimate, RESAMPLES, median};
pub use crate::stopwatch::Stopwatch;
pub use crate::subject::{Divided, Limited, Pair, Run, Scaled, Setup, Subject, Work, in_parallel};
pub use crate::verdict::{
    Outcome, Verdict, WIDTH_MAX, held_to, judge_below, judge_exact, judge_ratio,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
