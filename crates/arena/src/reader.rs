//! Reading rows while others are written.

use std::fmt;
use std::ops::Range;

use cortica_reclaim::{EpochGuard, Protect, Reclaim};

use crate::element::Element;
use crate::segment::Segment;
use crate::sync::Readings;
use crate::vectors::{Row, VectorArena};

/// Reads an arena without locks. What it finds stays as it is for as long as it lives, also if it
/// is freed in the meantime; so it is made for a search, not for a row, and not kept for longer:
/// while it lives, no row is given out again that was freed since it was made or shortly before.
///
/// It stays on its thread; rows it found may go to others for its lifetime.
pub struct Reader<'a, E: Element> {
    arena: &'a VectorArena<E>,
    guard: EpochGuard<'a>,
    readings: Readings,
}

impl<'a, E: Element> Reader<'a, E> {
    pub(crate) fn new(arena: &'a VectorArena<E>) -> Reader<'a, E> {
        Reader {
            arena,
            guard: arena.domain.guard(),
            readings: Readings::new(),
        }
    }

    /// The values of a row; `None` if it was never published, or is free. O(1).
    #[inline]
    pub fn get(&self, row: Row) -> Option<&[E]> {
        let (segment, at) = self.arena.place(row.get())?;
        if !segment.live.get(at) {
            return None;
        }
        self.readings.add(&segment.watches, at..at + 1);
        // SAFETY: seen live, and so stable, under this guard: what was written before it was
        // published is visible, and the row is not written again before the guard is gone, which
        // the borrow of `self` keeps.
        Some(unsafe { segment.row(at).as_ref() })
    }

    /// All rows that can be read, in runs of rows that lie one behind the other, by rising number.
    /// Rows that were freed and not yet written again lie among them: see [`Run::is_live`].
    pub fn runs(&self) -> Runs<'_, E> {
        Runs {
            reader: self,
            segment: 0,
            at: 0,
        }
    }

    /// Lets go of all that was found, and finds what is there now: as a new reader, but cheaper.
    /// Freed rows are given out again once every reader has been refreshed twice, or has ended.
    pub fn refresh(&mut self) {
        self.readings.clear();
        self.guard.release();
    }
}

impl<E: Element> fmt::Debug for Reader<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(self.arena).finish()
    }
}

/// The runs of an arena: see [`Reader::runs`].
#[derive(Debug)]
pub struct Runs<'r, E: Element> {
    reader: &'r Reader<'r, E>,
    segment: usize,
    at: usize,
}

impl<'r, E: Element> Runs<'r, E> {
    fn run(&mut self, segment: &'r Segment<E>, found: Range<usize>) -> Option<Run<'r, E>> {
        self.at = found.end;
        self.reader.readings.add(&segment.watches, found.clone());
        // SAFETY: each of the rows was seen stable under the guard of the reader that `'r`
        // borrows; then as in `Reader::get`. Padding is written by nobody.
        let data = unsafe { segment.rows(found.start, found.len()).as_ref() };
        let shape = segment.shape;
        Some(Run {
            segment,
            first: (self.segment * shape.rows + found.start) as u32,
            from: found.start,
            data,
            rows: E::rows(data, shape.dimension, shape.stride)?,
        })
    }
}

impl<'r, E: Element> Iterator for Runs<'r, E> {
    type Item = Run<'r, E>;

    fn next(&mut self) -> Option<Run<'r, E>> {
        loop {
            let segment = self.reader.arena.segments.get(self.segment)?;
            let found = segment.stable.next_run(self.at);
            if let Some(run) = found.and_then(|found| self.run(segment, found)) {
                return Some(run);
            }
            self.segment += 1;
            self.at = 0;
        }
    }
}

/// Rows that lie one behind the other in memory.
pub struct Run<'r, E: Element> {
    segment: &'r Segment<E>,
    first: u32,
    from: usize,
    data: &'r [E],
    rows: E::Rows<'r>,
}

impl<'r, E: Element> Run<'r, E> {
    /// Its first row. The others have the numbers that follow.
    pub fn first(&self) -> Row {
        Row::new(self.first)
    }

    /// How many rows.
    #[allow(clippy::len_without_is_empty, reason = "there is no empty run")]
    pub fn len(&self) -> usize {
        self.data.len() / self.segment.shape.stride
    }

    /// Their values as they lie: `len` times the arena's stride, what lies behind the dimension
    /// being zero.
    pub fn data(&self) -> &'r [E] {
        self.data
    }

    /// Them in the form that `cortica-simd` takes: `Rows` for f32, `CodeRows` otherwise.
    pub fn rows(&self) -> E::Rows<'r> {
        self.rows
    }

    /// Whether the `at`-th of them, counted from 0, is in use. A row that is not can be read, but
    /// means nothing; whoever selects rows leaves it out.
    pub fn is_live(&self, at: usize) -> bool {
        at < self.len() && self.segment.live.get(self.from + at)
    }
}

impl<E: Element> fmt::Debug for Run<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("first", &self.first)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
