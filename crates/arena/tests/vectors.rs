//! Rows against a plain map, and while others write.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::thread;

use cortica_arena::{
    AddError, ArenaOptions, BudgetError, ByteBudget, DimensionError, Element, FreeError,
    ROW_VALUES_MAX, Reader, RoomError, Row, VectorArena,
};
use cortica_reclaim::Epoch;
use proptest::prelude::*;

fn options(segment_bytes: usize) -> ArenaOptions {
    ArenaOptions {
        segment_bytes,
        ..ArenaOptions::default()
    }
}

/// Rows by number, found row by row.
fn live(reader: &Reader<'_, f32>) -> HashMap<u32, Vec<f32>> {
    let mut found = HashMap::new();
    let mut last = None;
    for run in reader.runs() {
        let first = run.first().get();
        assert!(last < Some(first));
        assert_eq!(run.rows().len(), run.len());
        assert!(run.rows().data().as_ptr() == run.data().as_ptr());
        for (at, row) in run.rows().iter().enumerate() {
            let number = first + at as u32;
            assert_eq!(reader.get(Row::new(number)).is_some(), run.is_live(at));
            if let Some(values) = reader.get(Row::new(number)) {
                assert_eq!(values.as_ptr(), row.as_ptr());
                found.insert(number, row.to_vec());
            }
            last = Some(number);
        }
        assert!(!run.is_live(run.len()));
    }
    found
}

#[test]
fn rows_stay_where_they_are_and_start_on_cache_lines() {
    for dimension in [1, 15, 16, 17, 768, 8_192] {
        let arena = VectorArena::<f32>::with(dimension, options(64 << 10)).unwrap();
        assert_eq!(arena.stride(), dimension.next_multiple_of(16));
        let vector = |at: usize| vec![at as f32; dimension];
        let count = 50;
        let first = arena.add(&vector(0)).unwrap();
        let address = arena.read().get(first).map(<[f32]>::as_ptr).unwrap().addr();
        for at in 1..count {
            assert_eq!(arena.add(&vector(at)).unwrap().get() as usize, at);
        }
        let reader = arena.read();
        assert_eq!(reader.get(first).unwrap().as_ptr().addr(), address);
        for at in 0..count {
            let row = reader.get(Row::new(at as u32)).unwrap();
            assert_eq!(row, vector(at));
            assert_eq!(row.as_ptr().addr() % 64, 0);
        }
        assert_eq!(reader.get(Row::new(count as u32)), None);
        assert_eq!(reader.get(Row::new(u32::MAX)), None);
        assert_eq!(live(&reader).len(), count);
        let rows: usize = reader.runs().map(|run| run.len()).sum();
        assert_eq!(rows, count); // What was never published is in no run.
        let stats = arena.stats();
        assert_eq!((stats.live, stats.freed), (count, 0));
        assert!(stats.rows >= count && stats.bytes >= count * dimension * 4);
    }
}

/// Every kind of element, with padding that stays zero.
#[test]
fn other_elements() {
    fn check<E: Element + PartialEq + std::fmt::Debug>(one: E, zero: E, stride: usize) {
        let arena = VectorArena::<E>::with(5, options(1_000)).unwrap();
        assert_eq!(arena.stride(), stride);
        for _ in 0..40 {
            arena.add(&[one; 5]).unwrap();
        }
        let reader = arena.read();
        for run in reader.runs() {
            for row in run.data().chunks_exact(stride) {
                assert_eq!(row[..5], [one; 5]);
                assert!(row[5..].iter().all(|value| *value == zero));
            }
        }
    }
    check(1.5_f32, 0.0, 16);
    check(0x3c00_u16, 0, 32);
    check(-7_i8, 0, 64);
    check(0x81_u8, 0, 64);
    check(u64::MAX, 0, 8);
    let codes = VectorArena::<i8>::new(3).unwrap();
    codes.add(&[1, -2, 3]).unwrap();
    let reader = codes.read();
    let run = reader.runs().next().unwrap();
    assert_eq!(run.rows().row(0), Some(&[1_i8, -2, 3][..]));
}

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    for got in [0, ROW_VALUES_MAX + 1, usize::MAX] {
        assert_eq!(
            VectorArena::<f32>::new(got).err(),
            Some(DimensionError { got })
        );
    }
    let arena = VectorArena::<f32>::new(3).unwrap();
    for got in [0, 2, 4] {
        let refused = arena.add(&vec![1.0; got]).err();
        assert_eq!(refused, Some(AddError::Dimension { got, expected: 3 }));
    }
    for row in [0, 7, u32::MAX] {
        assert_eq!(arena.free(Row::new(row)), Err(FreeError { row }));
    }
    assert_eq!(arena.stats().rows, 0);
    let row = arena.add(&[1.0; 3]).unwrap();
    assert_eq!(arena.free(row), Ok(()));
    assert_eq!(arena.free(row), Err(FreeError { row: 0 }));
    assert!(arena.is_empty());
}

#[test]
fn a_reserved_row_is_nobodys_until_it_is_published() {
    let arena = VectorArena::<f32>::new(2).unwrap();
    let mut reserved = arena.reserve().unwrap();
    assert_eq!(reserved.values_mut(), [0.0; 2]);
    reserved.values_mut()[1] = 5.0;
    let row = reserved.row();
    assert_eq!(arena.read().get(row), None);
    assert_eq!(arena.free(row), Err(FreeError { row: row.get() }));
    drop(reserved); // Given up: the next one gets it.
    assert_eq!((arena.len(), arena.read().runs().count()), (0, 0));
    let again = arena.reserve().unwrap();
    assert_eq!(again.row(), row);
    assert_eq!(again.publish(), row);
    assert_eq!(arena.read().get(row), Some(&[0.0, 5.0][..]));
}

#[test]
fn the_budget_bounds_the_segments() {
    let budget = ByteBudget::new(1_000);
    let with_budget = ArenaOptions {
        budget: Some(budget.clone()),
        ..options(256)
    };
    let arena = VectorArena::<f32>::with(16, with_budget).unwrap();
    assert_eq!(budget.stats().used, 0);
    arena.make_room(5).unwrap();
    assert_eq!((budget.stats().used, arena.stats().rows), (512, 8));
    let rows: Vec<Row> = (0..12)
        .map(|at| arena.add(&[at as f32; 16]).unwrap())
        .collect();
    let busy = RoomError::Budget(BudgetError::Busy {
        needed: 256,
        free: 232,
    });
    assert_eq!(arena.reserve().err(), Some(busy));
    assert_eq!(arena.make_room(1), Err(busy));
    assert_eq!(arena.add(&[0.0; 16]), Err(AddError::Room(busy)));
    // A freed row is used again, in place of memory.
    arena.free(rows[3]).unwrap();
    assert_eq!(arena.add(&[99.0; 16]), Ok(rows[3]));
    assert_eq!(arena.read().get(rows[3]), Some(&[99.0; 16][..]));
    assert_eq!(arena.read().get(rows[4]), Some(&[4.0; 16][..]));
    drop(arena);
    assert_eq!(budget.stats().used, 0);
    // A row larger than a segment has one of its own; one larger than the budget, none.
    let with_budget = ArenaOptions {
        budget: Some(budget.clone()),
        ..options(0)
    };
    let arena = VectorArena::<f32>::with(300, with_budget).unwrap();
    let too_large = BudgetError::TooLarge {
        needed: 1_216,
        limit: 1_000,
    };
    assert_eq!(arena.reserve().err(), Some(RoomError::Budget(too_large)));
}

#[test]
fn room_that_was_made_is_enough() {
    for here in [false, true] {
        let arena = VectorArena::<f32>::with(16, options(4 << 20)).unwrap();
        let make = |rows| {
            if here {
                arena.make_room_here(rows)
            } else {
                arena.make_room(rows)
            }
        };
        make(100_000).unwrap();
        let segments = arena.stats().segments;
        assert_eq!(segments, 2);
        make(100_000).unwrap();
        for _ in 0..100_000 {
            arena.add(&[1.0; 16]).unwrap();
        }
        assert_eq!(arena.stats().segments, segments);
        let max = u32::MAX as usize / 65_536 * 65_536;
        let full = Err(RoomError::Full { max });
        assert_eq!(make(usize::MAX), full);
        assert_eq!(make(max - 99_999), full);
        assert_eq!(arena.stats().segments, segments);
    }
}

/// While a reader looks on, what it may have found is not given out; afterwards it is.
#[test]
fn a_row_is_reused_after_its_readers_and_not_before() {
    let arena = VectorArena::<f32>::with(16, options(256)).unwrap(); // Four rows.
    let rows: Vec<Row> = (0..4)
        .map(|at| arena.add(&[at as f32; 16]).unwrap())
        .collect();
    let (looking, looked) = channel();
    let (done, is_done) = channel::<()>();
    thread::scope(|threads| {
        let (arena, rows, done) = (&arena, &rows, done); // `done` ends with this, also in failure.
        threads.spawn(move || {
            let mut reader = arena.read();
            let found = reader.get(rows[1]).unwrap();
            let all = reader.runs().next().unwrap();
            looking.send(()).unwrap();
            is_done.recv().unwrap();
            assert_eq!(found, [1.0; 16]);
            assert_eq!(all.data()[16], 1.0);
            // Freed rows wait for two epochs: who reads on has to refresh twice.
            (0..2).for_each(|_| {
                reader.refresh();
                looking.send(()).unwrap();
                is_done.recv().unwrap();
            });
            // It knows the new row now, and lives on.
            assert_eq!(reader.get(rows[1]), Some(&[100.0; 16][..]));
        });
        looked.recv().unwrap();
        arena.free(rows[1]).unwrap();
        for at in 4..12 {
            let row = arena.add(&[at as f32; 16]).unwrap();
            assert!(!rows.contains(&row), "given out under a reader");
        }
        assert_eq!(arena.stats().freed, 1);
        let is_reused = || (0..8).any(|_| arena.add(&[100.0; 16]).unwrap() == rows[1]);
        let reused = [(); 2].map(|()| {
            done.send(()).unwrap();
            looked.recv().unwrap();
            is_reused()
        });
        assert!(reused.contains(&true), "{:?}", arena.stats());
        done.send(()).unwrap();
    });
    assert_eq!(arena.stats().freed, 0);
}

/// Two arenas, one domain: a reader of the one holds back rows of the other.
#[test]
fn arenas_may_share_their_readers() {
    let domain = Epoch::new();
    let shared = || ArenaOptions {
        domain: domain.clone(),
        ..options(64)
    };
    let [one, other] = [(); 2].map(|()| VectorArena::<f32>::with(16, shared()).unwrap());
    let row = one.add(&[1.0; 16]).unwrap();
    let reader = other.read();
    one.free(row).unwrap();
    let elsewhere = one.add(&[2.0; 16]).unwrap();
    assert_ne!(elsewhere, row);
    drop(reader);
    one.free(elsewhere).unwrap();
    let again = one.add(&[3.0; 16]).unwrap();
    assert!([row, elsewhere].contains(&again));
}

/// What was freed outlives neither its domain nor is it lost with its arena.
#[test]
fn arenas_end_with_rows_on_their_way() {
    let domain = Epoch::new();
    let held = VectorArena::<f32>::with(
        1,
        ArenaOptions {
            domain: domain.clone(),
            ..options(64)
        },
    );
    let held = held.unwrap();
    let reader = held.read();
    {
        let shared = ArenaOptions {
            domain: domain.clone(),
            ..options(1 << 14)
        };
        let arena = VectorArena::<f32>::with(1, shared).unwrap();
        let rows: Vec<Row> = (0..200).map(|_| arena.add(&[1.0]).unwrap()).collect();
        for row in rows {
            arena.free(row).unwrap();
        }
        assert!(arena.stats().freed > 0);
    }
    drop(reader);
    for _ in 0..10 {
        drop(held.read());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(i8),
    GiveUp,
    Free(usize),
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => any::<i8>().prop_map(Step::Add),
        1 => Just(Step::GiveUp),
        4 => any::<usize>().prop_map(Step::Free),
        1 => Just(Step::Look),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any steps by one thread: what a map says is what is found.
    #[test]
    fn equals_a_map(steps in steps(), dimension in 1_usize..40) {
        let arena = VectorArena::<f32>::with(dimension, options(512)).unwrap();
        let mut map: HashMap<u32, Vec<f32>> = HashMap::new();
        let mut rows: Vec<Row> = Vec::new();
        for step in steps {
            match step {
                Step::Add(value) => {
                    let vector = vec![f32::from(value); dimension];
                    let row = arena.add(&vector).unwrap();
                    prop_assert!(map.insert(row.get(), vector).is_none());
                    rows.push(row);
                }
                Step::GiveUp => drop(arena.reserve().unwrap()),
                Step::Free(at) if rows.is_empty() => {
                    prop_assert!(arena.free(Row::new(at as u32)).is_err());
                }
                Step::Free(at) => {
                    let row = rows.swap_remove(at % rows.len());
                    prop_assert!(arena.free(row).is_ok());
                    prop_assert!(map.remove(&row.get()).is_some());
                }
                Step::Look => prop_assert_eq!(&live(&arena.read()), &map),
            }
            prop_assert_eq!(arena.len(), map.len());
        }
        prop_assert_eq!(live(&arena.read()), map);
        // Rows are used again: there are never many more than were live at once.
        prop_assert!(arena.stats().rows <= 400 + 512);
    }
}
