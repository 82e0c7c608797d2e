//! Windows and fields: the bits of their definitions, on every instruction set and at every length.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_simd::{
    Isa, WINDOW_REACH_MAX, ramp_field, ramp_field_reference, relax_field, relax_field_reference,
    tap_sum, tap_sum_reference, window_max, window_max_reference, window_sum, window_sum_reference,
};
use support::{each_isa, values};

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn windows_have_the_bits_of_their_definitions() {
    each_isa(|isa| {
        for length in (0..=70).chain([257, 1_000]) {
            let input = values(length, 1);
            for stride in [0, 1, 2, 13] {
                for reach in 0..=WINDOW_REACH_MAX {
                    let weights = values(2 * reach + 1, 2);
                    for out_length in [
                        length,
                        length.saturating_sub(2 * reach * stride),
                        length + 3,
                    ] {
                        let (mut got, mut want) = (vec![9.0; out_length], vec![7.0; out_length]);
                        window_sum(isa, &weights, stride, &input, &mut got);
                        window_sum_reference(&weights, stride, &input, &mut want);
                        assert_eq!(bits(&got), bits(&want), "{isa} {length} {stride} {reach}");
                        window_max(isa, reach, stride, &input, &mut got);
                        window_max_reference(reach, stride, &input, &mut want);
                        assert_eq!(bits(&got), bits(&want), "{isa} {length} {stride} {reach}");
                    }
                }
            }
        }
    });
}

#[test]
fn taps_have_the_bits_of_their_definition() {
    let mut rng = cortica_testkit::Rng::new(61);
    for length in [0, 1, 15, 63, 64, 65, 129, 400, 1_000] {
        for count in [0, 1, 7, 33] {
            let values: Vec<f32> = (0..length).map(|_| rng.unit()).collect();
            let taps: Vec<(usize, f32)> = (0..count)
                .map(|_| (rng.below(70), rng.unit() - 0.5))
                .collect();
            let mut want = vec![0.0; length];
            tap_sum_reference(&taps, &values, &mut want);
            for isa in Isa::available() {
                let mut got = vec![1.0; length];
                tap_sum(isa, &taps, &values, &mut got);
                assert_eq!(bits(&got), bits(&want), "{isa} {length} {count}");
            }
        }
    }
}

#[test]
fn fields_have_the_bits_of_their_definitions() {
    each_isa(|isa| {
        for length in (0..=70).chain([257, 1_000]) {
            let mask: Vec<f32> = (0..length)
                .map(|at| f32::from(u8::from(at % 3 != 0)))
                .collect();
            let [drive, wide, narrow, start] = [1, 2, 3, 4].map(|salt| values(length, salt));
            let (mut got, mut want) = (vec![9.0; length], vec![7.0; length]);
            ramp_field(isa, 3.0, &mask, &start, &wide, &mut got);
            ramp_field_reference(3.0, &mask, &start, &wide, &mut want);
            assert_eq!(bits(&got), bits(&want), "{isa} {length}");
            let (mut got, mut want) = (start.clone(), start);
            let inhibition = [wide.as_slice(), narrow.as_slice()];
            let changed = relax_field(isa, 0.75, &mask, &drive, inhibition, &mut got);
            let wanted = relax_field_reference(0.75, &mask, &drive, inhibition, &mut want);
            assert_eq!(bits(&got), bits(&want), "{isa} {length}");
            assert_eq!(changed.to_bits(), wanted.to_bits());
        }
    });
}

#[test]
fn what_is_not_a_number_is_passed_over() {
    let isa = Isa::best();
    let mut out = [9.0; 3];
    window_max(isa, 1, 1, &[f32::NAN, 0.5, f32::NAN, -1.0, -2.0], &mut out);
    assert_eq!(out, [0.5, 0.5, 0.0]);
    ramp_field(isa, 1.0, &[1.0; 3], &[f32::NAN; 3], &[0.0; 3], &mut out);
    assert_eq!(out, [0.0; 3]);
    window_sum(isa, &[], 1, &[1.0; 3], &mut out);
    assert_eq!(out, [0.0; 3]);
}

#[test]
fn worked_examples() {
    let isa = Isa::best();
    let mut out = [0.0; 4];
    window_sum(
        isa,
        &[1.0, 10.0, 100.0],
        1,
        &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        &mut out,
    );
    assert_eq!(out, [321.0, 432.0, 543.0, 654.0]);
    let mut values = [0.0, 1.0];
    let change = relax_field(
        isa,
        0.5,
        &[1.0, 0.0],
        &[1.0, 1.0],
        [&[0.25; 2], &[0.75; 2]],
        &mut values,
    );
    assert_eq!((values, change), ([0.75, 0.0], 1.0));
}
