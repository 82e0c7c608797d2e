//! Vectors brought to length 1.

use cortica_simd::{Isa, scale, squared_norm_f64};

/// Squared lengths whose inverse root f32 can express with all its digits.
const ORDINARY: std::ops::RangeInclusive<f64> = 1e-30..=1e30;

/// Scales `values` to length 1, from any finite length; the zero vector stays. What it returns is
/// false if something was not finite, and `values` is then as it was.
pub(crate) fn make_unit(isa: Isa, values: &mut [f32]) -> bool {
    let squares = squared_norm_f64(isa, values);
    if !squares.is_finite() {
        return false;
    }
    if ORDINARY.contains(&squares) {
        scale(isa, values, (1.0 / squares.sqrt()) as f32);
    } else if squares > 0.0 {
        let factor = 1.0 / squares.sqrt();
        for value in values {
            *value = (f64::from(*value) * factor) as f32;
        }
    }
    true
}

/// The definition of [`make_unit`], in f64.
pub(crate) fn unit_reference(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let factor = if length > 0.0 { 1.0 / length } else { 0.0 };
    values.into_iter().map(|value| value * factor).collect()
}
