//! Panics, deadlines, cancellations and shutdowns, all at once: every request is answered once, and the books agree.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    clippy::too_many_lines,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{assert_at_rest, assert_known, concepts, cortex};
use cortica_cortex::{Allocate, AllocateError, Allocation, Code, CortexOptions, Priority};
use cortica_env::{Clock, SystemClock, Timestamp};
use cortica_neural::{InputError, Networks};
use cortica_pipeline::{
    AllocationEngine, AllocationPipeline, EngineOptions, Model, ModelWorker, Order, Phase,
    PipelineOptions, Request, Shutdown, SubmitReason, Ticket,
};
use cortica_simd::Isa;
use cortica_testkit::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Networks that panic now and then, wherever they are asked, and may take their time.
#[derive(Debug)]
struct Moody {
    networks: Networks,
    calls: Arc<AtomicU64>,
    panics: Arc<AtomicU64>,
    slow: Duration,
}

struct MoodyWorker {
    worker: Box<dyn ModelWorker>,
    calls: Arc<AtomicU64>,
    panics: Arc<AtomicU64>,
    slow: Duration,
}

impl Model for Moody {
    fn dimension(&self) -> usize {
        self.networks.dimension()
    }

    fn worker(&self, isa: Isa) -> Box<dyn ModelWorker> {
        Box::new(MoodyWorker {
            worker: Model::worker(&self.networks, isa),
            calls: self.calls.clone(),
            panics: self.panics.clone(),
            slow: self.slow,
        })
    }
}

impl MoodyWorker {
    fn mood(&self) {
        let call = self.calls.fetch_add(1, Relaxed);
        if !self.slow.is_zero() {
            std::thread::sleep(self.slow);
        }
        if call.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58 == 0 {
            self.panics.fetch_add(1, Relaxed);
            panic!("a bad mood");
        }
    }
}

impl ModelWorker for MoodyWorker {
    fn encode(&mut self, features: &[f32]) -> Result<Code, InputError> {
        self.mood();
        self.worker.encode(features)
    }

    fn predict(&mut self, window: &[Code]) -> Result<Option<Code>, InputError> {
        self.mood();
        self.worker.predict(window)
    }

    fn detect(&mut self, window: &[Code]) -> Result<f32, InputError> {
        self.mood();
        self.worker.detect(window)
    }
}

fn moody(side: u32, slow: Duration) -> (Arc<AllocationEngine>, Arc<AtomicU64>) {
    let panics = Arc::new(AtomicU64::new(0));
    let model = Moody {
        networks: Networks::shipped_768().unwrap(),
        calls: Arc::default(),
        panics: panics.clone(),
        slow,
    };
    let cortex = cortex(side, CortexOptions::default());
    let engine = AllocationEngine::new(cortex, Arc::new(model), EngineOptions::default());
    (Arc::new(engine.unwrap()), panics)
}

/// Threads of this process that are workers of a pipeline, by their name.
fn workers_there() -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return 0;
    };
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    };
    tasks
        .filter_map(name)
        .filter(|name| name.starts_with("allocate-"))
        .count()
}

fn chaos(order: Order, seed: u64) {
    let (engine, panics) = moody(12, Duration::ZERO);
    let options = PipelineOptions {
        workers: 3,
        capacity: 64,
        order,
    };
    let pipeline = AllocationPipeline::new(engine.clone(), options).unwrap();
    pipeline.start().unwrap();
    let concepts = concepts();
    let total = 10_000;
    let next = AtomicUsize::new(0);
    let [
        allocated,
        duplicates,
        none,
        cancelled,
        late,
        stopped,
        panicked,
        other,
    ] = [const { AtomicU64::new(0) }; 8];
    let count = |answer: Result<Allocation, AllocateError>| {
        let counter = match answer {
            Ok(Allocation::Allocated { .. }) => &allocated,
            Ok(Allocation::Duplicate { .. }) => &duplicates,
            Ok(_) => &none,
            Err(AllocateError::Cancelled) => &cancelled,
            Err(AllocateError::Deadline) => &late,
            Err(AllocateError::Stopped) => &stopped,
            Err(AllocateError::Panicked(text)) if text == "a bad mood" => &panicked,
            Err(error) => {
                println!("{error}");
                &other
            }
        };
        counter.fetch_add(1, Relaxed);
    };
    let submitted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (pipeline, concepts, next, count, submitted) =
                (&pipeline, &concepts, &next, &count, &submitted);
            let engine = &engine;
            scope.spawn(move || {
                let mut rng = Rng::new(seed + thread);
                let mut open: Vec<Ticket> = Vec::new();
                while next.fetch_add(1, Relaxed) < total {
                    let row = rng.below(concepts.len());
                    let (id, features) = &concepts[row];
                    let mut request = Request::new(id.clone(), features.to_vec());
                    request.stream = (rng.below(3) > 0).then(|| rng.below(9) as u64);
                    request.priority =
                        [Priority::Low, Priority::Normal, Priority::Critical][rng.below(3)];
                    if rng.below(8) == 0 {
                        let soon = SystemClock.now().as_micros() + rng.below(400) as i64;
                        request.deadline = Some(Timestamp::from_micros(soon));
                    }
                    // Until it is taken in: whoever stops the pipeline starts it again.
                    loop {
                        match pipeline.submit(request) {
                            Ok(ticket) => {
                                submitted.fetch_add(1, Relaxed);
                                if rng.below(10) == 0 {
                                    ticket.cancel();
                                }
                                open.push(ticket);
                                break;
                            }
                            Err(refused) => match refused.reason {
                                SubmitReason::Full | SubmitReason::NotRunning(_) => {
                                    request = *refused.request;
                                    std::thread::yield_now();
                                }
                                // Its deadline passed while it waited for room.
                                SubmitReason::Refused(AllocateError::Deadline) => break,
                                reason => panic!("{reason}"),
                            },
                        }
                    }
                    // Columns come free again, so that there is something to compete for.
                    if rng.below(2) == 0 {
                        let (id, _) = &concepts[rng.below(concepts.len())];
                        engine.release_id(id).unwrap();
                    }
                    if open.len() > 40 {
                        let ticket = open.swap_remove(rng.below(open.len()));
                        count(ticket.wait());
                    }
                }
                for ticket in open {
                    count(ticket.wait());
                }
            });
        }
        scope.spawn(|| {
            let mut rng = Rng::new(seed + 99);
            while next.load(Relaxed) < total {
                std::thread::sleep(Duration::from_millis(20));
                let patience = Duration::from_micros(rng.below(2_000) as u64);
                // On a busy machine a worker may be at its last request for longer than it is waited for; that
                // each ends is seen below.
                pipeline.shutdown(patience);
                pipeline.start().unwrap();
            }
        });
    });
    assert_eq!(pipeline.shutdown(Duration::from_mins(1)).detached, 0);
    assert_no_worker_is_left();
    let read = |counter: &AtomicU64| counter.load(Relaxed);
    let stats = pipeline.stats();
    println!("{order:?}: {stats:?}");
    assert_eq!(read(&other), 0);
    assert_eq!(stats.submitted, read(&submitted));
    assert_eq!(stats.attempted, stats.submitted);
    assert_eq!(
        stats.attempted,
        stats.allocated + stats.duplicates + stats.none + stats.failed
    );
    assert_eq!(
        [
            stats.allocated,
            stats.duplicates,
            stats.none,
            stats.cancelled,
            stats.late,
            stats.stopped
        ],
        [
            read(&allocated),
            read(&duplicates),
            read(&none),
            read(&cancelled),
            read(&late),
            read(&stopped)
        ]
    );
    assert_eq!(stats.panicked, read(&panicked));
    assert_eq!(stats.panicked, panics.load(Relaxed));
    assert_eq!(
        stats.failed,
        stats.cancelled + stats.late + stats.stopped + stats.panicked
    );
    for (name, count) in [
        ("allocated", stats.allocated),
        ("duplicates", stats.duplicates),
        ("cancelled", stats.cancelled),
        ("late", stats.late),
        ("stopped", stats.stopped),
        ("panicked", stats.panicked),
    ] {
        assert!(count > 0, "{order:?}: none {name}");
    }
    assert_at_rest(&engine);
    assert_known(&engine, concepts.iter().map(|(id, _)| &**id));
    drop(pipeline);
}

/// Also none that a shutdown did not wait for.
fn assert_no_worker_is_left() {
    // The other test's end by themselves.
    let start = Instant::now();
    loop {
        let left = workers();
        if left.is_empty() {
            return;
        }
        assert!(start.elapsed() < Duration::from_mins(1), "{left:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Names of the workers of this process.
#[cfg(target_os = "linux")]
fn workers() -> Vec<String> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    // One that ends meanwhile has no name any more.
    let name = |thread: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(thread.ok()?.path().join("comm")).ok()
    };
    let names = threads.filter_map(name);
    names.filter(|name| name.starts_with("allocate-")).collect()
}

#[cfg(not(target_os = "linux"))]
fn workers() -> Vec<String> {
    Vec::new()
}

#[test]
fn every_ticket_is_answered_once_whatever_happens() {
    // Thousands of panics would be thousands of messages.
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<&str>();
        if text != Some(&"a bad mood") {
            eprintln!("{panic}");
        }
    }));
    chaos(Order::Relaxed, 1);
    chaos(Order::Submission, 2);
    let until = Instant::now() + Duration::from_secs(5);
    while workers_there() > 0 && Instant::now() < until {
        std::thread::yield_now();
    }
    assert_eq!(workers_there(), 0, "a thread is left");
}

/// A pipeline at work.
fn started(engine: &Arc<AllocationEngine>, workers: usize, order: Order) -> AllocationPipeline {
    let options = PipelineOptions {
        workers,
        capacity: 64,
        order,
    };
    let pipeline = AllocationPipeline::new(engine.clone(), options).unwrap();
    pipeline.start().unwrap();
    pipeline
}

#[test]
fn who_is_still_at_work_at_the_deadline_is_detached_and_answers_in_the_end() {
    for order in [Order::Relaxed, Order::Submission] {
        let (engine, _) = moody(6, Duration::from_millis(400));
        let pipeline = started(&engine, 1, order);
        let concepts = concepts();
        let submit = |at: usize| {
            let (id, features) = &concepts[at];
            pipeline
                .submit(Request::new(id.clone(), features.to_vec()))
                .unwrap()
        };
        let tickets: Vec<_> = (0..5).map(submit).collect();
        std::thread::sleep(Duration::from_millis(50)); // The worker is at the first.
        assert_eq!(pipeline.health().busy, 1);
        let ended = pipeline.shutdown(Duration::from_millis(1));
        // What it is not at is answered, and told of.
        let want = Shutdown {
            finished: 0,
            cancelled: 4,
            open: 1,
            detached: 1,
        };
        assert_eq!(ended, want, "{order:?}");
        assert_eq!(pipeline.health().phase, Phase::Stopped);
        // It can be started again beside the one that is still at work.
        pipeline.start().unwrap();
        let mut tickets = tickets.into_iter();
        let first = tickets.next().unwrap();
        for ticket in tickets {
            assert_eq!(ticket.poll().unwrap(), Err(AllocateError::Stopped));
        }
        let answer = first.wait();
        let is_one = matches!(
            answer,
            Ok(Allocation::Allocated { .. })
                | Err(AllocateError::Stopped | AllocateError::Panicked(_))
        );
        assert!(is_one, "{answer:?}");
        // The run that is there now had nothing to do with it.
        let ended = pipeline.shutdown(Duration::from_secs(10));
        assert_eq!(ended, Shutdown::default(), "{order:?}");
        drop(pipeline);
        assert_at_rest(&engine);
        assert_eq!(engine.cortex().stats().held, engine.stats().concepts as u64);
    }
}

/// Several workers, with requests in every stage between them.
#[test]
fn whatever_the_deadline_a_shutdown_tells_of_every_request() {
    let concepts = concepts();
    for order in [Order::Relaxed, Order::Submission] {
        for deadline_ms in [0, 30, 90, 150] {
            let (engine, _) = moody(6, Duration::from_millis(40));
            let pipeline = started(&engine, 3, order);
            let request = |at: usize| Request {
                stream: (!at.is_multiple_of(2)).then_some(1),
                ..Request::new(concepts[at].0.clone(), concepts[at].1.to_vec())
            };
            let tickets: Vec<_> = (0..30)
                .map(|at| pipeline.submit(request(at)).unwrap())
                .collect();
            let deadline = Duration::from_millis(deadline_ms);
            let ended = std::thread::scope(|scope| {
                let ending = scope.spawn(|| pipeline.shutdown(deadline));
                std::thread::sleep(Duration::from_millis(20));
                pipeline.reset_stats();
                ending.join().unwrap()
            });
            let all = ended.finished + ended.cancelled + ended.open;
            assert_eq!(all, 30, "{order:?}, {deadline_ms} ms: {ended:?}");
            assert!(ended.open <= ended.detached as u64, "{ended:?}");
            let open: Vec<_> = tickets
                .into_iter()
                .filter_map(|ticket| ticket.poll().err())
                .collect();
            assert!(open.len() as u64 <= ended.open, "{ended:?}");
            for ticket in open {
                drop(ticket.wait());
            }
            drop(pipeline);
            assert_at_rest(&engine);
        }
    }
}

#[test]
fn the_engine_counts_what_is_given_up_or_panics() {
    for order in [Order::Relaxed, Order::Submission] {
        let (engine, panics) = moody(6, Duration::from_millis(5));
        let pipeline = started(&engine, 2, order);
        let concepts = concepts();
        let submit = |at: usize| {
            let (id, features) = &concepts[at];
            let ticket = pipeline.submit(Request::new(id.clone(), features.to_vec()));
            ticket.unwrap()
        };
        let tickets: Vec<_> = (0..60).map(submit).collect();
        for ticket in tickets.iter().skip(20) {
            ticket.cancel();
        }
        for ticket in tickets {
            drop(ticket.wait());
        }
        let (whole, engine) = (pipeline.stats(), engine.stats());
        assert!(whole.cancelled > 0 && panics.load(Relaxed) > 0, "{whole:?}");
        assert_eq!(
            (engine.attempted, engine.allocated, engine.failed),
            (60, whole.allocated, whole.failed),
            "{order:?}"
        );
    }
}
