//! One engine: what it answers, what it refuses, what a round leaves behind.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    clippy::too_many_lines,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{
    assert_at_rest, assert_same, concepts, engine, engine_state, engine_with, parts, requests,
    still,
};
use cortica_cortex::{
    Allocate, AllocateError, Allocation, ConceptRequest, Cortex, CortexOptions, Grid, Hint, Logged,
    Replayer, Reserved,
};
use cortica_env::{ManualClock, Timestamp};
use cortica_neural::Networks;
use cortica_pipeline::{AllocationEngine, EngineError, EngineOptions, Model, Order};
use cortica_testkit::Rng;
use std::sync::Arc;

#[test]
fn a_concept_gets_a_column_and_its_scores() {
    let engine = engine(10);
    let concepts = concepts();
    let answer = engine.allocate(&ConceptRequest::new("tea", concepts[0].1));
    let Ok(Allocation::Allocated {
        column,
        activation,
        score,
        candidates,
        timings,
        ..
    }) = answer
    else {
        panic!("{answer:?}")
    };
    for part in [score.similarity, score.semantic, score.temporal, activation] {
        assert!((0.0..=1.0).contains(&part), "{score:?}");
    }
    assert!(candidates > 30);
    let total = timings.encode_us + timings.dedup_us + timings.score_us + timings.compete_us;
    assert!(total > 0, "{timings:?}");
    let (number, at) = engine.find("tea").unwrap();
    assert_eq!(at, column);
    assert_eq!(engine.cortex().held(column), Ok(Some(number)));
    let stats = engine.stats();
    assert_eq!(
        (stats.attempted, stats.allocated, stats.concepts),
        (1, 1, 1)
    );
    assert_at_rest(&engine);
}

#[test]
fn what_is_there_is_named_with_its_column() {
    let engine = engine(10);
    let concepts = concepts();
    let tea = concepts[0].1;
    engine.allocate(&ConceptRequest::new("tea", tea)).unwrap();
    let (number, at) = engine.find("tea").unwrap();
    let mut near = tea.to_vec();
    near[0] += 1e-3;
    let duplicates = [
        ("tea", concepts[1].1, 1.0, 1.0),
        ("chai", tea, 1.0, 1.0),
        ("char", &near[..], 0.99, 0.999_999_9),
    ];
    for (id, features, least, most) in duplicates {
        let answer = engine.allocate(&ConceptRequest::new(id, features));
        let Ok(Allocation::Duplicate {
            column,
            similarity,
            of,
        }) = answer
        else {
            panic!("{id}: {answer:?}")
        };
        assert_eq!((column, of), (at, number));
        assert!((least..=most).contains(&similarity), "{similarity}");
    }
    assert!(engine.release_id("tea").unwrap());
    assert!(!engine.release_id("tea").unwrap());
    let again = engine.allocate(&ConceptRequest::new("char", &near));
    assert!(matches!(again, Ok(Allocation::Allocated { .. })));
    assert_at_rest(&engine);
}

#[test]
fn a_full_grid_has_no_column_until_one_is_released() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(0)));
    let options = CortexOptions {
        clock: clock.clone(),
        ..CortexOptions::default()
    };
    let engine = engine_with(3, options);
    let concepts = concepts();
    let mut answers = [0; 3];
    for request in requests(&concepts[..60]) {
        match engine.allocate(&request).unwrap() {
            Allocation::Allocated { .. } => answers[0] += 1,
            Allocation::Duplicate { .. } => answers[1] += 1,
            Allocation::NoSuitableColumn => answers[2] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answers[0], 27);
    assert!(answers[2] > 10, "{answers:?}");
    let first = engine.cortex().grid().columns().next().unwrap();
    let number = engine.cortex().held(first).unwrap().unwrap();
    assert!(engine.release(first, number).unwrap());
    clock.advance_micros(5_000); // Past its absolute rest.
    let mut rng = Rng::new(3);
    let stranger = rng.vector(768);
    let answer = engine.allocate(&ConceptRequest::new("stranger", &stranger));
    assert!(matches!(answer, Ok(Allocation::Allocated { column, .. }) if column == first));
    assert_at_rest(&engine);
}

#[test]
fn what_is_no_request_is_refused_before_anything_changes() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000)));
    let options = CortexOptions {
        clock,
        ..CortexOptions::default()
    };
    let engine = engine_with(4, options);
    let good = vec![0.5; 768];
    let (short, zeros) = (vec![0.5; 767], vec![0.0; 768]);
    let mut odd = good.clone();
    odd[700] = f32::NAN;
    let long = "x".repeat(257);
    let request = ConceptRequest {
        stream: Some(1),
        ..ConceptRequest::new("tea", &good)
    };
    let bad = [
        (
            ConceptRequest {
                features: &short,
                ..request
            },
            "features is 767 values; it must be 768 values",
        ),
        (
            ConceptRequest {
                features: &odd,
                ..request
            },
            "features is NaN at 700; it must be finite",
        ),
        (
            ConceptRequest {
                features: &zeros,
                ..request
            },
            "features is all 0; it must be not all 0",
        ),
        (
            ConceptRequest {
                concept_id: "",
                ..request
            },
            "concept_id is 0 bytes long; it must be 1 to 256 bytes long",
        ),
        (
            ConceptRequest {
                concept_id: &long,
                ..request
            },
            "concept_id is 257 bytes long; it must be 1 to 256 bytes long",
        ),
        (
            ConceptRequest {
                search_radius: 0.0,
                ..request
            },
            "search_radius is 0; it must be finite and above 0",
        ),
        (
            ConceptRequest {
                search_radius: -1.0,
                ..request
            },
            "search_radius is -1; it must be finite and above 0",
        ),
        (
            ConceptRequest {
                search_radius: f32::INFINITY,
                ..request
            },
            "search_radius is inf; it must be finite and above 0",
        ),
        (
            ConceptRequest {
                hint: Hint::Near([0.0, 0.0, 4.0]),
                ..request
            },
            "the hint (0, 0, 4) is near no column of a grid of 4 x 4 x 4",
        ),
        (
            ConceptRequest {
                hint: Hint::Near([0.0, f32::NAN, 0.0]),
                ..request
            },
            "the hint (0, NaN, 0) is near no column of a grid of 4 x 4 x 4",
        ),
        (
            ConceptRequest {
                deadline: Some(Timestamp::from_micros(999)),
                ..request
            },
            "the deadline has passed; nothing was allocated",
        ),
    ];
    for (request, message) in &bad {
        let refused = engine.allocate(request).unwrap_err();
        assert_eq!(refused.to_string(), *message);
    }
    let stats = engine.stats();
    assert_eq!((stats.attempted, stats.failed), (11, 11));
    assert_eq!((stats.concepts, stats.streams), (0, 0));
    assert_eq!((stats.cortex.activated, stats.dedup.concepts), (0, 0));
    // In a batch each fails alone.
    let mixed = [bad[0].0, request, bad[1].0];
    let answers = engine.allocate_many(&mixed, Order::Submission);
    assert!(answers[0].is_err() && answers[1].is_ok() && answers[2].is_err());
}

#[test]
fn all_three_networks_are_small_and_take_less_than_a_millisecond() {
    let networks = Networks::shipped_768().unwrap();
    assert!(networks.bytes() < 400_000, "{}", networks.bytes());
    let isa = cortica_simd::Isa::best();
    let mut worker = Model::worker(&networks, isa);
    let concepts = concepts();
    let mut window = Vec::new();
    let mut best = std::time::Duration::MAX;
    for (_, features) in &concepts[..100] {
        let start = std::time::Instant::now();
        let code = worker.encode(features).unwrap();
        window.push(code);
        let last = &window[window.len().saturating_sub(8)..];
        let (predicted, exception) = (worker.predict(last).unwrap(), worker.detect(last).unwrap());
        if last.len() == 8 {
            best = best.min(start.elapsed());
        }
        assert!(predicted.is_some() && (0.0..=1.0).contains(&exception));
    }
    println!("{isa}: {best:?}");
    // The scalar kernels are there to be right: 1.9 ms on a machine whose vectors take 0.1 ms.
    if isa != cortica_simd::Isa::Scalar {
        assert!(best < std::time::Duration::from_millis(1), "{best:?}");
    }
    // What they say depends on what they are shown.
    let other = worker.predict(&window[..8]).unwrap();
    assert_ne!(other, worker.predict(&window[8..16]).unwrap());
}

#[test]
fn an_exception_searches_twice_the_radius_teaches_its_column_alone_and_is_still_refused_as_a_duplicate()
 {
    // Everything after the first of a stream is an exception, or nothing is.
    let engine = |exception_min| {
        let options = EngineOptions {
            exception_min,
            ..EngineOptions::default()
        };
        let networks = Arc::new(Networks::shipped_768().unwrap());
        AllocationEngine::new(common::cortex(20, still()), networks, options).unwrap()
    };
    let (all, none) = (engine(0.0), engine(1.1));
    let concepts = concepts();
    let in_stream = |at: usize| ConceptRequest {
        stream: Some(1),
        search_radius: 2.0,
        hint: Hint::Near([10.0, 10.0, 10.0]),
        ..ConceptRequest::new(&concepts[at].0, concepts[at].1)
    };
    let learned = |engine: &AllocationEngine| engine.stats().cortex.learned;
    let candidates = |answer: Allocation| match answer {
        Allocation::Allocated { candidates, .. } => candidates,
        other => panic!("{other:?}"),
    };
    for engine in [&all, &none] {
        let first = candidates(engine.allocate(&in_stream(0)).unwrap());
        assert_eq!((first, learned(engine)), (33, 33), "nothing came before it");
    }
    assert_eq!(
        candidates(all.allocate(&in_stream(1)).unwrap()),
        256,
        "257 within 4, one is taken"
    );
    assert_eq!(learned(&all), 34);
    assert_eq!(candidates(none.allocate(&in_stream(1)).unwrap()), 32);
    assert_eq!(learned(&none), 66);
    let again = ConceptRequest {
        concept_id: "again",
        ..in_stream(0)
    };
    assert!(matches!(
        all.allocate(&again),
        Ok(Allocation::Duplicate { .. })
    ));
    assert_eq!((all.stats().exceptions, none.stats().exceptions), (2, 0));
    assert_eq!(
        all.windows().codes(1).len(),
        3,
        "refused or not, it was seen"
    );
}

#[test]
fn the_radius_doubles_until_a_column_is_free() {
    let clock = Arc::new(ManualClock::default());
    let options = CortexOptions {
        clock: clock.clone(),
        ..CortexOptions::default()
    };
    let engine = engine_with(9, options);
    let concepts = concepts();
    let mut rng = Rng::new(2);
    let mut last = 0.0_f64;
    for at in 0..9 * 9 * 9 {
        let features = rng.vector(768);
        let id = format!("{at} {}", concepts[0].0);
        let request = ConceptRequest {
            hint: Hint::Near([4.0; 3]),
            search_radius: 1.0,
            ..ConceptRequest::new(&id, &features)
        };
        let Ok(Allocation::Allocated { column, .. }) = engine.allocate(&request) else {
            panic!("{at}")
        };
        let grid = engine.cortex().grid();
        let middle = grid.column(4, 4, 4).unwrap();
        let distance = (grid.squared_distance(middle, column).unwrap() as f64).sqrt();
        // Within the least power of two in which one was free.
        let radius = [1.0, 2.0, 4.0, 8.0]
            .into_iter()
            .find(|radius| distance <= *radius)
            .unwrap();
        assert!(radius >= last, "{at}: {distance}");
        last = radius;
    }
    let features = rng.vector(768);
    let full = engine.allocate(&ConceptRequest::new("one more", &features));
    assert_eq!(full, Ok(Allocation::NoSuitableColumn));
    // The widest radius there is.
    assert!(engine.release_id(&format!("7 {}", concepts[0].0)).unwrap());
    for stream in [None, Some(1), Some(1)] {
        let widest = ConceptRequest {
            search_radius: f32::MAX,
            stream,
            ..ConceptRequest::new("one more", &features)
        };
        clock.advance_micros(3_000); // What was released has rested.
        let answer = engine.allocate(&widest).unwrap();
        assert!(matches!(answer, Allocation::Allocated { .. }), "{answer:?}");
        assert!(engine.release_id("one more").unwrap());
    }
}

#[test]
fn without_weights_for_a_dimension_there_is_no_engine() {
    let cortex =
        Arc::new(Cortex::new(Grid::new(4, 4, 4).unwrap(), CortexOptions::default()).unwrap());
    let refused = AllocationEngine::shipped(512, cortex.clone(), EngineOptions::default());
    let refused = refused.unwrap_err();
    assert_eq!(
        refused,
        EngineError::Networks(AllocateError::NoWeights { dimension: 512 })
    );
    assert!(
        refused.to_string().contains("cortica-train --data"),
        "{refused}"
    );
    let shipped = cfg!(feature = "weights-768");
    assert_eq!(
        shipped,
        AllocationEngine::shipped(768, cortex, EngineOptions::default()).is_ok()
    );
}

#[test]
fn a_round_that_is_dropped_leaves_nothing_and_the_next_decides_as_if_it_had_not_been() {
    let concepts = concepts();
    let requests = requests(&concepts[..400]);
    let (plain, disturbed) = (engine_with(8, still()), engine_with(8, still()));
    for (at, batch) in requests.chunks(20).enumerate() {
        let want = plain.allocate_many(batch, Order::Submission);
        if at % 2 == 1 {
            // Decided otherwise, with a concept let go of, and dropped.
            let before = engine_state(&disturbed);
            let mut round = disturbed.begin();
            let (number, column) = disturbed
                .find(requests[at].concept_id)
                .unwrap_or_else(|| disturbed.find(requests[0].concept_id).unwrap());
            assert_eq!(round.release(column, number), Ok(true));
            let mut backwards = batch.to_vec();
            backwards.reverse();
            assert_eq!(round.reserve_many(&backwards).len(), 20);
            if let Some((older, _)) = disturbed.find(requests[at + 2].concept_id) {
                let revised = round.revise(older, concepts[500 + at].1);
                assert_eq!(revised, Ok(true));
            }
            drop(round);
            assert_eq!(engine_state(&disturbed), before);
        }
        let got = disturbed.allocate_many(batch, Order::Submission);
        assert_eq!(got, want);
    }
    assert!(disturbed.stats().undone > 100);
    assert_same(&plain, &disturbed);
    assert_at_rest(&disturbed);
}

/// What a store would log, in its order.
enum Line {
    Reserved(usize, Box<Reserved>),
    Released(cortica_cortex::ColumnId, cortica_cortex::ConceptId),
}

#[test]
fn a_log_brings_back_the_same_bits_without_networks() {
    let concepts = concepts();
    let requests = requests(&concepts[..600]);
    let engine = engine(8);
    let mut log = Vec::new();
    for (batch, chunk) in requests.chunks(50).enumerate() {
        let mut round = engine.begin();
        let answers = round.reserve_many(chunk);
        round.commit();
        for (at, answer) in answers.into_iter().enumerate() {
            log.push(Line::Reserved(50 * batch + at, Box::new(answer.unwrap())));
        }
        if let Some((number, column)) = engine.find(&concepts[37 * batch].0) {
            assert!(engine.release(column, number).unwrap());
            log.push(Line::Released(column, number));
        }
    }
    let cortex =
        || Arc::new(Cortex::new(*engine.cortex().grid(), CortexOptions::default()).unwrap());
    let replayer = Replayer::new(cortex());
    let networks = Arc::new(Networks::shipped_768().unwrap());
    let again = AllocationEngine::new(cortex(), networks, EngineOptions::default()).unwrap();
    let mut observed = 0;
    for line in &log {
        let logged = match line {
            Line::Reserved(at, reserved) => match (&reserved.decision, &reserved.observed) {
                (Some(decision), None) => Logged::Allocated {
                    decision,
                    concept_id: requests[*at].concept_id,
                    features: requests[*at].features,
                },
                (None, Some(one)) => {
                    observed += 1;
                    Logged::Observed(one)
                }
                (None, None) => continue,
                both @ (Some(_), Some(_)) => panic!("{both:?}"),
            },
            Line::Released(column, concept) => Logged::Released {
                column: *column,
                concept: *concept,
            },
        };
        replayer.replay(&logged).unwrap();
        again.replay(&logged).unwrap();
    }
    assert!(observed > 20, "{observed}");
    assert_same(&engine, &again);
    assert_eq!(replayer.windows(), engine.windows());
    for column in engine.cortex().grid().columns() {
        assert_eq!(replayer.cortex().held(column), engine.cortex().held(column));
        assert_eq!(
            replayer.cortex().learned(column),
            engine.cortex().learned(column)
        );
    }
    // What was learned first, and what is held in the end after it: the same.
    let networks = Arc::new(Networks::shipped_768().unwrap());
    let steps = AllocationEngine::new(cortex(), networks, EngineOptions::default()).unwrap();
    for line in &log {
        if let Line::Reserved(_, reserved) = line {
            let decision = reserved.decision.as_ref().map(Logged::Learned);
            let observed = reserved.observed.as_ref().map(Logged::Observed);
            for logged in decision.iter().chain(&observed) {
                steps.replay(logged).unwrap();
            }
        }
    }
    for line in &log {
        if let Line::Reserved(at, reserved) = line
            && let Some(decision) = &reserved.decision
            && engine.cortex().held(decision.column) == Ok(Some(decision.concept))
            && engine.find(requests[*at].concept_id) == Some((decision.concept, decision.column))
        {
            let (concept_id, features) = (requests[*at].concept_id, requests[*at].features);
            let held = Logged::Held {
                decision,
                concept_id,
                features,
            };
            steps.replay(&held).unwrap();
        }
    }
    assert_same(&engine, &steps);
    // And goes on as the first would.
    let features = Rng::new(9).vector(768);
    let next = ConceptRequest {
        stream: Some(2),
        ..ConceptRequest::new("next", &features)
    };
    std::thread::sleep(std::time::Duration::from_millis(3)); // What was released has rested.
    assert_eq!(
        parts(&engine.allocate(&next).unwrap()),
        parts(&again.allocate(&next).unwrap())
    );
}

#[test]
fn windows_are_kept_of_as_many_streams_as_there_may_be() {
    for (streams_max, good) in [(0, false), (1, true), (4_096, true), (4_097, false)] {
        let cortex = common::cortex(2, still());
        let options = EngineOptions {
            streams_max,
            ..EngineOptions::default()
        };
        let networks = Arc::new(Networks::shipped_768().unwrap());
        let made = AllocationEngine::new(cortex, networks, options).map(drop);
        let Err(EngineError::Option { field, .. }) = made else {
            assert!(good, "{streams_max}");
            continue;
        };
        assert_eq!((field, good), ("streams_max", false), "{streams_max}");
    }
}
