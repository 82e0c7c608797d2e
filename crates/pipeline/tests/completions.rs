//! Answers as they come: each once, urgent ones first, to as many takers as there are.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{concepts, owned, pipeline, requests};
use cortica_cortex::{Allocate, Allocation, Priority};
use cortica_pipeline::{Completions, Order, Request, SubmitReason};
use futures_core::Stream;
use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(10);

#[test]
fn completions_come_once_each_and_never_more_than_were_asked_for() {
    let concepts = concepts();
    let pipeline = pipeline(10, 2, Order::Relaxed);
    let completions = Completions::new(20);
    let mut open = HashSet::new();
    let mut done = 0;
    for request in owned(&requests(&concepts[..300])) {
        let mut request = Some(request);
        while let Some(one) = request.take() {
            match pipeline.submit_for(&completions, one) {
                Ok(seq) => assert!(open.insert(seq)),
                Err(refused) => {
                    assert_eq!(refused.reason, SubmitReason::Full);
                    assert_eq!(completions.outstanding(), 20);
                    request = Some(*refused.request);
                    let completion = completions.next().unwrap();
                    assert!(open.remove(&completion.seq));
                    completion.answer.unwrap();
                    done += 1;
                }
            }
        }
    }
    while let Some(completion) = completions.next() {
        assert!(open.remove(&completion.seq));
        done += 1;
    }
    assert_eq!((done, open.len(), completions.outstanding()), (300, 0, 0));
    assert_eq!(completions.next_timeout(SECOND), None);
}

/// Wakes a thread that waits for a task.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

fn wait_for<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match poll(&mut context) {
            Poll::Ready(ready) => return ready,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn completions_are_a_stream_for_several_tasks() {
    let concepts = concepts();
    let pipeline = pipeline(10, 2, Order::Submission);
    let completions = Completions::new(400);
    let mut idle = completions.clone();
    assert_eq!(
        wait_for(|context| Pin::new(&mut idle).poll_next(context)),
        None
    );
    let mut submitted = HashSet::new();
    for request in owned(&requests(&concepts[..400])) {
        submitted.insert(pipeline.submit_for(&completions, request).unwrap());
    }
    let taken: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let take = || {
            let (mut stream, mut taken) = (completions.clone(), Vec::new());
            while let Some(completion) =
                wait_for(|context| Pin::new(&mut stream).poll_next(context))
            {
                completion.answer.unwrap();
                taken.push(completion.seq);
            }
            taken
        };
        let tasks: Vec<_> = (0..3).map(|_| scope.spawn(take)).collect();
        tasks.into_iter().map(|task| task.join().unwrap()).collect()
    });
    let all: HashSet<u64> = taken.iter().flatten().copied().collect();
    assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), 400);
    assert_eq!(all, submitted);
    // One that is refused frees its place, and those who wait for its answer.
    pipeline.shutdown(SECOND);
    let request = owned(&requests(&concepts[..1])).remove(0);
    assert!(pipeline.submit_for(&completions, request).is_err());
    assert_eq!(completions.outstanding(), 0);
}

#[test]
fn urgent_ones_go_first_where_they_are_decided_as_they_come() {
    let concepts = concepts();
    let pipeline = pipeline(10, 1, Order::Relaxed);
    let completions = Completions::new(10);
    let round = pipeline.engine().begin();
    let submit = |at: usize, priority| {
        let (id, features) = &concepts[at];
        let request = Request {
            priority,
            ..Request::new(id.clone(), features.to_vec())
        };
        pipeline.submit_for(&completions, request).unwrap()
    };
    // The worker is at one, for which the round has to end, and the others wait.
    let first = submit(0, Priority::Low);
    while pipeline.health().queued > 0 {
        std::thread::yield_now();
    }
    let others = [Priority::Low, Priority::Normal, Priority::High];
    let others = others.map(|priority| submit(1 + priority as usize, priority));
    let critical = [5, 6, 7, 8, 9, 10].map(|at| submit(at, Priority::Critical));
    round.commit();
    let answered: Vec<u64> = std::iter::from_fn(|| completions.next())
        .map(|completion| completion.seq)
        .collect();
    assert_eq!(answered[0], first);
    // Three turns of four are theirs; on whose turn the worker looked first is not known.
    let early = &answered[1..=8];
    assert!(
        critical.iter().all(|seq| early.contains(seq)),
        "{critical:?} before {others:?}: {answered:?}"
    );
    assert_eq!(answered.len(), 10);
}

/// Carried by a panic, and panics when it is dropped.
struct Again;

impl Drop for Again {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("and again"));
    }
}

/// Panics as it is woken.
struct Faulty;

impl Wake for Faulty {
    fn wake(self: Arc<Faulty>) {
        std::panic::resume_unwind(Box::new(Again));
    }
}

#[test]
fn a_waker_that_panics_is_nobody_elses_trouble() {
    let concepts = concepts();
    for order in [Order::Submission, Order::Relaxed] {
        let pipeline = pipeline(10, 1, order);
        let completions = Completions::new(100);
        let all = owned(&requests(&concepts[..40]));
        let round = pipeline.engine().begin();
        for request in all {
            pipeline.submit_for(&completions, request).unwrap();
        }
        let waker = Waker::from(Arc::new(Faulty));
        let mut stream = completions.clone();
        let polled = Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Pending);
        drop(round);
        for _ in 0..40 {
            let next = completions.next_timeout(SECOND).unwrap();
            assert!(matches!(next.answer, Ok(Allocation::Allocated { .. })));
        }
        assert!(pipeline.health().healthy, "{order:?}");
    }
}

#[test]
fn numbers_rise_in_the_order_of_decisions() {
    let pipeline = pipeline(10, 2, Order::Submission);
    let completions = Completions::new(10_000);
    let tea = Request::new("tea", concepts()[0].1.to_vec());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut done = 0;
                while done < 1_000 {
                    // Refused where the queue is full; its number is not used up.
                    let taken = pipeline.submit_for(&completions, tea.clone());
                    done += usize::from(taken.is_ok());
                }
            });
        }
    });
    let seqs: Vec<u64> = std::iter::from_fn(|| completions.next())
        .map(|completion| completion.seq)
        .collect();
    assert_eq!(seqs, (0..4_000).collect::<Vec<u64>>());
}
