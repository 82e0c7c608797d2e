//! One batch: offered, stored, and every item answered.

use std::collections::HashSet;

use cortica::{
    BatchConfig, ConfigError, Cortica, Durability, Episode, ItemError, Metric, Operation,
    StoreError, StoreOutcome, VectorError,
};
use serde::Serialize;

/// An item of the file, or why it could not be read.
#[derive(Debug)]
pub(crate) struct Item {
    /// Counted from 0 over the whole file.
    pub(crate) row: u64,
    pub(crate) offered: Result<Episode, String>,
}

/// An item that was not stored.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) row: u64,
    /// None when the item was too damaged to tell.
    pub(crate) id: Option<String>,
    pub(crate) reason: String,
}

/// How the items of a batch were answered; their number is the number of items.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) stored: u64,
    /// Items that took the place of what was there under their id.
    pub(crate) updated: u64,
    pub(crate) already_there: u64,
    /// Items whose content another episode has, by row, with the id of that episode.
    pub(crate) duplicates: Vec<(u64, String)>,
    /// Episodes that were forgotten to make room.
    pub(crate) evicted: u64,
    pub(crate) failures: Vec<Failure>,
    /// The least that was promised for an item of this batch.
    pub(crate) durability: Option<Durability>,
    /// Set when the log took nothing: no later batch can succeed either.
    pub(crate) log_refused: Option<StoreError>,
}

/// Stores the items. An id that is taken by the same content is already there, which makes
/// running again after an interruption harmless; taken by other content it is a failure, unless
/// that is to be updated. Content that is there under another id is a duplicate of that one.
pub(crate) fn store(memory: &Cortica, items: Vec<Item>, update: bool) -> Answered {
    let mut answered = Answered::default();
    let mut waiting = items;
    // An id that comes twice in a batch waits for a round of its own, so that the second one
    // is compared with what became of the first.
    while !waiting.is_empty() {
        waiting = round(memory, waiting, update, &mut answered);
    }
    answered.failures.sort_by_key(|failure| failure.row);
    answered
}

fn round(memory: &Cortica, items: Vec<Item>, update: bool, answered: &mut Answered) -> Vec<Item> {
    let mut in_round = HashSet::new();
    let mut later = Vec::new();
    let mut fresh = Vec::with_capacity(items.len());
    let mut offered = Vec::with_capacity(items.len());
    for Item { row, offered: item } in items {
        match item {
            Err(reason) => answered.failures.push(Failure {
                row,
                id: None,
                reason,
            }),
            // Compared with what will be there, not with what is.
            Ok(episode) if in_round.contains(&episode.id) => later.push(Item {
                row,
                offered: Ok(episode),
            }),
            Ok(episode) => match what_is_there(memory, &episode) {
                There::TheSame => answered.already_there += 1,
                There::Elsewhere(id) => answered.duplicates.push((row, id)),
                There::Another(reason) if !update || reason.faulty => {
                    let reason = reason.words;
                    answered.failures.push(Failure {
                        row,
                        id: Some(episode.id),
                        reason,
                    });
                }
                There::Nothing | There::Another(_) => {
                    in_round.insert(episode.id.clone());
                    offered.push((row, episode.id.clone()));
                    fresh.push(Operation::Store(episode));
                }
            },
        }
    }
    if fresh.is_empty() {
        return later;
    }
    let answers = match run_whole(memory, fresh) {
        Ok(answers) => answers,
        Err(error) => {
            // Cannot be: the configuration asks for nothing special.
            let refused = |(row, id): (u64, String)| Failure {
                row,
                id: Some(id),
                reason: error.to_string(),
            };
            answered.failures.extend(offered.into_iter().map(refused));
            return later;
        }
    };
    for ((row, id), answer) in offered.into_iter().zip(answers) {
        match answer {
            Ok(cortica::Answered::Stored(stored)) => {
                answered.durability = Some(stored.durability);
                answered.evicted += stored.evicted.len() as u64;
                match stored.outcome {
                    StoreOutcome::Updated => answered.updated += 1,
                    StoreOutcome::Reinforced { of } if *of != *id => {
                        answered.duplicates.push((row, of.to_string()));
                    }
                    StoreOutcome::Stored => answered.stored += 1,
                    // Nothing but the encoding confidence differed, which makes no other episode.
                    _ => answered.already_there += 1,
                }
            }
            Ok(_) => {} // A store is answered in kind.
            Err(error) => {
                let reason = error.to_string();
                answered.failures.push(Failure {
                    row,
                    id: Some(id),
                    reason,
                });
                if let ItemError::Store(error @ StoreError::Log(_)) = error {
                    answered.log_refused = Some(error);
                }
            }
        }
    }
    later
}

/// Runs operations in one list.
pub(crate) fn run_whole(
    memory: &Cortica,
    operations: Vec<Operation>,
) -> Result<Vec<cortica::Answer>, ConfigError> {
    let runner = memory.batch().config(config(operations.len().max(1)));
    Ok(runner.run(operations)?.answers)
}

/// One commit for all, and no bound on what is in memory already.
fn config(items: usize) -> BatchConfig {
    let mut config = BatchConfig::default();
    config.batch_size = items;
    config.streaming_threshold = items;
    config.memory_limit = usize::MAX;
    config
}

/// What the store has under the id of an episode.
enum There {
    Nothing,
    TheSame,
    /// Nothing, but the same content under this id.
    Elsewhere(String),
    Another(Another),
}

/// Something else.
struct Another {
    words: String,
    /// Whether what was offered could not be stored at all.
    faulty: bool,
}

fn what_is_there(memory: &Cortica, offered: &Episode) -> There {
    let Some(there) = memory.get(&offered.id) else {
        let elsewhere = memory.same_as(offered);
        return elsewhere.map_or(There::Nothing, |same| There::Elsewhere(same.id.to_string()));
    };
    let stored = memory.embedding(&offered.id);
    let embedding = offered.embedding.as_deref();
    let same_embedding = same(stored.as_deref(), embedding);
    if !same_embedding && let Some(fault) = embedding.and_then(|values| fault(memory, values)) {
        return There::Another(Another {
            words: format!("embedding: {fault}"),
            faulty: true,
        });
    }
    let differing: Vec<String> = [
        ("id", *there.id == *offered.id),
        ("what", there.what == offered.what),
        ("when", there.when == offered.when),
        ("place", there.place == offered.place),
        ("who", there.who == offered.who),
        ("embedding", same_embedding),
        (
            "encoding_confidence",
            there.encoding_confidence == offered.encoding_confidence,
        ),
        ("metadata", there.metadata == offered.metadata),
        ("stream", there.stream == offered.stream),
    ]
    .into_iter()
    .filter(|(_, same)| !same)
    .map(|(field, _)| format!("`{field}`"))
    .collect();
    if differing.is_empty() {
        return There::TheSame;
    }
    let words = format!(
        "id: `{}` is taken by an episode with another {} (seq {}); give this one another id, or \
         replace that one with --update",
        offered.id,
        differing.join(", "),
        there.seq
    );
    There::Another(Another {
        words,
        faulty: false,
    })
}

/// Whether what is stored is what is offered. Equal bits, but for the one rounding that the store
/// does, of extremely long or short vectors, which is far below this bound.
fn same(stored: Option<&[f32]>, offered: Option<&[f32]>) -> bool {
    let (Some(stored), Some(offered)) = (stored, offered) else {
        return stored.is_none() && offered.is_none();
    };
    let largest = offered
        .iter()
        .fold(0.0_f64, |largest, x| largest.max(f64::from(x.abs())));
    // An infinite value offered would make every bound hold.
    let bound = if largest.is_finite() {
        largest * 2.0_f64.powi(-120)
    } else {
        0.0
    };
    let near = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs() <= bound;
    stored.len() == offered.len() && stored.iter().zip(offered).all(near)
}

/// Why the store would refuse an embedding. The store looks at the id first, so for a taken id it
/// would not come to this; a person wants to hear of the broken vector, not of the id.
fn fault(memory: &Cortica, embedding: &[f32]) -> Option<VectorError> {
    let space = memory.stats().space?;
    let (got, expected) = (embedding.len(), space.dimension);
    if got != expected {
        return Some(VectorError::Dimension { got, expected });
    }
    if let Some(index) = embedding.iter().position(|value| !value.is_finite()) {
        let value = embedding[index];
        return Some(VectorError::NotFinite { index, value });
    }
    let zero = embedding.iter().all(|value| *value == 0.0);
    (zero && space.metric == Metric::Cosine).then_some(VectorError::ZeroVector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortica::{Confidence, Timestamp, Value};

    fn full() -> Episode {
        Episode::new("tea", "tea with Ada")
            .with_when(Timestamp::from_micros(7))
            .with_place("Kew")
            .with_who("Ada")
            .with_embedding(vec![1.0, 0.5])
            .with_confidence(Confidence::new(0.5).unwrap())
            .with_metadata("cups", Value::Int(2))
            .with_stream("day")
    }

    fn offer(memory: &Cortica, episode: Episode) -> Answered {
        let offered = Ok(episode);
        store(memory, vec![Item { row: 0, offered }], false)
    }

    #[test]
    fn every_field_that_differs_is_named() {
        let memory = Cortica::builder().dimension(2).in_memory().unwrap();
        assert_eq!(offer(&memory, full()).stored, 1);
        assert_eq!(offer(&memory, full()).already_there, 1);
        let bare = |change: fn(&mut Episode)| {
            let mut episode = full();
            change(&mut episode);
            episode
        };
        for (changed, fields) in [
            (bare(|e| e.what = String::new()), "`what`"),
            (bare(|e| e.when = None), "`when`"),
            (full().with_when(Timestamp::from_micros(8)), "`when`"),
            (full().with_place("Kyoto"), "`place`"),
            (full().with_who("Mari"), "`who`"),
            (full().with_embedding(vec![1.0, 0.25]), "`embedding`"),
            (bare(|e| e.embedding = None), "`embedding`"),
            (
                full().with_confidence(Confidence::FULL),
                "`encoding_confidence`",
            ),
            (full().with_metadata("cups", Value::Int(3)), "`metadata`"),
            (
                full().with_metadata("cups", Value::Float(2.0)),
                "`metadata`",
            ),
            (full().with_metadata("hot", Value::Bool(true)), "`metadata`"),
            (full().with_stream("night"), "`stream`"),
            (
                full().with_stream("night").with_place("Kyoto"),
                "`place`, `stream`",
            ),
        ] {
            let answered = offer(&memory, changed);
            let reason = &answered.failures[0].reason;
            let wanted = format!("with another {fields} (seq 1)");
            assert!(reason.contains(&wanted), "`{reason}` should say `{wanted}`");
            assert_eq!((answered.stored, answered.already_there), (0, 0));
        }
        assert_eq!(memory.stats().episodes, 1);
        let elsewhere = bare(|episode| episode.id = "cha".into());
        assert_eq!(
            offer(&memory, elsewhere).duplicates,
            [(0, "tea".to_owned())]
        );
        let offered = Ok(full().with_stream("night"));
        let updated = store(&memory, vec![Item { row: 0, offered }], true);
        assert_eq!((updated.updated, updated.failures.len()), (1, 0));
        assert_eq!(memory.stats().episodes, 1);
    }
}
