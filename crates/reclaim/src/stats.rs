//! Figures of one domain.

/// How much went through a domain since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Objects handed to `retire`.
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
    /// Reservation slots there are: the most guards that were ever held at once. 0 for epochs.
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
    #[must_use]
    pub fn pending_max(&self) -> u64 {
        self.slots * self.slots + self.batch
    }
}
