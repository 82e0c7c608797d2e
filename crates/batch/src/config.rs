//! How a batch is run.

use crate::operation::Kind;
use cortica_memory::Atomicity;
use cortica_simd::Isa;
use std::time::Duration;

/// How a batch is run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BatchConfig {
    /// The most writes in one commit, and the most operations that are taken from a stream at once.
    /// Approximate recalls gain by each other only from 2,000 for each worker on.
    pub batch_size: usize,
    /// Bytes that a stream holds at most: operations, their texts and vectors, results that wait; the
    /// one operation that has come and waits for room is not counted. A
    /// single operation that may come to more is refused, also outside of streams. What the store
    /// itself holds is not counted.
    pub memory_limit: usize,
    /// Insists on the instruction set of the store's kernels; `None` takes what the store has. Scores
    /// are the same bits only within one, so a batch never computes with another one.
    pub simd: Option<Isa>,
    /// Lists of more operations than this are run in pieces of [`batch_size`](Self::batch_size), whose
    /// operations are let go of piece by piece; shorter ones are run as a whole. Approximate recalls that
    /// follow each other are one piece up to 4,096 for each worker, within
    /// [`memory_limit`](Self::memory_limit).
    pub streaming_threshold: usize,
    /// What happens when operations come faster than they are done, or answers are fetched.
    pub backpressure: Backpressure,
    /// Whether one refused operation is the others' affair. With [`Atomicity::All`] all is done or
    /// nothing: the list, of writes alone, is one frame of the log, which a crash leaves whole or not at
    /// all, and becomes visible at once. Where one is refused, the others are answered
    /// [`Undone`](crate::ItemError::Undone).
    pub atomicity: Atomicity,
    /// How long the batch may take. What was not begun by then is answered
    /// [`TimedOut`](crate::ItemError::TimedOut).
    pub timeout: Option<Duration>,
    /// The NUMA node, by the system's number, on whose processors reads run that are more than one block:
    /// one thread for each, started when the batch is first run ([`Workers::on_node`](crate::Workers::on_node)).
    /// `None` leaves threads to the system. The calling thread, which does the rest, stays where it is.
    pub numa_node: Option<u32>,
}

/// What a stream does when its bytes are used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backpressure {
    /// The source waits. Nothing is dropped.
    #[default]
    Block,
    /// The source never waits: the operations that have waited longest are dropped, and answered
    /// [`Dropped`](crate::ItemError::Dropped). One that would find no room in the place of all that wait is
    /// dropped itself, and those stay.
    DropOldest,
    /// The source waits, and fewer operations are taken at once while bytes are scarce: half as many
    /// at each step, and a sixteenth of the full size more at each step when they no longer are.
    AdaptiveResize,
    /// The source waits, and operations are taken one by one while bytes are scarce.
    FallbackSingle,
}

/// Why a batch cannot be run. Nothing was done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is out of its range.
    #[error("{field}: got {got}, expected at least {least}")]
    TooSmall {
        /// Which field.
        field: &'static str,
        /// What was given.
        got: usize,
        /// The least allowed.
        least: usize,
    },
    /// The store computes with another instruction set; open it with this one, or leave it out.
    #[error("simd: the store computes with {found}, not {asked}; open it with {asked}")]
    Simd {
        /// What was asked for.
        asked: Isa,
        /// What the store has.
        found: Isa,
    },
    /// What is done together or not at all are writes; run reads in a batch of their own.
    #[error(
        "atomicity: operation {operation} is a {kind}, which is no write; run it in a batch of its own"
    )]
    NoWrite {
        /// Which one.
        operation: usize,
        /// What it is.
        kind: Kind,
    },
    /// What is done together has to be there at once; run a list.
    #[error("atomicity: a stream has no end to wait for; run a list")]
    AtomicStream,
    /// This machine has no such node, or none with processors.
    #[error("numa_node: got {asked}, expected one of {nodes:?}")]
    NoNode {
        /// What was asked for.
        asked: u32,
        /// The nodes that have processors.
        nodes: Vec<u32>,
    },
    /// The threads are there already, and elsewhere; take a new batch, or give it those of
    /// [`Workers::on_node`](crate::Workers::on_node).
    #[error("numa_node: asked for {asked}, and the batch has threads that {}", place(*.found))]
    OtherNode {
        /// What was asked for.
        asked: u32,
        /// Where the threads are kept; `None`: they run anywhere.
        found: Option<u32>,
    },
    /// Threads cannot be kept on these processors: the system has no way to, or does not let this process.
    #[error("numa_node: {why}")]
    NotPinned {
        /// Why.
        why: String,
    },
    /// The store was closed.
    #[error("the store was closed")]
    Closed,
    /// The system gives no threads.
    #[error("cannot start {threads} worker threads: {why}")]
    Threads {
        /// How many were to be started.
        threads: usize,
        /// Why that failed.
        why: String,
    },
}

fn place(node: Option<u32>) -> String {
    node.map_or_else(
        || "run anywhere".to_owned(),
        |node| format!("are kept on {node}"),
    )
}

/// The least [`memory_limit`](BatchConfig::memory_limit): room for a few small operations.
pub const MEMORY_LIMIT_MIN: usize = 64 << 10;

impl Default for BatchConfig {
    /// 1,000 operations at once, 256 MiB, pieces from 10,000 operations on, a source that waits, and
    /// all the time there is.
    fn default() -> Self {
        Self {
            batch_size: 1_000,
            memory_limit: 256 << 20,
            simd: None,
            streaming_threshold: 10_000,
            backpressure: Backpressure::Block,
            atomicity: Atomicity::Each,
            timeout: None,
            numa_node: None,
        }
    }
}

impl BatchConfig {
    pub(crate) fn check(&self, isa: Isa) -> Result<(), ConfigError> {
        let at_least = |field, got, least| match got {
            got if got < least => Err(ConfigError::TooSmall { field, got, least }),
            _ => Ok(()),
        };
        at_least("batch_size", self.batch_size, 1)?;
        at_least("memory_limit", self.memory_limit, MEMORY_LIMIT_MIN)?;
        match self.simd {
            Some(asked) if asked != isa => Err(ConfigError::Simd { asked, found: isa }),
            _ => Ok(()),
        }
    }
}
