//! Kernels for values on a lattice that lies flat in memory, and their definitions.
//!
//! A neighbour along an axis is a fixed number of places away (the stride), so a window along an axis is a
//! window over the flat slice. Where lines of the lattice end there has to be a gap of zeros as wide as the
//! window reaches; two lines share it. Every place is computed by the same operations in the same order,
//! each of them rounded once (no fused multiply-add): the same bits on every [`Isa`].

use crate::isa::Isa;
use crate::map::unit;
use pulp::{Simd, WithSimd};

/// The farthest that a window reaches to either side.
pub const WINDOW_REACH_MAX: usize = 8;

/// The definition of [`window_sum`].
pub fn window_sum_reference(weights: &[f32], stride: usize, values: &[f32], out: &mut [f32]) {
    window_reference(weights.len(), stride, values, out, |at, sum, value| {
        sum + weights[at] * value
    });
}

/// The definition of [`window_max`].
pub fn window_max_reference(reach: usize, stride: usize, values: &[f32], out: &mut [f32]) {
    window_reference(2 * reach + 1, stride, values, out, |_, max, value| {
        larger(max, value)
    });
}

fn window_reference(
    width: usize,
    stride: usize,
    values: &[f32],
    out: &mut [f32],
    fold: impl Fn(usize, f32, f32) -> f32,
) {
    for (place, out) in out.iter_mut().enumerate() {
        let within = values.get(place..).unwrap_or(&[]);
        let seen = within.iter().step_by(stride.max(1)).take(width);
        *out = seen
            .enumerate()
            .fold(0.0, |sum, (at, &value)| fold(at, sum, value));
    }
}

fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// `out[i] = sum over k of weights[k] * values[i + k * stride]`, a correlation along one axis of a lattice,
/// added in the order of k from 0 on.
///
/// The first window begins at the first value: whoever wants windows around a place begins half a window
/// before it. Windows that reach beyond the values are computed by the definition, value by value; there
/// should be none of them in the middle of work. At most `2 * `[`WINDOW_REACH_MAX`]` + 1` weights are used.
/// Cost: O(weights * out), two operations each.
pub fn window_sum(isa: Isa, weights: &[f32], stride: usize, values: &[f32], out: &mut [f32]) {
    let weights = &weights[..weights.len().min(2 * WINDOW_REACH_MAX + 1)];
    let (whole, rest) = split(weights.len(), stride, values, out);
    let done = whole.len();
    if done > 0 {
        isa.run(Window {
            width: weights.len(),
            stride,
            values,
            out: whole,
            fold: Sum(weights),
        });
    }
    window_sum_reference(weights, stride, values.get(done..).unwrap_or(&[]), rest);
}

/// `out[i] = max over k of values[i + k * stride]`, k up to `2 * reach`, and 0 where all are below it.
/// Otherwise as [`window_sum`]. What is not a number is passed over.
pub fn window_max(isa: Isa, reach: usize, stride: usize, values: &[f32], out: &mut [f32]) {
    let reach = reach.min(WINDOW_REACH_MAX);
    let (whole, rest) = split(2 * reach + 1, stride, values, out);
    let done = whole.len();
    if done > 0 {
        isa.run(Window {
            width: 2 * reach + 1,
            stride,
            values,
            out: whole,
            fold: Max,
        });
    }
    window_max_reference(reach, stride, values.get(done..).unwrap_or(&[]), rest);
}

/// The definition of [`tap_sum`].
pub fn tap_sum_reference(taps: &[(usize, f32)], values: &[f32], out: &mut [f32]) {
    for (place, out) in out.iter_mut().enumerate() {
        let tapped = taps.iter().map(|&(offset, weight)| {
            let value = values.get(place.saturating_add(offset));
            weight * value.copied().unwrap_or(0.0)
        });
        *out = tapped.fold(0.0, |sum, value| sum + value);
    }
}

/// `out[i] = sum over taps of weight * values[i + offset]`, added in their order: a correlation with a window of any
/// shape. Values beyond the last count as 0; there should be none of them in the middle of work. Cost: O(taps * out),
/// two operations each.
pub fn tap_sum(isa: Isa, taps: &[(usize, f32)], values: &[f32], out: &mut [f32]) {
    let farthest = taps.iter().map(|&(offset, _)| offset).max().unwrap_or(0);
    let whole = values.len().saturating_sub(farthest).min(out.len());
    let (inside, rest) = out.split_at_mut(whole);
    isa.run(TapSum {
        window: taps,
        values,
        out: inside,
    });
    tap_sum_reference(taps, values.get(whole..).unwrap_or(&[]), rest);
}

struct TapSum<'a> {
    window: &'a [(usize, f32)],
    values: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for TapSum<'_> {
    type Output = ();

    // Plain code: inlined where the wide instructions are on, the compiler uses them, and keeps the sums of a
    // strip in registers.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        const STRIP: usize = 64;
        let (strips, tail) = self.out.as_chunks_mut::<STRIP>();
        let done = strips.len() * STRIP;
        for (at, strip) in strips.iter_mut().enumerate() {
            let values = &self.values[at * STRIP..];
            let mut sums = [0.0_f32; STRIP];
            for &(offset, weight) in self.window {
                if let Some(values) = values.get(offset..).and_then(<[f32]>::first_chunk::<STRIP>) {
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum += weight * value;
                    }
                }
            }
            *strip = sums;
        }
        tap_sum_reference(self.window, &self.values[done..], tail);
    }
}

/// The places whose windows lie within the values, and the others.
fn split<'a>(
    width: usize,
    stride: usize,
    values: &[f32],
    out: &'a mut [f32],
) -> (&'a mut [f32], &'a mut [f32]) {
    let span = width.saturating_sub(1).saturating_mul(stride);
    let whole = values.len().saturating_sub(span).min(out.len());
    // A stride of 0 or no weights: the definition says what comes of it.
    let whole = if stride == 0 || width == 0 { 0 } else { whole };
    out.split_at_mut(whole)
}

/// What a window is folded with.
trait Fold: Copy {
    fn of<S: Simd>(self, simd: S, at: usize, sum: S::f32s, value: S::f32s) -> S::f32s;
    fn of_one(self, at: usize, sum: f32, value: f32) -> f32;
}

#[derive(Clone, Copy)]
struct Sum<'a>(&'a [f32]);

impl Fold for Sum<'_> {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, at: usize, sum: S::f32s, value: S::f32s) -> S::f32s {
        simd.add_f32s(sum, simd.mul_f32s(simd.splat_f32s(self.0[at]), value))
    }

    #[inline(always)]
    fn of_one(self, at: usize, sum: f32, value: f32) -> f32 {
        sum + self.0[at] * value
    }
}

#[derive(Clone, Copy)]
struct Max;

impl Fold for Max {
    // A comparison and not a maximum, which treats what is not a number in another way on every
    // processor.
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, _at: usize, max: S::f32s, value: S::f32s) -> S::f32s {
        simd.select_f32s(simd.less_than_f32s(max, value), value, max)
    }

    #[inline(always)]
    fn of_one(self, _at: usize, max: f32, value: f32) -> f32 {
        larger(max, value)
    }
}

struct Window<'a, F> {
    width: usize,
    stride: usize,
    values: &'a [f32],
    out: &'a mut [f32],
    fold: F,
}

impl<F: Fold> WithSimd for Window<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // A constant width lets the compiler unroll: sums stay in registers, and nothing is
        // looked up. Other widths are for the patient.
        match self.width {
            3 => self.fixed::<S, 3>(simd),
            5 => self.fixed::<S, 5>(simd),
            7 => self.fixed::<S, 7>(simd),
            9 => self.fixed::<S, 9>(simd),
            _ => self.any(),
        }
    }
}

impl<F: Fold> Window<'_, F> {
    #[inline(always)]
    fn fixed<S: Simd, const WIDTH: usize>(self, simd: S) {
        let Self {
            stride,
            values,
            out,
            fold,
            ..
        } = self;
        let count = out.len();
        let (out, tail) = S::as_mut_simd_f32s(out);
        // All of one length, which the compiler is shown, so that nothing is checked inside.
        let shifted: [&[f32]; WIDTH] = std::array::from_fn(|k| &values[k * stride..][..count]);
        let whole = shifted.map(|values| &S::as_simd_f32s(values).0[..out.len()]);
        for (place, out) in out.iter_mut().enumerate() {
            let mut sum = simd.splat_f32s(0.0);
            for (k, values) in whole.iter().enumerate() {
                sum = fold.of(simd, k, sum, values[place]);
            }
            *out = sum;
        }
        let done = count - tail.len();
        for (place, out) in tail.iter_mut().enumerate() {
            let folded = shifted.iter().enumerate();
            *out = folded.fold(0.0, |sum, (k, values)| {
                fold.of_one(k, sum, values[done + place])
            });
        }
    }

    #[inline(always)]
    fn any(self) {
        for (place, out) in self.out.iter_mut().enumerate() {
            *out = (0..self.width).fold(0.0, |sum, k| {
                self.fold
                    .of_one(k, sum, self.values[place + k * self.stride])
            });
        }
    }
}

/// The definition of [`ramp_field`].
pub fn ramp_field_reference(
    steepness: f32,
    mask: &[f32],
    values: &[f32],
    highest: &[f32],
    out: &mut [f32],
) {
    for (at, out) in out.iter_mut().enumerate().take(mask.len()) {
        let ramp = unit(1.0 - steepness * (highest[at] - values[at]));
        *out = if values[at] > 0.0 {
            mask[at] * ramp
        } else {
            0.0
        };
    }
}

/// `out = mask * clamp(1 - steepness (highest - values), 0, 1)` where the value is above 0, and 0 where not: 1 for
/// a value that is the highest around it, falling to 0 within a ramp below. 0 for what is not a number. The shortest slice counts. O(n).
pub fn ramp_field(
    isa: Isa,
    steepness: f32,
    mask: &[f32],
    values: &[f32],
    highest: &[f32],
    out: &mut [f32],
) {
    let count = [mask.len(), values.len(), highest.len(), out.len()];
    let count = count.into_iter().min().unwrap_or(0);
    isa.run(Ramp {
        steepness,
        mask: &mask[..count],
        values: &values[..count],
        highest: &highest[..count],
        out: &mut out[..count],
    });
}

struct Ramp<'a> {
    steepness: f32,
    mask: &'a [f32],
    values: &'a [f32],
    highest: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Ramp<'_> {
    type Output = ();

    // Plain code: inlined where the wide instructions are on, the compiler uses them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        ramp_field_reference(
            self.steepness,
            self.mask,
            self.values,
            self.highest,
            self.out,
        );
    }
}

/// The definition of [`relax_field`].
pub fn relax_field_reference(
    step: f32,
    mask: &[f32],
    drive: &[f32],
    inhibition: [&[f32]; 2],
    values: &mut [f32],
) -> f32 {
    let mut change = 0.0;
    for (at, value) in values.iter_mut().enumerate().take(mask.len()) {
        let next = relaxed(
            step,
            mask[at],
            drive[at],
            inhibition.map(|of| of[at]),
            *value,
        );
        change = larger(change, (next - *value).abs());
        *value = next;
    }
    change
}

#[inline(always)]
fn relaxed(step: f32, mask: f32, drive: f32, [wide, narrow]: [f32; 2], value: f32) -> f32 {
    mask * ((1.0 - step) * value + step * (drive - (wide - narrow)))
}

/// A leaky step of a field: `u = mask * ((1 - step) u + step (drive - (wide - narrow)))`. Gives the greatest
/// change of a value. The shortest slice counts. O(n).
pub fn relax_field(
    isa: Isa,
    step: f32,
    mask: &[f32],
    drive: &[f32],
    inhibition: [&[f32]; 2],
    values: &mut [f32],
) -> f32 {
    let [wide, narrow] = inhibition;
    let count = [
        mask.len(),
        drive.len(),
        wide.len(),
        narrow.len(),
        values.len(),
    ];
    let count = count.into_iter().min().unwrap_or(0);
    isa.run(Relax {
        step,
        mask: &mask[..count],
        drive: &drive[..count],
        inhibition: [&wide[..count], &narrow[..count]],
        values: &mut values[..count],
    })
}

struct Relax<'a> {
    step: f32,
    mask: &'a [f32],
    drive: &'a [f32],
    inhibition: [&'a [f32]; 2],
    values: &'a mut [f32],
}

impl WithSimd for Relax<'_> {
    type Output = f32;

    // As above; changes are collected in lanes, since a maximum has no order but a loop has.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> f32 {
        const LANES: usize = 16;
        let Self {
            step,
            mask,
            drive,
            inhibition: [wide, narrow],
            values,
        } = self;
        let mut changes = [0.0_f32; LANES];
        let (values, tail) = values.as_chunks_mut::<LANES>();
        let ((mask, mask_tail), (drive, drive_tail)) =
            (mask.as_chunks::<LANES>(), drive.as_chunks::<LANES>());
        let ((wide, wide_tail), (narrow, narrow_tail)) =
            (wide.as_chunks::<LANES>(), narrow.as_chunks::<LANES>());
        let inputs = mask.iter().zip(drive).zip(wide.iter().zip(narrow));
        for (values, ((mask, drive), (wide, narrow))) in values.iter_mut().zip(inputs) {
            for lane in 0..LANES {
                let (value, inhibition) = (values[lane], [wide[lane], narrow[lane]]);
                let next = relaxed(step, mask[lane], drive[lane], inhibition, value);
                changes[lane] = larger(changes[lane], (next - value).abs());
                values[lane] = next;
            }
        }
        let rest = [wide_tail, narrow_tail];
        let change = relax_field_reference(step, mask_tail, drive_tail, rest, tail);
        changes.into_iter().fold(change, larger)
    }
}
