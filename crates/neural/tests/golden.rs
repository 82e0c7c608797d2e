//! What PyTorch makes of the same weights and inputs. `golden/make.py` wrote the files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_formats::Safetensors;
use cortica_neural::{CODE, Code, Networks, WINDOW};
use support::{both, each_isa, golden};

/// How far any value may be from PyTorch's, which was computed in f64.
const TOLERANCE: f32 = 1e-5;

/// How far values by i8 weights may be from PyTorch's by the weights before they were rounded: a
/// step of a row's weights is a 127th of its largest. Codes and predictions were found to be within
/// 0.0025, probabilities within 0.0071.
const ROUNDED: [f32; 2] = [0.004, 0.01];

/// As [`TOLERANCE`], for a state that has taken in up to 80 codes by i8 weights: the roundings of inputs to
/// i16 are carried along. It was found to be within 0.0000103, by f32 weights within 0.0000002.
const CARRIED_ROUNDED: f32 = 2e-5;

fn floats(file: &Safetensors, name: &str) -> Vec<f32> {
    let (chunks, _) = file.tensor(name).unwrap().bytes.as_chunks::<4>();
    chunks.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

#[track_caller]
fn close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len());
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (got - want).abs();
        assert!(off <= tolerance, "{what}, value {at}: {got} is not {want}");
    }
}

/// Every network on every instruction set against the values named with this suffix, codes and
/// predictions within the first tolerance, probabilities within the second.
fn check(networks: &Networks, suffix: &str, [vectors, probabilities]: [f32; 2]) {
    let file = Safetensors::open(&golden("golden"), 1 << 20).unwrap();
    file.check_seal().unwrap();
    let features = floats(&file, "features");
    let windows = floats(&file, "windows");
    let (windows, _) = windows.as_chunks::<CODE>();
    let lengths = file.tensor("lengths").unwrap().bytes;
    let windows: Vec<&[Code]> = windows
        .chunks_exact(WINDOW)
        .zip(lengths)
        .map(|(window, &length)| &window[WINDOW - usize::from(length)..])
        .collect();
    assert_eq!(features.len(), 12 * networks.dimension());
    assert_eq!(windows.len(), 12);
    let want = |name: &str| floats(&file, &format!("{name}{suffix}"));
    let (codes, predictions) = (want("codes"), want("predictions"));
    let exceptions = want("exceptions");
    each_isa(|isa| {
        let mut scratch = networks.scratch_on(isa);
        let what = |name: &str| format!("{name}{suffix}, {isa}");
        for (at, features) in features.chunks_exact(networks.dimension()).enumerate() {
            let code = networks.encoder().encode(features, &mut scratch).unwrap();
            let want = &codes[at * CODE..][..CODE];
            close(&what("code"), &code, want, vectors);
        }
        for (at, window) in windows.iter().enumerate() {
            let (predictor, detector) = (networks.predictor(), networks.detector());
            let next = predictor.predict(window, &mut scratch).unwrap();
            let want = &predictions[at * CODE..][..CODE];
            close(&what("prediction"), &next, want, vectors);
            let all = detector.detect_all(window, &mut scratch).unwrap();
            let want = &exceptions[at * WINDOW..][..WINDOW];
            close(&what("exceptions"), &all, want, probabilities);
            let last = detector.detect(window, &mut scratch).unwrap();
            let want = &want[WINDOW - 1..];
            close(&what("exception"), &[last], want, probabilities);
        }
    });
}

/// A state through 80 codes, and again from the 57th after a reset, step by step.
fn check_state(networks: &Networks, suffix: &str, tolerance: f32) {
    let file = Safetensors::open(&golden("golden"), 1 << 20).unwrap();
    let values = floats(&file, "stream");
    let (stream, _) = values.as_chunks::<CODE>();
    let want = floats(&file, &format!("carried{suffix}"));
    let (want, _) = want.as_chunks::<CODE>();
    assert_eq!((stream.len(), want.len()), (80, 80 + 24));
    let predictor = networks.predictor();
    each_isa(|isa| {
        let mut scratch = networks.scratch_on(isa);
        let mut state = predictor.state();
        let mut check = |state: &mut _, at: usize, want: &Code| {
            predictor.step(state, &stream[at], &mut scratch).unwrap();
            let next = predictor.prediction(state, &mut scratch).unwrap();
            close(&format!("step {at}{suffix}, {isa}"), &next, want, tolerance);
        };
        for (at, want) in want[..80].iter().enumerate() {
            check(&mut state, at, want);
        }
        state.reset();
        for (at, want) in want[80..].iter().enumerate() {
            check(&mut state, 56 + at, want);
        }
    });
    // The control: what was forgotten made a difference of a hundred tolerances.
    let off = (want[56][0] - want[80][0]).abs();
    assert!(off > 100.0 * TOLERANCE, "{off}");
}

#[test]
fn a_state_carries_through_a_stream_and_resets() {
    let [exact, rounded] = both();
    check_state(&exact, "", TOLERANCE);
    check_state(&rounded, "_i8", CARRIED_ROUNDED);
}

#[test]
fn every_network_on_every_instruction_set() {
    let [exact, rounded] = both();
    check(&exact, "", [TOLERANCE; 2]);
    check(&rounded, "_i8", [TOLERANCE; 2]);
}

/// What rounding the weights costs, on top of what computing with them does.
#[test]
fn weights_that_were_rounded_give_nearly_the_same() {
    let [_, rounded] = both();
    check(&rounded, "", ROUNDED);
}
