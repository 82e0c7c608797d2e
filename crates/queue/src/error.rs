//! Why a queue said no. A refused item always comes back.

use std::fmt;

/// Why a queue of this capacity cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapacityError {
    /// A queue that holds nothing would refuse everything.
    #[error("the capacity of a queue must be at least 1")]
    Zero,
    /// More places than can be counted here, or than there is memory for.
    #[error("no room for a queue of {0} items")]
    TooLarge(usize),
}

/// Why an item was refused; it comes back inside.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError<T> {
    /// No place was free, for as long as the call was allowed to take. Worth another try.
    #[error("the queue is full")]
    Full(T),
    /// The queue was closed and takes no more items, ever.
    #[error("the queue is closed")]
    Closed(T),
}

impl<T> PushError<T> {
    /// The refused item.
    pub fn into_inner(self) -> T {
        match self {
            PushError::Full(item) | PushError::Closed(item) => item,
        }
    }
}

/// Needs no `T: Debug`: what is inside is the caller's.
impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full(_) => "Full(..)",
            PushError::Closed(_) => "Closed(..)",
        })
    }
}

/// The queue was closed and takes no more items; what was refused comes back inside.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is closed")]
pub struct Closed<T = ()>(pub T);

impl<T> fmt::Debug for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

/// Why there is no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PopError {
    /// Nothing was there, for as long as the call was allowed to take. Worth another try.
    #[error("the queue is empty")]
    Empty,
    /// The queue was closed and everything that was in it has been taken.
    #[error("the queue is closed and empty")]
    Closed,
}
