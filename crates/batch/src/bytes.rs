//! What operations and answers come to in bytes of memory.

use crate::answer::{Answer, Answered, Hit, ItemError};
use crate::execute::PANIC_BYTES_MAX;
use crate::operation::Operation;
use cortica_memory::{
    Accuracy, Cue, EF_MAX, Episode, Evicted, ID_BYTES_MAX, MAX_RESULTS, StoreOutcome, Stored, Value,
};

/// An id that others hold too: its bytes and two counts.
const SHARED_ID: usize = ID_BYTES_MAX + 2 * size_of::<usize>();

/// What a search keeps for each result until it is an answer: candidates and their scores.
const CANDIDATE: usize = 64;

/// What a walk keeps for each candidate: it and its key in the beam, in lists that double as they grow, and
/// among those that were scored; its row and its score when it is ranked.
const WALKED: usize = 64;

/// What deciding about a write takes beside what is written: drafts, and places in tables.
const DRAFT: usize = 1_024;

/// Entries of a map share nodes, which may be half empty.
const ENTRY: usize = 128;
const NODE: usize = 768;

/// Places in queues, of which up to four are kept for each that is used: of what waits, and of what
/// was answered.
pub(crate) const PLACES: usize = 4 * (size_of::<Operation>() + size_of::<Answer>() + 32);

/// What operations come to while they wait in a list, with the places of their answers.
pub(crate) fn waiting_all(operations: &[Operation]) -> usize {
    let add = |all: usize, operation| all.saturating_add(PLACES).saturating_add(heap(operation));
    operations.iter().fold(0, add)
}

/// What an operation and its answer come to at most, until somebody has taken the answer.
pub(crate) fn needed(operation: &Operation) -> usize {
    let own = heap(operation);
    let answer = match operation {
        Operation::Store(episode) | Operation::Allocate(episode) => {
            // An error may name an entry of the metadata or the id.
            let evicted = size_of::<Evicted>() + SHARED_ID;
            DRAFT + 2 * SHARED_ID + evicted + episode.id.len() + metadata(episode)
        }
        Operation::Recall { cue, vectors } => {
            let results = results(cue.k(), vectors.then_some(cue.vector().len()));
            results.saturating_add(walked(cue))
        }
        Operation::SimilaritySearch {
            query, k, vectors, ..
        } => results(*k, vectors.then_some(query.len())),
        Operation::Associate(_) | Operation::Forget(_) => DRAFT + own,
        Operation::Spread(_) | Operation::Complete(_) | Operation::Unreadable(_) => 0,
    };
    let all = PLACES.saturating_add(own);
    all.saturating_add(answer.max(PANIC_BYTES_MAX)) // In the place of its answer, where it panics.
}

/// What all of them come to at most.
pub(crate) fn needed_by_all(operations: &[Operation]) -> usize {
    let add = |all: usize, operation| all.saturating_add(needed(operation));
    operations.iter().fold(0, add)
}

/// What an answer comes to while it waits.
pub(crate) fn of_answer(answer: &Answer) -> usize {
    PLACES
        + match answer {
            Ok(Answered::Recalled(hits) | Answered::Similar(hits)) => of_hits(hits),
            Ok(Answered::Stored(stored) | Answered::Allocated(stored)) => of_stored(stored),
            Ok(Answered::Associated(_) | Answered::Forgotten(_)) => 0,
            Err(error) => of_error(error),
        }
}

/// What lies in other places than in the operation itself.
fn heap(operation: &Operation) -> usize {
    match operation {
        Operation::Store(episode) | Operation::Allocate(episode) => of_episode(episode),
        Operation::Recall { cue, .. } | Operation::Spread(cue) | Operation::Complete(cue) => {
            of_cue(cue)
        }
        Operation::SimilaritySearch { query, .. } => query.capacity() * size_of::<f32>(),
        Operation::Associate(link) => link.from.capacity() + link.to.capacity(),
        Operation::Forget(text) | Operation::Unreadable(text) => text.capacity(),
    }
}

fn of_cue(cue: &Cue) -> usize {
    size_of_val(cue.vector())
}

fn of_episode(episode: &Episode) -> usize {
    let texts = [Some(&episode.id), Some(&episode.what)];
    let optional = [episode.place.as_ref(), episode.stream.as_ref()];
    let texts = texts.into_iter().chain(optional).flatten();
    let texts: usize = texts.map(String::capacity).sum();
    let people: usize = episode.who.iter().map(String::capacity).sum();
    let embedding = episode.embedding.as_ref().map_or(0, Vec::capacity);
    texts
        + people
        + episode.who.capacity() * size_of::<String>()
        + embedding * size_of::<f32>()
        + metadata(episode)
}

fn metadata(episode: &Episode) -> usize {
    if episode.metadata.is_empty() {
        return 0;
    }
    let entries = episode.metadata.iter().map(|(key, value)| {
        let text = match value {
            Value::Text(text) => text.capacity(),
            _ => 0,
        };
        ENTRY + key.capacity() + text
    });
    NODE + entries.sum::<usize>()
}

/// The candidates of a walk, if it is one. Which of many are walks at the same time is not known here: room is
/// kept for each.
fn walked(cue: &Cue) -> usize {
    match cue.how_sure() {
        Accuracy::Approximate { ef } if (1..=EF_MAX).contains(&ef) && cue.k() <= MAX_RESULTS => {
            ef.max(cue.k()) * WALKED
        }
        _ => 0, // It compares all, or is refused.
    }
}

/// So many results, with embeddings of this dimension if any.
fn results(k: usize, dimension: Option<usize>) -> usize {
    if k > MAX_RESULTS {
        return 0; // It is refused, with an error that says how many there may be.
    }
    let vector = dimension.unwrap_or(0).saturating_mul(size_of::<f32>());
    let each = size_of::<Hit>() + SHARED_ID + CANDIDATE;
    k.saturating_mul(each.saturating_add(vector))
}

fn of_hits(hits: &Vec<Hit>) -> usize {
    let each = |hit: &Hit| {
        let vector = hit.vector.as_ref().map_or(0, Vec::capacity);
        hit.id.len() + 2 * size_of::<usize>() + vector * size_of::<f32>()
    };
    hits.capacity() * size_of::<Hit>() + hits.iter().map(each).sum::<usize>()
}

fn of_stored(stored: &Stored) -> usize {
    let reinforced = matches!(stored.outcome, StoreOutcome::Reinforced { .. });
    let placed = stored.allocation.is_some();
    let evicted = stored.evicted.len();
    (usize::from(reinforced) + usize::from(placed) + evicted) * SHARED_ID
        + stored.evicted.capacity() * size_of::<Evicted>()
}

fn of_error(error: &ItemError) -> usize {
    use cortica_memory::{AssociateError, ForgetError, StoreError};
    match error {
        ItemError::Store(
            StoreError::IdTaken { id: text } | StoreError::MetadataNotFinite { key: text },
        )
        | ItemError::Associate(AssociateError::UnknownId { id: text, .. })
        | ItemError::Forget(ForgetError::UnknownId { id: text })
        | ItemError::Unreadable(text)
        | ItemError::Panicked(text) => text.capacity(),
        _ => 0,
    }
}
