//! What the detector is worth, by maps of streams in which some concepts do not belong.

use std::collections::HashSet;
use std::sync::Arc;

use cortica_cortex::{Code, normalised};
use cortica_env::Seed;
use cortica_pipeline::Model;
use cortica_simd::{Isa, cosine};
use cortica_testkit::Dataset;

use crate::maps::Making;
use crate::stand_ins::{Detect, StandIns, bits};
use crate::{Result, compare, mean, mean_trust, steps_of};

/// Streams with one in twenty places taken by a concept from elsewhere, and each of these after the one before it.
fn planted(streams: &[Vec<usize>], rows: &[usize]) -> (Vec<Vec<usize>>, Vec<[usize; 2]>) {
    let mut rng = Seed(20).rng();
    let (mut streams, mut outliers) = (streams.to_vec(), Vec::new());
    for stream in &mut streams {
        let mut at = 1;
        while at < stream.len() {
            if rng.below(19) == 0 {
                let outlier = rows[rng.below(rows.len() as u64) as usize];
                outliers.push([stream[at - 1], outlier]);
                stream.insert(at, outlier);
                at += 1;
            }
            at += 1;
        }
    }
    (streams, outliers)
}

/// Maps of streams with planted outliers: with the detector, with its stand-ins, and with the engine told which they are.
pub(crate) fn detector(
    data: &Dataset,
    making: &Making,
    full: &StandIns,
    streams: &[Vec<usize>],
    rows: &[usize],
    seeds: u64,
    alarms: Option<f32>,
) -> Result<()> {
    let (streams, outliers) = planted(streams, rows);
    let maps = |making: &Making, detect: &Detect| -> Result<(Vec<Option<f64>>, u64)> {
        let (mut places, mut exceptions) = (Vec::new(), 0);
        for seed in 0..seeds {
            let mut making = making.clone();
            making.engine.seed = Seed(seed);
            let map = making.map(
                data,
                &StandIns {
                    detect: detect.clone(),
                    ..full.clone()
                },
                &steps_of(&streams, seed),
                false,
            )?;
            exceptions += map.exceptions;
            places.push(map.places);
        }
        Ok((mean_trust(data, places.iter()), exceptions))
    };
    let mut worker = full.worker(Isa::best());
    let mut told = HashSet::new();
    let mut seen = |row: usize| -> Result<_> {
        // As the engine hands it to the detector.
        Ok(bits(&normalised(&worker.encode(data.row(row))?)?))
    };
    for &[before, outlier] in &outliers {
        told.insert([seen(before)?, seen(outlier)?]);
    }
    // Alarms among all requests with a code before them, and the cosine below which as many lie.
    let (mut cosines, mut probabilities) = (Vec::new(), Vec::new());
    for stream in &streams {
        let codes: Vec<Code> = stream
            .iter()
            .map(|&row| worker.encode(data.row(row)))
            .collect::<std::result::Result<_, _>>()?;
        for at in 1..codes.len() {
            cosines.push(cosine(Isa::best(), &codes[at - 1], &codes[at]));
            let window = &codes[(at + 1).saturating_sub(8)..=at];
            probabilities.push(worker.detect(window)?);
        }
    }
    probabilities.sort_by(|a, b| b.total_cmp(a));
    let mut making = making.clone();
    if let Some(wanted) = alarms {
        let last = (wanted * probabilities.len() as f32).round() as usize;
        let last = probabilities.get(last.saturating_sub(1));
        making.engine.exception_min = last.copied().unwrap_or(1.0);
    }
    let least = making.engine.exception_min;
    let alarms = probabilities.partition_point(|probability| *probability >= least);
    cosines.sort_by(f32::total_cmp);
    let cosine_least = cosines.get(alarms).copied().unwrap_or(0.0);
    let (ours, exceptions) = maps(&making, &Detect::Network)?;
    println!(
        "detector: trustworthiness@10 {:.4}; alarms from {least:.4} on, at {:.4} of {} places, {exceptions} in all maps",
        mean(&ours),
        alarms as f64 / cosines.len() as f64,
        cosines.len()
    );
    let planted: HashSet<usize> = outliers.iter().map(|&[_, outlier]| outlier).collect();
    let of_planted = |figures: &[Option<f64>]| -> Vec<Option<f64>> {
        let kept = figures.iter().enumerate();
        kept.map(|(row, figure)| figure.filter(|_| planted.contains(&row)))
            .collect()
    };
    let compare_both = |name: &str, ours: &[Option<f64>], theirs: &[Option<f64>]| {
        compare(&format!("{name}: trustworthiness@10"), ours, theirs);
        let (ours, theirs) = (of_planted(ours), of_planted(theirs));
        compare(&format!("{name}: of planted concepts"), &ours, &theirs);
    };
    let against = |name: &str, detect: Detect| -> Result<Vec<Option<f64>>> {
        let (theirs, exceptions) = maps(&making, &detect)?;
        println!("  {name}: {exceptions} alarms in all maps");
        compare_both(&format!("detector against {name}"), &ours, &theirs);
        Ok(theirs)
    };
    println!(
        "  {} planted places of {}, {seeds} orders",
        outliers.len(),
        cosines.len()
    );
    against("cosine to previous", Detect::CosineBelow(cosine_least))?;
    let never = against("never", Detect::Never)?;
    let truth = against("the truth", Detect::Told(Arc::new(told)))?;
    compare_both("the truth against never", &truth, &never);
    Ok(())
}
