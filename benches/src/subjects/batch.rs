//! Searches in a batch of operations: against one by one, against the definition, and divided among
//! workers.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use cortica::{
    Accuracy, Answered, Batch, BatchConfig, Cortica, Cue, Hit, IndexLag, Isa, Operation, Workers,
};
use cortica_simd::{cosine_reference, dot, dot_reference, top_k_reference};
use cortica_testkit::Rng;

use super::fixture;
use crate::subject::{Pair, Scaled, Setup, Work};

const NEIGHBOURS: usize = 10;

/// Operations in a list.
const COUNT: usize = 1_000;

/// Rows searched where the definition is the baseline, which takes its time: the bundled ones.
const ROWS_FEW: usize = 4_096;

/// Rows and queries: real ones, and what is between them where there are too few.
struct World {
    rows: Arc<[f32]>,
    queries: Arc<[Vec<f32>]>,
    dimension: usize,
}

impl World {
    fn new(rows: usize, queries: usize) -> Result<World> {
        let data = fixture::bundled()?;
        let (dimension, real) = (data.dimension, data.len());
        // Those behind the real ones are noisy copies: no query is a row.
        let tiled = fixture::tiled(&data, real + rows.max(queries));
        let queries = tiled[real * dimension..]
            .chunks_exact(dimension)
            .take(queries);
        Ok(World {
            queries: queries.map(<[f32]>::to_vec).collect(),
            rows: if rows <= real {
                tiled[..rows * dimension].into()
            } else {
                fixture::tiled(&data, rows).into()
            },
            dimension,
        })
    }

    fn store(&self, isa: Isa) -> Result<Cortica> {
        let builder = Cortica::builder().dimension(self.dimension).isa(isa);
        let store = builder.index_lag(IndexLag::OnDemand).in_memory()?;
        for stored in store.store_many(fixture::episodes(&self.rows, self.dimension, 0)) {
            stored?;
        }
        Ok(store)
    }

    fn searches(&self) -> Vec<Operation> {
        let search = |query: &Vec<f32>| Operation::similarity(query.clone(), NEIGHBOURS);
        self.queries.iter().map(search).collect()
    }

    fn cues(&self) -> Vec<Cue> {
        let cue = |query: &Vec<f32>| Cue::embedding(query.clone()).max_results(NEIGHBOURS);
        self.queries.iter().map(cue).collect()
    }
}

fn runner(store: &Cortica, workers: usize) -> Result<Batch> {
    Ok(store.batch().workers(&Workers::new(workers)?))
}

fn hits(batch: &Batch, operations: Vec<Operation>) -> Result<Vec<Vec<Hit>>> {
    let answers = batch.run(operations)?.answers.into_iter();
    let hits = answers.map(|answer| match answer? {
        Answered::Similar(hits) | Answered::Recalled(hits) => Ok(hits),
        _ => bail!("a search was not answered in kind"),
    });
    hits.collect()
}

/// What a run of searches gives: sequence numbers and the bits of scores.
type Found = Vec<Vec<(u64, u32)>>;

fn found(batch: &Batch, operations: Vec<Operation>) -> Result<Found> {
    let bits = |hit: Hit| (hit.seq, hit.score.to_bits());
    let hits = hits(batch, operations)?.into_iter();
    Ok(hits
        .map(|hits| hits.into_iter().map(bits).collect())
        .collect())
}

fn one_by_one(store: &Cortica, cues: &[Cue]) -> Result<Found> {
    let recall = |cue: &Cue| {
        let recalled = store.recall(cue)?.into_iter();
        Ok(recalled
            .map(|one| (one.memory.seq, one.score.to_bits()))
            .collect())
    };
    cues.iter().map(recall).collect()
}

/// A batch, on one thread, against single recalls of a store.
fn pair(world: &World, of: Cortica, alone: Cortica, same_bits: bool) -> Result<Pair> {
    let (of, alone) = (Arc::new(of), Arc::new(alone));
    let (batch, cues) = (runner(&of, 1)?, world.cues());
    let searches = world.searches();
    let check = {
        let (batch, searches) = (batch.clone(), searches.clone());
        let (alone, cues, kept) = (alone.clone(), cues.clone(), of.clone());
        move || {
            let _ = &kept;
            let (together, alone) = (found(&batch, searches.clone())?, one_by_one(&alone, &cues)?);
            let seqs = |found: &Found| -> Vec<Vec<u64>> {
                let seqs = found
                    .iter()
                    .map(|hits| hits.iter().map(|hit| hit.0).collect());
                seqs.collect()
            };
            ensure!(seqs(&together) == seqs(&alone), "a batch finds others");
            ensure!(!same_bits || together == alone, "a batch has other scores");
            Ok(())
        }
    };
    Ok(Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            let _ = &of; // A batch does not keep its store open.
            let operations = searches.clone();
            let done = watch.time(|| batch.run(operations))?;
            ensure!(done.answers.iter().all(Result::is_ok), "a search failed");
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            watch.time(|| {
                cues.iter().try_for_each(|cue| {
                    ensure!(alone.recall(cue)?.len() == NEIGHBOURS, "too few results");
                    Ok(())
                })
            })
        }),
    })
}

/// A thousand searches in one list against as many calls.
pub(super) fn against_one_by_one(setup: &Setup) -> Result<Pair> {
    let rows = if setup.quick { 4_096 } else { 16_384 };
    let world = World::new(rows, COUNT)?;
    let isa = Isa::best();
    pair(&world, world.store(isa)?, world.store(isa)?, true)
}

/// The same against single calls through the scalar kernels.
pub(super) fn against_scalar(_: &Setup) -> Result<Pair> {
    let world = World::new(ROWS_FEW, COUNT)?;
    // Across instruction sets scores agree within 1e-6, not in their bits.
    pair(
        &world,
        world.store(Isa::best())?,
        world.store(Isa::Scalar)?,
        false,
    )
}

/// A thousand searches in one list against the definition, query after query.
pub(super) fn against_definition(_: &Setup, isa: Isa) -> Result<Pair> {
    let world = World::new(ROWS_FEW, COUNT)?;
    let store = Arc::new(world.store(isa)?);
    let (batch, searches) = (runner(&store, 1)?, world.searches());
    let World {
        rows,
        queries,
        dimension,
    } = world;
    let defined = move |query: &[f32]| {
        let scores: Vec<f32> = rows
            .chunks_exact(dimension)
            .map(|row| cosine_reference(query, row))
            .collect();
        top_k_reference(&scores, NEIGHBOURS)
    };
    let check = {
        let (batch, searches, defined) = (batch.clone(), searches.clone(), defined.clone());
        let (queries, kept) = (queries.clone(), store.clone());
        move || {
            let _ = &kept;
            for (query, hits) in queries.iter().zip(hits(&batch, searches.clone())?) {
                let defined = defined(query);
                let near = |(hit, scored): (&Hit, &cortica_simd::Scored)| {
                    (hit.score - scored.score).abs() < 1e-5
                };
                ensure!(
                    hits.len() == NEIGHBOURS && hits.iter().zip(&defined).all(near),
                    "a batch gives another answer than the definition"
                );
            }
            Ok(())
        }
    };
    Ok(Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            let _ = &store;
            let operations = searches.clone();
            let done = watch.time(|| batch.run(operations))?;
            ensure!(done.answers.iter().all(Result::is_ok), "a search failed");
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            watch.time(|| {
                for query in queries.iter() {
                    black_box(defined(query));
                }
            });
            Ok(())
        }),
    })
}

/// The scalar kernel against the definition.
pub(super) fn scalar_against_definition() -> Pair {
    const DIMENSION: usize = 768;
    const REPEATS: usize = 1_000;
    let mut random = Rng::new(9);
    let mut vector = || -> Vec<f32> { (0..DIMENSION).map(|_| random.unit() - 0.5).collect() };
    let (a, b) = (vector(), vector());
    let (other_a, other_b) = (a.clone(), b.clone());
    let (check_a, check_b) = (a.clone(), b.clone());
    let each = |one: &dyn Fn(&[f32], &[f32]) -> f32, a: &[f32], b: &[f32]| {
        for _ in 0..REPEATS {
            black_box(one(black_box(a), black_box(b)));
        }
    };
    Pair {
        check: Box::new(move || {
            let defined = dot_reference(&check_a, &check_b);
            let off = (dot(Isa::Scalar, &check_a, &check_b) - defined).abs();
            ensure!(off < 1e-3, "off by {off}");
            Ok(())
        }),
        subject: Box::new(move |watch| {
            watch.time(|| each(&|a, b| dot(Isa::Scalar, a, b), &a, &b));
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            watch.time(|| each(&dot_reference, &other_a, &other_b));
            Ok(())
        }),
    }
}

/// Recalls that walk along the graph index as it is by default: stored rows in a random order, as
/// whoever looks for the neighbours of all that is stored asks.
pub(super) fn through_index(setup: &Setup) -> Result<Pair> {
    const WIDTH: usize = 64;
    const CUES: usize = 10_000;
    let data = fixture::largest(setup)?;
    let builder = Cortica::builder().dimension(data.dimension);
    let store = builder.index_lag(IndexLag::OnDemand).in_memory()?;
    for stored in store.store_many(fixture::episodes(&data.rows, data.dimension, 0)) {
        stored?;
    }
    store.wait_indexed()?;
    let mut rows: Vec<usize> = (0..data.len()).collect();
    let mut random = Rng::new(7);
    for place in (1..rows.len()).rev() {
        rows.swap(place, random.below(place + 1));
    }
    let cue = |row: &usize| {
        let cue = Cue::embedding(data.row(*row).to_vec()).max_results(NEIGHBOURS);
        cue.accuracy(Accuracy::Approximate { ef: WIDTH })
    };
    let cues: Arc<[Cue]> = rows.iter().take(CUES).map(cue).collect();
    let store = Arc::new(store);
    let batch = runner(&store, 1)?;
    let recalls = |cues: &[Cue]| cues.iter().cloned().map(Operation::recall).collect();
    let check = {
        let (batch, store, cues) = (batch.clone(), store.clone(), cues.clone());
        move || {
            let together = found(&batch, recalls(&cues))?;
            ensure!(
                together == one_by_one(&store, &cues)?,
                "a batch gives another answer"
            );
            Ok(())
        }
    };
    let asked = cues.clone();
    Ok(Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            let operations: Vec<Operation> = recalls(&asked);
            let done = watch.time(|| batch.run(operations))?;
            ensure!(done.answers.iter().all(Result::is_ok), "a recall failed");
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            watch.time(|| {
                cues.iter()
                    .try_for_each(|cue| store.recall(cue).map(|_| ()).context("a recall failed"))
            })
        }),
    })
}

/// One list of searches, divided among as many workers as there are threads.
pub(super) fn two_workers(_: &Setup) -> Result<Scaled> {
    const SHARE: usize = 256;
    let world = World::new(4_096, 2 * SHARE)?;
    let store = Arc::new(world.store(Isa::best())?);
    let runners = [runner(&store, 1)?, runner(&store, 2)?];
    let searches = world.searches();
    let check = {
        let (runners, searches, store) = (runners.clone(), searches.clone(), store.clone());
        let cues = world.cues();
        move || {
            let alone = one_by_one(&store, &cues)?;
            for runner in &runners {
                ensure!(
                    found(runner, searches.clone())? == alone,
                    "workers change the answer"
                );
            }
            Ok(())
        }
    };
    Ok(Scaled {
        threads: 2,
        check: Box::new(check),
        work: Work::Divided(Box::new(move |threads, watch| {
            let _ = &store;
            let runner = runners
                .get(threads - 1)
                .context("as many workers as runners")?;
            watch.time(|| {
                let operations = searches[..threads * SHARE].to_vec();
                let config = BatchConfig::default();
                let done = runner.clone().config(config).run(operations)?;
                ensure!(done.answers.iter().all(Result::is_ok), "a search failed");
                Ok(())
            })
        })),
    })
}
