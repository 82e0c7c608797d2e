//! What a request asks of the allocator, once all has been used: what is kept of it, and little else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{concepts, engine, owned, pipeline, requests};
use cortica_cortex::Allocation;
use cortica_pipeline::{Completions, Order};
use cortica_testkit::{CountingAllocator, count_allocations, count_allocations_of_all};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Tests take turns: one counts what all threads ask for.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_request_allocates_what_is_kept_of_it_and_little_else() {
    let _turn = turn();
    let engine = engine(16);
    let concepts = concepts();
    let requests = requests(&concepts[..1_200]);
    let (warm_up, measured) = requests.split_at(800);
    engine.allocate_many(warm_up, Order::Relaxed);
    let mut total = 0;
    for request in measured {
        let (answer, counted) = count_allocations(|| engine.allocate(request));
        let answer = answer.unwrap();
        assert!(counted.allocations <= 24, "{answer:?}: {counted:?}");
        if matches!(answer, Allocation::Duplicate { .. }) {
            assert!(counted.net_bytes() < 4_096, "{counted:?}");
        }
        total += counted.allocations;
    }
    let each = total as f64 / measured.len() as f64;
    println!("{each:.2} allocations a request");
    // Id and features that are kept, the list of concepts with near codes, a node of the streams' order now and then.
    assert!(each <= 4.0, "{each}");
}

/// Its place in the queue and the place for its answer, beside what the engine asks for; where requests are decided in
/// order also what goes from stage to stage, and the lists of a round of one.
#[test]
fn a_request_through_a_pipeline_allocates_little_more() {
    let _turn = turn();
    let concepts = concepts();
    for (order, most) in [(Order::Relaxed, 5.0), (Order::Submission, 8.0)] {
        for by_completions in [false, true] {
            let pipeline = pipeline(16, 2, order);
            let mut warm_up = owned(&requests(&concepts[..600]));
            let measured = warm_up.split_off(400);
            let count = measured.len();
            pipeline.process_batch(warm_up);
            let completions = Completions::new(count);
            let (answers, blocks) = count_allocations_of_all(|| {
                if !by_completions {
                    return pipeline.process_batch(measured).len();
                }
                for request in measured {
                    pipeline.submit_for(&completions, request).unwrap();
                }
                std::iter::from_fn(|| completions.next()).count()
            });
            assert_eq!(answers, count);
            let each = blocks as f64 / count as f64;
            println!("{order:?}, completions: {by_completions}: {each:.2} allocations a request");
            assert!(each <= most, "{order:?}: {each}");
        }
    }
}
