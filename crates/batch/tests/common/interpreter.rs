//! Operations one by one: the store is asked for each, and nothing is done together.

use cortica_batch::{Answer, Answered, Hit, ItemError, Operation};
use cortica_memory::{Accuracy, Cue, MemoryStore, RecallError, Recalled};

/// Does one operation.
pub(crate) fn interpret(store: &MemoryStore, operation: Operation) -> Answer {
    let kind = operation.kind();
    match operation {
        Operation::Store(episode) => Ok(Answered::Stored(store.store(episode)?)),
        Operation::Allocate(_) if !store.allocates() => Err(ItemError::NoAllocation),
        Operation::Allocate(episode) => Ok(Answered::Allocated(store.store(episode)?)),
        Operation::Recall { cue, vectors } => {
            let found = hits(store, store.recall(&cue), vectors)?;
            Ok(Answered::Recalled(found))
        }
        Operation::SimilaritySearch {
            query,
            k,
            threshold,
            vectors,
        } => {
            let mut cue = Cue::embedding(query).max_results(k);
            cue = cue.accuracy(Accuracy::Exact);
            if let Some(threshold) = threshold {
                cue = cue.result_threshold(threshold);
            }
            let found = store.search_many(&[cue]).pop().unwrap();
            let found = hits(store, found, vectors)?;
            Ok(Answered::Similar(found))
        }
        Operation::Associate(link) => {
            let linked = store.associate_many(&[link]).pop().unwrap();
            Ok(Answered::Associated(linked?))
        }
        Operation::Forget(id) => Ok(Answered::Forgotten(store.forget(&id)?)),
        _ => Err(ItemError::Unsupported { kind }),
    }
}

fn hits(
    store: &MemoryStore,
    found: Result<Vec<Recalled>, RecallError>,
    vectors: bool,
) -> Result<Vec<Hit>, ItemError> {
    let hit = |recalled: Recalled| {
        let id = recalled.memory.id.clone();
        let vector = if vectors { store.embedding(&id) } else { None };
        Hit::new(recalled.memory.seq, id, recalled.score, vector)
    };
    Ok(found?.into_iter().map(hit).collect())
}
