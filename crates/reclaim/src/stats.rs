//! Figures of one domain.

use crate::sync::{Counter, Relaxed};

/// How much went through a domain, and what there is in it now.
///
/// Counts begin with the domain, or with the last [`reset_stats`](crate::Reclaim::reset_stats),
/// which sets them to zero. Levels are what they are now, and a reset leaves them alone: `slots`,
/// `batch`, and [`pending`](Stats::pending), for which `retired` begins with what was pending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Objects handed to `retire`; after a reset, those that were pending then included.
    pub retired: u64,
    /// Objects freed, those whose destructor panicked included.
    pub freed: u64,
    /// Destructors that panicked.
    pub panicked: u64,
    /// Batches that were put off because readers could not be made to show what they protect:
    /// the kernel refused to ping them, which a sandbox set up after the domain can bring about,
    /// or one that is late has not been seen to pass a barrier yet. What they hold is freed with
    /// a later batch, or with the domain.
    pub refused: u64,
    /// Slots whose threads did not answer a signal in time. They run a fence until they answer.
    pub late: u64,
    /// How often a reclaimer waited for an answer as long as it may, 10 ms, and in vain: once each
    /// time that threads turn out to be late, however many batches go by before they answer.
    pub waits: u64,
    /// Reservation slots there are, those that threads keep for their next guards included. They are
    /// used again, by whoever comes when a thread has ended, and never freed before the domain. 0 for
    /// epochs.
    pub slots: u64,
    /// Objects all threads together may hold before one of them has to look at the slots.
    pub batch: u64,
}

impl Stats {
    /// Objects retired and not yet freed.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.retired.saturating_sub(self.freed)
    }

    /// The most objects that can be pending under hazard slots, whatever readers do:
    /// each of the slots' lists holds back at most one object a slot, and a share of the batch.
    ///
    /// More can be only while batches are put off ([`refused`](Stats::refused)): where the kernel
    /// has come to refuse pings, or, in the form with signals where it has no membarrier, as long as
    /// a reader blocks the signal, runs without a pause and does not use the domain again.
    #[must_use]
    pub fn pending_max(&self) -> u64 {
        let held_back = self.slots.saturating_mul(self.slots);
        held_back.saturating_add(self.batch)
    }
}

/// What had been counted at the last reset. The counters themselves go on: each has a writer that
/// may be at work, and a zero would get lost.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    freed: Counter,
    panicked: Counter,
    refused: Counter,
    late: Counter,
    waits: Counter,
}

impl Baseline {
    /// `totals` less what had been counted by the last reset.
    pub(crate) fn since(&self, totals: Stats) -> Stats {
        let less = |total: u64, before: &Counter| total.saturating_sub(before.load(Relaxed));
        Stats {
            // As much as from `freed`, so that what is pending stays so.
            retired: less(totals.retired, &self.freed),
            freed: less(totals.freed, &self.freed),
            panicked: less(totals.panicked, &self.panicked),
            refused: less(totals.refused, &self.refused),
            late: less(totals.late, &self.late),
            waits: less(totals.waits, &self.waits),
            ..totals
        }
    }

    /// Counts begin anew. The later of two resets at once holds.
    pub(crate) fn set(&self, totals: &Stats) {
        for (before, total) in [
            (&self.freed, totals.freed),
            (&self.panicked, totals.panicked),
            (&self.refused, totals.refused),
            (&self.late, totals.late),
            (&self.waits, totals.waits),
        ] {
            before.fetch_max(total, Relaxed);
        }
    }
}
