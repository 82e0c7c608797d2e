//! What each network, each term of the score and the map itself are worth.
//!
//! `cargo run --release -p cortica-pipeline --features weights-768 --example ablation -- [--data DIR] [--all]
//! [OPTION=VALUE ...]` lays the held-out concepts of a folder (without `--data` the bundled one; with `--all` all its
//! concepts) out on a grid, with the networks and with each one's stand-ins, and prints figures with 95% bootstrap
//! intervals of the differences. Codes are placed along the principal components of those of the training side, each encoder's
//! its own, as weight files carry them; `--placing fitted` takes directions by chance with ranks of the training side, `unknown`
//! knows nothing of it. `--only` map, encoder, predictor, detector or terms. Options: radius, proximity, rate, learning, similarity (a radius), weights=A,B,C, fill, seeds,
//! alarms (the share of places at which the detector, and what stands in for it, are to raise one; the engine's threshold else).
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    missing_docs,
    reason = "a command for developers, read from top to bottom"
)]

mod detector;
mod lines;
mod maps;
mod pca;
mod stand_ins;
mod terms;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use cortica_cortex::{CODE_DIMENSION, Code, Grid, ScoreWeights, within};
use cortica_env::Seed;
use cortica_neural::Networks;
use cortica_pipeline::EngineOptions;
use cortica_testkit::{Dataset, Split};

use crate::maps::{Making, Map, Place, Placing, Step, onto_grid, shuffled, trust};
use crate::stand_ins::{Encode, Predict, StandIns};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DRAWS: usize = 1_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named = |name: &str| {
        let at = arguments.iter().position(|one| one == name)?;
        arguments.get(at + 1)
    };
    let option = |name: &str, default: f32| -> f32 {
        let prefix = format!("{name}=");
        let found = arguments.iter().find_map(|one| one.strip_prefix(&prefix));
        found.map_or(default, |value| value.parse().unwrap())
    };
    let mut data = match named("--data") {
        Some(path) => cortica_testkit::load(Path::new(path)).map_err(|error| error.to_string())?,
        None => cortica_testkit::bundle().clone(),
    };
    normalise(&mut data);
    let all = arguments.iter().any(|one| one == "--all");
    let side = |want: Split| -> Vec<usize> {
        (0..data.len())
            .filter(|&row| data.items[row].split == want)
            .collect()
    };
    let train = side(Split::Train);
    let rows = if all {
        (0..data.len()).collect()
    } else {
        side(Split::Test)
    };
    let mut engine = EngineOptions::default();
    engine.proximity = option("proximity", engine.proximity);
    engine.rate = option("rate", engine.rate);
    engine.learning_radius = option("learning", engine.learning_radius);
    engine.similarity_radius = option("similarity", engine.similarity_radius);
    if let Some(text) = arguments
        .iter()
        .find_map(|one| one.strip_prefix("weights="))
    {
        let weights: Vec<f32> = text.split(',').map(|one| one.parse().unwrap()).collect();
        engine.weights = ScoreWeights {
            similarity: weights[0],
            semantic: weights[1],
            temporal: weights[2],
        };
    }
    let length = (rows.len() as f32 / option("fill", 0.75)).cbrt().ceil() as u32;
    let making = Making {
        grid: Grid::new(length, length, length)?,
        search_radius: option("radius", 4.0),
        engine,
        placing: match named("--placing").map(String::as_str) {
            Some("fitted") => Placing::Fitted(train.clone().into()),
            Some("unknown") => Placing::Unknown,
            _ => Placing::Principal(train.clone().into()),
        },
    };
    let seeds = option("seeds", 3.0) as u64;
    let networks = Networks::shipped_768()?;
    println!(
        "{} concepts in {length} x {length} x {length} columns, radius {}, {seeds} orders",
        rows.len(),
        making.search_radius
    );
    let full = StandIns::none(&networks);
    let only = |name: &str| named("--only").is_none_or(|only| only == name);

    // The map, and the encoder: concepts in an order by chance, without streams.
    let orders: Vec<Vec<usize>> = (0..seeds).map(|seed| shuffled(&rows, Seed(seed))).collect();
    let maps = |making: &Making, model: &StandIns| -> Result<Vec<Map>> {
        let map = |(seed, order): (usize, &Vec<usize>)| {
            let steps: Vec<Step> = order
                .iter()
                .map(|&row| Step { row, stream: None })
                .collect();
            let mut making = making.clone();
            making.engine.seed = Seed(seed as u64);
            making.map(&data, model, &steps, false)
        };
        orders.iter().enumerate().map(map).collect()
    };
    let ours = maps(&making, &full)?;
    let our_trust = mean_trust(&data, ours.iter().map(|map| &map.places));
    println!("map: trustworthiness@10 {:.4}", mean(&our_trust));
    if only("map") {
        let pairs = related(&data, &rows);
        let our_near = mean_near(ours.iter().map(|map| &map.places), &pairs);
        println!(
            "  relations within 2 columns {:.4} of {}",
            mean(&our_near),
            pairs.len()
        );
        let lines: Vec<&[f32]> = train.iter().map(|&row| data.row(row)).collect();
        let (directions, mean_row) = pca::components(&lines, 3, true);
        let d = data.dimension;
        let point = |row: usize| -> [f32; 3] {
            std::array::from_fn(|axis| {
                let direction = &directions[axis * d..][..d];
                let centred = data.row(row).iter().zip(&mean_row).map(|(a, b)| a - b);
                centred.zip(direction).map(|(a, b)| a * b).sum()
            })
        };
        let mut rng = Seed(11).rng();
        let chance: Vec<[f32; 3]> = rows
            .iter()
            .map(|_| std::array::from_fn(|_| rng.unit() as f32))
            .collect();
        let points: Vec<[f32; 3]> = rows.iter().map(|&row| point(row)).collect();
        for (name, points) in [("by chance", &chance), ("PCA-3D", &points)] {
            let mut placed = Vec::new();
            for order in &orders {
                let at_of: Vec<usize> = order
                    .iter()
                    .map(|row| rows.binary_search(row).unwrap())
                    .collect();
                let mut places = vec![None; data.len()];
                for (at, place) in onto_grid(&making.grid, points, &at_of)?
                    .into_iter()
                    .enumerate()
                {
                    places[rows[at]] = place;
                }
                placed.push(places);
            }
            let theirs = mean_trust(&data, placed.iter());
            compare(
                &format!("against {name}: trustworthiness@10"),
                &our_trust,
                &theirs,
            );
            let near = mean_near(placed.iter(), &pairs);
            compare(
                &format!("against {name}: related within 2"),
                &our_near,
                &near,
            );
        }
    }
    if only("encoder") {
        let lines: Vec<&[f32]> = train.iter().map(|&row| data.row(row)).collect();
        for (name, centred) in [("PCA-64", false), ("centred PCA-64", true)] {
            let (directions, mean_row) = pca::components(&lines, CODE_DIMENSION, centred);
            let d = data.dimension;
            let offset: Code = std::array::from_fn(|at| {
                let direction = &directions[at * d..][..d];
                -direction
                    .iter()
                    .zip(&mean_row)
                    .map(|(a, b)| a * b)
                    .sum::<f32>()
            });
            let encode = Encode::Linear(Arc::from(directions), Box::new(offset));
            let model = StandIns {
                encode,
                ..full.clone()
            };
            let theirs = maps(&making, &model)?;
            let theirs = mean_trust(&data, theirs.iter().map(|map| &map.places));
            compare(
                &format!("encoder against {name}: trustworthiness@10"),
                &our_trust,
                &theirs,
            );
        }
        let mut rng = Seed(64).rng();
        let mut gaussian = || (0..4).map(|_| rng.unit() as f32 - 0.5).sum::<f32>();
        let directions: Vec<f32> = (0..CODE_DIMENSION * data.dimension)
            .map(|_| gaussian())
            .collect();
        let encode = Encode::Linear(Arc::from(directions), Box::new([0.0; CODE_DIMENSION]));
        let theirs = maps(
            &making,
            &StandIns {
                encode,
                ..full.clone()
            },
        )?;
        let theirs = mean_trust(&data, theirs.iter().map(|map| &map.places));
        compare(
            "encoder against a random projection: trustworthiness@10",
            &our_trust,
            &theirs,
        );
    }
    let streams: Vec<Vec<usize>> = lines::lines(&data, &rows);
    println!(
        "{} streams along lines, {} steps",
        streams.len(),
        streams.iter().map(Vec::len).sum::<usize>()
    );
    if only("predictor") {
        predictor(&data, &making, &full, &streams, seeds)?;
    }
    if only("detector") {
        let alarms = option("alarms", f32::NAN);
        let alarms = Some(alarms).filter(|alarms| alarms.is_finite());
        detector::detector(&data, &making, &full, &streams, &rows, seeds, alarms)?;
    }
    if only("terms") {
        terms::terms(&data, &making, &full, &streams, seeds)?;
    }
    Ok(())
}

/// The steps of streams, one stream after the other, in an order by chance.
pub(crate) fn steps_of(streams: &[Vec<usize>], seed: u64) -> Vec<Step> {
    let numbers: Vec<usize> = (0..streams.len()).collect();
    let order = shuffled(&numbers, Seed(seed));
    let steps = order.iter().flat_map(|&number| {
        let stream = Some(number as u64);
        streams[number].iter().map(move |&row| Step { row, stream })
    });
    steps.collect()
}

/// For maps of streams in so many orders: how far each step lies from the one before it in its stream, and the
/// trustworthiness of each row.
pub(crate) fn of_streams(
    data: &Dataset,
    making: &Making,
    model: &StandIns,
    streams: &[Vec<usize>],
    seeds: u64,
) -> Result<[Vec<Option<f64>>; 2]> {
    let (mut distances, mut places) = (Vec::new(), Vec::new());
    for seed in 0..seeds {
        let steps = steps_of(streams, seed);
        let mut making = making.clone();
        making.engine.seed = Seed(seed);
        let map = making.map(data, model, &steps, false)?;
        for (at, pair) in steps.windows(2).enumerate() {
            let apart = map.places[pair[0].row].zip(map.places[pair[1].row]);
            let counts = pair[0].stream == pair[1].stream && map.fresh[at + 1];
            distances.push(apart.filter(|_| counts).map(|(a, b)| {
                let squares = (0..3).map(|axis| f64::from(a[axis] - b[axis]).powi(2));
                squares.sum::<f64>().sqrt()
            }));
        }
        places.push(map.places);
    }
    Ok([distances, mean_trust(data, places.iter())])
}

fn predictor(
    data: &Dataset,
    making: &Making,
    full: &StandIns,
    streams: &[Vec<usize>],
    seeds: u64,
) -> Result<()> {
    let [ours, _] = of_streams(data, making, full, streams, seeds)?;
    println!(
        "predictor: mean distance of successive concepts {:.4}",
        mean(&ours)
    );
    for (name, predict) in [
        ("the previous code", Predict::Previous),
        ("0.5", Predict::Nothing),
    ] {
        let model = StandIns {
            predict,
            ..full.clone()
        };
        let [theirs, _] = of_streams(data, making, &model, streams, seeds)?;
        compare(
            &format!("predictor against {name}: distance (less is better)"),
            &ours,
            &theirs,
        );
    }
    Ok(())
}

/// The mean trustworthiness of each row over maps in which it has a place.
pub(crate) fn mean_trust<'a>(
    data: &Dataset,
    maps: impl Iterator<Item = &'a Vec<Place>>,
) -> Vec<Option<f64>> {
    mean_of(&maps.map(|places| trust(data, places)).collect::<Vec<_>>())
}

fn mean_near<'a>(
    maps: impl Iterator<Item = &'a Vec<Place>>,
    pairs: &[(usize, usize)],
) -> Vec<Option<f64>> {
    let near = |places: &Vec<Place>| -> Vec<Option<f64>> {
        let lying: Vec<[f32; 3]> = places
            .iter()
            .map(|place| place.unwrap_or([f32::MAX; 3]))
            .collect();
        let near = within(&lying, pairs, 2.0).into_iter().zip(pairs);
        near.map(|(near, &(a, b))| places[a].and(places[b]).map(|_| f64::from(u8::from(near))))
            .collect()
    };
    mean_of(&maps.map(near).collect::<Vec<_>>())
}

fn mean_of(all: &[Vec<Option<f64>>]) -> Vec<Option<f64>> {
    let count = all.first().map_or(0, Vec::len);
    let mean = |at: usize| {
        let known: Vec<f64> = all.iter().filter_map(|one| one[at]).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    (0..count).map(mean).collect()
}

/// Pairs of related rows, each once.
fn related(data: &Dataset, rows: &[usize]) -> Vec<(usize, usize)> {
    let inside = |row: usize| rows.binary_search(&row).is_ok();
    let ends = data
        .edges
        .iter()
        .map(|edge| (edge[0] as usize, edge[1] as usize));
    let mut pairs: Vec<(usize, usize)> = ends
        .filter(|&(a, b)| a != b && inside(a) && inside(b))
        .map(|(a, b)| (a.min(b), a.max(b)))
        .collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

pub(crate) fn mean(values: &[Option<f64>]) -> f64 {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    known.iter().sum::<f64>() / known.len().max(1) as f64
}

/// Prints both means, and the 95% interval of the mean difference where both are known.
pub(crate) fn compare(name: &str, ours: &[Option<f64>], theirs: &[Option<f64>]) {
    let both: Vec<f64> = ours
        .iter()
        .zip(theirs)
        .filter_map(|(a, b)| Some((*a)? - (*b)?))
        .collect();
    let mut rng = Seed(3).derive("bootstrap").rng();
    let mut drawn: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let draw = (0..both.len()).map(|_| both[rng.below(both.len() as u64) as usize]);
            draw.sum::<f64>() / both.len().max(1) as f64
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    println!(
        "  {name}: {:.4} to {:.4}, difference {:+.4} ({:+.4} to {:+.4})",
        mean(ours),
        mean(theirs),
        both.iter().sum::<f64>() / both.len().max(1) as f64,
        drawn[DRAWS / 40],
        drawn[DRAWS - 1 - DRAWS / 40]
    );
}

/// Brings rows to length 1.
fn normalise(data: &mut Dataset) {
    for row in data.rows.chunks_exact_mut(data.dimension) {
        let length = row
            .iter()
            .map(|v| f64::from(*v).powi(2))
            .sum::<f64>()
            .sqrt();
        for value in row {
            *value = (f64::from(*value) / length.max(1e-30)) as f32;
        }
    }
}
