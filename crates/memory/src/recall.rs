//! From a cue to the memories it finds.

use crate::cue::{Cue, Recalled};
use crate::error::RecallError;
use crate::store::MemoryStore;
use cortica_index::Query;
use std::iter::zip;

impl MemoryStore {
    /// Finds the memories that match a cue best, by score descending, then seq ascending.
    pub fn recall(&self, cue: &Cue) -> Result<Vec<Recalled>, RecallError> {
        self.recall_many(std::slice::from_ref(cue))
            .pop()
            .unwrap_or(Err(RecallError::NoSpace))
    }

    /// Recalls for many cues in one pass over the vectors; answer i is for cue i and the same, bit
    /// for bit, as [`recall`](Self::recall) gives. One bad cue fails alone.
    pub fn recall_many(&self, cues: &[Cue]) -> Vec<Result<Vec<Recalled>, RecallError>> {
        let Some(space) = &self.space else {
            return cues
                .iter()
                .map(|cue| cue.check().and(Err(RecallError::NoSpace)))
                .collect();
        };
        let checked: Vec<_> = cues.iter().map(Cue::check).collect();
        let good = zip(cues, &checked).filter(|(_, checked)| checked.is_ok());
        let queries: Vec<_> = good
            .map(|(cue, _)| Query {
                vector: cue.vector(),
                k: cue.k(),
            })
            .collect();
        // Held over search and look-up: a row that is found has its memory in place.
        let table = self.table.read();
        let mut found = space.index.search_many(&queries).into_iter();
        zip(cues, checked)
            .map(|(cue, checked)| {
                checked?;
                let neighbors = found.next().unwrap_or_else(|| Ok(Vec::new()))?;
                let near = neighbors
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
                Ok(recalled)
            })
            .collect()
    }
}
