//! Placement, scores, learning and decisions that are made again.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_cortex::{
    Allocate, AllocateError, Code, CodeError, ColumnId, ConceptId, ConceptRequest, Cortex,
    CortexOptions, Decision, Grid, GridError, Hint, LearnError, Logged, Observed, OccupyError,
    Placement, PlacementError, Replayer, ScoreError, ScoreWeights, Scorer, normalised,
};
use cortica_env::Seed;
use cortica_simd::{Isa, f32_from_f16};
use cortica_testkit::{Rng, bundle, cosine};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

fn code(rng: &mut Rng) -> Code {
    let values = rng.vector(64);
    std::array::from_fn(|at| values[at])
}

/// The bundled rows by a random projection.
fn real_codes() -> Vec<Code> {
    let data = bundle();
    let mut rng = Rng::new(64);
    let rows: Vec<_> = (0..64).map(|_| rng.vector(data.dimension)).collect();
    let project = |row: usize| -> Code {
        std::array::from_fn(|at| cortica_simd::dot(Isa::best(), &rows[at], data.row(row)))
    };
    (0..data.len()).map(project).collect()
}

fn cortex(side: u32) -> Arc<Cortex> {
    let grid = Grid::new(side, side, side).unwrap();
    Arc::new(Cortex::new(grid, CortexOptions::default()).unwrap())
}

#[test]
fn placement_fills_the_grid_evenly_and_keeps_likes_together() {
    let codes = real_codes();
    let grid = Grid::new(8, 8, 8).unwrap();
    let placement = Placement::fitted(grid, Seed(1), &codes);
    let mut slices = [[0_usize; 8]; 3];
    let mut places = Vec::new();
    for code in &codes {
        let column = placement.place(Hint::Auto, code).unwrap();
        assert_eq!(
            column,
            placement.place(Hint::Auto, &code.map(|v| v * 4.0)).unwrap()
        );
        let place = grid.place(column).unwrap();
        (0..3).for_each(|axis| slices[axis][place[axis] as usize] += 1);
        places.push(place);
    }
    // Ranks among the very codes: an eighth in every slice, but for ties.
    for counts in slices {
        assert!(
            counts.iter().all(|&count| (500..=524).contains(&count)),
            "{counts:?}"
        );
    }
    // Another seed is another map; the same one the same.
    let again = Placement::fitted(grid, Seed(1), &codes);
    let other = Placement::fitted(grid, Seed(2), &codes);
    let all = |placement: &Placement| -> Vec<ColumnId> {
        codes
            .iter()
            .map(|code| placement.place(Hint::Auto, code).unwrap())
            .collect()
    };
    assert_eq!(all(&placement), all(&again));
    assert_ne!(all(&placement), all(&other));
    // Pairs with near codes lie nearer to each other than pairs by chance.
    let data = bundle();
    let apart = |a: usize, b: usize| -> f64 {
        let squares =
            (0..3).map(|axis| f64::from(places[a][axis].abs_diff(places[b][axis])).powi(2));
        squares.sum::<f64>().sqrt()
    };
    let (mut near, mut chance, mut pairs) = (0.0, 0.0, 0.0);
    for row in (0..data.len()).step_by(41) {
        let nearest = (0..data.len())
            .filter(|&other| other != row)
            .max_by(|&a, &b| {
                let of = |other| cosine(data.row(row), data.row(other));
                of(a).total_cmp(&of(b))
            })
            .unwrap();
        near += apart(row, nearest);
        chance += apart(row, (row * 7 + 13) % data.len());
        pairs += 1.0;
    }
    println!(
        "mean distance: nearest {}, by chance {}",
        near / pairs,
        chance / pairs
    );
    assert!(near < 0.8 * chance, "{near} {chance}");
}

#[test]
fn ranks_that_are_given_lead_evenly() {
    let grid = Grid::new(4, 4, 4).unwrap();
    let axes: [Code; 3] =
        std::array::from_fn(|axis| std::array::from_fn(|at| f32::from(u8::from(at == axis))));
    let quantiles = [-1.0, 0.0, 1.0].to_vec();
    let all = std::array::from_fn(|_| quantiles.clone());
    let placement = Placement::ranked(grid, axes, all).unwrap();
    for (value, x) in [
        (-1.0, 0),
        (-0.6, 0),
        (-0.4, 1),
        (0.1, 2),
        (0.6, 3),
        (1.0, 3),
    ] {
        let mut code = [0.0; 64];
        (code[0], code[9]) = (value, (1.0_f32 - value * value).sqrt());
        let column = placement.place(Hint::Auto, &code).unwrap();
        assert_eq!(grid.place(column).unwrap(), [x, 2, 2], "{value}");
    }
    for bad in [
        vec![],
        vec![0.0],
        vec![0.5, 0.0],
        vec![0.0, f32::NAN],
        vec![0.0, f32::INFINITY],
    ] {
        let refused = Placement::ranked(grid, axes, [quantiles.clone(), bad, quantiles.clone()]);
        assert_eq!(refused.unwrap_err(), PlacementError::Ranks(1));
    }
    let mut bad = axes;
    bad[2][63] = f32::NAN;
    let refused = Placement::ranked(grid, bad, std::array::from_fn(|_| quantiles.clone()));
    assert_eq!(refused.unwrap_err(), PlacementError::Ranks(2));
}

#[test]
fn placement_without_a_sample_spreads_directions() {
    let grid = Grid::new(4, 4, 4).unwrap();
    let placement = Placement::new(grid, Seed(9));
    let mut rng = Rng::new(2);
    let mut counts = vec![0; grid.len()];
    for _ in 0..6_400 {
        counts[placement.place(Hint::Auto, &code(&mut rng)).unwrap().get() as usize] += 1;
    }
    assert!(
        counts.iter().all(|&count| (50..=160).contains(&count)),
        "{counts:?}"
    );
    let none: [Code; 0] = [];
    assert!(
        Placement::fitted(grid, Seed(9), &none)
            .place(Hint::Auto, &[1.0; 64])
            .is_ok()
    );
    let bad = placement.place(Hint::Auto, &[0.0; 64]);
    assert!(matches!(bad, Err(PlacementError::Code(_))));
    let bad = placement.place(Hint::Near([f32::NAN, 0.0, 0.0]), &[1.0; 64]);
    assert!(matches!(
        bad,
        Err(PlacementError::Grid(GridError::Hint { .. }))
    ));
    let wrong = [f32::INFINITY; 64];
    assert!(matches!(
        placement.place(Hint::Auto, &wrong),
        Err(PlacementError::Code(_))
    ));
}

#[test]
fn scores_are_those_of_their_definition() {
    let cortex = cortex(6);
    let grid = *cortex.grid();
    let mut rng = Rng::new(3);
    let mut held: Vec<(ColumnId, Code)> = Vec::new();
    for at in 0..40 {
        let column = ColumnId::new(rng.below(216) as u32);
        let code = code(&mut rng);
        if cortex.occupy(column, ConceptId::new(at), &code).is_ok() {
            cortex.learn(column, &code, 0.3, 2.0).unwrap();
            held.push((column, code));
        }
    }
    let columns: Vec<_> = grid.columns().collect();
    let mut scorer = Scorer::new(ScoreWeights::default(), 2.0).unwrap();
    for round in 0..3 {
        let (query, predicted) = (code(&mut rng), code(&mut rng));
        let predicted = (round > 0).then_some(&predicted);
        let scores = scorer
            .score(&cortex, &columns, &query, predicted)
            .unwrap()
            .to_vec();
        let mut different = 0;
        for (&column, score) in columns.iter().zip(&scores) {
            let (mut sum, mut count) = (0.0, 0.0);
            for (other, code) in &held {
                let distance = grid.squared_distance(column, *other).unwrap() as f64;
                if distance <= 4.0 {
                    let share = (-distance / 2.0).exp();
                    sum += share * (1.0 + cosine(&query, code)) / 2.0;
                    count += share;
                }
            }
            let similarity = if count > 0.0 { sum / count } else { 0.0 };
            let prototype = cortex.prototype(column).unwrap().map(f32_from_f16);
            let semantic = f64::midpoint(1.0, cosine(&query, &prototype));
            let temporal = predicted.map_or(0.5, |of| f64::midpoint(1.0, cosine(of, &prototype)));
            // The exemplar is kept in i8.
            assert!(
                (f64::from(score.similarity) - similarity).abs() < 0.01,
                "{column}"
            );
            assert!(
                (f64::from(score.semantic) - semantic).abs() < 1e-6,
                "{column}"
            );
            assert!(
                (f64::from(score.temporal) - temporal).abs() < 1e-6,
                "{column}"
            );
            let total = 0.5 * score.similarity + 0.3 * score.semantic + 0.2 * score.temporal;
            assert!((score.total - total).abs() < 1e-6);
            different += usize::from(score.total != scores[0].total);
        }
        assert!(different > 150, "{different}");
    }
    let weights = |similarity, semantic, temporal| ScoreWeights {
        similarity,
        semantic,
        temporal,
    };
    for bad in [
        weights(f32::NAN, 1.0, 1.0),
        weights(-1.0, 3.0, 1.0),
        weights(0.0, 0.0, 0.0),
    ] {
        assert!(matches!(Scorer::new(bad, 2.0), Err(ScoreError::Weights(_))));
    }
    for radius in [0.0, -1.0, f32::NAN, 65.0] {
        assert!(Scorer::new(ScoreWeights::default(), radius).is_err());
    }
    assert!(
        scorer
            .score(&cortex, &[ColumnId::new(216)], &[1.0; 64], None)
            .is_err()
    );
    assert!(scorer.score(&cortex, &columns, &[0.0; 64], None).is_err());
}

#[test]
fn the_winner_and_its_neighbours_move_towards_the_concept() {
    let cortex = cortex(7);
    let grid = *cortex.grid();
    let winner = grid.column(3, 3, 3).unwrap();
    let code = code(&mut Rng::new(4));
    assert_eq!(cortex.learn(winner, &code, 0.5, 2.0), Ok(33));
    let code = normalised(&code).unwrap();
    for column in grid.columns() {
        let distance = grid.squared_distance(winner, column).unwrap() as f32;
        // From nothing: as far as the share of the way.
        let share = if distance <= 4.0 {
            0.5 * (-distance / 2.0).exp()
        } else {
            0.0
        };
        let prototype = cortex.prototype(column).unwrap().map(f32_from_f16);
        for (got, want) in prototype.iter().zip(&code) {
            assert!((got - share * want).abs() <= share * want.abs() * 2e-3 + 1e-7);
        }
    }
    assert_eq!(cortex.learn(winner, &code, 0.5, 0.0), Ok(1));
    assert_eq!(cortex.stats().learned, 34);
    assert!(cortex.learn(winner, &code, 0.5, f32::NAN).is_err());
    assert!(cortex.learn(winner, &code, 0.5, -1.0).is_err());
    assert_eq!(cortex.stats().learned, 34);
}

#[test]
fn prototypes_are_whole_while_others_learn() {
    let cortex = cortex(2);
    let column = ColumnId::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                threads.spawn(|| {
                    let mut read = 0_u64;
                    let mut last = false;
                    while !last {
                        last = done.load(Relaxed);
                        let prototype = cortex.prototype(column).unwrap();
                        assert!(prototype.iter().all(|&value| value == prototype[0]));
                        read += 1;
                    }
                    read
                })
            })
            .collect();
        for version in 0..200_000_u32 {
            let finite = (version % 0x7c00) as u16;
            cortex.set_prototype(column, &[finite; 64]).unwrap();
        }
        done.store(true, Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    assert_eq!(cortex.version(column), Ok(200_000));
    // Infinite, and no number: refused, nothing changes.
    for bad in [0x7c00, 0xfc00, 0x7e00] {
        let mut prototype = [0; 64];
        prototype[9] = bad;
        let refused = cortex.set_prototype(column, &prototype);
        assert!(
            matches!(
                refused,
                Err(LearnError::Code(CodeError::NotFinite { at: 9, .. }))
            ),
            "{refused:?}"
        );
    }
    assert_eq!(cortex.version(column), Ok(200_000));
}

#[test]
fn replayed_decisions_leave_the_same_bits() {
    let codes = real_codes();
    let decisions: Vec<Decision> = (0..300_u32)
        .map(|at| Decision {
            concept: ConceptId::new(at),
            column: ColumnId::new(at * 3 % 1_000),
            rate: 0.1,
            radius: if at % 5 == 0 { 0.0 } else { 2.0 },
            code: codes[at as usize],
            stream: None,
        })
        .collect();
    let replay = |decisions: &[Decision]| {
        let cortex = cortex(10);
        let replayer = Replayer::new(cortex.clone());
        for decision in decisions {
            replay(&replayer, decision).unwrap();
        }
        cortex
    };
    let (a, b) = (replay(&decisions), replay(&decisions));
    for column in a.grid().columns() {
        assert_eq!(a.prototype(column), b.prototype(column));
        assert_eq!(a.exemplar(column), b.exemplar(column));
        assert_eq!(a.held(column), b.held(column));
    }
    assert_eq!(a.stats().held, 300);
    let mut other = decisions.clone();
    other.reverse();
    let c = replay(&other);
    let same = a
        .grid()
        .columns()
        .all(|column| a.prototype(column) == c.prototype(column));
    assert!(!same, "order counts");
}

#[test]
fn a_replayer_replays_and_does_no_more() {
    let cortex = cortex(3);
    let replayer = Replayer::new(cortex.clone());
    let decision = Decision {
        concept: ConceptId::new(1),
        column: ColumnId::new(5),
        rate: 0.1,
        radius: 1.0,
        code: [1.0; 64],
        stream: Some(3),
    };
    let request = ConceptRequest::new("tea", &[1.0, 2.0]);
    let answers = replayer.begin().reserve_many(&[request, request]);
    let refused = Err(AllocateError::NoWeights { dimension: 2 });
    assert_eq!(answers, [refused.clone(), refused]);
    let unchanged = || {
        assert_eq!(cortex.stats().held, 0);
        assert_eq!(cortex.prototype(ColumnId::new(5)).unwrap(), [0; 64]);
        assert!(replayer.windows().is_empty());
    };
    for bad in [
        Decision {
            radius: f32::NAN,
            ..decision
        },
        Decision {
            code: [0.0; 64],
            ..decision
        },
        Decision {
            column: ColumnId::new(27),
            ..decision
        },
    ] {
        assert!(replay(&replayer, &bad).is_err());
        unchanged();
    }
    let observed = Observed {
        stream: 3,
        code: [f32::NAN; 64],
    };
    assert!(replayer.replay(&Logged::Observed(&observed)).is_err());
    unchanged();
    replay(&replayer, &decision).unwrap();
    let taken = Err(AllocateError::Occupy(OccupyError::Taken(ColumnId::new(5))));
    let other = Decision {
        concept: ConceptId::new(2),
        ..decision
    };
    assert_eq!(replay(&replayer, &other), taken);
    let observed = Observed {
        stream: 3,
        code: [2.0; 64],
    };
    replayer.replay(&Logged::Observed(&observed)).unwrap();
    assert_eq!(replayer.windows().codes(3), [[1.0; 64], [2.0; 64]]);
    assert_eq!(
        replayer.release(decision.column, ConceptId::new(2)),
        Ok(false)
    );
    // A round that is dropped leaves everything as it was, also the exemplar.
    let exemplar = cortex.exemplar(decision.column).unwrap();
    let mut round = replayer.begin();
    assert_eq!(round.release(decision.column, decision.concept), Ok(true));
    assert_eq!(cortex.held(decision.column), Ok(None));
    drop(round);
    assert_eq!(cortex.held(decision.column), Ok(Some(decision.concept)));
    assert_eq!(cortex.exemplar(decision.column), Ok(exemplar));
    assert_eq!(cortex.stats().held, 1);
    assert_eq!(
        replayer.release(decision.column, decision.concept),
        Ok(true)
    );
    assert_eq!(cortex.held(decision.column), Ok(None));
}

fn replay(replayer: &Replayer, decision: &Decision) -> Result<(), AllocateError> {
    replayer.replay(&Logged::Allocated {
        decision,
        concept_id: "tea",
        features: &[1.0, 2.0],
    })
}
