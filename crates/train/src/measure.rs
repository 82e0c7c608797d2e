//! What the networks are worth on what was held out, against what needs no training of theirs.

use anyhow::Result;
use cortica_env::Seed;
use cortica_neural::{CODE, Code, Networks};
use cortica_simd::{Isa, Rows, Scored, dot_rows, top_k};
use cortica_testkit::{Dataset, Split};
use serde_json::{Value, json};

use crate::Sides;
use crate::baselines::Baselines;
use crate::bootstrap::mean_difference;
use crate::graph::Graph;
use crate::layer::Normal;
use crate::pca::Components;
use crate::streams::{Order, Place};
use crate::tasks;
use crate::within::{self, Subtrees};

/// Neighbours looked for.
const K: usize = 10;

/// Places that an order must have to be measured.
const PLACES_MIN: usize = 50;

/// Held-out rows that are queries at most.
const ITEMS_MAX: usize = 2_000;

/// Places of streams, by their side.
#[derive(Debug)]
pub(crate) struct Places {
    /// Of the orders that are learnt from.
    pub(crate) train: Vec<Place>,
    /// Of all orders.
    pub(crate) held_out: Vec<(Order, Vec<Place>)>,
}

/// All figures, by task and order. What can be learnt without a window is trained for it, with so many
/// passes over the training side.
pub(crate) fn all(
    networks: &Networks,
    data: &Dataset,
    sides: &Sides,
    graph: &Graph,
    places: &Places,
    seed: Seed,
    epochs: usize,
) -> Result<Value> {
    let codes = encode(networks, &data.rows, data.len())?;
    let baselines = if places.train.is_empty() {
        None
    } else {
        Some(Baselines::train(&codes, &places.train, seed, epochs)?)
    };
    let mut metrics = json!({ "recall": recall(networks, data, sides, &codes, seed)? });
    let subtrees = Subtrees::of(graph);
    for (order, places) in &places.held_out {
        if places.len() >= PLACES_MIN {
            let baselines = baselines.as_ref();
            let [mut temporal, mut exception] =
                tasks::measure(networks, baselines, sides, places, &codes, seed)?;
            [temporal["within_place"], exception["within_place"]] =
                within::measure(networks, &subtrees, places, &codes, seed)?;
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
/// rows, for the folder's queries, for those of them that mean a held-out row, and for those of these
/// whose text is part of none of the training side.
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
    let unseen = |&query: &usize| {
        let meant = data.query_infos.get(query);
        let side = meant.and_then(|query| sides.of.get(query.source as usize));
        side == Some(&Split::Test)
    };
    let every: Vec<usize> = (0..data.query_count()).collect();
    let unseen: Vec<usize> = every.iter().copied().filter(unseen).collect();
    let unread = without_texts(data, &sides.train, &unseen);
    let sets = [
        ("held_out_items", true, &asked),
        ("queries", false, &every),
        ("held_out_queries", false, &unseen),
        ("held_out_queries_unread", false, &unread),
    ];
    for (name, items, asked) in sets {
        let nearest_to = |&at: &usize| {
            if items {
                nearest(&held_out[at * d..][..d], &held_out, d, Some(at))
            } else {
                nearest(data.query(at), &held_out, d, None)
            }
        };
        let wanted: Vec<Vec<u32>> = asked.iter().map(nearest_to).collect();
        if wanted.is_empty() {
            continue;
        }
        let shares = |rows: &[Code], queries: &[Code]| -> Vec<f64> {
            let rows: Vec<f32> = rows.iter().flat_map(as_i8).collect();
            let share = |(at, wanted): (usize, &Vec<u32>)| {
                let asked = asked[at];
                let (query, skip) = if items {
                    (&rows[asked * CODE..][..CODE], Some(asked))
                } else {
                    (&as_i8(&queries[asked])[..], None)
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

/// Those of some queries whose text is no part of a text that was trained on, in capitals or small letters.
fn without_texts(data: &Dataset, train: &[usize], queries: &[usize]) -> Vec<usize> {
    let items = train.iter().filter_map(|&row| data.items.get(row));
    let texts: Vec<String> = items.map(|item| item.text.to_lowercase()).collect();
    let unread = |&&query: &&usize| {
        let asked = data.query_infos.get(query);
        let asked = asked.map(|query| query.text.to_lowercase());
        asked.is_some_and(|asked| !texts.iter().any(|text| text.contains(&asked)))
    };
    queries.iter().filter(unread).copied().collect()
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

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortica_testkit::{Item, Query};

    #[test]
    fn queries_whose_words_were_not_trained_on() {
        let item = |text: &str, split| Item {
            id: String::new(),
            text: text.to_owned(),
            split,
        };
        let query = |text: &str| Query {
            kind: String::new(),
            source: 1,
            text: text.to_owned(),
        };
        let data = Dataset {
            dimension: 1,
            rows: vec![0.0; 2],
            queries: vec![0.0; 4],
            items: vec![
                item("spinach: eaten as a Vegetable", Split::Train),
                item("washboard: protects a wall", Split::Test),
            ],
            query_infos: ["Spinach", "washboard", "a vegetable", "eaten raw"]
                .map(query)
                .to_vec(),
            truth: Vec::new(),
            edges: Vec::new(),
            edge_types: Vec::new(),
        };
        assert_eq!(without_texts(&data, &[0], &[0, 1, 2, 3]), [1, 3]);
        assert_eq!(without_texts(&data, &[0], &[0, 2]), [0_usize; 0]);
    }
}
