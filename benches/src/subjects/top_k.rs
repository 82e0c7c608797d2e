//! The ten best of a hundred thousand scores against a binary heap.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Result, ensure};
use cortica_simd::{Isa, Rows, Scored, dot_rows, top_k, top_k_reference};

use super::fixture;
use crate::subject::{Pair, Setup};

const SCORES: usize = 100_000;
const BEST: usize = 10;

/// Passes over the scores in one timed section, so that reading the clock does not show.
const ROUNDS: usize = 20;

pub(super) fn subject(_: &Setup) -> Result<Pair> {
    let scores: Arc<[f32]> = real_scores()?.into();
    let isa = Isa::best();
    let checked = scores.clone();
    let check = move || {
        let want = top_k_reference(&checked, BEST);
        let mut found = Vec::new();
        top_k(isa, &checked, BEST, &mut found);
        ensure!(found == want, "not what the definition selects");
        let from_heap = best_by_heap(&checked);
        let same = want.iter().zip(&from_heap).all(|(a, b)| a.score == b.score);
        ensure!(same && from_heap.len() == BEST, "the heap selects others");
        Ok(())
    };
    let ours = scores.clone();
    let mut found = Vec::new();
    Ok(Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            watch.time(|| {
                for _ in 0..ROUNDS {
                    top_k(isa, black_box(&ours), BEST, &mut found);
                    black_box(&found);
                }
            });
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            watch.time(|| {
                for _ in 0..ROUNDS {
                    black_box(best_by_heap(black_box(&scores)));
                }
            });
            Ok(())
        }),
    })
}

/// The scores of real rows for as many real queries as it takes.
fn real_scores() -> Result<Vec<f32>> {
    let data = fixture::bundled()?;
    let rows = Rows::packed(&data.rows, data.dimension)?;
    let mut scores = Vec::new();
    for query in fixture::queries(&data) {
        let from = scores.len();
        scores.resize(from + rows.len(), 0.0);
        dot_rows(Isa::best(), query, rows, &mut scores[from..]);
        if scores.len() >= SCORES {
            break;
        }
    }
    ensure!(scores.len() >= SCORES, "{} scores", scores.len());
    scores.truncate(SCORES);
    Ok(scores)
}

/// A row in the heap. Scores are numbers, so the order is total.
struct Held(Scored);

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Ordering {
        let rows = other.0.row.cmp(&self.0.row);
        self.0.score.total_cmp(&other.0.score).then(rows)
    }
}

/// The usual way: a heap of the best so far with the worst on top, touched only by what beats it.
fn best_by_heap(scores: &[f32]) -> Vec<Scored> {
    let mut heap = BinaryHeap::with_capacity(BEST + 1);
    for (row, &score) in (0_u32..).zip(scores) {
        let full = heap.len() == BEST;
        let beaten = |worst: &Reverse<Held>| score > worst.0.0.score;
        if !full || heap.peek().is_some_and(beaten) {
            heap.push(Reverse(Held(Scored { row, score })));
            if full {
                heap.pop();
            }
        }
    }
    let sorted = heap.into_sorted_vec();
    sorted.into_iter().map(|Reverse(Held(hit))| hit).collect()
}
