//! The weights that come with the crate, on bundled rows that were held out.
#![cfg(feature = "weights-768")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_neural::{CODE, Code, Networks};
use cortica_simd::{Isa, cosine};
use cortica_testkit::{Rng, Split, bundle};

const K: usize = 10;

/// The share of the 10 nearest rows by features that are among the 10 nearest by codes.
fn recall(rows: &[&[f32]], codes: &[Code], at: usize) -> f64 {
    let nearest = |score: &dyn Fn(usize) -> f32| -> Vec<usize> {
        let mut others: Vec<usize> = (0..rows.len()).filter(|&other| other != at).collect();
        others.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        others.truncate(K);
        others
    };
    let isa = Isa::best();
    let wanted = nearest(&|other| cosine(isa, rows[at], rows[other]));
    let got = nearest(&|other| cosine(isa, &codes[at], &codes[other]));
    wanted.iter().filter(|row| got.contains(row)).count() as f64 / K as f64
}

#[test]
fn codes_keep_neighbours_better_than_a_random_projection() {
    let networks = Networks::shipped_768().unwrap();
    assert!(networks.bytes() < 400_000, "{}", networks.bytes());
    let data = bundle();
    let held_out = (0..data.len()).filter(|&row| data.items[row].split == Split::Test);
    let rows: Vec<&[f32]> = held_out.map(|row| data.row(row)).collect();
    let mut scratch = networks.scratch();
    let codes: Vec<Code> = rows
        .iter()
        .map(|row| networks.encoder().encode(row, &mut scratch).unwrap())
        .collect();
    let mut rng = Rng::new(1);
    let directions: Vec<Vec<f32>> = (0..CODE)
        .map(|_| (0..data.dimension).map(|_| rng.gaussian()).collect())
        .collect();
    let projected: Vec<Code> = rows
        .iter()
        .map(|row| std::array::from_fn(|at| cortica_simd::dot(Isa::best(), row, &directions[at])))
        .collect();
    let (mut ours, mut theirs) = (0.0, 0.0);
    for at in (0..rows.len()).step_by(4) {
        ours += recall(&rows, &codes, at);
        theirs += recall(&rows, &projected, at);
    }
    assert!(ours > theirs, "{ours} {theirs}");
}
