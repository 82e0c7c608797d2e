//! What goes through a stream: operations that wait, answers that wait, and the bytes of both.

use crate::answer::Answer;
use crate::bytes::{PLACES, needed, of_answer};
use crate::cancel::Stop;
use crate::config::Backpressure;
use crate::operation::Operation;
use crate::progress::Progress;
use crate::summary::BatchSummary;
use crate::wake::wake;
use cortica_arena::{Level, MemoryPressure};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Places that a queue keeps when it is empty.
const PLACES_KEPT: usize = 16;

/// What a stream's threads share.
pub(crate) struct Flow {
    state: Mutex<State>,
    /// There is room for more operations, or there will be none.
    room: Condvar,
    /// There is something to do.
    work: Condvar,
    /// There is an answer, or there will be none.
    news: Condvar,
    limit: usize,
    strategy: Backpressure,
    pressure: MemoryPressure,
    pub(crate) begun: Instant,
}

/// How a stream stands.
pub(crate) struct State {
    waiting: VecDeque<Waiting>,
    /// Operations in front of those that were dropped, and have not been told so.
    dropped: u64,
    /// Operations that came in.
    submitted: u64,
    out: VecDeque<Out>,
    /// The number of the next answer that is taken.
    taken: u64,
    used: usize,
    peak: usize,
    /// Bytes of `waiting`, among those that are used.
    waiting_bytes: usize,
    /// Operations between those that wait and behind them that were dropped.
    dropped_behind: u64,
    /// Nothing more comes in.
    source_ended: bool,
    stop: Option<Stop>,
    /// Nothing more comes out.
    ended: bool,
    waker: Option<Waker>,
    intake: Option<Thread>,
    /// Whether an operation waits for room.
    entering: bool,
    answered: u64,
    pub(crate) summary: BatchSummary,
}

/// An operation that waits, or that it is too large to.
struct Waiting {
    operation: Result<Operation, usize>,
    bytes: usize,
    /// Operations right behind it that were dropped as they came. A number, however many there are.
    dropped: u64,
}

/// What the next answers are.
enum Out {
    One(Answer, usize),
    /// So many operations were not done, all for the same reason.
    Many(Stop, u64),
}

/// Operations to be done together.
pub(crate) struct Taken {
    /// The number of the first one.
    pub(crate) first: u64,
    /// Each, or what one came to that is too large.
    pub(crate) operations: Vec<Result<Operation, usize>>,
    /// What is kept for them and their answers.
    pub(crate) bytes: usize,
}

/// What there is to do.
pub(crate) enum Next {
    Do(Taken),
    /// Nothing more will come.
    End,
}

/// There was no room for an operation, and there will be none.
pub(crate) struct Over;

impl Flow {
    pub(crate) fn new(limit: usize, strategy: Backpressure, summary: BatchSummary) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                dropped: 0,
                submitted: 0,
                out: VecDeque::new(),
                taken: 0,
                used: 0,
                peak: 0,
                waiting_bytes: 0,
                dropped_behind: 0,
                source_ended: false,
                stop: None,
                ended: false,
                waker: None,
                intake: None,
                entering: false,
                answered: 0,
                summary,
            }),
            room: Condvar::new(),
            work: Condvar::new(),
            news: Condvar::new(),
            limit,
            strategy,
            pressure: MemoryPressure::new(),
            begun: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has everybody look again.
    pub(crate) fn wake_all(&self) {
        let mut state = self.lock();
        self.room.notify_all();
        self.work.notify_all();
        self.news.notify_all();
        if let Some(thread) = &state.intake {
            thread.unpark();
        }
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(wake);
    }

    /// Says which thread waits for a source, so that it can be woken.
    pub(crate) fn intake_is(&self, thread: Thread) {
        self.lock().intake = Some(thread);
    }

    /// Whether nothing more may come in.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.lock();
        state.stop.is_some() || state.ended
    }

    /// Takes an operation in. Waits for room where nothing is to be dropped.
    pub(crate) fn submit(&self, operation: Operation) -> Result<(), Over> {
        let bytes = needed(&operation);
        let (operation, bytes) = if bytes > self.limit {
            (Err(bytes), PLACES)
        } else {
            (Ok(operation), bytes)
        };
        let mut state = self.lock();
        loop {
            if state.stop.is_some() || state.ended {
                return Err(Over); // If it had to wait, it was answered.
            }
            let all = state.used.checked_add(bytes);
            if all.is_some_and(|all| all <= self.limit) {
                break;
            }
            if self.strategy == Backpressure::DropOldest {
                let others = state.used - state.waiting_bytes;
                if bytes > self.limit.saturating_sub(others) || !state.drop_oldest() {
                    // Not even in the place of all that waits: that stays.
                    state.drop_newest();
                    self.work.notify_one();
                    return Ok(());
                }
            } else {
                state.entering = true;
                state = wait(&self.room, state, None);
            }
        }
        state.entering = false;
        state.submitted += 1;
        state.waiting.push_back(Waiting {
            operation,
            bytes,
            dropped: 0,
        });
        state.waiting_bytes += bytes;
        state.used += bytes;
        state.peak = state.peak.max(state.used);
        self.work.notify_one();
        Ok(())
    }

    /// Nothing more comes in; perhaps because the source panicked.
    pub(crate) fn source_ended(&self, panicked: Option<String>) {
        let mut state = self.lock();
        state.source_ended = true;
        state.summary.source_panicked = panicked;
        state.intake = None;
        self.work.notify_one();
    }

    /// Waits for something to do; `most` says how many at once, by how scarce bytes are. Asks
    /// `stopped` whether to go on, at the latest at `deadline`.
    pub(crate) fn next(
        &self,
        mut most: impl FnMut(Level) -> usize,
        stopped: impl Fn() -> Option<Stop>,
        deadline: Option<Instant>,
    ) -> Next {
        let mut state = self.lock();
        loop {
            if let Some(dropped) = take_some(&mut state.dropped) {
                state.tell_many(Stop::Dropped, dropped);
                if let Some(waker) = self.told(&mut state) {
                    drop(state);
                    wake(waker);
                    state = self.lock();
                    continue; // More may have been dropped meanwhile.
                }
            }
            if state.waiting.is_empty() && state.source_ended {
                return Next::End; // Nothing is left that could be stopped.
            }
            if let Some(stop) = stopped() {
                self.stop(&mut state, stop);
                return Next::End;
            }
            if !state.waiting.is_empty() {
                break;
            }
            state = wait(&self.work, state, deadline);
        }
        let level = self.observe(&mut state);
        let mut count = most(level).clamp(1, state.waiting.len());
        let first = state.submitted - state.waiting.len() as u64 - state.dropped_behind;
        if state.dropped_behind > 0 {
            // Those that were dropped are told so when all in front of them are answered.
            let mut taken = state.waiting.iter().take(count);
            if let Some(last) = taken.position(|waiting| waiting.dropped > 0) {
                count = last + 1;
                let dropped = state.waiting[last].dropped;
                state.dropped_behind -= dropped;
                state.dropped += dropped;
            }
        }
        let mut bytes = 0;
        let taken = state.waiting.drain(..count).map(|waiting| {
            bytes += waiting.bytes;
            waiting.operation
        });
        let operations = taken.collect();
        state.waiting_bytes -= bytes;
        shrink(&mut state.waiting);
        Next::Do(Taken {
            first,
            operations,
            bytes,
        })
    }

    /// Hands answers over, in the place of the bytes that were kept for them.
    pub(crate) fn answer(&self, answers: Vec<Answer>, kept: usize) {
        let mut state = self.lock();
        let mut bytes = 0;
        for answer in answers {
            let of_it = of_answer(&answer);
            bytes += of_it;
            state.answered += 1;
            state.summary.add(&answer);
            state.out.push_back(Out::One(answer, of_it));
        }
        state.used = (state.used + bytes).saturating_sub(kept);
        state.peak = state.peak.max(state.used);
        self.observe(&mut state);
        let waker = self.told(&mut state);
        drop(state);
        waker.into_iter().for_each(wake);
    }

    /// Nothing more comes out. What still waits is answered so.
    pub(crate) fn end(&self, stop: Option<Stop>) {
        let mut state = self.lock();
        if let Some(stop) = stop.or(state.stop) {
            self.stop(&mut state, stop);
        }
        state.ended = true;
        state.summary.peak_bytes = state.peak;
        state.summary.wall = self.begun.elapsed();
        drop(state);
        self.wake_all();
    }

    /// The next answer with its number, or none if there are no more.
    pub(crate) fn take(&self) -> Option<(u64, Answer)> {
        let mut state = self.lock();
        loop {
            if let Some(answer) = self.take_from(&mut state) {
                return Some(answer);
            }
            if state.ended {
                return None;
            }
            state = wait(&self.news, state, None);
        }
    }

    /// As [`take`](Self::take), but has `waker` called instead of waiting.
    pub(crate) fn poll(&self, waker: &Waker) -> std::task::Poll<Option<(u64, Answer)>> {
        // Cloned before the lock is taken, and the last one dropped behind it: both are foreign code.
        let waker = waker.clone();
        let mut state = self.lock();
        match self.take_from(&mut state) {
            Some(answer) => std::task::Poll::Ready(Some(answer)),
            None if state.ended => std::task::Poll::Ready(None),
            None => {
                let last = state.waker.replace(waker);
                drop(state);
                drop(last);
                std::task::Poll::Pending
            }
        }
    }

    fn take_from(&self, state: &mut State) -> Option<(u64, Answer)> {
        let number = state.taken;
        let answer = match state.out.front_mut()? {
            Out::Many(stop, count) => {
                *count -= 1;
                let (error, empty) = (stop.error(), *count == 0);
                if empty {
                    state.out.pop_front();
                }
                Err(error)
            }
            Out::One(..) => match state.out.pop_front() {
                Some(Out::One(answer, bytes)) => {
                    state.used -= bytes;
                    shrink(&mut state.out);
                    self.room.notify_one();
                    answer
                }
                _ => return None, // It was there a moment ago.
            },
        };
        state.taken += 1;
        Some((number, answer))
    }

    /// How it stands.
    pub(crate) fn progress(&self) -> Progress {
        let state = self.lock();
        Progress {
            submitted: state.submitted,
            answered: state.answered,
            taken: state.taken,
            bytes: state.used,
            pressure: self.pressure.level(),
            elapsed: self.begun.elapsed(),
        }
    }

    /// What it came to, once it has ended.
    pub(crate) fn summary(&self) -> Option<BatchSummary> {
        let state = self.lock();
        state.ended.then(|| state.summary.clone())
    }

    /// What it came to so far.
    pub(crate) fn summary_so_far(&self) -> BatchSummary {
        self.lock().summary.clone()
    }

    /// Who is to be woken when the lock is let go of: what a waker does is not ours to know, and it
    /// may well ask for the next answer at once.
    #[must_use]
    fn told(&self, state: &mut State) -> Option<Waker> {
        self.news.notify_all();
        self.room.notify_one();
        state.waker.take()
    }

    /// Nothing more is begun: what waits is answered so.
    fn stop(&self, state: &mut State, stop: Stop) {
        state.stop = Some(stop);
        state.summary.end(stop.kind());
        if let Some(dropped) = take_some(&mut state.dropped) {
            state.tell_many(Stop::Dropped, dropped);
        }
        // What was dropped behind them has not been told so, and need not be: none of it was begun.
        let waiting = std::mem::take(&mut state.waiting).len() as u64;
        let waiting = waiting + std::mem::take(&mut state.dropped_behind);
        if waiting > 0 {
            state.tell_many(stop, waiting);
        }
        state.used -= std::mem::take(&mut state.waiting_bytes);
        if std::mem::take(&mut state.entering) {
            state.submitted += 1;
            state.tell_many(stop, 1);
        }
        self.room.notify_all();
        if let Some(thread) = &state.intake {
            thread.unpark();
        }
    }

    /// What waits to be begun is no pressure: it goes as fast as it is done. Answers that nobody
    /// takes are.
    fn observe(&self, state: &mut State) -> Level {
        let held = state.used - state.waiting_bytes;
        let now = i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX);
        let level = self.pressure.observe(held, self.limit, now);
        state.summary.peak_pressure = state.summary.peak_pressure.max(level);
        level
    }
}

impl State {
    /// Drops what has waited longest; false if nothing waits.
    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.waiting.pop_front() else {
            return false;
        };
        self.used -= oldest.bytes;
        self.waiting_bytes -= oldest.bytes;
        // Nothing waits in front of those behind it any more.
        self.dropped_behind -= oldest.dropped;
        self.dropped += 1 + oldest.dropped;
        true
    }

    /// Drops what has just come.
    fn drop_newest(&mut self) {
        self.submitted += 1;
        if let Some(last) = self.waiting.back_mut() {
            last.dropped += 1;
            self.dropped_behind += 1;
        } else {
            self.dropped += 1;
        }
    }

    fn tell_many(&mut self, stop: Stop, count: u64) {
        self.answered += count;
        self.summary.add_failed(stop.kind(), count);
        match self.out.back_mut() {
            Some(Out::Many(last, so_far)) if *last == stop => *so_far += count,
            _ => self.out.push_back(Out::Many(stop, count)),
        }
    }
}

/// Gives memory back, so that what is kept stays in proportion to what is held.
fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > 4 * queue.len() + PLACES_KEPT {
        queue.shrink_to(2 * queue.len() + PLACES_KEPT / 2);
    }
}

fn take_some(count: &mut u64) -> Option<u64> {
    let taken = std::mem::take(count);
    (taken > 0).then_some(taken)
}

fn wait<'a>(
    condition: &Condvar,
    state: MutexGuard<'a, State>,
    deadline: Option<Instant>,
) -> MutexGuard<'a, State> {
    match deadline {
        None => condition
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner),
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            // A little behind it, so that it is over when one looks.
            let left = left + Duration::from_millis(1);
            let (state, _) = condition
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
            state
        }
    }
}
