//! One column: four cache lines.

use crate::prototype::Versioned;
use crate::state::StateWord;
use crate::sync::{AtomicU64, Relaxed};
use cortica_env::Timestamp;
use std::fmt;

/// The number by which a column knows the concept that it holds; the caller's choice, such as the
/// slot that a [`Dedup`](crate::Dedup) gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConceptId(u32);

impl ConceptId {
    /// The concept with this number.
    #[must_use]
    pub const fn new(number: u32) -> ConceptId {
        ConceptId(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ConceptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "concept {}", self.0)
    }
}

/// A column that never fired.
const NEVER: i64 = i64::MIN;

/// Fields beside the state are written by whoever holds the column, plainly: the change of state
/// that ends the holding releases them, the one that begins the next acquires them. Whoever looks
/// at them without holding the column looks at the state first.
#[derive(Debug)]
#[repr(align(64))] // Two threads at two columns share no line.
pub(crate) struct Column {
    pub(crate) state: StateWord,
    /// 0 where it holds none, the concept's number and 1 otherwise.
    held: AtomicU64,
    /// The potential's bits.
    potential: AtomicU64,
    /// When the potential was that: microseconds.
    stepped: AtomicU64,
    /// When it last fired: microseconds.
    fired: AtomicU64,
    pub(crate) learned: Versioned,
}

impl Column {
    pub(crate) fn new() -> Column {
        Column {
            state: StateWord::new(),
            held: AtomicU64::new(0),
            potential: AtomicU64::new(0),
            stepped: AtomicU64::new(NEVER as u64),
            fired: AtomicU64::new(NEVER as u64),
            learned: Versioned::new(),
        }
    }

    pub(crate) fn held(&self) -> Option<ConceptId> {
        let held = self.held.load(Relaxed);
        held.checked_sub(1).map(|number| ConceptId(number as u32))
    }

    /// By its holder.
    pub(crate) fn hold(&self, concept: ConceptId) {
        self.held.store(1 + u64::from(concept.0), Relaxed);
    }

    /// Lets go of a concept; whether it held that one. By anybody: nobody claims a column that
    /// holds one, so there is no holder to get in the way of.
    pub(crate) fn let_go(&self, concept: ConceptId) -> bool {
        let held = 1 + u64::from(concept.0);
        self.held
            .compare_exchange(held, 0, Relaxed, Relaxed)
            .is_ok()
    }

    /// Potential, and since when; none where it was never stepped.
    pub(crate) fn potential(&self) -> (f32, Option<Timestamp>) {
        let potential = f32::from_bits(self.potential.load(Relaxed) as u32);
        (potential, moment(self.stepped.load(Relaxed)))
    }

    /// By its holder.
    pub(crate) fn set_potential(&self, potential: f32, now: Timestamp) {
        self.potential
            .store(u64::from(potential.to_bits()), Relaxed);
        self.stepped.store(bits(now), Relaxed);
    }

    pub(crate) fn fired(&self) -> Option<Timestamp> {
        moment(self.fired.load(Relaxed))
    }

    /// By its holder.
    pub(crate) fn set_fired(&self, now: Timestamp) {
        self.fired.store(bits(now), Relaxed);
    }

    pub(crate) fn spike(&self) -> Spike {
        Spike {
            potential: self.potential.load(Relaxed),
            stepped: self.stepped.load(Relaxed),
            fired: self.fired.load(Relaxed),
        }
    }

    /// By its holder.
    pub(crate) fn set_spike(&self, spike: Spike) {
        self.potential.store(spike.potential, Relaxed);
        self.stepped.store(spike.stepped, Relaxed);
        self.fired.store(spike.fired, Relaxed);
    }

    /// By whoever finds that the clock was put back behind this spike; a newer one stays.
    pub(crate) fn put_back_fired(&self, fired: Timestamp, now: Timestamp) {
        let _ = self
            .fired
            .compare_exchange(bits(fired), bits(now), Relaxed, Relaxed);
    }
}

/// When a column fired, and what its membrane did then, as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spike {
    potential: u64,
    stepped: u64,
    fired: u64,
}

/// The earliest moment there is stands for none: the one after it for that.
fn bits(moment: Timestamp) -> u64 {
    moment.as_micros().max(NEVER + 1) as u64
}

fn moment(micros: u64) -> Option<Timestamp> {
    (micros as i64 != NEVER).then(|| Timestamp::from_micros(micros as i64))
}
