//! The kernel of layers of i8 weights: sums of whole numbers for many rows at once.

use crate::machine::{Machine, Pair, Portable, WidePair};
use crate::product::PANEL;
use cortica_simd::Isa;
use pulp::{Simd, WithSimd};

/// Pairs whose products fit into a sum of 32 bits: 512 x 128 x 32,767 < 2^31.
pub(crate) const BLOCK: usize = 256;

/// Rows from which on [`widens`] pays.
#[cfg(target_arch = "x86_64")]
const MANY: usize = 16;

/// Whether a panel's weights are widened once for many rows, into memory that is there for it. That
/// pays where a panel takes two registers and the processor has no time to spare for widening them
/// again for every four rows.
pub(crate) fn widens(isa: Isa) -> bool {
    isa == Isa::Avx2
}

/// Packed weights, and the rounded rows they are multiplied by.
pub(crate) struct Sums<'a> {
    pub(crate) packed: &'a [Pair],
    pub(crate) scales: &'a [f32],
    /// Pairs of a row, and of a panel.
    pub(crate) width: usize,
    pub(crate) inputs: &'a [[i16; 2]],
    pub(crate) steps: &'a [f32],
    /// Room for a panel, where it [`widens`].
    pub(crate) wide: &'a mut [WidePair],
    pub(crate) addends: &'a [f32],
    /// How far the addends of a row lie from those of the next.
    pub(crate) stride: usize,
    pub(crate) out: &'a mut [f32],
}

impl WithSimd for Sums<'_> {
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
                let row = if self.steps.len() >= MANY {
                    self.widened::<_, _, 2, 4>(simd, v3)
                } else {
                    self.group::<_, _, 2, 4, 1>(simd, v3, 0)
                };
                self.group::<_, _, 2, 1, 2>(simd, v3, row);
                return;
            }
        }
        self.group::<_, _, 1, 1, 1>(simd, Portable, 0);
    }
}

impl Sums<'_> {
    /// `N` rows together take `T` panels at a time, which stay in the first cache until all rows
    /// have had them. From row `start` on, as many as make whole groups; gives the row after them.
    #[inline(always)]
    fn group<S: Simd, M: Machine<V>, const V: usize, const N: usize, const T: usize>(
        &mut self,
        simd: S,
        machine: M,
        start: usize,
    ) -> usize {
        let panels = self.scales.len() / PANEL;
        let end = start + (self.steps.len() - start) / N * N;
        if start == end {
            return end;
        }
        let mut panel = 0;
        while panel + T <= panels {
            for row in (start..end).step_by(N) {
                self.block::<S, M, V, N, T, false>(simd, machine, row, panel);
            }
            panel += T;
        }
        if T > 4 && panel + 4 <= panels {
            for row in (start..end).step_by(N) {
                self.block::<S, M, V, N, 4, false>(simd, machine, row, panel);
            }
            panel += 4;
        }
        while panel < panels {
            for row in (start..end).step_by(N) {
                self.block::<S, M, V, N, 1, false>(simd, machine, row, panel);
            }
            panel += 1;
        }
        end
    }

    /// As [`Sums::group`] for all rows, a panel at a time, which is widened first.
    #[inline(always)]
    fn widened<S: Simd, M: Machine<V>, const V: usize, const N: usize>(
        &mut self,
        simd: S,
        machine: M,
    ) -> usize {
        let end = self.steps.len() / N * N;
        for panel in 0..self.scales.len() / PANEL {
            let weights = &self.packed[panel * self.width..][..self.width];
            for (wide, pair) in self.wide.iter_mut().zip(weights) {
                *wide = machine.store(machine.widen(pair));
            }
            for row in (0..end).step_by(N) {
                self.block::<S, M, V, N, 1, true>(simd, machine, row, panel);
            }
        }
        end
    }

    /// `T` panels from number `panel` on, for `N` rows from number `row` on. `WIDE`: the panel is
    /// one, and was widened.
    #[inline(always)]
    fn block<
        S: Simd,
        M: Machine<V>,
        const V: usize,
        const N: usize,
        const T: usize,
        const WIDE: bool,
    >(
        &mut self,
        simd: S,
        machine: M,
        row: usize,
        panel: usize,
    ) {
        let mut panels = [&[][..]; T];
        for (at, place) in panels.iter_mut().enumerate() {
            *place = &self.packed[(panel + at) * self.width..][..self.width];
        }
        let mut rows = [&[][..]; N];
        for (at, place) in rows.iter_mut().enumerate() {
            *place = &self.inputs[(row + at) * self.width..][..self.width];
        }
        let mut totals = [[[0.0_f32; PANEL]; T]; N];
        let mut from = 0;
        while from < self.width {
            let count = BLOCK.min(self.width - from);
            // Loops, not `map`: a call would drop the target features.
            let wide = if WIDE {
                &self.wide[from..][..count]
            } else {
                &[]
            };
            let mut weights = [&[][..]; T];
            for (weights, panel) in weights.iter_mut().zip(panels) {
                *weights = &panel[from..][..count];
            }
            let mut inputs = [&[][..]; N];
            for (inputs, row) in inputs.iter_mut().zip(rows) {
                *inputs = &row[from..][..count];
            }
            let mut sums = [[[machine.zero(); V]; T]; N];
            let mut loaded = [[machine.zero(); V]; T];
            for pair in 0..count {
                for (loaded, weights) in loaded.iter_mut().zip(weights) {
                    *loaded = if WIDE {
                        machine.load(&wide[pair])
                    } else {
                        machine.widen(&weights[pair])
                    };
                }
                for (inputs, sums) in inputs.iter().zip(&mut sums) {
                    let input = machine.everywhere(inputs[pair]);
                    for (loaded, sums) in loaded.iter().zip(sums) {
                        for (loaded, sum) in loaded.iter().zip(sums) {
                            *sum = machine.add_products(*loaded, input, *sum);
                        }
                    }
                }
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
            from += count;
        }
        let outputs = self.scales.len();
        for (at, totals) in totals.iter().enumerate() {
            let (row, place) = (row + at, panel * PANEL..(panel + T) * PANEL);
            let (scales, _) = S::as_simd_f32s(&self.scales[place.clone()]);
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
