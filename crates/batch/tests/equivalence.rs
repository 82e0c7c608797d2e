//! A batch gives what its operations give one by one, whatever they are, on any number of workers and
//! with any kernels: random lists against a plain interpreter, made small where they fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use common::interpreter::interpret;
use common::lists::{DIMENSION, IDS, Step, operations, steps};
use cortica_batch::{Answer, Answered, Batch, BatchConfig, Hit, Workers};
use cortica_env::{ManualClock, Timestamp};
use cortica_memory::{AtCapacity, IndexLag, MemoryStore, SpaceSpec, StoreOptions};
use cortica_simd::Isa;
use cortica_testkit::{report, size};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::sync::Arc;

/// Lists for each instruction set, of which there are at least two on every machine this is about.
const LISTS: u64 = 20_000;

fn store(case: &Case, isa: Isa) -> Arc<MemoryStore> {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(DIMENSION).with_metric(case.metric.parse().unwrap())),
        isa,
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(42))),
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
    metric: &'static str,
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
    // As many as can be stored, half of that, and one.
    let capacity = prop_oneof![
        Just(None),
        Just(Some(IDS - 1)),
        Just(Some(IDS / 2)),
        Just(Some(1))
    ];
    let store = (metric, capacity, prop::bool::weighted(0.2));
    let all = (steps(), store, 1..=8_usize, batch_size, threshold);
    all.prop_map(
        |(steps, (metric, capacity, refuses), workers, batch_size, threshold)| Case {
            steps,
            metric,
            capacity,
            refuses,
            workers,
            batch_size,
            threshold,
        },
    )
}

/// How many memories were evicted, if all is the same.
fn check(case: &Case, isa: Isa, pools: &[Workers]) -> Result<u64, TestCaseError> {
    let (one, many) = (store(case, isa), store(case, isa));
    let list = operations(&case.steps);
    let alone: Vec<String> = list
        .iter()
        .map(|operation| words(&interpret(&one, operation.clone())))
        .collect();
    let mut config = BatchConfig::default();
    config.batch_size = case.batch_size;
    config.streaming_threshold = case.threshold;
    config.simd = Some(isa);
    let batch = Batch::over(&many)
        .config(config)
        .workers(&pools[case.workers - 1]);
    let done = batch.run(list).unwrap();
    let together: Vec<String> = done.answers.iter().map(words).collect();
    for (number, (alone, together)) in alone.iter().zip(&together).enumerate() {
        prop_assert_eq!(alone, together, "operation {}", number);
    }
    prop_assert_eq!(alone.len(), together.len());
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
    prop_assert_eq!(done.summary.evicted, figures(&many).1[2]);
    // What recalls have noted is applied by the next write, or by this.
    let ticked = [&one, &many].map(|store| format!("{:?}", store.tick()));
    prop_assert_eq!(&ticked[0], &ticked[1]);
    prop_assert_eq!(one.state_digest(), many.state_digest());
    prop_assert_eq!(done.summary.operations, alone.len() as u64);
    prop_assert_eq!(done.summary.applied, alone.len() as u64);
    prop_assert_eq!(
        done.summary.outcomes.values().sum::<u64>(),
        alone.len() as u64
    );
    Ok(done.summary.evicted)
}

/// What lists have come to, without which they say less than they seem to.
#[derive(Default)]
struct Reached {
    lists: Cell<u64>,
    operations: Cell<u64>,
    /// Lists with reads that several workers divide among them.
    divided: Cell<u64>,
    /// Lists that had memories evicted, at half of the capacity and at one.
    evicting: [Cell<u64>; 2],
}

impl Reached {
    fn note(&self, case: &Case) {
        let add = |count: &Cell<u64>, more| count.set(count.get() + more);
        add(&self.lists, 1);
        add(&self.operations, case.steps.len() as u64);
        // Reads of one kind, up to what is no read. So many that they do not go to one worker.
        let kinds = [
            |step: &Step| matches!(step, Step::Recall { .. }),
            |step: &Step| matches!(step, Step::Similar { .. }),
        ];
        let reads = |step: &Step| kinds.iter().any(|is| is(step));
        let runs = || case.steps.split(|step| !reads(step));
        let long =
            |run: &[Step], is: fn(&Step) -> bool| run.iter().filter(|step| is(step)).count() > 32;
        let whole = case.steps.len() <= case.threshold || case.batch_size > case.steps.len();
        let divided =
            whole && case.workers > 1 && runs().any(|run| kinds.iter().any(|&is| long(run, is)));
        add(&self.divided, u64::from(divided));
    }

    fn evicted(&self, case: &Case) {
        let of = match case.capacity {
            Some(1) => 1,
            Some(_) => 0,
            None => return,
        };
        self.evicting[of].set(self.evicting[of].get() + 1);
    }
}

#[test]
fn a_batch_equals_its_operations_one_by_one() {
    let pools: Vec<Workers> = (1..=8).map(|count| Workers::new(count).unwrap()).collect();
    let lists = size("BATCH_LISTS", LISTS);
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
        let result = runner.run(&cases(), |case| {
            reached.note(&case);
            if check(&case, isa, &pools)? > 0 {
                reached.evicted(&case);
            }
            Ok(())
        });
        if let Err(error) = result {
            panic!("{isa}: {error}");
        }
    }
    let divided = reached.divided.get();
    let [at_half, at_one] = reached.evicting.each_ref().map(Cell::get);
    assert!(
        reached.lists.get() >= lists,
        "{} lists",
        reached.lists.get()
    );
    if lists >= LISTS {
        let least = divided.min(at_half).min(at_one);
        assert!(
            least >= 50,
            "{divided} lists divided among workers, {at_half} and {at_one} with evictions"
        );
    }
    let counts = [
        ("lists", reached.lists.get()),
        ("operations", reached.operations.get()),
        ("lists_divided_among_workers", divided),
        ("lists_with_evictions", at_half + at_one),
        ("instruction_sets", all.len() as u64),
    ];
    report("batch_equivalence", 0, &counts);
}
