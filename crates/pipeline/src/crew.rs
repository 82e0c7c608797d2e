//! The workers of one run of a pipeline, from start to stop.

use crate::engine::{AllocationEngine, Order};
use crate::figures::Totals;
use crate::job::Job;
use crate::ordered::Ordered;
use crate::sync::lock;
use crate::tally::Tally;
use cortica_cortex::Priority;
use cortica_queue::{CapacityError, Lane, PriorityLanes, PushError};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What workers of one run share.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) engine: Arc<AllocationEngine>,
    pub(crate) tally: Arc<Tally>,
    intake: Intake,
    /// Set when the time to drain is over: what is left is answered unworked.
    pub(crate) stopped: AtomicBool,
    /// Workers at a request.
    pub(crate) busy: AtomicUsize,
    /// Workers that have not ended.
    alive: Mutex<usize>,
    ended: Condvar,
    /// Whether its shutdown is done.
    over: Mutex<bool>,
    is_over: Condvar,
}

#[derive(Debug)]
enum Intake {
    Lanes(Box<PriorityLanes<Box<Job>>>),
    Ordered(Ordered),
}

/// Why a job was not taken in.
pub(crate) enum NotTaken {
    Full(Box<Job>),
    Closed(Box<Job>),
}

impl Crew {
    pub(crate) fn new(
        engine: Arc<AllocationEngine>,
        totals: Arc<Totals>,
        order: Order,
        capacity: usize,
        workers: usize,
    ) -> Result<Crew, CapacityError> {
        Ok(Crew {
            engine,
            tally: Arc::new(Tally::new(totals)),
            intake: match order {
                Order::Relaxed => Intake::Lanes(Box::new(PriorityLanes::new(capacity)?)),
                Order::Submission => Intake::Ordered(Ordered::new(capacity, workers)),
            },
            stopped: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            alive: Mutex::new(0),
            ended: Condvar::new(),
            over: Mutex::new(false),
            is_over: Condvar::new(),
        })
    }

    /// Takes a job in, and gives it the next number; with `wait`, waits for room. Gives how many wait now.
    pub(crate) fn take_in(
        &self,
        job: Box<Job>,
        seq: &AtomicU64,
        wait: bool,
    ) -> Result<usize, NotTaken> {
        match &self.intake {
            Intake::Ordered(ordered) => ordered.push(job, seq, wait),
            Intake::Lanes(lanes) => {
                let lane = match job.request.priority {
                    Priority::Critical => Lane::Critical,
                    Priority::High => Lane::High,
                    Priority::Normal => Lane::Normal,
                    Priority::Low => Lane::Low,
                };
                // Relaxed: numbers differ and rise; nothing else is decided by them.
                job.number(seq.fetch_add(1, Relaxed));
                let pushed = if wait {
                    let pushed = lanes.push(lane, job);
                    pushed.map_err(|closed| NotTaken::Closed(closed.0))
                } else {
                    lanes.try_push(lane, job).map_err(|refused| match refused {
                        PushError::Full(job) => NotTaken::Full(job),
                        other => NotTaken::Closed(other.into_inner()),
                    })
                };
                // It waited itself, if only for a moment.
                pushed.map(|()| self.queued().max(1))
            }
        }
    }

    /// Jobs that nobody has begun.
    pub(crate) fn queued(&self) -> usize {
        match &self.intake {
            Intake::Ordered(ordered) => ordered.queued(),
            Intake::Lanes(lanes) => Lane::ALL.iter().map(|lane| lanes.len(*lane)).sum(),
        }
    }

    /// Takes no more in; workers end when nothing is left.
    pub(crate) fn close(&self) {
        match &self.intake {
            Intake::Ordered(ordered) => ordered.close(),
            Intake::Lanes(lanes) => lanes.close(),
        }
    }

    /// Answers what no worker has in its hands; of one that was closed. Whoever waits for the answers may be woken by it.
    pub(crate) fn abandon(&self) {
        match &self.intake {
            Intake::Ordered(ordered) => ordered.abandon(),
            // A job that is dropped is answered.
            Intake::Lanes(lanes) => while lanes.try_pop().is_ok() {},
        }
    }

    /// Starts a worker; the error is the system's.
    pub(crate) fn spawn(self: &Arc<Crew>, number: usize) -> std::io::Result<()> {
        let crew = Arc::clone(self);
        *lock(&self.alive) += 1;
        let named = std::thread::Builder::new().name(format!("allocate-{number}"));
        let spawned = named.spawn(move || {
            let _there = There::new(&crew);
            crew.work();
        });
        if spawned.is_err() {
            *lock(&self.alive) -= 1;
        }
        spawned.map(drop)
    }

    fn work(&self) {
        match &self.intake {
            Intake::Ordered(ordered) => ordered.work(self),
            Intake::Lanes(lanes) => {
                while let Some((_, mut job)) = lanes.pop() {
                    let answer = self.busy(|| {
                        job.work(|job| {
                            let request = job.request.lend();
                            let wanted = job.wanted(&self.stopped);
                            self.engine.allocate_checked(&request, wanted)
                        })
                    });
                    job.answer(answer);
                }
            }
        }
    }

    pub(crate) fn busy<T>(&self, work: impl FnOnce() -> T) -> T {
        // Relaxed: a figure, and panics do not pass here.
        self.busy.fetch_add(1, Relaxed);
        let done = work();
        self.busy.fetch_sub(1, Relaxed);
        done
    }

    pub(crate) fn alive(&self) -> usize {
        *lock(&self.alive)
    }

    /// Waits until all workers have ended; how many have not after so long.
    pub(crate) fn join(&self, at_most: Duration) -> usize {
        let alive = lock(&self.alive);
        let waited = self
            .ended
            .wait_timeout_while(alive, at_most, |alive| *alive > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// All that is to be answered is.
    pub(crate) fn end(&self) {
        *lock(&self.over) = true;
        self.is_over.notify_all();
    }

    /// Waits until its shutdown, by another thread, is done, for so long at most.
    pub(crate) fn await_end(&self, at_most: Duration) {
        let over = lock(&self.over);
        let waited = self
            .is_over
            .wait_timeout_while(over, at_most, |over| !*over);
        drop(waited);
    }
}

/// A worker that is there until this is dropped.
struct There<'a>(&'a Crew);

impl<'a> There<'a> {
    fn new(crew: &'a Crew) -> There<'a> {
        crew.tally.totals.worker(true);
        There(crew)
    }
}

impl Drop for There<'_> {
    fn drop(&mut self) {
        self.0.tally.totals.worker(false);
        *lock(&self.0.alive) -= 1;
        self.0.ended.notify_all();
    }
}
