//! Recalls and searches, in blocks that share a pass over the vectors.

use crate::answer::{Answer, Answered, Hit, ItemError};
use crate::bytes::needed;
use crate::cancel::{Gate, Stop};
use crate::execute::{Executor, guarded};
use crate::operation::{Kind, Operation};
use crate::workers::Workers;
use cortica_memory::{Accuracy, Cue, MemoryStore, RecallError, Recalled};
use std::iter::zip;
use std::ops::{Range, RangeInclusive};
use std::slice;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Queries in a block of exact searches: at least what shares one pass over the vectors, at most
/// what keeps a block from being the last one that everybody waits for.
const BLOCK_LENGTH: RangeInclusive<usize> = 16..=256;

/// Blocks for each worker, so that one that is held up leaves its share to others.
const BLOCKS_EACH: usize = 4;

/// Walks in a block of a batch that may be ended early, which is asked for between blocks, and those of
/// each worker in a piece of a long list: enough for near ones to follow each other, and few enough to wait for.
pub(crate) const WALKS_MAX: usize = 4_096;

/// A read, beside its cue.
#[derive(Clone, Copy, Debug)]
struct Asked {
    number: u64,
    kind: Kind,
    needed: usize,
    vectors: bool,
}

impl Asked {
    /// What is asked, and its cue.
    fn of(operation: Operation, number: u64, kind: Kind, needed: usize) -> Option<(Self, Cue)> {
        let (vectors, cue) = match operation {
            Operation::Recall { cue, vectors } => (vectors, cue),
            Operation::SimilaritySearch {
                query,
                k,
                threshold,
                vectors,
            } => {
                let cue = Cue::embedding(query).max_results(k);
                let cue = match threshold {
                    Some(threshold) => cue.result_threshold(threshold),
                    None => cue,
                };
                (vectors, cue)
            }
            _ => return None,
        };
        let asked = Self {
            number,
            kind,
            needed,
            vectors,
        };
        Some((asked, cue))
    }
}

/// Answers reads, of which the first has the number `first`. Recalls and searches among them are done
/// apart: a recall is a use of what it finds, a search is none.
///
/// Where the batch is ended meanwhile, the first reads are answered and none behind them.
pub(crate) fn reads(executor: &Executor<'_>, first: u64, run: Vec<Operation>) -> Vec<Answer> {
    let recalls = run.iter().map(|operation| operation.kind() == Kind::Recall);
    let recalls: Vec<bool> = recalls.collect();
    let asked = (first..).zip(run).filter_map(|(number, operation)| {
        let (kind, needed) = (operation.kind(), needed(&operation));
        Asked::of(operation, number, kind, needed)
    });
    let (some, others): (Vec<_>, Vec<_>) = asked.partition(|(asked, _)| asked.kind == Kind::Recall);
    if some.is_empty() || others.is_empty() {
        let all = if some.is_empty() { others } else { some };
        return answer_all(executor, all.into_iter().unzip());
    }
    // Searches first: they leave nothing behind, so one can be taken back where a recall in front of
    // it was not begun. A recall that was done stays done.
    let mut others = answer_all(executor, others.into_iter().unzip()).into_iter();
    let mut some = answer_all(executor, some.into_iter().unzip()).into_iter();
    let lost = || Err(ItemError::Panicked("there was no answer".to_owned()));
    let next = |recalls| if recalls { some.next() } else { others.next() };
    let mut answers: Vec<Answer> = recalls
        .into_iter()
        .map(next)
        .map(|answer| answer.unwrap_or_else(lost))
        .collect();
    let ended = |answer: &Answer| matches!(answer, Err(error) if error.ends_the_batch());
    if let Some(at) = answers.iter().position(ended) {
        let end = answers[at].clone();
        answers[at..].fill(end);
    }
    answers
}

/// Blocks in their order. One is given out only while nothing ends the batch, and both is decided
/// under one lock, so those that were begun are always the first ones, whoever does them.
struct Turns<'a> {
    gate: &'a Gate,
    operations: usize,
    length: usize,
    state: Mutex<Turn>,
}

#[derive(Default)]
struct Turn {
    begun: usize,
    stop: Option<Stop>,
}

impl Turns<'_> {
    /// What is to be done next; none if all was begun, or nothing more may be.
    fn next(&self) -> Option<Range<usize>> {
        let mut turn = self.lock();
        if turn.begun == self.operations || turn.stop.is_some() {
            return None;
        }
        turn.stop = self.gate.stopped();
        if turn.stop.is_some() {
            return None;
        }
        let from = turn.begun;
        turn.begun = self.operations.min(from + self.length);
        Some(from..turn.begun)
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers reads of one kind.
fn answer_all(executor: &Executor<'_>, (asked, cues): (Vec<Asked>, Vec<Cue>)) -> Vec<Answer> {
    let mut slots: Vec<OnceLock<Answer>> = Vec::new();
    slots.resize_with(asked.len(), OnceLock::new);
    let shortest = *BLOCK_LENGTH.start();
    let workers = (asked.len() > shortest).then(|| (executor.workers)());
    let count = workers.as_ref().map_or(1, Workers::count);
    let length = block_length(&cues, count, executor.gate);
    let turns = Turns {
        gate: executor.gate,
        operations: asked.len(),
        length,
        state: Mutex::default(),
    };
    let work = || {
        while let Some(block) = turns.next() {
            let (asked, cues) = (&asked[block.clone()], &cues[block.clone()]);
            answer_block(executor, asked, cues, &slots[block]);
        }
    };
    match workers.as_ref().and_then(|workers| workers.pool()) {
        Some(pool) if asked.len() > length => pool.scope(|scope| {
            for _ in 0..count.min(asked.len().div_ceil(length)) {
                scope.spawn(|_| work());
            }
        }),
        _ => work(),
    }
    let stop = turns.lock().stop;
    let lost = || match stop {
        Some(stop) => Err(stop.error()),
        None => Err(ItemError::Panicked("there was no answer".to_owned())),
    };
    let answers = slots
        .into_iter()
        .map(|slot| slot.into_inner().unwrap_or_else(lost));
    answers.collect()
}

fn walks(cue: &Cue) -> bool {
    !matches!(cue.how_sure(), Accuracy::Exact)
}

/// Whether it walks along the graph.
pub(crate) fn is_walk(operation: &Operation) -> bool {
    matches!(operation, Operation::Recall { cue, .. } if walks(cue))
}

fn block_length(cues: &[Cue], workers: usize, gate: &Gate) -> usize {
    if cues.iter().any(walks) {
        // Walks gain by near queries that follow each other, which only many have.
        let even = cues.len().div_ceil(workers).max(1);
        return if gate.may_stop() {
            even.min(WALKS_MAX)
        } else {
            even
        };
    }
    let (shortest, longest) = BLOCK_LENGTH.into_inner();
    if workers == 1 {
        return longest; // There is nobody to leave a share to.
    }
    let even = cues.len().div_ceil(workers * BLOCKS_EACH);
    even.next_multiple_of(shortest).clamp(shortest, longest)
}

/// Answers what nobody else does. A panic that the whole block is not to blame for is found by
/// answering one by one.
fn answer_block(
    executor: &Executor<'_>,
    asked: &[Asked],
    cues: &[Cue],
    slots: &[OnceLock<Answer>],
) {
    let mut all = true;
    for (asked, slot) in zip(asked, slots) {
        if let Err(refused) = executor.admit(asked.number, asked.kind, asked.needed) {
            all = false;
            let _ = slot.set(Err(refused)); // Nobody else sets it.
        }
    }
    let find = |cues: &[Cue]| match asked.first().map(|asked| asked.kind) {
        Some(Kind::Recall) => executor.store.recall_many(cues),
        _ => executor.store.search_many(cues),
    };
    if all && let Ok(found) = guarded(|| find(cues)) {
        for ((asked, slot), found) in zip(zip(asked, slots), found) {
            let _ = slot.set(guarded(|| answer(executor.store, *asked, found)).flatten());
        }
        return;
    }
    let left = zip(zip(asked, cues), slots).filter(|(_, slot)| slot.get().is_none());
    for ((asked, cue), slot) in left {
        let none = || Err(RecallError::NoSpace); // One cue gives one answer: this does not occur.
        let one = || find(slice::from_ref(cue)).pop().unwrap_or_else(none);
        let _ = slot.set(guarded(|| answer(executor.store, *asked, one())).flatten());
    }
}

fn answer(store: &MemoryStore, asked: Asked, found: Result<Vec<Recalled>, RecallError>) -> Answer {
    let hit = |recalled: Recalled| {
        let seq = recalled.memory.seq;
        let vector = asked.vectors.then(|| store.embedding_of(seq)).flatten();
        Hit {
            seq,
            id: recalled.memory.id.clone(),
            score: recalled.score,
            vector,
        }
    };
    let hits = found?.into_iter().map(hit).collect();
    Ok(match asked.kind {
        Kind::Recall => Answered::Recalled(hits),
        _ => Answered::Similar(hits),
    })
}
