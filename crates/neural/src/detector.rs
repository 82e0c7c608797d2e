//! Whether the last code of a stream belongs there.

use crate::code::{CODE, Code, WINDOW};
use crate::error::{InputError, WeightsError};
use crate::integer::Rounded;
use crate::matrix::{Matrix, check_bound};
use crate::scratch::Scratch;
use crate::tensors::Tensors;
use crate::window;
use cortica_simd::{Isa, dot, sigmoid};

/// Steps that a layer looks back on, itself included, and how far they lie apart in each.
const TAPS: usize = 3;
const DILATIONS: [usize; 3] = [1, 2, 4];

/// Steps of each layer that the last step of the last layer rests on. The layer before them is
/// looked at by all steps.
const CONE: [&[usize]; 3] = [&[1, 3, 5, 7], &[3, 7], &[7]];
const ALL: [&[usize]; 3] = [&[0, 1, 2, 3, 4, 5, 6, 7]; 3];

/// What a step is described by: its code, its products with the code before, value by value, and
/// its dot products with each code that the window holds before it.
pub(crate) const CHANNELS: usize = 2 * CODE + WINDOW - 1;

/// Windows that are worked on together: what is gained from more is less than what leaves the first
/// cache.
const TILE: usize = 8;

/// Brings values and products of vectors of length 1 to the size of 1.
const VALUE_SCALE: f32 = 8.0;
const PRODUCT_SCALE: f32 = 64.0;

/// A temporal convolutional network (Bai, Kolter & Koltun 2018): causal, dilated, residual.
///
/// ```text
/// s[t] = [8 x[t], 64 x[t] * x[t-1], x[t] . x[t-1], .., x[t] . x[t-7]]
/// y[t] = A s[t] + a
/// y[t] <- relu(y[t] + relu(C [y[t-2d], y[t-d], y[t]] + c))      for d = 1, 2, 4
/// P[t] = sigmoid(v . relu(B y[t] + b) + w)
/// ```
///
/// Steps before the first of eight are zero, at every layer; a window of fewer codes is filled up
/// with zero codes in front. The products are there because whether two codes belong together is a
/// matter of both, which sums of their values cannot say.
#[derive(Debug)]
pub struct Detector {
    lift: Matrix,
    layers: [Matrix; 3],
    hidden: Matrix,
    output: Vec<f32>,
    bias: f32,
}

impl Detector {
    /// The most rows that a layer takes at once.
    pub(crate) const LAYER_ROWS: usize = TILE * WINDOW;

    pub(crate) fn read(file: &mut Tensors<'_>) -> Result<Detector, WeightsError> {
        let width = file.axis("detector.hidden.weight", 1)?;
        let hidden = file.axis("detector.hidden.weight", 0)?;
        let lift = Matrix::read(file, "detector.lift", width, CHANNELS)?;
        let taps = width.saturating_mul(TAPS);
        let mut layer = |name: &str| Matrix::read(file, name, width, taps);
        let layers = [
            layer("detector.layer0")?,
            layer("detector.layer1")?,
            layer("detector.layer2")?,
        ];
        let hidden_layer = Matrix::read(file, "detector.hidden", hidden, width)?;
        let output = file.floats("detector.output.weight", &[1, hidden])?;
        let bias = file.floats("detector.output.bias", &[1])?[0];

        let mut sizes = [f64::from(PRODUCT_SCALE); CHANNELS];
        sizes[..CODE].fill(f64::from(VALUE_SCALE));
        let mut bound = lift.bound("detector.lift", &sizes)?;
        for (at, layer) in layers.iter().enumerate() {
            let name = format!("detector.layer{at}");
            let added = layer.bound(&name, &vec![bound; taps])?;
            bound = check_bound(&name, bound + added)?;
        }
        bound = hidden_layer.bound("detector.hidden", &vec![bound; width])?;
        let sum: f64 = output.iter().map(|&weight| f64::from(weight).abs()).sum();
        check_bound("detector.output", sum * bound + f64::from(bias).abs())?;
        Ok(Detector {
            lift,
            layers,
            hidden: hidden_layer,
            output,
            bias,
        })
    }

    /// Channels of its layers.
    pub fn width(&self) -> usize {
        self.lift.outputs()
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(Matrix::bytes).sum();
        let output = size_of_val(&self.output[..]) + size_of_val(&self.bias);
        self.lift.bytes() + layers + self.hidden.bytes() + output
    }

    /// The probability, in [0, 1], that the last of these codes, oldest first, does not belong
    /// where it stands. The last [`WINDOW`] count. Only what the last step rests on is computed.
    ///
    /// It is not calibrated: windows of other lengths than those it was trained on shift it, so a threshold is to be
    /// chosen on data of one's own.
    ///
    /// # Errors
    ///
    /// [`InputError::Length`] if `scratch` is of smaller networks; [`InputError::NotFinite`] if a value
    /// among the last [`WINDOW`] codes is infinite or not a number.
    ///
    /// # Cost
    ///
    /// O(width * width) for each of seven steps of the layers and O(width) for the window's codes, no allocation.
    pub fn detect(&self, codes: &[Code], scratch: &mut Scratch) -> Result<f32, InputError> {
        let mut exception = 0.0;
        let out = std::slice::from_mut(&mut exception);
        self.detect_tile(0, &[codes], scratch, out)?;
        Ok(exception)
    }

    /// As [`Detector::detect`] for many windows, each with the bits it has alone.
    ///
    /// # Errors
    ///
    /// As [`Detector::detect`], with `at` counted through all windows as they were given, one after the
    /// other; and [`InputError::Length`] if there are not as many `exceptions` as windows. Then what
    /// `exceptions` holds is of no use.
    ///
    /// # Cost
    ///
    /// That of each window, no allocation; weights are read once for up to 32 windows.
    pub fn detect_many(
        &self,
        windows: &[&[Code]],
        scratch: &mut Scratch,
        exceptions: &mut [f32],
    ) -> Result<(), InputError> {
        InputError::check_length("exceptions", exceptions.len(), windows.len())?;
        let tiles = windows.chunks(TILE).zip(exceptions.chunks_mut(TILE));
        let mut first = 0;
        for (windows, exceptions) in tiles {
            self.detect_tile(first, windows, scratch, exceptions)?;
            first += window::codes(windows);
        }
        Ok(())
    }

    /// The probability at each of the eight steps of a window, from the codes up to there; the last
    /// has the bits of [`Detector::detect`]. A shorter window ends at the last step.
    ///
    /// # Errors
    ///
    /// As [`Detector::detect`].
    ///
    /// # Cost
    ///
    /// O(width * width) for each of 24 steps of the layers, no allocation.
    pub fn detect_all(
        &self,
        codes: &[Code],
        scratch: &mut Scratch,
    ) -> Result<[f32; WINDOW], InputError> {
        let mut exceptions = [0.0; WINDOW];
        self.lift_steps(0, &[codes], scratch)?;
        self.convolve(ALL, 1, scratch);
        let rows = &scratch.third[..WINDOW * self.width()];
        self.judge(
            scratch.isa,
            rows,
            &mut scratch.rounded,
            &mut scratch.fourth,
            &mut exceptions,
        );
        Ok(exceptions)
    }

    /// `first` is how many codes came before.
    fn detect_tile(
        &self,
        first: usize,
        windows: &[&[Code]],
        scratch: &mut Scratch,
        exceptions: &mut [f32],
    ) -> Result<(), InputError> {
        let count = windows.len();
        self.lift_steps(first, windows, scratch)?;
        self.convolve(CONE, count, scratch);
        let last = (WINDOW - 1) * count * self.width();
        let rows = &scratch.third[last..][..count * self.width()];
        self.judge(
            scratch.isa,
            rows,
            &mut scratch.rounded,
            &mut scratch.fourth,
            exceptions,
        );
        Ok(())
    }

    /// Fills `scratch.third` with a row of channels for each step and each window, step by step.
    fn lift_steps(
        &self,
        first: usize,
        windows: &[&[Code]],
        scratch: &mut Scratch,
    ) -> Result<(), InputError> {
        scratch.check(self.scratch(), 0)?; // None of its layers rounds.
        let (isa, count) = (scratch.isa, windows.len());
        let steps = window::lay_out(first, windows, isa, &mut scratch.inputs)?;
        // All end at the last step, and what is missing in front is zero.
        let used = WINDOW * count * CODE;
        let missing = (WINDOW - steps) * count * CODE;
        scratch.inputs.copy_within(..used - missing, missing);
        scratch.inputs[..missing].fill(0.0);
        let (codes, _) = scratch.inputs[..used].as_chunks::<CODE>();
        let described = &mut scratch.first[..WINDOW * count * CHANNELS];
        for (at, row) in described.chunks_exact_mut(CHANNELS).enumerate() {
            describe(isa, codes, at, count, row);
        }
        let lifted = &mut scratch.third[..WINDOW * count * self.width()];
        self.lift
            .apply(isa, described, &mut scratch.rounded, lifted);
        Ok(())
    }

    /// Runs all layers over `count` windows in `scratch.third`, at the steps named for each.
    fn convolve(&self, steps: [&[usize]; 3], count: usize, scratch: &mut Scratch) {
        let width = self.width();
        for ((layer, dilation), steps) in self.layers.iter().zip(DILATIONS).zip(steps) {
            let taken = &mut scratch.second[..steps.len() * count * TAPS * width];
            let mut rows = taken.chunks_exact_mut(TAPS * width);
            for &step in steps {
                for (sample, row) in rows.by_ref().take(count).enumerate() {
                    for (tap, values) in row.chunks_exact_mut(width).enumerate() {
                        match step.checked_sub((TAPS - 1 - tap) * dilation) {
                            None => values.fill(0.0),
                            Some(from) => {
                                let at = (from * count + sample) * width;
                                values.copy_from_slice(&scratch.third[at..][..width]);
                            }
                        }
                    }
                }
            }
            let added = &mut scratch.fourth[..steps.len() * count * width];
            layer.apply(scratch.isa, taken, &mut scratch.rounded, added);
            for (step, added) in steps.iter().zip(added.chunks_exact(count * width)) {
                let rows = &mut scratch.third[step * count * width..][..count * width];
                for (value, added) in rows.iter_mut().zip(added) {
                    *value = (*value + added.max(0.0)).max(0.0);
                }
            }
        }
    }

    /// The probability of each row of channels.
    fn judge(
        &self,
        isa: Isa,
        rows: &[f32],
        rounded: &mut Rounded,
        hidden: &mut [f32],
        exceptions: &mut [f32],
    ) {
        let width = self.hidden.outputs();
        let hidden = &mut hidden[..exceptions.len() * width];
        self.hidden.apply(isa, rows, rounded, hidden);
        for (exception, row) in exceptions.iter_mut().zip(hidden.chunks_exact_mut(width)) {
            for value in &mut *row {
                *value = value.max(0.0);
            }
            *exception = dot(isa, row, &self.output) + self.bias;
        }
        sigmoid(isa, exceptions);
    }

    /// The definition of [`Detector::detect_all`], in f64.
    pub fn detect_all_reference(&self, codes: &[Code]) -> Vec<f64> {
        let skipped = codes.len().saturating_sub(WINDOW);
        let mut x = vec![vec![0.0; CODE]; WINDOW.saturating_sub(codes.len())];
        let cut = |code: &Code| code.map(|value| f64::from(value.clamp(-1.0, 1.0))).to_vec();
        x.extend(codes[skipped..].iter().map(cut));
        let before = |rows: &[Vec<f64>], step: usize, back: usize| match step.checked_sub(back) {
            Some(from) => rows[from].clone(),
            None => vec![0.0; rows[0].len()],
        };
        let mut y: Vec<Vec<f64>> = Vec::new();
        for step in 0..WINDOW {
            let mut row: Vec<f64> = x[step].iter().map(|v| f64::from(VALUE_SCALE) * v).collect();
            let pairs = x[step].iter().zip(before(&x, step, 1));
            row.extend(pairs.map(|(a, b)| f64::from(PRODUCT_SCALE) * a * b));
            for back in 1..WINDOW {
                let pairs = x[step].iter().zip(before(&x, step, back));
                row.push(pairs.map(|(a, b)| a * b).sum());
            }
            y.push(self.lift.apply_reference(&row));
        }
        for (layer, dilation) in self.layers.iter().zip(DILATIONS) {
            let next = |step: usize| {
                let taps = (0..TAPS).rev();
                let taken = taps.map(|tap| before(&y, step, tap * dilation));
                let added = layer.apply_reference(&taken.collect::<Vec<_>>().concat());
                let pairs = y[step].iter().zip(added);
                pairs.map(|(v, a)| (v + a.max(0.0)).max(0.0)).collect()
            };
            y = (0..WINDOW).map(next).collect();
        }
        let judge = |row: &Vec<f64>| {
            let hidden = self.hidden.apply_reference(row);
            let pairs = hidden.iter().zip(&self.output);
            let sum: f64 = pairs.map(|(h, &w)| h.max(0.0) * f64::from(w)).sum();
            1.0 / (1.0 + (-sum - f64::from(self.bias)).exp())
        };
        y.iter().map(judge).collect()
    }

    /// Values of each part of the scratch.
    pub(crate) fn scratch(&self) -> [usize; 5] {
        let (width, steps) = (self.width(), TILE * WINDOW);
        [
            steps * CODE,
            steps * CHANNELS,
            steps * TAPS * width,
            steps * width,
            steps * width.max(self.hidden.outputs()),
        ]
    }
}

/// What describes the code at `at`, of windows that lie step by step, `count` to a step.
fn describe(isa: Isa, codes: &[Code], at: usize, count: usize, out: &mut [f32]) {
    let code = &codes[at];
    let (values, rest) = out.split_at_mut(CODE);
    let (products, dots) = rest.split_at_mut(CODE);
    for (out, value) in values.iter_mut().zip(code) {
        *out = VALUE_SCALE * value;
    }
    products.fill(0.0);
    if let Some(before) = at.checked_sub(count) {
        for ((out, value), before) in products.iter_mut().zip(code).zip(&codes[before]) {
            *out = PRODUCT_SCALE * value * before;
        }
    }
    for (back, out) in dots.iter_mut().enumerate() {
        let before = at.checked_sub((back + 1) * count);
        *out = before.map_or(0.0, |before| dot(isa, code, &codes[before]));
    }
}
