//! Concepts whose features change.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{assert_at_rest, concepts, engine, engine_state, engine_with, requests, still};
use cortica_cortex::{
    Allocate, Allocation, ColumnId, ConceptId, ConceptRequest, CortexOptions, Reserved,
};
use cortica_env::ManualClock;
use cortica_pipeline::{AllocationEngine, Order};
use std::sync::Arc;

#[test]
fn a_concept_is_known_by_its_new_features() {
    let engine = engine(6);
    let concepts = concepts();
    let (old, new) = (concepts[0].1, concepts[900].1);
    engine.allocate(&ConceptRequest::new("tea", old)).unwrap();
    let (number, at) = engine.find("tea").unwrap();
    assert_eq!(engine.revise(number, new), Ok(true));
    assert!(engine.revise(number, &new[1..]).is_err());
    assert_eq!(engine.revise(ConceptId::new(9), new), Ok(false));
    assert_eq!(engine.find("tea"), Some((number, at)));
    let answer = engine.allocate(&ConceptRequest::new("again", new)).unwrap();
    assert!(matches!(answer, Allocation::Duplicate { column, .. } if column == at));
    // So is what means the same.
    let mut near = new.to_vec();
    near[0] += 1e-4;
    let near = engine.allocate(&ConceptRequest::new("near", &near));
    assert!(matches!(near.unwrap(), Allocation::Duplicate { column, .. } if column == at));
    let answer = engine.allocate(&ConceptRequest::new("old", old)).unwrap();
    assert!(matches!(answer, Allocation::Allocated { .. }));
    assert_at_rest(&engine);
}

#[test]
fn what_came_in_a_round_is_known_by_its_new_features_in_it_and_not_after_it_was_dropped() {
    let concepts = concepts();
    let requests = requests(&concepts[..60]);
    let clock = Arc::new(ManualClock::default());
    let options = CortexOptions {
        clock: clock.clone(),
        ..CortexOptions::default()
    };
    let engine = engine_with(8, options);
    engine.allocate_many(&requests[..40], Order::Submission);
    clock.advance_micros(3_000);
    let before = engine_state(&engine);
    let mut round = engine.begin();
    let reserved = round.reserve_many(&requests[40..]);
    let decision = |reserved: &Result<Reserved, _>| reserved.as_ref().ok()?.decision;
    let own: Vec<_> = reserved.iter().filter_map(decision).collect();
    assert!(own.len() > 10, "{}", own.len());
    for (own, concept) in own.iter().zip(&concepts[600..]) {
        assert_eq!(round.revise(own.concept, concept.1), Ok(true));
        let like = round.reserve(&ConceptRequest::new("like", concept.1));
        let like = like.unwrap().allocation;
        assert!(matches!(like, Allocation::Duplicate { of, .. } if of == own.concept));
    }
    assert_eq!(round.release(own[0].column, own[0].concept), Ok(true));
    assert_eq!(round.revise(own[0].concept, concepts[700].1), Ok(false));
    drop(round);
    assert_eq!(engine_state(&engine), before);
    // What they had is nobody's.
    for concept in &concepts[600..600 + own.len()] {
        let answer = engine
            .allocate(&ConceptRequest::new("new", concept.1))
            .unwrap();
        assert!(matches!(answer, Allocation::Allocated { .. }), "{answer:?}");
        assert!(engine.release_id("new").unwrap());
        clock.advance_micros(3_000);
    }
    assert_at_rest(&engine);
}

#[test]
fn after_a_dropped_round_every_column_is_free_at_once() {
    let concepts = concepts();
    let requests = requests(&concepts[..8]);
    // A grid that they fill, and a clock at rest: what rested once would rest for ever.
    let engine = engine_with(2, still());
    let free = |engine: &AllocationEngine| {
        let mut free = Vec::new();
        let cortex = engine.cortex();
        cortex
            .free_within(ColumnId::new(0), 4.0, &mut free)
            .unwrap();
        free.len()
    };
    let mut round = engine.begin();
    let reserved = round.reserve_many(&requests);
    let decision = |reserved: &Result<Reserved, _>| reserved.as_ref().ok()?.decision;
    let own: Vec<_> = reserved.iter().filter_map(decision).collect();
    assert_eq!(own.len(), 8);
    for (own, concept) in own.iter().zip(&concepts[600..]) {
        assert_eq!(round.revise(own.concept, concept.1), Ok(true));
    }
    for own in &own[..4] {
        assert_eq!(round.release(own.column, own.concept), Ok(true));
    }
    drop(round);
    assert_eq!(free(&engine), 8);
    assert_at_rest(&engine);
    for own in &own {
        assert_eq!(engine.cortex().since_fired_ms(own.column), Ok(None));
    }
    let answers = engine.allocate_many(&requests, Order::Submission);
    let allocated =
        |answer: &Result<Allocation, _>| matches!(answer, Ok(Allocation::Allocated { .. }));
    assert!(answers.iter().all(allocated), "{answers:?}");
    assert_eq!(free(&engine), 0);
}
