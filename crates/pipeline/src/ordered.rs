//! Requests that are encoded side by side and decided in the order in which they came.

use crate::crew::{Crew, NotTaken};
use crate::engine::encoded;
use crate::job::Job;
use crate::place::Seen;
use crate::round::EngineRound;
use crate::sync::{lock, try_lock};
use cortica_cortex::{AllocateError, Code, Timings, Window};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Requests that a worker may be ahead of the decisions.
const AHEAD: u64 = 16;

/// Three stages. Codes are made by any worker; enter the windows of their streams in order; predictor and detector are
/// run by any worker; decisions are made in order, by whichever worker finds the next one ready, until it finds none.
#[derive(Debug)]
pub(crate) struct Ordered {
    state: Mutex<State>,
    /// There may be something to do.
    work: Condvar,
    /// There may be room.
    room: Condvar,
    capacity: usize,
    ahead: u64,
}

#[derive(Debug, Default)]
struct State {
    intake: VecDeque<Box<Job>>,
    door: Door,
    /// The number of the next job to be taken, to enter its window, and to be decided.
    next_taken: u64,
    next_window: u64,
    next_decided: u64,
    /// Encoded, from `next_window` on.
    encoded: VecDeque<Option<Box<Staged>>>,
    /// In their windows, to be looked at by predictor and detector.
    windowed: VecDeque<Box<Staged>>,
    /// To be decided, from `next_decided` on.
    ready: VecDeque<Option<Box<Staged>>>,
    /// Some worker is at it: one at a time, so that the order stays.
    windowing: bool,
    deciding: bool,
    /// Workers that sleep, and callers that wait for room.
    asleep: usize,
    waiting: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Door {
    #[default]
    Open,
    /// No more is taken in.
    Closed,
    /// Nor is anything begun: what no worker had in its hands was answered unworked.
    Abandoned,
}

#[derive(Debug)]
struct Staged {
    number: u64,
    job: Box<Job>,
    stage: Result<Stage, AllocateError>,
    timings: Timings,
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "of one job, which lies in one block for all stages"
)]
enum Stage {
    Encoded(Code),
    Windowed(Code, Window),
    Seen(Seen),
}

impl Ordered {
    pub(crate) fn new(capacity: usize, workers: usize) -> Ordered {
        Ordered {
            state: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            capacity,
            ahead: AHEAD * workers as u64,
        }
    }

    pub(crate) fn push(
        &self,
        job: Box<Job>,
        seq: &AtomicU64,
        wait: bool,
    ) -> Result<usize, NotTaken> {
        let mut state = lock(&self.state);
        while wait && state.door == Door::Open && state.intake.len() >= self.capacity {
            state.waiting += 1;
            let waited = self.room.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        if state.door != Door::Open {
            return Err(NotTaken::Closed(job));
        }
        if state.intake.len() >= self.capacity {
            return Err(NotTaken::Full(job));
        }
        // Relaxed: it is drawn under the lock, so that numbers rise in the order of decisions.
        job.number(seq.fetch_add(1, Relaxed));
        state.intake.push_back(job);
        if state.next_taken < state.next_decided + self.ahead {
            self.wake(&state);
        }
        Ok(state.intake.len())
    }

    pub(crate) fn queued(&self) -> usize {
        lock(&self.state).intake.len()
    }

    pub(crate) fn close(&self) {
        lock(&self.state).door = Door::Closed;
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Answers all that no worker has in its hands, in its order, and ends the workers as they come back.
    pub(crate) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.door = Door::Abandoned;
        let ready = std::mem::take(&mut state.ready);
        let windowed = std::mem::take(&mut state.windowed);
        let encoded = std::mem::take(&mut state.encoded);
        let intake = std::mem::take(&mut state.intake);
        // Without the lock: a job that is dropped is answered, and who is woken by that may ask how the pipeline is.
        drop(state);
        self.work.notify_all();
        ready.into_iter().flatten().for_each(give_up);
        windowed.into_iter().for_each(give_up);
        encoded.into_iter().flatten().for_each(give_up);
        drop(intake);
    }

    /// The state again, by a worker with a job in its hands; that is answered here if all were abandoned meanwhile.
    fn back(&self, staged: Box<Staged>) -> (MutexGuard<'_, State>, Option<Box<Staged>>) {
        let state = lock(&self.state);
        if state.door != Door::Abandoned {
            return (state, Some(staged));
        }
        drop(state);
        give_up(staged);
        (lock(&self.state), None)
    }

    fn wake(&self, state: &State) {
        if state.asleep > 0 {
            self.work.notify_one();
        }
    }

    /// Works until it is closed and nothing is left for this worker.
    pub(crate) fn work(&self, crew: &Crew) {
        let mut state = lock(&self.state);
        loop {
            if state.door == Door::Abandoned {
                return;
            } else if !state.deciding && matches!(state.ready.front(), Some(Some(_))) {
                state = self.decide(crew, state);
            } else if let Some(staged) = state.windowed.pop_front() {
                drop(state);
                let staged = crew.busy(|| perceive(crew, staged));
                let (again, staged) = self.back(staged);
                state = again;
                if let Some(staged) = staged {
                    state.make_ready(staged);
                }
            } else if state.next_taken < state.next_decided + self.ahead
                && let Some(job) = state.intake.pop_front()
            {
                let number = state.next_taken;
                state.next_taken += 1;
                if state.waiting > 0 {
                    self.room.notify_one();
                }
                drop(state);
                let staged = crew.busy(|| encode(crew, number, job));
                let (again, staged) = self.back(staged);
                state = again;
                if let Some(staged) = staged {
                    let first = state.next_window;
                    put(&mut state.encoded, staged, first);
                }
                if !state.windowing {
                    state = self.enter_windows(crew, state);
                }
                // This worker goes on with one of them.
                if state.windowed.len() > 1 {
                    self.wake(&state);
                }
            } else if state.door == Door::Closed && state.intake.is_empty() {
                // Those who fell asleep as far ahead as they may be, when there was something left to take.
                self.work.notify_all();
                return;
            } else {
                state.asleep += 1;
                let waited = self.work.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                state.asleep -= 1;
            }
        }
    }

    /// All that are next enter their windows. Whoever has a round of the engine open may call the pipeline, so rounds
    /// are waited for without the state; what others encode meanwhile is found when it is taken again.
    fn enter_windows<'a>(
        &'a self,
        crew: &Crew,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        state.windowing = true;
        while let Some(mut staged) = state.encoded.front_mut().and_then(Option::take) {
            state.encoded.pop_front();
            state.next_window += 1;
            let stream = staged.job.request.stream;
            match (&staged.stage, stream) {
                (Ok(Stage::Encoded(code)), Some(stream)) => {
                    let code = *code;
                    // Tried first: without the state costs taking it once more.
                    if let Some(_observing) = try_lock(&crew.engine.observing) {
                        let (before, _) = crew.engine.observe(stream, &code);
                        staged.stage = Ok(Stage::Windowed(code, before));
                        state.windowed.push_back(staged);
                    } else {
                        if !state.windowed.is_empty() {
                            self.wake(&state);
                        }
                        drop(state);
                        let observing = lock(&crew.engine.observing);
                        let (before, _) = crew.engine.observe(stream, &code);
                        drop(observing);
                        staged.stage = Ok(Stage::Windowed(code, before));
                        let (again, staged) = self.back(staged);
                        state = again;
                        state.windowed.extend(staged);
                    }
                }
                (Ok(Stage::Encoded(code)), None) => {
                    staged.stage = Ok(Stage::Seen(Seen::alone(code)));
                    state.make_ready(staged);
                }
                _ => state.make_ready(staged),
            }
        }
        state.windowing = false;
        state
    }

    /// Decides one after another until the next is not ready.
    fn decide<'a>(
        &'a self,
        crew: &Crew,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        state.deciding = true;
        while let Some(staged) = state.ready.front_mut().and_then(Option::take) {
            drop(state);
            crew.busy(|| decide(crew, *staged));
            state = lock(&self.state);
            state.ready.pop_front();
            state.next_decided += 1;
            // Those who were as far ahead as they may be: a wake-up costs more than a code, so for several.
            if !state.intake.is_empty() && state.next_taken <= state.next_decided + self.ahead / 2 {
                self.wake(&state);
            }
        }
        state.deciding = false;
        state
    }
}

impl State {
    fn make_ready(&mut self, staged: Box<Staged>) {
        put(&mut self.ready, staged, self.next_decided);
    }
}

/// Puts a job where its number belongs, counted from `first`.
fn put(line: &mut VecDeque<Option<Box<Staged>>>, staged: Box<Staged>, first: u64) {
    let at = (staged.number - first) as usize;
    while line.len() <= at {
        line.push_back(None);
    }
    line[at] = Some(staged);
}

/// Answers a job that is not decided any more: by what ended it before, if anything did.
#[allow(clippy::boxed_local, reason = "as it lies in the queues")]
fn give_up(staged: Box<Staged>) {
    let Staged { job, stage, .. } = *staged;
    job.answer(Err(stage.err().unwrap_or(AllocateError::Stopped)));
}

fn encode(crew: &Crew, number: u64, mut job: Box<Job>) -> Box<Staged> {
    let engine = &crew.engine;
    let mut timings = Timings::default();
    let stage = job.work(|job| {
        let request = job.request.lend();
        engine.check_before_window(&request, job.wanted(&crew.stopped))?;
        let start = engine.micros();
        let code = encoded(engine.borrow().get()?, request.features)?;
        timings.encode_us = engine.micros().saturating_sub(start);
        Ok(Stage::Encoded(code))
    });
    Box::new(Staged {
        number,
        job,
        stage,
        timings,
    })
}

fn perceive(crew: &Crew, mut staged: Box<Staged>) -> Box<Staged> {
    let engine = &crew.engine;
    if let Ok(Stage::Windowed(code, before)) = &staged.stage {
        let timings = &mut staged.timings;
        let seen = staged.job.work(|job| {
            engine.check_wanted(&job.request.lend(), job.wanted(&crew.stopped))?;
            let start = engine.micros();
            let seen = engine.perceive(engine.borrow().get()?, code, before.codes())?;
            timings.encode_us += engine.micros().saturating_sub(start);
            Ok(seen)
        });
        staged.stage = seen.map(Stage::Seen);
    }
    staged
}

fn decide(crew: &Crew, staged: Staged) {
    let Staged {
        mut job,
        stage,
        timings,
        ..
    } = staged;
    let counting = crew.engine.counters.begin();
    let answer = match stage {
        Ok(Stage::Seen(seen)) => job.work(|job| {
            let request = job.request.lend();
            let mut round = EngineRound::of_seen(&crew.engine);
            crew.engine
                .check_wanted(&request, job.wanted(&crew.stopped))?;
            let reserved = round.find(&request, &seen, timings)?;
            round.keep();
            Ok(reserved.allocation)
        }),
        // Never: every stage is passed in turn.
        Ok(_) => Err(AllocateError::Stopped),
        Err(error) => Err(error),
    };
    counting.answered(answer.as_ref());
    job.answer(answer);
}
