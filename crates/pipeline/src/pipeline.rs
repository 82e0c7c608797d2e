//! Many workers over one engine.

use crate::completions::Completions;
use crate::crew::{Crew, NotTaken};
use crate::engine::{AllocationEngine, Order};
use crate::figures::{PipelineStats, Totals};
use crate::job::Job;
use crate::owned::Request;
use crate::sync::{lock, read, write};
use crate::ticket::{Answer, Slot, Ticket};
use cortica_cortex::AllocateError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::ThreadId;
use std::time::Duration;

/// How a pipeline works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipelineOptions {
    /// Threads; 1 to 1,024.
    pub workers: usize,
    /// Requests that may wait: of each priority where the order is [relaxed](Order::Relaxed), of all otherwise.
    pub capacity: usize,
    /// In which order requests are decided.
    pub order: Order,
}

impl Default for PipelineOptions {
    fn default() -> PipelineOptions {
        let cores = std::thread::available_parallelism();
        PipelineOptions {
            workers: cores.map_or(1, usize::from),
            capacity: 1_024,
            order: Order::Submission,
        }
    }
}

/// What a pipeline is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It was never started.
    New,
    /// It takes requests in.
    Running,
    /// It does what was taken in, and takes no more.
    Draining,
    /// It has no workers; it can be started again.
    Stopped,
}

/// Why there is no such pipeline, or it was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// An option out of its range.
    #[error("{field} is {got}; it must be {expected}")]
    Option {
        /// Which.
        field: &'static str,
        /// What was given.
        got: usize,
        /// What it may be.
        expected: &'static str,
    },
    /// It was started before; shut it down first.
    #[error("the pipeline is {0:?}; it can be started when it is new or stopped")]
    Started(Phase),
    /// The system gave no thread.
    #[error("cannot start worker {number}; nothing was started")]
    Thread {
        /// Which.
        number: usize,
        /// Why.
        source: std::io::Error,
    },
}

/// Why a request was not taken in.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitReason {
    /// As many wait as may; wait for answers, or try again later.
    #[error("the queue is full")]
    Full,
    /// It takes none now.
    #[error("the pipeline is {0:?}; start it first")]
    NotRunning(Phase),
    /// It is no request.
    #[error(transparent)]
    Refused(#[from] AllocateError),
}

/// A request that was not taken in, and why. Nothing has changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("not submitted: {reason}")]
pub struct SubmitError {
    /// The request, handed back.
    pub request: Box<Request>,
    /// Why.
    pub reason: SubmitReason,
}

/// How a pipeline ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// Requests that were answered by work while it drained.
    pub finished: u64,
    /// Requests that were left at the deadline, and answered [`AllocateError::Stopped`].
    pub cancelled: u64,
    /// Requests without an answer, because a worker was still at them: with those finished and cancelled, all that
    /// were taken in and not answered when it began to drain.
    pub open: u64,
    /// Workers that were still at a request, which they answer when they are done; then they end.
    pub detached: usize,
}

/// How a pipeline is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// What it is doing.
    pub phase: Phase,
    /// Workers that it was started with.
    pub workers: usize,
    /// Workers that are there, without those that a shutdown has left behind.
    pub alive: usize,
    /// Workers at a request.
    pub busy: usize,
    /// Requests that wait.
    pub queued: usize,
    /// Running, with all its workers.
    pub healthy: bool,
}

/// Requests are submitted from any thread, decided by workers, and answered exactly once.
///
/// ```
/// use cortica_cortex::{Allocation, Cortex, CortexOptions, Grid};
/// use cortica_neural::Networks;
/// use cortica_pipeline::{AllocationEngine, AllocationPipeline, EngineOptions, PipelineOptions, Request};
/// use std::{sync::Arc, time::Duration};
///
/// # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../neural/tests/golden/networks.safetensors");
/// let networks = Arc::new(Networks::open(&path)?); // Of 40 features, small, for tests.
/// let cortex = Arc::new(Cortex::new(Grid::new(10, 10, 10)?, CortexOptions::default())?);
/// let engine = Arc::new(AllocationEngine::new(cortex, networks, EngineOptions::default())?);
/// let pipeline = AllocationPipeline::new(engine, PipelineOptions { workers: 2, ..Default::default() })?;
/// pipeline.start()?;
///
/// let tea: Vec<f32> = (0..40).map(|at| (at as f32).sin()).collect();
/// let ticket = pipeline.submit(Request::new("tea", tea))?;
/// assert!(matches!(ticket.wait()?, Allocation::Allocated { .. }));
///
/// let ended = pipeline.shutdown(Duration::from_secs(1));
/// assert_eq!((ended.cancelled, ended.detached), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AllocationPipeline {
    engine: Arc<AllocationEngine>,
    options: PipelineOptions,
    totals: Arc<Totals>,
    seq: AtomicU64,
    /// Held while it is started.
    starting: Mutex<()>,
    run: RwLock<Run>,
}

#[derive(Debug)]
struct Run {
    phase: Phase,
    crew: Option<Arc<Crew>>,
    /// The last one that a shutdown has begun to end, and the thread that does it, until it is done.
    ending: Option<(Arc<Crew>, ThreadId)>,
}

impl AllocationPipeline {
    /// A pipeline that was not started.
    pub fn new(
        engine: Arc<AllocationEngine>,
        options: PipelineOptions,
    ) -> Result<AllocationPipeline, PipelineError> {
        let refused = |field, got, expected| PipelineError::Option {
            field,
            got,
            expected,
        };
        if !(1..=1_024).contains(&options.workers) {
            return Err(refused("workers", options.workers, "in 1..=1,024"));
        }
        let capacity = options.capacity;
        if !(1..=1 << 24).contains(&capacity) {
            return Err(refused("capacity", capacity, "in 1..=16,777,216"));
        }
        let totals = Totals::new().map_err(|_| refused("capacity", capacity, "with memory"))?;
        Ok(AllocationPipeline {
            engine,
            options,
            totals: Arc::new(totals),
            seq: AtomicU64::new(0),
            starting: Mutex::default(),
            run: RwLock::new(Run {
                phase: Phase::New,
                crew: None,
                ending: None,
            }),
        })
    }

    /// Starts the workers, the first time or again. Refused while it runs or drains.
    pub fn start(&self) -> Result<(), PipelineError> {
        let _starting = lock(&self.starting);
        let phase = read(&self.run).phase;
        if matches!(phase, Phase::Running | Phase::Draining) {
            return Err(PipelineError::Started(phase));
        }
        let PipelineOptions {
            workers,
            capacity,
            order,
        } = self.options;
        let (engine, totals) = (Arc::clone(&self.engine), Arc::clone(&self.totals));
        let crew = Crew::new(engine, totals, order, capacity, workers);
        let crew = Arc::new(crew.map_err(|_| PipelineError::Option {
            field: "capacity",
            got: capacity,
            expected: "with memory",
        })?);
        for number in 0..workers {
            if let Err(source) = crew.spawn(number) {
                crew.close();
                return Err(PipelineError::Thread { number, source });
            }
        }
        let mut run = write(&self.run);
        run.phase = Phase::Running;
        run.crew = Some(crew);
        Ok(())
    }

    /// Hands a request in; it comes back where it is none, where as many wait as may, or where the pipeline does not
    /// run. Does not wait.
    pub fn submit(&self, request: Request) -> Result<Ticket, SubmitError> {
        self.hand_in(request, None, false).map(Ticket::new)
    }

    /// As [`submit`](AllocationPipeline::submit), but waits for room.
    pub fn submit_waiting(&self, request: Request) -> Result<Ticket, SubmitError> {
        self.hand_in(request, None, true).map(Ticket::new)
    }

    /// Hands a request in whose answer goes to a stream of completions; its number. Also refused where the stream is
    /// full.
    pub fn submit_for(
        &self,
        completions: &Completions,
        request: Request,
    ) -> Result<u64, SubmitError> {
        let taken = self.hand_in(request, Some(completions), false);
        taken.map(|slot| slot.seq())
    }

    /// Hands many in, and waits for all; answer i is that of request i. What is refused is answered by the reason.
    pub fn process_batch(&self, requests: Vec<Request>) -> Vec<Answer> {
        let submit = |request| self.submit_waiting(request);
        let tickets: Vec<_> = requests.into_iter().map(submit).collect();
        let wait = |ticket: Result<Ticket, SubmitError>| match ticket {
            Ok(ticket) => ticket.wait(),
            Err(SubmitError { reason, .. }) => Err(match reason {
                SubmitReason::Refused(refused) => refused,
                SubmitReason::Full | SubmitReason::NotRunning(_) => AllocateError::Stopped,
            }),
        };
        // From the last one on, which comes about last: one wake-up instead of one for each.
        let mut answers: Vec<_> = tickets.into_iter().rev().map(wait).collect();
        answers.reverse();
        answers
    }

    fn hand_in(
        &self,
        mut request: Request,
        completions: Option<&Completions>,
        wait: bool,
    ) -> Result<Arc<Slot>, SubmitError> {
        let refused = |request: Request, reason| {
            self.totals.refused();
            let request = Box::new(request);
            Err(SubmitError { request, reason })
        };
        if let Err(reason) = self.engine.check(&request.lend()) {
            return refused(request, reason.into());
        }
        loop {
            let (phase, crew) = {
                let run = read(&self.run);
                (run.phase, run.crew.clone())
            };
            let Some(crew) = crew.filter(|_| phase == Phase::Running) else {
                return refused(request, SubmitReason::NotRunning(phase));
            };
            let shelf = match completions.map(Completions::open) {
                Some(None) => return refused(request, SubmitReason::Full),
                Some(shelf) => shelf,
                None => None,
            };
            let slot = Arc::new(Slot::new(shelf));
            let job = Job::new(request, Arc::clone(&slot), Arc::clone(&crew.tally));
            let not_taken = match crew.take_in(Box::new(job), &self.seq, wait) {
                Ok(queued) => {
                    crew.tally.taken(&slot, queued);
                    return Ok(slot);
                }
                Err(not_taken) => not_taken,
            };
            if let Some(completions) = completions {
                completions.refused();
            }
            match not_taken {
                NotTaken::Full(job) => return refused(job.refused(), SubmitReason::Full),
                // It was shut down since; it may run again.
                NotTaken::Closed(job) => request = job.refused(),
            }
        }
    }

    /// Takes no more in, does what was taken in until `deadline` from now, answers the rest
    /// [`AllocateError::Stopped`], and stops. A pipeline that does not run has nothing to end.
    ///
    /// Where another thread is at that already, its end is awaited for as long as `deadline`, and what comes of it from
    /// now on is told; the deadline that counts for requests is that of the other.
    pub fn shutdown(&self, deadline: Duration) -> Shutdown {
        match self.drain() {
            Draining::Nothing => Shutdown::default(),
            Draining::Here(crew) => told(&crew, || self.end(&crew, deadline)),
            Draining::Elsewhere(crew) => told(&crew, || {
                crew.await_end(deadline);
                crew.alive()
            }),
        }
    }

    /// Ends a crew that drains; how many workers are left behind.
    fn end(&self, crew: &Arc<Crew>, deadline: Duration) -> usize {
        let mut detached = crew.join(deadline);
        if detached > 0 {
            // Relaxed: the flag carries nothing with it.
            crew.stopped.store(true, Relaxed);
            detached = crew.join(GRACE);
        }
        {
            let mut run = write(&self.run);
            run.phase = Phase::Stopped;
            run.crew = None;
        }
        // Whom an answer wakes may start the pipeline again. Whoever is still at a request may take long: nobody waits
        // for that.
        crew.abandon();
        crew.end();
        let mut run = write(&self.run);
        if matches!(&run.ending, Some((ending, _)) if Arc::ptr_eq(ending, crew)) {
            run.ending = None;
        }
        detached
    }

    fn drain(&self) -> Draining {
        let here = std::thread::current().id();
        let mut run = write(&self.run);
        match (&run.crew, &run.ending) {
            (Some(crew), _) if run.phase == Phase::Running => {
                let crew = Arc::clone(crew);
                run.phase = Phase::Draining;
                run.ending = Some((Arc::clone(&crew), here));
                drop(run);
                crew.close();
                Draining::Here(crew)
            }
            // Whom an answer wakes in the middle of it does not wait for its own thread.
            (_, Some((crew, by))) if *by != here => Draining::Elsewhere(Arc::clone(crew)),
            _ => Draining::Nothing,
        }
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        let run = read(&self.run);
        let crew = run.crew.as_deref();
        let alive = crew.map_or(0, Crew::alive);
        let workers = self.options.workers;
        Health {
            phase: run.phase,
            workers,
            alive,
            busy: crew.map_or(0, |crew| crew.busy.load(Relaxed)),
            queued: crew.map_or(0, Crew::queued),
            healthy: run.phase == Phase::Running && alive == workers,
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> PipelineStats {
        let queued = read(&self.run).crew.as_deref().map_or(0, Crew::queued);
        self.totals.read(queued)
    }

    /// Starts the counts and times anew. While requests are at work they count as they are answered.
    pub fn reset_stats(&self) {
        self.totals.reset();
    }

    /// The engine that decides.
    #[must_use]
    pub fn engine(&self) -> &Arc<AllocationEngine> {
        &self.engine
    }

    /// How it works.
    #[must_use]
    pub fn options(&self) -> PipelineOptions {
        self.options
    }
}

/// Who ends the crew, if there is one to end.
enum Draining {
    Nothing,
    Here(Arc<Crew>),
    Elsewhere(Arc<Crew>),
}

/// What became of the requests of a crew while `end` went on, which gives the workers that are left.
fn told(crew: &Crew, end: impl FnOnce() -> usize) -> Shutdown {
    let before = crew.tally.read();
    let detached = end();
    let after = crew.tally.read();
    Shutdown {
        finished: after.finished - before.finished,
        cancelled: after.stopped - before.stopped,
        open: after.open(),
        detached,
    }
}

/// How long workers have, after the deadline, to answer what was left.
const GRACE: Duration = Duration::from_millis(100);

/// Ends it at once: what is being worked on is finished, what waits is answered [`AllocateError::Stopped`].
impl Drop for AllocationPipeline {
    fn drop(&mut self) {
        if let Draining::Here(crew) = self.drain() {
            crew.stopped.store(true, Relaxed);
            crew.join(GRACE);
            crew.abandon();
        }
    }
}
