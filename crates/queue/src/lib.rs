//! Lock-free queues from any number of threads to any number of threads, first in, first out.
//!
//! [`BoundedQueue`] has a hard capacity, and loses nothing without an answer: a full queue hands
//! the item back; the caller chooses whether to wait, to displace the oldest item or to slow down.
//! [`PriorityLanes`] joins four such queues under a stated rule that keeps the lowest from
//! starving. [`Queue`] has no bound, and refuses nothing; [`list::MsQueue`] promises the same
//! with one node an item, slower and short enough to be read.
//!
//! ```
//! use cortica_queue::{BoundedQueue, PopError, PushError};
//!
//! let queue = BoundedQueue::new(2)?;
//! assert_eq!(queue.try_push(1), Ok(()));
//! assert_eq!(queue.try_push(2), Ok(()));
//! assert_eq!(queue.try_push(3), Err(PushError::Full(3))); // Handed back.
//! assert_eq!(queue.force_push(3), Ok(Some(1))); // Or: the oldest makes room.
//!
//! queue.close(); // No more pushes; what is inside still comes out.
//! assert_eq!(queue.try_push(4), Err(PushError::Closed(4)));
//! assert_eq!(queue.try_pop(), Ok(2));
//! assert_eq!(queue.try_pop(), Ok(3));
//! assert_eq!(queue.try_pop(), Err(PopError::Closed));
//! # Ok::<(), cortica_queue::CapacityError>(())
//! ```
//!
//! # What is promised
//!
//! - Every operation of a single queue is linearisable (lanes are several queues): `Full` and
//!   `Empty` were true at a moment of the call, and a batch enters or leaves as if its items
//!   followed one another in that moment.
//! - An item is in one place: in the queue, with a caller, or dropped with the queue. Nothing that
//!   can panic runs while a place in the queue is claimed.
//! - The `try_` forms never wait for room or for an item, and neither do the operations of
//!   [`Queue`], which take no lock. While somebody sleeps on the other side, or is about to, a `try_`
//!   form that has changed something takes a mutex to wake them: if another thread has that just
//!   then, it may sleep for as long as that one holds it, which is a few instructions unless that
//!   thread is stopped there. They are not lock-free in the strict sense either: a thread stopped
//!   between claiming a place and filling it makes those wait who reach that place, who then offer
//!   their processor to it.
//! - Other system calls: to wake somebody who sleeps on the other side; and [`Queue`] and
//!   [`list::MsQueue`] allocate, and ask the kernel who still looks at what they want to free.
//! - Blocking forms spin for some microseconds and then sleep.
//!
//! # Sources
//!
//! The ring is Dmitry Vyukov's bounded MPMC queue (1024cores.net, 2011) with the lap counters of
//! crossbeam's `ArrayQueue`, which allow any capacity, and the closing bit of `concurrent-queue`.
//! The list of segments goes back to Michael and Scott (PODC 1996); that its nodes are arrays it
//! shares with crossbeam's `SegQueue`, that hazard slots protect them with Ramalhete and Correia's
//! `FAAArrayQueue` (2016).
//! How orderings were checked is written in `docs/concurrency.md`.
mod bounded;
mod drain;
mod error;
mod lanes;
pub mod list;
mod parking;
mod queue;
mod ring;
mod segment;
mod slot;
mod stash;
mod stats;
mod sync;

pub use crate::bounded::BoundedQueue;
pub use crate::error::{CapacityError, Closed, PopError, PushError};
pub use crate::lanes::{Lane, PriorityLanes};
pub use crate::queue::Queue;
pub use crate::stats::{BoundedStats, LaneStats, QueueStats};
#[cfg(loom)]
#[doc(hidden)]
pub use crate::sync::{reused, slept, stayed, unfenced};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
