//! How often the right row of a place scores above others *for the same place*.
//!
//! An area over all places also rewards scores that can be compared between places. Here nothing is
//! gained by that: each place is judged by itself, and the shares are averaged.

use std::collections::BTreeMap;
use std::iter::once;

use anyhow::Result;
use cortica_env::{Rng, Seed};
use cortica_neural::{Code, Networks, score};
use serde_json::{Value, json};

use crate::bootstrap::interval;
use crate::graph::Graph;
use crate::lineage;
use crate::simple::SIMPLE;
use crate::streams::{Order, Place};

/// Places that there must be for a figure.
const PLACES_MIN: usize = 50;

/// Other rows that a place is asked about at most.
const DRAWN: usize = 16;

/// The two networks, and what needs none.
const WAYS: usize = 2 + SIMPLE.len();

/// Rows by the top of the hierarchy that they lie under, on their side of the split.
#[derive(Debug)]
pub(crate) struct Subtrees<'a> {
    graph: &'a Graph,
    top: Vec<u32>,
    under: BTreeMap<u32, Vec<u32>>,
}

impl Subtrees<'_> {
    pub(crate) fn of(graph: &Graph) -> Subtrees<'_> {
        let top = lineage::tops(&graph.along(Order::Lineage.leads_on()));
        let mut under: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (row, &top) in (0..).zip(&top) {
            under.entry(top).or_default().push(row);
        }
        Subtrees { graph, top, under }
    }

    /// Rows under the same top as the right one that have about as many relations and were not seen.
    fn others(&self, place: &Place) -> Vec<u32> {
        let under = self.top.get(place.next as usize);
        let rows = under.and_then(|top| self.under.get(top));
        let fits = |&row: &u32| {
            row != place.next
                && !place.seen.contains(&row)
                && self.graph.as_related(row, place.next)
        };
        let rows = rows.into_iter().flatten().copied();
        rows.filter(fits).collect()
    }
}

/// For the predictor and for the detector: the mean share of other rows that score below the right one
/// of their place, ties counting half, with others three relations away (`near`) and from anywhere under
/// the same top (`subtree`), and the interval by which it is above that of simple scores.
pub(crate) fn measure(
    networks: &Networks,
    subtrees: &Subtrees<'_>,
    places: &[Place],
    codes: &[Code],
    seed: Seed,
) -> Result<[Value; 2]> {
    let mut rng = seed.derive("others within places").rng();
    let near = places.iter().map(|place| place.others.clone());
    let subtree = places.iter().map(|place| subtrees.others(place));
    let sets: [(&str, Vec<Vec<u32>>); 2] =
        [("near", near.collect()), ("subtree", subtree.collect())];
    let mut figures = [json!({}), json!({})];
    for (name, mut others) in sets {
        for others in &mut others {
            draw(others, &mut rng);
        }
        let judged = judge(networks, places, &others, codes)?;
        if judged.len() >= PLACES_MIN {
            for (figure, network) in figures.iter_mut().zip(0..) {
                figure[name] = summary(&judged, network, seed);
            }
        }
    }
    Ok(figures)
}

/// Leaves [`DRAWN`] rows at most, each once, by chance.
fn draw(rows: &mut Vec<u32>, rng: &mut Rng) {
    let drawn = rows.len().min(DRAWN);
    for at in 0..drawn {
        let other = at + rng.below((rows.len() - at) as u64) as usize;
        rows.swap(at, other);
    }
    rows.truncate(drawn);
}

/// The shares of one place: predictor, detector, and the simple scores.
#[derive(Debug)]
struct Judged {
    stretch: u32,
    others: usize,
    shares: [f64; WAYS],
}

fn judge(
    networks: &Networks,
    places: &[Place],
    others: &[Vec<u32>],
    codes: &[Code],
) -> Result<Vec<Judged>> {
    let mut scratch = networks.scratch();
    let isa = scratch.isa();
    let mut judged = Vec::new();
    for (place, others) in places.iter().zip(others) {
        if others.is_empty() {
            continue;
        }
        let window = place.window(codes);
        let prediction = networks.predictor().predict(&window, &mut scratch)?;
        let mut scores: [Vec<f32>; WAYS] = Default::default();
        for &row in once(&place.next).chain(others) {
            let code = &codes[row as usize];
            let stream = place.window_with(row, codes);
            scores[0].push(score(isa, &prediction, code));
            scores[1].push(1.0 - networks.detector().detect(&stream, &mut scratch)?);
            for (scores, (_, simple)) in scores[2..].iter_mut().zip(SIMPLE) {
                scores.push(simple(isa, &window, code));
            }
        }
        judged.push(Judged {
            stretch: place.stretch,
            others: others.len(),
            shares: scores.map(|scores| share_below(&scores)),
        });
    }
    Ok(judged)
}

/// The share of all scores but the first that are below it; ties count half.
fn share_below(scores: &[f32]) -> f64 {
    let Some((right, others)) = scores.split_first() else {
        return 0.5;
    };
    let below = others.iter().map(|other| {
        if other < right {
            1.0
        } else if other > right {
            0.0
        } else {
            0.5
        }
    });
    below.sum::<f64>() / others.len().max(1) as f64
}

fn summary(judged: &[Judged], network: usize, seed: Seed) -> Value {
    let mean = |of: &dyn Fn(&Judged) -> f64| {
        judged.iter().map(of).sum::<f64>() / judged.len().max(1) as f64
    };
    let stretches: Vec<&[Judged]> = judged.chunk_by(|a, b| a.stretch == b.stretch).collect();
    let mut figure = json!({
        "places": judged.len(),
        "stretches": stretches.len(),
        "others_a_place": mean(&|judged| judged.others as f64),
        "share": mean(&|judged| judged.shares[network]),
    });
    for (way, (name, _)) in (2..).zip(SIMPLE) {
        // Stretches are drawn whole, as for areas; both sides alike.
        let above_by = interval(stretches.len(), seed, |drawn| {
            let judged = || drawn.iter().flat_map(|&at| stretches[at]);
            let differences = judged().map(|j| j.shares[network] - j.shares[way]);
            differences.sum::<f64>() / judged().count().max(1) as f64
        });
        figure[name] = json!({
            "share": mean(&|judged| judged.shares[way]),
            "network_above_by": above_by,
        });
    }
    figure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::chain;

    #[test]
    fn shares_of_what_scores_below() {
        assert_eq!(share_below(&[0.5, 0.1, 0.2, 0.9, 0.5]), 0.625);
        assert_eq!(share_below(&[0.5, 0.5]), 0.5);
        assert_eq!(share_below(&[0.9, 0.1]), 1.0);
    }

    #[test]
    fn each_row_is_drawn_once() {
        let mut rng = Seed(1).rng();
        let mut rows: Vec<u32> = (0..100).collect();
        draw(&mut rows, &mut rng);
        assert_eq!(rows.len(), DRAWN);
        rows.sort_unstable();
        assert!(rows.is_sorted_by(|a, b| a < b));
        assert!(rows.iter().any(|&row| row >= DRAWN as u32), "{rows:?}");
        let mut few = vec![3, 4];
        draw(&mut few, &mut rng);
        few.sort_unstable();
        assert_eq!(few, [3, 4]);
    }

    #[test]
    fn others_lie_under_the_same_top_and_have_as_many_relations() {
        let (mut data, sides) = chain();
        data.edges.retain(|edge| edge[0] != 1); // 0 over 1; 2 over 3 over 4.
        let graph = Graph::new(&data, &sides);
        let subtrees = Subtrees::of(&graph);
        let others = |seen: &[u32], next| {
            subtrees.others(&Place {
                seen: seen.to_vec(),
                next,
                others: Vec::new(),
                stretch: 0,
            })
        };
        assert_eq!(others(&[], 2), [4]); // 3 has two relations, 0 and 1 another top.
        assert_eq!(others(&[4], 2), [0_u32; 0]);
        assert_eq!(others(&[], 3), [0_u32; 0]);
        assert_eq!(others(&[], 0), [1]);
    }

    /// The differences are those of pairs: what is the same for both sides is no gain.
    #[test]
    fn intervals_are_of_pairs() {
        let judged: Vec<Judged> = (0..400_u32)
            .map(|at| {
                let share = f64::from(at % 5) / 4.0;
                Judged {
                    stretch: at / 4,
                    others: 8,
                    shares: [share, share - 0.25, share, share, 0.0],
                }
            })
            .collect();
        let [predictor, detector] = [0, 1].map(|network| summary(&judged, network, Seed(1)));
        let by = |figure: &Value, way: &str| -> [f64; 3] {
            let ends = &figure[way]["network_above_by"];
            [0, 1, 2].map(|at| ends[at].as_f64().unwrap_or(f64::NAN))
        };
        assert_eq!(by(&predictor, "cosine_to_previous"), [0.0; 3]);
        assert_eq!(by(&detector, "cosine_to_previous"), [-0.25; 3]);
        let [low, middle, high] = by(&predictor, "window_max");
        assert!(low > 0.0 && low < middle && middle < high && high < 1.0);
        assert_eq!(predictor["share"], 0.5);
        assert_eq!(
            (
                predictor["places"].as_u64(),
                predictor["stretches"].as_u64()
            ),
            (Some(400), Some(100))
        );
    }
}
