//! What comes back.

use crate::operation::Kind;
use cortica_memory::{
    AssociateError, Associated, ForgetError, Forgotten, RecallError, StoreError, Stored,
};
use std::sync::Arc;

/// What became of one operation.
pub type Answer = Result<Answered, ItemError>;

/// An operation that was done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "an answer to a store is what most are; a box would be one more allocation each"
)]
pub enum Answered {
    /// To a store.
    Stored(Stored),
    /// To an allocation: [`Stored::allocation`] says which column, or why none.
    Allocated(Stored),
    /// To a recall, best first.
    Recalled(Vec<Hit>),
    /// To a similarity search, best first.
    Similar(Vec<Hit>),
    /// To an association.
    Associated(Associated),
    /// To a forgetting.
    Forgotten(Forgotten),
}

/// A memory that was found. [`MemoryStore::get`](cortica_memory::MemoryStore::get) gives the rest of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// Its identity.
    pub seq: u64,
    /// Its name.
    pub id: Arc<str>,
    /// How near it is; more is nearer.
    pub score: f32,
    /// Its embedding, where the operation asked for it, as it is after the search: where somebody else
    /// updated the episode in the meantime, not the one that has the score, and none where it was
    /// removed, also where another one has its name now.
    pub vector: Option<Vec<f32>>,
}

impl Hit {
    /// A memory that was found.
    pub fn new(seq: u64, id: Arc<str>, score: f32, vector: Option<Vec<f32>>) -> Self {
        Self {
            seq,
            id,
            score,
            vector,
        }
    }
}

/// Why an operation was not done. Nothing of it has happened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The episode was refused.
    #[error(transparent)]
    Store(StoreError),
    /// The cue was refused.
    #[error(transparent)]
    Recall(#[from] RecallError),
    /// The association was refused.
    #[error(transparent)]
    Associate(AssociateError),
    /// There is nothing to forget.
    #[error(transparent)]
    Forget(ForgetError),
    /// There is no such operation in this release; leave it out.
    #[error("{kind}: not supported yet; leave it out")]
    Unsupported {
        /// What was asked for.
        kind: Kind,
    },
    /// Another operation of an all-or-nothing list was refused: correct that one, or leave it out.
    #[error(
        "not done, because operation {item} of the same list, counted from 0, was refused; correct that one, or leave it out"
    )]
    Undone {
        /// Which one, counted from 0.
        item: usize,
    },
    /// It was no operation.
    #[error("{0}")]
    Unreadable(String),
    /// Open the store with an allocator, or store instead.
    #[error("allocate: the store gives no columns; open it with allocation, or store instead")]
    NoAllocation,
    /// Alone it needs more bytes than all operations may: make it smaller, or the limit larger.
    #[error(
        "{needed} bytes needed, the memory limit is {limit}; make it smaller, or raise memory_limit"
    )]
    TooLarge {
        /// What it and its answer may come to.
        needed: usize,
        /// The limit.
        limit: usize,
    },
    /// It waited, and newer ones took its place; or it came when so many bytes were held by what was being
    /// done and by answers that nobody had taken that it had no room in the place of all that waited. Take
    /// answers sooner, make it smaller, or submit it again when there is less to do.
    #[error(
        "dropped for newer operations, or as answers that wait left it no room; take answers sooner, or submit it again"
    )]
    Dropped,
    /// The batch was cancelled before it.
    #[error("cancelled before it was begun; submit it again if it is wanted")]
    Cancelled,
    /// The time was up before it; give the batch more, or submit it again.
    #[error("the time was up before it was begun; give the batch more time, or submit it again")]
    TimedOut,
    /// The store was closed before it; open it again.
    #[error("the store was closed before it was begun; open it again, and submit it to that")]
    Closed,
    /// A panic ended it; the others are not concerned. What it said, cut to 512 bytes.
    #[error("panicked: {0}")]
    Panicked(String),
}

/// What kind of error it was, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An id, a text, a vector or a number that cannot be.
    Invalid,
    /// There is no such episode.
    Unknown,
    /// The store is full, or has no vector space.
    Refused,
    /// The log could not be written.
    Log,
    /// The system has no memory left for it; it may later.
    NoMemory,
    /// [`ItemError::Unsupported`] and [`ItemError::NoAllocation`].
    Unsupported,
    /// [`ItemError::Undone`].
    Undone,
    /// [`ItemError::TooLarge`].
    TooLarge,
    /// [`ItemError::Dropped`].
    Dropped,
    /// [`ItemError::Cancelled`].
    Cancelled,
    /// [`ItemError::TimedOut`].
    TimedOut,
    /// [`ItemError::Closed`].
    Closed,
    /// [`ItemError::Panicked`].
    Panicked,
}

impl ItemError {
    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(StoreError::Log(_) | StoreError::Append(_))
            | Self::Associate(AssociateError::Log(_) | AssociateError::Append(_))
            | Self::Forget(ForgetError::Log(_) | ForgetError::Append(_)) => ErrorKind::Log,
            Self::Associate(AssociateError::UnknownId { .. })
            | Self::Forget(ForgetError::UnknownId { .. }) => ErrorKind::Unknown,
            Self::Store(error) if error.is_out_of_memory() => ErrorKind::NoMemory,
            Self::Store(
                StoreError::NoSpace | StoreError::Full { .. } | StoreError::AtCapacity { .. },
            )
            | Self::Recall(RecallError::NoSpace) => ErrorKind::Refused,
            Self::Store(_)
            | Self::Recall(_)
            | Self::Associate(_)
            | Self::Forget(_)
            | Self::Unreadable(_) => ErrorKind::Invalid,
            Self::Unsupported { .. } | Self::NoAllocation => ErrorKind::Unsupported,
            Self::Undone { .. } => ErrorKind::Undone,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Dropped => ErrorKind::Dropped,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Closed => ErrorKind::Closed,
            Self::Panicked(_) => ErrorKind::Panicked,
        }
    }

    /// Whether it says that the batch was ended before the operation was begun.
    pub(crate) fn ends_the_batch(&self) -> bool {
        self.kind().ends_the_batch()
    }
}

impl From<StoreError> for ItemError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Abandoned { item } => Self::Undone { item },
            error => Self::Store(error),
        }
    }
}

impl From<AssociateError> for ItemError {
    fn from(error: AssociateError) -> Self {
        match error {
            AssociateError::Abandoned { item } => Self::Undone { item },
            error => Self::Associate(error),
        }
    }
}

impl From<ForgetError> for ItemError {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Abandoned { item } => Self::Undone { item },
            error => Self::Forget(error),
        }
    }
}

impl ErrorKind {
    /// Whether it says that the batch was ended before the operation was begun:
    /// [`Cancelled`](Self::Cancelled), [`TimedOut`](Self::TimedOut) or [`Closed`](Self::Closed).
    pub const fn ends_the_batch(self) -> bool {
        matches!(self, Self::Cancelled | Self::TimedOut | Self::Closed)
    }

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Log => "log",
            Self::NoMemory => "no_memory",
            Self::Unsupported => "unsupported",
            Self::Undone => "undone",
            Self::TooLarge => "too_large",
            Self::Dropped => "dropped",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::Panicked => "panicked",
        }
    }
}
