//! The door to loom for what is read and written side by side without a lock: links, states and
//! the places of blocks. What loom explores is what we ship.

use cortica_arena::VectorArena;

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Nodes in a piece of memory. loom watches each of their links, so in a model there are few.
pub(crate) const PIECE: usize = if cfg!(loom) { 2 } else { 1 << 12 };

/// Memory for blocks of so many bytes.
#[cfg(not(loom))]
pub(crate) fn block_arena(bytes: usize) -> Option<VectorArena<u8>> {
    VectorArena::new(bytes).ok()
}

/// In a model, for two of them: whoever wants a third gets one that was given back.
#[cfg(loom)]
pub(crate) fn block_arena(bytes: usize) -> Option<VectorArena<u8>> {
    let segment_bytes = 2 * bytes.next_multiple_of(64);
    let options = cortica_arena::ArenaOptions {
        segment_bytes,
        budget: Some(cortica_arena::ByteBudget::new(segment_bytes)),
        ..cortica_arena::ArenaOptions::default()
    };
    VectorArena::with(bytes, options).ok()
}
