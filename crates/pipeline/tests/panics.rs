//! Panics of what a pipeline is given beside networks: its clock, and the wakers of who waits for completions.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{assert_at_rest, assert_known, assert_same, concepts, cortex, engine_state, requests};
use cortica_cortex::{Allocate, AllocateError, Allocation, CortexOptions};
use cortica_env::{Clock, SystemClock, Timestamp};
use cortica_neural::Networks;
use cortica_pipeline::{
    AllocationEngine, AllocationPipeline, Completions, EngineOptions, Order, PipelineOptions,
    Request,
};
use futures_core::Stream;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

/// Carried by a panic, and panics when it is dropped.
struct Again;

impl Drop for Again {
    fn drop(&mut self) {
        std::panic::panic_any("and again");
    }
}

/// Goes well, and panics now and then in the hands of a worker, wherever it is asked.
#[derive(Debug, Default)]
struct MoodyClock {
    calls: AtomicU64,
    panics: AtomicU64,
}

impl Clock for MoodyClock {
    fn now(&self) -> Timestamp {
        let thread = std::thread::current();
        let in_a_worker = thread
            .name()
            .is_some_and(|name| name.starts_with("allocate-"));
        // A panic while another passes ends the process, whoever catches what.
        if in_a_worker && !std::thread::panicking() {
            let call = self.calls.fetch_add(1, Relaxed);
            if call.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56 == 0 {
                self.panics.fetch_add(1, Relaxed);
                std::panic::panic_any(Again);
            }
        }
        SystemClock.now()
    }
}

/// Stands still, and panics at one reading from when it is armed.
#[derive(Debug, Default)]
struct PanicsOnce {
    left: AtomicU64,
}

impl Clock for PanicsOnce {
    fn now(&self) -> Timestamp {
        let left = self.left.load(Relaxed);
        self.left.store(left.saturating_sub(1), Relaxed);
        assert!(left != 1, "a clock stops");
        Timestamp::from_micros(1_000)
    }
}

#[test]
fn a_clock_that_panics_at_any_reading_leaves_a_round_done_or_undone() {
    let concepts = concepts();
    let requests = requests(&concepts[..20]);
    let networks = Arc::new(Networks::shipped_768().unwrap());
    let fresh = || {
        let clock = Arc::new(PanicsOnce::default());
        let options = CortexOptions {
            clock: clock.clone(),
            ..CortexOptions::default()
        };
        let engine = AllocationEngine::new(
            cortex(6, options),
            networks.clone(),
            EngineOptions::default(),
        );
        (engine.unwrap(), clock)
    };
    let (engine, _) = fresh();
    engine.allocate_many(&requests[..8], Order::Submission);
    let before = engine_state(&engine);
    // Reserved, known otherwise, let go of, and kept.
    let work = |engine: &AllocationEngine| {
        let mut round = engine.begin();
        let reserved = round.reserve_many(&requests[8..14]);
        let own = reserved.iter().flatten().filter_map(|one| one.decision);
        let own: Vec<_> = own.collect();
        round.revise(own[0].concept, concepts[600].1).unwrap();
        round.release(own[1].column, own[1].concept).unwrap();
        round.commit();
    };
    let mut reading = 0;
    loop {
        reading += 1;
        let (engine, clock) = fresh();
        engine.allocate_many(&requests[..8], Order::Submission);
        clock.left.store(reading, Relaxed);
        let done = catch_unwind(AssertUnwindSafe(|| work(&engine)));
        let left = clock.left.swap(0, Relaxed);
        assert_at_rest(&engine);
        assert_known(&engine, requests.iter().map(|request| request.concept_id));
        if done.is_ok() {
            assert!(
                left > 0,
                "reading {reading} panicked, and who asked went on"
            );
            break;
        }
        assert_eq!(engine_state(&engine), before, "reading {reading}");
        // It goes on, and decides what it would have.
        let (like, _) = fresh();
        for engine in [&engine, &like] {
            if std::ptr::eq(engine, &raw const like) {
                engine.allocate_many(&requests[..8], Order::Submission);
            }
            engine.allocate_many(&requests[14..], Order::Submission);
        }
        assert_same(&engine, &like);
    }
    assert!(reading > 20, "{reading}");
}

/// Wakes its thread, and panics every third time.
struct MoodyWaker {
    thread: Thread,
    calls: AtomicU64,
    panics: AtomicU64,
}

impl Wake for MoodyWaker {
    fn wake(self: Arc<Self>) {
        self.thread.unpark();
        if self.calls.fetch_add(1, Relaxed).is_multiple_of(3) {
            self.panics.fetch_add(1, Relaxed);
            panic!("a waker that does not");
        }
    }
}

#[test]
fn panics_of_clocks_and_wakers_end_no_worker_and_lose_no_answer() {
    for order in [Order::Relaxed, Order::Submission] {
        let clock = Arc::new(MoodyClock::default());
        let options = CortexOptions {
            clock: clock.clone(),
            ..CortexOptions::default()
        };
        let networks = Arc::new(Networks::shipped_768().unwrap());
        let engine = AllocationEngine::new(cortex(14, options), networks, EngineOptions::default());
        let engine = Arc::new(engine.unwrap());
        let options = PipelineOptions {
            workers: 2,
            order,
            ..PipelineOptions::default()
        };
        let pipeline = AllocationPipeline::new(engine.clone(), options).unwrap();
        pipeline.start().unwrap();
        let concepts = concepts();
        let total = 1_000;
        let mut completions = Completions::new(32);
        let moody = Arc::new(MoodyWaker {
            thread: std::thread::current(),
            calls: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        });
        let waker = Waker::from(moody.clone());
        let mut context = Context::from_waker(&waker);
        let (mut submitted, mut answered) = (BTreeSet::new(), BTreeSet::new());
        let (mut next, mut panicked) = (0, 0);
        while answered.len() < total {
            while next < total {
                let (id, features) = &concepts[next];
                let request = Request {
                    stream: (!next.is_multiple_of(3)).then_some(next as u64 % 5),
                    ..Request::new(id.clone(), features.to_vec())
                };
                let Ok(seq) = pipeline.submit_for(&completions, request) else {
                    break; // Answers have to be taken first.
                };
                submitted.insert(seq);
                next += 1;
            }
            match Pin::new(&mut completions).poll_next(&mut context) {
                Poll::Ready(Some(completion)) => {
                    assert!(answered.insert(completion.seq), "answered twice");
                    match completion.answer {
                        Ok(Allocation::Allocated { .. } | Allocation::Duplicate { .. }) => {}
                        Err(AllocateError::Panicked(why)) if why == "something that is no text" => {
                            panicked += 1;
                        }
                        other => panic!("{order:?}: {other:?}"),
                    }
                }
                Poll::Ready(None) => assert_eq!(answered.len(), next, "an answer is lost"),
                Poll::Pending => std::thread::park_timeout(Duration::from_mins(1)),
            }
        }
        assert_eq!(submitted, answered);
        let health = pipeline.health();
        assert_eq!(health.alive, 2, "{order:?}: {health:?}");
        assert!(panicked > 0 && moody.panics.load(Relaxed) > 0);
        assert_eq!(panicked, clock.panics.load(Relaxed), "{order:?}");
        assert_eq!(pipeline.stats().panicked, panicked);
        drop(pipeline);
        assert_at_rest(&engine);
        assert_known(&engine, concepts.iter().map(|(id, _)| &**id));
    }
}
