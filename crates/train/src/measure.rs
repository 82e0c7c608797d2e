//! What the networks are worth on what was held out, against what needs no training of theirs.

use std::ops::Range;

use anyhow::Result;
use cortica_env::{Rng, Seed};
use cortica_neural::{CODE, Code, Networks, score};
use cortica_simd::{Isa, Rows, Scored, dot_rows, top_k};
use cortica_testkit::Dataset;
use serde_json::{Value, json};

use crate::Sides;
use crate::auc::{auc, compare};
use crate::bootstrap::mean_difference;
use crate::layer::Normal;
use crate::pca::Components;
use crate::streams::{Order, Place};

/// Neighbours looked for.
const K: usize = 10;

/// Places that an order must have to be measured.
const PLACES_MIN: usize = 50;

/// Held-out rows that are queries at most.
const ITEMS_MAX: usize = 2_000;

/// How well a code fits a place, by the number of the place.
type Scorer<'a> = dyn Fn(usize, &Code) -> f32 + 'a;

/// All figures, by task and order.
pub(crate) fn all(
    networks: &Networks,
    data: &Dataset,
    sides: &Sides,
    places: &[(Order, Vec<Place>)],
    seed: Seed,
) -> Result<Value> {
    let codes = encode(networks, &data.rows, data.len())?;
    let mut metrics = json!({ "recall": recall(networks, data, sides, &codes, seed)? });
    for (order, places) in places {
        if places.len() >= PLACES_MIN {
            let (temporal, exception) = tasks(networks, sides, places, &codes, seed)?;
            metrics["temporal"][order.name()] = temporal;
            metrics["exception"][order.name()] = exception;
        }
    }
    Ok(metrics)
}

fn encode(networks: &Networks, rows: &[f32], count: usize) -> Result<Vec<Code>> {
    let mut codes = vec![[0.0; CODE]; count];
    networks
        .encoder()
        .encode_many(rows, &mut networks.scratch(), &mut codes)?;
    Ok(codes)
}

/// The share of the exact 10 nearest held-out rows that codes of 64 i8 values find, for held-out
/// rows and for the folder's queries.
fn recall(
    networks: &Networks,
    data: &Dataset,
    sides: &Sides,
    codes: &[Code],
    seed: Seed,
) -> Result<Value> {
    let d = data.dimension;
    let gather = |rows: &[usize]| -> Vec<f32> {
        rows.iter()
            .flat_map(|&row| data.row(row))
            .copied()
            .collect()
    };
    let train = gather(&sides.train);
    let step = sides.held_out.len().div_ceil(ITEMS_MAX);
    let asked: Vec<usize> = (0..sides.held_out.len()).step_by(step).collect();
    let held_out = gather(&sides.held_out);
    let own: Vec<Code> = sides.held_out.iter().map(|&row| codes[row]).collect();
    let queries = encode(networks, &data.queries, data.query_count())?;

    let mut normal = Normal::new(seed.derive("random projection"));
    let random: Vec<f32> = (0..CODE * d).map(|_| normal.draw() as f32).collect();
    let pca = Components::of(&train, d, false, seed)?;
    let centred = Components::of(&train, d, true, seed)?;
    let linear = |rows: &[f32], directions: &[f32], offsets: &[f32]| -> Vec<Code> {
        let directions = Rows::packed(directions, d);
        let project = |row: &[f32]| {
            let mut code = [0.0; CODE];
            if let Ok(directions) = directions {
                dot_rows(Isa::best(), row, directions, &mut code);
            }
            for (value, offset) in code.iter_mut().zip(offsets) {
                *value += offset;
            }
            code
        };
        rows.chunks_exact(d).map(project).collect()
    };
    let offsets = centred.offsets();
    let zero = [0.0; CODE];
    let ways: [(&str, &[f32], &[f32]); 3] = [
        ("pca", &pca.directions, &zero),
        ("pca_centred", &centred.directions, &offsets),
        ("random_projection", &random, &zero),
    ];
    let mut figures = json!({});
    let sets = [("held_out_items", true), ("queries", false)];
    for (name, items) in sets {
        let wanted: Vec<Vec<u32>> = if items {
            let rows = asked.iter().map(|&at| &held_out[at * d..][..d]);
            rows.zip(&asked)
                .map(|(row, &at)| nearest(row, &held_out, d, Some(at)))
                .collect()
        } else {
            let rows = data.queries.chunks_exact(d);
            rows.map(|row| nearest(row, &held_out, d, None)).collect()
        };
        if wanted.is_empty() {
            continue;
        }
        let shares = |rows: &[Code], queries: &[Code]| -> Vec<f64> {
            let rows: Vec<f32> = rows.iter().flat_map(as_i8).collect();
            let share = |(at, wanted): (usize, &Vec<u32>)| {
                let (query, skip) = if items {
                    let row = asked[at];
                    (&rows[row * CODE..][..CODE], Some(row))
                } else {
                    (&as_i8(&queries[at])[..], None)
                };
                let got = nearest(query, &rows, CODE, skip);
                let found = wanted.iter().filter(|row| got.contains(row)).count();
                found as f64 / wanted.len() as f64
            };
            wanted.iter().enumerate().map(share).collect()
        };
        let ours = shares(&own, &queries);
        let mut figure = json!({ "queries": ours.len(), "encoder": mean(&ours) });
        for (way, directions, offsets) in &ways {
            let rows = linear(&held_out, directions, offsets);
            let theirs = shares(&rows, &linear(&data.queries, directions, offsets));
            let interval = mean_difference(&ours, &theirs, seed);
            figure[*way] = json!({ "recall": mean(&theirs), "encoder_above_by": interval });
        }
        figures[name] = figure;
    }
    Ok(figures)
}

/// A code brought to length 1 in i8 with a scale, as f32 values of length 1 again.
fn as_i8(code: &Code) -> Code {
    let largest = code.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    let rounded = code.map(|value| (value / largest.max(f32::MIN_POSITIVE) * 127.0).round());
    let length = rounded.iter().map(|v| v * v).sum::<f32>().sqrt();
    rounded.map(|value| value / length.max(1.0))
}

/// The nearest rows by dot product; of rows of length 1, by cosine.
fn nearest(query: &[f32], rows: &[f32], d: usize, skip: Option<usize>) -> Vec<u32> {
    let mut scores = vec![0.0; rows.len() / d];
    if let Ok(rows) = Rows::packed(rows, d) {
        dot_rows(Isa::best(), query, rows, &mut scores);
    }
    if let Some(skip) = skip {
        scores[skip] = f32::NEG_INFINITY;
    }
    let mut found: Vec<Scored> = Vec::new();
    top_k(Isa::best(), &scores, K, &mut found);
    found.iter().take(K).map(|scored| scored.row).collect()
}

/// How well a place's own code is told from another's: by the prediction (temporal) and by the
/// detector (exception), against scores that need no network.
fn tasks(
    networks: &Networks,
    sides: &Sides,
    places: &[Place],
    codes: &[Code],
    seed: Seed,
) -> Result<(Value, Value)> {
    let mut rng = seed.derive("measured negatives").rng();
    let hard = |place: &Place, rng: &mut Rng| {
        let at = rng.below(place.others.len() as u64) as usize;
        place.others[at]
    };
    let hard: Vec<u32> = places.iter().map(|place| hard(place, &mut rng)).collect();
    let any = |place: &Place, rng: &mut Rng| loop {
        let row = sides.held_out[rng.below(sides.held_out.len() as u64) as usize] as u32;
        if row != place.next {
            return row;
        }
    };
    let any: Vec<u32> = places.iter().map(|place| any(place, &mut rng)).collect();
    let right: Vec<u32> = places.iter().map(|place| place.next).collect();

    let isa = Isa::best();
    let mut scratch = networks.scratch();
    let mut predictions = Vec::with_capacity(places.len());
    for place in places {
        let window = place.window(codes);
        predictions.push(networks.predictor().predict(&window, &mut scratch)?);
    }
    let by = |rows: &[u32], score: &Scorer<'_>| -> Vec<f32> {
        let scores = rows.iter().enumerate();
        scores
            .map(|(at, &row)| score(at, &codes[row as usize]))
            .collect()
    };
    let window = |at: usize| places[at].seen.iter().map(|&row| &codes[row as usize]);
    let previous =
        |at: usize, code: &Code| window(at).next_back().map_or(0.5, |w| score(isa, w, code));
    let mean_of = |at: usize, code: &Code| {
        let mut mean = [0.0; CODE];
        for code in window(at) {
            for (mean, value) in mean.iter_mut().zip(code) {
                *mean += value;
            }
        }
        score(isa, &mean, code)
    };
    let max_of =
        |at: usize, code: &Code| window(at).map(|w| score(isa, w, code)).fold(0.0, f32::max);
    let predicted = |at: usize, code: &Code| score(isa, &predictions[at], code);
    let mut belongs = |rows: &[u32]| -> Result<Vec<f32>> {
        let mut scores = Vec::with_capacity(rows.len());
        for (place, &row) in places.iter().zip(rows) {
            let window = place.window_with(row, codes);
            scores.push(1.0 - networks.detector().detect(&window, &mut scratch)?);
        }
        Ok(scores)
    };
    let detected = [belongs(&right)?, belongs(&hard)?, belongs(&any)?];
    let predicted = [
        by(&right, &predicted),
        by(&hard, &predicted),
        by(&any, &predicted),
    ];
    let simple: [(&str, &Scorer<'_>); 3] = [
        ("cosine_to_previous", &previous),
        ("window_mean", &mean_of),
        ("window_max", &max_of),
    ];
    let stretches = stretches(places);
    let task = |ours: &[Vec<f32>; 3]| {
        let mut figure = json!({
            "places": places.len(),
            "stretches": stretches.len(),
            "auc": auc(&ours[0], &ours[1]),
            "auc_random_negatives": auc(&ours[0], &ours[2]),
        });
        for (name, simple) in simple {
            let [own, hard, any] = [by(&right, simple), by(&hard, simple), by(&any, simple)];
            figure[name] = json!({
                "auc": auc(&own, &hard),
                "auc_random_negatives": auc(&own, &any),
                "network_above_by": compare([&ours[0], &ours[1]], [&own, &hard], &stretches, seed),
            });
        }
        figure
    };
    Ok((task(&predicted), task(&detected)))
}

/// Places that are drawn together, by their numbers.
fn stretches(places: &[Place]) -> Vec<Range<usize>> {
    let mut from = 0;
    let runs = places.chunk_by(|a, b| a.stretch == b.stretch);
    let range = |run: &[Place]| {
        from += run.len();
        from - run.len()..from
    };
    runs.map(range).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
