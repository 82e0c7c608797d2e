//! What is asked of an allocator, and what it answers.

use crate::column::ConceptId;
use crate::grid::ColumnId;
use crate::placement::Hint;
use crate::prototype::Code;
use crate::score::Score;
use cortica_env::Timestamp;

/// Which requests go first where they may overtake each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// When there is nothing else.
    Low,
    /// As they come.
    #[default]
    Normal,
    /// Before those.
    High,
    /// Before all.
    Critical,
}

/// A concept that is to have a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConceptRequest<'a> {
    /// Its id, 1 to 256 bytes.
    pub concept_id: &'a str,
    /// Its features, of the dimension of the space.
    pub features: &'a [f32],
    /// Where to look first.
    pub hint: Hint,
    /// How far around, in units of the lattice; finite and above 0.
    pub search_radius: f32,
    /// Whether it goes before others.
    pub priority: Priority,
    /// The stream it belongs to, whose last concepts say what to expect.
    pub stream: Option<u64>,
    /// Not worth doing after this moment.
    pub deadline: Option<Timestamp>,
}

impl<'a> ConceptRequest<'a> {
    /// A request with a search radius of 4 and everything else by default.
    #[must_use]
    pub fn new(concept_id: &'a str, features: &'a [f32]) -> ConceptRequest<'a> {
        ConceptRequest {
            concept_id,
            features,
            hint: Hint::Auto,
            search_radius: 4.0,
            priority: Priority::Normal,
            stream: None,
            deadline: None,
        }
    }
}

/// How long the parts of an allocation took, microseconds by the allocator's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Making the code.
    pub encode_us: u64,
    /// Comparing with what is there.
    pub dedup_us: u64,
    /// Scoring candidates.
    pub score_us: u64,
    /// Competition.
    pub compete_us: u64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Allocation {
    /// It has a column.
    Allocated {
        /// Which.
        column: ColumnId,
        /// Its activity when it won, in \[0, 1\].
        activation: f32,
        /// Why it won.
        score: Score,
        /// How many columns competed.
        candidates: usize,
        /// How many of them were held down.
        inhibited: usize,
        /// How long it took.
        timings: Timings,
    },
    /// It is there already.
    Duplicate {
        /// The column that holds it.
        column: ColumnId,
        /// The cosine of the features; 1 for the same id or the same bytes.
        similarity: f32,
        /// The concept that it is.
        of: ConceptId,
    },
    /// No column is free.
    NoSuitableColumn,
}

/// A request that was validated entered the window of its stream, whatever became of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observed {
    /// The stream.
    pub stream: u64,
    /// The code exactly as used.
    pub code: Code,
}

/// What came of a request that was reserved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reserved {
    /// The answer.
    pub allocation: Allocation,
    /// What is to be logged, where it has a column.
    pub decision: Option<Decision>,
    /// What is to be logged, where it has none and belongs to a stream.
    pub observed: Option<Observed>,
}

/// A line of the log, as it is read back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Logged<'a> {
    /// A concept was given a column.
    Allocated {
        /// How.
        decision: &'a Decision,
        /// Its id.
        concept_id: &'a str,
        /// Its features.
        features: &'a [f32],
    },
    /// What a decision taught, without its concept: its neighbourhood learned, and its code entered the window of
    /// its stream.
    Learned(&'a Decision),
    /// A concept that has a column, without what was learned from it.
    Held {
        /// How it came there.
        decision: &'a Decision,
        /// Its id.
        concept_id: &'a str,
        /// Its features.
        features: &'a [f32],
    },
    /// A request was not given one, and entered the window of its stream.
    Observed(&'a Observed),
    /// A concept was let go of.
    Released {
        /// The column.
        column: ColumnId,
        /// The concept.
        concept: ConceptId,
    },
}

/// A decision as it is logged: all that it takes to make it again without networks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// The concept.
    pub concept: ConceptId,
    /// Its column.
    pub column: ColumnId,
    /// The share of the way that prototypes were moved, in \[0, 1\].
    pub rate: f32,
    /// How far around the column, in units of the lattice; 0 for the column alone.
    pub radius: f32,
    /// The code exactly as used.
    pub code: Code,
    /// The stream it belongs to.
    pub stream: Option<u64>,
}
