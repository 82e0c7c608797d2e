//! The graph index as a file beside the log, so that it need not be made again.

use crate::table::Table;
use cortica_index::{HnswIndex, SavedGraphError, SavedKey, saved_position};
use cortica_storage::{CacheError, CacheKind, CommitError, Log};
use parking_lot::{Mutex, RwLock};
use std::io::{self, Write};

const GRAPH: CacheKind = CacheKind {
    name: "graph",
    format: 1,
};

/// What came of looking for a saved graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Embeddings that are part of the graph because of it.
    pub(crate) vectors: u64,
    /// Why there was one that is not used.
    pub(crate) refused: Option<String>,
}

/// Why a graph could not be used.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Graph(#[from] SavedGraphError),
    #[error("the saved graph stands for another position than its file")]
    Position,
}

/// Why a graph could not be saved. Nothing but time is lost by it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    #[error("cannot make durable what it stands for")]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("cannot write it")]
    Write(#[from] io::Error),
}

/// Takes over the graph that was saved, for those embeddings that are what they were then. All
/// others wait for links.
pub(crate) fn load(log: &Log, table: &Table, index: &HnswIndex) -> Loaded {
    match try_load(log, table, index) {
        Ok(vectors) => Loaded {
            vectors,
            refused: None,
        },
        Err(LoadError::Cache(CacheError::Missing { .. })) => Loaded::default(),
        Err(error) => {
            tracing::warn!(%error, "the saved graph is not used; it is made anew");
            Loaded {
                vectors: 0,
                refused: Some(error.to_string()),
            }
        }
    }
}

fn try_load(log: &Log, table: &Table, index: &HnswIndex) -> Result<u64, LoadError> {
    let reader = log.open_cache(GRAPH)?;
    let position = reader.position();
    let saved = reader.into_mapped()?;
    if saved_position(&saved)? != position {
        return Err(LoadError::Position);
    }
    // What was updated since has another checksum, or the same values.
    let loaded = index.load(&saved, |key| {
        let held = table.by_seq(key.id)?;
        held.row.filter(|_| held.embedding_crc == key.check)
    })?;
    tracing::info!(
        linked = loaded.linked,
        gone = loaded.gone,
        "took over the saved graph"
    );
    Ok(loaded.linked as u64)
}

/// Saves the graph. Writes wait while it is encoded, not while it is written.
pub(crate) fn save(
    log: &Mutex<Option<Log>>,
    table: &RwLock<Table>,
    index: &HnswIndex,
) -> Result<(), SaveError> {
    let (point, saved) = {
        let mut log = log.lock();
        let Some(of_log) = &mut *log else {
            return Ok(());
        };
        let point = of_log.cache_point()?;
        // The log was locked, so the table is what it says.
        let table = table.read();
        drop(log);
        let saved = index.save(point.position(), |row| {
            let held = table.held_by_row(row)?;
            Some(SavedKey {
                id: held.memory.seq,
                check: held.embedding_crc,
            })
        });
        (point, saved)
    };
    // What it is told by lies in the payload: seqs, and the checksums of their embeddings.
    let mut writer = point.create(GRAPH, 0)?;
    writer.write_all(&saved)?;
    writer.finish()?;
    Ok(())
}
