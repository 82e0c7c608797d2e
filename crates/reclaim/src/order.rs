//! How the reader of one slot keeps its reservation before its second look.
//!
//! The compiler alone keeps them in order while whoever reclaims can make the reader pass a
//! barrier. Otherwise the reader runs a fence. Which it is can change while the slot is used:
//! see `signal.rs`.

use std::hint::cold_path;

use crate::barrier::Form;
use crate::signal::Member;
#[cfg(any(loom, all(feature = "signal", target_os = "linux")))]
use crate::sync::Release;
use crate::sync::{Acquire, Flag, Relaxed, SeqCst, compiler_fence, fence};

/// `late` of a slot whose reader always runs a fence.
const ALWAYS: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Order {
    /// 0 while the compiler is enough. Otherwise the reader runs a fence: since this round of
    /// pings, or always.
    late: Flag,
    /// The last value of `late` since which the reader is known to have passed a barrier.
    seen: Flag,
    /// The thread to ping.
    pub(crate) member: Member,
}

impl Order {
    pub(crate) fn new(form: Form) -> Order {
        let late = if form == Form::Fenced { ALWAYS } else { 0 };
        let changes = form == Form::Signal;
        Order {
            late: Flag::new(late, changes),
            seen: Flag::new(late, changes),
            member: Member::new(),
        }
    }

    /// Between the reader's store and its load.
    #[inline]
    pub(crate) fn keep(&self) {
        compiler_fence(SeqCst);
        // After the store: a reader that is found to have passed a barrier since `late` was set
        // has either made its reservation visible by then, or looks here later. Acquire: one that
        // is let off again sees what was taken out while it ran fences.
        let late = self.late.load(Acquire);
        if late != 0 {
            cold_path(); // Straight on is for those who pay nothing.
            fence(SeqCst);
            if self.seen.load(Relaxed) != late {
                self.seen.store(late, Relaxed); // The fence releases the reservations.
            }
        }
        compiler_fence(SeqCst);
        self.interruption();
    }

    /// Nothing in the shipped code, where a signal comes when it likes. In a model it comes here.
    #[inline]
    #[allow(clippy::unused_self, reason = "models use it")]
    pub(crate) fn interruption(&self) {
        #[cfg(loom)]
        if self.late.changes() {
            self.member.interruption();
        }
    }
}

/// What pings by signal need. What changes anything is done under their lock.
#[cfg(any(loom, all(feature = "signal", target_os = "linux")))]
impl Order {
    /// The round since which the reader is to run a fence of its own, if it is.
    pub(crate) fn late_since(&self) -> Option<u64> {
        // Relaxed: changed under the lock only; without it, it says no more than whether to wait.
        let late = self.late.load(Relaxed);
        (late != 0).then_some(late)
    }

    /// Whether the reader runs a fence, and every reservation made without one is visible.
    pub(crate) fn is_fenced(&self) -> bool {
        // Relaxed: whoever lets the reader off does so under the lock, so that we know of it, or
        // after we took objects out, so that the reader knows of that.
        let late = self.late.load(Relaxed);
        // Acquire pairs with the Release of whoever knows.
        late != 0 && self.seen.load(Acquire) == late
    }

    /// From its next reservation on, the reader runs a fence.
    pub(crate) fn set_late(&self, round: u64) {
        self.late.store(round, Relaxed); // The reader's fence is all that it brings about.
    }

    /// The new owner always runs a fence. Relaxed: nobody else looks, as it cannot be pinged.
    pub(crate) fn set_always(&self) {
        self.seen.store(ALWAYS, Relaxed);
        self.late.store(ALWAYS, Relaxed);
    }

    /// Every reservation that the reader made without a fence is visible: the reader was seen to
    /// pass a barrier after `set_late(round)`.
    pub(crate) fn set_seen(&self, round: u64) {
        self.seen.store(round, Release);
    }

    /// The compiler is enough again, or for a new owner.
    pub(crate) fn let_off(&self) {
        // Release: the reader that finds this sees what was taken out before.
        self.late.store(0, Release);
    }
}
