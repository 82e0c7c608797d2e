//! Scores that need no network: how well a code fits a window.

use cortica_neural::{CODE, Code, score};
use cortica_simd::Isa;

/// How well a code fits the codes before it; more is better.
pub(crate) type Simple = fn(Isa, &[Code], &Code) -> f32;

/// The one that is hardest to be better than.
pub(crate) const CLOSEST: &str = "cosine_to_previous";

/// All of them, by the names they have among metrics.
pub(crate) const SIMPLE: [(&str, Simple); 3] = [
    (CLOSEST, previous),
    ("window_mean", mean),
    ("window_max", greatest),
];

fn previous(isa: Isa, window: &[Code], code: &Code) -> f32 {
    window.last().map_or(0.5, |last| score(isa, last, code))
}

fn mean(isa: Isa, window: &[Code], code: &Code) -> f32 {
    let mut mean = [0.0; CODE];
    for code in window {
        for (mean, value) in mean.iter_mut().zip(code) {
            *mean += value;
        }
    }
    score(isa, &mean, code)
}

fn greatest(isa: Isa, window: &[Code], code: &Code) -> f32 {
    let scores = window.iter().map(|seen| score(isa, seen, code));
    scores.fold(0.0, f32::max)
}
