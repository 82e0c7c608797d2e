//! Kernels that change values in place, against their definitions, on every instruction set.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_simd::{
    Isa, Rows, axpy, axpy_reference, clamped_add, clamped_add_reference, decay, decay_factor,
    decay_reference, distance_similarities, distance_similarity, reinforce, reinforce_reference,
    scale, scale_reference, weigh, weigh_reference, weighted_average, weighted_average_reference,
    weighted_mean, weighted_mean_reference,
};
use std::iter::zip;
use support::{each_isa, lengths, values};

const EPSILON: f64 = f32::EPSILON as f64;

/// What a memory could be handed by mistake, among ordinary values.
fn odd_values(len: usize, salt: usize) -> Vec<f32> {
    const ODD: [f32; 12] = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        1e-45,
        -1e-45,
        0.0,
        -0.0,
        1.0,
        1.000_000_1,
    ];
    let mut all = values(len, salt);
    for (at, value) in all.iter_mut().enumerate() {
        if (at + salt).is_multiple_of(3) {
            *value = ODD[(at / 3 + salt) % ODD.len()];
        }
    }
    all
}

/// The same bits, of which those of what is not a number do not count.
#[track_caller]
fn same(got: &[f32], want: &[f32], isa: Isa) {
    assert_eq!(got.len(), want.len());
    for (at, (got, want)) in zip(got, want).enumerate() {
        let equal = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
        assert!(equal, "{isa} at {at}: {got:e} is not {want:e}");
    }
}

#[test]
fn what_rounds_once_has_the_bits_of_its_definition_everywhere() {
    each_isa(|isa| {
        for len in lengths() {
            for (values, others) in [
                (values(len, 1), values(len, 2)),
                (odd_values(len, 1), odd_values(len, 3)),
            ] {
                let check = |kernel: &dyn Fn(&mut [f32]), definition: &dyn Fn(&mut [f32])| {
                    let (mut got, mut want) = (values.clone(), values.clone());
                    kernel(&mut got);
                    definition(&mut want);
                    same(&got, &want, isa);
                };
                check(&|v| clamped_add(isa, v, &others), &|v| {
                    clamped_add_reference(v, &others);
                });
                check(&|v| weigh(isa, v, &others), &|v| {
                    weigh_reference(v, &others);
                });
                check(&|v| scale(isa, v, 0.3), &|v| scale_reference(v, 0.3));
                check(&|v| decay(isa, v, 2.0, 7.0), &|v| {
                    decay_reference(v, 2.0, 7.0);
                });
                check(&|v| distance_similarities(isa, v), &|v| {
                    for value in v.iter_mut() {
                        *value = distance_similarity(*value);
                    }
                });
            }
        }
    });
}

#[test]
fn where_a_value_lies_changes_nothing() {
    each_isa(|isa| {
        let (whole, others) = (values(200, 1), values(200, 2));
        let mut at_once = whole.clone();
        axpy(isa, 0.7, &others, &mut at_once);
        for start in 1..40 {
            let mut part = whole[start..].to_vec();
            axpy(isa, 0.7, &others[start..], &mut part);
            same(&part, &at_once[start..], isa);
        }
    });
}

#[test]
fn scaled_sums_are_within_two_roundings() {
    each_isa(|isa| {
        for len in lengths() {
            let (x, y) = (values(len, 3), values(len, 4));
            let (mut got, mut defined) = (y.clone(), y.clone());
            axpy(isa, -1.7, &x, &mut got);
            axpy_reference(-1.7, &x, &mut defined);
            for at in 0..len {
                let product = f64::from(-1.7_f32) * f64::from(x[at]);
                let want = product + f64::from(y[at]);
                let error = EPSILON * (product.abs() + f64::from(y[at].abs()));
                for got in [got[at], defined[at]] {
                    assert!((f64::from(got) - want).abs() <= error, "{isa} {len} {at}");
                }
            }
        }
    });
}

#[test]
fn clamped_sums_of_the_worked_examples() {
    each_isa(|isa| {
        let check = |value: f32, change: f32, want: f32| {
            let mut values = [value];
            clamped_add(isa, &mut values, &[change]);
            assert_eq!(values, [want], "{isa}: {value} + {change}");
        };
        check(0.5, 0.1, 0.6);
        check(0.3, -0.2, 0.3 - 0.2);
        check(0.9, -0.1, 0.9 - 0.1);
        check(0.8, -0.3, 0.5);
        check(0.9, 0.2, 1.0);
        check(0.1, -0.2, 0.0);
        check(1.0, 0.0, 1.0);
        check(0.5, f32::INFINITY, 1.0);
        check(0.5, f32::NEG_INFINITY, 0.0);
        check(0.5, f32::NAN, 0.0);
        check(f32::INFINITY, f32::NEG_INFINITY, 0.0);
    });
}

#[test]
fn nearer_is_more_similar() {
    each_isa(|isa| {
        let mut similarities = [0.0, 1e-12, 0.25, 1.0, 9.0, 1e30, f32::INFINITY];
        distance_similarities(isa, &mut similarities);
        assert!(
            similarities.is_sorted_by(|a, b| a >= b),
            "{isa} {similarities:?}"
        );
        assert_eq!(similarities[2..5], [1.0 / 1.5, 0.5, 0.25]);
        assert_eq!((similarities[0], similarities[6]), (1.0, 0.0));
    });
}

#[test]
fn decay_forgets_by_the_time_that_passed() {
    let near = |got: f32, want: f64| assert!((f64::from(got) - want).abs() < 1e-7, "{got} {want}");
    near(decay_factor(0.0, 5.0), 1.0);
    near(decay_factor(5.0, 5.0), (-1.0_f64).exp());
    near(decay_factor(15.0, 5.0), (-3.0_f64).exp());
    // Two steps are one of their length.
    near(
        decay_factor(2.0, 5.0) * decay_factor(4.0, 5.0),
        (-1.2_f64).exp(),
    );
    // Total: a clock that went back, no time constant, none that ends.
    for (elapsed, constant, want) in [
        (-3.0, 5.0, 1.0),
        (f32::NAN, 5.0, 1.0),
        (1.0, 0.0, 0.0),
        (1.0, -2.0, 0.0),
        (1.0, f32::NAN, 0.0),
        (0.0, 0.0, 1.0),
        (f32::INFINITY, 5.0, 0.0),
        (1.0, f32::INFINITY, 1.0),
        (f32::INFINITY, f32::INFINITY, 1.0),
        (1e6, 1e-6, 0.0),
    ] {
        assert_eq!(
            decay_factor(elapsed, constant),
            want,
            "{elapsed} {constant}"
        );
    }
    each_isa(|isa| {
        let mut values = [1.0, 0.5, -2.0];
        decay(isa, &mut values, 5.0, 5.0);
        for (got, of) in zip(values, [1.0, 0.5, -2.0]) {
            near(got, of * (-1.0_f64).exp());
        }
    });
}

#[test]
fn averages_agree_with_the_definition() {
    each_isa(|isa| {
        for d in [1, 5, 16, 33, 100, 768] {
            for n in [0, 1, 3, 4, 5, 8, 63, 64, 65] {
                let stride = d + 3;
                let data = values(n * stride, 5);
                let rows = Rows::new(&data, d, stride).unwrap();
                let weights: Vec<f32> = values(n, 6).iter().map(|w| w.abs()).collect();
                let (mut got, mut want) = (vec![9.0; d + 2], vec![9.0; d + 2]);
                weighted_average(isa, rows, &weights, &mut got);
                weighted_average_reference(rows, &weights, &mut want);
                // Weights of one sign: the average is no larger than the largest value, 1.
                for (at, (got, want)) in zip(&got, &want).enumerate() {
                    let error = (n as f64 + 3.0) * EPSILON / 2.0;
                    let miss = f64::from((got - want).abs());
                    assert!(
                        miss <= error,
                        "{isa} d={d} n={n} at {at}: {got} is not {want}"
                    );
                }
                assert_eq!(got[d..], [9.0, 9.0], "written beyond the dimension");
            }
        }
    });
}

#[test]
fn averages_are_total() {
    each_isa(|isa| {
        let rows = Rows::packed(&[1.0, 2.0, 3.0, 4.0], 2).unwrap();
        let check = |weights: &[f32], want: [f32; 2]| {
            let mut out = [7.0; 2];
            weighted_average(isa, rows, weights, &mut out);
            assert_eq!(out, want, "{isa} {weights:?}");
            weighted_average_reference(rows, weights, &mut out);
            assert_eq!(out, want, "{weights:?}");
        };
        check(&[1.0, 1.0], [2.0, 3.0]);
        check(&[3.0, 1.0], [1.5, 2.5]);
        check(&[0.0, 5.0], [3.0, 4.0]);
        check(&[2.0], [1.0, 2.0]);
        check(&[2.0, 2.0, 99.0], [2.0, 3.0]);
        check(&[], [0.0, 0.0]);
        check(&[0.0, 0.0], [0.0, 0.0]);
        check(&[1.0, -1.0], [0.0, 0.0]);
        check(&[f32::NAN, 1.0], [0.0, 0.0]);
        check(&[f32::INFINITY, 1.0], [0.0, 0.0]);
    });
}

#[test]
fn confidences_combine_and_stay_in_their_range() {
    each_isa(|isa| {
        for len in lengths() {
            let (mut got, amounts) = (odd_values(len, 7), odd_values(len, 8));
            let before = got.clone();
            reinforce(isa, &mut got, &amounts);
            let mut want = before.clone();
            reinforce_reference(&mut want, &amounts);
            for at in 0..len {
                let unit = |x: f32| if x > 0.0 { f64::from(x.min(1.0)) } else { 0.0 };
                let exact = 1.0 - (1.0 - unit(before[at])) * (1.0 - unit(amounts[at]));
                for got in [got[at], want[at]] {
                    assert!((0.0..=1.0).contains(&got), "{isa} {at}: {got}");
                    assert!(
                        (f64::from(got) - exact).abs() <= EPSILON,
                        "{isa} {at}: {got}"
                    );
                    assert!(
                        f64::from(got) >= unit(before[at]),
                        "{isa} {at}: {got} was lowered"
                    );
                }
            }
        }
        let mut paths = [0.5, 0.0, 1.0];
        reinforce(isa, &mut paths, &[0.5, 0.25, 0.5]);
        assert_eq!(paths, [0.75, 0.25, 1.0]);
    });
}

#[test]
fn weighted_means_agree_with_the_definition() {
    each_isa(|isa| {
        for len in lengths() {
            let values = values(len, 9);
            let weights: Vec<f32> = support::values(len, 10).iter().map(|w| w.abs()).collect();
            let got = weighted_mean(isa, &values, &weights);
            let want = weighted_mean_reference(&values, &weights);
            assert!(
                (got - want).abs() < 1e-7,
                "{isa} {len}: {got} is not {want}"
            );
        }
        assert_eq!(weighted_mean(isa, &[0.25, 0.75], &[1.0, 3.0]), 0.625);
        assert_eq!(weighted_mean(isa, &[], &[]), 0.0);
        assert_eq!(weighted_mean(isa, &[0.5], &[0.0]), 0.0);
        assert_eq!(weighted_mean(isa, &[0.5, 0.5], &[f32::NAN, 1.0]), 0.0);
        assert_eq!(weighted_mean(isa, &[1.0; 40], &[f32::MAX; 40]), 1.0);
    });
}
