//! Every kernel against its definition in f64, on every instruction set this machine has.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use cortica_simd::{
    Isa, Rows, cosine, dot, dot_rows, dot_tile, error_bound, norm, squared_distance,
    squared_distance_rows, squared_distance_tile, squared_norm_f64, squared_norm_f64_reference,
};
use std::iter::zip;

/// Past the widest vector, past four of them, and the sizes people use.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=130).chain([384, 512, 768, 1_536])
}

fn values(len: usize, salt: usize) -> Vec<f32> {
    let spread = |at: usize| ((at * 7_919 + salt * 104_729 + 13) % 2_003) as f32 / 1_001.5 - 1.0;
    (0..len).map(spread).collect()
}

fn exact_dot(a: &[f32], b: &[f32]) -> (f64, f64) {
    zip(a, b).fold((0.0, 0.0), |(sum, size), (&x, &y)| {
        let product = f64::from(x) * f64::from(y);
        (sum + product, size + product.abs())
    })
}

fn exact_distance(a: &[f32], b: &[f32]) -> f64 {
    zip(a, b)
        .map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2))
        .sum()
}

#[track_caller]
fn close(got: f32, want: f64, size: f64, isa: Isa, d: usize) {
    // The result itself is rounded once when it is small; the bound is for the sum.
    let allowed = f64::from(error_bound(isa, d)) * size + 1e-40;
    assert!(
        (f64::from(got) - want).abs() <= allowed,
        "{isa} d={d}: {got} is not {want}"
    );
}

fn each_isa(check: impl Fn(Isa)) {
    for isa in Isa::available() {
        check(isa);
    }
}

#[test]
fn pairs_agree_with_the_definition_at_every_length_and_start() {
    each_isa(|isa| {
        for d in lengths() {
            for start in [0, 1, 3] {
                let (a, b) = (values(d + start, 1), values(d + start, 2));
                let (a, b) = (&a[start..], &b[start..]);
                let (want, size) = exact_dot(a, b);
                close(dot(isa, a, b), want, size, isa, d);
                let want = exact_distance(a, b);
                close(squared_distance(isa, a, b), want, want, isa, d);
            }
        }
    });
}

#[test]
fn every_position_counts_once() {
    // One-hot vectors catch a lane that is dropped, or added twice, in the final fold.
    each_isa(|isa| {
        let b: Vec<f32> = (0_u8..131).map(|value| f32::from(value) + 1.0).collect();
        for at in 0..b.len() {
            let mut a = vec![0.0; b.len()];
            a[at] = 1.0;
            assert_eq!(dot(isa, &a, &b), b[at], "{isa} position {at}");
            let mut shifted = b.clone();
            shifted[at] += 2.0;
            assert_eq!(
                squared_distance(isa, &shifted, &b),
                4.0,
                "{isa} position {at}"
            );
        }
    });
}

#[test]
fn rows_and_tiles_agree_with_the_definition_for_every_shape() {
    each_isa(|isa| {
        for d in [1, 7, 16, 33, 100, 768] {
            for n in [0, 1, 3, 4, 5, 63, 64, 65] {
                let stride = d + 5;
                let data = values(n * stride, 3);
                let rows = Rows::new(&data, d, stride).unwrap();
                for count in [0, 1, 3, 4, 5, 8, 16] {
                    let queries: Vec<_> = (0..count).map(|salt| values(d, 10 + salt)).collect();
                    let queries: Vec<_> = queries.iter().map(Vec::as_slice).collect();
                    check_tile(isa, &queries, rows);
                }
            }
        }
    });
}

fn check_tile(isa: Isa, queries: &[&[f32]], rows: Rows<'_>) {
    let d = rows.dimension();
    let mut dots = vec![f32::NAN; queries.len() * rows.len()];
    let mut distances = dots.clone();
    dot_tile(isa, queries, rows, &mut dots);
    squared_distance_tile(isa, queries, rows, &mut distances);
    let mut one_dots = vec![f32::NAN; rows.len()];
    let mut one_distances = one_dots.clone();
    for (q, query) in queries.iter().enumerate() {
        dot_rows(isa, query, rows, &mut one_dots);
        squared_distance_rows(isa, query, rows, &mut one_distances);
        for (r, row) in rows.iter().enumerate() {
            let (want, size) = exact_dot(query, row);
            close(dots[q * rows.len() + r], want, size, isa, d);
            close(one_dots[r], want, size, isa, d);
            let want = exact_distance(query, row);
            close(distances[q * rows.len() + r], want, want, isa, d);
            close(one_distances[r], want, want, isa, d);
        }
    }
}

#[test]
fn out_that_is_too_short_or_too_long_is_filled_as_far_as_it_goes() {
    each_isa(|isa| {
        let rows = Rows::packed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1).unwrap();
        let mut short = [0.0; 5];
        dot_rows(isa, &[2.0], rows, &mut short);
        assert_eq!(short, [2.0, 4.0, 6.0, 8.0, 10.0]);
        let mut long = [-1.0; 7];
        dot_rows(isa, &[2.0], rows, &mut long);
        assert_eq!(long, [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, -1.0]);
        let mut none: [f32; 0] = [];
        dot_tile(isa, &[&[1.0], &[2.0]], rows, &mut none);
    });
}

#[test]
fn cosine_is_total_and_within_a_millionth() {
    each_isa(|isa| {
        for d in lengths().filter(|&d| d > 0) {
            let (a, b) = (values(d, 4), values(d, 5));
            let (sum, _) = exact_dot(&a, &b);
            let norms = (exact_dot(&a, &a).0 * exact_dot(&b, &b).0).sqrt();
            let want = if norms == 0.0 { 0.0 } else { sum / norms };
            let got = f64::from(cosine(isa, &a, &b));
            assert!(
                (got - want).abs() < 1e-6,
                "{isa} d={d}: {got} is not {want}"
            );
        }
        assert_eq!(cosine(isa, &[], &[]), 0.0);
        assert_eq!(cosine(isa, &[0.0; 20], &[1.0; 20]), 0.0);
        assert_eq!(cosine(isa, &[-0.0], &[1.0]), 0.0);
        assert_eq!(cosine(isa, &[3.0; 9], &[7.0; 9]), 1.0);
        assert!((norm(isa, &[3.0, 4.0]) - 5.0).abs() < 1e-6);
    });
}

#[test]
fn squared_norms_in_f64_are_finite_exactly_when_the_values_are() {
    each_isa(|isa| {
        for d in lengths() {
            let a = values(d, 6);
            let (got, want) = (squared_norm_f64(isa, &a), squared_norm_f64_reference(&a));
            assert!(
                (got - want).abs() <= want * 1e-12,
                "{isa} d={d}: {got} is not {want}"
            );
            assert!(squared_norm_f64(isa, &vec![f32::MAX; d]).is_finite());
            for at in 0..d.min(140) {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut a = a.clone();
                    a[at] = bad;
                    assert!(
                        !squared_norm_f64(isa, &a).is_finite(),
                        "{isa} d={d} at {at}"
                    );
                }
            }
        }
        let tiny = squared_norm_f64(isa, &[f32::from_bits(1); 3]);
        assert!(tiny > 0.0, "a denormal vanished");
    });
}

#[test]
fn denormals_and_huge_values_do_not_break_a_kernel() {
    each_isa(|isa| {
        let tiny = [1e-40_f32; 40];
        assert!((dot(isa, &tiny, &[1.0; 40]) - 4e-39).abs() < 1e-42, "{isa}");
        assert_eq!(dot(isa, &[1e38; 40], &[1e38; 40]), f32::INFINITY);
        assert_eq!(squared_distance(isa, &[1e38; 40], &[1e38; 40]), 0.0);
        assert!(dot(isa, &[f32::NAN; 40], &[1.0; 40]).is_nan());
    });
}
