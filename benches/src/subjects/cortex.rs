//! Columns: how large they are, how fast they are made, and how they compete.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use cortica_cortex::{
    Code, ColumnId, Competition, ConceptId, Cortex, CortexOptions, Grid, InhibitionParams,
    ScoreWeights, Scorer,
};
use cortica_simd::Isa;
use cortica_testkit::{Rng, count_allocations, is_counting};

use crate::subject::{Pair, Setup};

/// Columns of a competition.
const SIDE: u32 = 10;

fn cube(side: u32) -> Result<Grid> {
    Ok(Grid::new(side, side, side)?)
}

/// Bytes of memory that a column takes, by the allocator.
pub(super) fn column_bytes(setup: &Setup) -> Result<f64> {
    ensure!(is_counting(), "this program's allocator does not count");
    let grid = cube(40)?;
    let times = if setup.corrupt { 2 } else { 1 };
    let build = || -> Result<Vec<Cortex>> {
        (0..times)
            .map(|_| Ok(Cortex::new(grid, CortexOptions::default())?))
            .collect()
    };
    let (built, counted) = count_allocations(build);
    drop(built?);
    // What is given back after the counting is not in it.
    Ok(counted.net_bytes() as f64 / grid.len() as f64)
}

/// What scoring, inhibition and selection of 1,000 columns ask of the allocator, once they have been used.
pub(super) fn allocations(setup: &Setup) -> Result<f64> {
    ensure!(is_counting(), "this program's allocator does not count");
    let cortex = Cortex::new(cube(SIDE)?, CortexOptions::default())?;
    let columns: Vec<ColumnId> = cortex.grid().columns().collect();
    let codes = codes(8);
    for (concept, code) in (0..).zip(&codes) {
        cortex.occupy(ColumnId::new(concept * 101), ConceptId::new(concept), code)?;
    }
    let mut scorer = Scorer::new(ScoreWeights::default(), 2.0)?;
    let fresh = || Competition::new(InhibitionParams::default(), Isa::best());
    let mut competition = fresh()?;
    let mut drives = Vec::new();
    let mut work = || -> Result<()> {
        for (at, code) in codes.iter().enumerate() {
            if setup.corrupt {
                competition = fresh()?;
            }
            drives.clear();
            let scores = scorer.score(&cortex, &columns, code, codes.get(at + 1))?;
            drives.extend(scores.iter().map(|score| score.total));
            black_box(competition.run(cortex.grid(), &columns, &drives, 3)?);
        }
        Ok(())
    };
    work()?;
    let (done, counted) = count_allocations(work);
    done?;
    Ok(counted.allocations as f64)
}

fn codes(count: usize) -> Vec<Code> {
    let mut rng = Rng::new(11);
    let values = rng.vector(64 * count);
    values.as_chunks::<64>().0.to_vec()
}

/// Columns made, initialised and touched, against filling as many bytes.
pub(super) fn build(setup: &Setup) -> Result<Pair> {
    let grid = cube(if setup.quick { 60 } else { 100 })?;
    let bytes = grid.len() * Cortex::COLUMN_BYTES;
    Ok(Pair {
        check: Box::new(move || {
            let cortex = Cortex::new(grid, CortexOptions::default())?;
            ensure!(
                cortex.census() == [grid.len(), 0, 0, 0, 0],
                "not all available"
            );
            Ok(())
        }),
        subject: Box::new(move |watch| {
            let cortex = watch.time(|| Cortex::new(grid, CortexOptions::default()))?;
            ensure!(black_box(&cortex).stats().columns == grid.len() as u64);
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            // Not zeros, which the system gives without touching them.
            let filled = watch.time(|| black_box(vec![1_u8; bytes]));
            ensure!(filled.len() == bytes);
            Ok(())
        }),
    })
}

/// Competitions of 1,000 columns in one timed section.
const ROUNDS: usize = 8;

/// Inhibition and selection, against plain loops of the same equations.
pub(super) fn compete(_setup: &Setup) -> Result<Pair> {
    let grid = cube(SIDE)?;
    let columns: Vec<ColumnId> = grid.columns().collect();
    let mut rng = Rng::new(5);
    let fields: Vec<Vec<f32>> = (0..ROUNDS)
        .map(|_| columns.iter().map(|_| rng.unit()).collect())
        .collect();
    let params = InhibitionParams::default();
    let mut competition = Competition::new(params, Isa::best())?;
    let mut checked = (competition.clone(), columns.clone(), fields.clone());
    let plain_fields = fields.clone();
    let plain = Plain::new(params);
    let checking = plain.clone();
    Ok(Pair {
        check: Box::new(move || {
            let (competition, columns, fields) = &mut checked;
            for drives in fields {
                let outcome = competition.run(&grid, columns, drives, 1)?;
                let (winner, u) = checking.compete(drives);
                ensure!(outcome.winners[0].at == winner, "another winner");
                let whole = 1.0 + params.centre - params.surround;
                for (got, want) in outcome.activities.iter().zip(u) {
                    let off = (got - want.max(0.0) / whole).abs();
                    ensure!(off < 1e-4, "{got} is not {want} / {whole}");
                }
            }
            Ok(())
        }),
        subject: Box::new(move |watch| {
            let winners = watch.time(|| {
                fields.iter().try_fold(0, |sum, drives| {
                    let outcome = competition.run(&grid, &columns, drives, 1)?;
                    Ok::<usize, anyhow::Error>(sum + outcome.winners[0].at)
                })
            })?;
            ensure!(black_box(winners) > 0);
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            let compete = |drives: &Vec<f32>| plain.compete(drives).0;
            let winners: usize = watch.time(|| plain_fields.iter().map(compete).sum());
            (winners > 0).then_some(()).context("nobody won")
        }),
    })
}

/// The equations as they stand, over a cube: every column looks at every other within reach, with weights from
/// a table.
#[derive(Clone)]
struct Plain {
    params: InhibitionParams,
    /// By distances along x, y and z.
    weights: Vec<f32>,
}

const REACH: usize = 3;

impl Plain {
    fn new(params: InhibitionParams) -> Plain {
        let distances = (0..=REACH).flat_map(|z| (0..=REACH).map(move |y| (y, z)));
        let distances = distances.flat_map(|(y, z)| (0..=REACH).map(move |x| [x, y, z]));
        let weight = |[x, y, z]: [usize; 3]| {
            let square = (x * x + y * y + z * z) as f32;
            let gaussian = |sigma: f32| (-square / (2.0 * sigma * sigma)).exp();
            let near = x.max(y).max(z) <= 2; // The centre is cut there.
            let centre = if near {
                params.centre * gaussian(params.sigma_centre)
            } else {
                0.0
            };
            params.surround * gaussian(params.sigma_surround) - centre
        };
        Plain {
            params,
            weights: distances.map(weight).collect(),
        }
    }

    /// The winner, and what the field came to.
    fn compete(&self, drives: &[f32]) -> (usize, Vec<f32>) {
        let side = SIDE as usize;
        let mut u = drives.to_vec();
        let mut fired = vec![0.0; u.len()];
        let mut next = u.clone();
        let range = |at: usize| at.saturating_sub(REACH)..=(at + REACH).min(side - 1);
        for _ in 0..self.params.steps_max {
            let mut change = 0.0_f32;
            for z in 0..side {
                for y in 0..side {
                    for x in 0..side {
                        let mut highest = 0.0_f32;
                        for oz in range(z) {
                            for oy in range(y) {
                                for ox in range(x) {
                                    highest = highest.max(u[(oz * side + oy) * side + ox]);
                                }
                            }
                        }
                        let at = (z * side + y) * side + x;
                        let below = (highest - u[at]) / self.params.contrast;
                        let ramp = (1.0 - below).clamp(0.0, 1.0);
                        fired[at] = if u[at] > 0.0 { ramp } else { 0.0 };
                    }
                }
            }
            for z in 0..side {
                for y in 0..side {
                    for x in 0..side {
                        let mut inhibited = 0.0_f32;
                        for oz in range(z) {
                            for oy in range(y) {
                                for ox in range(x) {
                                    let apart = [ox.abs_diff(x), oy.abs_diff(y), oz.abs_diff(z)];
                                    let width = REACH + 1;
                                    let entry = (apart[2] * width + apart[1]) * width + apart[0];
                                    let other = (oz * side + oy) * side + ox;
                                    inhibited += self.weights[entry] * fired[other];
                                }
                            }
                        }
                        let at = (z * side + y) * side + x;
                        let a = self.params.step;
                        next[at] = (1.0 - a) * u[at] + a * (drives[at] - inhibited);
                        change = change.max((next[at] - u[at]).abs());
                    }
                }
            }
            std::mem::swap(&mut u, &mut next);
            if change <= self.params.tolerance {
                break;
            }
        }
        let better = |best: usize, at: usize| if u[at] > u[best] { at } else { best };
        ((0..u.len()).fold(0, better), u)
    }
}
