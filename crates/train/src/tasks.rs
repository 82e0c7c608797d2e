//! How well what stands in a place is told from what does not, by the networks and by what is simpler.

use anyhow::Result;
use cortica_env::{Rng, Seed};
use cortica_neural::{Code, Networks, WINDOW, score};
use cortica_simd::Isa;
use serde_json::{Value, json};

use crate::Sides;
use crate::auc::{auc, compare};
use crate::baselines::{Baselines, Learnt};
use crate::clusters::clusters;
use crate::simple::{CLOSEST, SIMPLE};
use crate::streams::Place;

/// Clusters that there must be for an interval: of a few, one alone decides.
const CLUSTERS_MIN: usize = 20;

/// Scores of the rows that stand in the places, of the near others, and of random ones.
type Scores = [Vec<f32>; 3];

/// How well a place's own code is told from another's, by the prediction (temporal) and by the
/// detector (exception): against scores that need no network, against the networks trained without
/// a window, and against themselves when what came before the previous code is turned round.
pub(crate) fn measure(
    networks: &Networks,
    baselines: Option<&Baselines>,
    sides: &Sides,
    places: &[Place],
    codes: &[Code],
    seed: Seed,
) -> Result<[Value; 2]> {
    let asked = Asked::draw(places, sides, seed);
    let isa = Isa::best();
    let mut others: Vec<(&str, Scores)> = Vec::new();
    for (name, simple) in SIMPLE {
        let by = |rows: &[u32]| {
            let score_of = |(place, &row): (&Place, &u32)| {
                simple(isa, &place.window(codes), &codes[row as usize])
            };
            Ok(places.iter().zip(rows).map(score_of).collect())
        };
        others.push((name, asked.scores(by)?));
    }
    let mut own = [Vec::new(), Vec::new()];
    if let Some(learnt) = baselines {
        let by = |way: &Learnt<'_>| asked.scores(|rows| way(places, rows));
        let alone = by(&|places, rows| learnt.alone(codes, places, rows))?;
        let predicted = by(&|places, rows| learnt.predicted(codes, places, rows))?;
        let belongs = by(&|places, rows| learnt.belongs(codes, places, rows))?;
        others.push(("candidate_only", alone));
        own[0].push(("previous_only", predicted));
        own[1].push(("previous_only", belongs));
    }
    let turned: Vec<Place> = places.iter().map(Place::with_earlier_reversed).collect();
    let predicted =
        |places: &[Place]| asked.scores(|rows| predicted(networks, places, codes, rows));
    let belongs = |places: &[Place]| asked.scores(|rows| belongs(networks, places, codes, rows));
    own[0].push(("earlier_reversed", predicted(&turned)?));
    own[1].push(("earlier_reversed", belongs(&turned)?));

    let (stretches, clusters) = (stretches(places), clusters(places));
    let [temporal, exception] = own;
    let task = |ours: &Scores, own: &[(&str, Scores)]| {
        let mut figure = json!({
            "places": places.len(),
            "codes_before": codes_before(places),
            "stretches": stretches.len(),
            "clusters": clusters.len(),
            "auc": auc(&ours[0], &ours[1]),
            "auc_random_negatives": auc(&ours[0], &ours[2]),
        });
        for (name, theirs) in others.iter().chain(own) {
            figure[*name] = json!({
                "auc": auc(&theirs[0], &theirs[1]),
                "auc_random_negatives": auc(&theirs[0], &theirs[2]),
                "network_above_by": compare(pair(ours), pair(theirs), &stretches, seed),
            });
            if *name == CLOSEST && clusters.len() >= CLUSTERS_MIN {
                let by = compare(pair(ours), pair(theirs), &clusters, seed);
                figure[*name]["network_above_by_clusters"] = json!(by);
            }
        }
        figure
    };
    Ok([
        task(&predicted(places)?, &temporal),
        task(&belongs(places)?, &exception),
    ])
}

/// What is right, and what is wrong but near.
fn pair([right, near, _]: &Scores) -> [&[f32]; 2] {
    [right, near]
}

/// The rows asked about at each place.
#[derive(Debug)]
struct Asked {
    right: Vec<u32>,
    near: Vec<u32>,
    random: Vec<u32>,
}

impl Asked {
    fn draw(places: &[Place], sides: &Sides, seed: Seed) -> Asked {
        let mut rng = seed.derive("measured negatives").rng();
        let near = |place: &Place, rng: &mut Rng| {
            let at = rng.below(place.others.len() as u64) as usize;
            place.others[at]
        };
        let random = |place: &Place, rng: &mut Rng| loop {
            let row = sides.held_out[rng.below(sides.held_out.len() as u64) as usize] as u32;
            if row != place.next {
                return row;
            }
        };
        Asked {
            right: places.iter().map(|place| place.next).collect(),
            near: places.iter().map(|place| near(place, &mut rng)).collect(),
            random: places.iter().map(|place| random(place, &mut rng)).collect(),
        }
    }

    fn scores(&self, by: impl Fn(&[u32]) -> Result<Vec<f32>>) -> Result<Scores> {
        Ok([by(&self.right)?, by(&self.near)?, by(&self.random)?])
    }
}

/// The score of each row with the prediction for its place.
fn predicted(
    networks: &Networks,
    places: &[Place],
    codes: &[Code],
    rows: &[u32],
) -> Result<Vec<f32>> {
    let mut scratch = networks.scratch();
    let score_of = |(place, &row): (&Place, &u32)| -> Result<f32> {
        let window = place.window(codes);
        let prediction = networks.predictor().predict(&window, &mut scratch)?;
        Ok(score(scratch.isa(), &prediction, &codes[row as usize]))
    };
    places.iter().zip(rows).map(score_of).collect()
}

/// How sure the detector is that each row belongs in its place.
fn belongs(
    networks: &Networks,
    places: &[Place],
    codes: &[Code],
    rows: &[u32],
) -> Result<Vec<f32>> {
    let mut scratch = networks.scratch();
    let belongs = |(place, &row): (&Place, &u32)| -> Result<f32> {
        let window = place.window_with(row, codes);
        Ok(1.0 - networks.detector().detect(&window, &mut scratch)?)
    };
    places.iter().zip(rows).map(belongs).collect()
}

/// How many places have how many codes before them that are looked at.
fn codes_before(places: &[Place]) -> Value {
    let mut counts = [0; WINDOW + 1];
    for place in places {
        counts[place.seen.len()] += 1;
    }
    let there = counts.into_iter().enumerate().filter(|count| count.1 > 0);
    there
        .map(|(codes, count): (usize, u32)| (codes.to_string(), json!(count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Places that are drawn together, by their numbers.
fn stretches(places: &[Place]) -> Vec<Vec<usize>> {
    let mut from = 0;
    let runs = places.chunk_by(|a, b| a.stretch == b.stretch);
    let numbers = |run: &[Place]| {
        from += run.len();
        (from - run.len()..from).collect()
    };
    runs.map(numbers).collect()
}
