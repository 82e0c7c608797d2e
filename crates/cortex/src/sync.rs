//! The door to `std::sync` and to loom: nothing else in this crate names either, so the code
//! loom explores is the code we ship.

// Figures carry no ordering that anything relies on; std's make no branches in a model.
pub(crate) use std::sync::atomic::AtomicU64 as Counter;

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, fence};

pub(crate) use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Lets whoever is at it finish.
#[cfg(not(loom))]
pub(crate) fn spin() {
    std::hint::spin_loop();
}

#[cfg(loom)]
pub(crate) fn spin() {
    loom::thread::yield_now();
}

/// Values of a code. loom watches every word of a column, so in a model there are few.
pub(crate) const CODE_VALUES: usize = if cfg!(loom) { 8 } else { 64 };
