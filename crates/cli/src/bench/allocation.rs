//! Allocation: rows as concepts through a pipeline with all three networks, as fast as it can and under load.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cortica::pipeline::{
    AllocationEngine, AllocationPipeline, Order, PipelineOptions, PipelineStats, Request,
};
use cortica::{AllocationOptions, Cortex, CortexOptions, EngineOptions, Grid};

use crate::bench::data::{BLOCK_ROWS, Data};
use crate::bench::report::{Allocation, InOrder, Load, Skipped, Times};
use crate::output::Out;

/// More rows than these say nothing more, and their features are held twice.
const ROWS_MAX: usize = 16_384;

/// Rows of a stream: as in a text or a walk, neighbours in the file belong together.
const STREAM_ROWS: usize = 64;

/// Shares of the whole rate at which latencies are measured.
const LOADS: [f64; 2] = [0.5, 0.9];

/// A requester that is so early does not sleep: waking up takes as long.
const SLEEP_MIN: Duration = Duration::from_micros(100);

/// Measures, or says why it cannot.
pub(crate) fn run(
    data: &mut Data,
    out: &Out,
    skipped: &mut Vec<Skipped>,
) -> anyhow::Result<Option<Allocation>> {
    let rows = data.count().min(ROWS_MAX);
    let side = AllocationOptions::for_concepts(rows).sides[0];
    if let Err(why) = engine(data.dimension(), side) {
        skipped.push(Skipped {
            part: "allocation",
            why: format!("{why:#}"),
        });
        return Ok(None);
    }
    let mut requests = Vec::with_capacity(rows);
    while requests.len() < rows {
        let from = requests.len();
        for features in data.read(from, BLOCK_ROWS.min(rows - from))? {
            let row = requests.len();
            let mut request = Request::new(format!("row {row}"), features);
            request.stream = Some((row / STREAM_ROWS) as u64);
            // What stands for no concept is refused at the door.
            requests.push(request);
        }
    }
    let workers = thread::available_parallelism().map_or(1, Into::into);
    let dimension = data.dimension();
    let relaxed = |workers, rate| {
        let options = pipeline_options(workers, Order::Relaxed);
        measure(dimension, side, options, &requests, rate)
    };
    let progress = out.progress(Some(4 + LOADS.len() as u64), "allocating");
    let mut whole = Measured::default();
    // The second time memory and clock of the machine are warm.
    for _ in 0..2 {
        whole = relaxed(workers, None)?;
    }
    progress.advance(1);
    let one_worker = relaxed(1, None)?.rate;
    progress.advance(1);
    let mut in_order = [0.0; 2];
    for (rate, workers) in in_order.iter_mut().zip([1, workers]) {
        let options = pipeline_options(workers, Order::Submission);
        *rate = measure(dimension, side, options, &requests, None)?.rate;
        progress.advance(1);
    }
    let mut loads = Vec::new();
    for share in LOADS {
        let rate = whole.rate * share;
        let stats = relaxed(workers, Some(rate))?.stats;
        loads.push(Load {
            share,
            allocations_s: rate,
            queue: Times::of(&stats.queue),
            service: Times::of(&stats.service),
            total: Times::of(&stats.total),
            utilisation: stats.utilisation,
        });
        progress.advance(1);
    }
    Ok(Some(Allocation {
        concepts: rows,
        sides: [side; 3],
        workers,
        allocated: whole.stats.allocated,
        duplicates: whole.stats.duplicates,
        allocations_s: whole.rate,
        one_worker_s: one_worker,
        in_order: InOrder {
            allocations_s: in_order[1],
            one_worker_s: in_order[0],
        },
        loads,
    }))
}

fn pipeline_options(workers: usize, order: Order) -> PipelineOptions {
    PipelineOptions {
        workers,
        order,
        ..PipelineOptions::default()
    }
}

#[derive(Default)]
struct Measured {
    rate: f64,
    stats: PipelineStats,
}

/// An empty grid, filled by a pipeline as fast as it can, or with so many requests a second.
fn measure(
    dimension: usize,
    side: u32,
    options: PipelineOptions,
    requests: &[Request],
    rate: Option<f64>,
) -> anyhow::Result<Measured> {
    let engine = Arc::new(engine(dimension, side)?);
    let pipeline = AllocationPipeline::new(engine, options)?;
    pipeline.start()?;
    let requests = requests.to_vec();
    let count = requests.len();
    let started = Instant::now();
    if let Some(rate) = rate {
        let mut tickets = Vec::with_capacity(count);
        for (at, request) in requests.into_iter().enumerate() {
            let due = Duration::from_secs_f64(at as f64 / rate);
            let early = due.saturating_sub(started.elapsed());
            if early > SLEEP_MIN {
                thread::sleep(early);
            }
            tickets.push(pipeline.submit_waiting(request));
        }
        for ticket in tickets.into_iter().flatten() {
            let _ = ticket.wait(); // Counted below.
        }
    } else {
        pipeline.process_batch(requests);
    }
    let taken = started.elapsed().as_secs_f64();
    let stats = pipeline.stats();
    // A grid with room has a column for each, but for those that it has already.
    let answered = stats.allocated + stats.duplicates + stats.refused;
    ensure!(
        answered == count as u64 && stats.failed == 0,
        "of {count} concepts {} were given a column, {} are the same as others, {} failed: they should have been {count}",
        stats.allocated,
        stats.duplicates,
        stats.failed
    );
    Ok(Measured {
        rate: count as f64 / taken.max(f64::MIN_POSITIVE),
        stats,
    })
}

fn engine(dimension: usize, side: u32) -> anyhow::Result<AllocationEngine> {
    let cortex = Cortex::new(Grid::new(side, side, side)?, CortexOptions::default())?;
    let engine = AllocationEngine::shipped(dimension, Arc::new(cortex), EngineOptions::default());
    engine.context("no networks to allocate with")
}
