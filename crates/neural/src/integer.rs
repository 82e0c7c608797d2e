//! Matrices of i8 weights times inputs that are rounded to i16 for it.
//!
//! Sums of whole numbers are exact, so they come out the same in any order, on any instruction set,
//! alone and in a batch. What the rounding of inputs costs is half a step of 1/32,767 of the
//! largest in the row: a tenth of what i8 weights cost, and it lets one instruction do twice the
//! work of one on f32.
//!
//! Weights are packed in panels of [`PANEL`] outputs; within a panel lie, pair after pair of inputs,
//! the two weights of each output side by side. An odd number of inputs is filled up with zeros.

use crate::dispatch::{run, run_with_vnni};
use crate::machine::{PAIR, Pair, WidePair};
use crate::product::PANEL;
use crate::sums::{self, Sums};
use cortica_simd::Isa;
use pulp::{Simd, WithSimd};

/// The largest input after rounding.
const INPUT_MAX: f32 = 32_767.0;

/// Added to a float of at most [`INPUT_MAX`], it leaves the nearest whole number in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// Inputs, rounded row by row, and what a step of each row is worth.
#[derive(Debug)]
pub(crate) struct Rounded {
    values: Vec<i16>,
    steps: Vec<f32>,
    /// A panel of weights as i16, for kernels that widen it once for many rows.
    wide: Vec<WidePair>,
    /// The most inputs of a row.
    longest: usize,
}

impl Rounded {
    /// Room for so many rows, so many values in all of them, and so many in the longest.
    pub(crate) fn new(isa: Isa, rows: usize, values: usize, longest: usize) -> Rounded {
        let pairs = if sums::widens(isa) {
            longest.div_ceil(2)
        } else {
            0
        };
        Rounded {
            values: vec![0; values + rows], // A row of odd length takes one more.
            steps: vec![0.0; rows],
            wide: vec![WidePair([0; PAIR]); pairs],
            longest,
        }
    }

    /// The most inputs of a row that there is room for.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    pub(crate) fn bytes(&self) -> usize {
        let (values, steps) = (&self.values[..], &self.steps[..]);
        size_of_val(values) + size_of_val(steps) + size_of_val(&self.wide[..])
    }

    /// Makes each row as many times as large.
    pub(crate) fn scale(&mut self, row: usize, factor: f32) {
        self.steps[row] *= factor;
    }
}

/// i8 weights in panels, and a scale for each output.
#[derive(Debug)]
pub(crate) struct Weights {
    packed: Vec<Pair>,
    scales: Vec<f32>,
    inputs: usize,
}

impl Weights {
    /// From rows of `inputs` weights, one for each scale: a whole number of panels.
    pub(crate) fn pack(rows: &[i8], inputs: usize, scales: Vec<f32>) -> Weights {
        let mut packed = Vec::with_capacity(scales.len() / PANEL * inputs.div_ceil(2));
        for panel in rows.chunks_exact(PANEL * inputs) {
            for from in (0..inputs).step_by(2) {
                let mut pair = Pair([0; PAIR]);
                for (lane, columns) in pair.0.chunks_exact_mut(2).enumerate() {
                    let row = &panel[lane * inputs..][..inputs];
                    for (column, &weight) in columns.iter_mut().zip(&row[from..]) {
                        *column = weight;
                    }
                }
                packed.push(pair);
            }
        }
        Weights {
            packed,
            scales,
            inputs,
        }
    }

    /// The weight of `input` in the sum `output`, without its scale.
    pub(crate) fn weight(&self, output: usize, input: usize) -> i8 {
        let (panel, lane) = (output / PANEL, output % PANEL);
        let pair = panel * self.inputs.div_ceil(2) + input / 2;
        self.packed[pair].0[2 * lane + input % 2]
    }

    pub(crate) fn scale(&self, output: usize) -> f32 {
        self.scales[output]
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.packed[..]) + size_of_val(&self.scales[..])
    }

    /// Sums for each row of inputs. To each row of them a row of `addends` is added; the only one
    /// to all, if there is only one.
    pub(crate) fn apply(
        &self,
        isa: Isa,
        inputs: &[f32],
        rounded: &mut Rounded,
        addends: &[f32],
        out: &mut [f32],
    ) {
        let count = inputs.len() / self.inputs.max(1);
        self.round(isa, 0, inputs, rounded);
        self.multiply(isa, count, rounded, addends, out);
    }

    /// Rounds rows of inputs, the first of them to row `at`.
    pub(crate) fn round(&self, isa: Isa, at: usize, inputs: &[f32], rounded: &mut Rounded) {
        let count = inputs.len() / self.inputs.max(1);
        let width = self.inputs.next_multiple_of(2);
        run(
            isa,
            Round {
                inputs,
                width: self.inputs,
                values: &mut rounded.values[at * width..][..count * width],
                steps: &mut rounded.steps[at..at + count],
            },
        );
    }

    /// Sums for `count` rows that were rounded; see [`Weights::apply`].
    pub(crate) fn multiply(
        &self,
        isa: Isa,
        count: usize,
        rounded: &mut Rounded,
        addends: &[f32],
        out: &mut [f32],
    ) {
        run_with_vnni(isa, self.sums(count, rounded, addends, out));
    }

    fn sums<'a>(
        &'a self,
        count: usize,
        rounded: &'a mut Rounded,
        addends: &'a [f32],
        out: &'a mut [f32],
    ) -> Sums<'a> {
        let width = self.inputs.div_ceil(2);
        let values = &rounded.values[..2 * count * width];
        let outputs = self.scales.len();
        Sums {
            packed: &self.packed,
            scales: &self.scales,
            width,
            inputs: values.as_chunks().0,
            steps: &rounded.steps[..count],
            wide: &mut rounded.wide,
            addends,
            stride: if addends.len() > outputs { outputs } else { 0 },
            out,
        }
    }
}

struct Round<'a> {
    inputs: &'a [f32],
    width: usize,
    values: &'a mut [i16],
    steps: &'a mut [f32],
}

impl WithSimd for Round<'_> {
    type Output = ();

    // Plain code: inlined where the wide instructions are on, the compiler uses them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let rows = self.inputs.chunks_exact(self.width);
        let out = self.values.chunks_exact_mut(self.width.next_multiple_of(2));
        for ((row, out), step) in rows.zip(out).zip(self.steps) {
            // Of floats without their sign, the greatest has the greatest bits.
            let size = |value: &f32| value.to_bits() & 0x7fff_ffff;
            let largest = f32::from_bits(row.iter().map(size).fold(0, u32::max));
            let factor = if largest > f32::MIN_POSITIVE * INPUT_MAX {
                INPUT_MAX / largest
            } else {
                0.0
            };
            for (out, value) in out.iter_mut().zip(row) {
                *out = ((value * factor) + ROUNDER).to_bits() as i16;
            }
            if let Some(last) = out.get_mut(row.len()) {
                *last = 0;
            }
            *step = largest / INPUT_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sums::BLOCK;

    /// Whole numbers that neither repeat nor grow, some of them the largest there are.
    fn spread(count: usize, size: i32) -> impl Iterator<Item = i32> {
        let value = move |at: usize| match at % 11 {
            0 => size,
            1 => -size,
            _ => (at * 7_919 + 13) as i32 % (2 * size + 1) - size,
        };
        (0..count).map(value)
    }

    /// Every sum, on every instruction set, is what whole numbers of any size would give.
    #[track_caller]
    fn check(inputs: usize, outputs: usize, rows: usize) {
        let weights: Vec<i8> = spread(outputs * inputs, 127).map(|w| w as i8).collect();
        let scales: Vec<f32> = (0..outputs).map(|at| 1.0 / (at + 1) as f32).collect();
        let packed = Weights::pack(&weights, inputs, scales.clone());
        assert_eq!(
            packed.bytes(),
            outputs * inputs.next_multiple_of(2) + 4 * outputs
        );
        // Inputs that are whole numbers already, the largest of each row being what it is.
        let mut values: Vec<f32> = spread(rows * inputs, 32_766).map(|v| v as f32).collect();
        values
            .iter_mut()
            .step_by(inputs)
            .for_each(|value| *value = INPUT_MAX);
        let addends: Vec<f32> = spread(rows * outputs, 99).map(|a| a as f32).collect();
        for isa in Isa::available() {
            let mut rounded = Rounded::new(isa, rows, values.len(), inputs);
            let mut out = vec![f32::NAN; rows * outputs];
            packed.apply(isa, &values, &mut rounded, &addends, &mut out);
            // The same sums without what the set may have beyond itself.
            let mut plain = vec![f32::NAN; rows * outputs];
            run(isa, packed.sums(rows, &mut rounded, &addends, &mut plain));
            assert_eq!(out, plain, "{isa} {inputs}");
            for (at, got) in out.iter().enumerate() {
                let (row, output) = (at / outputs, at % outputs);
                let terms = (0..inputs).map(|input| {
                    assert_eq!(
                        packed.weight(output, input),
                        weights[output * inputs + input]
                    );
                    i64::from(weights[output * inputs + input])
                        * values[row * inputs + input] as i64
                });
                let terms: Vec<i64> = terms.collect();
                let blocks = terms
                    .chunks(2 * BLOCK)
                    .map(|block| block.iter().sum::<i64>());
                let sum = blocks.fold(0.0, |sum, block| sum + block as f32);
                let want = sum * scales[output] + addends[at];
                assert_eq!(
                    got.to_bits(),
                    want.to_bits(),
                    "{isa} {inputs} {at}: {got} {want}"
                );
            }
        }
    }

    #[test]
    fn sums_are_exact_for_every_width() {
        for inputs in (1..40).chain([511, 512, 513, 768, 1_023, 1_024, 1_025]) {
            check(inputs, 48, inputs % 10);
        }
        for panels in 1..10 {
            check(7, panels * PANEL, 5);
        }
        // As many rows as make it worthwhile to widen weights once for all of them.
        for rows in 14..24 {
            check(29, 48, rows);
        }
        check(1_025, 32, 35);
    }

    /// The largest weights and inputs all at once stay below where whole numbers end.
    #[test]
    fn the_largest_block_does_not_overflow() {
        let inputs = 2 * BLOCK;
        let packed = Weights::pack(&vec![-128; inputs * PANEL], inputs, vec![1.0; PANEL]);
        for isa in Isa::available() {
            let mut rounded = Rounded::new(isa, 1, inputs, inputs);
            let mut out = [0.0; PANEL];
            packed.apply(
                isa,
                &vec![1.0; inputs],
                &mut rounded,
                &[0.0; PANEL],
                &mut out,
            );
            assert!(
                out.iter().all(|sum| (sum / -65_536.0 - 1.0).abs() < 1e-6),
                "{out:?}"
            );
        }
    }

    #[test]
    fn rows_of_zeros_give_the_addends() {
        let packed = Weights::pack(&[1; 3 * PANEL], 3, vec![1.0; PANEL]);
        for inputs in [[0.0; 3], [f32::MIN_POSITIVE, -0.0, 1e-45]] {
            let mut rounded = Rounded::new(Isa::best(), 1, 3, 3);
            let mut out = [0.0; PANEL];
            packed.apply(Isa::best(), &inputs, &mut rounded, &[5.0; PANEL], &mut out);
            assert_eq!(out, [5.0; PANEL]);
        }
    }
}
