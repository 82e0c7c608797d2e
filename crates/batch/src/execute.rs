//! Operations done: runs of one sort, one after the other.

use crate::answer::{Answer, ItemError};
use crate::cancel::Gate;
use crate::operation::{Kind, Operation};
use crate::reads::reads;
use crate::workers::Workers;
use crate::writes::writes;
use cortica_memory::MemoryStore;
use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Called before each operation.
pub(crate) type Before = Arc<dyn Fn(u64, Kind) + Send + Sync>;

/// Does operations.
pub(crate) struct Executor<'a> {
    pub(crate) store: &'a MemoryStore,
    /// The most writes in one commit.
    pub(crate) batch_size: usize,
    pub(crate) limit: usize,
    pub(crate) workers: &'a (dyn Fn() -> Workers + Sync),
    pub(crate) before: Option<&'a Before>,
    pub(crate) gate: &'a Gate,
}

/// What operations have in common that are done together. What comes between two of one sort is a
/// barrier: it sees what those before it did, and nothing of those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Reads,
    Writes,
    Refused,
}

impl Sort {
    fn of(operation: &Operation) -> Self {
        match operation {
            Operation::Recall { .. } | Operation::SimilaritySearch { .. } => Self::Reads,
            Operation::Store(_)
            | Operation::Allocate(_)
            | Operation::Associate(_)
            | Operation::Forget(_) => Self::Writes,
            Operation::Spread(_) | Operation::Complete(_) | Operation::Unreadable(_) => {
                Self::Refused
            }
        }
    }
}

impl Executor<'_> {
    /// Does operations, of which the first has the number `first`; answer i is for operation i.
    pub(crate) fn execute(&self, first: u64, operations: Vec<Operation>) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(operations.len());
        let mut waiting = operations.into_iter().peekable();
        while let Some(next) = waiting.peek() {
            let sort = Sort::of(next);
            let most = if sort == Sort::Reads {
                usize::MAX
            } else {
                self.batch_size
            };
            let number = first + answers.len() as u64;
            let mut run = Vec::new();
            while run.len() < most
                && let Some(operation) = waiting.next_if(|operation| Sort::of(operation) == sort)
            {
                run.push(operation);
            }
            if let Some(stop) = self.gate.stopped() {
                answers.extend(run.iter().map(|_| Err(stop.error())));
                continue;
            }
            match sort {
                Sort::Reads => answers.extend(reads(self, number, run)),
                Sort::Writes => writes(self, number, run, &mut answers),
                Sort::Refused => answers.extend(run.into_iter().map(|operation| {
                    Err(match operation {
                        Operation::Unreadable(why) => ItemError::Unreadable(why),
                        other => ItemError::Unsupported { kind: other.kind() },
                    })
                })),
            }
        }
        answers
    }

    /// Refuses what may not begin.
    pub(crate) fn admit(&self, number: u64, kind: Kind, needed: usize) -> Result<(), ItemError> {
        if needed > self.limit {
            let limit = self.limit;
            return Err(ItemError::TooLarge { needed, limit });
        }
        match self.before {
            Some(before) => guarded(|| before(number, kind)),
            None => Ok(()),
        }
    }
}

/// Runs what may panic. What it works on is whole also after a panic: locks of the store are let go
/// of, and what a write had begun is not seen.
pub(crate) fn guarded<R>(work: impl FnOnce() -> R) -> Result<R, ItemError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| ItemError::Panicked(words(panic)))
}

/// Bytes of what a panic said that are told of: room is kept for them with each operation.
pub(crate) const PANIC_BYTES_MAX: usize = 512;

/// What a panic said, cut to [`PANIC_BYTES_MAX`]. What it carried may panic itself when it is dropped: then
/// it is not.
pub(crate) fn words(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let text = text.map(|text| text[..text.floor_char_boundary(PANIC_BYTES_MAX)].to_owned());
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(again);
    }
    text.unwrap_or_else(|| "for an unknown reason".to_owned())
}
