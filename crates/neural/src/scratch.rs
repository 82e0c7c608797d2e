//! Working memory of one worker.

use crate::code::{CODE, WINDOW};
use crate::detector::Detector;
use crate::dispatch;
use crate::encoder::Encoder;
use crate::integer::Rounded;
use crate::networks::Networks;
use crate::predictor::Predictor;
use cortica_simd::Isa;

/// Samples that are worked on together: what the networks gain from more is less than what leaves
/// the first cache.
pub(crate) const TILE: usize = 8;

/// Working memory of one worker, and the instructions it uses. Made once by
/// [`Networks::scratch`]; after that no call of any network allocates. It carries nothing from one
/// call to the next.
#[derive(Debug)]
pub struct Scratch {
    pub(crate) isa: Isa,
    /// Inputs of [`TILE`] samples: features, or windows step by step.
    pub(crate) inputs: Vec<f32>,
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    pub(crate) third: Vec<f32>,
    pub(crate) fourth: Vec<f32>,
    /// Inputs of one layer.
    pub(crate) rounded: Rounded,
}

impl Scratch {
    pub(crate) fn new(networks: &Networks, isa: Isa) -> Scratch {
        dispatch::look(isa);
        let parts = [
            Encoder::scratch(networks.encoder()),
            Predictor::scratch(networks.predictor()),
            Detector::scratch(networks.detector()),
        ];
        let longest_of = |part: usize| {
            let lengths = parts.iter().map(|lengths| lengths[part]);
            lengths.max().unwrap_or_default()
        };
        let longest = |part: usize| vec![0.0; longest_of(part)];
        Scratch {
            isa,
            inputs: longest(0),
            first: longest(1),
            second: longest(2),
            third: longest(3),
            fourth: longest(4),
            // No layer has more inputs than lie in the longest part.
            rounded: Rounded::new(
                TILE * WINDOW,
                (0..5).map(longest_of).max().unwrap_or_default(),
            ),
        }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}

/// Values of a tile of windows.
pub(crate) const WINDOW_VALUES: usize = TILE * WINDOW * CODE;
