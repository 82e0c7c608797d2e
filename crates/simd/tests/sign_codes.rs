//! Sign codes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_simd::{
    CodeRows, Isa, encode_signs, hamming, hamming_reference, hamming_rows, sign_words,
};
use cortica_testkit::{bundle, cosine};

fn encoded(values: &[f32]) -> Vec<u64> {
    let mut words = vec![u64::MAX; sign_words(values.len())];
    encode_signs(values, &mut words);
    words
}

#[test]
fn a_bit_a_value() {
    assert_eq!([0, 1, 64, 65, 768].map(sign_words), [0, 1, 1, 2, 12]);
    assert_eq!(encoded(&[1.0, -1.0, 0.0, -0.0, 0.5]), [0b10001]);
    assert_eq!(
        encoded(&[f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
        [0b100]
    );
    assert_eq!(encoded(&[f32::from_bits(1), -f32::from_bits(1)]), [0b01]);
    for d in 1..=130 {
        for at in 0..d {
            let mut values = vec![-1.0; d];
            values[at] = 1.0;
            let words = encoded(&values);
            assert_eq!(words[at / 64], 1 << (at % 64), "{at} of {d}");
            assert_eq!(words.iter().map(|word| word.count_ones()).sum::<u32>(), 1);
        }
    }
}

#[test]
fn places_and_values_need_not_match() {
    let mut words = [7; 3];
    encode_signs(&[1.0; 65], &mut words);
    assert_eq!(words, [u64::MAX, 1, 0]);
    encode_signs(&[1.0; 65], &mut words[..1]);
    assert_eq!(words, [u64::MAX, 1, 0]);
}

#[test]
fn distances_have_the_same_bits_everywhere() {
    let data = bundle();
    let codes: Vec<Vec<u64>> = (0..65).map(|row| encoded(data.row(row))).collect();
    let flat = codes.concat();
    let query = encoded(data.query(0));
    for isa in Isa::available() {
        for count in [0, 1, 63, 64, 65] {
            let rows = CodeRows::packed(&flat[..count * 12], 12).unwrap();
            let mut out = vec![9_999; 66];
            hamming_rows(isa, &query, rows, &mut out);
            for (row, code) in codes[..count].iter().enumerate() {
                assert_eq!(out[row], hamming_reference(&query, code), "{isa}");
                assert_eq!(out[row], hamming(isa, &query, code), "{isa}");
            }
            assert!(out[count..].iter().all(|&place| place == 9_999), "{isa}");
        }
        assert_eq!(hamming(isa, &[], &[1]), 0);
    }
}

/// What the codes are for: the share of differing signs is about the angle over pi.
#[test]
fn distances_follow_the_angle() {
    let data = bundle();
    let query = data.query(0);
    let code = encoded(query);
    let mean_miss = (0..1_000)
        .map(|row| {
            let differing = f64::from(hamming_reference(&code, &encoded(data.row(row))));
            let angle = cosine(query, data.row(row)).acos() / std::f64::consts::PI;
            (differing / data.dimension as f64 - angle).abs()
        })
        .sum::<f64>()
        / 1_000.0;
    // One sign has a standard deviation of 0.5, 768 independent ones of 0.018 in the mean.
    assert!(mean_miss < 0.03, "{mean_miss}");
}
