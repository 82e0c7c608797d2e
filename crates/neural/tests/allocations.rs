//! Nothing is asked of the allocator by any call. A program of its own, because its allocator
//! counts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_neural::{CODE, Code, WINDOW, score};
use cortica_testkit::{Allocations, CountingAllocator, count_allocations};
use support::{both, each_isa, normals, stream};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[track_caller]
fn check<R>(work: impl FnOnce() -> R) -> R {
    let (result, counted) = count_allocations(work);
    assert_eq!(counted, Allocations::default());
    result
}

#[test]
fn no_call_allocates() {
    for networks in both() {
        each_isa(|isa| {
            let mut scratch = networks.scratch_on(isa);
            let (encoder, predictor) = (networks.encoder(), networks.predictor());
            let detector = networks.detector();
            let features = normals(64 * networks.dimension(), 1);
            let codes = stream(WINDOW, 2);
            let windows: Vec<&[Code]> = (0..64).map(|at| &codes[at % 5..]).collect();
            let mut out = vec![[0.0; CODE]; 64];
            let mut exceptions = vec![0.0; 64];
            let mut state = predictor.state();
            // From the first call on.
            check(|| encoder.encode(&features[..networks.dimension()], &mut scratch)).unwrap();
            check(|| encoder.encode_many(&features, &mut scratch, &mut out)).unwrap();
            check(|| predictor.predict(&codes, &mut scratch)).unwrap();
            check(|| predictor.predict_many(&windows, &mut scratch, &mut out)).unwrap();
            check(|| predictor.step(&mut state, &codes[0], &mut scratch)).unwrap();
            check(|| predictor.prediction(&state, &mut scratch)).unwrap();
            check(|| state.reset());
            check(|| detector.detect(&codes, &mut scratch)).unwrap();
            check(|| detector.detect_all(&codes, &mut scratch)).unwrap();
            check(|| detector.detect_many(&windows, &mut scratch, &mut exceptions)).unwrap();
            check(|| score(isa, &codes[0], &codes[1]));
            let shared = check(|| networks.clone());
            check(|| drop(shared));
        });
    }
}

/// Of working memory too, on every instruction set; and it grows with the widest network alone.
#[test]
fn bytes_of_working_memory_are_those_that_are_held() {
    for networks in both() {
        each_isa(|isa| {
            drop(networks.scratch_on(isa)); // The first asks what the machine has, and that is kept.
            let (scratch, counted) = count_allocations(|| networks.scratch_on(isa));
            assert_eq!(counted.net_bytes(), scratch.bytes() as i64, "{isa}");
        });
    }
}

/// What the weights claim to take is what loading them leaves behind, but for names and metadata.
#[test]
fn bytes_are_those_that_are_held() {
    let path = support::golden("networks_i8");
    let (networks, counted) = count_allocations(|| cortica_neural::Networks::open(&path).unwrap());
    let beside = counted.net_bytes() - networks.bytes() as i64;
    assert!(
        (0..4_096).contains(&beside),
        "{beside} bytes beside the weights"
    );
}
