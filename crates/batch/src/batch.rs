//! The door: a list or a stream of operations on a store.

use crate::answer::{Answer, ItemError};
use crate::answers::Answers;
use crate::bytes::{needed, needed_by_all, of_answer, waiting_all};
use crate::cancel::{Cancel, Gate};
use crate::config::{BatchConfig, ConfigError};
use crate::engine;
use crate::execute::{Before, Executor, guarded};
use crate::operation::{Kind, Operation};
use crate::progress::Progress;
use crate::reads::{WALKS_MAX, is_walk};
use crate::source;
use crate::summary::BatchSummary;
use crate::together;
use crate::workers::Workers;
use cortica_arena::Level;
use cortica_memory::{Atomicity, MemoryStore};
use cortica_simd::Isa;
use futures_core::Stream;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

/// Runs operations on a store, many at a time. Clones run on the same store, with the same workers.
///
/// It does not keep the store open: when that is closed, what is left is answered
/// [`Closed`](crate::ItemError::Closed).
#[derive(Clone)]
#[must_use = "a batch does nothing until it is run"]
pub struct Batch {
    store: Weak<MemoryStore>,
    config: BatchConfig,
    /// Started when they are needed first.
    workers: Arc<OnceLock<Workers>>,
    pub(crate) cancels: Vec<Cancel>,
    pub(crate) before: Option<Before>,
    pub(crate) told: Option<Told>,
}

/// Called when it is further than before.
pub(crate) type Told = Arc<dyn Fn(&Progress) + Send + Sync>;

/// What a list of operations came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchOutcome {
    /// Answer i is for operation i.
    pub answers: Vec<Answer>,
    /// All of them in numbers.
    pub summary: BatchSummary,
}

impl Batch {
    /// On this store, with the default configuration.
    pub fn over(store: &Arc<MemoryStore>) -> Self {
        Self {
            store: Arc::downgrade(store),
            config: BatchConfig::default(),
            workers: Arc::default(),
            cancels: Vec::new(),
            before: None,
            told: None,
        }
    }

    /// With this configuration.
    pub fn config(mut self, config: BatchConfig) -> Self {
        self.config = config;
        self
    }

    /// Reads side by side on these threads; without this, on as many as there are processors, which
    /// are started when they are needed first.
    pub fn workers(mut self, workers: &Workers) -> Self {
        self.workers = Arc::new(OnceLock::from(workers.clone()));
        self
    }

    /// Ends when this is cancelled, too.
    pub fn cancelled_by(mut self, cancel: &Cancel) -> Self {
        self.cancels.push(cancel.clone());
        self
    }

    /// Calls `before` with the number and the kind of each operation before it is begun, on the
    /// thread that does it. A panic in it fails that operation, and no other.
    ///
    /// It is called for all that is done, and once at most; where the batch is ended early, also for
    /// searches that were done and taken back, as a recall in front of them was not begun: those are
    /// answered like that one.
    pub fn before(mut self, before: impl Fn(u64, Kind) + Send + Sync + 'static) -> Self {
        self.before = Some(Arc::new(before));
        self
    }

    /// Calls `told` whenever operations were answered, on the thread that did so. A panic in it is told
    /// as a warning, and nothing else comes of it: no answer is lost, and it is called again.
    pub fn on_progress(mut self, told: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.told = Some(Arc::new(told));
        self
    }

    /// Does all of them, and gives what they give one by one in this order: answer i is for
    /// operation i. A bad operation fails alone.
    ///
    /// O(the sum of what they cost); reads side by side share a pass over the vectors, writes side by
    /// side share a write and a sync.
    pub fn run(&self, operations: Vec<Operation>) -> Result<BatchOutcome, ConfigError> {
        let begun = Instant::now();
        let store = self.store.upgrade().ok_or(ConfigError::Closed)?;
        let isa = store.isa();
        self.check(isa)?;
        let gate = self.gate(begun);
        let total = operations.len();
        let atomic = self.config.atomicity == Atomicity::All;
        if atomic {
            together::check(&operations)?;
        }
        let pieces = !atomic && total > self.config.streaming_threshold;
        // What is done as one piece has nothing waiting behind it.
        let mut waiting = if pieces { waiting_all(&operations) } else { 0 };
        let mut answers = Vec::with_capacity(total);
        let (mut held, mut summary) = (0_usize, BatchSummary::new(isa));
        let mut operations = operations.into_iter();
        while answers.len() < total {
            let length = if pieces {
                self.piece(operations.as_slice())
            } else {
                total
            };
            let piece: Vec<_> = operations.by_ref().take(length).collect();
            if pieces {
                waiting = waiting.saturating_sub(waiting_all(&piece));
            }
            let around = held.saturating_add(waiting);
            let all = needed_by_all(&piece).saturating_add(around);
            summary.peak_bytes = summary.peak_bytes.max(all);
            let answered = if atomic {
                // Writes need no workers.
                together::execute(&self.executor(&store, &gate, &Workers::none), piece)
            } else {
                self.execute(&store, &gate, answers.len() as u64, piece)
            };
            for answer in &answered {
                held += of_answer(answer);
                summary.add(answer);
            }
            answers.extend(answered);
            self.tell(|| Progress {
                submitted: total as u64,
                answered: answers.len() as u64,
                taken: 0,
                bytes: held.saturating_add(waiting),
                pressure: Level::Normal,
                elapsed: begun.elapsed(),
            });
        }
        summary.peak_bytes = summary.peak_bytes.max(held);
        summary.wall = begun.elapsed();
        Ok(BatchOutcome { answers, summary })
    }

    /// How many of these are the next piece: [`batch_size`](BatchConfig::batch_size), and more where
    /// walks follow each other, as far as all may take so many bytes as a stream might.
    fn piece(&self, rest: &[Operation]) -> usize {
        let least = self.config.batch_size;
        let Some((piece, behind)) = rest.split_at_checked(least) else {
            return rest.len();
        };
        if !piece.last().is_some_and(is_walk) || !behind.first().is_some_and(is_walk) {
            return least;
        }
        // There are enough of them to have the workers started anyway.
        let most = WALKS_MAX.saturating_mul(self.started_workers().count());
        let mut bytes = needed_by_all(piece);
        let fit = |operation: &&Operation| {
            bytes = bytes.saturating_add(needed(operation));
            is_walk(operation) && bytes <= self.config.memory_limit
        };
        let more = behind.iter().take(most.saturating_sub(least));
        least + more.take_while(fit).count()
    }

    /// Does operations as they come, within [`memory_limit`](BatchConfig::memory_limit) bytes, and
    /// gives the answers in their order. The source is asked on a thread of its own, at the latest
    /// until the answers are dropped; what it gives after that is not done.
    pub fn stream<I>(&self, source: I) -> Result<Answers, ConfigError>
    where
        I: IntoIterator<Item = Operation>,
        I::IntoIter: Send + 'static,
    {
        let source = source.into_iter();
        engine::start(self, move |flow| source::pull(source, flow))
    }

    /// As [`stream`](Self::stream), from a stream, which is polled on a thread of its own.
    pub fn stream_async<S>(&self, source: S) -> Result<Answers, ConfigError>
    where
        S: Stream<Item = Operation> + Send + 'static,
    {
        engine::start(self, move |flow| source::poll(source, flow))
    }

    pub(crate) fn settings(&self) -> &BatchConfig {
        &self.config
    }

    pub(crate) fn store(&self) -> Option<Arc<MemoryStore>> {
        self.store.upgrade()
    }

    pub(crate) fn gate(&self, begun: Instant) -> Gate {
        Gate {
            cancels: self.cancels.clone(),
            // A time too far off to be told is as good as none.
            deadline: self.config.timeout.and_then(|time| begun.checked_add(time)),
        }
    }

    pub(crate) fn execute(
        &self,
        store: &MemoryStore,
        gate: &Gate,
        first: u64,
        operations: Vec<Operation>,
    ) -> Vec<Answer> {
        let workers = || self.started_workers();
        let executor = self.executor(store, gate, &workers);
        executor.execute(first, operations)
    }

    fn executor<'a>(
        &'a self,
        store: &'a MemoryStore,
        gate: &'a Gate,
        workers: &'a (dyn Fn() -> Workers + Sync),
    ) -> Executor<'a> {
        Executor {
            store,
            batch_size: self.config.batch_size,
            limit: self.config.memory_limit,
            workers,
            before: self.before.as_ref(),
            gate,
        }
    }

    pub(crate) fn tell(&self, progress: impl FnOnce() -> Progress) {
        if let Some(told) = &self.told
            && let Err(ItemError::Panicked(words)) = guarded(|| told(&progress()))
        {
            tracing::warn!(words, "who is told of the progress of a batch panicked");
        }
    }

    /// Whether it can be run as it is configured; threads that have to be somewhere are started.
    pub(crate) fn check(&self, isa: Isa) -> Result<(), ConfigError> {
        self.config.check(isa)?;
        let Some(asked) = self.config.numa_node else {
            return Ok(());
        };
        if self.workers.get().is_none() {
            let started = Workers::on_node(asked)?;
            let _ = self.workers.set(started); // Or somebody else's, which are looked at below.
        }
        match self.workers.get().and_then(Workers::node) {
            Some(node) if node == asked => Ok(()),
            found => Err(ConfigError::OtherNode { asked, found }),
        }
    }

    fn started_workers(&self) -> Workers {
        let start = || {
            Workers::new(0).unwrap_or_else(|error| {
                tracing::warn!(%error, "reads are answered one block after the other");
                Workers::none()
            })
        };
        self.workers.get_or_init(start).clone()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("Batch");
        all.field("config", &self.config);
        all.field("workers", &self.workers.get());
        all.finish_non_exhaustive()
    }
}
