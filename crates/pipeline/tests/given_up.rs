//! Requests that are given up: their codes are in the windows of their streams, and their columns go to others.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{assert_at_rest, concepts, cortex, engine_with};
use cortica_cortex::{
    Allocate, AllocateError, Allocation, ConceptRequest, Cortex, CortexOptions, State,
};
use cortica_env::{Clock, ManualClock, Timestamp};
use cortica_neural::Networks;
use cortica_pipeline::{
    AllocationEngine, AllocationPipeline, EngineOptions, Order, PipelineOptions, Request, Ticket,
};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// Whether and when a caller gives up changes no window.
#[test]
fn every_request_that_was_taken_in_enters_its_window_in_order() {
    let concepts = concepts();
    for order in [Order::Relaxed, Order::Submission] {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
        let options = CortexOptions {
            clock: clock.clone(),
            ..CortexOptions::default()
        };
        let engine = Arc::new(engine_with(6, options));
        let options = PipelineOptions {
            workers: 1,
            order,
            ..PipelineOptions::default()
        };
        let pipeline = AllocationPipeline::new(engine.clone(), options).unwrap();
        pipeline.start().unwrap();
        // The worker comes as far as the window of the first, and waits.
        let round = engine.begin();
        let request = |at: usize| Request {
            stream: Some(7),
            deadline: (at == 3).then_some(Timestamp::from_micros(10)),
            ..Request::new(concepts[at].0.clone(), concepts[at].1.to_vec())
        };
        let tickets: Vec<_> = (0..6)
            .map(|at| pipeline.submit(request(at)).unwrap())
            .collect();
        tickets[2].cancel();
        tickets[4].cancel();
        clock.advance_micros(20);
        drop(round);
        let answers: Vec<_> = tickets.into_iter().map(Ticket::wait).collect();
        for (at, answer) in answers.iter().enumerate() {
            let as_it_should = match at {
                2 | 4 => *answer == Err(AllocateError::Cancelled),
                3 => *answer == Err(AllocateError::Deadline),
                _ => matches!(answer, Ok(Allocation::Allocated { .. })),
            };
            assert!(as_it_should, "{order:?}: {at} is {answer:?}");
        }
        let codes: Vec<_> = (0..6)
            .map(|at| engine.encode(concepts[at].1).unwrap())
            .collect();
        assert_eq!(engine.windows().codes(7), codes, "{order:?}");
        // What is refused at the door was never taken in.
        let late = request(3);
        assert!(pipeline.submit(late.clone()).is_err());
        assert_eq!(engine.allocate(&late.lend()), Err(AllocateError::Deadline));
        assert_eq!(engine.windows().codes(7), codes, "{order:?}");
        drop(pipeline);
        assert_at_rest(&engine);
    }
}

/// A clock that stops one thread once that has a column reserved, and shows a late hour afterwards.
#[derive(Debug, Default)]
struct Stopping {
    cortex: OnceLock<Weak<Cortex>>,
    whom: OnceLock<ThreadId>,
    reserved: AtomicBool,
    go_on: AtomicBool,
}

const LATE: Timestamp = Timestamp::from_micros(1_000);

impl Clock for Stopping {
    fn now(&self) -> Timestamp {
        let mine = self.whom.get() == Some(&std::thread::current().id());
        if mine && !self.reserved.load(SeqCst) {
            let cortex = self.cortex.get().and_then(Weak::upgrade).unwrap();
            if cortex.census()[State::Allocated as usize] == 1 {
                self.reserved.store(true, SeqCst);
                wait_for(&self.go_on, Duration::from_millis(300));
            }
        }
        if self.reserved.load(SeqCst) {
            LATE
        } else {
            Timestamp::from_micros(0)
        }
    }
}

/// Whether it was set in time.
fn wait_for(flag: &AtomicBool, at_most: Duration) -> bool {
    let start = Instant::now();
    while !flag.load(SeqCst) {
        if start.elapsed() > at_most {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// The only column is reserved, and the second asks for one: what the first and the second are answered.
fn for_one_column(first_has_a_deadline: bool) -> [Result<Allocation, AllocateError>; 2] {
    let clock = Arc::new(Stopping::default());
    let options = CortexOptions {
        clock: clock.clone(),
        ..CortexOptions::default()
    };
    let cortex = cortex(1, options);
    clock.cortex.set(Arc::downgrade(&cortex)).unwrap();
    let networks = Arc::new(Networks::shipped_768().unwrap());
    let engine = AllocationEngine::new(cortex, networks, EngineOptions::default()).unwrap();
    let concepts = concepts();
    let answers = std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            clock.whom.set(std::thread::current().id()).unwrap();
            engine.allocate(&ConceptRequest {
                deadline: first_has_a_deadline.then_some(Timestamp::from_micros(500)),
                ..ConceptRequest::new("first", concepts[0].1)
            })
        });
        assert!(wait_for(&clock.reserved, Duration::from_mins(1)));
        let second = engine.allocate(&ConceptRequest::new("second", concepts[1].1));
        // Whoever answers while the column is only reserved comes here before the first goes on.
        clock.go_on.store(true, SeqCst);
        [first.join().unwrap(), second]
    });
    assert_at_rest(&engine);
    answers
}

#[test]
fn no_column_is_suitable_only_where_none_comes_free() {
    let [first, second] = for_one_column(true);
    assert_eq!(first, Err(AllocateError::Deadline));
    assert!(
        matches!(second, Ok(Allocation::Allocated { .. })),
        "{second:?}"
    );
    let [first, second] = for_one_column(false);
    assert!(
        matches!(first, Ok(Allocation::Allocated { .. })),
        "{first:?}"
    );
    assert_eq!(second, Ok(Allocation::NoSuitableColumn));
}
