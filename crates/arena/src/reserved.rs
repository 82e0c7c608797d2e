//! A row between being given out and being found.

use std::fmt;

use crate::element::Element;
use crate::segment::Segment;
use crate::sync::Writing;
use crate::vectors::{Row, VectorArena};

/// A row that is being written. Dropped without [`publish`](Reserved::publish), it is given to
/// somebody else.
#[must_use = "a row is found only after it is published"]
pub struct Reserved<'a, E: Element> {
    arena: &'a VectorArena<E>,
    segment: &'a Segment<E>,
    number: u32,
    at: usize,
    published: bool,
    _writing: Writing,
}

impl<'a, E: Element> Reserved<'a, E> {
    /// Of a row that was given to nobody else, or `None` if there is no such row.
    pub(crate) fn new(arena: &'a VectorArena<E>, number: u32) -> Option<Reserved<'a, E>> {
        let (segment, at) = arena.place(number)?;
        Some(Reserved {
            arena,
            segment,
            number,
            at,
            published: false,
            _writing: segment.watches.write(at),
        })
    }

    /// Where it will be found.
    #[must_use]
    pub fn row(&self) -> Row {
        Row::new(self.number)
    }

    /// Its values, `dimension` of them: zeros, or what the row held before.
    pub fn values_mut(&mut self) -> &mut [E] {
        // SAFETY: within the segment, which the arena keeps; the memory was zeroed, and every bit
        // pattern is a value. The row was given to nobody else, and nobody reads it: it is new,
        // or came back through the domain, or was reserved and never published.
        unsafe { self.segment.row(self.at).as_mut() }
    }

    /// Lets readers find it, with all that was written. O(1), no lock.
    pub fn publish(mut self) -> Row {
        self.published = true;
        let row = self.row();
        let (arena, segment, at) = (self.arena, self.segment, self.at);
        drop(self); // The end of writing, for loom.
        arena.count_one_more(); // Before it can be freed: the count never falls below zero.
        segment.stable.set(at);
        segment.live.set(at);
        row
    }
}

impl<E: Element> Drop for Reserved<'_, E> {
    fn drop(&mut self) {
        if !self.published {
            self.arena.give_up(self.number);
        }
    }
}

impl<E: Element> fmt::Debug for Reserved<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reserved").field(&self.row()).finish()
    }
}
