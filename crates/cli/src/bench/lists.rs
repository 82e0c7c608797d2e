//! Lists of operations of one kind: how many a second, and how long a list takes, by its length.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cortica::{AllocationOptions, Association, Builder, Cortica, Kind, Operation};

use crate::args::BenchArgs;
use crate::bench::data::{BLOCK_ROWS, Data};
use crate::bench::measure::{K, cue, episodes};
use crate::bench::report::{ListOf, Lists};
use crate::figures::{per_second, percentile};
use crate::folder::Temporary;
use crate::output::Out;

/// Operations in a list.
pub(crate) const LENGTHS: [usize; 4] = [1, 10, 100, 1_000];

/// More rows than these say nothing more.
const ROWS_MAX: usize = 10_000;

/// Lists of one kind and length are run until they have taken this long ...
const MEASURE_FOR: Duration = Duration::from_millis(500);
/// ... and there were so many, or there are no more: enough for the slowest of a hundred to be another than the slowest.
const LISTS_MIN: usize = 100;

/// Lists that are so long are run in so many rounds, each of them storing all and forgetting it again.
const LONG: usize = 1_000;
const ROUNDS: usize = LISTS_MIN * LONG / ROWS_MAX;

/// Writes go first, each to what the ones before it left; at last all is forgotten again.
const KINDS: [Kind; 5] = [
    Kind::Store,
    Kind::Associate,
    Kind::Recall,
    Kind::SimilaritySearch,
    Kind::Forget,
];

/// Runs lists of every kind and length, each length on a store of its own.
pub(crate) fn run(
    space: &Builder,
    data: &mut Data,
    args: &BenchArgs,
    out: &Out,
) -> anyhow::Result<Lists> {
    let rows = rows(data)?;
    let measure_for = args.measured_for(MEASURE_FOR);
    let cells = LENGTHS.len() * (KINDS.len() + 1);
    let progress = out.progress(Some(cells as u64), "running lists");
    let mut of = Vec::with_capacity(cells);
    for length in LENGTHS {
        let folder = Temporary::new("bench-lists")?;
        let memory = space.clone().open(folder.path().join("store"))?;
        let rounds = if length < LONG || args.quick {
            1
        } else {
            ROUNDS
        };
        let mut timed = KINDS.map(|_| Timed::default());
        for _ in 0..rounds {
            for (kind, timed) in KINDS.into_iter().zip(&mut timed) {
                let operation = |at: usize| operation(kind, at, &rows, &data.queries);
                let size = (length, rows.len());
                time(&memory, kind, size, measure_for, &operation, timed)?;
            }
        }
        let timed = KINDS.into_iter().zip(timed);
        of.extend(timed.filter_map(|(kind, timed)| timed.report(kind, length)));
        progress.advance(KINDS.len() as u64);
        memory.close()?;
        if let Some(memory) = allocating(space, rows.len(), &folder) {
            let operation = |at: usize| operation(Kind::Allocate, at, &rows, &data.queries);
            let (kind, mut timed) = (Kind::Allocate, Timed::default());
            let size = (length, rows.len());
            time(&memory, kind, size, measure_for, &operation, &mut timed)?;
            of.extend(timed.report(kind, length));
            memory.close()?;
        }
        progress.advance(1);
    }
    Ok(Lists {
        rows: rows.len(),
        of,
    })
}

/// Rows that a store takes.
fn rows(data: &mut Data) -> anyhow::Result<Vec<Vec<f32>>> {
    let count = data.count().min(ROWS_MAX);
    let mut rows = Vec::with_capacity(count);
    for from in (0..count).step_by(BLOCK_ROWS) {
        rows.extend(data.read(from, BLOCK_ROWS.min(count - from))?);
    }
    rows.retain(|row| row.iter().all(|x| x.is_finite()) && row.iter().any(|&x| x != 0.0));
    if rows.is_empty() {
        bail!("X.npy: none of its first {count} rows can be stored");
    }
    Ok(rows)
}

/// A store that gives concepts columns; none where there are no networks for its dimension.
fn allocating(space: &Builder, rows: usize, folder: &Temporary) -> Option<Cortica> {
    let options = AllocationOptions::for_concepts(rows);
    let space = space.clone().allocation(options);
    space.open(folder.path().join("allocating")).ok()
}

fn operation(kind: Kind, at: usize, rows: &[Vec<f32>], queries: &[Vec<f32>]) -> Operation {
    let episode = || episodes(at, vec![rows[at].clone()]).into_iter().next();
    let query = &queries[at % queries.len()];
    match (kind, episode()) {
        (Kind::Store, Some(episode)) => Operation::Store(episode),
        (Kind::Allocate, Some(episode)) => Operation::Allocate(episode),
        (Kind::Associate, _) => {
            let next = (at + 1) % rows.len();
            Operation::Associate(Association::new(at.to_string(), next.to_string(), 1))
        }
        (Kind::SimilaritySearch, _) => Operation::similarity(query.clone(), K),
        (Kind::Forget, _) => Operation::forget(at.to_string()),
        _ => Operation::recall(cue(query, K)),
    }
}

/// Lists of one kind and length that were timed.
#[derive(Default)]
struct Timed {
    latencies_us: Vec<f64>,
    taken: Duration,
}

impl Timed {
    fn is_enough(&self, measure_for: Duration) -> bool {
        self.taken >= measure_for && self.latencies_us.len() >= LISTS_MIN
    }

    fn add(&mut self, elapsed: Duration) {
        self.taken += elapsed;
        self.latencies_us.push(elapsed.as_secs_f64() * 1e6);
    }

    /// `None` where there are too few rows for one list.
    fn report(mut self, kind: Kind, length: usize) -> Option<ListOf> {
        let lists = self.latencies_us.len();
        self.latencies_us.sort_by(f64::total_cmp);
        (lists > 0).then(|| ListOf {
            kind: kind.name(),
            length,
            lists,
            operations_s: per_second((lists * length) as u64, self.taken),
            p50_us: percentile(&self.latencies_us, 0.50),
            p99_us: percentile(&self.latencies_us, 0.99),
        })
    }
}

/// Times lists of one length; what is left when the time is over is done in lists of many, as the next kind
/// needs it.
fn time(
    memory: &Cortica,
    kind: Kind,
    (length, rows): (usize, usize),
    measure_for: Duration,
    operation: &dyn Fn(usize) -> Operation,
    all: &mut Timed,
) -> anyhow::Result<()> {
    let (runner, mut done) = (memory.batch(), 0);
    while done < rows {
        let timed = !all.is_enough(measure_for) && done + length <= rows;
        if !timed && kind.only_reads() {
            break;
        }
        let count = if timed { length } else { BLOCK_ROWS };
        let list: Vec<_> = (done..rows.min(done + count)).map(operation).collect();
        done += list.len();
        let started = Instant::now();
        let answers = runner.run(list)?.answers;
        if timed {
            all.add(started.elapsed());
        }
        for answer in answers {
            answer.with_context(|| format!("a list of {}", kind.name()))?;
        }
    }
    Ok(())
}
