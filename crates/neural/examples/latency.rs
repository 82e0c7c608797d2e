//! How long each network of a weight file takes, on one thread.
//!
//! `cargo run --release -p cortica-neural --example latency -- networks.safetensors`
//!
//! Prints the median and the 99th percentile of single calls, and samples a second in batches of
//! 64. `benches/peers/onnxruntime_networks.py` does the same with onnxruntime and the same weights.

use cortica_neural::{CODE, Code, Networks, WINDOW};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

const CALLS: usize = 20_000;
const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("give me a weight file")?;
    let networks = Networks::open(Path::new(&path))?;
    let mut scratch = networks.scratch();
    println!(
        "{} bytes, {} features, {}",
        networks.bytes(),
        networks.dimension(),
        scratch.isa()
    );
    let (encoder, predictor) = (networks.encoder(), networks.predictor());
    let detector = networks.detector();
    let spread = |at: usize| ((at * 7_919 + 13) % 2_003) as f32 / 1_001.5 - 1.0;
    let features: Vec<f32> = (0..BATCH * networks.dimension()).map(spread).collect();
    let one = &features[..networks.dimension()];
    let mut codes = vec![[0.0; CODE]; BATCH];
    encoder.encode_many(&features, &mut scratch, &mut codes)?;
    let window = codes[..WINDOW].to_vec();
    let windows: Vec<&[Code]> = (0..BATCH).map(|at| &codes[at % 56..][..WINDOW]).collect();
    let mut out = vec![[0.0; CODE]; BATCH];
    let mut exceptions = vec![0.0; BATCH];

    single("encoder", || {
        encoder.encode(black_box(one), &mut scratch).is_ok()
    });
    single("predictor", || {
        predictor.predict(black_box(&window), &mut scratch).is_ok()
    });
    single("detector", || {
        detector.detect(black_box(&window), &mut scratch).is_ok()
    });
    single("all three", || {
        encoder.encode(black_box(one), &mut scratch).is_ok()
            && predictor.predict(black_box(&window), &mut scratch).is_ok()
            && detector.detect(black_box(&window), &mut scratch).is_ok()
    });
    batch("encoder", || {
        let done = encoder.encode_many(black_box(&features), &mut scratch, &mut out);
        done.is_ok()
    });
    batch("predictor", || {
        let done = predictor.predict_many(black_box(&windows), &mut scratch, &mut out);
        done.is_ok()
    });
    batch("detector", || {
        let done = detector.detect_many(black_box(&windows), &mut scratch, &mut exceptions);
        done.is_ok()
    });
    Ok(())
}

fn single(name: &str, mut call: impl FnMut() -> bool) {
    let times = times(CALLS, &mut call);
    let at = |part: f64| times[(times.len() as f64 * part) as usize];
    println!("{name:10} {:7.2} us, P99 {:7.2} us", at(0.5), at(0.99));
}

fn batch(name: &str, mut call: impl FnMut() -> bool) {
    let times = times(CALLS / BATCH, &mut call);
    let rate = BATCH as f64 / times[times.len() / 2] * 1e3;
    println!("{name:10} {rate:7.1} k samples/s in batches of {BATCH}");
}

/// Microseconds of each call, in order.
fn times(calls: usize, call: &mut impl FnMut() -> bool) -> Vec<f64> {
    for _ in 0..calls / 10 {
        black_box(call());
    }
    let mut times: Vec<f64> = (0..calls)
        .map(|_| {
            let started = Instant::now();
            black_box(call());
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times
}
