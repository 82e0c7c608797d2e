//! loom over the shipped claims, reservations, states and prototypes. Run by `cargo xtask loom`. The table
//! of what fails when an ordering is weakened is in docs/concurrency.md.
//!
//! Both sides of every model run on threads of their own: with one of them on the model's own
//! thread loom explores next to nothing. Every model ends with its witnesses: interleavings that
//! must have been reached for it to mean anything.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cortica_cortex::models::Learned;
use cortica_cortex::{
    CODE_DIMENSION, ColumnId, ConceptId, Concepts, Cortex, CortexOptions, Dedup, DedupError,
    DedupParams, Duplicate, Grid, State, StateWord,
};
use cortica_env::ManualClock;
use loom::thread::{JoinHandle, spawn};

/// Counted outside of the model, so that they outlive the explored runs.
struct Witness(AtomicUsize);

impl Witness {
    const fn new() -> Witness {
        Witness(AtomicUsize::new(0))
    }

    fn saw(&self, it: bool) {
        self.0.fetch_add(usize::from(it), Relaxed);
    }
}

/// Explores `run`, says how much that was, and asks every witness.
fn explore(name: &str, preemptions: Option<usize>, witnesses: &[&Witness], run: fn()) {
    static EXPLORED: AtomicUsize = AtomicUsize::new(0);
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    EXPLORED.store(0, Relaxed);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.max_branches = 20_000;
    model.check(move || {
        EXPLORED.fetch_add(1, Relaxed);
        run();
    });
    let explored = EXPLORED.load(Relaxed);
    let seen: Vec<usize> = witnesses
        .iter()
        .map(|witness| witness.0.load(Relaxed))
        .collect();
    println!("{name}: {explored} interleavings, witnesses {seen:?}");
    assert!(
        seen.iter().all(|&seen| seen > 0),
        "{name} never reached the danger: {seen:?}"
    );
}

/// Runs `work` with what is shared, on a thread of its own.
fn with<T: 'static, R: 'static>(
    shared: &Arc<T>,
    work: impl FnOnce(&T) -> R + 'static,
) -> JoinHandle<R> {
    let shared = shared.clone();
    spawn(move || work(&shared))
}

const ONLY: ColumnId = ColumnId::new(0);

/// One column, and a clock that stands still.
fn one_column() -> Arc<Cortex> {
    let options = CortexOptions {
        clock: Arc::new(ManualClock::default()),
        isa: cortica_simd::Isa::Scalar,
        ..CortexOptions::default()
    };
    Arc::new(Cortex::new(Grid::new(1, 1, 1).unwrap(), options).unwrap())
}

/// Claims the column, competes and wins, and commits the concept if that is wanted. Whether it was
/// claimed.
fn allocate(cortex: &Cortex, concept: Option<u32>) -> bool {
    let mut buffer = Vec::new();
    let mut claims = cortex.activate(&[ONLY], &[0.5], &mut buffer);
    if claims.is_empty() {
        return false;
    }
    // The holder alone moves it on, so nothing of this may fail.
    claims.compete(&[0.5]).unwrap();
    let reservation = claims.win(0, 0.5).unwrap();
    if let Some(concept) = concept {
        reservation
            .commit(ConceptId::new(concept), &[1.0; CODE_DIMENSION])
            .unwrap();
    }
    true
}

/// Of two who activate a column at once, one has it; and what its last holder wrote plainly, the next
/// finds.
#[test]
fn claim_against_claim() {
    static BOTH_IN_TURN: Witness = Witness::new();
    static ONE: Witness = Witness::new();
    explore("claim_against_claim", None, &[&BOTH_IN_TURN, &ONE], || {
        let cortex = one_column();
        let held = Arc::new(loom::cell::Cell::new(0_u32));
        // The cell stands for what a holder writes plainly: two holders at once, or one that
        // does not see what the last has left, and loom reports it.
        let claim = |cortex: &Arc<Cortex>| {
            let held = held.clone();
            with(cortex, move |cortex| {
                let mut buffer = Vec::new();
                let claims = cortex.activate(&[ONLY], &[0.5], &mut buffer);
                let mine = !claims.is_empty();
                if mine {
                    held.set(held.get() + 1);
                }
                drop(claims);
                mine
            })
        };
        let (a, b) = (claim(&cortex), claim(&cortex));
        let (a, b) = (a.join().unwrap(), b.join().unwrap());
        assert!(a || b, "nobody was in the way of the first");
        assert_eq!(held.get(), u32::from(a) + u32::from(b));
        BOTH_IN_TURN.saw(a && b);
        ONE.saw(a != b);
        assert_eq!(cortex.state(ONLY).unwrap().state(), State::Available);
    });
}

/// Who gives a reservation up leaves the column to the other, who finds nothing of it; a concept that is
/// committed is never won over.
#[test]
fn rollback_against_commit() {
    static COMMITTED_AFTER_ROLLBACK: Witness = Witness::new();
    static IN_THE_WAY: Witness = Witness::new();
    static COMMITTED_BEFORE: Witness = Witness::new();
    let witnesses = [&COMMITTED_AFTER_ROLLBACK, &IN_THE_WAY, &COMMITTED_BEFORE];
    explore("rollback_against_commit", Some(3), &witnesses, || {
        let cortex = one_column();
        let gives_up = with(&cortex, |cortex| allocate(cortex, None));
        let commits = with(&cortex, |cortex| allocate(cortex, Some(7)));
        let (tried, committed) = (gives_up.join().unwrap(), commits.join().unwrap());
        assert!(tried || committed);
        let held = cortex.held(ONLY).unwrap();
        let state = cortex.state(ONLY).unwrap().state();
        if committed {
            assert_eq!((held, state), (Some(ConceptId::new(7)), State::Refractory));
        } else {
            assert_eq!((held, state), (None, State::Available));
        }
        COMMITTED_AFTER_ROLLBACK.saw(tried && committed);
        IN_THE_WAY.saw(tried && !committed);
        COMMITTED_BEFORE.saw(!tried && committed);
    });
}

/// A column that rests no more and holds a concept is not claimed: whoever sees its new state sees its
/// concept.
#[test]
fn a_held_column_is_not_claimed() {
    static SAW_IT_HELD: Witness = Witness::new();
    static TOO_EARLY: Witness = Witness::new();
    explore(
        "a_held_column_is_not_claimed",
        Some(3),
        &[&SAW_IT_HELD, &TOO_EARLY],
        || {
            let clock = Arc::new(ManualClock::default());
            let options = CortexOptions {
                clock: clock.clone(),
                refractory: cortica_cortex::RefractoryParams {
                    absolute_ms: 0.0, // It can be claimed at once: only its concept is in the way.
                    ..cortica_cortex::RefractoryParams::default()
                },
                isa: cortica_simd::Isa::Scalar,
                ..CortexOptions::default()
            };
            let cortex = Arc::new(Cortex::new(Grid::new(1, 1, 1).unwrap(), options).unwrap());
            let commits = with(&cortex, |cortex| allocate(cortex, Some(1)));
            let second = with(&cortex, |cortex| {
                let before = cortex.state(ONLY).unwrap().state();
                (before, allocate(cortex, Some(2)))
            });
            let (first, (before, second)) = (commits.join().unwrap(), second.join().unwrap());
            assert!(first != second, "one concept, whoever was first");
            let held = cortex.held(ONLY).unwrap().unwrap().get();
            assert_eq!(held, if first { 1 } else { 2 });
            SAW_IT_HELD.saw(before == State::Refractory && !second);
            TOO_EARLY.saw(before == State::Competing && !second);
        },
    );
}

/// Who releases a concept takes its exemplar with it, and never that of the concept which is committed next.
#[test]
fn release_against_commit() {
    static COMMITTED_AFTER: Witness = Witness::new();
    static TOO_EARLY: Witness = Witness::new();
    let witnesses = [&COMMITTED_AFTER, &TOO_EARLY];
    explore("release_against_commit", Some(3), &witnesses, || {
        let cortex = one_column();
        let first = ConceptId::new(1);
        cortex.occupy(ONLY, first, &[-1.0; CODE_DIMENSION]).unwrap();
        let releases = with(&cortex, move |cortex| cortex.release(ONLY, first).unwrap());
        let commits = with(&cortex, |cortex| allocate(cortex, Some(2)));
        assert!(releases.join().unwrap());
        let committed = commits.join().unwrap();
        let exemplar = cortex.exemplar(ONLY).unwrap();
        assert!(
            exemplar
                .iter()
                .all(|&value| (value > 0) == committed && value >= 0)
        );
        let held = u64::from(committed);
        assert_eq!(cortex.stats().held, held);
        COMMITTED_AFTER.saw(committed);
        TOO_EARLY.saw(!committed);
    });
}

/// Of two who come to a column whose rest is over, one has it, and its rest ends once.
#[test]
fn a_rested_column_is_claimed_once() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    let witnesses = [&FIRST, &SECOND];
    explore("a_rested_column_is_claimed_once", None, &witnesses, || {
        let clock = Arc::new(ManualClock::default());
        let options = CortexOptions {
            clock: clock.clone(),
            isa: cortica_simd::Isa::Scalar,
            ..CortexOptions::default()
        };
        let cortex = Arc::new(Cortex::new(Grid::new(1, 1, 1).unwrap(), options).unwrap());
        assert!(allocate(&cortex, Some(1)));
        cortex.release(ONLY, ConceptId::new(1)).unwrap();
        clock.advance_micros(2_000);
        let claim = |cortex: &Cortex| {
            let mut buffer = Vec::new();
            let claims = cortex.activate(&[ONLY], &[0.5], &mut buffer);
            let mine = !claims.is_empty();
            std::mem::forget(claims); // Held until both have tried.
            mine
        };
        let (a, b) = (with(&cortex, claim), with(&cortex, claim));
        let (a, b) = (a.join().unwrap(), b.join().unwrap());
        assert!(a != b, "one of the two");
        assert_eq!(cortex.state(ONLY).unwrap().state(), State::Activated);
        let stats = cortex.stats();
        assert_eq!((stats.recovered, stats.activated), (1, 2));
        FIRST.saw(a);
        SECOND.saw(b);
    });
}

/// Each state has a level of its own: no reader finds one with the level of another.
#[test]
fn level_against_state() {
    static OLD: Witness = Witness::new();
    static NEW: Witness = Witness::new();
    explore("level_against_state", None, &[&OLD, &NEW], || {
        let word = Arc::new(StateWord::new());
        let writer = with(&word, |word| {
            let seen = word.change(word.load(), State::Activated, 0.25).unwrap();
            word.change(seen, State::Competing, 0.5).unwrap();
        });
        let reader = with(&word, |word| word.load());
        let seen = reader.join().unwrap();
        let want = match seen.state() {
            State::Available => 0.0,
            State::Activated => 0.25,
            _ => 0.5,
        };
        assert!((seen.level() - want).abs() < 1e-6, "{seen:?}");
        OLD.saw(seen.state() == State::Activated);
        NEW.saw(seen.state() == State::Competing);
        writer.join().unwrap();
    });
}

/// A prototype is read whole: never half of one version and half of another.
#[test]
fn prototypes_are_read_whole() {
    static BEFORE: Witness = Witness::new();
    static AFTER: Witness = Witness::new();
    explore(
        "prototypes_are_read_whole",
        Some(3),
        &[&BEFORE, &AFTER],
        || {
            let learned = Arc::new(Learned::new());
            let writer = with(&learned, |learned| {
                learned.set_prototype(&[7; CODE_DIMENSION])
            });
            let reader = with(&learned, Learned::prototype);
            let read = reader.join().unwrap();
            assert!(read.iter().all(|&value| value == read[0]), "{read:?}");
            BEFORE.saw(read[0] == 0);
            AFTER.saw(read[0] == 7);
            writer.join().unwrap();
            assert_eq!(learned.prototype(), [7; CODE_DIMENSION]);
        },
    );
}

/// Of two who learn at once, the second starts from what the first has left.
#[test]
fn no_learning_is_lost() {
    static LEARNED: Witness = Witness::new();
    explore("no_learning_is_lost", Some(3), &[&LEARNED], || {
        let learned = Arc::new(Learned::new());
        // Half of the way to 1 twice: 0.75, which f16 has, so that chance has no say.
        let half = |learned: &Learned| learned.learn(&[1.0; CODE_DIMENSION], 0.5);
        let (a, b) = (with(&learned, half), with(&learned, half));
        a.join().unwrap();
        b.join().unwrap();
        let read = learned.prototype().map(cortica_simd::f32_from_f16);
        assert_eq!(read, [0.75; CODE_DIMENSION]);
        assert_eq!(learned.version(), 2);
        LEARNED.saw(true);
    });
}

fn dedup() -> Dedup {
    Dedup::new(DedupParams::default(), cortica_simd::Isa::Scalar).unwrap()
}

struct Nobody;

impl Concepts for Nobody {
    fn id(&self, _concept: ConceptId) -> Option<&[u8]> {
        None
    }

    fn features(&self, _concept: ConceptId) -> Option<&[f32]> {
        None
    }
}

/// Reserves and admits a concept, and gives it up or not. Whether it was admitted.
fn admit(dedup: &Dedup, id: &[u8], features: &[f32], keep: bool) -> Result<(), DedupError> {
    let mut ticket = dedup.reserve(id, features, &Nobody)?;
    ticket.admit(&[1; CODE_DIMENSION], &Nobody)?;
    if keep {
        ticket.commit();
    }
    Ok(())
}

/// Two concepts of one meaning that come at once: the second finds the first, committed or on its way.
#[test]
fn one_meaning_at_once() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore("one_meaning_at_once", Some(3), &[&FIRST, &SECOND], || {
        let dedup = Arc::new(dedup());
        // Admitted tickets are held until both have tried: what is on its way counts.
        let come = |id: &'static [u8], features: &'static [f32]| {
            with(&dedup, move |dedup| {
                let mut ticket = dedup.reserve(id, features, &Nobody).unwrap();
                let admitted = ticket.admit(&[1; CODE_DIMENSION], &Nobody).is_ok();
                std::mem::forget(ticket); // On its way for good.
                admitted
            })
        };
        let (a, b) = (come(b"a", &[1.0, 0.0]), come(b"b", &[1.0, 0.01]));
        let (a, b) = (a.join().unwrap(), b.join().unwrap());
        assert!(a != b, "one of the two");
        FIRST.saw(a);
        SECOND.saw(b);
    });
}

/// A reservation that is given up leaves its id to whoever comes after, and to nobody twice.
#[test]
fn a_reservation_is_given_up() {
    static IN_THE_WAY: Witness = Witness::new();
    static AFTER: Witness = Witness::new();
    explore(
        "a_reservation_is_given_up",
        Some(3),
        &[&IN_THE_WAY, &AFTER],
        || {
            let dedup = Arc::new(dedup());
            let gives_up = with(&dedup, |dedup| admit(dedup, b"a", &[1.0, 0.0], false));
            let keeps = with(&dedup, |dedup| admit(dedup, b"a", &[0.0, 1.0], true));
            let (tried, kept) = (gives_up.join().unwrap(), keeps.join().unwrap());
            for result in [&tried, &kept] {
                let good = matches!(
                    result,
                    Ok(()) | Err(DedupError::Duplicate(Duplicate::Id(_)))
                );
                assert!(good, "{result:?}");
            }
            let stats = dedup.stats();
            assert_eq!(
                (stats.concepts, stats.reserved),
                (usize::from(kept.is_ok()), 0)
            );
            IN_THE_WAY.saw(kept.is_err());
            AFTER.saw(tried.is_ok() && kept.is_ok());
        },
    );
}
