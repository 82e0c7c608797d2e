//! Recall through the graph index, held against the exact answers.

use std::time::{Duration, Instant};

use anyhow::Context;
use cortica::{Accuracy, Cortica, Cue, EF_DEFAULT, Recalled};

use crate::args::BenchArgs;
use crate::bench::data::{Data, K_MAX};
use crate::bench::measure::{BATCHES, K, Spent, ask_singly, check_batch, cue, filled, recalls};
use crate::bench::report::{Approximate, Batch};
use crate::figures::percentile;
use crate::output::Out;
use crate::truth::TOLERANCE;

/// How many candidates the walks keep: from the fewest to where little is gained any more.
const EFS: [usize; 10] = [10, 16, 24, 32, 48, EF_DEFAULT, 96, 128, 192, 256];

/// Passes over the queries go on until they have taken this long, for each ef.
const MEASURE_FOR: Duration = Duration::from_millis(400);

/// Single recalls at every width. All that is stored is indexed.
pub(crate) fn curve(
    memory: &Cortica,
    data: &Data,
    exact: &[Vec<Recalled>],
    args: &BenchArgs,
    out: &Out,
) -> anyhow::Result<Vec<Approximate>> {
    let progress = out.progress(Some(EFS.len() as u64), "recalling approximately");
    let exact_deep = ask_together(memory, &cues(data, K_MAX, Accuracy::Exact))?;
    let mut curve = Vec::with_capacity(EFS.len());
    for ef in EFS {
        let accuracy = Accuracy::Approximate { ef };
        let shallow = cues(data, K, accuracy);
        let answers = ask_singly(memory, &shallow, &mut Vec::new())?;
        let (spent, latencies) = time(memory, &shallow, args)?;
        let deep = cues(data, K_MAX, accuracy);
        let deep_answers = ask_singly(memory, &deep, &mut Vec::new())?;
        let (deep_spent, deep_us) = time(memory, &deep, args)?;
        curve.push(Approximate {
            ef,
            recall_at_10: share(&answers, exact),
            recall_at_100: share(&deep_answers, &exact_deep),
            qps_cpu: spent.rate(),
            p50_us: percentile(&latencies, 0.50),
            p99_us: percentile(&latencies, 0.99),
            qps_cpu_of_100: deep_spent.rate(),
            p99_us_of_100: percentile(&deep_us, 0.99),
        });
        progress.advance(1);
    }
    Ok(curve)
}

fn cues(data: &Data, k: usize, accuracy: Accuracy) -> Vec<Cue> {
    let queries = data.queries.iter();
    queries
        .map(|query| cue(query, k).accuracy(accuracy))
        .collect()
}

fn ask_together(memory: &Cortica, cues: &[Cue]) -> anyhow::Result<Vec<Vec<Recalled>>> {
    let answers = cues.chunks(BATCHES[0]);
    let answers = answers.flat_map(|cues| memory.recall_many(cues));
    answers
        .enumerate()
        .map(|(query, answer)| answer.with_context(|| format!("q.npy: query {query}")))
        .collect()
}

/// Single recalls, and what each took.
fn time(memory: &Cortica, cues: &[Cue], args: &BenchArgs) -> anyhow::Result<(Spent, Vec<f64>)> {
    let (mut spent, mut latencies) = (Spent::default(), Vec::new());
    let started = Instant::now();
    while spent.is_none() || started.elapsed() < args.measured_for(MEASURE_FOR) {
        spent.on(cues.len(), || ask_singly(memory, cues, &mut latencies))?;
    }
    latencies.sort_by(f64::total_cmp);
    Ok((spent, latencies))
}

/// Batches and single recalls take turns at the default ef.
pub(crate) fn batches(
    memory: &Cortica,
    data: &Data,
    args: &BenchArgs,
) -> anyhow::Result<Vec<(usize, Batch)>> {
    let cues = cues(data, K, Accuracy::approximate());
    let singly = ask_singly(memory, &cues, &mut Vec::new())?;
    let runner = memory.batch();
    let mut batches = Vec::new();
    for size in BATCHES {
        let filled = filled(&cues, size);
        for (i, cues) in filled.chunks(size).enumerate() {
            check_batch(memory, cues, &singly, i * size)?;
        }
        let (mut alone, mut together) = (Spent::default(), Spent::default());
        let started = Instant::now();
        while alone.is_none() || started.elapsed() < 2 * args.measured_for(MEASURE_FOR) {
            alone.on(cues.len(), || ask_singly(memory, &cues, &mut Vec::new()))?;
            for cues in filled.chunks(size) {
                let operations = recalls(cues); // Made before the clock starts.
                together.on(cues.len(), || runner.run(operations))?;
            }
        }
        batches.push((size, Batch::of(together, alone)));
    }
    Ok(batches)
}

/// The share of the exact answers that was found, or others as good.
pub(crate) fn share(found: &[Vec<Recalled>], exact: &[Vec<Recalled>]) -> Option<f64> {
    let mut sum = 0.0;
    for (found, exact) in found.iter().zip(exact) {
        let Some(last) = exact.last() else {
            continue;
        };
        let least = f64::from(last.score) - TOLERANCE;
        let good = found.iter().filter(|one| f64::from(one.score) >= least);
        sum += good.count().min(exact.len()) as f64 / exact.len() as f64;
    }
    (!exact.is_empty()).then(|| sum / exact.len() as f64)
}
