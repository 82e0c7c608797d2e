//! Writes of several kinds in one list.

use crate::association::{Associated, Association};
use crate::episode::Episode;
use crate::error::{AssociateError, ForgetError, StoreError};
use crate::outcome::{Forgotten, Stored};

/// One of many writes; see [`MemoryStore::write_many`](crate::MemoryStore::write_many).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Write {
    /// Stores an episode.
    Store(Episode),
    /// Links two episodes.
    Associate(Association),
    /// Forgets the episode with this id.
    Forget(String),
}

/// How one of many writes was answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Written {
    /// Answers [`Write::Store`].
    Stored(Result<Stored, StoreError>),
    /// Answers [`Write::Associate`].
    Associated(Result<Associated, AssociateError>),
    /// Answers [`Write::Forget`].
    Forgotten(Result<Forgotten, ForgetError>),
}

impl Written {
    /// Whether it was done.
    pub fn is_ok(&self) -> bool {
        match self {
            Self::Stored(answer) => answer.is_ok(),
            Self::Associated(answer) => answer.is_ok(),
            Self::Forgotten(answer) => answer.is_ok(),
        }
    }
}

/// What happens to the others of a list of writes when one of them is refused, and after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Atomicity {
    /// Each counts for itself. After a crash before the answer, the first ones may be there, each as a
    /// whole, with what it evicted.
    #[default]
    Each,
    /// All or none: where one is refused none is done, and after a crash at any moment all are there or
    /// none is. The whole list is in memory once more until it is written.
    All,
}
