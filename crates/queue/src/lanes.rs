//! Four queues, one of which is served next.

use std::fmt;
use std::time::{Duration, Instant};

use crate::bounded::wait_until;
use crate::error::{CapacityError, Closed, PopError, PushError};
use crate::parking::Parking;
use crate::ring::Ring;
use crate::stats::LaneStats;
use crate::sync::{AtomicUsize, Ordering::Relaxed};

/// How urgent an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Before everything else.
    Critical,
    /// Before normal work.
    High,
    /// What is neither urgent nor idle.
    Normal,
    /// When there is time.
    Low,
}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Lane; 4] = [Lane::Critical, Lane::High, Lane::Normal, Lane::Low];

    /// The lane which turn number `turn` looks at first.
    fn of_turn(turn: usize) -> Lane {
        match turn % PriorityLanes::<()>::TURNS {
            15 => Lane::Low,
            7 => Lane::Normal,
            3 | 11 => Lane::High,
            _ => Lane::Critical,
        }
    }
}

/// Four bounded queues under one roof: the urgent goes first and nothing starves.
///
/// # Which lane is served
///
/// Pops take turns, numbered from 0 and counted round by round of [`TURNS`](Self::TURNS) = 16. A
/// turn belongs to a lane: 3 and 11 to `High`, 7 to `Normal`, 15 to `Low`, the other 12 to
/// `Critical`. A pop looks at the lane of its turn first, then at all lanes from `Critical` down.
///
/// So of any 16 pops in a row, while their lanes are never empty, at least 12 serve `Critical`, 2
/// `High`, one `Normal` and one `Low`: the head of a `Low` lane with k items before it leaves
/// within 16 x (k + 1) pops, whatever arrives elsewhere. A pop that finds nothing uses its turn up
/// too; then no lane had anything to lose.
///
/// Each lane is first in, first out, and refuses by itself: a full `Low` lane does not keep
/// critical work out. `Empty` means that each lane was empty when it was looked at.
pub struct PriorityLanes<T> {
    rings: [Ring<T>; 4],
    /// Pushers that wait for room in their lane.
    pushers: [Parking; 4],
    /// Poppers that wait for an item in any lane.
    poppers: Parking,
    turns: AtomicUsize,
}

impl<T> PriorityLanes<T> {
    /// After so many pops the schedule repeats.
    pub const TURNS: usize = 16;

    /// Lanes of at most `capacity` items each.
    pub fn new(capacity: usize) -> Result<PriorityLanes<T>, CapacityError> {
        let ring = || Ring::new(capacity);
        Ok(PriorityLanes {
            rings: [ring()?, ring()?, ring()?, ring()?],
            pushers: std::array::from_fn(|_| Parking::new()),
            poppers: Parking::new(),
            turns: AtomicUsize::new(0),
        })
    }

    /// Puts `item` at the end of `lane`, or hands it back with the reason.
    pub fn try_push(&self, lane: Lane, item: T) -> Result<(), PushError<T>> {
        self.rings[lane as usize].try_push(item)?;
        self.poppers.notify(1);
        Ok(())
    }

    /// Takes the next item and says which lane it came from.
    pub fn try_pop(&self) -> Result<(Lane, T), PopError> {
        // Relaxed: turns only have to be different from one another.
        let first = Lane::of_turn(self.turns.fetch_add(1, Relaxed));
        let mut open = false;
        for lane in std::iter::once(first).chain(Lane::ALL) {
            match self.rings[lane as usize].try_pop() {
                Ok(item) => {
                    self.pushers[lane as usize].notify(1);
                    return Ok((lane, item));
                }
                Err(PopError::Empty) => open = true,
                Err(PopError::Closed) => {}
            }
        }
        Err(if open {
            PopError::Empty
        } else {
            PopError::Closed
        })
    }

    /// Puts `item` at the end of `lane`; waits for room in it. Refused only once closed.
    pub fn push(&self, lane: Lane, item: T) -> Result<(), Closed<T>> {
        let parking = &self.pushers[lane as usize];
        let attempt = |item| match self.try_push(lane, item) {
            Err(PushError::Full(item)) => Err(item),
            done => Ok(done),
        };
        wait_until(parking, None, item, attempt)
            .unwrap_or_else(|item| Err(PushError::Full(item)))
            .map_err(|refused| Closed(refused.into_inner()))
    }

    /// Takes the next item; waits for one. `None` when closed and everything has been taken.
    pub fn pop(&self) -> Option<(Lane, T)> {
        self.pop_until(None).ok()
    }

    /// As [`pop`](Self::pop), but waits at most `timeout` for an item.
    pub fn pop_timeout(&self, timeout: Duration) -> Result<(Lane, T), PopError> {
        self.pop_until(Instant::now().checked_add(timeout))
    }

    fn pop_until(&self, deadline: Option<Instant>) -> Result<(Lane, T), PopError> {
        wait_until(&self.poppers, deadline, (), |()| match self.try_pop() {
            Err(PopError::Empty) => Err(()),
            done => Ok(done),
        })
        .unwrap_or(Err(PopError::Empty))
    }

    /// Refuses every push from now on, wakes everybody who waits, and lets pops take what is left.
    pub fn close(&self) {
        for ring in &self.rings {
            ring.close();
        }
        for pushers in &self.pushers {
            pushers.notify_all();
        }
        self.poppers.notify_all();
    }

    /// Whether every lane refuses pushes.
    pub fn is_closed(&self) -> bool {
        self.rings.iter().all(Ring::is_closed)
    }

    /// How many items are in `lane`: exact while no other thread is at work.
    pub fn len(&self, lane: Lane) -> usize {
        self.rings[lane as usize].len()
    }

    /// Whether no lane has an item; as exact as [`len`](Self::len).
    pub fn is_empty(&self) -> bool {
        self.rings.iter().all(|ring| ring.len() == 0)
    }

    /// The most items that each lane can hold.
    pub fn capacity(&self) -> usize {
        self.rings[0].capacity()
    }

    /// How they stand; as exact as [`len`](Self::len), lane by lane. A few loads.
    #[must_use]
    pub fn stats(&self) -> LaneStats {
        LaneStats {
            lens: Lane::ALL.map(|lane| self.len(lane)),
            capacity: self.capacity(),
            pushers_asleep: self.pushers.each_ref().map(Parking::asleep),
            poppers_asleep: self.poppers.asleep(),
            closed: self.is_closed(),
        }
    }
}

impl<T> fmt::Debug for PriorityLanes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lens = Lane::ALL.map(|lane| (lane, self.len(lane)));
        f.debug_struct("PriorityLanes")
            .field("lens", &lens)
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish()
    }
}
