//! What an allocation costs, part by part: `cargo run --release -p cortica-pipeline --example allocations [columns a side]`, on
//! the bundled concepts or, with `CORTICA_DATA`, a larger folder.
#![allow(clippy::unwrap_used, reason = "an example that cannot go on says why")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{engine, pipeline};
use cortica_cortex::{Allocation, ConceptRequest, Timings};
use cortica_pipeline::{Order, Percentiles, Request};
use cortica_testkit::{Dataset, bundle, data_dir, load};
use std::time::{Duration, Instant};

fn main() {
    let side = std::env::args()
        .nth(1)
        .map_or(20, |side| side.parse().unwrap());
    let loaded = data_dir().map(|dir| load(&dir).unwrap());
    let data: &Dataset = loaded.as_ref().unwrap_or_else(|| bundle());
    let count = data.len().min((side * side * side) as usize);
    let names: Vec<String> = (0..count).map(|row| format!("concept {row}")).collect();
    let requests: Vec<ConceptRequest<'_>> = (0..count)
        .map(|row| ConceptRequest {
            stream: Some(row as u64 / 64),
            ..ConceptRequest::new(&names[row], data.row(row))
        })
        .collect();
    println!(
        "{count} concepts, {side} x {side} x {side} columns, {}",
        cortica_simd::Isa::best()
    );
    parts(side, &requests);
    let owned: Vec<Request> = requests.iter().map(Request::from).collect();
    for order in [Order::Submission, Order::Relaxed] {
        for workers in [1, 2] {
            batch(side, workers, order, owned.clone());
        }
    }
    let whole = rate(side, owned.clone());
    for share in [0.5, 0.9] {
        load_of(side, owned.clone(), whole * share, share);
    }
}

/// One thread without a pipeline.
fn parts(side: u32, requests: &[ConceptRequest<'_>]) {
    let engine = engine(side);
    for part in requests.chunks(requests.len().div_ceil(4)) {
        let start = Instant::now();
        let (mut sum, mut allocated, mut candidates) = (Timings::default(), 0, 0);
        for request in part {
            if let Allocation::Allocated {
                timings,
                candidates: of,
                ..
            } = engine.allocate(request).unwrap()
            {
                sum.encode_us += timings.encode_us;
                sum.dedup_us += timings.dedup_us;
                sum.score_us += timings.score_us;
                sum.compete_us += timings.compete_us;
                allocated += 1;
                candidates += of;
            }
        }
        let each = |sum: u64| sum as f64 / allocated as f64;
        println!(
            "{:.1} us each: encode {:.1}, dedup {:.1}, score {:.1}, compete {:.1}; {} candidates",
            start.elapsed().as_secs_f64() * 1e6 / part.len() as f64,
            each(sum.encode_us),
            each(sum.dedup_us),
            each(sum.score_us),
            each(sum.compete_us),
            candidates / allocated
        );
    }
}

fn batch(side: u32, workers: usize, order: Order, requests: Vec<Request>) {
    let pipeline = pipeline(side, workers, order);
    let count = requests.len() as f64;
    let start = Instant::now();
    pipeline.process_batch(requests);
    let rate = count / start.elapsed().as_secs_f64();
    println!("{order:?}, {workers} workers: {rate:.0} a second");
}

/// What two workers side by side do.
fn rate(side: u32, requests: Vec<Request>) -> f64 {
    let pipeline = pipeline(side, 2, Order::Relaxed);
    let count = requests.len() as f64;
    let start = Instant::now();
    pipeline.process_batch(requests);
    count / start.elapsed().as_secs_f64()
}

/// Requests at even intervals, so many a second.
fn load_of(side: u32, requests: Vec<Request>, rate: f64, share: f64) {
    let pipeline = pipeline(side, 2, Order::Relaxed);
    let start = Instant::now();
    let mut tickets = Vec::with_capacity(requests.len());
    for (at, request) in requests.into_iter().enumerate() {
        let due = Duration::from_secs_f64(at as f64 / rate);
        let left = due.saturating_sub(start.elapsed());
        if left > Duration::from_micros(200) {
            std::thread::sleep(left);
        }
        tickets.push(pipeline.submit_waiting(request).unwrap());
    }
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let stats = pipeline.stats();
    let show = |times: Percentiles| {
        let us = |nanos: u64| nanos as f64 / 1e3;
        format!(
            "{:.0} / {:.0} / {:.0}",
            us(times.p50),
            us(times.p99),
            us(times.p999)
        )
    };
    println!(
        "{:.0}% load, {rate:.0} a second: P50 / P99 / P99.9 us: queue {}, service {}, total {}; {:.0}% used",
        share * 100.0,
        show(stats.queue),
        show(stats.service),
        show(stats.total),
        stats.utilisation * 100.0
    );
}
