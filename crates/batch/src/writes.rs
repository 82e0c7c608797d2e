//! Stores, associations and forgettings that share a commit.

use crate::answer::{Answer, Answered, ItemError};
use crate::bytes::needed;
use crate::execute::{Executor, guarded};
use crate::operation::Operation;
use cortica_memory::{Association, Atomicity, Episode, MemoryStore, Write, Written};
use std::iter::zip;

/// Does writes in their order, of which the first has the number `first`, and answers them.
pub(crate) fn writes(
    executor: &Executor<'_>,
    first: u64,
    run: Vec<Operation>,
    answers: &mut Vec<Answer>,
) {
    let allocates = executor.store.allocates();
    let (mut all, mut columns) = (Vec::with_capacity(run.len()), Vec::with_capacity(run.len()));
    let refused: Vec<Option<ItemError>> = (first..)
        .zip(run)
        .map(|(number, operation)| {
            let admitted = executor.admit(number, operation.kind(), needed(&operation));
            let keep = |(write, column)| {
                all.push(write);
                columns.push(column);
            };
            let write = admitted.and_then(|()| write(operation, allocates));
            write.map(keep).err()
        })
        .collect();
    let done = if all.is_empty() {
        Ok(Vec::new())
    } else {
        guarded(|| do_all(executor.store, all))
    };
    let panicked = done.as_ref().err().cloned();
    let mut done = zip(done.unwrap_or_default(), columns).map(answer);
    answers.extend(refused.into_iter().map(|refused| match refused {
        Some(error) => Err(error),
        None => done.next().unwrap_or_else(|| {
            let lost = || ItemError::Panicked("there was no answer".to_owned());
            Err(panicked.clone().unwrap_or_else(lost))
        }),
    }));
}

/// By the door that is made for them, where they are of one sort.
fn do_all(store: &MemoryStore, writes: Vec<Write>) -> Vec<Written> {
    if writes.iter().all(|write| matches!(write, Write::Store(_))) {
        let episodes = writes.into_iter().filter_map(|write| match write {
            Write::Store(episode) => Some(episode),
            _ => None,
        });
        let episodes: Vec<Episode> = episodes.collect();
        return store
            .store_many(episodes)
            .into_iter()
            .map(Written::Stored)
            .collect();
    }
    if writes.iter().all(|write| matches!(write, Write::Forget(_))) {
        let ids = writes.into_iter().filter_map(|write| match write {
            Write::Forget(id) => Some(id),
            _ => None,
        });
        let ids: Vec<String> = ids.collect();
        return store
            .forget_many(&ids)
            .into_iter()
            .map(Written::Forgotten)
            .collect();
    }
    if writes
        .iter()
        .all(|write| matches!(write, Write::Associate(_)))
    {
        let links = writes.into_iter().filter_map(|write| match write {
            Write::Associate(link) => Some(link),
            _ => None,
        });
        let links: Vec<Association> = links.collect();
        return store
            .associate_many(&links)
            .into_iter()
            .map(Written::Associated)
            .collect();
    }
    store.write_many(writes, Atomicity::Each)
}

/// An operation as a write, and whether a column is wanted for it.
pub(crate) fn write(operation: Operation, allocates: bool) -> Result<(Write, bool), ItemError> {
    Ok(match operation {
        Operation::Store(episode) => (Write::Store(episode), false),
        Operation::Allocate(_) if !allocates => return Err(ItemError::NoAllocation),
        Operation::Allocate(episode) => (Write::Store(episode), true),
        Operation::Associate(link) => (Write::Associate(link), false),
        Operation::Forget(id) => (Write::Forget(id), false),
        Operation::Unreadable(why) => return Err(ItemError::Unreadable(why)),
        other => return Err(ItemError::Unsupported { kind: other.kind() }),
    })
}

/// What a write answers, and for which a column was wanted.
pub(crate) fn answer((written, column): (Written, bool)) -> Answer {
    Ok(match written {
        Written::Stored(stored) if column => Answered::Allocated(stored?),
        Written::Stored(stored) => Answered::Stored(stored?),
        Written::Associated(linked) => Answered::Associated(linked?),
        Written::Forgotten(forgotten) => Answered::Forgotten(forgotten?),
        // A write is answered in kind.
        _ => return Err(ItemError::Panicked("there was no answer".to_owned())),
    })
}
