//! A weight matrix, f32 or i8, times a few vectors as they are.
//!
//! Weights are packed in panels of [`PANEL`] outputs, within which they lie input by input. An
//! output is one sum over its inputs in order, whatever else is computed beside it; so a sample has
//! the same bits alone and in a batch, and no sum across the lanes of a register is needed.

use crate::dispatch::run;
use cortica_simd::Isa;
use pulp::{Simd, WithSimd};

/// Outputs that lie side by side.
pub(crate) const PANEL: usize = 16;

/// A stored weight, and how a panel's worth of them is loaded as f32.
pub(crate) trait Weight: Copy {
    fn value(self) -> f32;

    /// `V` registers of `PANEL / V` lanes.
    fn load<S: Simd, const V: usize>(simd: S, panel: &[Self; PANEL]) -> [S::f32s; V];
}

impl Weight for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }

    #[inline(always)]
    fn load<S: Simd, const V: usize>(simd: S, panel: &[f32; PANEL]) -> [S::f32s; V] {
        let (whole, _) = S::as_simd_f32s(panel);
        let mut registers = [simd.splat_f32s(0.0); V];
        registers.copy_from_slice(&whole[..V]);
        registers
    }
}

impl Weight for i8 {
    #[inline(always)]
    fn value(self) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn load<S: Simd, const V: usize>(simd: S, panel: &[i8; PANEL]) -> [S::f32s; V] {
        #[cfg(target_arch = "x86_64")]
        if let Some(registers) = x86::widen::<S, V>(simd, panel) {
            return registers;
        }
        f32::load::<S, V>(simd, &panel.map(f32::from))
    }
}

/// Widening i8 takes an instruction that pulp has for each set but not for all of them. `map` and
/// arrays would do, but the compiler takes them through memory.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::PANEL;
    use pulp::Simd;
    use pulp::bytemuck::cast;
    use pulp::x86::{V3, V4};
    use std::any::Any;

    #[inline(always)]
    pub(super) fn widen<S: Simd, const V: usize>(
        simd: S,
        panel: &[i8; PANEL],
    ) -> Option<[S::f32s; V]> {
        let mut registers = [simd.splat_f32s(0.0); V];
        // Which of them `simd` is, is known when this is compiled.
        let any: &dyn Any = &simd;
        if let Some(v4) = any.downcast_ref::<V4>() {
            let whole = v4.avx512f._mm512_cvtepi8_epi32(cast(*panel));
            registers[0] = cast(v4.avx512f._mm512_cvtepi32_ps(whole));
            return Some(registers);
        }
        if let Some(v3) = any.downcast_ref::<V3>() {
            let (halves, _) = panel.as_chunks::<8>();
            for (register, half) in registers.iter_mut().zip(halves) {
                // The instruction reads the lower half of its register.
                let low = cast([u64::from_le_bytes(half.map(i8::cast_unsigned)), 0]);
                let whole = v3.avx2._mm256_cvtepi8_epi32(low);
                *register = cast(v3.avx._mm256_cvtepi32_ps(whole));
            }
            return Some(registers);
        }
        None
    }
}

/// Adds the products of packed weights and `inputs` to `sums`.
///
/// `weights` has a whole number of panels, `inputs` some rows of `width` values, `sums` as many
/// rows of all outputs. Slices that do not fit together are worked on as far as they go.
pub(crate) fn add_products<W: Weight>(
    isa: Isa,
    weights: &[W],
    width: usize,
    inputs: &[f32],
    sums: &mut [f32],
) {
    run(
        isa,
        Products {
            weights,
            width,
            inputs,
            sums,
        },
    );
}

struct Products<'a, W> {
    weights: &'a [W],
    width: usize,
    inputs: &'a [f32],
    sums: &'a mut [f32],
}

impl<W: Weight> WithSimd for Products<'_, W> {
    type Output = ();

    #[inline(always)] // A call here would drop the target features `vectorize` turned on.
    fn with_simd<S: Simd>(self, simd: S) {
        // As many sums at once as keep the pipeline full and leave room for weights and inputs.
        match (S::F32_LANES, S::REGISTER_COUNT >= 32) {
            (16, _) => self.rows::<S, 1, 4, 8, 4>(simd),
            (8, true) => self.rows::<S, 2, 4, 4, 2>(simd),
            (8, false) => self.rows::<S, 2, 4, 4, 1>(simd),
            (4, true) => self.rows::<S, 4, 4, 2, 1>(simd),
            (4, false) => self.rows::<S, 4, 2, 2, 1>(simd),
            _ => self.portable(),
        }
    }
}

impl<W: Weight> Products<'_, W> {
    /// `N` rows share the weights of `T` panels; a row alone takes `O` panels.
    #[inline(always)]
    fn rows<S: Simd, const V: usize, const N: usize, const O: usize, const T: usize>(
        self,
        simd: S,
    ) {
        let Self {
            weights,
            width,
            inputs,
            sums,
        } = self;
        let outputs = weights.len() / width.max(1);
        if width == 0 || outputs == 0 {
            return;
        }
        let mut inputs = inputs.chunks_exact(N * width);
        let mut sums = sums.chunks_exact_mut(N * outputs);
        for (inputs, sums) in inputs.by_ref().zip(sums.by_ref()) {
            panels::<S, W, V, N, T>(simd, weights, width, inputs, sums);
        }
        let rest = inputs.remainder().chunks_exact(width);
        for (input, sums) in rest.zip(sums.into_remainder().chunks_exact_mut(outputs)) {
            panels::<S, W, V, 1, O>(simd, weights, width, input, sums);
        }
    }

    /// Without wide registers: a panel at a time, in arrays that the compiler vectorises.
    #[inline(always)]
    fn portable(self) {
        let outputs = self.weights.len() / self.width.max(1);
        let rows = self.inputs.chunks_exact(self.width.max(1));
        for (input, sums) in rows.zip(self.sums.chunks_exact_mut(outputs.max(1))) {
            let panels = self.weights.chunks_exact(self.width * PANEL);
            for (panel, sums) in panels.zip(sums.as_chunks_mut::<PANEL>().0) {
                let mut sum = *sums;
                for (weights, &input) in panel.as_chunks::<PANEL>().0.iter().zip(input) {
                    for (sum, weight) in sum.iter_mut().zip(weights) {
                        *sum += weight.value() * input;
                    }
                }
                *sums = sum;
            }
        }
    }
}

/// All panels for `N` rows: `T` at a time, and then what is left in halves of that.
#[inline(always)]
fn panels<S: Simd, W: Weight, const V: usize, const N: usize, const T: usize>(
    simd: S,
    weights: &[W],
    width: usize,
    inputs: &[f32],
    sums: &mut [f32],
) {
    let count = weights.len() / (width * PANEL);
    let mut from = 0;
    while from + T <= count {
        block::<S, W, V, N, T>(simd, weights, width, inputs, sums, from);
        from += T;
    }
    if T > 4 && from + 4 <= count {
        block::<S, W, V, N, 4>(simd, weights, width, inputs, sums, from);
        from += 4;
    }
    if T > 2 && from + 2 <= count {
        block::<S, W, V, N, 2>(simd, weights, width, inputs, sums, from);
        from += 2;
    }
    while from < count {
        block::<S, W, V, N, 1>(simd, weights, width, inputs, sums, from);
        from += 1;
    }
}

/// `T` panels from number `from` on, for `N` rows.
#[inline(always)]
fn block<S: Simd, W: Weight, const V: usize, const N: usize, const T: usize>(
    simd: S,
    weights: &[W],
    width: usize,
    inputs: &[f32],
    sums: &mut [f32],
    from: usize,
) {
    let outputs = weights.len() / width;
    let mut panels = [&[][..]; T];
    for (at, panel) in panels.iter_mut().enumerate() {
        let start = (from + at) * width * PANEL;
        *panel = &weights[start..start + width * PANEL].as_chunks::<PANEL>().0[..width];
    }
    let mut rows = [&[][..]; N];
    for (at, row) in rows.iter_mut().enumerate() {
        *row = &inputs[at * width..][..width];
    }
    let mut totals = [[[simd.splat_f32s(0.0); V]; T]; N];
    for (row, totals) in totals.iter_mut().enumerate() {
        for (panel, total) in totals.iter_mut().enumerate() {
            let place = &sums[row * outputs + (from + panel) * PANEL..][..PANEL];
            total.copy_from_slice(&S::as_simd_f32s(place).0[..V]);
        }
    }
    for input in 0..width {
        let mut loaded = [[simd.splat_f32s(0.0); V]; T];
        for (loaded, panel) in loaded.iter_mut().zip(panels) {
            *loaded = W::load::<S, V>(simd, &panel[input]);
        }
        for (row, totals) in rows.iter().zip(&mut totals) {
            let value = simd.splat_f32s(row[input]);
            for (loaded, total) in loaded.iter().zip(totals) {
                for (&loaded, total) in loaded.iter().zip(total) {
                    *total = simd.mul_add_e_f32s(loaded, value, *total);
                }
            }
        }
    }
    for (row, totals) in totals.iter().enumerate() {
        for (panel, total) in totals.iter().enumerate() {
            let place = &mut sums[row * outputs + (from + panel) * PANEL..][..PANEL];
            S::as_mut_simd_f32s(place).0[..V].copy_from_slice(total);
        }
    }
}
