//! Three small networks over sentence embeddings, run at the speed of their weights.
//!
//! - An [`Encoder`] makes of features of any dimension a [`Code`] of 64 values, near for what is
//!   near.
//! - A [`Predictor`] says from the last codes of a stream which comes next.
//! - A [`Detector`] says how likely it is that the last code does not belong where it stands.
//!
//! They come trained together from one file ([`Networks`]) that carries a checksum and is refused if
//! anything about it is wrong. Weights never change and are shared; each worker brings its own
//! [`Scratch`], and no call allocates. A batch gives each sample the bits it has alone. Results
//! are finite for every finite input, and what is not finite is refused: a file whose weights
//! could overflow is not loaded.
//!
//! ```
//! use cortica_neural::{Networks, score};
//!
//! # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/networks.safetensors");
//! let networks = Networks::open(&path)?;
//! let mut scratch = networks.scratch(); // One for each worker.
//! let features = vec![0.5; networks.dimension()];
//! let code = networks.encoder().encode(&features, &mut scratch)?;
//!
//! let stream = [code; 3]; // The last codes of a stream, oldest first.
//! let next = networks.predictor().predict(&stream, &mut scratch)?;
//! assert!((0.0..=1.0).contains(&score(scratch.isa(), &next, &code)));
//! let exception = networks.detector().detect(&stream, &mut scratch)?;
//! assert!((0.0..=1.0).contains(&exception));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each network's definition stands with it as `*_reference`, in f64 and source order; what is
//! computed differs from it by roundings.
#![forbid(unsafe_code)]
#![allow(
    clippy::inline_always,
    reason = "a call inside a kernel would drop the target features dispatch turned on"
)]

mod cell;
mod code;
mod detector;
mod dispatch;
mod encoder;
mod error;
mod integer;
mod machine;
mod matrix;
mod networks;
mod places;
mod predictor;
mod product;
mod scratch;
#[cfg(feature = "weights-768")]
mod shipped;
mod sums;
mod tensors;
mod unit;
mod window;

pub use crate::code::{CODE, Code, WINDOW, score, score_reference};
pub use crate::detector::Detector;
pub use crate::encoder::Encoder;
pub use crate::error::{InputError, WeightsError};
pub use crate::networks::{FORMAT, Networks, VERSION};
pub use crate::places::Places;
pub use crate::predictor::{Predictor, State};
pub use crate::scratch::Scratch;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
