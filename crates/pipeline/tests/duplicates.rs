//! Duplicates by meaning, found by the codes of the trained encoder: planted ones, against brute force.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use common::engine;
use cortica_cortex::{Allocation, ConceptRequest};
use cortica_simd::{Isa, dot};
use cortica_testkit::{Dataset, Rng, bundle, cosine, data_or_skip};

fn unit(row: &[f32]) -> Vec<f32> {
    let norm = row.iter().map(|a| a * a).sum::<f32>().sqrt();
    row.iter().map(|a| a / norm).collect()
}

/// A vector whose cosine with `from`, which has length 1, is `cosine`.
fn at_cosine(from: &[f32], cosine: f32, rng: &mut Rng) -> Vec<f32> {
    let noise = rng.vector(from.len());
    let along: f32 = noise.iter().zip(from).map(|(a, b)| a * b).sum();
    let across: Vec<f32> = noise.iter().zip(from).map(|(a, b)| a - along * b).collect();
    let sine = (1.0 - cosine * cosine).sqrt();
    let across = unit(&across);
    from.iter()
        .zip(&across)
        .map(|(a, b)| cosine * a + sine * b)
        .collect()
}

fn planted(data: &Dataset, side: u32, name: &str) {
    let engine = engine(side);
    let mut kept: Vec<Vec<f32>> = Vec::new();
    for row in 0..data.len() {
        let features = unit(data.row(row));
        let id = row.to_string();
        match engine
            .allocate(&ConceptRequest::new(&id, &features))
            .unwrap()
        {
            Allocation::Allocated { .. } => kept.push(features),
            Allocation::Duplicate { similarity, .. } => assert!(similarity >= 0.95),
            other => panic!("{other:?}"),
        }
    }
    let mut rng = Rng::new(5);
    let plants = 2_048;
    let [mut missed, mut wrong, mut near, mut far] = [0_u32; 4];
    for plant in 0..2 * plants {
        let row = &kept[rng.below(kept.len())];
        let aim = if plant < plants {
            0.955 + 0.035 * rng.unit()
        } else {
            0.90 + 0.045 * rng.unit()
        };
        let features = at_cosine(row, aim, &mut rng);
        // All have length 1: f32 tells which are far away, f64 decides among the others.
        let close = kept
            .iter()
            .filter(|row| dot(Isa::best(), row, &features) > 0.94);
        let exact = close.map(|row| cosine(row, &features)).fold(-1.0, f64::max);
        let answer = engine.allocate(&ConceptRequest::new("planted", &features));
        let found = match answer.unwrap() {
            Allocation::Duplicate { similarity, .. } => {
                assert!((exact - f64::from(similarity)).abs() < 1e-6);
                true
            }
            Allocation::Allocated { .. } => {
                assert!(engine.release_id("planted").unwrap());
                false
            }
            other => panic!("{other:?}"),
        };
        let is_one = exact >= 0.95;
        near += u32::from(is_one);
        far += u32::from(!is_one);
        missed += u32::from(is_one && !found);
        wrong += u32::from(!is_one && found);
    }
    println!(
        "{name}: {} concepts, {near} duplicates, {missed} missed; {far} others, {wrong} taken for one; \
         {} features compared",
        kept.len(),
        engine.stats().dedup.compared
    );
    assert!(near >= 2_000 && far >= 2_000, "{near} {far}");
    assert_eq!((missed, wrong), (0, 0));
}

#[test]
fn near_duplicates_of_real_concepts() {
    planted(bundle(), 20, "bundled");
}

#[test]
fn near_duplicates_of_many_real_concepts() {
    if let Some(data) = data_or_skip("near-duplicates of many concepts, by trained codes") {
        planted(&data, 32, "data");
    }
}
