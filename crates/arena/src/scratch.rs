//! Space for what a worker needs for a moment and forgets together.

use std::cell::Cell;
use std::ptr::NonNull;

use crate::memory::Memory;

/// Every slice starts on a cache line.
const LINE: usize = 64;

/// A block of memory that slices are cut from and that is emptied at once.
///
/// One for each worker: it is not shared, so cutting a slice is an addition and filling it. All
/// of its memory is there from the start (large blocks are backed by the system as they are
/// touched), and nothing is ever allocated after that. Nothing is dropped either, which is why
/// slices hold `Copy` values.
///
/// ```
/// use cortica_arena::Scratch;
///
/// let mut scratch = Scratch::new(4_096)?;
/// for query in [1.0_f32, 2.0, 3.0] {
///     let scores = scratch.filled(100, query)?;
///     let order: &mut [u32] = scratch.copied(&[2, 0, 1])?;
///     scores[order[0] as usize] += 1.0;
///     scratch.reset(); // The borrows end here: the compiler sees to it.
/// }
/// assert_eq!(scratch.peak(), 448 + 12); // 400 bytes, rounded up to a line, and 12.
/// assert!(scratch.filled(5_000, 0_u8).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Scratch {
    memory: Memory,
    used: Cell<usize>,
    peak: Cell<usize>,
}

/// Why a slice could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScratchError {
    /// Reset the scratch more often, or make it larger.
    #[error("{needed} bytes of scratch needed, {free} of {limit} are free")]
    Full {
        /// Bytes of the slice, alignment included.
        needed: usize,
        /// Bytes left.
        free: usize,
        /// Bytes there are.
        limit: usize,
    },
    /// The system has no memory for so much scratch.
    #[error("cannot get {bytes} bytes of memory for scratch")]
    OutOfMemory {
        /// How much was asked for.
        bytes: usize,
    },
}

#[allow(
    clippy::mut_from_ref,
    reason = "each call cuts another piece, so the slices never overlap"
)]
impl Scratch {
    /// Scratch space of `bytes`.
    pub fn new(bytes: usize) -> Result<Scratch, ScratchError> {
        let memory = Memory::zeroed(bytes).ok_or(ScratchError::OutOfMemory { bytes })?;
        Ok(Scratch {
            memory,
            used: Cell::new(0),
            peak: Cell::new(0),
        })
    }

    /// `len` times `value`, on a cache line of its own. O(len).
    pub fn filled<T: Copy>(&self, len: usize, value: T) -> Result<&mut [T], ScratchError> {
        let start = self.cut::<T>(len)?;
        for at in 0..len {
            // SAFETY: `cut` gave room for `len` values.
            unsafe { start.add(at).write(value) };
        }
        // SAFETY: `cut` gives aligned room for `len` values that nobody else gets before `reset`,
        // which the borrow of `self` keeps away; all of them were just written.
        Ok(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) })
    }

    /// A copy of `values`, on a cache line of its own. O(len).
    pub fn copied<T: Copy>(&self, values: &[T]) -> Result<&mut [T], ScratchError> {
        let start = self.cut::<T>(values.len())?;
        // SAFETY: `cut` gave room for as many values, and nobody else has it, so they are apart.
        // Then as in `filled`.
        unsafe {
            start.copy_from_nonoverlapping(NonNull::from(values).cast(), values.len());
            Ok(std::slice::from_raw_parts_mut(start.as_ptr(), values.len()))
        }
    }

    /// Forgets all slices. O(1).
    pub fn reset(&mut self) {
        self.used.set(0);
    }

    /// Bytes there are.
    pub fn limit(&self) -> usize {
        self.memory.len()
    }

    /// Bytes cut off since the last reset, what alignment took included.
    pub fn used(&self) -> usize {
        self.used.get()
    }

    /// The most bytes that were ever used between two resets.
    pub fn peak(&self) -> usize {
        self.peak.get()
    }

    /// Room for `len` values.
    fn cut<T>(&self, len: usize) -> Result<NonNull<T>, ScratchError> {
        let (used, limit) = (self.used.get(), self.memory.len());
        let start = self.memory.start().addr().get() + used;
        let skipped = start.next_multiple_of(LINE.max(align_of::<T>())) - start;
        let needed = size_of::<T>()
            .checked_mul(len)
            .and_then(|bytes| bytes.checked_add(skipped))
            .unwrap_or(usize::MAX);
        if needed > limit - used {
            return Err(ScratchError::Full {
                needed,
                free: limit - used,
                limit,
            });
        }
        self.used.set(used + needed);
        self.peak.set(self.peak.get().max(used + needed));
        // SAFETY: not beyond `used + needed`, and so within the memory.
        Ok(unsafe { self.memory.start().add(used + skipped) }.cast())
    }
}
