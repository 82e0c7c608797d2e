//! Making vectors that wait part of the graph.

use crate::hnsw::beam::Near;
use crate::hnsw::blocks::{Blocks, Packer};
use crate::hnsw::codes::Space;
use crate::hnsw::link::Chooser;
use crate::hnsw::nodes::{Nodes, State};
use crate::hnsw::walk::{Entry, Walker};
use crate::hnsw::{HnswIndex, lock};
use cortica_arena::Row as ArenaRow;
use std::ops::RangeInclusive;
use std::panic::resume_unwind;
use std::sync::PoisonError;
use std::thread::{Builder, ScopedJoinHandle};

/// Nodes whose blocks are made together.
const PACKED_AT: usize = 512;

impl HnswIndex {
    /// Makes the first `count` of the vectors that wait part of the graph; how many there were.
    /// Each costs a search as wide as the options' `build_width`, and a part for its neighbours.
    /// Threads that link at the same time share the work.
    ///
    /// One thread that does all of it makes the same graph of the same vectors, every time.
    pub fn link(&self, count: usize) -> usize {
        let mut chooser = Chooser::default();
        let mut walker = self.walker();
        let linked = (0..count)
            .take_while(|_| self.link_next(&mut walker, &mut chooser))
            .count();
        self.give_back(walker);
        if linked >= PACKED_AT || self.unpacked() >= PACKED_AT {
            let _unchanged = self.topology.read().unwrap_or_else(PoisonError::into_inner);
            self.pack(&|| false);
        }
        linked
    }

    /// Nodes whose blocks are to be made.
    fn unpacked(&self) -> usize {
        let graph = self.read_graph();
        graph.blocks.as_ref().map_or(0, Blocks::stale)
    }

    /// Makes the blocks of nodes whose links have changed, a few at a time: inserting and removing
    /// go on in between. Each new node changes the links of some twenty others, and most of them
    /// change again with the next, so it is done when there are many.
    pub(super) fn pack(&self, stop: &impl Fn() -> bool) {
        let mut packer = Packer::default();
        let mut more = true;
        while more && !stop() {
            more = self.with_space(|space, nodes| {
                let pack = |blocks: &Blocks| blocks.pack(space, nodes, &self.stripes, &mut packer);
                space.blocks.is_some_and(pack)
            });
        }
    }

    /// [`link`](HnswIndex::link)s all that wait with so many threads, or as many as there is work
    /// for and the system grants; how many there were.
    ///
    /// A panic of one of them is passed on when all have ended. What that thread was at goes on waiting,
    /// and is found by being compared.
    pub fn link_all(&self, threads: usize) -> usize {
        let all = || self.link(usize::MAX);
        shared_among(threads.min(self.waiting()), all)
    }

    fn link_next(&self, walker: &mut Walker, chooser: &mut Chooser) -> bool {
        let _unchanged = self.topology.read().unwrap_or_else(PoisonError::into_inner);
        let row = {
            let mut waiting = lock(&self.waiting);
            let Some(row) = waiting.queue.pop_front() else {
                return false;
            };
            waiting.linking.push(row);
            row
        };
        self.encode();
        let was_dropped = self.with_space(|space, nodes| {
            let dropped = nodes.state(row) == State::Dropped;
            if !dropped {
                self.link_row(space, nodes, row, walker, chooser);
            }
            dropped
        });
        // Whoever has the graph may want the list of what waits, so here the graph comes first too.
        let removed_meanwhile = !was_dropped && {
            let graph = self.read_graph();
            graph.nodes.finish_linking(row)
        };
        {
            let mut waiting = lock(&self.waiting);
            waiting.linking.retain(|linking| *linking != row);
            if removed_meanwhile {
                waiting.removed.push(row);
            }
        }
        if was_dropped {
            self.take_away(&[row]);
        }
        true
    }

    fn link_row(
        &self,
        space: Space<'_>,
        nodes: &Nodes,
        row: u32,
        walker: &mut Walker,
        chooser: &mut Chooser,
    ) {
        let level = nodes.level(row);
        let entry = {
            let mut entry = lock(&self.entry);
            *entry.get_or_insert(Entry { row, level })
        };
        if entry.row == row {
            // The first of all has nothing to link to.
            return;
        }
        let Some(vector) = space.reader.get(ArenaRow::new(row)) else {
            return;
        };
        space.prepare(vector, &mut walker.query);
        let near = walker.descend(space, nodes, entry, level);
        let mut starts = vec![near];
        let mut links = Vec::new();
        let may_be_linked = |other: u32| other != row && nodes.is_findable(other);
        for level in (0..=level.min(entry.level)).rev() {
            let width = self.options.build_width;
            walker.begin(space, nodes, width, &starts, may_be_linked);
            walker.walk(space, nodes, level, may_be_linked);
            starts.clear();
            starts.extend(walker.beam.found());
            if starts.is_empty() {
                starts.push(near);
            }
            chooser.candidates.clear();
            chooser.candidates.extend(walker.beam.found());
            let own = Self::measured(space, row, walker, chooser);
            chooser.choose(space, self.options.degree, own);
            if starts.len() < self.options.degree && self.removed() > 0 {
                starts.push(near);
                let chosen = chooser.chosen.clone();
                self.choose_removed(space, nodes, (row, level), &starts, walker, chooser);
                chooser.chosen.splice(..0, chosen);
                chooser.chosen.truncate(self.options.degree);
                starts.extend(walker.beam.found());
            }
            {
                let _alone = self.stripes.lock(row);
                nodes.set_links(row, level, &chooser.chosen);
                space.links_changed(row, level);
            }
            links.push((level, chooser.chosen.clone()));
        }
        // Only now do others find it, and the base level first: whoever comes by a higher one has
        // somewhere to go, and what is linked to it meanwhile is not written over.
        for (level, chosen) in links.into_iter().rev() {
            let degree = self.options.degree_max(level);
            for neighbor in chosen {
                let of = (neighbor, level);
                chooser.link_back(space, nodes, &self.stripes, of, row, degree);
            }
        }
        if level > entry.level {
            let mut entry = lock(&self.entry);
            if entry.is_none_or(|entry| level > entry.level) {
                *entry = Some(Entry { row, level });
            }
        }
    }

    /// Chooses among removed nodes, where few others are in sight: they lead on to those that are linked
    /// like this one, and a repair puts what they lead to in their place. Without them, where all of a
    /// graph was removed, what is new would hang together by nothing.
    fn choose_removed(
        &self,
        space: Space<'_>,
        nodes: &Nodes,
        (row, level): (u32, usize),
        from: &[Near],
        walker: &mut Walker,
        chooser: &mut Chooser,
    ) {
        let is_linked = |other: u32| other != row && nodes.is_linked(other);
        walker.begin(space, nodes, self.options.build_width, from, is_linked);
        walker.walk(space, nodes, level, is_linked);
        chooser.candidates.clear();
        let removed = |near: &Near| nodes.state(near.row) == State::Removed;
        chooser
            .candidates
            .extend(walker.beam.found().filter(removed));
        let own = Self::measured(space, row, walker, chooser);
        chooser.choose(space, self.options.degree, own);
    }

    /// The keys of copies of the row, in whose terms the candidates' keys are now.
    fn measured(
        space: Space<'_>,
        row: u32,
        walker: &Walker,
        chooser: &mut Chooser,
    ) -> RangeInclusive<f32> {
        if space.walks_are_coarse() {
            chooser.measure(space, row);
            return chooser.own(space, row);
        }
        space.keys_of_copies(&walker.query, row)
    }
}

/// What the calling thread and up to `threads - 1` others do, as many as the system grants.
fn shared_among(threads: usize, work: impl Fn() -> usize + Copy + Send) -> usize {
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map_while(|_| Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mine = work();
        let of_others = others.into_iter().map(ScopedJoinHandle::join);
        of_others.fold(mine, |done, other| match other {
            Ok(other) => done + other,
            // The scope waits for those that are not joined yet.
            Err(panic) => resume_unwind(panic),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;
    use std::thread::current;

    #[test]
    fn a_panic_of_one_thread_is_passed_on() {
        assert_eq!(shared_among(3, || 5), 15);
        assert_eq!(shared_among(0, || 5), 5, "the caller does it alone");
        let caller = current().id();
        let panicked = catch_unwind(|| {
            shared_among(3, || {
                assert_eq!(current().id(), caller, "not the caller");
                5
            })
        });
        let panic = panicked.unwrap_err();
        let said = panic.downcast_ref::<String>();
        assert!(said.is_some_and(|said| said.contains("not the caller")));
    }
}
