//! One operation as a line of JSON.

use cortica::{Accuracy, Association, Cue, Operation};
use serde::de::{Deserialize, Deserializer};

use crate::episode_line::{Embedding, EpisodeLine};

/// An [`Operation`] read from JSON.
pub(crate) struct OperationLine(pub(crate) Operation);

#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Store(EpisodeLine),
    Allocate(EpisodeLine),
    Recall(Recall),
    SimilaritySearch(Search),
    Associate(Link),
    Forget(Forget),
    Spread(Recall),
    Complete(Recall),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Recall {
    embedding: Embedding,
    #[serde(default = "ten")]
    k: usize,
    threshold: Option<f32>,
    ef: Option<usize>,
    #[serde(default)]
    vectors: bool,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    embedding: Embedding,
    #[serde(default = "ten")]
    k: usize,
    threshold: Option<f32>,
    #[serde(default)]
    vectors: bool,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    from: String,
    to: String,
    #[serde(default)]
    relation: u32,
    #[serde(default = "one")]
    weight: f32,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Forget {
    id: String,
}

fn ten() -> usize {
    10
}

fn one() -> f32 {
    1.0
}

impl Recall {
    fn cue(self) -> (Cue, bool) {
        let cue = Cue::embedding(self.embedding.0).max_results(self.k);
        let cue = match self.threshold {
            Some(threshold) => cue.result_threshold(threshold),
            None => cue,
        };
        let cue = match self.ef {
            Some(ef) => cue.accuracy(Accuracy::Approximate { ef }),
            None => cue,
        };
        (cue, self.vectors)
    }
}

impl<'de> Deserialize<'de> for OperationLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Line::deserialize(deserializer)? {
            Line::Store(EpisodeLine(episode)) => Operation::Store(episode),
            Line::Allocate(EpisodeLine(episode)) => Operation::Allocate(episode),
            Line::Recall(recall) => {
                let (cue, vectors) = recall.cue();
                Operation::Recall { cue, vectors }
            }
            Line::SimilaritySearch(search) => Operation::SimilaritySearch {
                query: search.embedding.0,
                k: search.k,
                threshold: search.threshold,
                vectors: search.vectors,
            },
            Line::Associate(link) => {
                let association = Association::new(link.from, link.to, link.relation);
                Operation::Associate(association.with_weight(link.weight))
            }
            Line::Forget(Forget { id }) => Operation::Forget(id),
            Line::Spread(recall) => Operation::Spread(recall.cue().0),
            Line::Complete(recall) => Operation::Complete(recall.cue().0),
        }))
    }
}
