//! Threads that read side by side.

use crate::config::ConfigError;
use cortica_arena::{Pinned, Topology};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::thread;

/// Threads that answer reads, each taking the next block when it is done with one. Clones share
/// them; they end with the last one.
#[derive(Clone)]
pub struct Workers {
    /// None: the calling thread does it all.
    pool: Option<Arc<ThreadPool>>,
    /// The NUMA node that the threads are kept on.
    node: Option<u32>,
}

impl Workers {
    /// So many; 0 is one for each processor that the process may use.
    pub fn new(threads: usize) -> Result<Self, ConfigError> {
        let threads = match threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            some => some,
        };
        if threads == 1 {
            return Ok(Self::none());
        }
        let pool = Some(started(threads, |builder| builder)?);
        Ok(Self { pool, node: None })
    }

    /// One for each processor of a NUMA node, kept on these.
    pub fn on_node(node: u32) -> Result<Self, ConfigError> {
        let topology = Topology::discover();
        let able = |node: &&cortica_arena::Node| !node.cpus.is_empty();
        let nodes = topology.nodes().iter().filter(able);
        let Some(found) = nodes.clone().find(|one| one.id == node) else {
            let nodes = nodes.map(|node| node.id).collect();
            return Err(ConfigError::NoNode { asked: node, nodes });
        };
        let not_pinned = |error: cortica_arena::PinError| {
            let why = error.to_string();
            ConfigError::NotPinned { why }
        };
        // What the threads will do, tried where somebody can be told that it does not go.
        drop(Pinned::to(&found.cpus).map_err(not_pinned)?);
        let cpus = found.cpus.clone();
        let keep = move |_| match Pinned::to(&cpus) {
            Ok(pinned) => mem::forget(pinned), // As long as the thread is there.
            Err(error) => tracing::warn!(%error, node, "a worker runs anywhere"),
        };
        let pool = started(found.cpus.len(), |builder| builder.start_handler(keep))?;
        Ok(Self {
            pool: Some(pool),
            node: Some(node),
        })
    }

    /// None of them: the thread that asks does it all.
    pub(crate) fn none() -> Self {
        Self {
            pool: None,
            node: None,
        }
    }

    /// The NUMA node that they are kept on, if they are.
    pub fn node(&self) -> Option<u32> {
        self.node
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.pool
            .as_ref()
            .map_or(1, |pool| pool.current_num_threads())
    }

    pub(crate) fn pool(&self) -> Option<&ThreadPool> {
        self.pool.as_deref()
    }
}

fn started(
    threads: usize,
    and: impl FnOnce(ThreadPoolBuilder) -> ThreadPoolBuilder,
) -> Result<Arc<ThreadPool>, ConfigError> {
    let builder = ThreadPoolBuilder::new().num_threads(threads);
    let named = builder.thread_name(|at| format!("cortica-batch-{at}"));
    let pool = and(named).build().map_err(|error| ConfigError::Threads {
        threads,
        why: error.to_string(),
    })?;
    Ok(Arc::new(pool))
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workers").field(&self.count()).finish()
    }
}
