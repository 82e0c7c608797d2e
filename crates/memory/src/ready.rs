//! What is done before the log has it, and undone by dropping it.

use crate::codec::Link;
use crate::episode::{Episode, Memory};
use crate::job::Work;
use crate::level::Activation;
use crate::round::{Effect, PutEffect};
use crate::store::MemoryStore;
use crate::write::Write;
use cortica_index::Prepared;
use cortica_storage::{Durability, Location};
use parking_lot::Mutex;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::vec;

/// Effects of a round from which on a second thread is worth its start, some 50 microseconds: to
/// prepare one takes not quite one.
const APART_FROM: usize = 256;

/// An effect of which only the last step is left, which makes it visible.
#[derive(Debug)]
pub(crate) enum Ready<'a> {
    Put(PutEffect, Arc<Memory>, Option<Prepared<'a>>),
    Activate(u64, Activation, Location),
    Forget(u64, Location),
    Link(Link, Location),
}

impl Ready<'_> {
    pub(crate) fn is_put(&self) -> bool {
        matches!(self, Self::Put(..))
    }
}

impl MemoryStore {
    /// Commits, and prepares what is to become visible; for a large durable round at the same
    /// time, so that embeddings are copied to their rows while the disk is waited for. Nothing of
    /// it can be seen, and where the commit fails, the caller drops it.
    pub(crate) fn prepare_beside<R>(
        &self,
        commit: impl FnOnce() -> R,
        works: Vec<Work>,
        effects: Vec<Effect>,
    ) -> (R, Vec<Ready<'_>>) {
        if self.durability < Durability::Durable || effects.len() < APART_FROM {
            return (commit(), self.prepare(works, effects));
        }
        let todo = Mutex::new(Some((works, effects)));
        let prepare = || {
            let (works, effects) = todo.lock().take()?;
            // Not visible either, and it would take its time later.
            self.table.write().reserve(effects.len());
            Some(self.prepare(works, effects))
        };
        let (committed, helped) = thread::scope(|scope| {
            let named = thread::Builder::new().name("cortica-prepare".to_owned());
            let helper = named.spawn_scoped(scope, prepare);
            let committed = commit();
            (committed, helper.map(ScopedJoinHandle::join))
        });
        let ready = match helped {
            Ok(Ok(ready)) => ready,
            Ok(Err(panicked)) => resume_unwind(panicked),
            Err(_) => prepare(), // The system had no thread to give.
        };
        (committed, ready.unwrap_or_default())
    }

    /// Does all of it that cannot be seen.
    fn prepare(&self, works: Vec<Work>, effects: Vec<Effect>) -> Vec<Ready<'_>> {
        let mut offered: Vec<_> = works.into_iter().map(Offered::of).collect();
        let ready = effects.into_iter().filter_map(|effect| match effect {
            Effect::Put(put) => {
                let episode = offered.get_mut(put.job)?.take(put.item)?;
                Some(self.prepare_put(put, episode))
            }
            Effect::Activate {
                seq,
                activation,
                location,
            } => Some(Ready::Activate(seq, activation, location)),
            Effect::Forget { seq, location } => Some(Ready::Forget(seq, location)),
            Effect::Link { link, record } => Some(Ready::Link(link, record)),
        });
        ready.collect()
    }

    fn prepare_put(&self, put: PutEffect, episode: Episode) -> Ready<'_> {
        let (mut memory, embedding) = Memory::of(episode, put.seq, put.stored_at);
        memory.activation = put.activation;
        let vector = match (self.index(), embedding, put.checked) {
            (Some(index), Some(embedding), Some(checked)) => {
                // Cannot fail: its memory is reserved, and the table fills up first.
                index.prepare(&embedding, checked).ok()
            }
            _ => None,
        };
        Ready::Put(put, memory.into(), vector)
    }
}

/// The items of a job, whose episodes are taken one after the other.
struct Offered {
    items: Items,
    next: usize,
}

enum Items {
    Episodes(vec::IntoIter<Episode>),
    Writes(vec::IntoIter<Write>),
}

impl Offered {
    fn of(work: Work) -> Self {
        let items = match work {
            Work::Store(episodes, _) => Items::Episodes(episodes.into_iter()),
            Work::Mixed(writes, _) => Items::Writes(writes.into_iter()),
            _ => Items::Episodes(Vec::new().into_iter()),
        };
        Self { items, next: 0 }
    }

    fn take(&mut self, item: usize) -> Option<Episode> {
        let skipped = item.checked_sub(self.next)?;
        self.next = item + 1;
        match &mut self.items {
            Items::Episodes(episodes) => episodes.nth(skipped),
            Items::Writes(writes) => match writes.nth(skipped) {
                Some(Write::Store(episode)) => Some(episode),
                _ => None,
            },
        }
    }
}
