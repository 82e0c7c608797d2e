//! Writers that wait for each other, so that one does the work of all.

use crate::job::{Answers, Work};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;

/// Jobs that nobody has taken yet, and whether somebody is at work.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: Vec<Job>,
    busy: bool,
}

/// Work, and where its answers go.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) place: Answering,
}

/// The right to answer a job. Dropped without an answer, it tells the one who waits.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    news: Mutex<News>,
    changed: Condvar,
}

#[derive(Debug, Default)]
enum News {
    #[default]
    None,
    /// It is this one's turn to do what is queued.
    Lead,
    Done(Answers),
    /// Whoever had taken the job panicked.
    Abandoned,
}

impl Queue {
    /// Queues work and waits for its answers. Either somebody else does it, or this thread is asked
    /// to `run` all that is queued. `None` if the work was taken and dropped.
    pub(crate) fn submit(&self, work: Work, run: impl FnOnce(Vec<Job>)) -> Option<Answers> {
        let place = Arc::new(Place::default());
        let job = Job {
            work,
            place: Answering(place.clone()),
        };
        let mut state = self.state.lock();
        state.jobs.push(job);
        let lead = !std::mem::replace(&mut state.busy, true);
        drop(state);
        if !lead {
            match place.wait() {
                News::Lead => {}
                news => return news.answers(),
            }
        }
        let leading = Leading(self);
        let jobs = std::mem::take(&mut self.state.lock().jobs);
        run(jobs);
        drop(leading);
        place.wait().answers()
    }
}

/// Being at work; ends by asking the next one.
struct Leading<'a>(&'a Queue);

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        match state.jobs.first() {
            Some(next) => next.place.0.tell(News::Lead),
            None => state.busy = false,
        }
    }
}

impl Place {
    /// Waits for news.
    fn wait(&self) -> News {
        let mut news = self.news.lock();
        loop {
            match std::mem::take(&mut *news) {
                News::None => self.changed.wait(&mut news),
                some => return some,
            }
        }
    }

    fn tell(&self, news: News) {
        *self.news.lock() = news;
        self.changed.notify_one();
    }
}

impl News {
    fn answers(self) -> Option<Answers> {
        match self {
            News::Done(answers) => Some(answers),
            _ => None,
        }
    }
}

impl Answering {
    pub(crate) fn answer(self, answers: Answers) {
        self.0.tell(News::Done(answers));
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut news = self.0.news.lock();
        if matches!(*news, News::None) {
            *news = News::Abandoned;
            self.0.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc;
    use std::thread;

    fn answer(jobs: Vec<Job>) {
        for job in jobs {
            job.place.answer(Answers::Forgotten(Vec::new()));
        }
    }

    #[test]
    fn one_does_what_the_others_want() {
        let queue = Queue::default();
        let (entered, is_in) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let queue = &queue;
            scope.spawn(move || {
                let answers = queue.submit(Work::Forget(Vec::new()), |jobs| {
                    entered.send(jobs.len()).unwrap();
                    wait.recv().unwrap();
                    answer(jobs);
                });
                assert!(answers.is_some());
            });
            assert_eq!(is_in.recv(), Ok(1));
            let others: Vec<_> = (0..9)
                .map(|_| {
                    scope.spawn(move || {
                        let mut took = 0;
                        let answers = queue.submit(Work::Forget(Vec::new()), |jobs| {
                            took = jobs.len();
                            answer(jobs);
                        });
                        assert!(answers.is_some());
                        took
                    })
                })
                .collect();
            while queue.state.lock().jobs.len() < 9 {
                thread::yield_now();
            }
            go.send(()).unwrap();
            let took: Vec<usize> = others.into_iter().map(|one| one.join().unwrap()).collect();
            assert_eq!(took.iter().sum::<usize>(), 9);
            assert_eq!(took.iter().filter(|&&took| took > 0).count(), 1);
        });
        assert!(!queue.state.lock().busy);
    }

    #[test]
    fn a_panic_at_work_is_nobody_elses_end() {
        let queue = Queue::default();
        let panics = || queue.submit(Work::Forget(Vec::new()), |_| panic!("on purpose"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert!(queue.submit(Work::Forget(Vec::new()), answer).is_some());
        let dropped = queue.submit(Work::Forget(Vec::new()), drop);
        assert!(dropped.is_none());
    }
}
