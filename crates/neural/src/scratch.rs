//! Working memory of one worker.

use crate::detector::Detector;
use crate::dispatch;
use crate::encoder::Encoder;
use crate::error::InputError;
use crate::integer::Rounded;
use crate::networks::Networks;
use crate::predictor::Predictor;
use cortica_simd::Isa;

/// Samples that the encoder and the predictor work on together: enough to widen weights once for
/// many, and few enough to stay in the second cache.
pub(crate) const TILE: usize = 32;

/// Working memory of one worker, and the instructions it uses. Made once by
/// [`Networks::scratch`]; after that no call of any network allocates. It carries nothing from one
/// call to the next. Networks that need more than those it was made for refuse it, by
/// [`InputError::Length`] of the field `scratch`.
#[derive(Debug)]
pub struct Scratch {
    pub(crate) isa: Isa,
    /// Inputs of a tile of samples: features, or windows step by step.
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
        let rows = [
            Encoder::LAYER_ROWS,
            Predictor::LAYER_ROWS,
            Detector::LAYER_ROWS,
        ];
        let inputs = [
            networks.encoder().layer_inputs(),
            networks.predictor().layer_inputs(),
        ];
        Scratch {
            isa,
            inputs: longest(0),
            first: longest(1),
            second: longest(2),
            third: longest(3),
            fourth: longest(4),
            rounded: Rounded::new(
                isa,
                rows.into_iter().max().unwrap_or_default(),
                // No layer has more inputs, of all rows, than lie in the longest part.
                (0..5).map(longest_of).max().unwrap_or_default(),
                inputs.into_iter().max().unwrap_or_default(),
            ),
        }
    }

    /// Refuses working memory that is too small for a network: it was made for others. `parts` are the
    /// lengths it needs, `longest` the most inputs that one of its layers rounds.
    pub(crate) fn check(&self, parts: [usize; 5], longest: usize) -> Result<(), InputError> {
        let own = [
            &self.inputs,
            &self.first,
            &self.second,
            &self.third,
            &self.fourth,
        ];
        for (part, expected) in own.into_iter().zip(parts) {
            if part.len() < expected {
                InputError::check_length("scratch", part.len(), expected)?;
            }
        }
        let widest = self.rounded.longest();
        if widest < longest {
            InputError::check_length("scratch", widest, longest)?;
        }
        Ok(())
    }

    /// Bytes that it holds, from when it was made on; see [`Networks::scratch`].
    pub fn bytes(&self) -> usize {
        let parts = [
            &self.inputs,
            &self.first,
            &self.second,
            &self.third,
            &self.fourth,
        ];
        let parts: usize = parts.map(|part| size_of_val(&part[..])).iter().sum();
        parts + self.rounded.bytes()
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}
