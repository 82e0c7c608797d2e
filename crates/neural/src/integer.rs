//! Matrices of i8 weights times inputs that are rounded to i16 for it.
//!
//! Sums of whole numbers are exact, so they come out the same in any order, on any instruction set,
//! alone and in a batch. What the rounding of inputs costs is half a step of 1/32,767 of the
//! largest in the row: a tenth of what i8 weights cost, and it lets one instruction do twice the
//! work of one on f32.
//!
//! Weights are packed in panels of [`PANEL`] outputs; within a panel lie, pair after pair of inputs,
//! the two weights of each output side by side. Of an odd number of inputs the last is a half pair.

use crate::dispatch::{run, run_with_vnni};
use crate::machine::{Machine, PAIR, Portable};
use crate::product::PANEL;
use cortica_simd::Isa;
use pulp::{Simd, WithSimd};

/// Pairs whose products fit into a sum of 32 bits: 512 x 128 x 32,767 < 2^31.
const BLOCK: usize = 256;

/// The largest input after rounding.
const INPUT_MAX: f32 = 32_767.0;

/// Added to a float of at most [`INPUT_MAX`], it leaves the nearest whole number in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// Inputs, rounded row by row, and what a step of each row is worth.
#[derive(Debug)]
pub(crate) struct Rounded {
    values: Vec<i16>,
    steps: Vec<f32>,
}

impl Rounded {
    /// Room for so many rows, and so many values in all of them.
    pub(crate) fn new(rows: usize, values: usize) -> Rounded {
        Rounded {
            values: vec![0; values + rows], // A row of odd length takes one more.
            steps: vec![0.0; rows],
        }
    }

    /// Makes each row as many times as large.
    pub(crate) fn scale(&mut self, row: usize, factor: f32) {
        self.steps[row] *= factor;
    }
}

/// i8 weights in panels, and a scale for each output.
#[derive(Debug)]
pub(crate) struct Weights {
    packed: Vec<i8>,
    scales: Vec<f32>,
    inputs: usize,
}

impl Weights {
    /// From rows of `inputs` weights, one for each scale: a whole number of panels.
    pub(crate) fn pack(rows: &[i8], inputs: usize, scales: Vec<f32>) -> Weights {
        let mut packed = Vec::with_capacity(rows.len());
        for panel in rows.chunks_exact(PANEL * inputs) {
            for from in (0..inputs).step_by(2) {
                let columns = 2.min(inputs - from);
                let of = |lane: usize| &panel[lane * inputs + from..][..columns];
                packed.extend((0..PANEL).flat_map(of));
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
        let pair = panel * PANEL * self.inputs + input / 2 * PAIR;
        // The half pair of an odd number of inputs has one column.
        let columns = 2.min(self.inputs - input / 2 * 2);
        self.packed[pair + lane * columns + input % 2]
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
        rounded: &Rounded,
        addends: &[f32],
        out: &mut [f32],
    ) {
        run_with_vnni(isa, self.products(count, rounded, addends, out));
    }

    fn products<'a>(
        &'a self,
        count: usize,
        rounded: &'a Rounded,
        addends: &'a [f32],
        out: &'a mut [f32],
    ) -> Products<'a> {
        let width = self.inputs.next_multiple_of(2);
        let values = &rounded.values[..count * width];
        let outputs = self.scales.len();
        let stride = if addends.len() > outputs { outputs } else { 0 };
        Products {
            weights: self,
            inputs: values.as_chunks().0,
            steps: &rounded.steps[..count],
            addends,
            stride,
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

struct Products<'a> {
    weights: &'a Weights,
    inputs: &'a [[i16; 2]],
    steps: &'a [f32],
    addends: &'a [f32],
    stride: usize,
    out: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)] // A call here would drop the target features `vectorize` turned on.
    fn with_simd<S: Simd>(mut self, simd: S) {
        // Which of them `simd` is, is known when this is compiled.
        #[cfg(target_arch = "x86_64")]
        {
            let any: &dyn std::any::Any = &simd;
            if let Some(&v4) = any.downcast_ref::<pulp::x86::V4>() {
                // Sixteen sums, each load shared by as many of them as there is room for.
                let row = self.group::<_, _, 1, 8, 2>(simd, v4, 0);
                let row = self.group::<_, _, 1, 4, 4>(simd, v4, row);
                self.group::<_, _, 1, 1, 8>(simd, v4, row);
                return;
            }
            if let Some(&v3) = any.downcast_ref::<pulp::x86::V3>() {
                let row = self.group::<_, _, 2, 4, 1>(simd, v3, 0);
                self.group::<_, _, 2, 1, 2>(simd, v3, row);
                return;
            }
        }
        self.group::<_, _, 1, 1, 1>(simd, Portable, 0);
    }
}

impl Products<'_> {
    /// `N` rows together take `T` panels at a time, which stay in the first cache until all rows
    /// have had them. From row `start` on, as many as make whole groups; gives the row after them.
    #[inline(always)]
    fn group<S: Simd, M: Machine<V>, const V: usize, const N: usize, const T: usize>(
        &mut self,
        simd: S,
        machine: M,
        start: usize,
    ) -> usize {
        let panels = self.weights.scales.len() / PANEL;
        let end = start + (self.steps.len() - start) / N * N;
        if start == end {
            return end;
        }
        let mut panel = 0;
        while panel + T <= panels {
            for row in (start..end).step_by(N) {
                self.block::<S, M, V, N, T>(simd, machine, row, panel);
            }
            panel += T;
        }
        if T > 4 && panel + 4 <= panels {
            for row in (start..end).step_by(N) {
                self.block::<S, M, V, N, 4>(simd, machine, row, panel);
            }
            panel += 4;
        }
        while panel < panels {
            for row in (start..end).step_by(N) {
                self.block::<S, M, V, N, 1>(simd, machine, row, panel);
            }
            panel += 1;
        }
        end
    }

    /// `T` panels from number `panel` on, for `N` rows from number `row` on.
    #[inline(always)]
    fn block<S: Simd, M: Machine<V>, const V: usize, const N: usize, const T: usize>(
        &mut self,
        simd: S,
        machine: M,
        row: usize,
        panel: usize,
    ) {
        let width = self.weights.inputs.div_ceil(2);
        let length = self.weights.inputs * PANEL;
        let mut panels = [(&[][..], &[][..]); T];
        for (at, place) in panels.iter_mut().enumerate() {
            *place = self.weights.packed[(panel + at) * length..][..length].as_chunks::<PAIR>();
        }
        let mut rows = [&[][..]; N];
        for (at, place) in rows.iter_mut().enumerate() {
            *place = &self.inputs[(row + at) * width..][..width];
        }
        let mut totals = [[[0.0_f32; PANEL]; T]; N];
        let whole = self.weights.inputs / 2;
        let mut from = 0;
        while from < width {
            let to = width.min(from + BLOCK);
            let count = to.min(whole) - from;
            // Loops, not `map`: a call would drop the target features.
            let mut weights = [&[][..]; T];
            for (weights, panel) in weights.iter_mut().zip(panels) {
                *weights = &panel.0[from..][..count];
            }
            let mut inputs = [&[][..]; N];
            for (inputs, row) in inputs.iter_mut().zip(rows) {
                *inputs = &row[from..][..count];
            }
            let mut sums = [[[machine.zero(); V]; T]; N];
            let mut loaded = [[machine.zero(); V]; T];
            let mut pairs = [[0; 2]; N];
            for pair in 0..count {
                for (loaded, weights) in loaded.iter_mut().zip(weights) {
                    *loaded = machine.widen(&weights[pair]);
                }
                for (pairs, inputs) in pairs.iter_mut().zip(inputs) {
                    *pairs = inputs[pair];
                }
                add::<M, V, N, T>(machine, &loaded, &pairs, &mut sums);
            }
            if to > whole {
                for (loaded, panel) in loaded.iter_mut().zip(panels) {
                    let mut halves = [0; PAIR];
                    for (pair, &weight) in halves.chunks_exact_mut(2).zip(panel.1) {
                        pair[0] = weight;
                    }
                    *loaded = machine.widen(&halves);
                }
                for (pairs, row) in pairs.iter_mut().zip(rows) {
                    *pairs = row[whole];
                }
                add::<M, V, N, T>(machine, &loaded, &pairs, &mut sums);
            }
            for (totals, sums) in totals.iter_mut().zip(sums) {
                for (total, sum) in totals.iter_mut().zip(sums) {
                    let sum = machine.floats(sum);
                    let (sum, _) = S::as_simd_f32s(&sum);
                    let (total, _) = S::as_mut_simd_f32s(total);
                    for (total, sum) in total.iter_mut().zip(sum) {
                        *total = simd.add_f32s(*total, *sum);
                    }
                }
            }
            from = to;
        }
        let outputs = self.weights.scales.len();
        for (at, totals) in totals.iter().enumerate() {
            let (row, place) = (row + at, panel * PANEL..(panel + T) * PANEL);
            let (scales, _) = S::as_simd_f32s(&self.weights.scales[place.clone()]);
            let addends = &self.addends[row * self.stride..][place.clone()];
            let (addends, _) = S::as_simd_f32s(addends);
            let (out, _) = S::as_mut_simd_f32s(&mut self.out[row * outputs..][place]);
            let (totals, _) = S::as_simd_f32s(totals.as_flattened());
            let step = simd.splat_f32s(self.steps[row]);
            let terms = totals.iter().zip(scales).zip(addends);
            for (out, ((total, scale), addend)) in out.iter_mut().zip(terms) {
                let sum = simd.mul_f32s(simd.mul_f32s(*total, step), *scale);
                *out = simd.add_f32s(sum, *addend);
            }
        }
    }
}

/// Adds the products of a pair of inputs of each row to its sums.
#[inline(always)]
fn add<M: Machine<V>, const V: usize, const N: usize, const T: usize>(
    machine: M,
    loaded: &[[M::Register; V]; T],
    pairs: &[[i16; 2]; N],
    sums: &mut [[[M::Register; V]; T]; N],
) {
    for (pair, sums) in pairs.iter().zip(sums) {
        let pair = machine.everywhere(*pair);
        for (loaded, sums) in loaded.iter().zip(sums) {
            for (loaded, sum) in loaded.iter().zip(sums) {
                *sum = machine.add_products(*loaded, pair, *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(packed.bytes(), outputs * inputs + 4 * outputs);
        // Inputs that are whole numbers already, the largest of each row being what it is.
        let mut values: Vec<f32> = spread(rows * inputs, 32_766).map(|v| v as f32).collect();
        values
            .iter_mut()
            .step_by(inputs)
            .for_each(|value| *value = INPUT_MAX);
        let addends: Vec<f32> = spread(rows * outputs, 99).map(|a| a as f32).collect();
        for isa in Isa::available() {
            let mut rounded = Rounded::new(rows, values.len());
            let mut out = vec![f32::NAN; rows * outputs];
            packed.apply(isa, &values, &mut rounded, &addends, &mut out);
            // The same sums without what the set may have beyond itself.
            let mut plain = vec![f32::NAN; rows * outputs];
            run(isa, packed.products(rows, &rounded, &addends, &mut plain));
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
    }

    /// The largest weights and inputs all at once stay below where whole numbers end.
    #[test]
    fn the_largest_block_does_not_overflow() {
        let inputs = 2 * BLOCK;
        let packed = Weights::pack(&vec![-128; inputs * PANEL], inputs, vec![1.0; PANEL]);
        for isa in Isa::available() {
            let mut rounded = Rounded::new(1, inputs);
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
            let mut rounded = Rounded::new(1, 3);
            let mut out = [0.0; PANEL];
            packed.apply(Isa::best(), &inputs, &mut rounded, &[5.0; PANEL], &mut out);
            assert_eq!(out, [5.0; PANEL]);
        }
    }
}
