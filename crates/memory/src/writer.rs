//! One writer at a time, which does what all others wait for as well.

use crate::Episode;
use crate::episode::Memory;
use crate::indexer::Indexer;
use crate::job::{Answers, Work};
use crate::queue::Job;
use crate::round::{Decided, Effect, PutEffect, Round};
use crate::store::MemoryStore;
use crate::table::{Put, Table};
use cortica_storage::{Durability, Location, Log};
use std::sync::Arc;
use std::vec;

impl MemoryStore {
    /// Has work done and waits for its answers.
    ///
    /// Whoever finds nobody at work does all that is queued, in its order and with one commit; what
    /// comes in the meantime is the next one's. So many writers share a sync, and one writer alone
    /// waits for nobody.
    pub(crate) fn submit(&self, work: Work) -> Answers {
        let undone = work.undone();
        let mut led = false;
        let stores = matches!(work, Work::Store(..));
        let answers = self.queue.submit(work, |jobs| {
            led = true;
            let mut log = self.log.lock();
            self.run(jobs, &mut log);
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

    /// Does jobs in their order: decides, commits, and makes visible at once.
    fn run(&self, jobs: Vec<Job>, log: &mut Option<Log>) {
        let (works, places): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.work, job.place)).unzip();
        let first = self.indexer.as_ref().map(Indexer::writing);
        let table = self.table.read();
        let Decided {
            verdicts,
            effects,
            written,
        } = Round::new(self, &table, log.as_mut()).decide(&works.iter().collect::<Vec<_>>());
        drop(table);
        drop(first); // While the disk is waited for, the index may be kept up.
        let committed = match log {
            // On a full disk, forgetting must still be possible.
            Some(log) if works.iter().all(|work| matches!(work, Work::Forget(_))) => {
                written.and_then(|()| log.commit_freeing(self.durability))
            }
            Some(log) => written.and_then(|()| log.commit(self.durability)),
            None => Ok(Durability::None),
        };
        let failed = committed.err().map(Arc::new);
        let dead = match &failed {
            Some(error) => {
                tracing::error!(%error, "the log could not be written");
                if let Some(log) = log {
                    log.rollback();
                }
                Vec::new()
            }
            None => self.apply(works, effects),
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
    fn apply(&self, works: Vec<Work>, effects: Vec<Effect>) -> Vec<Location> {
        let puts = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Put(_)))
            .count();
        let mut offered: Vec<_> = works.into_iter().map(Offered::of).collect();
        let _first = self.indexer.as_ref().map(Indexer::writing);
        let mut table = self.table.write();
        table.reserve(puts);
        for effect in effects {
            match effect {
                Effect::Put(put) => {
                    let episode = offered.get_mut(put.job).and_then(|job| job.take(put.item));
                    if let Some(episode) = episode {
                        self.put(&mut table, &put, episode);
                    }
                }
                Effect::Activate {
                    seq,
                    activation,
                    location,
                } => table.activate(seq, activation, location),
                Effect::Forget { seq, location } => {
                    let row = table.forget(seq).and_then(|held| held.row);
                    self.free(row);
                    table.retire_record(location);
                }
                Effect::Link { link, record } => table.link(link, record),
            }
        }
        table.take_dead()
    }

    fn put(&self, table: &mut Table, put: &PutEffect, episode: Episode) {
        let (mut memory, embedding) = Memory::of(episode, put.seq, put.stored_at);
        memory.activation = put.activation;
        let row = match (self.index(), embedding, put.checked) {
            (Some(index), Some(embedding), Some(checked)) => {
                // Cannot fail: its memory is reserved, and the table fills up first.
                index.insert_checked(&embedding, checked).ok()
            }
            _ => None,
        };
        let old = table.put(Put {
            memory,
            row,
            id_hash: put.id_hash,
            fingerprint: put.fingerprint,
            embedding_crc: put.embedding_crc,
            location: put.location,
        });
        self.free(old);
    }

    fn free(&self, row: Option<cortica_index::Row>) {
        if let (Some(index), Some(row)) = (self.index(), row) {
            index.remove(row);
        }
    }
}

/// The episodes of a job, taken one after the other.
struct Offered {
    episodes: vec::IntoIter<Episode>,
    next: usize,
}

impl Offered {
    fn of(work: Work) -> Self {
        let episodes = match work {
            Work::Store(episodes, _) => episodes,
            _ => Vec::new(),
        };
        Self {
            episodes: episodes.into_iter(),
            next: 0,
        }
    }

    fn take(&mut self, item: usize) -> Option<Episode> {
        let skipped = item.checked_sub(self.next)?;
        self.next = item + 1;
        self.episodes.nth(skipped)
    }
}
