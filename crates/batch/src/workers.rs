//! Threads that read side by side.

use crate::config::ConfigError;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::fmt;
use std::sync::Arc;
use std::thread;

/// Threads that answer reads, each taking the next block when it is done with one. Clones share
/// them; they end with the last one.
#[derive(Clone)]
pub struct Workers {
    /// None: the calling thread does it all.
    pool: Option<Arc<ThreadPool>>,
}

impl Workers {
    /// So many; 0 is one for each processor that the process may use.
    pub fn new(threads: usize) -> Result<Self, ConfigError> {
        let threads = match threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            some => some,
        };
        if threads == 1 {
            return Ok(Self { pool: None });
        }
        let builder = ThreadPoolBuilder::new().num_threads(threads);
        let named = builder.thread_name(|at| format!("cortica-batch-{at}"));
        let pool = named.build().map_err(|error| ConfigError::Threads {
            threads,
            why: error.to_string(),
        })?;
        let pool = Some(Arc::new(pool));
        Ok(Self { pool })
    }

    /// None of them: the thread that asks does it all.
    pub(crate) fn none() -> Self {
        Self { pool: None }
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

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Workers").field(&self.count()).finish()
    }
}
