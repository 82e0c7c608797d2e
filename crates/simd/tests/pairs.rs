//! Kernels over two vectors against their definitions in f64, on every instruction set.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_simd::{
    Isa, cosine, cosine_reference, cosine_with_norms, cosine_with_norms_reference, dot,
    dot_reference, inverse_norm, inverse_norm_reference, norm, norm_reference, squared_distance,
    squared_distance_reference, squared_norm_f64, squared_norm_f64_reference,
};
use support::{close, each_isa, exact_cosine, exact_distance, exact_dot, lengths, values};

/// A cosine of real vectors is held to this.
const COSINE_ERROR: f64 = 1e-6;

#[track_caller]
fn near(got: f32, want: f64, error: f64, isa: Isa, d: usize) {
    let miss = (f64::from(got) - want).abs();
    assert!(miss < error, "{isa} d={d}: {got} is not {want}");
}

#[test]
fn pairs_agree_with_the_definition_at_every_length_and_start() {
    each_isa(|isa| {
        for d in lengths() {
            // Behind the start of a cache line by every number of values a vector could be.
            for start in 0..17 {
                let (a, b) = (values(d + start, 1), values(d + 2 * start, 2));
                let (a, b) = (&a[start..], &b[2 * start..]);
                let (want, size) = exact_dot(a, b);
                close(isa, d, dot(isa, a, b), want, size);
                let want = exact_distance(a, b);
                close(isa, d, squared_distance(isa, a, b), want, want);
                let want = exact_cosine(a, b);
                near(cosine(isa, a, b), want, COSINE_ERROR, isa, d);
                let norms = (inverse_norm(isa, a), inverse_norm(isa, b));
                let got = cosine_with_norms(isa, a, b, norms.0, norms.1);
                near(got, want, COSINE_ERROR, isa, d);
                let want = exact_dot(a, a).0.sqrt();
                close(isa, d, norm(isa, a), want, want);
            }
        }
    });
}

#[test]
fn definitions_agree_with_f64() {
    for d in lengths() {
        let (a, b) = (values(d, 3), values(d, 4));
        let (sum, size) = exact_dot(&a, &b);
        // One accumulator: d roundings.
        let error = d as f64 * f64::from(f32::EPSILON);
        assert!((f64::from(dot_reference(&a, &b)) - sum).abs() <= error * size);
        let distance = exact_distance(&a, &b);
        let got = f64::from(squared_distance_reference(&a, &b));
        assert!((got - distance).abs() <= error * distance);
        let cosine = exact_cosine(&a, &b);
        assert!((f64::from(cosine_reference(&a, &b)) - cosine).abs() < 1e-7);
        let norms = (inverse_norm_reference(&a), inverse_norm_reference(&b));
        let got = cosine_with_norms_reference(&a, &b, norms.0, norms.1);
        assert!((f64::from(got) - cosine).abs() <= error + 1e-6);
        let norm = exact_dot(&a, &a).0.sqrt();
        assert!((f64::from(norm_reference(&a)) - norm).abs() <= 1e-7 * norm);
    }
}

#[test]
fn every_position_counts_once() {
    // One-hot vectors catch a lane that is dropped, or added twice, in the final fold.
    each_isa(|isa| {
        for d in [131, 768] {
            let b: Vec<f32> = (0..d).map(|at| (at % 97) as f32 + 1.0).collect();
            for at in 0..d {
                let mut a = vec![0.0; d];
                a[at] = 1.0;
                assert_eq!(dot(isa, &a, &b), b[at], "{isa} d={d} position {at}");
                let want = exact_cosine(&a, &b);
                near(cosine(isa, &a, &b), want, COSINE_ERROR, isa, d);
                let mut moved = b.clone();
                moved[at] += 2.0;
                let got = squared_distance(isa, &moved, &b);
                assert_eq!(got, 4.0, "{isa} d={d} position {at}");
            }
        }
    });
}

/// Scores that were computed with a stored norm, or found in a tile and computed again, are the
/// same numbers.
#[test]
fn canonical_kernels_have_the_bits_of_their_formula() {
    each_isa(|isa| {
        for d in lengths() {
            let (a, b) = (values(d, 5), values(d, 6));
            let formula = dot(isa, &a, &b) / (dot(isa, &a, &a).sqrt() * dot(isa, &b, &b).sqrt());
            let formula = if d == 0 {
                0.0
            } else {
                formula.clamp(-1.0, 1.0)
            };
            assert_eq!(
                cosine(isa, &a, &b).to_bits(),
                formula.to_bits(),
                "{isa} d={d}"
            );
            let norms = (inverse_norm(isa, &a), inverse_norm(isa, &b));
            let formula = (dot(isa, &a, &b) * (norms.0 * norms.1)).clamp(-1.0, 1.0);
            let got = cosine_with_norms(isa, &a, &b, norms.0, norms.1);
            assert_eq!(got.to_bits(), formula.to_bits(), "{isa} d={d}");
            // Where a vector lies in memory changes nothing.
            for start in 1..17 {
                let moved = [&vec![9.0; start], a.as_slice()].concat();
                let moved = &moved[start..];
                assert_eq!(dot(isa, moved, &b).to_bits(), dot(isa, &a, &b).to_bits());
                let got = squared_distance(isa, moved, &b);
                assert_eq!(got.to_bits(), squared_distance(isa, &a, &b).to_bits());
            }
        }
    });
}

#[test]
fn the_longer_of_two_vectors_is_cut() {
    each_isa(|isa| {
        let (a, b) = (values(100, 7), values(37, 8));
        assert_eq!(dot(isa, &a, &b), dot(isa, &a[..37], &b));
        assert_eq!(
            squared_distance(isa, &b, &a),
            squared_distance(isa, &b, &a[..37])
        );
        assert_eq!(cosine(isa, &a, &b), cosine(isa, &a[..37], &b));
    });
}

#[test]
fn cosine_is_total() {
    each_isa(|isa| {
        let check = |a: &[f32], b: &[f32], want: f32| {
            assert_eq!(cosine(isa, a, b), want, "{isa} {a:?} {b:?}");
            assert_eq!(cosine_reference(a, b), want);
            let norms = (inverse_norm(isa, a), inverse_norm(isa, b));
            let got = cosine_with_norms(isa, a, b, norms.0, norms.1);
            assert!((got - want).abs() < 1e-6, "{isa} {a:?} {b:?}: {got}");
        };
        check(&[], &[], 0.0);
        check(&[0.0; 20], &[1.0; 20], 0.0);
        check(&[1.0; 700], &[0.0; 700], 0.0);
        check(&[-0.0], &[1.0], 0.0);
        check(&[0.0], &[0.0], 0.0);
        check(&[3.0; 9], &[7.0; 9], 1.0);
        check(&[3.0; 9], &[-7.0; 9], -1.0);
        assert!(cosine(isa, &[f32::NAN], &[1.0]).is_nan());
        assert!(cosine(isa, &[f32::INFINITY, 1.0], &[1.0, 1.0]).is_nan());
        assert!(cosine_with_norms(isa, &[f32::NAN], &[1.0], 1.0, 1.0).is_nan());
        assert!((norm(isa, &[3.0, 4.0]) - 5.0).abs() < 1e-6);
        assert_eq!(inverse_norm(isa, &[]), 0.0);
        assert_eq!(inverse_norm(isa, &[0.0; 40]), 0.0);
        assert_eq!(inverse_norm(isa, &[0.0, -4.0]), 0.25);
        assert!(inverse_norm(isa, &[f32::NAN]).is_nan());
    });
}

#[test]
fn cosines_and_lengths_hold_at_both_ends_of_the_range() {
    each_isa(|isa| {
        for d in [1, 5, 16, 100, 768] {
            let (a, b) = (values(d, 9), values(d, 10));
            let want = exact_cosine(&a, &b);
            let stretched = |a: &[f32], by: f32| a.iter().map(|x| x * by).collect::<Vec<_>>();
            for by in [1e-36, 1e-25, 1e-12, 1e12, 1e19, 1e25, 1e37] {
                let (a, b) = (stretched(&a, by), stretched(&b, by));
                near(cosine(isa, &a, &b), want, COSINE_ERROR, isa, d);
                let length = exact_dot(&a, &a).0.sqrt();
                close(isa, d, norm(isa, &a), length, length);
                let inverse = f64::from(inverse_norm(isa, &a)) * length;
                assert!((inverse - 1.0).abs() < 1e-6, "{isa} d={d} {by}: {inverse}");
            }
            // One of each: the products are ordinary again, the squares are not.
            let (a, b) = (stretched(&a, 1e-30), stretched(&b, 1e30));
            near(cosine(isa, &a, &b), want, COSINE_ERROR, isa, d);
        }
        assert_eq!(inverse_norm(isa, &[f32::from_bits(1)]), f32::MAX);
        assert!(inverse_norm(isa, &[f32::MAX; 4]) > 0.0);
    });
}

#[test]
fn squared_norms_in_f64_are_finite_exactly_when_the_values_are() {
    each_isa(|isa| {
        for d in lengths() {
            let a = values(d, 6);
            let (got, want) = (squared_norm_f64(isa, &a), squared_norm_f64_reference(&a));
            assert!((got - want).abs() <= want * 1e-12, "{isa} d={d}: {got}");
            assert!(squared_norm_f64(isa, &vec![f32::MAX; d]).is_finite());
            for at in 0..d.min(140) {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut a = a.clone();
                    a[at] = bad;
                    let squares = squared_norm_f64(isa, &a);
                    assert!(!squares.is_finite(), "{isa} d={d} at {at}");
                }
            }
        }
        let tiny = squared_norm_f64(isa, &[f32::from_bits(1); 3]);
        assert!(tiny > 0.0, "a denormal vanished");
    });
}

#[test]
fn zero_denormal_and_huge_values_do_not_break_a_kernel() {
    each_isa(|isa| {
        let tiny = [1e-40_f32; 40];
        assert!((dot(isa, &tiny, &[1.0; 40]) - 4e-39).abs() < 1e-42, "{isa}");
        assert_eq!(dot(isa, &[0.0; 40], &[f32::MAX; 40]), 0.0);
        assert_eq!(dot(isa, &[1e38; 40], &[1e38; 40]), f32::INFINITY);
        assert_eq!(squared_distance(isa, &[1e38; 40], &[1e38; 40]), 0.0);
        assert_eq!(
            squared_distance(isa, &[1e38; 40], &[-1e38; 40]),
            f32::INFINITY
        );
        assert!(dot(isa, &[f32::NAN; 40], &[1.0; 40]).is_nan());
        assert_eq!(norm(isa, &[f32::MAX; 40]), f32::INFINITY);
        assert_eq!(norm(isa, &[f32::MAX]), f32::MAX);
        assert_eq!(norm(isa, &[f32::from_bits(1)]), f32::from_bits(1));
    });
}
