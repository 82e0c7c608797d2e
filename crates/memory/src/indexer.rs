//! The index is kept up in the background.

use crate::options::IndexLag;
use cortica_index::{HnswIndex, VectorIndex};
use parking_lot::{Mutex, RwLock};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A store that was written to so recently is in a burst, which goes first ...
const QUIET: Duration = Duration::from_millis(1);
/// ... but not for longer than this ...
const PATIENCE: Duration = Duration::from_millis(20);
/// ... before links are made for so long.
const TURN: Duration = Duration::from_millis(5);

/// Rows that are removed are led around when there are so many of them, and a tenth of the rest.
const REPAIR_FROM: usize = 256;

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
    /// Why nothing is done any more.
    trouble: Mutex<Option<String>>,
}

/// A write is being made visible, and indexing waits.
#[derive(Debug)]
pub(crate) struct Writing<'a>(&'a Indexer);

impl Indexer {
    pub(crate) fn new(index: Arc<HnswIndex>, lag: IndexLag) -> Self {
        let indexer = Self {
            shared: Arc::new(Shared {
                index,
                lag,
                stop: AtomicBool::new(false),
                writers: AtomicUsize::new(0),
                written: AtomicU64::new(0),
                begun: Instant::now(),
                linking: RwLock::new(()),
                trouble: Mutex::new(None),
            }),
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
        if let IndexLag::Block(most) = self.shared.lag {
            while self.shared.index.waiting() > most && self.shared.link() > 0 {}
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
        self.trouble().map_or(Ok(()), Err)
    }

    /// Why the index is not kept up any more.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().clone()
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
        self.shared.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.lock().take() {
            thread.thread().unpark();
            // What it panicked of is in `trouble`.
            let _ = thread.join();
        }
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
                self.index.repair_unless(|| self.is_stopped());
            } else if self.link() == 0 {
                // Others are at what is left.
                thread::park_timeout(QUIET);
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
            thread::park_timeout(QUIET / 4);
        }
    }

    fn is_written_to(&self) -> bool {
        let written = Duration::from_micros(self.written.load(SeqCst));
        self.writers.load(SeqCst) > 0 || self.begun.elapsed().saturating_sub(written) < QUIET
    }

    fn link(&self) -> usize {
        let _linking = self.linking.read();
        self.index.link(1)
    }

    fn has_work(&self) -> bool {
        let links = self.lag != IndexLag::OnDemand && self.index.waiting() > 0;
        (links || self.repair_is_due()) && self.trouble.lock().is_none()
    }

    fn repair_is_due(&self) -> bool {
        self.index.unreleased() >= REPAIR_FROM.max(self.index.len() / 10)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(SeqCst)
    }

    fn give_up(&self, why: String) {
        tracing::error!(%why, "the index is not kept up any more");
        *self.trouble.lock() = Some(why);
    }
}
