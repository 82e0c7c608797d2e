//! Typed links from one episode to another.

use cortica_storage::Durability;

/// A directed link between two episodes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Association {
    /// The id of the episode it starts at.
    pub from: String,
    /// The id of the episode it leads to.
    pub to: String,
    /// What kind of link it is; the caller's numbers.
    pub relation: u32,
    /// How strong it is: above 0, at most 1.
    pub weight: f32,
}

impl Association {
    /// A link of full strength.
    pub fn new(from: impl Into<String>, to: impl Into<String>, relation: u32) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            relation,
            weight: 1.0,
        }
    }

    /// With this strength, above 0 and at most 1.
    #[must_use]
    pub fn with_weight(mut self, weight: f32) -> Self {
        self.weight = weight;
        self
    }
}

/// How an association was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Associated {
    /// What became of it.
    pub outcome: AssociateOutcome,
    /// What the write reached.
    pub durability: Durability,
}

/// What became of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssociateOutcome {
    /// It is new.
    Added,
    /// It was there with another weight.
    Reweighted,
    /// It was there already; nothing changed.
    AlreadyThere,
}
