//! What PyTorch makes of the same weights and inputs. `golden/make.py` wrote the files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_formats::Safetensors;
use cortica_neural::{CODE, Code, WINDOW};
use support::{both, each_isa, golden};

/// How far any value may be from PyTorch's, which was computed in f64.
const TOLERANCE: f32 = 1e-5;

fn floats(file: &Safetensors, name: &str) -> Vec<f32> {
    let (chunks, _) = file.tensor(name).unwrap().bytes.as_chunks::<4>();
    chunks.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

#[track_caller]
fn close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len());
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (got - want).abs();
        assert!(off <= TOLERANCE, "{what}, value {at}: {got} is not {want}");
    }
}

#[test]
fn every_network_on_every_instruction_set() {
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
    for (networks, suffix) in both().iter().zip(["", "_i8"]) {
        let want = |name: &str| floats(&file, &format!("{name}{suffix}"));
        let (codes, predictions) = (want("codes"), want("predictions"));
        let exceptions = want("exceptions");
        each_isa(|isa| {
            let mut scratch = networks.scratch_on(isa);
            let what = |name: &str| format!("{name}{suffix}, {isa}");
            for (at, features) in features.chunks_exact(networks.dimension()).enumerate() {
                let code = networks.encoder().encode(features, &mut scratch).unwrap();
                close(&what("code"), &code, &codes[at * CODE..][..CODE]);
            }
            for (at, window) in windows.iter().enumerate() {
                let (predictor, detector) = (networks.predictor(), networks.detector());
                let next = predictor.predict(window, &mut scratch).unwrap();
                close(
                    &what("prediction"),
                    &next,
                    &predictions[at * CODE..][..CODE],
                );
                let all = detector.detect_all(window, &mut scratch).unwrap();
                let want = &exceptions[at * WINDOW..][..WINDOW];
                close(&what("exceptions"), &all, want);
                let last = detector.detect(window, &mut scratch).unwrap();
                close(&what("exception"), &[last], &want[WINDOW - 1..]);
            }
        });
    }
}
