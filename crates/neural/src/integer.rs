//! Matrices of i8 weights times inputs that are rounded to i16 for it.
//!
//! Sums of whole numbers are exact, so they come out the same in any order, on any instruction set,
//! alone and in a batch. What the rounding of inputs costs is half a step of 1/32,767 of the
//! largest in the row: a tenth of what i8 weights cost, and it lets one instruction do twice the
//! work of one on f32.
//!
//! Weights are packed in panels of [`PANEL`] outputs; within a panel lie, pair after pair of inputs,
//! the two weights of each output side by side. Of an odd number of inputs the last is a half pair.

use crate::dispatch::run;
use crate::product::PANEL;
use cortica_simd::Isa;
use pulp::{Simd, WithSimd};

/// Bytes of a panel for one pair of inputs.
const PAIR: usize = 2 * PANEL;

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
        let width = self.inputs.next_multiple_of(2);
        let values = &rounded.values[..count * width];
        let steps = &rounded.steps[..count];
        let outputs = self.scales.len();
        let stride = if addends.len() > outputs { outputs } else { 0 };
        run(
            isa,
            Products {
                weights: self,
                inputs: values.as_chunks().0,
                steps,
                addends,
                stride,
                out,
            },
        );
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
    fn with_simd<S: Simd>(self, simd: S) {
        // Which of them `simd` is, is known when this is compiled.
        #[cfg(target_arch = "x86_64")]
        {
            let any: &dyn std::any::Any = &simd;
            if let Some(&v4) = any.downcast_ref::<pulp::x86::V4>() {
                return self.rows::<_, _, 1, 4, 4>(simd, v4);
            }
            if let Some(&v3) = any.downcast_ref::<pulp::x86::V3>() {
                return self.rows::<_, _, 2, 4, 2>(simd, v3);
            }
        }
        self.rows::<_, _, 1, 1, 1>(simd, Portable);
    }
}

impl Products<'_> {
    /// `N` rows together take one panel at a time, which stays in the first cache until all have had
    /// it; rows that are left take `T` panels each.
    #[inline(always)]
    fn rows<S: Simd, M: Machine<V>, const V: usize, const N: usize, const T: usize>(
        mut self,
        simd: S,
        machine: M,
    ) {
        let panels = self.weights.scales.len() / PANEL;
        let together = self.steps.len() / N * N;
        if together > 0 {
            for panel in 0..panels {
                for row in (0..together).step_by(N) {
                    self.block::<S, M, V, N, 1>(simd, machine, row, panel);
                }
            }
        }
        for row in together..self.steps.len() {
            let mut panel = 0;
            while panel + T <= panels {
                self.block::<S, M, V, 1, T>(simd, machine, row, panel);
                panel += T;
            }
            while panel < panels {
                self.block::<S, M, V, 1, 1>(simd, machine, row, panel);
                panel += 1;
            }
        }
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

/// What a panel's sums are kept in, `V` registers, and how they grow.
trait Machine<const V: usize>: Copy {
    type Register: Copy;

    fn zero(self) -> Self::Register;

    /// The weights of one pair of inputs as i16.
    fn widen(self, weights: &[i8; PAIR]) -> [Self::Register; V];

    /// A pair of inputs beside each pair of weights.
    fn everywhere(self, pair: [i16; 2]) -> Self::Register;

    /// Adds both products of each pair to its sum.
    fn add_products(
        self,
        weights: Self::Register,
        inputs: Self::Register,
        sums: Self::Register,
    ) -> Self::Register;

    fn floats(self, sums: [Self::Register; V]) -> [f32; PANEL];
}

/// Arrays that the compiler vectorises as it can.
#[derive(Clone, Copy)]
struct Portable;

impl Machine<1> for Portable {
    type Register = [i32; PAIR];

    #[inline(always)]
    fn zero(self) -> [i32; PAIR] {
        [0; PAIR]
    }

    #[inline(always)]
    fn widen(self, weights: &[i8; PAIR]) -> [[i32; PAIR]; 1] {
        [weights.map(i32::from)]
    }

    #[inline(always)]
    fn everywhere(self, [first, second]: [i16; 2]) -> [i32; PAIR] {
        let mut pairs = [i32::from(first); PAIR];
        for pair in pairs.chunks_exact_mut(2) {
            pair[1] = i32::from(second);
        }
        pairs
    }

    #[inline(always)]
    fn add_products(
        self,
        weights: [i32; PAIR],
        inputs: [i32; PAIR],
        mut sums: [i32; PAIR],
    ) -> [i32; PAIR] {
        for (sum, (weight, input)) in sums.iter_mut().zip(weights.iter().zip(inputs)) {
            *sum += weight * input;
        }
        sums
    }

    #[inline(always)]
    fn floats(self, [sums]: [[i32; PAIR]; 1]) -> [f32; PANEL] {
        let mut floats = [0.0; PANEL];
        for (float, pair) in floats.iter_mut().zip(sums.chunks_exact(2)) {
            *float = (pair[0] + pair[1]) as f32;
        }
        floats
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Machine, PAIR, PANEL};
    use core::arch::x86_64::{__m128i, __m256i, __m512i};
    use pulp::bytemuck::cast;
    use pulp::x86::{V3, V4};

    impl Machine<2> for V3 {
        type Register = __m256i;

        #[inline(always)]
        fn zero(self) -> __m256i {
            self.avx._mm256_setzero_si256()
        }

        #[inline(always)]
        fn widen(self, weights: &[i8; PAIR]) -> [__m256i; 2] {
            let [low, high]: [__m128i; 2] = cast(*weights);
            let low = self.avx2._mm256_cvtepi8_epi16(low);
            [low, self.avx2._mm256_cvtepi8_epi16(high)]
        }

        #[inline(always)]
        fn everywhere(self, pair: [i16; 2]) -> __m256i {
            self.avx._mm256_set1_epi32(cast(pair))
        }

        #[inline(always)]
        fn add_products(self, weights: __m256i, inputs: __m256i, sums: __m256i) -> __m256i {
            let products = self.avx2._mm256_madd_epi16(weights, inputs);
            self.avx2._mm256_add_epi32(sums, products)
        }

        #[inline(always)]
        fn floats(self, [low, high]: [__m256i; 2]) -> [f32; PANEL] {
            let low = self.avx._mm256_cvtepi32_ps(low);
            cast([low, self.avx._mm256_cvtepi32_ps(high)])
        }
    }

    impl Machine<1> for V4 {
        type Register = __m512i;

        #[inline(always)]
        fn zero(self) -> __m512i {
            self.avx512f._mm512_setzero_si512()
        }

        #[inline(always)]
        fn widen(self, weights: &[i8; PAIR]) -> [__m512i; 1] {
            [self.avx512bw._mm512_cvtepi8_epi16(cast(*weights))]
        }

        #[inline(always)]
        fn everywhere(self, pair: [i16; 2]) -> __m512i {
            self.avx512f._mm512_set1_epi32(cast(pair))
        }

        #[inline(always)]
        fn add_products(self, weights: __m512i, inputs: __m512i, sums: __m512i) -> __m512i {
            let products = self.avx512bw._mm512_madd_epi16(weights, inputs);
            self.avx512f._mm512_add_epi32(sums, products)
        }

        #[inline(always)]
        fn floats(self, [sums]: [__m512i; 1]) -> [f32; PANEL] {
            cast(self.avx512f._mm512_cvtepi32_ps(sums))
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
