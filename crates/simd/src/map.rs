//! Runs a function over slices, place by place.
//!
//! The same instructions compute every place, so a result depends on the values alone and not on
//! where in the slice they lie.

use crate::isa::Isa;
use pulp::{Simd, WithSimd};
use std::iter::zip;

/// A function of one value.
pub(crate) trait Map: Copy {
    fn of<S: Simd>(self, simd: S, value: S::f32s) -> S::f32s;
}

/// A function of two values.
pub(crate) trait Map2: Copy {
    fn of<S: Simd>(self, simd: S, value: S::f32s, other: S::f32s) -> S::f32s;
}

/// Replaces each value by what `map` makes of it.
pub(crate) fn map<M: Map>(isa: Isa, values: &mut [f32], map: M) {
    isa.run(Mapped { values, map });
}

/// Replaces each value by what `map` makes of it and of what lies in its place in `others`. Where
/// the lengths differ the shorter counts.
pub(crate) fn map2<M: Map2>(isa: Isa, values: &mut [f32], others: &[f32], map: M) {
    let length = values.len().min(others.len());
    isa.run(Mapped2 {
        values: &mut values[..length],
        others: &others[..length],
        map,
    });
}

struct Mapped<'a, M> {
    values: &'a mut [f32],
    map: M,
}

impl<M: Map> WithSimd for Mapped<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (whole, tail) = S::as_mut_simd_f32s(self.values);
        for value in whole {
            *value = self.map.of(simd, *value);
        }
        if !tail.is_empty() {
            let value = simd.partial_load_f32s(tail);
            simd.partial_store_f32s(tail, self.map.of(simd, value));
        }
    }
}

struct Mapped2<'a, M> {
    values: &'a mut [f32],
    others: &'a [f32],
    map: M,
}

impl<M: Map2> WithSimd for Mapped2<'_, M> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (whole, tail) = S::as_mut_simd_f32s(self.values);
        let (others, others_tail) = S::as_simd_f32s(self.others);
        for (value, &other) in zip(whole, others) {
            *value = self.map.of(simd, *value, other);
        }
        if !tail.is_empty() {
            let value = simd.partial_load_f32s(tail);
            let other = simd.partial_load_f32s(others_tail);
            simd.partial_store_f32s(tail, self.map.of(simd, value, other));
        }
    }
}

/// `value` cut to [0, 1]; 0 for what is not a number.
pub(crate) fn unit(value: f32) -> f32 {
    if value > 0.0 { value.min(1.0) } else { 0.0 }
}

/// [`unit`] of every lane. Comparisons and not minimum and maximum, which treat what is not a
/// number in another way on every processor.
#[inline(always)]
pub(crate) fn units<S: Simd>(simd: S, value: S::f32s) -> S::f32s {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let value = simd.select_f32s(simd.less_than_f32s(zero, value), value, zero);
    simd.select_f32s(simd.less_than_f32s(value, one), value, one)
}
