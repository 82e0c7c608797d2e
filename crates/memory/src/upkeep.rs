//! A store's log kept small, copied, brought back and mended.

use crate::error::{OpenError, UpkeepError};
use crate::live::Live;
use crate::replay::Replay;
use crate::store::MemoryStore;
use crate::{IndexLag, StoreOptions, check};
use cortica_env::Disk;
use cortica_simd::Isa;
use cortica_storage::{
    CommitError, CompactError, Copied, Durability, Effort, Freed, Log, OpenMode, Plan, RepairReport,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// After a compaction that failed, the log grows by so many bytes before the next one.
const RETRY_AFTER_BYTES: u64 = 1 << 20;

impl MemoryStore {
    /// Rewrites the log without anything that means nothing any more, so that what was forgotten
    /// or replaced is in none of the store's files. Says what that freed.
    ///
    /// A store does this by itself, in parts, when a write makes it worthwhile; so this is for
    /// those who want bytes gone. Reads and writes go on meanwhile.
    pub fn compact(&self) -> Result<Freed, UpkeepError> {
        let _alone = self.compacting.lock();
        if let Some(log) = &mut *self.log.lock() {
            // So that nothing is left of what was forgotten. On a full disk compaction makes room first.
            match self.checkpoint(log) {
                Ok(()) | Err(CommitError::Full) => {}
                Err(error) => return Err(OpenError::Commit(error).into()),
            }
        }
        let mut all = Freed::default();
        if self.log.lock().is_none() {
            all.durability = Durability::None; // There are no files.
            return Ok(all);
        }
        while let Some(freed) = self.compact_once(Effort::Everything)? {
            all.files += freed.files;
            all.bytes += freed.bytes;
            all.pinned_bytes += freed.pinned_bytes;
        }
        if let Some(indexer) = &self.indexer {
            // It may have held what was forgotten, and went too.
            indexer.forget_saved();
        }
        Ok(all)
    }

    /// Makes room on a full disk, by little if that is enough; says whether there is some now.
    pub(crate) fn clear_up(&self) -> bool {
        let alone = self.compacting.lock();
        if let Ok(Some(freed)) = self.compact_once(Effort::Worthwhile)
            && freed.bytes > 0
        {
            return true;
        }
        drop(alone);
        self.compact().is_ok_and(|freed| freed.bytes > 0)
    }

    /// Does one step of compaction if it is worthwhile and nobody is at it.
    pub(crate) fn compact_a_little(&self) {
        let Some(_alone) = self.compacting.try_lock() else {
            return;
        };
        if let Err(error) = self.compact_once(Effort::Worthwhile) {
            tracing::warn!(%error, "the log could not be compacted");
            let end = self.log.lock().as_ref().map_or(0, Log::end);
            self.compact_from.store(end + RETRY_AFTER_BYTES, Relaxed);
        }
    }

    fn compact_once(&self, effort: Effort) -> Result<Option<Freed>, CompactError> {
        let mut done = self.compact_step(effort);
        if matches!(done, Ok(None)) {
            return done; // As after most writes: nothing was used.
        }
        if matches!(done, Err(CompactError::Full)) {
            // What was kept back for this is used now, and the next step is as small as there is
            // room for.
            done = self.compact_step(effort);
        }
        let over = done.is_err() || effort == Effort::Worthwhile;
        if let Some(log) = self.log.lock().as_ref().filter(|_| over) {
            log.keep_room_back(); // Or whoever stores next takes it.
        }
        done
    }

    fn compact_step(&self, effort: Effort) -> Result<Option<Freed>, CompactError> {
        let Some((plan, live)) = self.plan(effort)? else {
            return Ok(None);
        };
        // The long part, without the lock.
        let rewritten = plan.rewrite(|record| live.fate(record))?;
        match &mut *self.log.lock() {
            Some(log) => log.install(rewritten).map(Some),
            None => Ok(None),
        }
    }

    fn plan(&self, effort: Effort) -> Result<Option<(Plan, Live)>, CompactError> {
        let mut log = self.log.lock();
        let Some(log) = &mut *log else {
            return Ok(None);
        };
        let later = log.end() < self.compact_from.load(Relaxed) || !log.is_writable();
        if later && effort == Effort::Worthwhile {
            return Ok(None);
        }
        let Some(plan) = log.plan_compaction(effort)? else {
            return Ok(None);
        };
        // The log is locked, so the table is what the plan's moment was.
        let live = Live::of(&self.table.read(), &plan.range(), plan.earlier_known_to());
        Ok(Some((plan, live)))
    }

    /// Makes a copy of the store as it is now in the folder `dest`, which is absent or empty. Reads
    /// and writes go on meanwhile.
    ///
    /// The copy is a store like any other and holds nothing that was forgotten or replaced. Every
    /// file of it is read again before it counts; as long as it is unfinished, it cannot be opened.
    pub fn snapshot(&self, dest: &Path) -> Result<Copied, UpkeepError> {
        let (snapshot, live) = {
            let mut log = self.log.lock();
            let log = log.as_mut().ok_or(UpkeepError::InMemory)?;
            if log.is_writable() {
                self.checkpoint(log).map_err(OpenError::Commit)?;
            }
            let snapshot = log.plan_snapshot()?;
            let all = Live::of(&self.table.read(), &(0..u64::MAX), u64::MAX);
            (snapshot, all)
        };
        let copied = snapshot.write(&self.disk, dest, |record| live.fate(record));
        Ok(copied?)
    }
}

/// Copies the store in the folder `from`, such as a snapshot, into the folder `to`, which is absent
/// or empty. Verifies all of it first, as [`check`] does, and changes nothing about it.
pub fn restore(disk: &Arc<dyn Disk>, from: &Path, to: &Path) -> Result<Copied, UpkeepError> {
    let report = check(&**disk, from)?;
    if !report.is_sound() {
        return Err(UpkeepError::Damaged {
            places: report.places(),
        });
    }
    Ok(cortica_storage::restore(disk, from, to)?)
}

/// Makes the damaged store at `dir` one that can be written again, keeping all that is whole, and
/// says what was damaged. Damaged files are moved into the folder `quarantine` beside the log, where
/// nothing reads them.
///
/// What was lost stays lost. Where that is a forgetting or an update, the episode is what it was
/// before, unless its id was stored again later; where it is an episode, its associations go with it.
/// Where it is what the vector space is, opening the store for writing with a dimension, a metric and
/// a model puts that back. Does nothing to a sound store.
///
/// What was found is kept in the store until [`repair_told`] is called, and reported again by the
/// next repair: one that is interrupted, at whatever moment, loses nothing silently.
pub fn repair(disk: &Arc<dyn Disk>, dir: &Path) -> Result<RepairReport, UpkeepError> {
    let mut replay = Replay::only_looking(Isa::best());
    let mut report = cortica_storage::repair(disk, dir, |record| replay.take(&record))?;
    let options = StoreOptions {
        mode: OpenMode::MustExist,
        index_lag: IndexLag::OnDemand,
        disk: disk.clone(),
        ..StoreOptions::default()
    };
    let store = MemoryStore::open(dir, options)?;
    if store.lost_associations + store.lost_forgets > 0 {
        store.compact()?;
    }
    let closed = store.close().map_err(OpenError::Commit)?;
    report.durability = report.durability.min(closed);
    Ok(report)
}

/// Says that what [`repair`] found has been passed on, so that it is not reported again: always
/// durably.
pub fn repair_told(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Durability, UpkeepError> {
    Ok(cortica_storage::repair_told(&**disk, dir)?)
}
