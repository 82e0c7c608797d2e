//! The networks against their definitions, alone and in batches, on every instruction set.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_formats::Safetensors;
use cortica_neural::{CODE, Code, InputError, Networks, WINDOW, score, score_reference};
use cortica_simd::Isa;
use proptest::prelude::*;
use support::{both, each_isa, encode, golden, normals, stream, tensors_of};

/// Some hundred roundings of values of about 1, in f32, through a few layers.
const TOLERANCE: f64 = 1e-5;

#[track_caller]
fn close(isa: Isa, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        let off = (f64::from(*got) - want).abs();
        assert!(off <= TOLERANCE, "{isa}: {got} is not {want}");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn results_are_those_of_the_definitions() {
    for networks in both() {
        each_isa(|isa| {
            let mut scratch = networks.scratch_on(isa);
            for seed in 0..20 {
                let features = normals(networks.dimension(), seed);
                let code = networks.encoder().encode(&features, &mut scratch).unwrap();
                close(isa, &code, &networks.encoder().encode_reference(&features));
                let codes = stream(seed as usize % 12, seed);
                let next = networks.predictor().predict(&codes, &mut scratch).unwrap();
                close(isa, &next, &networks.predictor().predict_reference(&codes));
                let detector = networks.detector();
                let all = detector.detect_all(&codes, &mut scratch).unwrap();
                close(isa, &all, &detector.detect_all_reference(&codes));
                let got = score(isa, &code, &next);
                close(isa, &[got], &[score_reference(&code, &next)]);
            }
        });
    }
}

#[test]
fn a_batch_gives_each_sample_the_bits_it_has_alone() {
    for networks in both() {
        each_isa(|isa| {
            let mut scratch = networks.scratch_on(isa);
            let d = networks.dimension();
            for count in (0..20).chain([31, 32, 33, 64]) {
                let features = normals(count * d, count as u64);
                let mut codes = vec![[0.0; CODE]; count];
                let encoder = networks.encoder();
                encoder
                    .encode_many(&features, &mut scratch, &mut codes)
                    .unwrap();
                for (code, features) in codes.iter().zip(features.chunks_exact(d)) {
                    let alone = encoder.encode(features, &mut scratch).unwrap();
                    assert_eq!(bits(code), bits(&alone), "{isa} {count}");
                }
                // Windows of all lengths, longer ones too.
                let streams: Vec<Vec<Code>> = (0..count)
                    .map(|at| stream((at * 5) % 11, at as u64))
                    .collect();
                let windows: Vec<&[Code]> = streams.iter().map(Vec::as_slice).collect();
                let (predictor, detector) = (networks.predictor(), networks.detector());
                let mut next = vec![[0.0; CODE]; count];
                predictor
                    .predict_many(&windows, &mut scratch, &mut next)
                    .unwrap();
                let mut exceptions = vec![0.0; count];
                detector
                    .detect_many(&windows, &mut scratch, &mut exceptions)
                    .unwrap();
                for (at, window) in windows.iter().enumerate() {
                    let alone = predictor.predict(window, &mut scratch).unwrap();
                    assert_eq!(bits(&next[at]), bits(&alone), "{isa} {count} {at}");
                    let alone = detector.detect(window, &mut scratch).unwrap();
                    assert_eq!(
                        exceptions[at].to_bits(),
                        alone.to_bits(),
                        "{isa} {count} {at}"
                    );
                }
            }
        });
    }
}

#[test]
fn the_cone_gives_what_the_whole_gives() {
    for networks in both() {
        each_isa(|isa| {
            let mut scratch = networks.scratch_on(isa);
            for length in 0..12 {
                let codes = stream(length, 7);
                let all = networks
                    .detector()
                    .detect_all(&codes, &mut scratch)
                    .unwrap();
                let last = networks.detector().detect(&codes, &mut scratch).unwrap();
                assert_eq!(all[WINDOW - 1].to_bits(), last.to_bits());
            }
        });
    }
}

#[test]
fn the_future_changes_nothing_in_the_past() {
    for networks in both() {
        each_isa(|isa| {
            let mut scratch = networks.scratch_on(isa);
            let (codes, others) = (stream(WINDOW, 1), stream(WINDOW, 2));
            let all = networks
                .detector()
                .detect_all(&codes, &mut scratch)
                .unwrap();
            for from in 0..WINDOW {
                let mut changed = codes.clone();
                changed[from..].copy_from_slice(&others[from..]);
                let got = networks
                    .detector()
                    .detect_all(&changed, &mut scratch)
                    .unwrap();
                assert_eq!(bits(&got[..from]), bits(&all[..from]), "{isa} {from}");
                // The control: what does not look ahead does look at what is there.
                assert_ne!(got[from].to_bits(), all[from].to_bits(), "{isa} {from}");
            }
        });
    }
}

#[test]
fn state_carries_and_resets() {
    for networks in both() {
        each_isa(|isa| {
            let (predictor, mut scratch) = (networks.predictor(), networks.scratch_on(isa));
            let codes = stream(20, 3);
            let mut state = predictor.state();
            let fresh = state.clone();
            for (at, code) in codes.iter().enumerate() {
                predictor.step(&mut state, code, &mut scratch).unwrap();
                assert_eq!(state.steps(), at as u64 + 1);
                let carried = predictor.prediction(&state, &mut scratch).unwrap();
                let windowed = predictor.predict(&codes[..=at], &mut scratch).unwrap();
                // A window's worth of codes from zero is the same; after that the state knows more.
                assert_eq!(bits(&carried) == bits(&windowed), at < WINDOW, "{isa} {at}");
            }
            state.reset();
            assert_eq!(state, fresh);
            for code in &codes[5..9] {
                predictor.step(&mut state, code, &mut scratch).unwrap();
            }
            let again = predictor.prediction(&state, &mut scratch).unwrap();
            let windowed = predictor.predict(&codes[5..9], &mut scratch).unwrap();
            assert_eq!(bits(&again), bits(&windowed));
        });
    }
}

#[test]
fn only_the_last_eight_codes_count() {
    let [networks, _] = both();
    let mut scratch = networks.scratch();
    let codes = stream(30, 4);
    let last = &codes[30 - WINDOW..];
    let next = |codes: &[Code], scratch: &mut _| networks.predictor().predict(codes, scratch);
    assert_eq!(next(&codes, &mut scratch), next(last, &mut scratch));
    let exception = |codes: &[Code], scratch: &mut _| networks.detector().detect(codes, scratch);
    assert_eq!(
        exception(&codes, &mut scratch),
        exception(last, &mut scratch)
    );
}

#[test]
fn without_history_the_score_is_neutral() {
    let [networks, _] = both();
    let mut scratch = networks.scratch();
    let none = networks.predictor().predict(&[], &mut scratch).unwrap();
    assert_eq!(none, [0.0; CODE]);
    let state = networks.predictor().state();
    let fresh = networks
        .predictor()
        .prediction(&state, &mut scratch)
        .unwrap();
    assert_eq!(fresh, none);
    assert_eq!(score(scratch.isa(), &none, &stream(1, 1)[0]), 0.5);
}

#[test]
fn the_length_of_features_does_not_count() {
    for networks in both() {
        let features = normals(networks.dimension(), 9);
        let encoder = networks.encoder();
        each_isa(|isa| {
            let mut scratch = networks.scratch_on(isa);
            let code = encoder.encode(&features, &mut scratch).unwrap();
            let length: f32 = code.iter().map(|v| v * v).sum();
            assert!((length - 1.0).abs() < 1e-6);
            for exponent in -38..=38 {
                let factor = 10_f32.powi(exponent);
                let scaled: Vec<f32> = features.iter().map(|v| v / 8.0 * factor).collect();
                let other = encoder.encode(&scaled, &mut scratch).unwrap();
                let off = code
                    .iter()
                    .zip(other)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0, f32::max);
                // Below 1e-38 values lose digits before they come here.
                assert!(off < 1e-5, "{isa} {factor}: {off}");
            }
        });
    }
}

#[test]
fn wrong_inputs_are_refused_by_name() {
    let [networks, _] = both();
    let mut scratch = networks.scratch();
    let d = networks.dimension();
    let length = |field, got, expected| InputError::Length {
        field,
        got,
        expected,
    };
    let not_finite = |field, at| InputError::NotFinite { field, at };
    let encoder = networks.encoder();
    let refused = encoder.encode(&vec![0.0; d + 1], &mut scratch);
    assert_eq!(refused, Err(length("features", d + 1, d)));
    let mut features = normals(20 * d, 1);
    let mut codes = vec![[0.0; CODE]; 20];
    let refused = encoder.encode_many(&features, &mut scratch, &mut codes[1..]);
    assert_eq!(refused, Err(length("features", 20 * d, 19 * d)));
    features[13 * d + 5] = f32::NEG_INFINITY;
    let refused = encoder.encode_many(&features, &mut scratch, &mut codes);
    assert_eq!(refused, Err(not_finite("features", 13 * d + 5)));

    let mut window = stream(WINDOW, 1);
    window[3][9] = f32::NAN;
    let predictor = networks.predictor();
    let refused = predictor.predict(&window, &mut scratch);
    assert_eq!(refused, Err(not_finite("codes", 3 * CODE + 9)));
    let refused = networks.detector().detect(&window, &mut scratch);
    assert_eq!(refused, Err(not_finite("codes", 3 * CODE + 9)));
    let refused = predictor.predict_many(&[&window], &mut scratch, &mut []);
    assert_eq!(refused, Err(length("predictions", 0, 1)));
    let refused = networks
        .detector()
        .detect_many(&[&window], &mut scratch, &mut []);
    assert_eq!(refused, Err(length("exceptions", 0, 1)));

    let mut state = predictor.state();
    predictor
        .step(&mut state, &window[0], &mut scratch)
        .unwrap();
    let before = state.clone();
    let refused = predictor.step(&mut state, &window[3], &mut scratch);
    assert_eq!(refused, Err(not_finite("code", 9)));
    assert_eq!(state, before);
}

/// Whatever lengths the windows before it have: fewer codes than a network looks at, more, or none.
#[test]
fn a_code_that_is_not_finite_is_named_by_its_place_in_what_was_given() {
    let not_finite = |code: usize| {
        let at = code * CODE + 9;
        Err(InputError::NotFinite { field: "codes", at })
    };
    for networks in both() {
        let (predictor, detector) = (networks.predictor(), networks.detector());
        let mut scratch = networks.scratch();
        for length in [1, 3, WINDOW - 1, WINDOW, WINDOW + 1, 30] {
            for bad in length.saturating_sub(WINDOW)..length {
                let mut window = stream(length, 1);
                window[bad][9] = f32::NAN;
                let refused = predictor.predict(&window, &mut scratch).map(drop);
                assert_eq!(refused, not_finite(bad), "{length}");
                let refused = detector.detect(&window, &mut scratch).map(drop);
                assert_eq!(refused, not_finite(bad), "{length}");
            }
        }
        // Behind more windows than are worked on together, of all lengths.
        let mut streams: Vec<Vec<Code>> = (0..70).map(|at| stream(at * 5 % 11, 1)).collect();
        for bad in [1, 9, 32, 34, 69] {
            let before: usize = streams[..bad].iter().map(Vec::len).sum();
            let last = streams[bad].len() - 1;
            let value = std::mem::replace(&mut streams[bad][last][9], f32::INFINITY);
            let windows: Vec<&[Code]> = streams.iter().map(Vec::as_slice).collect();
            let mut next = vec![[0.0; CODE]; windows.len()];
            let refused = predictor.predict_many(&windows, &mut scratch, &mut next);
            assert_eq!(refused, not_finite(before + last), "{bad}");
            let mut exceptions = vec![0.0; windows.len()];
            let refused = detector.detect_many(&windows, &mut scratch, &mut exceptions);
            assert_eq!(refused, not_finite(before + last), "{bad}");
            streams[bad][last][9] = value;
        }
        // What is not looked at is not refused.
        let mut window = stream(WINDOW + 1, 1);
        window[0][9] = f32::NAN;
        assert!(predictor.predict(&window, &mut scratch).is_ok());
    }
}

/// The small networks, with an encoder of as many features: its columns come again and again.
fn of_dimension(name: &str, dimension: usize) -> Networks {
    let mut all = tensors_of(&Safetensors::open(&golden(name), 1 << 20).unwrap());
    let mut tensors = all.iter_mut();
    let first = tensors.find(|tensor| tensor.name == "encoder.first.weight");
    let first = first.unwrap();
    let value = first.bytes.len() / (first.shape[0] * first.shape[1]);
    let rows = first.bytes.chunks_exact(first.shape[1] * value);
    let long = rows.flat_map(|row| row.iter().cycle().take(dimension * value));
    first.bytes = long.copied().collect();
    first.shape[1] = dimension;
    let metadata = [("format", "cortica-networks"), ("version", "1")];
    Networks::from_bytes(encode(&metadata, &all)).unwrap()
}

/// Dimensions that are no multiple of what any instruction takes at once, and the largest of a space. Rounding
/// features to i16 costs some of them a little more than the 40 of the golden files: 0.0000135 was the most, by i8.
#[test]
fn features_of_any_dimension() {
    for name in ["networks", "networks_i8"] {
        for d in [1, 2, 3, 7, 15, 17, 33, 65, 511, 513, 769, 1_025, 8_192] {
            let networks = of_dimension(name, d);
            each_isa(|isa| {
                let (encoder, mut scratch) = (networks.encoder(), networks.scratch_on(isa));
                let features = normals(35 * d, d as u64);
                let mut codes = vec![[0.0; CODE]; 35];
                encoder
                    .encode_many(&features, &mut scratch, &mut codes)
                    .unwrap();
                for (code, features) in codes.iter().zip(features.chunks_exact(d)) {
                    let alone = encoder.encode(features, &mut scratch).unwrap();
                    assert_eq!(bits(code), bits(&alone), "{name} {d} {isa}");
                    let want = encoder.encode_reference(features);
                    for (got, want) in code.iter().zip(want) {
                        let off = (f64::from(*got) - want).abs();
                        assert!(off <= 2.0 * TOLERANCE, "{name} {d} {isa}: {off}");
                    }
                }
            });
        }
    }
}

/// Each value of the dimension costs the same, whatever the widths of the layers.
#[test]
fn working_memory_grows_with_the_dimension() {
    for name in ["networks", "networks_i8"] {
        let networks = [2_048, 4_096, 8_192].map(|dimension| of_dimension(name, dimension));
        each_isa(|isa| {
            let bytes = networks.each_ref().map(|networks| {
                let scratch = networks.scratch_on(isa);
                scratch.bytes()
            });
            let [small, middle, large] = bytes;
            assert_eq!(large - middle, 2 * (middle - small), "{name} {isa}");
            // 32 features in f32 and in i16, and on AVX2 a panel of 16 weights in i16.
            let value = if isa == Isa::Avx2 { 224 } else { 192 };
            assert_eq!(large - middle, 4_096 * value, "{name} {isa}");
        });
    }
}

/// Working memory that was made for smaller networks is refused, and what was to be changed is not.
#[test]
fn scratch_of_smaller_networks_is_refused() {
    for name in ["networks", "networks_i8"] {
        let wide = of_dimension(name, 8_192);
        let small = of_dimension(name, 40);
        each_isa(|isa| {
            let mut scratch = small.scratch_on(isa);
            let features = normals(2 * 8_192, 1);
            let refused = |refused: Result<(), InputError>| {
                let told = refused.unwrap_err().to_string();
                assert!(told.starts_with("scratch: got "), "{told}");
                assert!(told.contains("make it with these networks'"), "{told}");
            };
            let encoder = wide.encoder();
            let one = encoder.encode(&features[..8_192], &mut scratch);
            refused(one.map(drop));
            let mut codes = [[0.0; CODE]; 2];
            refused(encoder.encode_many(&features, &mut scratch, &mut codes));
            // That of larger ones does, with the same bits.
            let mut large = wide.scratch_on(isa);
            let got = small.encoder().encode(&features[..40], &mut large).unwrap();
            let own = small.encoder().encode(&features[..40], &mut scratch);
            assert_eq!(bits(&got), bits(&own.unwrap()));
        });
    }
}

/// Any finite value of either sign, with its most extreme ones often.
fn finite() -> impl Strategy<Value = f32> {
    use prop::num::f32::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![
        6 => POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO,
        3 => -1.0_f32..1.0,
        1 => prop::sample::select(vec![f32::MAX, f32::MIN]),
    ]
}

/// Vectors whose values are all of one size, from the least there is on, and vectors of all sizes at once: there the
/// largest alone counts.
fn vector(length: usize) -> impl Strategy<Value = Vec<f32>> {
    let one_size = (
        -45..=38_i32,
        prop::collection::vec(-3.0_f64..3.0, length),
        prop::collection::vec(prop::bool::weighted(0.1), length),
    );
    let one_size = one_size.prop_map(|(exponent, values, zeros)| {
        let sized = |(value, zero): (f64, bool)| {
            let value = if zero { 0.0_f64.copysign(value) } else { value };
            (value * 10_f64.powi(exponent)) as f32
        };
        values.into_iter().zip(zeros).map(sized).collect()
    });
    prop_oneof![3 => one_size, 1 => prop::collection::vec(finite(), length)]
}

/// Otherwise the property below would say nothing of them.
#[test]
fn vectors_are_drawn_from_everywhere() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut drawn = || vector(40).new_tree(&mut runner).unwrap().current();
    let vectors: Vec<Vec<f32>> = (0..200).map(|_| drawn()).collect();
    let largest = |vector: &Vec<f32>| vector.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    for sizes in [
        f32::from_bits(1)..f32::MIN_POSITIVE,
        f32::MIN_POSITIVE..1e-20,
        1e-20..1e-3,
        1e-3..1e3,
        1e3..1e20,
        1e20..f32::MAX,
        f32::MAX..f32::INFINITY,
    ] {
        let alike = vectors
            .iter()
            .filter(|vector| sizes.contains(&largest(vector)));
        assert!(alike.count() >= 5, "{sizes:?}");
    }
    let values = || vectors.iter().flatten().copied();
    assert!(values().all(f32::is_finite));
    let kinds: [fn(f32) -> bool; 6] = [
        |v| v < -1.0 && v > f32::MIN,
        |v| v > 1.0 && v < f32::MAX,
        |v| v.is_subnormal() && v < 0.0,
        |v| v.is_subnormal() && v > 0.0,
        |v| v.to_bits() == 0,
        |v| v.to_bits() == 1 << 31,
    ];
    for (at, kind) in kinds.into_iter().enumerate() {
        assert!(values().filter(|&v| kind(v)).count() >= 50, "{at}");
    }
}

fn check_finite(networks: &Networks, features: &[f32], codes: &[Code]) {
    let unit = |code: &Code| {
        let length: f32 = code.iter().map(|value| value * value).sum();
        length == 0.0 || (length - 1.0).abs() < 1e-5
    };
    each_isa(|isa| {
        let mut scratch = networks.scratch_on(isa);
        let code = networks.encoder().encode(features, &mut scratch).unwrap();
        let next = networks.predictor().predict(codes, &mut scratch).unwrap();
        assert!(unit(&code) && unit(&next), "{isa}: {code:?} {next:?}");
        let all = networks.detector().detect_all(codes, &mut scratch).unwrap();
        let scores = codes.iter().map(|other| score(isa, &next, other));
        for score in scores.chain(all).chain([score(isa, &code, &next)]) {
            assert!((0.0..=1.0).contains(&score), "{isa}: {score}");
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn results_are_finite_and_scores_in_range(
        features in vector(40),
        codes in prop::collection::vec(vector(CODE), 0..10),
    ) {
        let codes: Vec<Code> = codes.iter().map(|c| c.clone().try_into().unwrap()).collect();
        for networks in both() {
            check_finite(&networks, &features, &codes);
        }
    }
}
