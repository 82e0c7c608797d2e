//! Times of what is done for every concept: `cargo run --release -p cortica-cortex --example columns`.
#![allow(clippy::unwrap_used, reason = "an example that cannot go on says why")]

use cortica_cortex::{
    Competition, Contender, Cortex, CortexOptions, Grid, InhibitionParams, ScoreWeights, Scorer,
    Winners,
};
use cortica_env::Seed;
use cortica_simd::Isa;
use std::hint::black_box;
use std::time::Instant;

/// Microseconds a call: median, least and greatest of rounds.
fn time(name: &str, calls: u32, mut call: impl FnMut()) {
    (0..calls).for_each(|_| call());
    let mut rounds: Vec<f64> = (0..15)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| call());
            start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let [least, median, most] = [rounds[0], rounds[7], rounds[14]];
    println!("{name}: {median:.3} us ({least:.3} to {most:.3})");
}

fn main() {
    let grid = Grid::new(10, 10, 10).unwrap();
    let columns: Vec<_> = grid.columns().collect();
    let mut chance = Seed(1).rng();
    let drives: Vec<f32> = columns.iter().map(|_| chance.unit() as f32).collect();
    println!("{}", Isa::best());
    let mut competition = Competition::new(InhibitionParams::default(), Isa::best()).unwrap();
    time("inhibit 1,000 columns", 200, || {
        black_box(competition.inhibit(&grid, &columns, &drives).unwrap());
    });
    let settled = competition.inhibit(&grid, &columns, &drives).unwrap();
    println!("  {settled:?}");
    time("inhibit 1,000 columns and select one", 200, || {
        black_box(competition.run(&grid, &columns, &drives, 1).unwrap());
    });
    let field: Vec<Contender> = (0..)
        .zip(&drives)
        .map(|(id, &activity)| Contender {
            activity,
            spike_ms: 5.0,
            id,
        })
        .collect();
    let mut winners = Winners::with_capacity(1_000);
    for k in [1, 8, 32] {
        time(&format!("select {k} of 1,000"), 2_000, || {
            black_box(winners.select(black_box(&field), k));
        });
    }
    let middle = grid.column(5, 5, 5).unwrap();
    time("columns within a radius of 2", 20_000, || {
        let near = grid.neighbours(black_box(middle), 2.0).unwrap();
        black_box(near.map(|(column, _)| column.get()).sum::<u32>());
    });
    let cortex = Cortex::new(grid, CortexOptions::default()).unwrap();
    let mut scorer = Scorer::new(ScoreWeights::default(), 2.0).unwrap();
    time("score 1,000 columns", 100, || {
        black_box(scorer.score(&cortex, &columns, &[0.5; 64], None).unwrap());
    });
}
