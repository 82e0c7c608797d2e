//! Lists of which all is done or nothing.

use crate::answer::{Answer, ItemError};
use crate::bytes::{needed, needed_by_all};
use crate::config::ConfigError;
use crate::execute::{Executor, guarded};
use crate::operation::Operation;
use crate::writes::{answer, write};
use cortica_memory::Atomicity;
use std::iter::zip;

/// Refuses lists with operations that are no writes.
pub(crate) fn check(operations: &[Operation]) -> Result<(), ConfigError> {
    let reads = |operation: &Operation| {
        let kind = operation.kind();
        kind.only_reads().then_some(kind)
    };
    let mut reads = operations
        .iter()
        .enumerate()
        .filter_map(|(at, one)| Some((at, reads(one)?)));
    match reads.next() {
        Some((operation, kind)) => Err(ConfigError::NoWrite { operation, kind }),
        None => Ok(()),
    }
}

/// Does all or nothing; the answers are all good, or none is.
pub(crate) fn execute(executor: &Executor<'_>, operations: Vec<Operation>) -> Vec<Answer> {
    let count = operations.len();
    if let Some(stop) = executor.gate.stopped() {
        return (0..count).map(|_| Err(stop.error())).collect();
    }
    let all = needed_by_all(&operations);
    if all > executor.limit {
        let (needed, limit) = (all, executor.limit);
        let refused = |_| Err(ItemError::TooLarge { needed, limit });
        return (0..count).map(refused).collect();
    }
    let (mut writes, mut allocate) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut refused: Vec<Option<ItemError>> = Vec::with_capacity(count);
    for (number, operation) in (0..).zip(operations) {
        let admitted = executor.admit(number, operation.kind(), needed(&operation));
        let write = admitted.and_then(|()| write(operation, executor.store.allocates()));
        let keep = |(write, column)| {
            writes.push(write);
            allocate.push(column);
        };
        refused.push(write.map(keep).err());
    }
    if let Some(item) = refused.iter().position(Option::is_some) {
        let answers = refused.into_iter();
        return answers
            .map(|own| Err(own.unwrap_or(ItemError::Undone { item })))
            .collect();
    }
    match guarded(|| executor.store.write_many(writes, Atomicity::All)) {
        Ok(written) => zip(written, allocate).map(answer).collect(),
        Err(panicked) => (0..count).map(|_| Err(panicked.clone())).collect(),
    }
}
