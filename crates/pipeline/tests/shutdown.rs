//! What others see and do while a pipeline ends.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{concepts, engine, engine_with, owned, pipeline, requests};
use cortica_cortex::{Allocate, CortexOptions};
use cortica_env::{Clock, Timestamp};
use cortica_pipeline::{
    AllocationPipeline, Completions, Order, Phase, PipelineError, PipelineOptions, PipelineStats,
    SubmitError, SubmitReason,
};
use futures_core::Stream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(10);

/// Waits until it is so.
fn until(so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < SECOND);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Starts a pipeline again, and shuts it down, when it is woken.
struct Restarts {
    pipeline: Arc<AllocationPipeline>,
    tell: Mutex<Sender<(Result<(), PipelineError>, Phase)>>,
}

impl Wake for Restarts {
    fn wake(self: Arc<Restarts>) {
        let started = self.pipeline.start();
        let phase = self.pipeline.health().phase;
        self.pipeline.shutdown(SECOND);
        self.tell.lock().unwrap().send((started, phase)).unwrap();
    }
}

#[test]
fn whom_a_shutdown_wakes_may_start_the_pipeline_again() {
    let concepts = concepts();
    for order in [Order::Submission, Order::Relaxed] {
        let pipeline = Arc::new(pipeline(10, 1, order));
        let completions = Completions::new(100);
        let engine = Arc::clone(pipeline.engine());
        let round = engine.begin();
        for request in owned(&requests(&concepts[..4])) {
            pipeline.submit_for(&completions, request).unwrap();
        }
        until(|| pipeline.health().busy == 1);
        let (tell, told) = channel();
        let waker = Waker::from(Arc::new(Restarts {
            pipeline: Arc::clone(&pipeline),
            tell: Mutex::new(tell),
        }));
        let mut stream = completions.clone();
        let polled = Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        let (end, ended) = channel();
        let ending = Arc::clone(&pipeline);
        std::thread::spawn(move || end.send(ending.shutdown(Duration::from_millis(1))));
        let (started, phase) = told.recv_timeout(SECOND).unwrap();
        assert!(started.is_ok(), "{order:?}: {started:?}");
        assert_eq!(phase, Phase::Running);
        let ended = ended.recv_timeout(SECOND).unwrap();
        let counts = (ended.finished, ended.cancelled, ended.open, ended.detached);
        assert_eq!(counts, (0, 3, 1, 1), "{order:?}");
        drop(round);
    }
}

#[test]
fn while_it_drains_it_says_what_is_left() {
    let concepts = concepts();
    for order in [Order::Submission, Order::Relaxed] {
        let pipeline = pipeline(10, 1, order);
        let round = pipeline.engine().begin();
        let all = owned(&requests(&concepts[..20]));
        let submit = |request| pipeline.submit(request).unwrap();
        let tickets: Vec<_> = all.into_iter().map(submit).collect();
        until(|| pipeline.health().busy == 1);
        std::thread::scope(|scope| {
            let ending = scope.spawn(|| pipeline.shutdown(SECOND));
            until(|| pipeline.health().phase == Phase::Draining);
            let (health, stats) = (pipeline.health(), pipeline.stats());
            assert_eq!((health.alive, health.busy), (1, 1), "{health:?}");
            assert!(!health.healthy);
            assert_eq!((health.queued, stats.queued), (19, 19));
            assert!(
                pipeline
                    .submit(owned(&requests(&concepts[..1]))[0].clone())
                    .is_err()
            );
            drop(round);
            let ended = ending.join().unwrap();
            assert_eq!((ended.finished, ended.open), (20, 0), "{ended:?}");
        });
        let health = pipeline.health();
        assert_eq!((health.alive, health.queued), (0, 0));
        assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()));
    }
}

#[test]
fn a_second_shutdown_waits_for_the_first_and_tells_what_it_saw() {
    let concepts = concepts();
    for order in [Order::Submission, Order::Relaxed] {
        let pipeline = pipeline(10, 1, order);
        let round = pipeline.engine().begin();
        let submit = |request| pipeline.submit(request).unwrap();
        let all = owned(&requests(&concepts[..20]));
        let tickets: Vec<_> = all.into_iter().map(submit).collect();
        until(|| pipeline.health().busy == 1);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| pipeline.shutdown(SECOND));
            until(|| pipeline.health().phase == Phase::Draining);
            // Not for longer than to its own deadline.
            let short = pipeline.shutdown(Duration::from_millis(20));
            let counts = (short.finished, short.cancelled, short.open, short.detached);
            assert_eq!(counts, (0, 0, 20, 1), "{order:?}");
            let (end, ended) = channel();
            let pipeline = &pipeline;
            scope.spawn(move || end.send(pipeline.shutdown(SECOND)));
            assert!(ended.recv_timeout(Duration::from_millis(100)).is_err());
            drop(round);
            let second = ended.recv_timeout(SECOND).unwrap();
            assert!(tickets.into_iter().all(|ticket| ticket.poll().is_ok()));
            let counts = (second.finished, second.open, second.detached);
            assert_eq!(counts, (20, 0, 0), "{order:?}");
            assert_eq!(first.join().unwrap().finished, 20);
        });
        assert_eq!(pipeline.shutdown(SECOND).finished, 0);
    }
}

/// Whoever waits for room when the pipeline is shut down is taken in where it runs again, or told how it is.
#[test]
fn who_waits_for_room_is_never_told_that_a_running_pipeline_does_not_run() {
    let concepts = concepts();
    for order in [Order::Submission, Order::Relaxed] {
        let options = PipelineOptions {
            workers: 1,
            capacity: 1,
            order,
        };
        let pipeline = AllocationPipeline::new(Arc::new(engine(10)), options).unwrap();
        pipeline.start().unwrap();
        let ended = AtomicBool::new(false);
        let (mut taken, mut told) = (0, 0);
        std::thread::scope(|scope| {
            let ending = scope.spawn(|| {
                for _ in 0..300 {
                    pipeline.shutdown(SECOND);
                    pipeline.start().unwrap();
                    std::thread::yield_now();
                }
                ended.store(true, Relaxed);
            });
            let submits = || {
                let (mut taken, mut told) = (0, 0);
                while !ended.load(Relaxed) {
                    for request in owned(&requests(&concepts[..4])) {
                        match pipeline.submit_waiting(request) {
                            Ok(_) => taken += 1,
                            Err(SubmitError { reason, .. }) => {
                                let ends = [Phase::Draining, Phase::Stopped];
                                let ends = ends.map(SubmitReason::NotRunning);
                                assert!(ends.contains(&reason), "{reason:?}");
                                told += 1;
                            }
                        }
                    }
                }
                (taken, told)
            };
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(submits)).collect();
            for thread in threads {
                let counts = thread.join().unwrap();
                (taken, told) = (taken + counts.0, told + counts.1);
            }
            ending.join().unwrap();
        });
        assert!(taken > 0 && told > 0, "{taken} {told}");
        pipeline.shutdown(SECOND);
        let stats = pipeline.stats();
        assert_eq!((stats.submitted, stats.attempted), (taken, taken));
    }
}

/// Says that it is late to workers, and to nobody else.
#[derive(Debug)]
struct LateForWorkers;

impl Clock for LateForWorkers {
    fn now(&self) -> Timestamp {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default();
        let micros = i64::from(name.starts_with("allocate-"));
        Timestamp::from_micros(micros)
    }
}

#[test]
fn no_reading_has_more_answers_than_requests() {
    let concepts = concepts();
    for order in [Order::Submission, Order::Relaxed] {
        let options = CortexOptions {
            clock: Arc::new(LateForWorkers),
            ..CortexOptions::default()
        };
        let engine = Arc::new(engine_with(10, options));
        let options = PipelineOptions {
            workers: 2,
            order,
            ..PipelineOptions::default()
        };
        let pipeline = AllocationPipeline::new(engine, options).unwrap();
        pipeline.start().unwrap();
        let mut requests = owned(&requests(&concepts[..50]));
        // Nearly all are answered as soon as a worker has them, while their submitters are at it still.
        for (at, request) in requests.iter_mut().enumerate() {
            if at % 10 > 0 {
                request.stream = None;
                request.deadline = Some(Timestamp::default());
            }
        }
        let sum =
            |stats: &PipelineStats| stats.allocated + stats.duplicates + stats.none + stats.failed;
        let at_work = AtomicUsize::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for request in requests.iter().cycle().take(10_000) {
                        drop(pipeline.submit_waiting(request.clone()).unwrap());
                    }
                    at_work.fetch_sub(1, Relaxed);
                });
            }
            while at_work.load(Relaxed) > 0 {
                let stats = pipeline.stats();
                assert!(stats.attempted <= stats.submitted, "{order:?}: {stats:?}");
                assert_eq!(stats.attempted, sum(&stats), "{order:?}: {stats:?}");
                std::thread::sleep(Duration::from_micros(20)); // Submitters want the lock, too.
            }
        });
        let ended = pipeline.shutdown(Duration::from_mins(1));
        let stats = pipeline.stats();
        assert_eq!((ended.cancelled, ended.open), (0, 0));
        assert_eq!((stats.submitted, stats.attempted), (40_000, 40_000));
        assert_eq!((stats.attempted, stats.late), (sum(&stats), 36_000));
    }
}
