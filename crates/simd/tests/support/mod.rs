//! What the tests of several kernels share: inputs, exact answers, and every instruction set.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use cortica_simd::{Isa, error_bound};
use std::iter::zip;

/// Past the widest vector, past eight of them with all that may be left over, and the sizes people use.
pub fn lengths() -> impl Iterator<Item = usize> {
    (0..=130).chain([144, 200, 208, 250, 300, 384, 512, 768, 1_536])
}

/// Values in [-1, 1] without a pattern that lines up with lanes.
pub fn values(len: usize, salt: usize) -> Vec<f32> {
    // In 64 bits everywhere, so that 32-bit processors test with the same values.
    let spread =
        |at: u64| ((at * 7_919 + salt as u64 * 104_729 + 13) % 2_003) as f32 / 1_001.5 - 1.0;
    (0..len as u64).map(spread).collect()
}

/// Runs `check` with every instruction set this machine has, forced one by one.
pub fn each_isa(check: impl Fn(Isa)) {
    let mut checked = 0;
    for isa in Isa::available() {
        check(isa);
        checked += 1;
    }
    assert!(checked > 0, "no instruction set was checked");
}

/// The dot product in f64, and what its products add up to in absolute value.
pub fn exact_dot(a: &[f32], b: &[f32]) -> (f64, f64) {
    zip(a, b).fold((0.0, 0.0), |(sum, size), (&x, &y)| {
        let product = f64::from(x) * f64::from(y);
        (sum + product, size + product.abs())
    })
}

/// The squared distance in f64.
pub fn exact_distance(a: &[f32], b: &[f32]) -> f64 {
    zip(a, b)
        .map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2))
        .sum()
}

/// The cosine in f64; 0 where a vector is zero.
pub fn exact_cosine(a: &[f32], b: &[f32]) -> f64 {
    let norms = exact_dot(a, a).0.sqrt() * exact_dot(b, b).0.sqrt();
    if norms == 0.0 {
        0.0
    } else {
        exact_dot(a, b).0 / norms
    }
}

/// How far a sum of `d` pairs that come to `size` in absolute value may be off: the stated bound,
/// and for each pair what vanishes below the range of f32.
pub fn allowed(isa: Isa, d: usize, size: f64) -> f64 {
    f64::from(error_bound(isa, d)) * size + d as f64 * 2.0_f64.powi(-149)
}

#[track_caller]
pub fn close(isa: Isa, d: usize, got: f32, want: f64, size: f64) {
    assert!(
        (f64::from(got) - want).abs() <= allowed(isa, d, size),
        "{isa} d={d}: {got} is not {want}"
    );
}
