//! What the tests and examples of this crate share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "not every test uses all of it"
)]

use cortica_cortex::{
    Allocate, Allocation, ConceptRequest, Cortex, CortexOptions, Grid, State, Timings,
};
use cortica_env::ManualClock;
use cortica_neural::Networks;
use cortica_pipeline::{
    AllocationEngine, AllocationPipeline, EngineOptions, Order, PipelineOptions, Request,
};
use cortica_testkit::bundle;
use std::collections::HashSet;
use std::sync::Arc;

/// Every concept of the bundle: a name and 768 features.
pub fn concepts() -> Vec<(String, &'static [f32])> {
    let bundle = bundle();
    (0..bundle.len())
        .map(|row| (format!("concept {row}"), bundle.row(row)))
        .collect()
}

/// A clock at rest: nothing depends on how long anything takes.
pub fn still() -> CortexOptions {
    CortexOptions {
        clock: Arc::new(ManualClock::default()),
        ..CortexOptions::default()
    }
}

pub fn cortex(side: u32, options: CortexOptions) -> Arc<Cortex> {
    Arc::new(Cortex::new(Grid::new(side, side, side).unwrap(), options).unwrap())
}

pub fn engine_with(side: u32, options: CortexOptions) -> AllocationEngine {
    let networks = Arc::new(Networks::shipped_768().unwrap());
    AllocationEngine::new(cortex(side, options), networks, EngineOptions::default()).unwrap()
}

pub fn engine(side: u32) -> AllocationEngine {
    engine_with(side, CortexOptions::default())
}

/// One that was started, over an engine with the shipped networks.
pub fn pipeline(side: u32, workers: usize, order: Order) -> AllocationPipeline {
    let options = PipelineOptions {
        workers,
        order,
        ..PipelineOptions::default()
    };
    let pipeline = AllocationPipeline::new(Arc::new(engine(side)), options).unwrap();
    pipeline.start().unwrap();
    pipeline
}

/// Requests of three streams and none.
pub fn requests<'a>(concepts: &'a [(String, &'a [f32])]) -> Vec<ConceptRequest<'a>> {
    let all = concepts.iter().enumerate();
    all.map(|(at, (id, features))| ConceptRequest {
        stream: (at % 4 > 0).then_some(at as u64 % 4),
        ..ConceptRequest::new(id, features)
    })
    .collect()
}

pub fn owned(requests: &[ConceptRequest<'_>]) -> Vec<Request> {
    requests.iter().map(Request::from).collect()
}

/// All that a log can bring back, to the bit.
pub fn assert_same(a: &AllocationEngine, b: &AllocationEngine) {
    let (x, y) = (a.cortex(), b.cortex());
    for column in x.grid().columns() {
        assert_eq!(x.held(column), y.held(column));
        assert_eq!(x.learned(column), y.learned(column));
        assert_eq!(x.exemplar(column), y.exemplar(column));
    }
    assert_eq!(a.windows(), b.windows());
    assert_eq!(a.stats().concepts, b.stats().concepts);
    assert_eq!(a.stats().dedup.concepts, b.stats().dedup.concepts);
}

/// No column is claimed, none is owned twice, nothing is reserved, and the books agree.
pub fn assert_at_rest(engine: &AllocationEngine) {
    let cortex = engine.cortex();
    let census = cortex.census();
    assert_eq!(census[State::Activated as usize], 0);
    assert_eq!(census[State::Competing as usize], 0);
    assert_eq!(census[State::Allocated as usize], 0);
    let mut held: Vec<_> = cortex
        .grid()
        .columns()
        .filter_map(|column| cortex.held(column).unwrap())
        .collect();
    let stats = engine.stats();
    assert_eq!(held.len(), stats.concepts);
    assert_eq!(stats.cortex.held, held.len() as u64);
    held.sort_unstable();
    held.dedup();
    assert_eq!(held.len(), stats.concepts, "a concept has two columns");
    assert_eq!(stats.dedup.concepts, stats.concepts);
    assert_eq!(stats.dedup.reserved, 0);
    assert_eq!(
        stats.attempted,
        stats.allocated + stats.duplicates + stats.none + stats.failed
    );
}

/// The books say of each concept that there is which column holds it. Of an engine that was given these ids alone.
pub fn assert_known<'a>(engine: &AllocationEngine, ids: impl Iterator<Item = &'a str>) {
    let ids: HashSet<&str> = ids.collect();
    let found = ids.into_iter().filter_map(|id| engine.find(id));
    let held = found.map(|(concept, column)| {
        assert_eq!(engine.cortex().held(column).unwrap(), Some(concept));
    });
    assert_eq!(held.count(), engine.stats().concepts);
}

/// An answer without its times.
pub fn parts(answer: &Allocation) -> Allocation {
    let mut answer = *answer;
    if let Allocation::Allocated { timings, .. } = &mut answer {
        *timings = Timings::default();
    }
    answer
}

/// Everything that decisions depend on.
pub fn engine_state(engine: &AllocationEngine) -> impl PartialEq + std::fmt::Debug + use<> {
    let cortex = engine.cortex();
    let columns = cortex.grid().columns();
    let columns: Vec<_> = columns
        .map(|column| {
            (
                cortex.held(column),
                cortex.learned(column),
                cortex.exemplar(column),
            )
        })
        .collect();
    let windows = engine.windows();
    let windows: Vec<_> = windows
        .iter()
        .map(|(stream, codes)| (stream, codes.to_vec()))
        .collect();
    (
        columns,
        windows,
        engine.stats().concepts,
        engine.stats().dedup.concepts,
    )
}
