//! Exponential, sigmoid and tangent within their stated errors, on every instruction set.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_simd::{
    EXP_ERROR, Isa, SIGMOID_ERROR, TANH_ERROR, exp, exp_reference, sigmoid, sigmoid_reference,
    tanh, tanh_reference,
};
use std::iter::zip;
use support::each_isa;

type Kernel = fn(Isa, &mut [f32]);

/// One of each, with its exact form and its error.
type Row = (&'static str, Kernel, fn(&mut [f32]), fn(f64) -> f64, f32);

const FUNCTIONS: [Row; 3] = [
    ("exp", exp, exp_reference, f64::exp, EXP_ERROR),
    (
        "sigmoid",
        sigmoid,
        sigmoid_reference,
        exact_sigmoid,
        SIGMOID_ERROR,
    ),
    ("tanh", tanh, tanh_reference, f64::tanh, TANH_ERROR),
];

fn exact_sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Every f32 at a distance of `step` in bits, of both signs, up to the largest.
fn all_sizes(step: u32) -> impl Iterator<Item = f32> {
    let sizes = (0..f32::INFINITY.to_bits()).step_by(step as usize);
    sizes.flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
}

/// Where these functions change their form, and a few values on either side.
fn edges() -> impl Iterator<Item = f32> {
    let edges = [
        0.0,
        0.346_573_6,
        0.5,
        0.625,
        std::f32::consts::LN_2,
        1.0,
        8.0,
        9.01,
        9.1,
        17.0,
        17.4,
        44.0,
        87.33,
        87.336_54,
        88.0,
        88.722_83,
        88.722_84,
        88.8,
        89.0,
        103.2,
        103.97,
        104.0,
        105.0,
        200.0,
    ];
    let around = |edge: f32| {
        let bits = edge.to_bits();
        (bits.saturating_sub(40)..bits + 40).map(f32::from_bits)
    };
    edges.into_iter().flat_map(around).flat_map(|x| [x, -x])
}

#[test]
fn errors_are_bounded_over_the_whole_range() {
    let values: Vec<f32> = all_sizes(4_001).chain(edges()).collect();
    each_isa(|isa| {
        for (name, kernel, definition, exact, error) in FUNCTIONS {
            let (mut got, mut defined) = (values.clone(), values.clone());
            kernel(isa, &mut got);
            definition(&mut defined);
            for (&x, (&got, &defined)) in zip(&values, zip(&got, &defined)) {
                let want = exact(f64::from(x));
                assert_eq!(defined, want as f32, "{name} {x:e}");
                if defined.is_infinite() || got.is_infinite() {
                    // One of them may have rounded down to the largest number.
                    assert!(got.min(defined) >= f32::MAX, "{isa} {name} {x:e}: {got:e}");
                    continue;
                }
                let normal = want.abs() >= f64::from(f32::MIN_POSITIVE);
                let allowed = if normal || name == "tanh" {
                    f64::from(error) * want.abs()
                } else {
                    2.0_f64.powi(-149)
                };
                let miss = (f64::from(got) - want).abs();
                assert!(
                    miss <= allowed,
                    "{isa} {name} {x:e}: {got:e} is not {want:e}"
                );
            }
        }
    });
}

#[test]
fn ends_and_what_is_not_a_number() {
    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;
    each_isa(|isa| {
        let check = |kernel: Kernel, value: f32, want: f32| {
            // In a whole vector and in a tail.
            let mut values = [value; 37];
            kernel(isa, &mut values);
            for got in values {
                let equal = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                assert!(equal, "{isa} of {value}: {got} is not {want}");
            }
        };
        for (value, e, s, t) in [
            (INF, INF, 1.0, 1.0),
            (-INF, 0.0, 0.0, -1.0),
            (NAN, NAN, NAN, NAN),
            (-NAN, NAN, NAN, NAN),
            (0.0, 1.0, 0.5, 0.0),
            (-0.0, 1.0, 0.5, -0.0),
            (f32::MAX, INF, 1.0, 1.0),
            (f32::MIN, 0.0, 0.0, -1.0),
            (-104.0, 0.0, 0.0, -1.0),
            (89.0, INF, 1.0, 1.0),
            (17.0, 24_154_952.0, 1.0, 1.0),
            (f32::from_bits(1), 1.0, 0.5, f32::from_bits(1)),
        ] {
            check(exp, value, e);
            check(sigmoid, value, s);
            check(tanh, value, t);
        }
    });
}

#[test]
fn results_stay_in_their_range() {
    let values: Vec<f32> = all_sizes(10_007).chain(edges()).collect();
    each_isa(|isa| {
        let mut sigmoids = values.clone();
        sigmoid(isa, &mut sigmoids);
        assert!(sigmoids.iter().all(|y| (0.0..=1.0).contains(y)), "{isa}");
        let mut tangents = values.clone();
        tanh(isa, &mut tangents);
        for (x, y) in zip(&values, &tangents) {
            assert!((-1.0..=1.0).contains(y), "{isa} {x:e}: {y}");
            assert_eq!(
                x.is_sign_negative(),
                y.is_sign_negative(),
                "{isa} {x:e}: {y}"
            );
        }
    });
}

#[test]
fn every_length_gives_the_same_values() {
    each_isa(|isa| {
        let values = support::values(200, 1);
        for (name, kernel, ..) in FUNCTIONS {
            let mut whole = values.clone();
            kernel(isa, &mut whole);
            for length in 0..=130 {
                let mut part = values[3..3 + length].to_vec();
                kernel(isa, &mut part);
                assert_eq!(part, whole[3..3 + length], "{isa} {name} {length}");
            }
        }
    });
}
