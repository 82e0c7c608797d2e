//! The measurements, each held against the right answer before it counts.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use cortica::{
    Answered, BatchOutcome, Cortica, Cue, Durability, Episode, ItemError, Metric, Operation,
    Recalled, StoreError,
};

use crate::args::BenchArgs;
use crate::bench::data::{BLOCK_ROWS, Data};
use crate::bench::judge::judge;
use crate::bench::report::{Batch, Exact, Graph, Report, Skipped, Store};
use crate::bench::{allocation, approximate, busy, lists};
use crate::figures::{per_second, percentile};
use crate::folder;
use crate::ingest::batch::run_whole;
use crate::machine::{Machine, cpu_time};
use crate::output::Out;

/// How many results are timed.
pub(crate) const K: usize = 10;
/// Queries handed over at once.
pub(crate) const BATCHES: [usize; 2] = [16, 256];

/// Passes over the queries go on until they have taken this long ...
const MEASURE_FOR: Duration = Duration::from_secs(2);
/// ... or there were this many.
const PASSES_MAX: usize = 50;

/// Measures all that this build can do; what it cannot is listed with the reason.
pub(crate) fn run(
    mut data: Data,
    folder: &Path,
    args: &BenchArgs,
    out: &Out,
) -> anyhow::Result<Report> {
    let (durability, graph) = (Durability::from(args.durability), args.graph());
    let mut skipped = not_built_yet();
    if args.quick {
        skipped.push(Skipped {
            part: "time",
            why: "--quick: figures were measured for a twentieth of the time".to_owned(),
        });
    }
    let space = Cortica::builder()
        .dimension(data.dimension())
        .metric(Metric::Cosine)
        .durability(durability)
        .graph(graph);
    let open = || space.clone().open(folder);
    let memory = open()?;
    let stored = store(&memory, &mut data, out, &mut skipped)?;
    let indexed = index(&memory, &stored)?;
    memory.close()?;
    let bytes = folder::bytes(folder)?;
    let memory = open()?; // What is recalled has been read back from disk.
    let opened = Instant::now();
    memory.wait_indexed()?; // Else that would go on beside what is timed.
    let reindexed = opened.elapsed();

    let timed = time(&memory, &data, args, out)?;
    let exact = judge(&memory, &mut data, &timed.answers, out, &mut skipped)?;
    let approximate = approximate::curve(&memory, &data, &timed.answers, args, out)?;
    let through_index = approximate::batches(&memory, &data, args)?;
    let machine = Machine::here(memory.stats().isa);
    memory.close()?;
    let allocation = allocation::run(&mut data, out, &mut skipped)?;
    let busy = busy::measure(&space, &mut data, out)?;
    let lists = lists::run(&space, &mut data, args, out)?;
    Ok(Report {
        n: data.count(),
        d: data.dimension(),
        machine,
        graph: Graph {
            degree: graph.degree,
            build_width: graph.build_width,
            codes: args.codes,
        },
        store: Store {
            burst_rows_s: per_second(stored.rows, stored.taken),
            sustained_rows_s: per_second(stored.rows, indexed.since_first_row),
            lag_rows: indexed.lag,
            lag_s: indexed.caught_up_in.as_secs_f64(),
            index_rows_cpu_s: indexed.cpu.rate(),
            index_bytes: indexed.bytes,
            reindexed_s: reindexed.as_secs_f64(),
            bytes,
            durability: durability.to_string(),
            batch_rows: BLOCK_ROWS,
        },
        exact: Exact {
            qps_cpu: timed.qps_cpu,
            p50_us: timed.p50_us,
            p99_us: timed.p99_us,
            ..exact
        },
        approximate,
        batch: timed.batches,
        batch_approximate: through_index,
        busy,
        lists,
        spreading: None,
        allocation,
        skipped,
    })
}

fn not_built_yet() -> Vec<Skipped> {
    let skip = |part, why: &str| Skipped {
        part,
        why: why.to_owned(),
    };
    vec![skip(
        "spreading",
        "no spreading over associations yet: edges.u32 is not read",
    )]
}

/// What storing came to.
struct Stored {
    rows: u64,
    /// By the calls that stored them.
    taken: Duration,
    /// When the first one was made.
    begun: Instant,
}

/// What indexing came to.
struct Indexed {
    /// Rows that waited when the last one was stored.
    lag: u64,
    caught_up_in: Duration,
    /// From the first row on.
    since_first_row: Duration,
    /// Indexing alone, after the last row.
    cpu: Spent,
    /// Of links and codes.
    bytes: u64,
}

/// Waits until all is part of the graph, and helps with it.
fn index(memory: &Cortica, stored: &Stored) -> anyhow::Result<Indexed> {
    let (lag, started) = (memory.stats().index.waiting, Instant::now());
    let mut cpu = Spent::default();
    cpu.on(lag as usize, || memory.wait_indexed())?;
    Ok(Indexed {
        lag,
        caught_up_in: started.elapsed(),
        since_first_row: stored.begun.elapsed(),
        cpu,
        bytes: memory.stats().index.bytes,
    })
}

/// Stores episodes by one list of operations, and says how long that took.
pub(crate) fn store_together(
    memory: &Cortica,
    episodes: Vec<Episode>,
) -> anyhow::Result<(Vec<cortica::Answer>, Duration)> {
    let operations = episodes.into_iter().map(Operation::Store).collect();
    let started = Instant::now();
    let answers = run_whole(memory, operations)?;
    Ok((answers, started.elapsed()))
}

/// Stores every row and gives the rate of the storing alone, reading the file not counted.
fn store(
    memory: &Cortica,
    data: &mut Data,
    out: &Out,
    skipped: &mut Vec<Skipped>,
) -> anyhow::Result<Stored> {
    let n = data.count();
    let begun = Instant::now();
    let progress = out.progress(Some(n as u64), "storing");
    let (mut stored, mut taken) = (0, Duration::ZERO);
    let mut refused = Vec::new();
    for from in (0..n).step_by(BLOCK_ROWS) {
        let rows = data.read(from, BLOCK_ROWS)?;
        let count = rows.len();
        let (answers, elapsed) = store_together(memory, episodes(from, rows))?;
        taken += elapsed;
        for (row, answer) in (from..).zip(answers) {
            match answer {
                Ok(_) => stored += 1,
                Err(ItemError::Store(error @ StoreError::Embedding(_))) => {
                    refused.push((row, error));
                }
                // Not the row's fault: without it the rest would be judged as if it were all.
                Err(error) => return Err(error).with_context(|| format!("X.npy: row {row}")),
            }
        }
        progress.advance(count as u64);
    }
    data.leave_out(refused.iter().map(|(row, _)| *row).collect());
    let rows_refused = refused.len();
    if let Some((row, error)) = refused.into_iter().next() {
        if stored == 0 {
            return Err(anyhow::Error::new(error).context("no row was stored"));
        }
        let why = format!(
            "{rows_refused} of {n} rows were refused and are left out of the truth, the first is \
             row {row}: {error}"
        );
        skipped.push(Skipped { part: "rows", why });
    }
    Ok(Stored {
        rows: stored,
        taken,
        begun,
    })
}

/// An episode for each row.
pub(crate) fn episodes(from: usize, rows: Vec<Vec<f32>>) -> Vec<Episode> {
    let episode = |(row, embedding): (usize, Vec<f32>)| {
        // A text of its own: the same row twice is two rows here.
        Episode::new(row.to_string(), row.to_string()).with_embedding(embedding)
    };
    (from..).zip(rows).map(episode).collect()
}

struct Timed {
    /// What single recalls answered, query by query.
    answers: Vec<Vec<Recalled>>,
    qps_cpu: Option<f64>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    batches: Vec<(usize, Batch)>,
}

/// Processor time spent on a number of queries.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    queries: u64,
    cpu: Duration,
}

impl Spent {
    pub(crate) fn on<T>(&mut self, queries: usize, work: impl FnOnce() -> T) -> T {
        let started = cpu_time();
        let result = work();
        self.cpu += cpu_time().saturating_sub(started);
        self.queries += queries as u64;
        result
    }

    pub(crate) fn is_none(&self) -> bool {
        self.queries == 0
    }

    pub(crate) fn rate(self) -> Option<f64> {
        per_second(self.queries, self.cpu)
    }
}

/// Single recalls and batches take turns, so that a machine that slows down slows both.
fn time(memory: &Cortica, data: &Data, args: &BenchArgs, out: &Out) -> anyhow::Result<Timed> {
    let cues: Vec<Cue> = data.queries.iter().map(|query| cue(query, K)).collect();
    let filled = BATCHES.map(|size| (size, filled(&cues, size)));

    let answers = ask_singly(memory, &cues, &mut Vec::new())?; // Also warms the caches.
    for (size, cues) in &filled {
        for (i, cues) in cues.chunks(*size).enumerate() {
            check_batch(memory, cues, &answers, i * size)?;
        }
    }

    let runner = memory.batch();
    let progress = out.progress(None, "recalling");
    let (mut latencies, mut single) = (Vec::new(), Spent::default());
    let mut batched = [Spent::default(); BATCHES.len()];
    let started = Instant::now();
    for pass in 0..PASSES_MAX {
        if pass > 0 && started.elapsed() > args.measured_for(MEASURE_FOR) {
            break;
        }
        single.on(cues.len(), || ask_singly(memory, &cues, &mut latencies))?;
        for ((size, cues), spent) in filled.iter().zip(&mut batched) {
            for cues in cues.chunks(*size) {
                let operations = recalls(cues); // Made before the clock starts.
                spent.on(cues.len(), || runner.run(operations))?;
            }
        }
        progress.advance(1);
    }
    latencies.sort_by(f64::total_cmp);
    let batches = BATCHES
        .into_iter()
        .zip(batched)
        .map(|(size, spent)| (size, Batch::of(spent, single)));
    Ok(Timed {
        answers,
        qps_cpu: single.rate(),
        p50_us: percentile(&latencies, 0.50),
        p99_us: percentile(&latencies, 0.99),
        batches: batches.collect(),
    })
}

/// The cues in whole batches: what is short of one is filled by going round.
pub(crate) fn filled(cues: &[Cue], size: usize) -> Vec<Cue> {
    let whole = cues.len().next_multiple_of(size);
    cues.iter().cycle().take(whole).cloned().collect()
}

/// The cues as operations.
pub(crate) fn recalls(cues: &[Cue]) -> Vec<Operation> {
    cues.iter().cloned().map(Operation::recall).collect()
}

pub(crate) fn cue(query: &[f32], k: usize) -> Cue {
    Cue::embedding(query.to_vec()).max_results(k)
}

pub(crate) fn ask_singly(
    memory: &Cortica,
    cues: &[Cue],
    latencies_us: &mut Vec<f64>,
) -> anyhow::Result<Vec<Vec<Recalled>>> {
    let mut answers = Vec::with_capacity(cues.len());
    for (query, cue) in cues.iter().enumerate() {
        let started = Instant::now();
        let answer = memory.recall(cue);
        latencies_us.push(started.elapsed().as_secs_f64() * 1e6);
        answers.push(answer.with_context(|| format!("q.npy: query {query}"))?);
    }
    Ok(answers)
}

/// A batch must answer what single recalls answered, to the last bit of every score.
pub(crate) fn check_batch(
    memory: &Cortica,
    cues: &[Cue],
    singly: &[Vec<Recalled>],
    from: usize,
) -> anyhow::Result<()> {
    let BatchOutcome { answers, .. } = memory.batch().run(recalls(cues))?;
    for (i, answer) in answers.into_iter().enumerate() {
        let query = (from + i) % singly.len();
        let key = |r: &Recalled| (r.memory.seq, r.score.to_bits());
        let answer = answer.with_context(|| format!("q.npy: query {query}"))?;
        let Answered::Recalled(hits) = answer else {
            bail!("query {query} was not answered in kind");
        };
        let found = hits.iter().map(|hit| (hit.seq, hit.score.to_bits()));
        ensure!(
            found.eq(singly[query].iter().map(key)),
            "query {query} was answered differently in a batch of {} than alone",
            cues.len()
        );
    }
    Ok(())
}
