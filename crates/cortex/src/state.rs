//! What a column is doing, in one word.

use crate::sync::{Acquire, AtomicU64, Relaxed, Release};
use std::fmt;

/// What a column is doing. The concept that it holds is another matter: a column that holds one goes through
/// the same states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing: it can be activated.
    Available,
    /// It was chosen as a candidate, by one thread, which alone moves it on.
    Activated,
    /// It takes part in a competition.
    Competing,
    /// It won: it is kept for a concept until that is committed or given up.
    Allocated,
    /// It has fired and cannot be activated for a while.
    Refractory,
}

impl State {
    /// All of them, in the order of their numbers.
    pub const ALL: [State; 5] = [
        State::Available,
        State::Activated,
        State::Competing,
        State::Allocated,
        State::Refractory,
    ];

    /// Whether a column may go from this state to that one.
    ///
    /// | from | to |
    /// |---|---|
    /// | Available | Activated |
    /// | Activated | Competing, Available |
    /// | Competing | Allocated, Available |
    /// | Allocated | Refractory, Available |
    /// | Refractory | Available |
    #[must_use]
    pub fn may_become(self, to: State) -> bool {
        use State::{Activated, Allocated, Available, Competing, Refractory};
        matches!(
            (self, to),
            (Available, Activated)
                | (Activated, Competing | Available)
                | (Competing, Allocated | Available)
                | (Allocated, Refractory | Available)
                | (Refractory, Available)
        )
    }

    fn of_bits(word: u64) -> State {
        // Only changes of this module write the word, and they write numbers of states.
        State::ALL[(word & STATE_MASK) as usize % State::ALL.len()]
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Available => "available",
            State::Activated => "activated",
            State::Competing => "competing",
            State::Allocated => "allocated",
            State::Refractory => "refractory",
        })
    }
}

const STATE_MASK: u64 = 0xff;
const LEVEL_SHIFT: u32 = 8;
/// Steps of a level; f32 has as many between a half and 1, so that a step has an f32 of its own.
const LEVEL_STEPS: u32 = (1 << 24) - 1;
const EPOCH_SHIFT: u32 = 32;

/// State, level and epoch of one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot(u64);

impl Snapshot {
    /// What it was doing.
    #[must_use]
    pub fn state(self) -> State {
        State::of_bits(self.0)
    }

    /// How active it was, in \[0, 1\], to the nearest of 2^24 - 1 steps.
    #[must_use]
    pub fn level(self) -> f32 {
        let steps = (self.0 >> LEVEL_SHIFT) as u32 & LEVEL_STEPS;
        (f64::from(steps) / f64::from(LEVEL_STEPS)) as f32
    }

    /// How often it had changed, modulo 2^32: two equal epochs are of one stay in one state.
    #[must_use]
    pub fn epoch(self) -> u32 {
        (self.0 >> EPOCH_SHIFT) as u32
    }

    fn next(self, to: State, level: f32) -> u64 {
        let number = to as u64;
        // What is not a number becomes 0.
        let steps = (f64::from(level.clamp(0.0, 1.0)) * f64::from(LEVEL_STEPS)).round() as u64;
        let epoch = u64::from(self.epoch().wrapping_add(1));
        epoch << EPOCH_SHIFT | steps << LEVEL_SHIFT | number
    }
}

/// Why a column was not moved. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no such way; see [`State::may_become`].
    #[error("a column that is {from} does not become {to}")]
    Illegal {
        /// What it is doing.
        from: State,
        /// What it was to do.
        to: State,
    },
    /// Somebody else moved it since it was looked at; look again.
    #[error("the column has changed and is {} now", .0.state())]
    Changed(Snapshot),
}

/// State, level and epoch of one column, changed together or not at all.
///
/// ```
/// use cortica_cortex::{State, StateWord};
///
/// let word = StateWord::new();
/// let seen = word.load();
/// let activated = word.change(seen, State::Activated, 0.75)?;
/// assert_eq!(activated.state(), State::Activated);
/// assert!((activated.level() - 0.75).abs() < 1e-7);
/// assert!(word.change(seen, State::Activated, 0.5).is_err(), "it has changed since");
/// assert!(word.change(activated, State::Refractory, 0.0).is_err(), "there is no such way");
/// # Ok::<(), cortica_cortex::ChangeError>(())
/// ```
#[derive(Debug)]
pub struct StateWord(AtomicU64);

impl StateWord {
    /// Available, level 0, epoch 0.
    #[must_use]
    pub fn new() -> StateWord {
        StateWord(AtomicU64::new(0))
    }

    /// What it is doing now. What whoever brought it there wrote before can be read after.
    #[must_use]
    pub fn load(&self) -> Snapshot {
        // Acquire pairs with the Release of the change that wrote this word: who sees a column
        // given back sees what its holder left in it.
        Snapshot(self.0.load(Acquire))
    }

    /// Moves it on from what was seen: of all who saw the same, one succeeds. `level` is cut to
    /// \[0, 1\]; what is not a number counts as 0.
    pub fn change(&self, seen: Snapshot, to: State, level: f32) -> Result<Snapshot, ChangeError> {
        let from = seen.state();
        if !from.may_become(to) {
            return Err(ChangeError::Illegal { from, to });
        }
        let next = seen.next(to, level);
        // Release for whoever moves the column on after this: fields of a column are written by its
        // holder alone, plainly. What its last holder left was acquired with the word that was seen.
        match self.0.compare_exchange(seen.0, next, Release, Relaxed) {
            Ok(_) => Ok(Snapshot(next)),
            Err(now) => Err(ChangeError::Changed(Snapshot(now))),
        }
    }
}

impl Default for StateWord {
    fn default() -> StateWord {
        StateWord::new()
    }
}
