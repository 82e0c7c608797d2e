//! Rows that lie in one piece of memory.

use std::ptr::NonNull;

use crate::bits::Bits;
use crate::budget::Permit;
use crate::element::Element;
use crate::memory::Memory;
use crate::sync::Watches;

/// A cache line; every row starts on one.
const LINE: usize = 64;

/// How rows lie in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Values in a row.
    pub(crate) dimension: usize,
    /// Values from one row's start to the next.
    pub(crate) stride: usize,
    /// Rows in a segment.
    pub(crate) rows: usize,
}

impl Shape {
    /// Rows of `dimension` values, as many as fit into `segment_bytes`, and at least one.
    pub(crate) fn new<E: Element>(dimension: usize, segment_bytes: usize) -> Shape {
        let stride = dimension.next_multiple_of(LINE / size_of::<E>());
        // No more than fit a row number, so that the numbers within a segment do, too.
        let rows = (segment_bytes / (stride * size_of::<E>())).clamp(1, u32::MAX as usize);
        Shape {
            dimension,
            stride,
            rows,
        }
    }

    pub(crate) fn bytes<E: Element>(&self) -> usize {
        self.rows * self.stride * size_of::<E>()
    }
}

/// A row is *stable* from when it is published until it is about to be written again: whoever
/// looks while holding a guard of the arena's domain may read it for as long as that guard lives.
/// It is *live* from when it is published until it is freed: then it still can be read, but means
/// nothing any more.
pub(crate) struct Segment<E> {
    pub(crate) shape: Shape,
    pub(crate) stable: Bits,
    pub(crate) live: Bits,
    pub(crate) watches: Watches,
    values: NonNull<E>,
    _memory: Memory,
    _permit: Option<Permit>,
}

// SAFETY: plain values in memory of its own. Who writes a row and who reads it when is what
// `VectorArena` and `Reader` keep apart.
unsafe impl<E: Element> Send for Segment<E> {}
// SAFETY: as above.
unsafe impl<E: Element> Sync for Segment<E> {}

impl<E: Element> Segment<E> {
    /// Rows of zeros; `None` if there is no memory for them. With `touch`, the memory is put where
    /// the calling thread runs.
    pub(crate) fn new(shape: Shape, permit: Option<Permit>, touch: bool) -> Option<Segment<E>> {
        let mut memory = Memory::zeroed(shape.bytes::<E>())?;
        if touch {
            memory.touch();
        }
        Some(Segment {
            shape,
            stable: Bits::new(shape.rows),
            live: Bits::new(shape.rows),
            watches: Watches::new(shape.rows),
            values: memory.start().cast(),
            _memory: memory,
            _permit: permit,
        })
    }

    /// The values of a row, padding excluded. It may not be beyond the last one.
    #[inline]
    pub(crate) fn row(&self, at: usize) -> NonNull<[E]> {
        debug_assert!(at < self.shape.rows);
        // SAFETY: within the memory, which has `rows` times `stride` values.
        let start = unsafe { self.values.add(at * self.shape.stride) };
        NonNull::slice_from_raw_parts(start, self.shape.dimension)
    }

    /// The values of consecutive rows, padding included. None may be beyond the last one.
    #[inline]
    pub(crate) fn rows(&self, from: usize, count: usize) -> NonNull<[E]> {
        debug_assert!(from + count <= self.shape.rows);
        // SAFETY: as in `row`.
        let start = unsafe { self.values.add(from * self.shape.stride) };
        NonNull::slice_from_raw_parts(start, count * self.shape.stride)
    }
}
