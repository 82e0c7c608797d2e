//! A request that outlives its submission.

use cortica_cortex::{ConceptRequest, Hint, Priority};
use cortica_env::Timestamp;

/// A [`ConceptRequest`] that owns what it names, to be handed to a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its id, 1 to 256 bytes.
    pub concept_id: String,
    /// Its features.
    pub features: Vec<f32>,
    /// Where to look first.
    pub hint: Hint,
    /// How far around, in units of the lattice; finite and above 0.
    pub search_radius: f32,
    /// Whether it goes before others, in a pipeline that is [relaxed](crate::Order::Relaxed).
    pub priority: Priority,
    /// The stream it belongs to.
    pub stream: Option<u64>,
    /// Not worth doing after this moment.
    pub deadline: Option<Timestamp>,
}

impl Request {
    /// With a search radius of 4 and everything else by default.
    #[must_use]
    pub fn new(concept_id: impl Into<String>, features: Vec<f32>) -> Request {
        let (concept_id, usual) = (concept_id.into(), ConceptRequest::new("", &[]));
        Request {
            concept_id,
            features,
            hint: usual.hint,
            search_radius: usual.search_radius,
            priority: usual.priority,
            stream: usual.stream,
            deadline: usual.deadline,
        }
    }

    /// Lent, as an engine takes it.
    #[must_use]
    pub fn lend(&self) -> ConceptRequest<'_> {
        ConceptRequest {
            concept_id: &self.concept_id,
            features: &self.features,
            hint: self.hint,
            search_radius: self.search_radius,
            priority: self.priority,
            stream: self.stream,
            deadline: self.deadline,
        }
    }
}

impl From<&ConceptRequest<'_>> for Request {
    fn from(lent: &ConceptRequest<'_>) -> Request {
        Request {
            concept_id: lent.concept_id.to_owned(),
            features: lent.features.to_vec(),
            hint: lent.hint,
            search_radius: lent.search_radius,
            priority: lent.priority,
            stream: lent.stream,
            deadline: lent.deadline,
        }
    }
}
