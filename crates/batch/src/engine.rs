//! A stream at work: one thread asks the source, another one does what has come.

use crate::answer::{Answer, ItemError};
use crate::answers::Answers;
use crate::batch::Batch;
use crate::cancel::{Cancel, Stop};
use crate::config::ConfigError;
use crate::execute::{guarded, words};
use crate::flow::{Flow, Next, Taken};
use crate::operation::Operation;
use crate::pace::Pace;
use crate::summary::BatchSummary;
use cortica_memory::Atomicity;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

/// Starts both threads.
pub(crate) fn start(
    batch: &Batch,
    pull: impl FnOnce(&Flow) + Send + 'static,
) -> Result<Answers, ConfigError> {
    let isa = batch.store().ok_or(ConfigError::Closed)?.isa();
    let config = batch.settings();
    batch.check(isa)?;
    if config.atomicity == Atomicity::All {
        return Err(ConfigError::AtomicStream);
    }
    let summary = BatchSummary::new(isa);
    let flow = Arc::new(Flow::new(config.memory_limit, config.backpressure, summary));
    let own = Cancel::new();
    let batch = batch.clone().cancelled_by(&own);
    for cancel in &batch.cancels {
        cancel.wakes(&flow);
    }
    let no_threads = |error: std::io::Error| ConfigError::Threads {
        threads: 2,
        why: error.to_string(),
    };
    let working = flow.clone();
    let engine = thread::Builder::new()
        .name("cortica-batch".to_owned())
        .spawn(move || work(&batch, &working));
    let engine = engine.map_err(no_threads)?;
    let answers = Answers::new(flow.clone(), own, engine);
    let intake = thread::Builder::new().name("cortica-intake".to_owned());
    let intake = intake.spawn(move || {
        flow.intake_is(thread::current());
        let pulled = catch_unwind(AssertUnwindSafe(|| pull(&flow)));
        let panicked = pulled.err().map(words);
        if let Some(panic) = &panicked {
            tracing::error!(
                panic,
                "the source of a batch panicked; what had come is done"
            );
        }
        flow.source_ended(panicked);
    });
    intake.map_err(no_threads)?; // Dropping the answers ends what was started.
    Ok(answers)
}

/// Ends the flow also where a panic ends the thread: nobody is left who would do what waits.
struct Ending<'a>(&'a Flow, Option<Stop>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let lost = thread::panicking().then_some(Stop::Closed);
        self.0.end(self.1.or(lost));
    }
}

fn work(batch: &Batch, flow: &Flow) {
    let gate = batch.gate(flow.begun);
    let mut pace = Pace::new(batch.settings().backpressure, batch.settings().batch_size);
    let mut ending = Ending(flow, None);
    loop {
        let next = flow.next(|level| pace.most(level), || gate.stopped(), gate.deadline);
        let Next::Do(taken) = next else {
            return;
        };
        let Some(store) = batch.store() else {
            let closed = taken.operations.iter().map(|_| Err(ItemError::Closed));
            flow.answer(closed.collect(), taken.bytes);
            ending.1 = Some(Stop::Closed);
            return;
        };
        let (bytes, count) = (taken.bytes, taken.operations.len());
        let answered = guarded(|| {
            answer(taken, batch.settings().memory_limit, |first, operations| {
                batch.execute(&store, &gate, first, operations)
            })
        });
        // Each operation has its answer, also where a panic came past those who look after one.
        let answers = answered.unwrap_or_else(|panicked| vec![Err(panicked); count]);
        drop(store); // Whoever closes it waits for this.
        flow.answer(answers, bytes);
        batch.tell(|| flow.progress());
    }
}

/// Answers what is too large; has the rest done, in their order.
fn answer(
    taken: Taken,
    limit: usize,
    mut execute: impl FnMut(u64, Vec<Operation>) -> Vec<Answer>,
) -> Vec<Answer> {
    let Taken {
        first, operations, ..
    } = taken;
    let mut answers = Vec::with_capacity(operations.len());
    let mut run = Vec::with_capacity(operations.len());
    for operation in operations {
        match operation {
            Ok(operation) => run.push(operation),
            Err(needed) => {
                let done = execute(first + answers.len() as u64, std::mem::take(&mut run));
                answers.extend(done);
                answers.push(Err(ItemError::TooLarge { needed, limit }));
            }
        }
    }
    if answers.is_empty() {
        return execute(first, run);
    }
    let done = execute(first + answers.len() as u64, run);
    answers.extend(done);
    answers
}
