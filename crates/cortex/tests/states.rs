//! What columns may do, who may claim them, and that guards give them back.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_cortex::{
    ChangeError, ColumnId, CommitError, ConceptId, Cortex, CortexOptions, Grid, GridError, State,
    StateWord,
};
use cortica_env::{ManualClock, Timestamp};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;

const CODE: [f32; 64] = [0.5; 64];

fn cortex(sides: [u32; 3]) -> (Cortex, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
    let options = CortexOptions {
        clock: clock.clone(),
        ..CortexOptions::default()
    };
    let [x, y, z] = sides;
    (
        Cortex::new(Grid::new(x, y, z).unwrap(), options).unwrap(),
        clock,
    )
}

/// A word in a state, by a legal way there.
fn word_in(state: State) -> StateWord {
    use State::{Activated, Allocated, Available, Competing, Refractory};
    let word = StateWord::new();
    let way: &[State] = match state {
        Available => &[],
        Activated => &[Activated],
        Competing => &[Activated, Competing],
        Allocated => &[Activated, Competing, Allocated],
        Refractory => &[Activated, Competing, Allocated, Refractory],
    };
    for &to in way {
        word.change(word.load(), to, 0.25).unwrap();
    }
    assert_eq!(word.load().state(), state);
    word
}

#[test]
fn the_table_of_states() {
    use State::{Activated, Allocated, Available, Competing, Refractory};
    let legal = [
        (Available, Activated),
        (Activated, Competing),
        (Activated, Available),
        (Competing, Allocated),
        (Competing, Available),
        (Allocated, Refractory),
        (Refractory, Available),
        (Allocated, Available),
    ];
    for from in State::ALL {
        for to in State::ALL {
            let word = word_in(from);
            let before = word.load();
            let changed = word.change(before, to, 0.75);
            if legal.contains(&(from, to)) {
                let after = changed.unwrap();
                assert_eq!(after, word.load());
                assert_eq!((after.state(), after.epoch()), (to, before.epoch() + 1));
                assert!((after.level() - 0.75).abs() < 1e-7);
            } else {
                assert_eq!(changed, Err(ChangeError::Illegal { from, to }));
                assert_eq!(word.load(), before, "{from} to {to}");
            }
            assert_eq!(from.may_become(to), legal.contains(&(from, to)));
        }
    }
}

#[test]
fn an_old_look_changes_nothing() {
    let word = StateWord::new();
    let old = word.load();
    word.change(old, State::Activated, 0.5).unwrap();
    let now = word.change(word.load(), State::Available, 0.0).unwrap();
    // Available again, but not the same stay.
    assert_eq!(
        word.change(old, State::Activated, 0.9),
        Err(ChangeError::Changed(now))
    );
    assert_eq!(word.load(), now);
}

#[test]
fn levels_keep_what_f32_says() {
    for level in [0.0, 1.0, 0.5, 1e-7, 0.333_333_3, 0.999_999_9] {
        let word = StateWord::new();
        let got = word
            .change(word.load(), State::Activated, level)
            .unwrap()
            .level();
        assert!((got - level).abs() <= 6e-8, "{level}: {got}");
    }
    for (given, want) in [
        (f32::NAN, 0.0),
        (-1.0, 0.0),
        (7.0, 1.0),
        (f32::INFINITY, 1.0),
    ] {
        let word = StateWord::new();
        assert_eq!(
            word.change(word.load(), State::Activated, given)
                .unwrap()
                .level(),
            want
        );
    }
}

#[test]
fn ten_threads_at_one_column_and_one_has_it() {
    let (cortex, _) = cortex([2, 1, 1]);
    let only = [ColumnId::new(1)];
    let rounds = 500;
    let claimed = AtomicU64::new(0);
    let barrier = Barrier::new(10);
    thread::scope(|threads| {
        for _ in 0..10 {
            threads.spawn(|| {
                let mut buffer = Vec::new();
                for _ in 0..rounds {
                    barrier.wait();
                    let claims = cortex.activate(&only, &[1.0], &mut buffer);
                    claimed.fetch_add(claims.len() as u64, Relaxed);
                    barrier.wait(); // Held until all have tried.
                    drop(claims);
                    barrier.wait();
                }
            });
        }
    });
    assert_eq!(claimed.load(Relaxed), rounds);
    let stats = cortex.stats();
    assert_eq!((stats.activated, stats.returned), (rounds, rounds));
    assert_eq!(cortex.census(), [2, 0, 0, 0, 0]);
}

#[test]
fn a_reader_never_sees_a_new_state_with_an_old_level() {
    let word = StateWord::new();
    let done = AtomicBool::new(false);
    // Each state has a level of its own.
    let level = |state: State| f32::from(state as u8 + 1) / 8.0;
    let ring = [
        State::Activated,
        State::Competing,
        State::Allocated,
        State::Refractory,
        State::Available,
    ];
    word.change(word.load(), State::Activated, level(State::Activated))
        .unwrap();
    thread::scope(|threads| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                threads.spawn(|| {
                    let mut seen = [0_u64; 5];
                    let mut last = false;
                    while !last {
                        last = done.load(Relaxed);
                        let now = word.load();
                        assert!((now.level() - level(now.state())).abs() < 1e-6, "{now:?}");
                        seen[now.state() as usize] += 1;
                    }
                    seen
                })
            })
            .collect();
        for &to in ring[1..].iter().chain(ring.iter().cycle().take(1_000_000)) {
            word.change(word.load(), to, level(to)).unwrap();
        }
        done.store(true, Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap().iter().sum::<u64>() > 0);
        }
    });
}

/// What a guard is dropped by.
#[track_caller]
fn all_come_back(leave: impl FnOnce(&Cortex, &[ColumnId])) {
    let (cortex, _) = cortex([4, 4, 4]);
    let all: Vec<_> = cortex.grid().columns().collect();
    leave(&cortex, &all);
    assert_eq!(cortex.census(), [64, 0, 0, 0, 0]);
    assert_eq!(cortex.stats().held, 0);
}

#[test]
fn guards_give_back_on_every_way_out() {
    let buffer = &mut Vec::new();
    all_come_back(|cortex, all| {
        let claims = cortex.activate(all, &[], buffer);
        assert_eq!(claims.len(), 64);
        assert_eq!(cortex.census(), [0, 64, 0, 0, 0]);
    });
    all_come_back(|cortex, all| {
        let mut claims = cortex.activate(all, &[], buffer);
        claims.compete(&[0.5; 64]).unwrap();
        assert_eq!(cortex.census(), [0, 0, 64, 0, 0]);
    });
    all_come_back(|cortex, all| {
        let mut claims = cortex.activate(all, &[], buffer);
        claims.compete(&[0.5; 64]).unwrap();
        let reservation = claims.win(9, 1.0).unwrap();
        assert_eq!(reservation.column(), Some(ColumnId::new(9)));
        assert_eq!(cortex.census(), [63, 0, 0, 1, 0]);
    });
    // Won without having competed, or a claim that is not there: nothing is kept.
    all_come_back(|cortex, all| assert!(cortex.activate(all, &[], buffer).win(9, 1.0).is_none()));
    all_come_back(|cortex, all| {
        let mut claims = cortex.activate(all, &[], buffer);
        claims.compete(&[]).unwrap();
        assert!(claims.win(64, 1.0).is_none());
    });
    // A commit that is refused.
    all_come_back(|cortex, all| {
        let mut claims = cortex.activate(all, &[], buffer);
        claims.compete(&[]).unwrap();
        let refused = claims
            .win(0, 1.0)
            .unwrap()
            .commit(ConceptId::new(1), &[0.0; 64]);
        assert!(matches!(refused, Err(CommitError::Code(_))), "{refused:?}");
    });
    // Panics, with each kind of guard in hand.
    for stage in 0..3 {
        all_come_back(|cortex, all| {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                let mut buffer = Vec::new();
                let mut claims = cortex.activate(all, &[], &mut buffer);
                assert!(stage > 0, "on purpose");
                claims.compete(&[]).unwrap();
                assert!(stage > 1, "on purpose");
                let _kept = claims.win(5, 1.0);
                panic!("on purpose");
            }));
            assert!(panicked.is_err());
        });
    }
}

#[test]
fn a_concept_is_held_until_it_is_released() {
    let (cortex, clock) = cortex([3, 1, 1]);
    let all: Vec<_> = cortex.grid().columns().collect();
    let mut buffer = Vec::new();
    let mut claims = cortex.activate(&all, &[0.1, 0.2, 0.3], &mut buffer);
    claims.compete(&[0.1, 0.9, 0.3]).unwrap();
    let column = claims
        .win(1, 0.9)
        .unwrap()
        .commit(ConceptId::new(0), &CODE)
        .unwrap();
    assert_eq!(cortex.held(column), Ok(Some(ConceptId::new(0))));
    clock.advance_micros(60_000_000);
    assert_eq!(cortex.recover(), 1);
    assert_eq!(cortex.census(), [3, 0, 0, 0, 0]);
    // It is available, and not free: no candidate.
    assert_eq!(cortex.activate(&all, &[], &mut buffer).len(), 2);
    assert_eq!(
        cortex.release(column, ConceptId::new(5)),
        Ok(false),
        "another concept"
    );
    assert_eq!(cortex.release(column, ConceptId::new(0)), Ok(true));
    assert_eq!(cortex.release(column, ConceptId::new(0)), Ok(false));
    assert_eq!(cortex.exemplar(column).unwrap(), [0; 64]);
    assert_eq!(cortex.activate(&all, &[], &mut buffer).len(), 3);
    let stats = cortex.stats();
    assert_eq!(
        (stats.held, stats.fired, stats.released, stats.recovered),
        (0, 1, 1, 1)
    );
    cortex.reset_stats();
    assert_eq!((cortex.stats().fired, cortex.stats().columns), (0, 3));
}

#[test]
fn what_is_no_column_is_refused_and_changes_nothing() {
    let (cortex, _) = cortex([3, 1, 1]);
    let outside = ColumnId::new(3);
    let refused = GridError::NoColumn {
        column: outside,
        columns: 3,
    };
    assert_eq!(cortex.state(outside), Err(refused));
    assert_eq!(cortex.held(outside), Err(refused));
    assert_eq!(cortex.release(outside, ConceptId::new(0)), Err(refused));
    assert!(cortex.learn(outside, &CODE, 0.1, 1.0).is_err());
    let twice = [outside, ColumnId::new(2), ColumnId::new(2)];
    let mut buffer = Vec::new();
    let claims = cortex.activate(&twice, &[], &mut buffer);
    assert_eq!(claims.columns().collect::<Vec<_>>(), [ColumnId::new(2)]);
    drop(claims);
    assert_eq!(cortex.stats().activated, 1);
}

#[test]
fn ten_threads_allocate_all_columns_once() {
    let (cortex, _) = cortex([10, 10, 10]);
    let all: Vec<_> = cortex.grid().columns().collect();
    let next = AtomicU64::new(0);
    thread::scope(|threads| {
        for at in 0..10 {
            let (cortex, all, next) = (&cortex, &all, &next);
            threads.spawn(move || {
                let mut buffer = Vec::new();
                // Each begins elsewhere, takes blocks of ten, keeps the first and gives back nine.
                for start in (0..1_000).map(|step| (step + at * 100) % 1_000) {
                    let block = &all[start..(start + 10).min(1_000)];
                    let mut claims = cortex.activate(block, &[], &mut buffer);
                    claims.compete(&[]).unwrap();
                    let Some(reservation) = claims.win(0, 1.0) else {
                        continue;
                    };
                    if start % 3 == 0 {
                        continue; // Changes its mind.
                    }
                    let concept = ConceptId::new(next.fetch_add(1, Relaxed) as u32);
                    reservation.commit(concept, &CODE).unwrap();
                }
            });
        }
    });
    let held: Vec<_> = all
        .iter()
        .filter_map(|&column| cortex.held(column).unwrap())
        .collect();
    let mut distinct = held.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(held.len(), distinct.len());
    assert_eq!(held.len() as u64, next.load(Relaxed));
    let stats = cortex.stats();
    assert_eq!(
        (stats.held, stats.fired),
        (held.len() as u64, held.len() as u64)
    );
    assert_eq!(
        stats.activated,
        stats.returned + stats.rolled_back + stats.fired
    );
    let census = cortex.census();
    assert_eq!(census[1..4], [0, 0, 0]);
    assert!(held.len() > 300, "{}", held.len());
}
