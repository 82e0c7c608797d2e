//! Exponential, sigmoid and hyperbolic tangent of slices, with bounded errors.
//!
//! That of e^x is by Cephes (Moshier, "Methods and Programs for Mathematical Functions", 1989;
//! `expf.c`). The tests try every f32 from 2^-30 to where the functions no longer
//! change (110, 90 and 20) on each [`Isa`] of the machine, and one in 4,001 beyond: errors are at
//! most 1.5, 3 and 2.5 times 2^-24, within the bounds stated below. Cost: O(n), no table.

use crate::isa::Isa;
use crate::map::{Map, map};
use pulp::Simd;

/// The definition of [`exp`], in f64.
pub fn exp_reference(values: &mut [f32]) {
    for value in values {
        *value = f64::from(*value).exp() as f32;
    }
}

/// `e^x` of each value, in place. Relative error at most [`EXP_ERROR`]; below 2^-126, where f32 has
/// fewer digits, at most 2^-149. 0 below -104, infinite above 88.73, and what is not a number
/// stays so.
pub fn exp(isa: Isa, values: &mut [f32]) {
    map(isa, values, Exp);
}

/// The definition of [`sigmoid`], in f64.
pub fn sigmoid_reference(values: &mut [f32]) {
    for value in values {
        *value = (1.0 / (1.0 + (-f64::from(*value)).exp())) as f32;
    }
}

/// `1 / (1 + e^-x)` of each value, in place, in [0, 1]. Relative error at most [`SIGMOID_ERROR`];
/// below 2^-126 at most 2^-149. 0 at minus infinity, 1 from 17 on, and what is not a number stays
/// so.
pub fn sigmoid(isa: Isa, values: &mut [f32]) {
    map(isa, values, Sigmoid);
}

/// The definition of [`tanh`], in f64.
pub fn tanh_reference(values: &mut [f32]) {
    for value in values {
        *value = f64::from(*value).tanh() as f32;
    }
}

/// The hyperbolic tangent of each value, in place, in [-1, 1]. Relative error at most
/// [`TANH_ERROR`], so small values keep their digits; -1 and 1 beyond 9.1 on either side, and what
/// is not a number stays so.
pub fn tanh(isa: Isa, values: &mut [f32]) {
    map(isa, values, Tanh);
}

/// How far [`exp`] can be from the exact value, relative to it: 2^-23.
pub const EXP_ERROR: f32 = 1.0 / (1 << 23) as f32;

/// How far [`sigmoid`] can be from the exact value, relative to it: 2^-22.
pub const SIGMOID_ERROR: f32 = 1.0 / (1 << 22) as f32;

/// How far [`tanh`] can be from the exact value, relative to it: 2^-22.
pub const TANH_ERROR: f32 = 1.0 / (1 << 22) as f32;

#[derive(Clone, Copy)]
struct Exp;

impl Map for Exp {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        exp_of(simd, x)
    }
}

#[derive(Clone, Copy)]
struct Sigmoid;

impl Map for Sigmoid {
    /// From e^-|x|, which is never large: the form that keeps its digits on both sides of 0.
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let sign = simd.transmute_u32s_f32s(simd.splat_f32s(-0.0));
        let low = simd.or_u32s(sign, simd.transmute_u32s_f32s(x));
        let small = exp_below_zero(simd, simd.transmute_f32s_u32s(low));
        let negative = simd.less_than_f32s(x, zero);
        let numerator = simd.select_f32s(negative, small, one);
        simd.div_f32s(numerator, simd.add_f32s(one, small))
    }
}

#[derive(Clone, Copy)]
struct Tanh;

impl Map for Tanh {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::f32s) -> S::f32s {
        let (one, two) = (simd.splat_f32s(1.0), simd.splat_f32s(2.0));
        let size = simd.abs_f32s(x);
        // Far from 0: t / (t + 2) with t = e^2x - 1. Beyond 10, that is 1 as it is there.
        let doubled = simd.min_f32s(simd.add_f32s(size, size), simd.splat_f32s(20.0));
        let parts = split(simd, doubled, BIAS);
        let rest = simd.sub_f32s(parts.power, one);
        let grown = simd.mul_add_e_f32s(parts.power, parts.fraction, rest);
        let far = simd.div_f32s(grown, simd.add_f32s(grown, two));
        // Near 0 with fewer roundings: x + x^3 P(x^2). What is not a number is not far, and stays so.
        let square = simd.mul_f32s(size, size);
        let p = polynomial(simd, square, TANH);
        let near = simd.mul_add_e_f32s(simd.mul_f32s(p, square), size, size);
        let is_far = simd.less_than_f32s(simd.splat_f32s(0.3), size);
        let result = simd.select_f32s(is_far, far, near);
        // The sign is put back bit by bit, so that -0 keeps it.
        let sign = simd.transmute_u32s_f32s(simd.splat_f32s(-0.0));
        let sign = simd.and_u32s(sign, simd.transmute_u32s_f32s(x));
        simd.transmute_f32s_u32s(simd.or_u32s(simd.transmute_u32s_f32s(result), sign))
    }
}

/// e^r = 1 + r + r^2 P(r) for |r| <= ln(2) / 2.
const EXP: [f32; 6] = [
    1.987_569_1e-4,
    1.398_199_9e-3,
    8.333_452e-3,
    4.166_579_6e-2,
    1.666_666_5e-1,
    5e-1,
];

/// tanh(x) = x + x^3 P(x^2) for |x| <= 0.3, within 2^-26 of it: the polynomial of its degree with the
/// least relative error (Remez).
const TANH: [f32; 3] = [-5.037_23e-2, 1.331_490_8e-1, -3.333_306_3e-1];

/// Adding this to a small number rounds it to a whole one, which the low bits of the sum then are.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

/// ln(2) in two parts: the first has so few digits that its products with whole numbers are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// What the exponent of a power of two has beside it.
const BIAS: f32 = 127.0;

/// e^x = 2^n (1 + fraction).
struct Parts<S: Simd> {
    fraction: S::f32s,
    /// 2^n, times what the bias was made larger by.
    power: S::f32s,
    n: S::f32s,
}

/// For an x such that n + `bias` is in 1..=254, the exponents that f32 has.
#[inline(always)]
fn split<S: Simd>(simd: S, x: S::f32s, bias: f32) -> Parts<S> {
    // With n whole and r small, e^x = 2^n e^r.
    let round = simd.splat_f32s(ROUND + bias);
    let biased = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), round);
    let n = simd.sub_f32s(biased, round);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2_HIGH), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2_LOW), r);
    let p = polynomial(simd, r, EXP);
    let fraction = simd.mul_add_e_f32s(simd.mul_f32s(r, r), p, r);
    let power = power_of_two(simd, biased);
    Parts { fraction, power, n }
}

#[inline(always)]
fn exp_of<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Beyond these, results are 0 and infinite. Comparisons leave what is not a number as it is.
    let (low, high) = (simd.splat_f32s(-104.0), simd.splat_f32s(89.0));
    let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
    let x = simd.select_f32s(simd.less_than_f32s(high, x), high, x);
    let Parts { fraction, n, .. } = split(simd, x, 0.0);
    let fraction = simd.add_f32s(fraction, simd.splat_f32s(1.0));
    // In two steps: 2^n alone leaves the range of f32 where e^x is just inside it.
    let round = simd.splat_f32s(ROUND);
    let half = simd.mul_add_e_f32s(n, simd.splat_f32s(0.5), round);
    let half = simd.sub_f32s(half, round);
    let bias = simd.splat_f32s(ROUND + BIAS);
    let scaled = simd.mul_f32s(fraction, power_of_two(simd, simd.add_f32s(half, bias)));
    let rest = simd.add_f32s(simd.sub_f32s(n, half), bias);
    simd.mul_f32s(scaled, power_of_two(simd, rest))
}

/// e^x for x that are not above 0.
#[inline(always)]
fn exp_below_zero<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Below, the result is 0. The comparison leaves what is not a number as it is.
    let low = simd.splat_f32s(-104.0);
    let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
    // In two steps, the second of which alone leaves the range of numbers with all digits.
    let parts = split(simd, x, BIAS + SMALL);
    let fraction = simd.add_f32s(parts.fraction, simd.splat_f32s(1.0));
    let scaled = simd.mul_f32s(fraction, parts.power);
    simd.mul_f32s(scaled, simd.splat_f32s(SMALL_POWER))
}

/// [`exp_below_zero`] makes powers larger by 2^75, so that all of them have all their digits.
const SMALL: f32 = 75.0;
const SMALL_POWER: f32 = f32::from_bits((127 - 75) << 23);

/// 2^n from what has n + [`BIAS`] in its lowest bits: all else is shifted out.
#[inline(always)]
fn power_of_two<S: Simd>(simd: S, biased: S::f32s) -> S::f32s {
    let bits = simd.transmute_u32s_f32s(biased);
    simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23)))
}

/// Horner's rule, the highest coefficient first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(coefficient));
    }
    sum
}
