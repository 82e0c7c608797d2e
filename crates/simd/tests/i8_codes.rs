//! Vectors in i8: what the codes miss, and what they say about the vectors behind them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_simd::{
    CodeRows, I8Rows, I8RowsError, I8Scale, I8Vector, Isa, decode_i8, dot,
    dot_estimate_i8_reference, dot_estimates_i8, dot_i8, dot_i8_reference, encode_i8,
    squared_distance, squared_distance_estimates_i8,
};
use cortica_testkit::bundle;
use std::iter::zip;

fn values(count: usize, salt: usize) -> Vec<f32> {
    let spread = |at: usize| ((at * 7_919 + salt * 104_729) % 2_003) as f32 / 1_001.5 - 1.0;
    (0..count).map(spread).collect()
}

fn encoded(isa: Isa, values: &[f32]) -> (Vec<i8>, I8Scale) {
    let mut codes = vec![1; values.len()];
    let scale = encode_i8(isa, values, &mut codes);
    (codes, scale)
}

#[track_caller]
fn check_codes(isa: Isa, values: &[f32]) {
    let (codes, scale) = encoded(isa, values);
    let codes = I8Vector {
        codes: &codes,
        scale,
    };
    let mut decoded = vec![0.0; values.len()];
    decode_i8(codes, &mut decoded);
    let step = f64::from(scale.scale);
    let allowed = if step == 0.0 { 1.5e-36 } else { 0.5001 * step };
    let mut missed = 0.0;
    for ((&value, &code), &decoded) in zip(zip(values, codes.codes), &decoded) {
        assert!((-127..=127).contains(&code));
        let exact = step * f64::from(code);
        assert!(
            (f64::from(value) - exact).abs() <= allowed,
            "{isa}: {value} as {code}"
        );
        assert!((f64::from(decoded) - exact).abs() <= 1e-7 * exact.abs());
        missed += (f64::from(value) - exact).powi(2);
    }
    assert!(f64::from(scale.error) >= missed.sqrt(), "{isa}: {scale:?}");
    assert!(
        f64::from(scale.error) <= missed.sqrt() * 1.000_001 + 1e-44,
        "{isa}: {scale:?}"
    );
    let norm = values
        .iter()
        .map(|&value| f64::from(value).powi(2))
        .sum::<f64>()
        .sqrt();
    let norm_is_right = (f64::from(scale.norm) - norm).abs() <= 1e-7 * norm + 1e-44;
    assert!(norm_is_right || norm > f64::from(f32::MAX), "{scale:?}");
}

#[test]
fn codes_stay_within_their_bound() {
    for isa in Isa::available() {
        for d in (0..=130).chain([384, 512, 768, 1_536]) {
            check_codes(isa, &values(d, 1));
        }
        for size in [1e-45, 1e-40, 1.4e-36, 1.6e-36, 1e-20, 1e20, 1e38] {
            check_codes(
                isa,
                &values(100, 2).iter().map(|x| x * size).collect::<Vec<_>>(),
            );
        }
        check_codes(isa, &[0.0; 70]);
        check_codes(isa, &[f32::MAX; 70]);
        check_codes(
            isa,
            &[
                f32::MAX,
                -f32::MAX,
                f32::MIN_POSITIVE,
                f32::from_bits(1),
                -0.0,
            ],
        );
    }
}

#[test]
fn the_largest_value_gets_the_largest_code() {
    for isa in Isa::available() {
        for at in 0..70 {
            let mut one = [0.01; 70];
            one[at] = -3.0;
            assert_eq!(encoded(isa, &one).0[at], -127, "{isa}");
        }
    }
}

#[test]
fn halves_go_to_the_even_code() {
    for isa in Isa::available() {
        let (codes, scale) = encoded(isa, &[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, 0.499, 0.501]);
        assert_eq!(scale.scale, 1.0);
        assert_eq!(codes, [127, 0, 2, 2, 0, -2, 0, 1], "{isa}");
    }
}

#[test]
fn what_is_not_finite_has_no_score() {
    for isa in Isa::available() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 17, 69] {
                let mut one = values(70, 3);
                one[at] = bad;
                let (codes, scale) = encoded(isa, &one);
                assert!(scale.scale.is_nan() && codes.iter().all(|&code| code == 0));
            }
        }
    }
}

#[test]
fn shorter_slices_count() {
    for isa in Isa::available() {
        let mut codes = [9; 5];
        encode_i8(isa, &[1.0, 2.0], &mut codes);
        assert_eq!(codes, [64, 127, 9, 9, 9], "{isa}"); // 63.5 goes to the even 64.
        assert_eq!(dot_i8(isa, &[1, 2, 3], &[4, 5]), 14);
        assert_eq!(dot_i8(isa, &[], &[4, 5]), 0);
    }
}

#[test]
fn products_have_the_same_bits_everywhere() {
    let (a, b) = (
        encoded(Isa::Scalar, &values(768, 4)).0,
        encoded(Isa::Scalar, &values(768, 5)).0,
    );
    for isa in Isa::available() {
        for d in 0..=768 {
            assert_eq!(
                dot_i8(isa, &a[..d], &b[..d]),
                dot_i8_reference(&a[..d], &b[..d]),
                "{isa}"
            );
        }
    }
}

#[test]
fn every_row_needs_a_scale() {
    let rows = CodeRows::packed(&[0; 6], 2).unwrap();
    let scales = [I8Scale::default(); 2];
    let error = I8Rows::new(rows, &scales).unwrap_err();
    assert_eq!(error, I8RowsError { rows: 3, scales: 2 });
    let rows = I8Rows::new(rows.range(0, 2), &scales).unwrap();
    assert_eq!(
        (rows.len(), rows.range(1, 9).len(), rows.range(5, 1).len()),
        (2, 1, 0)
    );
}

/// Real vectors: every estimate lies where its bound says, and the bound is of use.
#[test]
fn estimates_of_real_vectors_stay_within_their_bounds() {
    let data = bundle();
    let (d, count) = (data.dimension, 1_000);
    let vectors = &data.rows[..count * d];
    for isa in Isa::available() {
        let mut codes = vec![0; vectors.len()];
        let scales: Vec<I8Scale> = zip(vectors.chunks(d), codes.chunks_mut(d))
            .map(|(vector, codes)| encode_i8(isa, vector, codes))
            .collect();
        let rows = I8Rows::new(CodeRows::packed(&codes, d).unwrap(), &scales).unwrap();
        let query = data.query(0);
        let (query_codes, scale) = encoded(isa, query);
        let encoded = I8Vector {
            codes: &query_codes,
            scale,
        };
        let (mut dots, mut distances) = (vec![0.0; count], vec![0.0; count]);
        dot_estimates_i8(isa, encoded, rows, &mut dots);
        squared_distance_estimates_i8(isa, encoded, rows, &mut distances);
        for (row, vector) in vectors.chunks(d).enumerate() {
            let codes = I8Vector {
                codes: rows.codes().row(row).unwrap(),
                scale: scales[row],
            };
            let want = dot_estimate_i8_reference(encoded, codes);
            assert!((f64::from(dots[row]) - want).abs() <= 1e-6, "{isa}");
            let bound = scale.dot_error(&scales[row], isa, d);
            assert!(bound < 0.05, "{bound} for vectors of length 1");
            let miss = (dots[row] - dot(isa, query, vector)).abs();
            assert!(miss <= bound, "{isa} row {row}: {miss} of {bound}");
            let bound = scale.squared_distance_error(&scales[row], isa, d);
            let miss = (distances[row] - squared_distance(isa, query, vector)).abs();
            assert!(miss <= bound, "{isa} row {row}: {miss} of {bound}");
        }
    }
}

#[test]
fn estimates_fill_what_they_are_given() {
    let codes = [1_i8; 300 * 4];
    let scales = [I8Scale {
        scale: 0.5,
        norm: 1.0,
        error: 0.0,
    }; 300];
    let rows = I8Rows::new(CodeRows::packed(&codes, 4).unwrap(), &scales).unwrap();
    let query = I8Vector {
        codes: &[2; 4],
        scale: scales[0],
    };
    for isa in Isa::available() {
        for places in [0, 1, 255, 256, 257, 300, 305] {
            let mut out = vec![9.0; places];
            dot_estimates_i8(isa, query, rows, &mut out);
            let full = places.min(300);
            assert!(
                out[..full].iter().all(|&estimate| estimate == 2.0),
                "{isa} {places}"
            );
            assert!(
                out[full..].iter().all(|&estimate| estimate == 9.0),
                "{isa} {places}"
            );
        }
    }
}
