//! What a batch came to, in numbers.

use crate::answer::{Answer, Answered, ErrorKind};
use cortica_arena::Level;
use cortica_memory::{AssociateOutcome, StoreOutcome};
use cortica_simd::Isa;
use std::collections::BTreeMap;
use std::time::Duration;

/// What became of an operation, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// A new episode.
    Stored,
    /// An episode that replaced another one.
    Updated,
    /// Content that was there: the episode that has it stands out more.
    Reinforced,
    /// Results of a recall, perhaps none.
    Recalled,
    /// Results of a similarity search, perhaps none.
    Similar,
    /// A new link.
    Linked,
    /// A link that has another weight now.
    Reweighted,
    /// A link that was there.
    AlreadyLinked,
    /// An episode that is gone.
    Forgotten,
    /// An error.
    Failed,
    /// What a later release of the store answers.
    Other,
}

/// What a batch came to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BatchSummary {
    /// How many operations were answered.
    pub operations: u64,
    /// Operations from the first on that were all dealt with; what lies behind has not happened.
    pub applied: u64,
    /// How many there were of each outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Of those that failed, how many for each kind of reason.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// Memories that were forgotten to make room.
    pub evicted: u64,
    /// The most bytes that operations and answers came to at once, as `memory_limit` counts them. Of a
    /// list, all answers so far, all operations that still wait, and what is being done with its
    /// answers at most; it may be beyond the limit, which bounds streams.
    pub peak_bytes: usize,
    /// How scarce they were at most. A list is there as a whole, and under no pressure: always
    /// [`Normal`](Level::Normal).
    pub peak_pressure: Level,
    /// The instruction set of the kernels.
    pub isa: Isa,
    /// How long it took.
    pub wall: Duration,
    /// Why it was ended before all was done: [`Cancelled`](ErrorKind::Cancelled),
    /// [`TimedOut`](ErrorKind::TimedOut) or [`Closed`](ErrorKind::Closed). None: all operations of the list
    /// were dealt with, or all that the source of a stream had until it was at its end. A stream that was
    /// ended while its source was silent has no operation to answer so: then only this tells.
    pub ended_by: Option<ErrorKind>,
    /// What the source of a stream said when it panicked, cut to 512 bytes, which ended the stream; what had come
    /// before was done.
    pub source_panicked: Option<String>,
}

impl Outcome {
    pub(crate) fn of(answer: &Answer) -> Self {
        match answer {
            Ok(Answered::Stored(stored) | Answered::Allocated(stored)) => match stored.outcome {
                StoreOutcome::Stored => Self::Stored,
                StoreOutcome::Updated => Self::Updated,
                StoreOutcome::Reinforced { .. } => Self::Reinforced,
                _ => Self::Other,
            },
            Ok(Answered::Recalled(_)) => Self::Recalled,
            Ok(Answered::Similar(_)) => Self::Similar,
            Ok(Answered::Associated(associated)) => match associated.outcome {
                AssociateOutcome::Added => Self::Linked,
                AssociateOutcome::Reweighted => Self::Reweighted,
                AssociateOutcome::AlreadyThere => Self::AlreadyLinked,
                _ => Self::Other,
            },
            Ok(Answered::Forgotten(_)) => Self::Forgotten,
            Err(_) => Self::Failed,
        }
    }

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Updated => "updated",
            Self::Reinforced => "reinforced",
            Self::Recalled => "recalled",
            Self::Similar => "similar",
            Self::Linked => "linked",
            Self::Reweighted => "reweighted",
            Self::AlreadyLinked => "already_linked",
            Self::Forgotten => "forgotten",
            Self::Failed => "failed",
            Self::Other => "other",
        }
    }
}

impl BatchSummary {
    pub(crate) fn new(isa: Isa) -> Self {
        Self {
            operations: 0,
            applied: 0,
            outcomes: BTreeMap::new(),
            errors: BTreeMap::new(),
            evicted: 0,
            peak_bytes: 0,
            peak_pressure: Level::Normal,
            isa,
            wall: Duration::ZERO,
            ended_by: None,
            source_panicked: None,
        }
    }

    /// How many operations had this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }

    /// How many operations failed for this kind of reason.
    pub fn failed(&self, kind: ErrorKind) -> u64 {
        self.errors.get(&kind).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, answer: &Answer) {
        if let Err(error) = answer {
            self.add_failed(error.kind(), 1);
        } else {
            self.apply(1);
            if let Ok(Answered::Stored(stored) | Answered::Allocated(stored)) = answer {
                self.evicted += stored.evicted.len() as u64;
            }
            *self.outcomes.entry(Outcome::of(answer)).or_default() += 1;
        }
    }

    pub(crate) fn add_failed(&mut self, kind: ErrorKind, count: u64) {
        self.end(kind);
        if kind.ends_the_batch() {
            self.operations += count;
        } else {
            self.apply(count);
        }
        *self.outcomes.entry(Outcome::Failed).or_default() += count;
        *self.errors.entry(kind).or_default() += count;
    }

    /// Nothing more is begun, if that is such a reason.
    pub(crate) fn end(&mut self, kind: ErrorKind) {
        if kind.ends_the_batch() {
            self.ended_by.get_or_insert(kind);
        }
    }

    fn apply(&mut self, count: u64) {
        if self.applied == self.operations {
            self.applied += count;
        }
        self.operations += count;
    }
}
