//! Memory reclamation for lock-free structures: when may an object that was taken out be freed?
//!
//! When nobody looks at it any more. A [`Reclaim`] domain gives guards; a guard *protects* what
//! it loads, and *retires* what was taken out. Two strategies answer the question:
//!
//! | | [`PublishOnPing`] | [`Epoch`] |
//! |---|---|---|
//! | protects | one pointer a guard | everything a guard loads |
//! | a reader pays | two stores (fenced: and a fence) | a fence |
//! | garbage behind a stalled reader | bounded (1) | grows |
//! | a batch of retirements pays | a ping of all readers, and a look at all slots | an attempt to advance |
//!
//! (1) With one exception, in the form with signals, which has to be asked for: where the kernel
//! refuses membarrier, a reader that blocks the signal, never pauses and never uses the domain again
//! holds everything back ([`Stats::refused`]).
//!
//! [`Shared`] is a whole structure on top of them, and needs no unsafe code to use:
//!
//! ```
//! use cortica_reclaim::{PublishOnPing, Shared};
//!
//! let words = Shared::new(&PublishOnPing::new(), vec!["one"]);
//! std::thread::scope(|threads| {
//!     threads.spawn(|| words.replace(vec!["one", "two"]));
//!     threads.spawn(|| assert_eq!(words.read()[0], "one")); // The old list or the new.
//! });
//! assert_eq!(words.read().len(), 2);
//! ```
//!
//! Guards make structures of one's own; see [`Protect`]. Threads need not register: they get a
//! slot at their first guard and give it back when they end.

mod barrier;
mod epoch;
mod garbage;
#[cfg(all(feature = "signal", target_os = "linux", not(loom)))]
mod handler;
#[cfg(loom)]
#[path = "interrupts.rs"]
mod handler;
mod local;
mod order;
mod ping;
mod shared;
#[cfg(any(loom, all(feature = "signal", target_os = "linux")))]
mod signal;
#[cfg(not(any(loom, all(feature = "signal", target_os = "linux"))))]
#[path = "no_signal.rs"]
mod signal;
mod slot;
mod sorted_set;
mod stats;
mod strategy;
mod sync;
#[cfg(all(feature = "signal", target_os = "linux", not(loom)))]
mod witness;

pub use crate::barrier::Form;
pub use crate::epoch::{Epoch, EpochGuard};
#[cfg(all(feature = "signal", target_os = "linux", not(loom)))]
pub use crate::handler::SignalError;
#[cfg(loom)]
#[doc(hidden)]
pub use crate::handler::{
    handled, pause_around_next_signal, pause_before_next_wait, set_blocked, switched, testify,
};
pub use crate::ping::{PingGuard, PublishOnPing};
pub use crate::shared::{Read, Reader, Shared};
pub use crate::sorted_set::SortedSet;
pub use crate::stats::Stats;
pub use crate::strategy::{Protect, Reclaim};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
