//! One writer at a time, which does what all others wait for as well.

use crate::indexer::Indexer;
use crate::job::{Answers, Verdicts, Work};
use crate::queue::Job;
use crate::ready::Ready;
use crate::round::{Decided, Round};
use crate::store::MemoryStore;
use crate::table::Put;
use crate::uses::Used;
use cortica_cortex::Round as Deciding;
use cortica_storage::{Durability, Location, Log};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Takes back what a panic has left half appended, so that nobody else's commit covers it.
struct UndoPanicked<'a>(&'a mut Option<Log>);

impl Drop for UndoPanicked<'_> {
    fn drop(&mut self) {
        if let Some(log) = self.0
            && std::thread::panicking()
        {
            log.rollback();
        }
    }
}

impl MemoryStore {
    /// Has work done and waits for its answers.
    ///
    /// Whoever finds nobody at work does all that is queued, in its order and with one commit; what
    /// comes in the meantime is the next one's. So many writers share a sync, and one writer alone
    /// waits for nobody.
    pub(crate) fn submit(&self, work: Work) -> Answers {
        let undone = work.undone();
        let mut led = false;
        let stores = matches!(work, Work::Store(..) | Work::Mixed(..));
        let answers = self.queue.submit(work, |jobs| {
            led = true;
            let mut log = self.log.lock();
            let undo = UndoPanicked(&mut log);
            self.run(jobs, undo.0);
        });
        if led {
            // Others write on meanwhile.
            self.compact_a_little();
        }
        if stores && let Some(indexer) = &self.indexer {
            indexer.keep_up();
        }
        answers.unwrap_or_else(undone)
    }

    /// Does jobs in their order. One that is done as a whole or not at all has a commit of its own.
    fn run(&self, mut jobs: Vec<Job>, log: &mut Option<Log>) {
        while let Some(first) = jobs.first() {
            let whole = jobs.iter().position(|job| job.work.is_whole());
            let apart = if first.work.is_whole() {
                1
            } else {
                whole.unwrap_or(jobs.len())
            };
            let rest = jobs.split_off(apart);
            let these = std::mem::replace(&mut jobs, rest);
            let mut strengthen = these.iter().any(|job| job.work.is_some());
            if strengthen && these.iter().all(|job| job.work.only_forgets()) {
                // On a full disk, forgetting must still be possible, and what recalls have noted may
                // be more than there is room for. It waits, then.
                if self.table.read().used() > 0 {
                    self.run_round(Vec::new(), log, true);
                }
                strengthen = false;
            }
            self.run_round(these, log, strengthen);
        }
        self.checkpoint_a_little(log);
    }

    /// Does jobs in their order: decides, commits, and makes visible at once.
    fn run_round(&self, jobs: Vec<Job>, log: &mut Option<Log>, strengthen: bool) {
        let (works, places): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.work, job.place)).unzip();
        // Kept when the log has what was decided; dropped, it leaves nothing.
        let allocator = self.allocator.as_ref();
        let allocator = allocator.filter(|_| works.iter().any(Work::touches_episodes));
        let mut columns = allocator.map(|allocator| allocator.door.begin());
        let deciding = columns
            .as_mut()
            .map(|columns| &mut **columns as &mut dyn Deciding);
        let first = self.indexer.as_ref().map(Indexer::writing);
        let table = self.table.read();
        let round = Round::new(self, &table, log.as_mut(), deciding);
        let Decided {
            verdicts,
            effects,
            uses,
            evictions,
            written,
        } = round.decide(&works, strengthen);
        drop(table);
        drop(first); // While the disk is waited for, the index may be kept up.
        let whole = works.iter().any(Work::is_whole);
        let refused = verdicts.first().and_then(Verdicts::refused);
        if let Some(item) = refused.filter(|_| whole) {
            if let Some(log) = log {
                log.rollback();
            }
            drop(columns); // As if nothing had been asked for.
            for (mut verdicts, place) in verdicts.into_iter().zip(places) {
                verdicts.abandon(item);
                place.answer(verdicts.settle(None));
            }
            return;
        }
        let freeing = !works.is_empty() && works.iter().all(Work::only_forgets);
        let commit = || match log {
            Some(log) if freeing => written.and_then(|()| log.commit_freeing(self.durability)),
            Some(log) => written.and_then(|()| log.commit(self.durability)),
            None => Ok(Durability::None),
        };
        let (committed, ready) = self.prepare_beside(commit, works, effects);
        let failed = committed.err().map(Arc::new);
        let dead = if let Some(error) = &failed {
            tracing::error!(%error, "the log could not be written");
            if let Some(log) = log {
                log.rollback();
            }
            drop(columns); // As if nothing had been asked for.
            Vec::new()
        } else {
            if let Some(columns) = columns {
                columns.commit();
            }
            let dead = self.apply(ready, &uses);
            self.evictions.fetch_add(evictions, Relaxed);
            self.strengthened.fetch_add(uses.len() as u64, Relaxed);
            dead
        };
        if let Some(log) = log {
            for location in dead {
                log.retire(location);
            }
        }
        for (verdicts, place) in verdicts.into_iter().zip(places) {
            place.answer(verdicts.settle(failed.as_ref()));
        }
    }

    /// Makes what the log has visible. Gives the records that came to mean nothing by it.
    fn apply(&self, ready: Vec<Ready<'_>>, uses: &[Used]) -> Vec<Location> {
        let puts = ready.iter().filter(|ready| ready.is_put()).count();
        let _first = self.indexer.as_ref().map(Indexer::writing);
        let mut table = self.table.write();
        table.reserve(puts);
        for ready in ready {
            match ready {
                Ready::Put(put, memory, vector) => {
                    // Cannot fail: it is this index that prepared it.
                    let insert = |vector| self.index()?.insert_prepared(vector).ok();
                    let old = table.put(Put {
                        memory,
                        row: vector.and_then(insert),
                        id_hash: put.id_hash,
                        fingerprint: put.fingerprint,
                        embedding_crc: put.embedding_crc,
                        placed: put.placed,
                        lasts: put.lasts,
                        location: put.location,
                    });
                    self.free(old);
                }
                Ready::Activate(seq, activation, location) => {
                    table.activate(seq, activation, location);
                }
                Ready::Forget(seq, location) => {
                    let row = table.forget(seq).and_then(|held| held.row);
                    self.free(row);
                    table.retire_record(location);
                }
                Ready::Link(link, record) => table.link(link, record),
            }
        }
        table.take_uses(uses);
        table.take_dead()
    }

    fn free(&self, row: Option<cortica_index::Row>) {
        if let (Some(index), Some(row)) = (self.index(), row) {
            index.remove(row);
        }
    }
}
