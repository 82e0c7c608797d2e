//! Inhibition and who wins.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_cortex::{
    ColumnId, CompeteError, Competition, Contender, Grid, InhibitionError, InhibitionParams,
    Settled, Winners, inhibit_reference,
};
use cortica_env::Seed;
use cortica_simd::Isa;
use cortica_testkit::Rng;
use std::thread;

fn competition(params: InhibitionParams) -> Competition {
    Competition::new(params, Isa::best()).unwrap()
}

/// A grid and some of its columns, in an order of chance.
fn field(rng: &mut Rng) -> (Grid, Vec<ColumnId>) {
    let side = |rng: &mut Rng| 1 + rng.below(9) as u32;
    let grid = Grid::new(side(rng), side(rng), side(rng)).unwrap();
    let share = rng.unit();
    let mut columns: Vec<_> = grid.columns().filter(|_| rng.unit() <= share).collect();
    if columns.is_empty() {
        columns.push(ColumnId::new(0));
    }
    shuffle(&mut columns, rng);
    (grid, columns)
}

fn shuffle<T>(values: &mut [T], rng: &mut Rng) {
    for at in (1..values.len()).rev() {
        values.swap(at, rng.below(at + 1));
    }
}

fn strongest(drives: &[f32]) -> usize {
    (0..drives.len())
        .max_by(|&a, &b| drives[a].total_cmp(&drives[b]))
        .unwrap()
}

#[test]
fn the_strongest_drive_wins() {
    let mut rng = Rng::new(1);
    let mut competition = competition(InhibitionParams::default());
    for round in 0..2_000 {
        let (grid, columns) = field(&mut rng);
        // Crowds of near ties, plateaus and noise, and one ahead of all by little more than 1e-3.
        let kind = round % 4;
        let mut drives: Vec<f32> = (0..columns.len())
            .map(|_| match kind {
                0 => 0.9 * rng.unit(),
                1 => 0.9,
                2 => 0.9 - 1e-3 * rng.unit(),
                _ => (9.0 * rng.unit()).floor() / 10.0,
            })
            .collect();
        let best = rng.below(columns.len());
        drives[best] = 0.0;
        drives[best] = drives.iter().copied().fold(0.0, f32::max) + 1.01e-3;
        let outcome = competition.run(&grid, &columns, &drives, 1).unwrap();
        assert_eq!(outcome.winners[0].at, strongest(&drives), "round {round}");
        assert_eq!(outcome.winners[0].column, columns[best]);
    }
}

#[test]
fn activities_are_those_of_the_definition() {
    let mut rng = Rng::new(2);
    let mut competition = competition(InhibitionParams::default());
    for _ in 0..60 {
        let (grid, columns) = field(&mut rng);
        // Apart by more than the contrast: near ties would make much of the last bit.
        let mut drives: Vec<f32> = (0..columns.len())
            .map(|at| (0.2 + at as f32 / 800.0).min(1.0))
            .collect();
        shuffle(&mut drives, &mut rng);
        let places: Vec<_> = columns
            .iter()
            .map(|&column| grid.place(column).unwrap())
            .collect();
        let params = InhibitionParams::default();
        let (want, settled) = inhibit_reference(params, &places, &drives).unwrap();
        let outcome = competition.run(&grid, &columns, &drives, 1).unwrap();
        assert_eq!(outcome.settled, settled);
        // A centre of 0.5 less a surround of 0.25: what activities are in units of.
        for (got, want) in outcome.activities.iter().zip(want) {
            assert!((got - want.max(0.0) / 1.25).abs() < 1e-5, "{got}, {want}");
        }
    }
}

#[test]
fn every_instruction_set_has_the_same_bits() {
    let mut rng = Rng::new(3);
    for round in 0..60 {
        let (grid, columns) = field(&mut rng);
        let drives: Vec<f32> = (0..columns.len())
            .map(|_| {
                if round % 2 == 0 {
                    rng.unit()
                } else {
                    0.5 + 2e-3 * rng.unit()
                }
            })
            .collect();
        let answers: Vec<_> = Isa::available()
            .map(|isa| {
                let mut competition = Competition::new(InhibitionParams::default(), isa).unwrap();
                let outcome = competition.run(&grid, &columns, &drives, 9).unwrap();
                let bits: Vec<u32> = outcome.activities.iter().map(|one| one.to_bits()).collect();
                (
                    bits,
                    outcome.winners.to_vec(),
                    outcome.settled,
                    outcome.inhibited,
                )
            })
            .collect();
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "round {round}"
        );
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let mut rng = Rng::new(4);
    let fields: Vec<_> = (0..48)
        .map(|_| {
            let (grid, columns) = field(&mut rng);
            let drives: Vec<f32> = (0..columns.len()).map(|_| rng.unit()).collect();
            (grid, columns, drives)
        })
        .collect();
    let run = |threads: usize| -> Vec<(Vec<u32>, Vec<ColumnId>)> {
        let share = fields.len().div_ceil(threads);
        thread::scope(|scope| {
            let workers: Vec<_> = fields
                .chunks(share)
                .map(|fields| {
                    scope.spawn(|| {
                        let mut competition = competition(InhibitionParams::default());
                        let mut run = |(grid, columns, drives): &(Grid, Vec<_>, Vec<_>)| {
                            let outcome = competition.run(grid, columns, drives, 5).unwrap();
                            let bits = outcome.activities.iter().map(|one| one.to_bits());
                            let winners = outcome.winners.iter().map(|winner| winner.column);
                            (bits.collect(), winners.collect())
                        };
                        fields.iter().map(&mut run).collect::<Vec<_>>()
                    })
                })
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap())
                .collect()
        })
    };
    let alone = run(1);
    for threads in [2, 3, 8, 48] {
        assert_eq!(run(threads), alone, "{threads} threads");
    }
}

#[test]
fn activity_is_bounded_and_settles() {
    let mut rng = Rng::new(5);
    let params = InhibitionParams::default();
    let mut competition = competition(params);
    let (mut settled, rounds) = (0, 1_000);
    for round in 0..rounds {
        let (grid, columns) = field(&mut rng);
        // A third of them all within the ramp, where nothing says that it settles.
        let drives: Vec<f32> = (0..columns.len())
            .map(|_| {
                if round % 3 == 0 {
                    0.5 + 1e-3 * rng.unit()
                } else {
                    rng.unit()
                }
            })
            .collect();
        let outcome = competition.run(&grid, &columns, &drives, 3).unwrap();
        assert!(
            outcome
                .activities
                .iter()
                .all(|one| (0.0..=1.0).contains(one))
        );
        assert!(outcome.inhibited <= columns.len());
        if let Settled::After(steps) = outcome.settled {
            assert!(steps <= params.steps_max);
            settled += 1;
        }
    }
    assert!(settled > rounds * 9 / 10, "{settled} of {rounds}");
    println!("settled: {settled} of {rounds}");
}

#[test]
fn what_does_not_settle_is_normalised() {
    let grid = Grid::new(6, 6, 6).unwrap();
    let columns: Vec<_> = grid.columns().collect();
    let mut rng = Rng::new(6);
    let drives: Vec<f32> = columns.iter().map(|_| rng.unit()).collect();
    let params = InhibitionParams {
        steps_max: 2,
        ..InhibitionParams::default()
    };
    let mut competition = competition(params);
    let outcome = competition.run(&grid, &columns, &drives, 216).unwrap();
    assert_eq!(outcome.settled, Settled::Normalised);
    let mean: f32 = drives.iter().map(|drive| drive * drive).sum::<f32>() / 216.0;
    for (activity, drive) in outcome.activities.iter().zip(&drives) {
        assert!((activity - (drive * drive / (0.25 + mean)).min(1.0)).abs() < 1e-5);
    }
    assert!(
        outcome
            .winners
            .windows(2)
            .all(|pair| drives[pair[0].at] >= drives[pair[1].at])
    );
}

#[test]
fn a_winner_holds_its_surround_down() {
    let grid = Grid::new(9, 9, 9).unwrap();
    let columns: Vec<_> = grid.columns().collect();
    let middle = grid.column(4, 4, 4).unwrap();
    let mut drives = vec![0.5; columns.len()];
    drives[middle.get() as usize] = 0.6;
    let mut competition = competition(InhibitionParams::default());
    let outcome = competition.run(&grid, &columns, &drives, 1).unwrap();
    let of = |x, y, z| outcome.activities[grid.column(x, y, z).unwrap().get() as usize] * 1.25;
    assert!(matches!(outcome.settled, Settled::After(_)));
    assert!(
        (of(4, 4, 4) - 0.85).abs() < 1e-3,
        "its drive and its excitation"
    );
    assert!(of(5, 4, 4) < 0.4 && of(5, 5, 4) < 0.4);
    assert!(outcome.inhibited > 100);
}

#[test]
fn what_cannot_compete_is_refused() {
    let grid = Grid::new(3, 3, 3).unwrap();
    let mut competition = competition(InhibitionParams::default());
    let id = ColumnId::new;
    let mut run =
        |columns: &[ColumnId], drives: &[f32], k| competition.run(&grid, columns, drives, k).err();
    assert!(matches!(
        run(&[id(27)], &[0.5], 1),
        Some(CompeteError::Grid(_))
    ));
    assert_eq!(
        run(&[id(1)], &[], 1),
        Some(CompeteError::Drives {
            columns: 1,
            drives: 0
        })
    );
    for got in [-0.1, 1.1, f32::INFINITY] {
        assert_eq!(
            run(&[id(0), id(1)], &[0.5, got], 1),
            Some(CompeteError::Drive { at: 1, got })
        );
    }
    assert!(matches!(
        run(&[id(0)], &[f32::NAN], 1),
        Some(CompeteError::Drive { at: 0, .. })
    ));
    assert_eq!(
        run(&[id(4), id(4)], &[0.5, 0.5], 1),
        Some(CompeteError::Twice { column: id(4) })
    );
    assert_eq!(run(&[id(4)], &[0.5], 0), Some(CompeteError::NoWinners));
    assert_eq!(run(&[id(4)], &[0.5], 1), None);
    let outcome = competition.run(&grid, &[], &[], 1).unwrap();
    assert!(outcome.winners.is_empty() && outcome.activities.is_empty());
    assert!(
        competition
            .run(&grid, &[id(4)], &[0.0], 1)
            .unwrap()
            .winners
            .is_empty(),
        "silence"
    );
    // Corners of a grid too large to compete in as a whole.
    let wide = Grid::new(1_000, 1_000, 1_000).unwrap();
    let corners = [id(0), id(999_999_999)];
    let refused = competition.run(&wide, &corners, &[0.5, 0.5], 1).err();
    assert!(
        matches!(refused, Some(CompeteError::TooWide { .. })),
        "{refused:?}"
    );
}

#[test]
fn parameters_are_checked() {
    let good = InhibitionParams::default();
    let refused = |params| Competition::new(params, Isa::Scalar).err();
    for params in [
        InhibitionParams {
            surround: f32::NAN,
            ..good
        },
        InhibitionParams {
            centre: 2.0,
            ..good
        },
        InhibitionParams {
            sigma_surround: 0.0,
            ..good
        },
        InhibitionParams {
            sigma_surround: 5.0,
            ..good
        },
        InhibitionParams {
            sigma_centre: -1.0,
            ..good
        },
        InhibitionParams { step: 0.0, ..good },
        InhibitionParams { step: 1.5, ..good },
        InhibitionParams {
            contrast: 0.0,
            ..good
        },
        InhibitionParams {
            tolerance: f32::INFINITY,
            ..good
        },
        InhibitionParams {
            steps_max: 0,
            ..good
        },
    ] {
        assert!(
            matches!(refused(params), Some(InhibitionError::Value { .. })),
            "{params:?}"
        );
    }
    let wide_centre = InhibitionParams {
        sigma_centre: 1.4,
        ..good
    };
    assert!(matches!(
        refused(wide_centre),
        Some(InhibitionError::ExcitesOthers { .. })
    ));
    let weak_centre = InhibitionParams {
        centre: 0.1,
        ..good
    };
    assert!(matches!(
        refused(weak_centre),
        Some(InhibitionError::NoCentre { .. })
    ));
}

/// By a stable sort.
fn sorted(field: &[Contender], k: usize) -> Vec<u32> {
    let mut places: Vec<u32> = (0..field.len() as u32)
        .filter(|&at| field[at as usize].activity > 0.0)
        .collect();
    let spike = |one: Contender| {
        if one.spike_ms.is_nan() {
            f32::INFINITY
        } else {
            one.spike_ms
        }
    };
    places.sort_by(|&a, &b| {
        let (a, b) = (field[a as usize], field[b as usize]);
        let by_activity = b.activity.total_cmp(&a.activity);
        let by_spike = spike(a).total_cmp(&spike(b));
        by_activity.then(by_spike).then(a.id.cmp(&b.id))
    });
    places.truncate(k);
    places
}

#[test]
fn winners_are_those_of_a_sort() {
    let mut rng = Rng::new(7);
    let mut winners = Winners::default();
    for round in 0..3_000 {
        let count = rng.below(60);
        let few = |rng: &mut Rng, values: &[f32]| values[rng.below(values.len())];
        let field: Vec<Contender> = (0..count)
            .map(|_| Contender {
                activity: match round % 2 {
                    0 => few(&mut rng, &[0.0, 0.1, 0.5, 0.5, 0.9, -0.3, f32::NAN, 1.0]),
                    _ => rng.unit(),
                },
                spike_ms: few(&mut rng, &[1.0, 2.0, 2.0, f32::INFINITY, f32::NAN]),
                id: rng.below(20) as u32,
            })
            .collect();
        for k in [0, 1, 2, 3, 8, 9, 20, 59, 60, 1_000] {
            assert_eq!(
                winners.select(&field, k),
                sorted(&field, k),
                "{field:?} k={k}"
            );
        }
    }
}

#[test]
fn draws_have_the_chances_of_softmax() {
    let activities = [0.2_f32, 0.5, 0.9, 0.0, 1.0];
    let field: Vec<_> = activities
        .iter()
        .zip(0..)
        .map(|(&activity, id)| Contender {
            activity,
            spike_ms: f32::INFINITY,
            id,
        })
        .collect();
    let mut winners = Winners::with_capacity(8);
    let temperature = 0.5;
    let draws = 40_000_u64;
    let mut counts = [0_u64; 5];
    for draw in 0..draws {
        let drawn = winners
            .sample(&field, 1, temperature, Seed(draw).derive("draw"))
            .to_vec();
        assert_eq!(
            drawn,
            winners.sample(&field, 1, temperature, Seed(draw).derive("draw"))
        );
        counts[drawn[0] as usize] += 1;
    }
    let weight = |activity: f32| f64::from(activity / temperature).exp();
    let total: f64 = activities
        .iter()
        .filter(|&&a| a > 0.0)
        .map(|&a| weight(a))
        .sum();
    for (&activity, &count) in activities.iter().zip(&counts) {
        let want = if activity > 0.0 {
            weight(activity) / total
        } else {
            0.0
        };
        let got = count as f64 / draws as f64;
        // Five deviations of the most uncertain one.
        assert!(
            (got - want).abs() < 5.0 * (0.25 / draws as f64).sqrt(),
            "{activity}: {got}, {want}"
        );
    }
    assert_eq!(counts[3], 0, "silence is never drawn");
    // Without replacement: all of them, each once.
    let mut all = winners.sample(&field, 9, temperature, Seed(1)).to_vec();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 4]);
    for cold in [0.0, -1.0, f32::NAN, 1e-9, 1e-42] {
        assert_eq!(winners.sample(&field, 2, cold, Seed(1)), [4, 2]);
    }
}
