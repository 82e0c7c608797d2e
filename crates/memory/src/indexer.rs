//! The index is kept up in the background.

use crate::graph_cache::{self, Loaded};
use crate::options::IndexLag;
use crate::table::Table;
use cortica_index::{HnswIndex, VectorIndex};
use cortica_storage::Log;
use parking_lot::{Mutex, RwLock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A store that was written to so recently is in a burst, which goes first ...
const QUIET: Duration = Duration::from_millis(10);
/// ... but not for longer than this ...
const PATIENCE: Duration = Duration::from_millis(100);
/// ... before links are made for so long.
const TURN: Duration = Duration::from_millis(20);

/// How often that is looked at.
const POLL: Duration = Duration::from_millis(1);

/// Rows that are removed are led around when there are so many of them, and a tenth of the rest; what can be
/// reached is looked at when so many were linked, and a tenth of all, or as soon as none waits.
const REPAIR_FROM: usize = 256;

/// The graph is saved after so many links and repairs, and a quarter of all ...
const SAVE_EVERY: usize = 8_192;
/// ... and by closing, if there were at least so many: to make less than that again takes no longer.
const SAVE_FROM: usize = 1_000;

/// Makes vectors part of the graph, in a thread of its own that begins when there is something to do
/// and ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Indexer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    index: Arc<HnswIndex>,
    lag: IndexLag,
    stop: AtomicBool,
    /// Who is making writes visible just now.
    writers: AtomicUsize,
    /// When that was last over, in microseconds since `begun`.
    written: AtomicU64,
    begun: Instant,
    /// Read for as long as a link is made.
    linking: RwLock<()>,
    /// Held by who repairs or saves. Saving holds the table, and must not wait there for a repair to end.
    upkeep: Mutex<()>,
    /// Why nothing is done any more.
    trouble: Mutex<Option<String>>,
    /// Why the graph could not be saved, when that was tried last.
    unsavable: Mutex<Option<String>>,
    /// Links and repairs since the graph was saved.
    unsaved: AtomicUsize,
    /// Links since it was last seen to that walks reach all of them.
    unreached: AtomicUsize,
    kept: Kept,
}

/// What the graph is saved from and to.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) log: Arc<Mutex<Option<Log>>>,
    pub(crate) table: Arc<RwLock<Table>>,
    /// What came of loading it. Nothing is saved of a store without a log, or that is only read.
    pub(crate) loaded: Loaded,
    pub(crate) savable: bool,
}

/// A write is being made visible, and indexing waits.
#[derive(Debug)]
pub(crate) struct Writing<'a>(&'a Indexer);

impl Indexer {
    pub(crate) fn new(index: Arc<HnswIndex>, lag: IndexLag, kept: Kept) -> Self {
        let indexer = Self {
            shared: Arc::new(Shared::new(index, lag, kept)),
            thread: Mutex::new(None),
        };
        indexer.wake();
        indexer
    }

    /// A write is about to be made visible: lets it go first until what this gives is dropped.
    pub(crate) fn writing(&self) -> Writing<'_> {
        self.shared.writers.fetch_add(1, SeqCst);
        Writing(self)
    }

    /// Waits until no more vectors are unindexed than the store's lag allows, and helps with it.
    pub(crate) fn keep_up(&self) {
        let IndexLag::Block(most) = self.shared.lag else {
            return;
        };
        let shared = &self.shared;
        while shared.index.waiting() > most {
            if shared.link() > 0 {
                continue;
            }
            // Others are at all of it. When they are done, there is nothing more to do but where one
            // of them panicked: what it was at waits for ever, and is found by comparing.
            let _alone = shared.linking.write();
            if shared.link_now() == 0 {
                return;
            }
        }
    }

    /// Makes all that waits at this moment part of the graph; says why if that is not possible.
    pub(crate) fn finish(&self) -> Result<(), String> {
        let shared = &self.shared;
        for _ in 0..shared.index.waiting() {
            if shared.link() == 0 {
                break;
            }
        }
        // Others may be at the last ones.
        drop(shared.linking.write());
        if shared.unreached.load(SeqCst) > 0 {
            shared.repair();
        }
        self.trouble().map_or(Ok(()), Err)
    }

    /// Why the index is not kept up any more.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().clone()
    }

    /// Why the graph is not saved.
    pub(crate) fn unsavable(&self) -> Option<String> {
        self.shared.unsavable.lock().clone()
    }

    pub(crate) fn loaded(&self) -> &Loaded {
        &self.shared.kept.loaded
    }

    /// The saved graph was removed.
    pub(crate) fn forget_saved(&self) {
        self.shared.unsaved.store(self.shared.linked(), SeqCst);
    }

    /// Stops, and saves the graph if that is worthwhile.
    pub(crate) fn close(self) {
        self.stop();
        if self.shared.unsaved.load(SeqCst) >= SAVE_FROM {
            self.shared.save();
        }
    }

    fn stop(&self) {
        self.shared.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.lock().take() {
            thread.thread().unpark();
            // What it panicked of is in `trouble`.
            let _ = thread.join();
        }
    }

    fn wake(&self) {
        if !self.shared.has_work() {
            return;
        }
        let mut thread = self.thread.lock();
        if let Some(thread) = &*thread {
            thread.thread().unpark();
            return;
        }
        let shared = self.shared.clone();
        let named = thread::Builder::new().name("cortica-index".to_owned());
        match named.spawn(move || shared.run()) {
            Ok(begun) => *thread = Some(begun),
            Err(error) => self
                .shared
                .give_up(format!("cannot begin a thread: {error}")),
        }
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let shared = &self.0.shared;
        let now = shared.begun.elapsed().as_micros() as u64;
        shared.written.store(now, SeqCst);
        shared.writers.fetch_sub(1, SeqCst);
        self.0.wake();
    }
}

impl Shared {
    fn new(index: Arc<HnswIndex>, lag: IndexLag, kept: Kept) -> Self {
        Self {
            index,
            lag,
            stop: AtomicBool::new(false),
            writers: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            begun: Instant::now(),
            linking: RwLock::new(()),
            upkeep: Mutex::new(()),
            trouble: Mutex::new(None),
            unsavable: Mutex::new(None),
            unsaved: AtomicUsize::new(0),
            unreached: AtomicUsize::new(0),
            kept,
        }
    }

    /// What the thread does.
    fn run(&self) {
        let work = AssertUnwindSafe(|| self.work());
        if catch_unwind(work).is_err() {
            self.give_up("the indexing thread panicked".to_owned());
        }
    }

    fn work(&self) {
        let mut turn = Instant::now();
        while !self.is_stopped() {
            if !self.has_work() {
                thread::park();
                continue;
            }
            self.give_way(&mut turn);
            if self.repair_is_due() {
                self.repair();
            } else if self.save_is_due() {
                self.save();
            } else if self.link() == 0 {
                // Others are at what is left.
                thread::park_timeout(POLL);
            }
        }
    }

    /// Lets a burst of writes go first, until it has been its turn for long.
    fn give_way(&self, turn: &mut Instant) {
        let begun = Instant::now();
        if begun < *turn {
            return;
        }
        while self.is_written_to() && !self.is_stopped() {
            if begun.elapsed() >= PATIENCE {
                *turn = Instant::now() + TURN;
                return;
            }
            thread::park_timeout(POLL);
        }
    }

    fn is_written_to(&self) -> bool {
        let written = Duration::from_micros(self.written.load(SeqCst));
        self.writers.load(SeqCst) > 0 || self.begun.elapsed().saturating_sub(written) < QUIET
    }

    fn link(&self) -> usize {
        let _linking = self.linking.read();
        self.link_now()
    }

    fn link_now(&self) -> usize {
        let linked = self.index.link(1);
        self.unsaved.fetch_add(linked, SeqCst);
        self.unreached.fetch_add(linked, SeqCst);
        linked
    }

    /// Leads links around what was removed, and to what none leads to.
    fn repair(&self) {
        let _upkeep = self.upkeep.lock();
        let unreached = self.unreached.load(SeqCst);
        if let Some(repaired) = self.index.repair_unless(|| self.is_stopped()) {
            self.unsaved.fetch_add(repaired, SeqCst);
            let rest = |all: usize| Some(all.saturating_sub(unreached)); // Two may be at it.
            let _ = self.unreached.fetch_update(SeqCst, SeqCst, rest);
        }
    }

    fn linked(&self) -> usize {
        self.index.len().saturating_sub(self.index.waiting())
    }

    fn save_is_due(&self) -> bool {
        let worthwhile = SAVE_EVERY.max(self.linked() / 4);
        self.kept.savable && self.unsaved.load(SeqCst) >= worthwhile
    }

    fn save(&self) {
        if !self.kept.savable {
            return;
        }
        let _upkeep = self.upkeep.lock();
        // Also where it fails: it is tried again after as many more.
        self.unsaved.store(0, SeqCst);
        let saved = graph_cache::save(&self.kept.log, &self.kept.table, &self.index);
        if let Err(error) = &saved {
            tracing::warn!(%error, "the graph could not be saved");
        }
        *self.unsavable.lock() = saved.err().map(|error| error.to_string());
    }

    fn has_work(&self) -> bool {
        let links = self.lag != IndexLag::OnDemand && self.index.waiting() > 0;
        (links || self.repair_is_due() || self.save_is_due()) && self.trouble.lock().is_none()
    }

    fn repair_is_due(&self) -> bool {
        let tenth = self.index.len() / 10;
        // New links take the place of others, so that none may lead to a node any more. Where writes go
        // on, something always waits: each look then costs little beside the links that were made.
        let least = match self.index.waiting() {
            0 => 1,
            // Whoever asks for it links all first: the same graph every time.
            _ if self.lag == IndexLag::OnDemand => usize::MAX,
            _ => REPAIR_FROM,
        };
        self.unreached.load(SeqCst) >= least.max(tenth)
            || self.index.unreleased() >= REPAIR_FROM.max(tenth)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(SeqCst)
    }

    fn give_up(&self, why: String) {
        tracing::error!(%why, "the index is not kept up any more");
        *self.trouble.lock() = Some(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortica_index::{HnswOptions, Metric};
    use cortica_simd::Isa;

    /// Links of what waits that are made before the next look at what can be reached.
    fn linked_before_a_look(shared: &Shared) -> usize {
        let mut linked = 0;
        while !shared.repair_is_due() {
            assert_eq!(shared.link(), 1);
            linked += 1;
        }
        linked
    }

    #[test]
    fn what_can_be_reached_is_looked_at_also_while_more_waits() {
        let shared = |lag, rows: u16| {
            let options = HnswOptions::default();
            let index = HnswIndex::new(2, Metric::L2, Isa::best(), options).unwrap();
            for row in 0..rows {
                index.insert(&[row.into(), 0.0]).unwrap();
            }
            let kept = Kept {
                log: Arc::default(),
                table: Arc::default(),
                loaded: Loaded::default(),
                savable: false,
            };
            Shared::new(Arc::new(index), lag, kept)
        };
        for lag in [IndexLag::Defer, IndexLag::Block(7)] {
            let shared = shared(lag, 4_000);
            assert_eq!(linked_before_a_look(&shared), 400);
            shared.repair();
            assert!(!shared.repair_is_due());
            assert_eq!(linked_before_a_look(&shared), 400);
            assert_eq!(shared.index.waiting(), 3_200);
        }
        let few = shared(IndexLag::Defer, 300);
        assert_eq!(linked_before_a_look(&few), REPAIR_FROM);
        let asked_for = shared(IndexLag::OnDemand, 600);
        assert_eq!(linked_before_a_look(&asked_for), 600, "all of it");
    }
}
