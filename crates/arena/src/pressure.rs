//! How full something is, in four levels that do not flutter.

use std::marker::PhantomData;

use crate::sync::{Figure, Mutex, Relaxed, lock};

/// How full something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Below 60%.
    #[default]
    Normal,
    /// 60% and more.
    Elevated,
    /// 80% and more.
    High,
    /// 95% and more.
    Critical,
}

impl Level {
    const ALL: [Level; 4] = [Level::Normal, Level::Elevated, Level::High, Level::Critical];

    /// From which share on, in thousandths, a level is entered.
    fn entered_at(self) -> u32 {
        match self {
            Level::Normal => 0,
            Level::Elevated => 600,
            Level::High => 800,
            Level::Critical => 950,
        }
    }
}

/// A level is left only when the share is this far, in thousandths, below where it is entered,
const LEFT_BELOW: u32 = 50;

/// and was so in all readings of this many microseconds.
const SETTLED_US: i64 = 50_000;

/// Memory in use. Under it batches become **smaller**: less is held at once.
#[derive(Clone, Copy, Debug)]
pub struct Memory;

/// Places of a queue in use. Under it batches become **larger**: more is done for the price of
/// one, and the queue is emptied sooner.
#[derive(Clone, Copy, Debug)]
pub struct Queued;

/// How scarce memory is.
pub type MemoryPressure = Pressure<Memory>;

/// How full a queue is.
pub type QueuePressure = Pressure<Queued>;

/// The level of one of two signals, [`MemoryPressure`] or [`QueuePressure`]. They are types of
/// their own, because what answers the one makes the other worse.
///
/// Readings and their times are given to it: it reads neither the machine nor a clock. A level
/// rises at the reading that shows it. It is left at the first reading that comes 50 ms or more
/// after the last one that was at least the share at which the level is entered, less 5% of the
/// limit. So with a reading every 50 ms or more often, a change shows within 100 ms.
///
/// ```
/// use cortica_arena::{Level, MemoryPressure};
///
/// let memory = MemoryPressure::new();
/// let ms = |milliseconds: i64| 1_000 * milliseconds;
/// assert_eq!(memory.observe(850, 1_000, ms(0)), Level::High); // At once.
/// assert_eq!(memory.observe(790, 1_000, ms(10)), Level::High); // Not far enough below 80%.
/// assert_eq!(memory.observe(700, 1_000, ms(20)), Level::High); // Not for long enough.
/// assert_eq!(memory.observe(700, 1_000, ms(70)), Level::Elevated);
/// ```
#[derive(Debug, Default)]
pub struct Pressure<S> {
    /// What the last reading made of it; see `Level::ALL`.
    level: Figure,
    state: Mutex<State>,
    signal: PhantomData<S>,
}

#[derive(Debug, Default)]
struct State {
    level: Level,
    /// For each level when a reading last held it.
    held_us: [i64; 4],
    changes: u64,
}

impl<S> Pressure<S> {
    /// Normal, until something is observed.
    #[must_use]
    pub fn new() -> Pressure<S> {
        Pressure {
            level: Figure::new(0),
            state: Mutex::new(State::default()),
            signal: PhantomData,
        }
    }

    /// Takes a reading: `used` of `limit`, in any unit, at `now_us` microseconds of any clock.
    /// Gives the level that follows. A limit of 0 is always full.
    ///
    /// A clock that jumps ahead can end a wait early; one that jumps back starts it anew.
    pub fn observe(&self, used: usize, limit: usize, now_us: i64) -> Level {
        let share = share(used, limit);
        let mut state = lock(&self.state);
        state.observe(share, now_us);
        // Relaxed: the level is a hint about a number; nothing else is read because of it.
        self.level.store(state.level as usize, Relaxed);
        state.level
    }

    /// The level of the last reading. One load.
    pub fn level(&self) -> Level {
        let level = Level::ALL.get(self.level.load(Relaxed)).copied();
        level.unwrap_or(Level::Critical)
    }

    /// How often the level has changed since the last reset.
    pub fn changes(&self) -> u64 {
        lock(&self.state).changes
    }

    /// Sets the count of [`changes`](Pressure::changes) to zero. The level stays, and so does the
    /// time that it has to be held.
    pub fn reset_stats(&self) {
        lock(&self.state).changes = 0;
    }
}

impl State {
    fn observe(&mut self, share: u32, now_us: i64) {
        let mut fitting = Level::Normal;
        for (level, held_us) in Level::ALL.into_iter().zip(&mut self.held_us) {
            let entered = share >= level.entered_at();
            if share + LEFT_BELOW >= level.entered_at() {
                *held_us = now_us;
            }
            // A time to come is one before the clock jumped back.
            *held_us = now_us.min(*held_us);
            let held = now_us.saturating_sub(*held_us) < SETTLED_US;
            if entered || (held && level <= self.level) {
                fitting = level;
            }
        }
        self.changes += u64::from(fitting != self.level);
        self.level = fitting;
    }
}

/// In thousandths, rounded down; 1,000 at most.
fn share(used: usize, limit: usize) -> u32 {
    let thousandths = (used as u128 * 1_000).checked_div(limit as u128);
    thousandths.map_or(1_000, |share| share.min(1_000) as u32)
}
