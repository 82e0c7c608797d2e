//! From a cue to the memories it finds.

use crate::accuracy::Accuracy;
use crate::cue::{Cue, Recalled};
use crate::error::RecallError;
use crate::store::MemoryStore;
use cortica_index::{HnswIndex, Nearest, Neighbor, Query, VectorError, VectorIndex};
use std::collections::BTreeMap;
use std::iter::zip;

impl MemoryStore {
    /// Finds the memories that match a cue best, by score descending, then seq ascending.
    ///
    /// Nothing changes by it at once. That they were used is noted, and strengthens them with the next
    /// write or [`tick`](Self::tick), unless the store was
    /// [opened](crate::StoreOptions::recalls_strengthen) otherwise.
    pub fn recall(&self, cue: &Cue) -> Result<Vec<Recalled>, RecallError> {
        self.recall_many(std::slice::from_ref(cue))
            .pop()
            .unwrap_or(Err(RecallError::NoSpace))
    }

    /// Recalls for many cues together, the exact ones in one pass over the vectors; answer i is for cue i and the same, bit
    /// for bit, as [`recall`](Self::recall) gives. One bad cue fails alone.
    pub fn recall_many(&self, cues: &[Cue]) -> Vec<Result<Vec<Recalled>, RecallError>> {
        self.find_many(cues, self.recalls_strengthen)
    }

    /// As [`recall_many`](Self::recall_many), but it is no use of what it finds: nothing is noted, and
    /// nothing changes by it.
    pub fn search_many(&self, cues: &[Cue]) -> Vec<Result<Vec<Recalled>, RecallError>> {
        self.find_many(cues, false)
    }

    fn find_many(&self, cues: &[Cue], strengthen: bool) -> Vec<Result<Vec<Recalled>, RecallError>> {
        let Some(space) = &self.space else {
            return cues
                .iter()
                .map(|cue| cue.check().and(Err(RecallError::NoSpace)))
                .collect();
        };
        let checked: Vec<_> = cues.iter().map(Cue::check).collect();
        let mut by_accuracy: BTreeMap<Accuracy, Vec<usize>> = BTreeMap::new();
        for (place, cue) in cues.iter().enumerate() {
            if checked[place].is_ok() {
                by_accuracy.entry(cue.how_sure()).or_default().push(place);
            }
        }
        // Held over search and look-up: a row that is found has its memory in place.
        let table = self.table.read();
        let mut found: Vec<_> = cues.iter().map(|_| Ok(Vec::new())).collect();
        for (accuracy, places) in by_accuracy {
            let cues: Vec<&Cue> = places.iter().map(|&place| &cues[place]).collect();
            for (place, neighbors) in zip(places, search(&space.index, accuracy, &cues)) {
                found[place] = neighbors;
            }
        }
        zip(zip(cues, checked), found)
            .map(|((cue, checked), neighbors)| {
                checked?;
                let near = neighbors?
                    .into_iter()
                    .filter(|found| found.score >= cue.threshold());
                let mut recalled: Vec<_> = near
                    .filter_map(|found| {
                        let memory = table.by_row(found.row)?.clone();
                        Some(Recalled {
                            score: found.score,
                            memory,
                        })
                    })
                    .collect();
                recalled.sort_by(|a, b| {
                    b.score
                        .total_cmp(&a.score)
                        .then(a.memory.seq.cmp(&b.memory.seq))
                });
                recalled.truncate(cue.k());
                if strengthen {
                    for found in &recalled {
                        table.note_use(found.memory.seq);
                    }
                }
                Ok(recalled)
            })
            .collect()
    }
}

fn search(
    index: &HnswIndex,
    accuracy: Accuracy,
    cues: &[&Cue],
) -> Vec<Result<Vec<Neighbor>, VectorError>> {
    let queries = cues.iter().map(|cue| Query {
        vector: cue.vector(),
        k: cue.k(),
    });
    let queries: Vec<_> = queries.collect();
    match accuracy {
        Accuracy::Exact => index.search_many(&queries),
        Accuracy::Approximate { ef } => {
            let how = Nearest {
                width: ef,
                ..Nearest::default()
            };
            index.nearest_many(&queries, how)
        }
    }
}
