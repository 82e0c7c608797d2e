//! From the last codes of a stream to the next.

use crate::cell::advance;
use crate::code::{CODE, Code, WINDOW};
use crate::error::{InputError, WeightsError};
use crate::matrix::Matrix;
use crate::scratch::{Scratch, TILE};
use crate::tensors::Tensors;
use crate::unit::make_unit;
use crate::window;

/// Gates of a cell: what is taken in, what is kept, what is shown, and the candidate.
const GATES: usize = 4;

/// A long short-term memory with forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000), and
/// a linear layer over its last state and the last code:
///
/// ```text
/// i, f, o = sigmoid(X x + b + R h)     g = tanh(X x + b + R h)
/// c <- f c + i g                       h <- o tanh(c)
/// prediction = unit(P [h, x] + p)
/// ```
///
/// The state begins at zero. Values of codes are cut to [-1, 1], where those of an [`Encoder`]
/// lie.
///
/// [`Encoder`]: crate::Encoder
#[derive(Debug)]
pub struct Predictor {
    /// `X`: rows of `i`, `f`, `o` and `g`.
    input: Matrix,
    /// `R`.
    recurrent: Matrix,
    /// `P`.
    output: Matrix,
}

/// What a [`Predictor`] carries from code to code.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    hidden: Vec<f32>,
    cell: Vec<f32>,
    last: Code,
    steps: u64,
}

impl State {
    /// Forgets everything: the state is as new.
    pub fn reset(&mut self) {
        self.hidden.fill(0.0);
        self.cell.fill(0.0);
        self.last.fill(0.0);
        self.steps = 0;
    }

    /// Codes taken in since it was new.
    pub fn steps(&self) -> u64 {
        self.steps
    }
}

impl Predictor {
    /// The most rows that a layer takes at once: all steps of eight windows.
    pub(crate) const LAYER_ROWS: usize = 64;

    pub(crate) fn read(file: &mut Tensors<'_>) -> Result<Predictor, WeightsError> {
        let hidden = file.axis("predictor.recurrent.weight", 1)?;
        let gates = hidden.saturating_mul(GATES);
        if !hidden.is_multiple_of(crate::product::PANEL) {
            return Err(WeightsError::Shape {
                name: "predictor.recurrent.weight".to_owned(),
                got: vec![gates, hidden],
                expected: "a multiple of 16 hidden values".to_owned(),
            });
        }
        let input = Matrix::read(file, "predictor.input", gates, CODE)?;
        let recurrent = Matrix::read_without_bias(file, "predictor.recurrent", gates, hidden)?;
        let output = Matrix::read(file, "predictor.output", CODE, hidden.saturating_add(CODE))?;
        let taken_in = input.bound("predictor.input", &[1.0; CODE])?;
        let kept = recurrent.bound("predictor.recurrent", &vec![1.0; hidden])?;
        crate::matrix::check_bound("predictor", taken_in + kept)?;
        output.bound("predictor.output", &vec![1.0; hidden + CODE])?;
        Ok(Predictor {
            input: input.rounding(),
            recurrent: recurrent.rounding(),
            output: output.rounding(),
        })
    }

    /// Values of the hidden state.
    pub fn hidden(&self) -> usize {
        self.recurrent.inputs()
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> usize {
        self.input.bytes() + self.recurrent.bytes() + self.output.bytes()
    }

    /// A new state. This allocates; steps and predictions do not.
    pub fn state(&self) -> State {
        State {
            hidden: vec![0.0; self.hidden()],
            cell: vec![0.0; self.hidden()],
            last: [0.0; CODE],
            steps: 0,
        }
    }

    /// Takes one code into a state that this predictor made; values beyond 1 count as 1.
    ///
    /// # Errors
    ///
    /// [`InputError::Length`] if `state` is of another predictor or `scratch` of smaller networks;
    /// [`InputError::NotFinite`] if a value of `code` is infinite or not a number. The state is as it was.
    ///
    /// # Cost
    ///
    /// O(hidden * (64 + hidden)), no allocation.
    pub fn step(
        &self,
        state: &mut State,
        code: &Code,
        scratch: &mut Scratch,
    ) -> Result<(), InputError> {
        InputError::check_length("state", state.hidden.len(), self.hidden())?;
        scratch.check(self.scratch(), self.layer_inputs())?;
        let mut last = *code;
        window::cut("code", || 0, scratch.isa, &mut last)?;
        let gates = self.input.outputs();
        let projected = &mut scratch.first[..gates];
        self.input
            .apply(scratch.isa, &last, &mut scratch.rounded, projected);
        let sums = &mut scratch.second[..gates];
        self.recurrent.apply_onto(
            scratch.isa,
            &state.hidden,
            &mut scratch.rounded,
            projected,
            sums,
        );
        advance(scratch.isa, sums, &mut state.cell, &mut state.hidden);
        state.last = last;
        state.steps += 1;
        Ok(())
    }

    /// The code that a state leads to expect; the zero vector, which [`score`](crate::score)s 0.5
    /// with everything, if it has taken in nothing.
    ///
    /// # Errors
    ///
    /// [`InputError::Length`] if `state` is of another predictor or `scratch` of smaller networks.
    ///
    /// # Cost
    ///
    /// O(hidden), no allocation.
    pub fn prediction(&self, state: &State, scratch: &mut Scratch) -> Result<Code, InputError> {
        InputError::check_length("state", state.hidden.len(), self.hidden())?;
        scratch.check(self.scratch(), self.layer_inputs())?;
        let mut code = [0.0; CODE];
        if state.steps > 0 {
            let shown = &mut scratch.third[..self.output.inputs()];
            shown[..state.hidden.len()].copy_from_slice(&state.hidden);
            shown[state.hidden.len()..].copy_from_slice(&state.last);
            self.output
                .apply(scratch.isa, shown, &mut scratch.rounded, &mut code);
            make_unit(scratch.isa, &mut code);
        }
        Ok(code)
    }

    /// The code that should come after these, oldest first, of which the last [`WINDOW`] count: a
    /// new state that has taken them in gives the same bits. After none, the zero vector.
    ///
    /// # Errors
    ///
    /// [`InputError::Length`] if `scratch` is of smaller networks; [`InputError::NotFinite`] if a value
    /// among the last [`WINDOW`] codes is infinite or not a number.
    ///
    /// # Cost
    ///
    /// That of a step for each code that counts, no allocation.
    pub fn predict(&self, codes: &[Code], scratch: &mut Scratch) -> Result<Code, InputError> {
        let mut code = [0.0; CODE];
        self.predict_tile(0, &[codes], scratch, std::slice::from_mut(&mut code))?;
        Ok(code)
    }

    /// As [`Predictor::predict`] for many windows, each with the bits it has alone.
    ///
    /// # Errors
    ///
    /// As [`Predictor::predict`], with `at` counted through all windows as they were given, one after the
    /// other; and [`InputError::Length`] if there are not as many `predictions` as windows. Then what
    /// `predictions` holds is of no use.
    ///
    /// # Cost
    ///
    /// That of each window, no allocation; weights are read once for up to 32 windows.
    pub fn predict_many(
        &self,
        windows: &[&[Code]],
        scratch: &mut Scratch,
        predictions: &mut [Code],
    ) -> Result<(), InputError> {
        InputError::check_length("predictions", predictions.len(), windows.len())?;
        let tiles = windows.chunks(TILE).zip(predictions.chunks_mut(TILE));
        let mut first = 0;
        for (windows, predictions) in tiles {
            self.predict_tile(first, windows, scratch, predictions)?;
            first += window::codes(windows);
        }
        Ok(())
    }

    /// `first` is how many codes came before.
    fn predict_tile(
        &self,
        first: usize,
        windows: &[&[Code]],
        scratch: &mut Scratch,
        predictions: &mut [Code],
    ) -> Result<(), InputError> {
        scratch.check(self.scratch(), self.layer_inputs())?;
        let (isa, count) = (scratch.isa, windows.len());
        let (gates, hidden) = (self.input.outputs(), self.hidden());
        // Step by step, all windows ending together; before a window begins its rows are zero.
        let steps = window::lay_out(first, windows, isa, &mut scratch.inputs)?;
        let inputs = &scratch.inputs[..steps * count * CODE];
        let state = &mut scratch.third[..count * hidden];
        let cell = &mut scratch.fourth[..count * hidden];
        state.fill(0.0);
        cell.fill(0.0);
        let sums = &mut scratch.second[..count * gates];
        let mut step = 0;
        // Some steps at once: their weights are read once for all of them.
        for inputs in inputs.chunks(Self::LAYER_ROWS / count * count * CODE) {
            let projected = &mut scratch.first[..inputs.len() / CODE * gates];
            self.input
                .apply(isa, inputs, &mut scratch.rounded, projected);
            for projected in projected.chunks_exact(count * gates) {
                if step == 0 {
                    sums.copy_from_slice(projected); // The state is zero.
                } else {
                    self.recurrent
                        .apply_onto(isa, state, &mut scratch.rounded, projected, sums);
                }
                for (sample, window) in windows.iter().enumerate() {
                    if window.len() + step >= steps {
                        let place = sample * hidden..(sample + 1) * hidden;
                        let sums = &mut sums[sample * gates..][..gates];
                        advance(isa, sums, &mut cell[place.clone()], &mut state[place]);
                    }
                }
                step += 1;
            }
        }
        let last = &inputs[steps.saturating_sub(1) * count * CODE..];
        let shown = &mut scratch.first[..count * (hidden + CODE)];
        for (at, shown) in shown.chunks_exact_mut(hidden + CODE).enumerate() {
            shown[..hidden].copy_from_slice(&state[at * hidden..][..hidden]);
            let last = last.get(at * CODE..).and_then(|rest| rest.get(..CODE));
            shown[hidden..].copy_from_slice(last.unwrap_or(&[0.0; CODE]));
        }
        self.output.apply(
            isa,
            shown,
            &mut scratch.rounded,
            predictions.as_flattened_mut(),
        );
        for (window, prediction) in windows.iter().zip(predictions) {
            if window.is_empty() {
                prediction.fill(0.0);
            } else {
                make_unit(isa, prediction);
            }
        }
        Ok(())
    }

    /// The definition of [`Predictor::predict`], in f64.
    pub fn predict_reference(&self, codes: &[Code]) -> Vec<f64> {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let hidden = self.hidden();
        let (mut h, mut c) = (vec![0.0; hidden], vec![0.0; hidden]);
        let mut last = vec![0.0; CODE];
        for code in &codes[codes.len().saturating_sub(WINDOW)..] {
            last = code
                .iter()
                .map(|&x| f64::from(x.clamp(-1.0, 1.0)))
                .collect();
            let input = self.input.apply_reference(&last);
            let recurrent = self.recurrent.apply_reference(&h);
            let sum =
                |gate: usize, at: usize| input[gate * hidden + at] + recurrent[gate * hidden + at];
            for at in 0..hidden {
                c[at] = sigmoid(sum(1, at)) * c[at] + sigmoid(sum(0, at)) * sum(3, at).tanh();
                h[at] = sigmoid(sum(2, at)) * c[at].tanh();
            }
        }
        if codes.is_empty() {
            return vec![0.0; CODE];
        }
        h.extend(last);
        crate::unit::unit_reference(self.output.apply_reference(&h).into_iter())
    }

    /// Inputs of its widest layer.
    pub(crate) fn layer_inputs(&self) -> usize {
        self.output.inputs()
    }

    /// Values of each part of the scratch.
    pub(crate) fn scratch(&self) -> [usize; 5] {
        let (gates, hidden) = (self.input.outputs(), self.hidden());
        let shown = TILE * (hidden + CODE);
        [
            TILE * WINDOW * CODE,
            shown.max(Self::LAYER_ROWS * gates),
            TILE * gates,
            shown,
            TILE * hidden,
        ]
    }
}
