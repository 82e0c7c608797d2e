//! Many workers: every request is answered once, in either order, whatever happens.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{
    assert_at_rest, assert_known, assert_same, concepts, engine, engine_with, owned, parts,
    pipeline, requests, still,
};
use cortica_cortex::{Allocate, AllocateError, Allocation, ConceptRequest, Hint, Priority};
use cortica_env::Timestamp;
use cortica_pipeline::{
    AllocationPipeline, Order, Phase, PipelineError, PipelineOptions, Request, SubmitReason,
};
use cortica_testkit::Rng;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(10);

#[test]
fn ten_requests_are_ten_answers() {
    for order in [Order::Submission, Order::Relaxed] {
        let pipeline = pipeline(10, 2, order);
        let concepts = concepts();
        let tickets: Vec<_> = owned(&requests(&concepts[..10]))
            .into_iter()
            .map(|request| pipeline.submit(request).unwrap())
            .collect();
        assert!(tickets.windows(2).all(|pair| pair[0].seq() < pair[1].seq()));
        for ticket in tickets {
            assert!(matches!(ticket.wait(), Ok(Allocation::Allocated { .. })));
        }
        let (stats, health) = (pipeline.stats(), pipeline.health());
        assert_eq!((stats.submitted, stats.attempted), (10, 10));
        assert_eq!((stats.allocated, stats.failed), (10, 0));
        assert_eq!((health.phase, health.alive), (Phase::Running, 2));
        assert!(health.healthy);
        for times in [stats.queue, stats.service, stats.total] {
            assert_eq!(times.count, 10);
            assert!(times.p50 > 0 && times.p50 <= times.p99 && times.p99 <= times.max);
        }
        assert!(stats.utilisation > 0.0 && stats.utilisation <= 1.0);
        assert!(stats.queue_peak <= 10);
        assert_at_rest(pipeline.engine());
    }
}

#[test]
fn a_batch_of_a_hundred_is_answered_in_input_order() {
    for order in [Order::Submission, Order::Relaxed] {
        let pipeline = pipeline(20, 2, order);
        let concepts = concepts();
        // Every tenth has the id of the one before: its answer names that one's column.
        let mut batch = owned(&requests(&concepts[..100]));
        for at in (10..100).step_by(10) {
            batch[at].concept_id = batch[at - 1].concept_id.clone();
        }
        let start = Instant::now();
        let answers = pipeline.process_batch(batch.clone());
        let mut rate = 100.0 / start.elapsed().as_secs_f64();
        for _ in 0..5 {
            if rate > 500.0 {
                break;
            }
            // Something else had the machine: the same work again, in columns of its own.
            let again = self::pipeline(20, 2, order);
            let start = Instant::now();
            again.process_batch(batch.clone());
            rate = 100.0 / start.elapsed().as_secs_f64();
        }
        let isa = cortica_simd::Isa::best();
        println!("{order:?}: {rate:.0} a second, {isa}");
        // The scalar kernels are there to be right, and take twenty times as long.
        assert!(rate > 500.0 || isa == cortica_simd::Isa::Scalar, "{rate}");
        assert_eq!(answers.len(), 100);
        let mut columns = HashSet::new();
        for (at, answer) in answers.iter().enumerate() {
            match answer {
                Ok(Allocation::Allocated { column, .. }) => {
                    assert!(columns.insert(*column));
                    let (_, known) = pipeline.engine().find(&concepts[at].0).unwrap_or_else(|| {
                        // Side by side the second of a pair may come first.
                        pipeline.engine().find(&concepts[at - 1].0).unwrap()
                    });
                    assert_eq!(known, *column);
                }
                Ok(Allocation::Duplicate { similarity, .. }) => assert_eq!(*similarity, 1.0),
                other => panic!("{at}: {other:?}"),
            }
        }
        assert_eq!(columns.len(), 91);
        assert_at_rest(pipeline.engine());
    }
}

#[test]
fn fifty_concepts_by_one_two_and_four_threads() {
    let concepts = concepts();
    for workers in [1, 2, 4] {
        for order in [Order::Submission, Order::Relaxed] {
            let pipeline = pipeline(15, workers, order);
            let answers = pipeline.process_batch(owned(&requests(&concepts[..50])));
            let columns: HashSet<_> = answers
                .iter()
                .map(|answer| match answer {
                    Ok(Allocation::Allocated { column, .. }) => *column,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(columns.len(), 50);
            assert_at_rest(pipeline.engine());
        }
    }
}

#[test]
fn in_order_any_number_of_workers_comes_to_the_same_bits() {
    let concepts = concepts();
    let mut requests = requests(&concepts[..1_500]);
    for (at, request) in requests.iter_mut().enumerate() {
        if at % 7 == 0 {
            request.search_radius = 1.5;
        }
        if at % 11 == 0 {
            request.hint = Hint::Near([3.0, (at % 10) as f32, 4.0]);
        }
        if at % 13 == 0 {
            request.stream = Some(at as u64);
        }
        if at % 97 == 0 {
            request.search_radius = f32::NAN; // Refused, alone.
        }
    }
    // 1,331 columns: it fills up. By one thread without a pipeline, and one by one.
    let want = engine_with(11, still());
    let answers = want.allocate_many(&requests, Order::Submission);
    let none = Ok(Allocation::NoSuitableColumn);
    assert!(answers.contains(&none) && answers.iter().any(Result::is_err));
    let exceptions = want.stats().exceptions;
    assert!(exceptions > 10, "{exceptions}");
    let alone = engine_with(11, still());
    let one_by_one: Vec<_> = requests.iter().map(|one| alone.allocate(one)).collect();
    let same = |answers: &[_], got: &[Result<Allocation, AllocateError>]| {
        let parts = |all: &[Result<Allocation, AllocateError>]| -> Vec<_> {
            all.iter()
                .map(|one| one.clone().map(|one| parts(&one)))
                .collect()
        };
        assert_eq!(parts(answers), parts(got));
    };
    same(&answers, &one_by_one);
    assert_same(&want, &alone);
    for workers in [1, 2, 4, 8] {
        let options = PipelineOptions {
            workers,
            capacity: 50,
            order: Order::Submission,
        };
        let engine = Arc::new(engine_with(11, still()));
        let pipeline = AllocationPipeline::new(engine.clone(), options).unwrap();
        pipeline.start().unwrap();
        same(&answers, &pipeline.process_batch(owned(&requests)));
        assert_same(&want, &engine);
        assert_at_rest(&engine);
        assert_known(&engine, requests.iter().map(|one| one.concept_id));
    }
}

#[test]
fn what_is_refused_comes_back() {
    let options = PipelineOptions {
        workers: 1,
        capacity: 4,
        order: Order::Relaxed,
    };
    let pipeline = AllocationPipeline::new(Arc::new(engine(8)), options).unwrap();
    let concepts = concepts();
    let good = Request::new("tea", concepts[0].1.to_vec());
    let refused = pipeline.submit(good.clone()).unwrap_err();
    assert_eq!(refused.reason, SubmitReason::NotRunning(Phase::New));
    assert_eq!(*refused.request, good);
    pipeline.start().unwrap();
    let again = pipeline.start();
    assert!(
        matches!(again, Err(PipelineError::Started(Phase::Running))),
        "{again:?}"
    );
    let bad = [
        Request {
            features: vec![0.5; 12],
            ..good.clone()
        },
        Request {
            features: vec![f32::NAN; 768],
            ..good.clone()
        },
        Request {
            concept_id: String::new(),
            ..good.clone()
        },
        Request {
            search_radius: 0.0,
            ..good.clone()
        },
        Request {
            hint: Hint::Near([99.0, 0.0, 0.0]),
            ..good.clone()
        },
        Request {
            deadline: Some(Timestamp::from_micros(1)),
            ..good.clone()
        },
    ];
    for request in bad {
        let refused = pipeline.submit(request.clone()).unwrap_err();
        assert!(
            matches!(refused.reason, SubmitReason::Refused(_)),
            "{refused}"
        );
        assert_eq!(refused.request.concept_id, request.concept_id);
    }
    let stats = pipeline.stats();
    assert_eq!((stats.submitted, stats.refused, stats.attempted), (0, 7, 0));
    // A round holds the gate: the worker waits at its first request, and the lane fills up.
    let round = pipeline.engine().begin();
    let mut tickets = Vec::new();
    let full = loop {
        match pipeline.submit(Request::new(
            format!("tea {}", tickets.len()),
            good.features.clone(),
        )) {
            Ok(ticket) => tickets.push(ticket),
            Err(refused) => break refused,
        }
    };
    assert_eq!(full.reason, SubmitReason::Full);
    assert_eq!(full.request.features, good.features);
    assert!((4..=5).contains(&tickets.len()), "{}", tickets.len());
    // Another lane has room.
    let urgent = Request {
        priority: Priority::High,
        ..Request::new("urgent", concepts[1].1.to_vec())
    };
    tickets.push(pipeline.submit(urgent).unwrap());
    round.commit();
    let answers: Vec<_> = tickets
        .into_iter()
        .map(|ticket| ticket.wait().unwrap())
        .collect();
    let allocated = answers
        .iter()
        .filter(|one| matches!(one, Allocation::Allocated { .. }));
    assert_eq!(allocated.count(), 2);
    pipeline.shutdown(SECOND);
    let refused = pipeline.submit(good).unwrap_err();
    assert_eq!(refused.reason, SubmitReason::NotRunning(Phase::Stopped));
    assert_at_rest(pipeline.engine());
    for options in [
        PipelineOptions {
            workers: 0,
            ..options
        },
        PipelineOptions {
            capacity: 0,
            ..options
        },
    ] {
        let refused = AllocationPipeline::new(Arc::new(engine(3)), options);
        assert!(matches!(refused, Err(PipelineError::Option { got: 0, .. })));
    }
}

/// Requests of a stream are about to enter their window, for which the round has to end.
#[test]
fn nobody_who_asks_the_pipeline_waits_for_a_round() {
    let concepts = concepts();
    for order in [Order::Submission, Order::Relaxed] {
        let options = PipelineOptions {
            workers: 2,
            capacity: 4,
            order,
        };
        let pipeline = AllocationPipeline::new(Arc::new(engine(8)), options).unwrap();
        pipeline.start().unwrap();
        let mut all = owned(&requests(&concepts[..100])).into_iter();
        let mut all = all.by_ref().map(|request| Request {
            stream: Some(1),
            ..request
        });
        let engine = Arc::clone(pipeline.engine());
        let round = engine.begin();
        let (done, ended) = std::sync::mpsc::channel();
        let (tickets, stats) = std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let mut tickets = Vec::new();
                let full = loop {
                    match pipeline.submit(all.next().unwrap()) {
                        Ok(ticket) => tickets.push(ticket),
                        Err(refused) => break refused,
                    }
                    // Workers get as far as they can.
                    std::thread::sleep(Duration::from_millis(2));
                };
                assert_eq!(full.reason, SubmitReason::Full);
                assert_eq!(pipeline.health().queued, 4);
                let stats = pipeline.stats();
                let ended = pipeline.shutdown(Duration::from_millis(1));
                assert!(ended.detached > 0, "{ended:?}");
                done.send(()).unwrap();
                (tickets, stats)
            });
            let in_time = ended.recv_timeout(SECOND);
            drop(round);
            let asked = asked.join().unwrap();
            assert!(in_time.is_ok(), "{order:?}: a round was waited for");
            asked
        });
        assert_eq!(stats.submitted, tickets.len() as u64);
        for ticket in tickets {
            assert_eq!(ticket.wait(), Err(AllocateError::Stopped));
        }
        while engine.stats().dedup.reserved > 0 {
            std::thread::yield_now();
        }
        assert_at_rest(&engine);
    }
}

#[test]
fn it_drains_stops_and_starts_again() {
    let concepts = concepts();
    for order in [Order::Submission, Order::Relaxed] {
        let pipeline = pipeline(15, 2, order);
        for round in 0..3 {
            let all = owned(&requests(&concepts[100 * round..100 * (round + 1)]));
            let tickets: Vec<_> = all
                .into_iter()
                .map(|request| pipeline.submit(request).unwrap())
                .collect();
            let ended = pipeline.shutdown(SECOND);
            assert_eq!((ended.cancelled, ended.detached), (0, 0));
            assert!(ended.finished <= 100);
            for ticket in tickets {
                let answer = ticket.poll().unwrap();
                assert!(matches!(
                    answer,
                    Ok(Allocation::Allocated { .. } | Allocation::Duplicate { .. })
                ));
            }
            let health = pipeline.health();
            assert_eq!(
                (health.phase, health.alive, health.healthy),
                (Phase::Stopped, 0, false)
            );
            assert_eq!(
                pipeline.shutdown(SECOND),
                cortica_pipeline::Shutdown::default()
            );
            pipeline.start().unwrap();
            assert!(pipeline.health().healthy);
        }
        assert_eq!(pipeline.stats().attempted, 300);
        assert_known(pipeline.engine(), concepts.iter().map(|(id, _)| &**id));
        assert_at_rest(pipeline.engine());
    }
}

#[test]
fn of_a_hundred_threads_with_one_concept_one_has_it() {
    let engine = engine(10);
    let mut rng = Rng::new(77);
    let rounds = 1_000;
    let barrier = std::sync::Barrier::new(100);
    let features: Vec<Vec<f32>> = (0..rounds).map(|_| rng.vector(768)).collect();
    let answers: Vec<Vec<Allocation>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..100)
            .map(|_| {
                scope.spawn(|| {
                    let allocate = |(round, features): (usize, &Vec<f32>)| {
                        barrier.wait();
                        let id = format!("concept {round}");
                        engine
                            .allocate(&ConceptRequest::new(&id, features))
                            .unwrap()
                    };
                    features
                        .iter()
                        .enumerate()
                        .map(allocate)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for round in 0..rounds {
        let (_, at) = engine.find(&format!("concept {round}")).unwrap();
        let mut allocated = 0;
        for thread in &answers {
            match thread[round] {
                Allocation::Allocated { column, .. } => {
                    assert_eq!(column, at);
                    allocated += 1;
                }
                Allocation::Duplicate {
                    column, similarity, ..
                } => {
                    assert_eq!((column, similarity), (at, 1.0));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(allocated, 1, "round {round}");
    }
    assert_at_rest(&engine);
}

/// Synthetic: directions of chance, all unlike each other.
#[test]
fn ten_thousand_strangers_fill_four_thousand_columns() {
    let mut rng = Rng::new(4_096);
    let strangers: Vec<Request> = (0..10_000)
        .map(|at| Request::new(format!("stranger {at}"), rng.vector(768)))
        .collect();
    for order in [Order::Relaxed, Order::Submission] {
        let pipeline = pipeline(16, 2, order);
        let answers = pipeline.process_batch(strangers.clone());
        let (mut columns, mut none) = (HashSet::new(), 0);
        for answer in answers {
            match answer.unwrap() {
                Allocation::Allocated { column, .. } => assert!(columns.insert(column)),
                Allocation::NoSuitableColumn => none += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((columns.len(), none), (4_096, 5_904));
        let stats = pipeline.stats();
        assert_eq!(
            (stats.allocated, stats.none, stats.attempted),
            (4_096, 5_904, 10_000)
        );
        assert_at_rest(pipeline.engine());
    }
}
