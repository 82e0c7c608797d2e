//! What the models share: memory that loom watches, and how a model is explored.
#![allow(dead_code, reason = "not every file of models uses all of it")]

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use cortica_reclaim::PublishOnPing;
use loom::cell::UnsafeCell;

/// What is retired. It is not deallocated, so that a model which fails does so by loom's word:
/// reading it and freeing it are accesses to a cell, and loom watches their order.
pub(crate) struct Node {
    value: UnsafeCell<u64>,
}

pub(crate) const DEAD: u64 = 0;

// SAFETY: the cell is read under protection and written by whoever frees; loom checks that.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl Node {
    pub(crate) fn new(value: u64) -> Node {
        Node {
            value: UnsafeCell::new(value),
        }
    }

    pub(crate) fn read(&self) -> u64 {
        // SAFETY: loom checks that no write is under way.
        self.value.with(|value| unsafe { *value })
    }

    pub(crate) fn as_mut_ptr(&self) -> *mut Node {
        std::ptr::from_ref(self).cast_mut()
    }
}

/// # Safety
///
/// `node` is alive; loom checks that nobody else reads it.
pub(crate) unsafe fn bury(node: *mut Node) {
    // SAFETY: the caller's promise.
    let before = unsafe {
        (*node)
            .value
            .with_mut(|value| std::mem::replace(&mut *value, DEAD))
    };
    assert_ne!(before, DEAD, "freed twice");
}

/// A value that loom watches from beginning to end: making it, reading it and dropping it are
/// accesses to a cell.
pub(crate) struct Watched(pub(crate) Node);

impl Watched {
    pub(crate) fn new(value: u64) -> Watched {
        let node = Node::new(DEAD);
        // SAFETY: nobody else has it yet.
        node.value.with_mut(|cell| unsafe { *cell = value });
        Watched(node)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return; // The model has failed already; a second panic would hide why.
        }
        // SAFETY: loom checks that nobody reads it.
        unsafe { bury(self.0.as_mut_ptr()) };
    }
}

/// Explores a model and says how large it was.
pub(crate) fn explore(name: &str, preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    static EXPLORED: AtomicUsize = AtomicUsize::new(0);
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    EXPLORED.store(0, Relaxed);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(move || {
        EXPLORED.fetch_add(1, Relaxed);
        model();
    });
    println!("{name}: {} interleavings", EXPLORED.load(Relaxed));
}

/// Every retirement looks at the slots.
pub(crate) fn eager() -> PublishOnPing {
    PublishOnPing::fenced().with_batch(1)
}
