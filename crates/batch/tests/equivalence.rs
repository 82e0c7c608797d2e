//! A batch gives what its operations give one by one, whatever they are, on any number of workers and
//! with any kernels: random lists against a plain interpreter, made small where they fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use common::interpreter::interpret;
use common::lists::{DIMENSION, IDS, Step, long_steps, operations, steps};
use cortica_batch::{Answer, Answered, Batch, BatchConfig, Hit, Workers};
use cortica_cortex::{Allocate, Cortex, CortexOptions, Grid};
use cortica_env::{Clock, ManualClock, Timestamp};
use cortica_memory::{
    AtCapacity, IndexLag, MemoryStore, SpaceSpec, StoreOptions, Stored, StoredColumn,
};
use cortica_neural::Networks;
use cortica_pipeline::{AllocationEngine, EngineOptions};
use cortica_simd::Isa;
use cortica_testkit::{report, size};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::collections::HashSet;
use std::iter::zip;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;

/// Lists, shared out among the instruction sets of the machine.
const LISTS: u64 = 20_000;

/// Episodes that a list can store: the first id cannot be.
const HELD: usize = IDS - 1;

/// Long ones beside them. A few hundred are as many operations as all the others.
const LONG_LISTS: u64 = 300;
/// So that a kernel's widest step is taken, one vector follows, and some values are left over.
const LONG_DIMENSION: usize = 64 + 16 + 5;

static NETWORKS: LazyLock<Arc<Networks>> = LazyLock::new(|| {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../neural/tests/golden/networks.safetensors");
    Arc::new(Networks::open(&path).unwrap())
});

/// Half a second later at each reading. A store reads it once for each episode that it is offered, so that
/// one by one and in a batch each is stored at its own moment, and at the same one.
#[derive(Debug)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(500_000, Relaxed))
    }
}

/// Gives columns, fewer than there are ids, so that some get none.
fn allocator(isa: Isa) -> Arc<dyn Allocate> {
    let options = CortexOptions {
        // It is read for each round, and a batch has fewer: this one stands still.
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(42))),
        isa,
        ..CortexOptions::default()
    };
    let cortex = Arc::new(Cortex::new(Grid::new(2, 2, 2).unwrap(), options).unwrap());
    let engine = AllocationEngine::new(cortex, NETWORKS.clone(), EngineOptions::default());
    Arc::new(engine.unwrap())
}

fn store(case: &Case, isa: Isa) -> Arc<MemoryStore> {
    let options = StoreOptions {
        allocator: case.allocates.then(|| allocator(isa)),
        space: Some(SpaceSpec::new(case.dimension).with_metric(case.metric.parse().unwrap())),
        isa,
        clock: Arc::new(Ticking(AtomicI64::new(42))),
        index_lag: IndexLag::OnDemand,
        capacity: case.capacity,
        at_capacity: if case.refuses {
            AtCapacity::Refuse
        } else {
            AtCapacity::Forget
        },
        ..StoreOptions::default()
    };
    Arc::new(MemoryStore::in_memory(options).unwrap())
}

/// What an answer says, to the last bit.
fn words(answer: &Answer) -> String {
    match answer {
        Ok(Answered::Recalled(hits) | Answered::Similar(hits)) => {
            let each = |hit: &Hit| {
                let bits = |values: &Vec<f32>| values.iter().map(|x| x.to_bits()).collect();
                let vector: Option<Vec<u32>> = hit.vector.as_ref().map(bits);
                format!(
                    "{} {} {:08x} {vector:?}",
                    hit.seq,
                    hit.id,
                    hit.score.to_bits()
                )
            };
            hits.iter().map(each).collect::<Vec<_>>().join("; ")
        }
        other => format!("{other:?}"),
    }
}

#[derive(Clone, Debug)]
struct Case {
    steps: Vec<Step>,
    /// Behind so many of them, the graph index is brought up to date, for walks to go along it.
    indexed_behind: usize,
    dimension: usize,
    allocates: bool,
    metric: &'static str,
    /// Episodes that it would hold without a limit.
    held: usize,
    capacity: Option<usize>,
    refuses: bool,
    workers: usize,
    batch_size: usize,
    threshold: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    let metric = prop_oneof![Just("cosine"), Just("dot"), Just("l2")];
    let batch_size = prop_oneof![1..=5_usize, Just(1_000)];
    let threshold = prop_oneof![Just(0), Just(10), Just(10_000)];
    // As many as can be stored, one less, half of that, and one.
    let capacity = prop_oneof![
        Just(None),
        Just(Some(HELD)),
        Just(Some(HELD - 1)),
        Just(Some(HELD / 2)),
        Just(Some(1))
    ];
    let store = (metric, capacity, prop::bool::weighted(0.2));
    let allocates = prop::bool::weighted(0.25);
    let how = (1..=8_usize, batch_size, threshold);
    let all = (steps(), store, allocates, how);
    all.prop_map(
        |(steps, (metric, capacity, refuses), allocates, (workers, batch_size, threshold))| Case {
            steps,
            indexed_behind: 0,
            dimension: if allocates {
                NETWORKS.dimension()
            } else {
                DIMENSION
            },
            allocates,
            metric,
            held: HELD,
            capacity,
            refuses,
            workers,
            batch_size,
            threshold,
        },
    )
}

fn long_cases() -> impl Strategy<Value = Case> {
    let metric = prop_oneof![Just("cosine"), Just("dot"), Just("l2")];
    // No limit, half of the rows that come first, as many, and one less than they are.
    let share = 0..5_usize;
    let how = (1..=8_usize, prop_oneof![Just(64_usize), Just(1_000)]);
    let all = (long_steps(), metric, share, how);
    all.prop_map(
        |((indexed_behind, steps), metric, share, (workers, batch_size))| Case {
            steps,
            indexed_behind,
            dimension: LONG_DIMENSION,
            allocates: false,
            metric,
            held: indexed_behind,
            capacity: [
                None,
                None,
                Some(indexed_behind / 2),
                Some(indexed_behind),
                Some(indexed_behind - 1),
            ][share],
            refuses: false,
            workers,
            batch_size,
            threshold: 10_000,
        },
    )
}

/// What one list came to, where all is the same.
struct Came {
    evicted: u64,
    /// Allocations that were given a column.
    columns: u64,
    /// Recalls that were answered by walks, after the graph index had been built.
    walks: u64,
    /// Workers that answered reads.
    workers: usize,
}

fn check(case: &Case, isa: Isa, pools: &[Workers]) -> Result<Came, TestCaseError> {
    let (one, many) = (store(case, isa), store(case, isa));
    let mut config = BatchConfig::default();
    config.batch_size = case.batch_size;
    config.streaming_threshold = case.threshold;
    config.simd = Some(isa);
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let seen = threads.clone();
    let batch = Batch::over(&many)
        .config(config)
        .workers(&pools[case.workers - 1])
        .before(move |_, _| {
            let thread = thread::current();
            let name = thread.name().unwrap_or_default();
            if name.starts_with("cortica-batch-") {
                seen.lock().unwrap().insert(thread.id());
            }
        });
    let mut came = Came {
        evicted: 0,
        columns: 0,
        walks: 0,
        workers: 0,
    };
    let mut is_indexed = false;
    let (first, others) = case.steps.split_at(case.indexed_behind);
    for steps in [first, others] {
        let list = operations(steps, case.dimension);
        let alone: Vec<String> = list
            .iter()
            .map(|operation| words(&interpret(&one, operation.clone())))
            .collect();
        let done = batch.run(list).unwrap();
        let together: Vec<String> = done.answers.iter().map(words).collect();
        for (number, (alone, together)) in alone.iter().zip(&together).enumerate() {
            prop_assert_eq!(alone, together, "operation {}", number);
        }
        prop_assert_eq!(alone.len(), together.len());
        let count = alone.len() as u64;
        prop_assert_eq!(done.summary.operations, count);
        prop_assert_eq!(done.summary.applied, count);
        prop_assert_eq!(done.summary.outcomes.values().sum::<u64>(), count);
        came.evicted += done.summary.evicted;
        let columns = done.answers.iter().filter(|answer| has_column(answer));
        came.columns += columns.count() as u64;
        if is_indexed {
            // Nothing is added to the graph meanwhile: before, it had as many or more.
            let rows = many.stats().index.indexed;
            let walks =
                zip(steps, &done.answers).filter(|(step, answer)| walked(step, answer, rows));
            came.walks += walks.count() as u64;
        } else if case.indexed_behind > 0 {
            one.wait_indexed().unwrap();
            many.wait_indexed().unwrap();
            is_indexed = true;
        }
    }
    came.workers = threads.lock().unwrap().len();
    prop_assert_eq!(one.state_digest(), many.state_digest());
    let figures = |store: &MemoryStore| {
        let stats = store.stats();
        let counts = [
            stats.episodes,
            stats.embedded,
            stats.associations,
            stats.next_seq,
        ];
        (counts, [stats.pending, stats.strengthened, stats.evictions])
    };
    prop_assert_eq!(figures(&one), figures(&many));
    prop_assert_eq!(came.evicted, figures(&many).1[2]);
    // What recalls have noted is applied by the next write, or by this.
    let ticked = [&one, &many].map(|store| format!("{:?}", store.tick()));
    prop_assert_eq!(&ticked[0], &ticked[1]);
    prop_assert_eq!(one.state_digest(), many.state_digest());
    Ok(came)
}

/// Whether it is a recall that walked along a graph of so many rows: where they are no more than what
/// a walk keeps, all are compared.
fn walked(step: &Step, answer: &Answer, rows: u64) -> bool {
    let Step::Recall {
        ef: Some(ef), k, ..
    } = *step
    else {
        return false;
    };
    answer.is_ok() && rows > ef.max(k) as u64
}

fn has_column(answer: &Answer) -> bool {
    let Ok(Answered::Allocated(Stored { allocation, .. })) = answer else {
        return false;
    };
    matches!(allocation, Some(StoredColumn::Allocated { .. }))
}

/// What lists have come to, without which they say less than they seem to.
#[derive(Default)]
struct Reached {
    lists: Cell<u64>,
    operations: Cell<u64>,
    /// Lists whose reads several workers have answered.
    divided: Cell<u64>,
    /// Recalls that walked along a graph.
    walks: Cell<u64>,
    /// Allocations that were given columns, and the lists that had some.
    columns: Cell<u64>,
    allocating: Cell<u64>,
    /// Lists that had memories evicted: at a capacity of one, of half of what they would hold, and of one
    /// less than that.
    evicting: [Cell<u64>; 3],
}

impl Reached {
    fn note(&self, case: &Case, came: &Came) {
        let add = |count: &Cell<u64>, more| count.set(count.get() + more);
        add(&self.lists, 1);
        add(&self.operations, case.steps.len() as u64);
        add(&self.divided, u64::from(came.workers > 1));
        add(&self.walks, came.walks);
        add(&self.columns, came.columns);
        add(&self.allocating, u64::from(came.columns > 0));
        let at = match case.capacity {
            Some(1) => 0,
            Some(capacity) if capacity + 1 == case.held => 2,
            _ => 1,
        };
        add(&self.evicting[at], u64::from(came.evicted > 0));
    }

    /// Counts by their names.
    fn counts(&self) -> [(&'static str, u64); 9] {
        [
            ("lists", self.lists.get()),
            ("operations", self.operations.get()),
            ("lists_divided_among_workers", self.divided.get()),
            ("walks_along_a_graph", self.walks.get()),
            ("columns_given", self.columns.get()),
            ("lists_with_columns_given", self.allocating.get()),
            ("lists_with_evictions_at_one", self.evicting[0].get()),
            ("lists_with_evictions_at_half", self.evicting[1].get()),
            ("lists_with_evictions_just_below", self.evicting[2].get()),
        ]
    }
}

/// Runs lists on every instruction set, `lists` in all.
fn run(lists: u64, cases: &impl Strategy<Value = Case>) -> Reached {
    let pools: Vec<Workers> = (1..=8).map(|count| Workers::new(count).unwrap()).collect();
    let all: Vec<Isa> = Isa::available().collect();
    let reached = Reached::default();
    for &isa in &all {
        let config = Config {
            cases: lists.div_ceil(all.len() as u64) as u32,
            failure_persistence: None,
            max_shrink_iters: 4_000,
            ..Config::default()
        };
        let mut runner = TestRunner::new(config);
        let result = runner.run(cases, |case| {
            let came = check(&case, isa, &pools)?;
            reached.note(&case, &came);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{isa}: {error}");
        }
    }
    assert!(reached.lists.get() >= lists, "{:?}", reached.counts());
    reached
}

/// Says what was reached, once all of these were often enough, if the test has its full size.
#[track_caller]
fn tell(name: &str, reached: &Reached, is_full: bool, least: u64, often: &[&Cell<u64>]) {
    let counts = reached.counts();
    println!("{counts:?}");
    let rare = often.iter().any(|count| count.get() < least);
    assert!(!is_full || !rare, "less than {least} of one: {counts:?}");
    let sets = Isa::available().count() as u64;
    report(
        name,
        0,
        &[&counts[..], &[("instruction_sets", sets)]].concat(),
    );
}

#[test]
fn a_batch_equals_its_operations_one_by_one() {
    let lists = size("BATCH_LISTS", LISTS);
    let reached = run(lists, &cases());
    let [at_one, at_half, _] = &reached.evicting; // Short lists seldom hold nearly all: long ones do.
    let often = [&reached.divided, &reached.allocating, at_one, at_half];
    tell("batch_equivalence", &reached, lists >= LISTS, 50, &often);
}

/// As above with reads of which several passes over the vectors, several workers, and walks along a
/// graph are made.
#[test]
fn a_long_list_equals_its_operations_one_by_one() {
    let lists = size("BATCH_LONG_LISTS", LONG_LISTS);
    let reached = run(lists, &long_cases());
    assert!(lists < LONG_LISTS || reached.walks.get() >= 1_000);
    let [_, at_half, below] = &reached.evicting;
    let often = [&reached.divided, at_half, below];
    tell(
        "batch_equivalence_long",
        &reached,
        lists >= LONG_LISTS,
        50,
        &often,
    );
}
