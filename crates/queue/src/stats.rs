//! Figures of the queues. All of them say how a queue stands, so there is nothing to reset: what
//! counted pushes and pops would cost each of them a store.

use crate::queue::Queue;

/// Figures of a [`Queue`] or a [`list::MsQueue`](crate::list::MsQueue).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Items inside.
    pub len: usize,
}

/// Figures of a [`BoundedQueue`](crate::BoundedQueue).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BoundedStats {
    /// Items inside, never more than the capacity.
    pub len: usize,
    /// The most items it can hold.
    pub capacity: usize,
    /// Pushers that sleep, or are about to, because there is no room.
    pub pushers_asleep: usize,
    /// Poppers that sleep, or are about to, because there is no item.
    pub poppers_asleep: usize,
    /// Whether pushes are refused.
    pub closed: bool,
}

/// Figures of [`PriorityLanes`](crate::PriorityLanes). What is there for each lane is in the order
/// of [`Lane::ALL`](crate::Lane::ALL).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneStats {
    /// Items in each lane, never more than the capacity.
    pub lens: [usize; 4],
    /// The most items that each lane can hold.
    pub capacity: usize,
    /// Pushers that sleep, or are about to, because there is no room in their lane.
    pub pushers_asleep: [usize; 4],
    /// Poppers that sleep, or are about to, because there is no item in any lane.
    pub poppers_asleep: usize,
    /// Whether every lane refuses pushes.
    pub closed: bool,
}

impl<T> Queue<T> {
    /// How it stands; as exact as [`len`](Queue::len), and as dear.
    ///
    /// ```
    /// let queue = cortica_queue::Queue::new();
    /// queue.push_many(&mut vec!["one", "two"]);
    /// assert_eq!(queue.stats().len, 2);
    /// ```
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        QueueStats { len: self.len() }
    }
}
