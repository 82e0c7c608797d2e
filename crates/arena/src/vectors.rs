//! Vectors in rows that never move.

use std::fmt;

use cortica_reclaim::{Epoch, Protect, Reclaim};

use crate::budget::ByteBudget;
use crate::directory::Directory;
use crate::element::Element;
use crate::reader::Reader;
use crate::reserved::Reserved;
use crate::segment::{Segment, Shape};
use crate::sync::{Arc, Counter, Mutex, MutexGuard, Relaxed, lock};
use crate::vector_errors::{AddError, DimensionError, FreeError, RoomError};

/// The most values a row may have.
pub const ROW_VALUES_MAX: usize = 1 << 20;

/// The most rows an arena may have: their numbers are u32.
const ROWS_MAX: usize = u32::MAX as usize;

/// Freed rows are made ready for writing so many at a time: each time costs two guards.
const RECYCLED_AT: usize = 64;

/// An epoch passes when all who read in the one before are done; what is retired waits for two.
const EPOCHS: usize = 3;

/// Where a vector lies in its arena. Not an identity: a freed row is given to another vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row(u32);

impl Row {
    /// The row with this number.
    #[must_use]
    pub const fn new(number: u32) -> Row {
        Row(number)
    }

    /// Its number. While none is freed, rows are numbered from 0 in the order in which they were
    /// reserved.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// How an arena gets its memory.
#[derive(Clone, Debug)]
pub struct ArenaOptions {
    /// Bytes of one segment, at most, but for rows that are larger: 4 MiB, two huge pages.
    /// Memory is got and accounted for in segments, so a small arena wants small ones.
    pub segment_bytes: usize,
    /// What segments are taken from; with none, there is no bound but the machine's.
    pub budget: Option<ByteBudget>,
    /// Where readers are known. Structures that are read together share one, and so one guard.
    pub domain: Epoch,
}

impl Default for ArenaOptions {
    fn default() -> ArenaOptions {
        ArenaOptions {
            segment_bytes: 4 << 20,
            budget: None,
            domain: Epoch::new(),
        }
    }
}

/// Figures of an arena. Exact when nobody is writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArenaStats {
    /// Rows published and not freed.
    pub live: usize,
    /// Rows freed, and not yet ready to be written again.
    pub freed: usize,
    /// Rows there is memory for.
    pub rows: usize,
    /// Pieces of memory.
    pub segments: usize,
    /// Bytes of all of them.
    pub bytes: usize,
}

/// Vectors of one dimension in numbered rows, which start on cache lines and never move.
///
/// A row is reserved, written and published; from then on readers find it, without locks. A row
/// that is freed is given out again once all who could be reading it are done: a [`Reader`]
/// protects whatever it finds for as long as it lives, so one serves a whole search.
///
/// Memory comes in segments, zeroed and in huge pages where the system has them, and stays until
/// the arena is dropped. A row takes the dimension, rounded up to whole lines of 64 bytes.
///
/// Reserving takes a lock for some nanoseconds; publishing, and reading, do not.
///
/// ```
/// use cortica_arena::{Row, VectorArena};
///
/// let arena = VectorArena::<f32>::new(3)?;
/// let row = arena.add(&[1.0, 2.0, 3.0])?;
/// let mut next = arena.reserve()?;
/// next.values_mut().fill(7.0); // Nobody sees it yet.
/// let next = next.publish();
///
/// let reader = arena.read();
/// assert_eq!(reader.get(next), Some(&[7.0; 3][..]));
/// arena.free(row)?;
/// assert_eq!(reader.get(row), None); // Not found any more; what was found stays as it is.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct VectorArena<E: Element = f32> {
    pub(crate) shape: Shape,
    pub(crate) segments: Directory<Segment<E>>,
    pub(crate) domain: Epoch,
    budget: Option<ByteBudget>,
    rows: Mutex<Rows>,
    /// Rows whose readers are done, given back by the domain. Apart from `rows`, because that
    /// happens wherever a guard of the domain is taken.
    returned: Arc<Mutex<Vec<u32>>>,
    live: Counter,
}

/// Who may write which row.
#[derive(Default)]
struct Rows {
    /// The first row that was never given out.
    next: usize,
    segments: usize,
    /// Nobody reads them: to be written again.
    ready: Vec<u32>,
    /// Freed, and perhaps being read.
    freed: Vec<u32>,
    /// Freed, and on the way through the domain; see `returned`.
    passing: usize,
}

/// Rows on their way through the domain.
struct Passing {
    rows: Vec<u32>,
    home: Arc<Mutex<Vec<u32>>>,
}

impl<E: Element> VectorArena<E> {
    /// An arena for vectors of `dimension` values, 1 to [`ROW_VALUES_MAX`]. No memory is taken
    /// before there are rows.
    pub fn new(dimension: usize) -> Result<VectorArena<E>, DimensionError> {
        VectorArena::with(dimension, ArenaOptions::default())
    }

    /// As [`new`](VectorArena::new), with memory as the options say.
    pub fn with(dimension: usize, options: ArenaOptions) -> Result<VectorArena<E>, DimensionError> {
        if dimension == 0 || dimension > ROW_VALUES_MAX {
            return Err(DimensionError { got: dimension });
        }
        Ok(VectorArena {
            shape: Shape::new::<E>(dimension, options.segment_bytes),
            segments: Directory::new(),
            domain: options.domain,
            budget: options.budget,
            rows: Mutex::new(Rows::default()),
            returned: Arc::new(Mutex::new(Vec::new())),
            live: Counter::new(0),
        })
    }

    /// Values in a row.
    pub fn dimension(&self) -> usize {
        self.shape.dimension
    }

    /// Values from one row's start to the next.
    pub fn stride(&self) -> usize {
        self.shape.stride
    }

    /// Rows published and not freed.
    pub fn len(&self) -> usize {
        self.live.load(Relaxed) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Protects all rows it finds until it is dropped: see [`Reader`].
    pub fn read(&self) -> Reader<'_, E> {
        Reader::new(self)
    }

    /// Puts a vector into a row and publishes it. O(d).
    pub fn add(&self, vector: &[E]) -> Result<Row, AddError> {
        if vector.len() != self.shape.dimension {
            return Err(AddError::Dimension {
                got: vector.len(),
                expected: self.shape.dimension,
            });
        }
        let mut reserved = self.reserve()?;
        reserved.values_mut().copy_from_slice(vector);
        Ok(reserved.publish())
    }

    /// A row to write. Rows that were used before come first; a new segment comes last.
    pub fn reserve(&self) -> Result<Reserved<'_, E>, RoomError> {
        let number = match self.take_number() {
            Some(number) => number,
            None => self.recycled_or_new()?,
        };
        // The number was given out under the lock, under which its segment was put: it is there.
        Reserved::new(self, number as u32).ok_or(RoomError::Full { max: number })
    }

    pub(crate) fn count_one_more(&self) {
        self.live.fetch_add(1, Relaxed);
    }

    /// Takes back a row that was reserved and not published.
    pub(crate) fn give_up(&self, number: u32) {
        lock(&self.rows).ready.push(number);
    }

    /// Gets the memory for `additional` more rows than are live or reserved, so that reserving
    /// them cannot fail for want of it. With several writers it is for all of them together.
    pub fn make_room(&self, additional: usize) -> Result<(), RoomError> {
        self.extend(additional, false)
    }

    /// As [`make_room`](VectorArena::make_room), and the calling thread touches every page that is
    /// got for it, so that the system puts them on the memory next to its processor. Takes about
    /// as long as filling the memory; other writers wait.
    pub fn make_room_here(&self, additional: usize) -> Result<(), RoomError> {
        self.extend(additional, true)
    }

    /// Frees a row: readers do not find it any more. It is given out again when those who may have
    /// found it are done. O(1), and O(64) each 64th time.
    pub fn free(&self, row: Row) -> Result<(), FreeError> {
        let freed = self
            .place(row.0)
            .is_some_and(|(segment, at)| segment.live.clear(at));
        if !freed {
            return Err(FreeError { row: row.0 });
        }
        self.live.fetch_sub(1, Relaxed);
        let mut rows = lock(&self.rows);
        rows.freed.push(row.0);
        if rows.freed.len() >= RECYCLED_AT {
            self.recycle(rows);
        }
        Ok(())
    }

    /// How much there is of what.
    pub fn stats(&self) -> ArenaStats {
        let mut rows = lock(&self.rows);
        self.take_returned(&mut rows);
        ArenaStats {
            live: self.len(),
            freed: rows.freed.len() + rows.passing,
            rows: rows.segments * self.shape.rows,
            segments: rows.segments,
            bytes: rows.segments * self.shape.bytes::<E>(),
        }
    }

    /// A row's segment, if there is one, and where in it.
    #[inline]
    pub(crate) fn place(&self, number: u32) -> Option<(&Segment<E>, usize)> {
        let rows = self.shape.rows as u32; // Clamped to that range when it was made.
        let segment = self.segments.get((number / rows) as usize)?;
        Some((segment, (number % rows) as usize))
    }

    /// A row that is ready, or was never used.
    fn take_number(&self) -> Option<usize> {
        let mut rows = lock(&self.rows);
        if rows.ready.is_empty() && rows.passing > 0 {
            self.take_returned(&mut rows);
        }
        if let Some(row) = rows.ready.pop() {
            return Some(row as usize);
        }
        (rows.next < rows.segments * self.shape.rows).then(|| {
            rows.next += 1;
            rows.next - 1
        })
    }

    /// Before memory grows, what was freed is used again if nobody reads it.
    #[cold]
    fn recycled_or_new(&self) -> Result<usize, RoomError> {
        for _ in 0..EPOCHS {
            let rows = lock(&self.rows);
            if rows.freed.is_empty() && rows.passing == 0 {
                break;
            }
            self.recycle(rows);
            if let Some(number) = self.take_number() {
                return Ok(number);
            }
        }
        loop {
            self.extend(1, false)?;
            if let Some(number) = self.take_number() {
                return Ok(number); // Otherwise another thread has got it.
            }
        }
    }

    /// Sends freed rows through the domain, and others that are there on their way.
    fn recycle(&self, mut rows: MutexGuard<'_, Rows>) {
        let freed = std::mem::take(&mut rows.freed);
        rows.passing += freed.len();
        // The domain may be shared: whatever others retired may be dropped below.
        drop(rows);
        let mut guard = self.domain.guard();
        if !freed.is_empty() {
            for &row in &freed {
                if let Some((segment, at)) = self.place(row) {
                    segment.stable.clear(at);
                }
            }
            let passing = Box::new(Passing {
                rows: freed,
                home: Arc::clone(&self.returned),
            });
            // SAFETY: out of a box, and retired once. What is protected is not the box, which
            // nobody reads, but its rows: they are given back, by `Passing::end`, when all guards
            // are gone that were there when their bits were cleared.
            unsafe { guard.retire_with(Box::into_raw(passing), Passing::end) };
        }
        guard.collect();
    }

    fn take_returned(&self, rows: &mut Rows) {
        let mut returned = lock(&self.returned);
        rows.passing -= returned.len();
        rows.ready.append(&mut returned);
    }

    fn extend(&self, additional: usize, touch: bool) -> Result<(), RoomError> {
        let mut rows = lock(&self.rows);
        let bytes = self.shape.bytes::<E>();
        // So that none is got if there cannot be enough: numbers are what runs out first.
        let segments_max = ROWS_MAX / self.shape.rows;
        let full = RoomError::Full {
            max: segments_max * self.shape.rows,
        };
        let unused = rows.ready.len() + segments_max * self.shape.rows - rows.next;
        if additional > unused {
            return Err(full);
        }
        while rows.ready.len() + rows.segments * self.shape.rows - rows.next < additional {
            let permit = match &self.budget {
                Some(budget) => Some(budget.try_acquire(bytes)?),
                None => None,
            };
            let segment = Segment::new(self.shape, permit, touch);
            let segment = segment.ok_or(RoomError::OutOfMemory { bytes })?;
            self.segments
                .put(rows.segments, Box::new(segment))
                .map_err(|_| full)?;
            rows.segments += 1;
        }
        Ok(())
    }
}

impl Passing {
    /// Gives the rows back.
    ///
    /// # Safety
    ///
    /// `passing` came out of a box and is not used again.
    unsafe fn end(passing: *mut Passing) {
        // SAFETY: the caller's promise.
        let mut passing = unsafe { Box::from_raw(passing) };
        lock(&passing.home).append(&mut passing.rows);
    }
}

impl<E: Element> fmt::Debug for VectorArena<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VectorArena")
            .field("dimension", &self.shape.dimension)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
