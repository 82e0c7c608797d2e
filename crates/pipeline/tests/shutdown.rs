//! What others see and do while a pipeline ends.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{concepts, owned, pipeline, requests};
use cortica_cortex::Allocate;
use cortica_pipeline::{AllocationPipeline, Completions, Order, Phase, PipelineError};
use futures_core::Stream;
use std::pin::Pin;
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
