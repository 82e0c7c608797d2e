//! What each term of the score is worth, and how often it tells candidates apart.

use cortica_pipeline::EngineOptions;
use cortica_testkit::Dataset;

use crate::maps::{Making, Step};
use crate::stand_ins::StandIns;
use crate::{Result, compare, mean, of_streams, steps_of};

/// A term by its name, and how it is left out.
type Without = (&'static str, fn(&mut EngineOptions));

pub(crate) fn terms(
    data: &Dataset,
    making: &Making,
    full: &StandIns,
    streams: &[Vec<usize>],
    seeds: u64,
) -> Result<()> {
    let steps = steps_of(streams, 0);
    let in_one = |step: &Step| Step {
        stream: Some(0),
        ..*step
    };
    // The second so that there is always something to expect, but for the very first.
    let one: Vec<Step> = steps.iter().map(in_one).collect();
    for (name, steps) in [("streams as they are", &steps), ("one stream", &one)] {
        let map = making.map(data, full, steps, true)?;
        let (looked, [similarity, semantic, temporal]) = map.varied;
        let share = |count: u64| count as f64 / looked.max(1) as f64;
        println!(
            "terms that vary over candidates, {name}, of {looked} allocations from a tenth on: similarity {:.4}, \
             semantic {:.4}, temporal {:.4}",
            share(similarity),
            share(semantic),
            share(temporal)
        );
    }
    let ours = of_streams(data, making, full, streams, seeds)?;
    println!(
        "all terms: trustworthiness@10 {:.4}, distance of successive concepts {:.4}",
        mean(&ours[1]),
        mean(&ours[0])
    );
    let without: [Without; 3] = [
        ("similarity", |options| options.weights.similarity = 0.0),
        ("semantic", |options| options.weights.semantic = 0.0),
        ("temporal", |options| options.weights.temporal = 0.0),
    ];
    for (name, without) in without {
        let mut making = making.clone();
        without(&mut making.engine);
        let theirs = of_streams(data, &making, full, streams, seeds)?;
        compare(
            &format!("against none of {name}: trustworthiness@10"),
            &ours[1],
            &theirs[1],
        );
        compare(
            &format!("against none of {name}: distance (less is better)"),
            &ours[0],
            &theirs[0],
        );
    }
    Ok(())
}
